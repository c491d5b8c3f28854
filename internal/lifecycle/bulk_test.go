package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (w *world) states(certs []*ra.Certificate) map[ra.CertificateState]int {
	out := map[ra.CertificateState]int{}
	for _, c := range certs {
		out[w.certificate(c.ID).State]++
	}
	return out
}

// TestBulk: everything a filter finds is counted first, then revoked bit by bit;
// a crash in any part neither loses one nor counts one twice, and what is issued
// later is left alone.
func TestBulk(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.inner, onDevice())
		certs := make([]*ra.Certificate, 47)
		for i := range certs {
			certs[i] = w.issue(tpl)
		}
		other := w.issue(w.template(w.outer, onDevice()))
		must(w.Revoke(ctx, w.owner, certs[3].ID, ra.SupersededReason, ""))(w.t)
		f := store.CertificateFilter{Template: tpl.ID}
		if n := must(w.PlanBulk(ctx, w.owner, f))(w.t); n != 46 {
			w.t.Errorf("%d are planned", n)
		}
		b := must(w.RevokeAll(ctx, w.owner, f, ra.KeyCompromise, "lost"))(w.t)
		w.clock.Advance(time.Second)
		late := w.issue(tpl)
		must(w.Revoke(ctx, w.owner, certs[9].ID, ra.SupersededReason, ""))(w.t) // before its turn

		// The process dies in the second part; another node goes on.
		dead := w.start()
		parts := 0
		dead.Step = func(label string) {
			if label == lifecycle.StepRevokeRow {
				if parts++; parts == 4 { // each part is rehearsed
					panic("killed")
				}
			}
		}
		func() {
			defer func() {
				if recover() == nil {
					w.t.Error("the process lives")
				}
			}()
			dead.WorkBulk(ctx, lifecycle.BulkJob{Bulk: b.ID})
		}()
		if half := must(w.Bulk(ctx, w.owner, b.ID))(w.t); half.Revoked+half.Skipped != 20 || !half.EndedAt.IsZero() {
			w.t.Errorf("after the crash: %+v", half)
		}
		next := w.start()
		for range 2 { // a second run changes nothing
			if err := next.WorkBulk(ctx, lifecycle.BulkJob{Bulk: b.ID}); err != nil {
				w.t.Fatal(err)
			}
			done := must(w.Bulk(ctx, w.owner, b.ID))(w.t)
			if done.Total != 46 || done.Revoked != 45 || done.Failed != 0 || done.EndedAt.IsZero() {
				w.t.Errorf("at the end: %+v", done)
			}
		}
		if got := w.states(certs); got[ra.Revoked] != len(certs) {
			w.t.Errorf("states %v", got)
		}
		if got := w.states([]*ra.Certificate{late, other}); got[ra.Valid] != 2 {
			w.t.Errorf("others are %v", got)
		}
		for _, c := range certs {
			if n := w.audited("certificate.revoked", string(c.ID)); n != 1 {
				w.t.Errorf("%s is on record %d times", c.ID, n)
			}
		}
		if _, _, ok := entry(w.list(certs[0]), certs[0]); !ok {
			w.t.Error("the list lacks what was revoked")
		}
		w.promised()
	})
}

// TestBulkElsewhere: authorities that must be told are told by the sweep, and
// those that cannot be told are named as failures.
func TestBulkElsewhere(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		told, mute := w.issue(w.template(w.outer, onDevice())), w.issue(w.template(w.bare, onDevice()))
		b := must(w.RevokeAll(ctx, w.owner, store.CertificateFilter{Device: w.phone.ID}, ra.SupersededReason, ""))(w.t)
		if err := w.WorkBulk(ctx, lifecycle.BulkJob{Bulk: b.ID}); err != nil {
			w.t.Fatal(err)
		}
		b = must(w.Bulk(ctx, w.owner, b.ID))(w.t)
		if b.Revoked != 1 || b.Failed != 1 || len(b.Failures) != 1 || b.Failures[0].Certificate != mute.ID || b.Failures[0].Remedy == "" {
			w.t.Errorf("%+v", b)
		}
		if c := w.certificate(told.ID); c.State != ra.Revoked || c.Action != ra.ActionRevoke {
			w.t.Errorf("before the sweep: %s, %s", c.State, c.Action)
		}
		w.work()
		if c := w.certificate(told.ID); c.Action != ra.ActionNone {
			w.t.Errorf("after the sweep: %s, %s", c.Action, c.LastError)
		}
	})
}

// TestBulkRights: nobody revokes, or reads about, more than they may.
func TestBulkRights(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.inner, onDevice()))
		viewer, stranger, local := actor("viewer", ra.RoleViewer, w.acme), actor("stranger", ra.RoleOwner, w.other), actor("local", ra.RoleOwner, w.acme)
		for _, a := range []ra.Actor{viewer, stranger} {
			if n, err := w.PlanBulk(ctx, a, store.CertificateFilter{}); err != nil || n != 0 {
				w.t.Errorf("%s would revoke %d, %v", a.Name, n, err)
			}
			_, err := w.RevokeAll(ctx, a, store.CertificateFilter{}, ra.KeyCompromise, "")
			wantError(w.t, err, ra.Invalid)
		}
		_, err := w.RevokeAll(ctx, w.owner, store.CertificateFilter{}, ra.CertificateHold, "")
		wantError(w.t, err, ra.Invalid)
		_, err = w.RevokeAll(ctx, w.owner, store.CertificateFilter{States: []ra.CertificateState{ra.Revoked}}, ra.KeyCompromise, "")
		wantError(w.t, err, ra.Invalid)
		b := must(w.RevokeAll(ctx, local, store.CertificateFilter{}, ra.KeyCompromise, ""))(w.t)
		_, err = w.Bulk(ctx, stranger, b.ID)
		wantError(w.t, err, ra.NotFound)
		if list := must(w.Bulks(ctx, stranger))(w.t); len(list) != 0 {
			w.t.Errorf("a stranger sees %d", len(list))
		}
		if list := must(w.Bulks(ctx, local))(w.t); len(list) != 1 || list[0].ID != b.ID {
			w.t.Errorf("who ordered it sees %d", len(list))
		}
		err = w.DB.Write(ctx, func(tx *store.Tx) error { // those of others are in front of it
			for i := range 201 {
				if err := tx.CreateBulk(&store.Bulk{ID: store.BulkID(fmt.Sprintf("blk_z%03d", i)), By: w.owner}); err != nil {
					return err
				}
			}
			return nil
		})
		if list := must(w.Bulks(ctx, local))(w.t); err != nil || len(list) != 1 || list[0].ID != b.ID {
			w.t.Errorf("behind 201 of others: who ordered it sees %d, %v", len(list), err)
		}
		if list := must(w.Bulks(ctx, w.owner))(w.t); len(list) != 200 {
			w.t.Errorf("the owner sees %d of 202", len(list))
		}
		if err := w.WorkBulk(context.Background(), lifecycle.BulkJob{Bulk: b.ID}); err != nil {
			w.t.Fatal(err)
		}
		if got := w.certificate(c.ID); got.State != ra.Revoked {
			w.t.Errorf("it is %s", got.State)
		}
		if err := w.WorkBulk(ctx, lifecycle.BulkJob{Bulk: "blk_none"}); !errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
			w.t.Errorf("an unknown one: %v", err)
		}
	})
}
