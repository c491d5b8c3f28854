package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestRenewBySweep: a certificate whose key is made here is replaced in time,
// and the old one revoked when its grace is over.
func TestRenewBySweep(t *testing.T) {
	each(t, func(w *world) {
		spec := here()
		spec.RevokeReplaced, spec.Grace, spec.Approvals = true, 48, 1
		tpl := w.template(w.outer, spec)
		r := must(w.enroll.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID}))(w.t)
		must(w.enroll.Decide(w.t.Context(), actor("boss", ra.RoleApprover, w.acme), r.ID, true, ""))(w.t)
		w.work()
		var old *ra.Certificate
		w.read(func(tx *store.Tx) (err error) { old, err = tx.CertificateByRequest(r.ID); return err })
		if old.Action != ra.ActionRenew || old.At.After(old.NotAfter.Add(-28*day)) || old.At.Before(old.NotAfter.Add(-30*day)) {
			w.t.Fatalf("%+v", old.Obligation)
		}
		w.pass(59*day, 10*day)
		if w.certificate(old.ID).State != ra.Valid {
			w.t.Error("renewed too early")
		}
		w.pass(4*day, 12*time.Hour)
		got := w.certificate(old.ID)
		if got.RenewedBy == "" {
			w.t.Fatalf("not renewed: %+v", got)
		}
		next := w.certificate(got.RenewedBy)
		if next.State != ra.Valid || next.Renews != old.ID || next.SPKIHash == old.SPKIHash || !must(w.enroll.HasKey(w.t.Context(), next.RequestID))(w.t) {
			w.t.Errorf("%+v", next)
		}
		w.pass(3*day, 12*time.Hour)
		if got = w.certificate(old.ID); got.State != ra.Revoked || got.Reason != ra.SupersededReason || w.script.Total() != 2 {
			w.t.Errorf("%+v, %d issued", got, w.script.Total())
		}
		// And so on for ever, one after the other, none twice.
		w.pass(200*day, 12*time.Hour)
		if n := w.script.Total(); n != 5 || len(w.script.Doubles()) != 0 || w.audited("certificate.overdue", "") != 0 {
			w.t.Errorf("%d certificates in 266 days, want 5; twice %v", n, w.script.Doubles())
		}
	})
}

// TestDeviceDoesNotRenew: people hear once that the device is late, and again
// when the certificate ends without a successor.
func TestDeviceDoesNotRenew(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, onDevice())
		c, renewed := w.issue(tpl), w.issue(tpl)
		w.pass(62*day, day)
		if got := w.certificate(c.ID); got.State != ra.Valid || got.LastError == "" || w.audited("certificate.overdue", string(c.ID)) != 0 {
			w.t.Errorf("%+v", got)
		}
		must(w.enroll.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Renews: renewed.ID, CSR: w.csr(), Wait: true}))(w.t)
		w.pass(14*day, day)
		if n := w.audited("certificate.overdue", string(c.ID)); n != 1 || w.certificate(c.ID).NotAfter.Sub(w.clock.Now()) < 13*day {
			w.t.Errorf("said to be overdue %d times, %s before the end", n, w.certificate(c.ID).NotAfter.Sub(w.clock.Now()))
		}
		if n := w.audited("certificate.overdue", string(renewed.ID)); n != 0 {
			w.t.Errorf("the renewed one is overdue %d times", n)
		}
		w.pass(20*day, day)
		if got := w.certificate(c.ID); got.State != ra.Expired || got.Action != ra.ActionNone || w.audited("certificate.overdue", string(c.ID)) != 1 {
			w.t.Errorf("%+v", got)
		}
		if !has(w.log.String(), "expired without a successor") || w.audited("certificate.expired", string(c.ID)) != 1 || w.audited("certificate.expired", string(renewed.ID)) != 1 {
			w.t.Error("the end is not in log and audit log once")
		}
	})
}

