package enroll_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

var steps = []string{enroll.StepIntent, enroll.StepAsk, enroll.StepAnswer, enroll.StepRecord, enroll.StepDeliver}

// TestCrashAnywhere stops a server at every step of the life of a request, by a
// panic and by a goroutine that ends, and lets another one on the same database
// go on once the lease is over: nothing is lost, nothing is issued twice, and
// nothing is stuck.
func TestCrashAnywhere(t *testing.T) {
	each(t, func(w *world) {
		for place, id := range map[string]ra.AuthorityID{"embedded": w.inner, "scripted": w.outer, "bare": w.bare} {
			tpl, here := w.template(id, wifi()), w.template(id, vpn())
			for _, label := range steps {
				if place == "bare" && (label == enroll.StepAnswer || label == enroll.StepRecord) {
					continue // without Find, an answer that was not recorded is asked for again; the kind says so
				}
				for _, goexit := range []bool{false, true} {
					w.t.Run(fmt.Sprintf("%s/%s/%v", place, label, goexit), func(t *testing.T) {
						k := csr(t, key(t))
						name := fmt.Sprint(place, label, goexit)
						asks := map[string]enroll.Ask{
							"device": {Template: tpl.ID, Device: w.phone.ID, CSR: k, Key: name + "d", Wait: true},
							"here":   {Template: here.ID, Device: w.tablet.ID, Key: name + "h", Wait: true},
						}
						for what, ask := range asks {
							first := w.start()
							if !first.crash(label, 1, goexit, func() { first.Submit(t.Context(), w.owner, ask) }) {
								t.Fatalf("%s: the step was not reached", what)
							}
							w.resumed(t, w.start(), what, ask)
						}
					})
				}
			}
		}
		if len(w.script.Doubles()) != 0 {
			w.t.Errorf("issued twice: %v", w.script.Doubles())
		}
	})
}

// resumed lets a second server finish what a first one began, and has the
// client ask again: one request, one certificate.
func (w *world) resumed(t *testing.T, second *node, what string, ask enroll.Ask) {
	t.Helper()
	defer second.db.Close()
	second.work(t) // the lease of the dead server still holds
	w.clock.Advance(3 * time.Minute)
	w.settle(second)
	r, err := second.Submit(t.Context(), w.owner, ask)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if r.State != ra.Issued {
		t.Errorf("%s: %s, %s", what, r.State, r.LastError)
		return
	}
	w.read(func(tx *store.Tx) error {
		list, _, err := tx.FindCertificates(store.CertificateFilter{SPKIHash: r.SPKIHash, Page: store.Page{Limit: 10}})
		if err == nil && (len(list) != 1 || list[0].ID != r.CertificateID || list[0].RequestID != r.ID) {
			t.Errorf("%s: %d certificates", what, len(list))
		}
		return err
	})
	if n := w.audited("certificate.issued", string(r.ID)); n != 1 {
		t.Errorf("%s: issued %d times in the audit log", what, n)
	}
}

// TestCrashInTheJob: the same in the job, on the first attempt and while it
// fetches, with an authority that answers later.
func TestCrashInTheJob(t *testing.T) {
	each(t, func(w *world) {
		w.script.Again = time.Minute
		tpl := w.template(w.outer, wifi())
		for _, label := range steps[2:] {
			for nth := 1; nth <= 3; nth++ {
				w.t.Run(fmt.Sprintf("%s/%d", label, nth), func(t *testing.T) {
					first := w.start()
					w.script.Plan(scripted.Pend(2))
					r, err := first.Submit(t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(t, key(t))})
					if err != nil {
						t.Fatal(err)
					}
					first.crash(label, nth, nth%2 == 0, func() {
						for range 4 {
							if err := first.Work(context.Background(), enroll.IssueJob{Request: r.ID}); err != nil {
								t.Error(err)
							}
							w.clock.Advance(time.Minute)
						}
					})
					w.clock.Advance(3 * time.Minute)
					second := w.start()
					defer second.db.Close()
					w.settle(second)
					if got := w.request(r.ID); got.State != ra.Issued || w.script.Asked(string(r.ID)) != 1 || len(w.script.Issued(string(r.ID))) != 1 {
						t.Errorf("asked %d times, %s, %s", w.script.Asked(string(r.ID)), got.State, got.LastError)
					}
				})
			}
		}
	})
}

// TestCrashInARenewal: the old certificate is replaced once, whatever happens.
func TestCrashInARenewal(t *testing.T) {
	each(t, func(w *world) {
		for place, id := range map[string]ra.AuthorityID{"embedded": w.inner, "scripted": w.outer} {
			spec := wifi()
			spec.RevokeReplaced, spec.Grace = true, 24
			tpl := w.template(id, spec)
			for _, label := range steps {
				w.t.Run(place+"/"+label, func(t *testing.T) {
					old := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(t, key(t)), Wait: true})
					ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Renews: old.CertificateID, CSR: csr(t, key(t)), Key: "renew " + place + label, Wait: true}
					first := w.start()
					if !first.crash(label, 1, false, func() { first.Submit(t.Context(), w.owner, ask) }) {
						t.Fatal("the step was not reached")
					}
					if c := w.certificate(old.CertificateID); label != enroll.StepDeliver && (c.State != ra.Valid || c.Action != ra.ActionAwait) {
						t.Errorf("the old certificate is %s before its successor is recorded", c.State)
					}
					w.resumed(t, w.start(), "renewal", ask)
					r := w.submit(w.owner, ask)
					if c := w.certificate(old.CertificateID); c.State != ra.Superseded || c.RenewedBy != r.CertificateID || c.Action != ra.ActionRetire {
						t.Errorf("the old certificate: %+v", c)
					}
				})
			}
		}
	})
}

// TestCrashWithChallenge: a challenge is spent together with the intent, or not
// at all.
func TestCrashWithChallenge(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.outer, wifi())
		e := must(w.CreateEndpoint(w.t.Context(), w.owner, enroll.EndpointInput{TemplateID: &tpl.ID, Name: ptr("devices")}))(w.t)
		for _, label := range steps {
			c, _, err := w.CreateChallenge(w.t.Context(), w.owner, enroll.ChallengeInput{Endpoint: e.ID, Device: w.phone.ID})
			if err != nil {
				w.t.Fatal(err)
			}
			ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Endpoint: e.ID, Challenge: c.ID, Bearer: "mark " + label, CSR: csr(w.t, key(w.t)), Key: "c" + label, Wait: true}
			first := w.start()
			first.crash(label, 1, false, func() { first.Submit(w.t.Context(), deviceActor(w.phone), ask) })
			uses := 1
			if label == enroll.StepIntent {
				uses = 0
			}
			w.read(func(tx *store.Tx) error {
				c, err = tx.Challenge(c.ID)
				if err == nil && c.Uses != uses {
					w.t.Errorf("%s: %d uses, want %d", label, c.Uses, uses)
				}
				return err
			})
			w.resumed(w.t, w.start(), label, ask)
		}
	})
}
