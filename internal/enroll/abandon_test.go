package enroll_test

import (
	"testing"
	"time"

	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
)

// TestCancelledAtTheAuthority: an authority that was asked does not know that
// nobody waits any more. It is asked until it has decided, and the certificate
// it made is recorded and revoked.
func TestCancelledAtTheAuthority(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.outer, wifi())
		w.script.Again = time.Minute
		w.script.Plan(scripted.Pend(2))
		r := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true})
		if r.State != ra.PendingAtCA {
			w.t.Fatalf("the request is %s", r.State)
		}
		must(w.Cancel(ctx, w.owner, r.ID))(w.t)
		jobs := 0
		row := w.db.Pool().QueryRowContext(ctx, "SELECT count(*) FROM river_job WHERE kind = 'enroll.abandon'")
		if err := row.Scan(&jobs); err != nil || jobs != 1 {
			w.t.Errorf("%d jobs look after the request, %v", jobs, err)
		}
		look := func() error { return w.Abandon(ctx, enroll.AbandonJob{Request: r.ID}) }
		if e := ra.AsError(look()); e.Kind != ra.Busy || e.Retry != time.Minute {
			w.t.Errorf("while the authority thinks: %+v", e)
		}
		for range 2 {
			if err := look(); err != nil {
				w.t.Fatal(err)
			}
		}
		got := w.request(r.ID)
		if got.State != ra.Cancelled || got.CertificateID == "" || len(w.script.Issued(string(r.ID))) != 1 {
			w.t.Fatalf("%+v", got)
		}
		if c := w.certificate(got.CertificateID); c.State != ra.Revoked || c.Action != ra.ActionRevoke {
			w.t.Errorf("%+v", c)
		}
		// What was cancelled before the authority was asked needs nobody.
		early := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t))})
		must(w.Cancel(ctx, w.owner, early.ID))(w.t)
		if err := w.db.Pool().QueryRowContext(ctx, "SELECT count(*) FROM river_job WHERE kind = 'enroll.abandon'").Scan(&jobs); err != nil || jobs != 1 {
			w.t.Errorf("%d jobs, %v", jobs, err)
		}
	})
}