func (w *world) csr() []byte {
	w.t.Helper()
	return csrOf(w.t, w.key())
}

// TestRenewalFails: a renewal the authority refuses is tried again later and
// later, its reason is where people look, and at the end it is loud.
func TestRenewalFails(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.outer, here()))
		for range 400 {
			w.script.Plan(scripted.Refuse)
		}
		w.pass(62*day, day)
		w.pass(30*time.Minute, 10*time.Minute)
		got := w.certificate(c.ID)
		if got.Action != ra.ActionRenew || got.Attempts == 0 || !has(got.LastError, "refused the request") || !got.At.After(w.clock.Now()) {
			w.t.Errorf("%+v", got.Obligation)
		}
		w.pass(2*day, time.Hour)
		if n := w.certificate(c.ID).Attempts - got.Attempts; n < 7 || n > 10 {
			w.t.Errorf("%d attempts in two days, want one every six hours", n)
		}
		w.pass(12*day, 6*time.Hour)
		if n := w.audited("certificate.overdue", string(c.ID)); n != 1 {
			w.t.Errorf("said to be overdue %d times", n)
		}
		w.pass(16*day, 6*time.Hour)
		if got := w.certificate(c.ID); got.State != ra.Expired || got.Action != ra.ActionNone || !has(w.log.String(), "expired without a successor") {
			w.t.Errorf("%+v", got)
		}
	})
}

// TestRenewalWaits: an authority that is switched off, or a blocked device,
// only delays a renewal, and nothing is done twice afterwards.
func TestRenewalWaits(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.outer, here()))
		must(w.authorities.Update(ctx, w.owner, w.outer, authority.Input{Disabled: ptr(true)}))(w.t)
		w.pass(65*day, 6*time.Hour)
		if got := w.certificate(c.ID); got.State != ra.Valid || w.script.Total() != 1 {
			w.t.Errorf("%+v", got)
		}
		must(w.authorities.Update(ctx, w.owner, w.outer, authority.Input{Disabled: ptr(false)}))(w.t)
		w.pass(day, time.Hour)
		got := w.certificate(c.ID)
		if got.State != ra.Superseded || w.script.Total() != 2 {
			w.t.Fatalf("%+v, %d issued", got, w.script.Total())
		}
		next := w.certificate(got.RenewedBy)
		must(w.inv.BlockDevice(ctx, w.owner, w.phone.ID))(w.t)
		w.pass(63*day, 6*time.Hour)
		if got := w.certificate(next.ID); got.State != ra.Valid || !has(got.LastError, "blocked") || w.script.Total() != 2 {
			w.t.Errorf("%+v", got)
		}
		must(w.inv.EnrolDevice(ctx, w.owner, w.phone.ID))(w.t)
		w.pass(day, time.Hour)
		if got := w.certificate(next.ID); got.State != ra.Superseded || w.script.Total() != 3 {
			w.t.Errorf("%+v, %d issued", got, w.script.Total())
		}
	})
}

