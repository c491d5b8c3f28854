package keydelivery_test

import (
	"context"
	"testing"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestPromisedWithTheCertificate stops the server at each step of an enrolment:
// whenever there is a certificate its key is promised, once, and arrives.
func TestPromisedWithTheCertificate(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(nil))
		to := store.KeyReceiver{Service: k.ID}
		for _, place := range []ra.KeyPlace{ra.KeyHere, ra.KeyAtCA} {
			s, name := spec(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID}), "made at "+string(place)
			s.KeyPlace = place
			tpl := must(w.enroll.CreateTemplate(ctx, w.owner, enroll.TemplateInput{GroupID: &w.group.ID, AuthorityID: &w.outer.ID, Name: &name, Spec: s}))(w.t)
			for _, label := range []string{enroll.StepAsk, enroll.StepAnswer, enroll.StepRecord, enroll.StepDeliver} {
				if place == ra.KeyAtCA && (label == enroll.StepAnswer || label == enroll.StepRecord) {
					continue // a key that was on its way is lost with the server: the certificate is revoked, and asked for anew
				}
				w.enroll.Step = func(l string) {
					if l == label {
						panic(label)
					}
				}
				ask := enroll.Ask{Template: tpl.ID, User: w.user.ID, Door: "api", Key: name + label, Wait: true}
				func() {
					defer func() {
						if recover() != label {
							w.t.Errorf("%s is no step of an enrolment", label)
						}
					}()
					w.enroll.Submit(ctx, w.owner, ask)
				}()
				w.enroll.Step = nil
				w.clock.Advance(3 * time.Minute)
				request := must(w.enroll.Submit(ctx, w.owner, ask))(w.t)
				for range 3 {
					if err := w.enroll.Work(context.Background(), enroll.IssueJob{Request: request.ID}); err != nil {
						w.t.Fatalf("%s, %s: %v", name, label, err)
					}
					w.clock.Advance(time.Hour)
				}
				request = must(w.enroll.Submit(ctx, w.owner, ask))(w.t)
				c := w.certificate(request.CertificateID)
				w.stands(c, false, ra.ActionHandOver)
				w.work(to)
				w.stands(c, true, ra.ActionNone)
				got := r.take()
				if len(got) != 1 {
					w.t.Fatalf("%s, %s: %d messages arrived", name, label, len(got))
				}
				o, err := r.open(got[0], firstSecret)
				if err != nil {
					w.t.Fatal(err)
				}
				o.belongs(w.t, c)
			}
		}
	})
}