func TestRenewNow(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		spec := here()
		spec.Approvals = 1
		tpl := w.template(w.outer, spec)
		r := must(w.enroll.Submit(ctx, w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID}))(w.t)
		boss := actor("boss", ra.RoleManager, w.acme)
		must(w.enroll.Decide(ctx, boss, r.ID, true, ""))(w.t)
		w.work()
		var c *ra.Certificate
		w.read(func(tx *store.Tx) (err error) { c, err = tx.CertificateByRequest(r.ID); return err })

		for name, k := range map[string]struct {
			actor ra.Actor
			kind  ra.Kind
		}{"another organization": {actor("o", ra.RoleOwner, w.other), ra.NotFound}, "may only look": {actor("v", ra.RoleViewer, w.acme), ra.Denied}} {
			_, err := w.Renew(ctx, k.actor, c.ID, true)
			if ra.KindOf(err) != k.kind {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		_, err := w.Renew(ctx, actor("o", ra.RoleOwner, w.other), w.issue(w.template(w.outer, onDevice())).ID, true)
		wantError(w.t, err, ra.NotFound)
		_, err = w.Renew(ctx, w.owner, w.issue(w.template(w.outer, onDevice())).ID, true)
		if e := wantError(w.t, err, ra.Invalid); !has(e.Message, "on the device") {
			w.t.Errorf("%+v", e)
		}
		own := must(w.Own(ctx, w.inner, ra.PurposeOCSP))(w.t)
		_, err = w.Renew(ctx, w.owner, own[0].Row.ID, true)
		wantError(w.t, err, ra.Invalid)

		// A person asks: it waits for approval, and asking again is the same.
		first := must(w.Renew(ctx, w.owner, c.ID, true))(w.t)
		again := must(w.Renew(ctx, w.owner, c.ID, true))(w.t)
		if first.State != ra.AwaitingApproval || again.ID != first.ID {
			w.t.Errorf("%+v, %s", first, again.ID)
		}
		// A no is a no to this one; cancelled is forgotten.
		must(w.enroll.Decide(ctx, boss, first.ID, false, ""))(w.t)
		second := must(w.Renew(ctx, w.owner, c.ID, true))(w.t)
		if second.ID == first.ID || second.State != ra.AwaitingApproval {
			w.t.Errorf("%+v", second)
		}
		must(w.enroll.Cancel(ctx, w.owner, second.ID))(w.t)
		third := must(w.Renew(ctx, w.owner, c.ID, true))(w.t)
		if third.ID == second.ID {
			w.t.Errorf("%+v", third)
		}
		must(w.enroll.Decide(ctx, boss, third.ID, true, ""))(w.t)
		w.work()
		if done := must(w.Renew(ctx, w.owner, c.ID, true))(w.t); done.ID != third.ID || done.State != ra.Issued || w.certificate(c.ID).State != ra.Superseded {
			w.t.Errorf("%+v", done)
		}
	})
}

// TestActLooksFirst: a job that runs twice, or too early, does nothing.
func TestActLooksFirst(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.outer, here()))
		act := func() {
			if err := w.Act(w.t.Context(), lifecycle.ActJob{Certificate: c.ID}); err != nil {
				w.t.Errorf("%v", err)
			}
		}
		act()
		if got := w.certificate(c.ID); !got.UpdatedAt.Equal(c.UpdatedAt) {
			w.t.Errorf("%+v", got)
		}
		w.clock.Advance(62 * day)
		for range 3 {
			act()
		}
		w.work()
		act()
		if w.script.Total() != 2 {
			w.t.Errorf("%d issued", w.script.Total())
		}
		if err := w.Act(w.t.Context(), lifecycle.ActJob{Certificate: "crt_x"}); ra.KindOf(err) != ra.NotFound {
			w.t.Errorf("%v", err)
		}
	})
}

// TestCrashInARenewalBySweep: the server dies at each step of a renewal it
// began by itself; the next one goes on, and one successor comes of it.
func TestCrashInARenewalBySweep(t *testing.T) {
	each(t, func(w *world) {
		for _, id := range []ra.AuthorityID{w.inner, w.outer} {
			for _, label := range []string{enroll.StepIntent, enroll.StepAnswer, enroll.StepRecord, enroll.StepDeliver} {
				c := w.issue(w.template(id, here()))
				w.clock.Advance(62 * day)
				dead := w.start()
				dead.enroll.Step = func(step string) {
					if step == label {
						panic(label)
					}
				}
				func() {
					defer func() {
						if v := recover(); v != label {
							w.t.Errorf("%s: the step was not reached: %v", label, v)
						}
					}()
					if err := dead.Act(context.Background(), lifecycle.ActJob{Certificate: c.ID}); err != nil {
						w.t.Error(err)
					}
					for _, r := range w.open(c.ID) {
						if err := dead.enroll.Work(context.Background(), enroll.IssueJob{Request: r}); err != nil {
							w.t.Error(err)
						}
					}
				}()
				dead.db.Close()
				w.pass(3*time.Hour, 3*time.Minute)
				got := w.certificate(c.ID)
				if got.State != ra.Superseded {
					w.t.Fatalf("%s: %+v", label, got)
				}
				w.read(func(tx *store.Tx) error {
					list, _, err := tx.FindCertificates(store.CertificateFilter{Template: c.TemplateID})
					if err == nil && len(list) != 2 {
						w.t.Errorf("%s: %d certificates", label, len(list))
					}
					return err
				})
			}
		}
		if len(w.script.Doubles()) != 0 {
			w.t.Errorf("issued twice: %v", w.script.Doubles())
		}
	})
}

// open lists the unfinished requests that renew a certificate.
func (w *world) open(id ra.CertificateID) (list []ra.RequestID) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		r, err := tx.RenewalRequest(id)
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		if err == nil {
			list = append(list, r.ID)
		}
		return err
	})
	return list
}

// TestQueue runs the real queue: what is due when it starts is done, and the
// regular work is put.
func TestQueue(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.inner, here()))
		w.clock.Advance(62 * day)
		w.enroll.Handle()
		w.Handle()
		if err := w.queue.Start(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		for until := time.Now().Add(20 * time.Second); w.certificate(c.ID).State == ra.Valid && time.Now().Before(until); {
			time.Sleep(50 * time.Millisecond)
		}
		if err := w.queue.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
		if got := w.certificate(c.ID); got.State != ra.Superseded {
			w.t.Errorf("%+v", got)
		}
		w.read(func(tx *store.Tx) error {
			crl, err := tx.CRLState(c.IssuerHash, "")
			if err != nil || crl.Number == 0 {
				w.t.Errorf("CRL %d, %v", crl.Number, err)
			}
			return nil
		})
	})
}

// TestListsAreScoped: certificates, counts, obligations and the calendar show
// what the actor may see.
func TestListsAreScoped(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.inner, onDevice()))
		for name, k := range map[string]struct {
			actor ra.Actor
			n     int
		}{"owner": {w.owner, 1}, "viewer": {actor("v", ra.RoleViewer, w.acme), 1}, "another organization": {actor("o", ra.RoleOwner, w.other), 0}, "nobody": {ra.Actor{}, 0}} {
			list, _, err := w.FindCertificates(ctx, k.actor, store.CertificateFilter{})
			if err != nil || len(list) != k.n {
				w.t.Errorf("%s: %d certificates, %v", name, len(list), err)
			}
			counts, err := w.CountCertificates(ctx, k.actor, store.CertificateFilter{})
			if err != nil || len(counts) != k.n {
				w.t.Errorf("%s: counts %v, %v", name, counts, err)
			}
			waiting, _, err := w.FindObligations(ctx, k.actor, store.ObligationFilter{})
			if err != nil || len(waiting) != k.n {
				w.t.Errorf("%s: %d wait, %v", name, len(waiting), err)
			}
			days, err := w.Calendar(ctx, k.actor, 120)
			if err != nil || len(days) != k.n {
				w.t.Errorf("%s: calendar %v, %v", name, days, err)
			}
			_, err = w.Certificate(ctx, k.actor, c.ID)
			if (err == nil) != (k.n == 1) {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		if list, _, err := w.FindCertificates(ctx, w.owner, store.CertificateFilter{Groups: []ra.GroupID{w.other.ID}}); err != nil || len(list) != 0 {
			w.t.Errorf("narrowed to another group: %d, %v", len(list), err)
		}
		_, _, err := w.FindCertificates(ctx, actor("v", ra.RoleViewer, w.acme), store.CertificateFilter{Groups: []ra.GroupID{w.other.ID}})
		wantError(w.t, err, ra.NotFound)
	})
}
