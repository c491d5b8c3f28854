package authority_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestSilentAuthority: an authority that does not answer is asked by one call
// at a time, people hear of it once, whichever node met it, and of its return.
func TestSilentAuthority(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a := w.create("scripted", "Far away", settings)
		o := must(w.Open(ctx, a.ID))(w.t)
		asked := 0
		lost := func(ca.Connector) error {
			asked++
			return ra.Errorf(ra.Unreachable, "The line broke.").WithRemedy("Mend it.")
		}
		fine := func(ca.Connector) error { asked++; return nil }
		watch := func() *store.Outage {
			w.t.Helper()
			var down *store.Outage
			if err := w.DB.Write(ctx, func(tx *store.Tx) (err error) { down, err = authority.Watch(tx, a); return err }); err != nil {
				w.t.Fatal(err)
			}
			return down
		}
		budget := func() int { return must(o.Budget(ctx, 5*time.Second))(w.t).Calls }

		// A no is an answer, and so is trouble of our own.
		for range 4 {
			o.Do(ctx, lost)
		}
		o.Do(ctx, func(ca.Connector) error {
			return ra.Errorf(ra.RefusedByCA, "No.").WithRemedy("Ask for something else.")
		})
		for range 4 {
			o.Do(ctx, lost)
		}
		o.Do(ctx, func(ca.Connector) error { return context.Canceled })
		if watch() != nil {
			w.t.Fatal("it is down before five calls in a row went unanswered")
		}
		o.Do(ctx, lost)
		if down := watch(); down == nil || !strings.Contains(down.LastError, "line broke") || budget() != 0 {
			w.t.Fatalf("%+v, budget %d", down, budget())
		}
		// Nobody else's attempt is spent on it.
		asked = 0
		for range 50 {
			if e := wantError(w.t, o.Do(ctx, fine), ra.Unreachable); e.Retry <= 0 || !strings.Contains(e.Message, "Far away") {
				w.t.Errorf("%+v", e)
			}
		}
		if asked != 0 {
			w.t.Errorf("asked %d times", asked)
		}
		for range 200 { // three days
			w.clock.Advance(22 * time.Minute)
			if budget() != 1 {
				w.t.Fatalf("budget %d when it is time to look", budget())
			}
			var inside error
			o.Do(ctx, func(c ca.Connector) error {
				inside = o.Do(ctx, fine) // beside the one that looks
				return lost(c)
			})
			wantError(w.t, inside, ra.Unreachable)
			watch()
		}
		if n := len(w.audited("authority.down", string(a.ID))); n != 1 || asked != 200 {
			w.t.Errorf("told %d times, asked %d times", n, asked)
		}
		// Another node, which has no trouble, finds it back.
		w.clock.Advance(time.Minute)
		other := &authority.Service{DB: w.DB, Box: w.Box, Kinds: w.Kinds, Now: w.Now, Log: w.Log}
		far := must(other.Open(ctx, a.ID))(w.t)
		if err := far.Do(ctx, fine); err != nil {
			w.t.Fatal(err)
		}
		w.clock.Advance(time.Minute)
		if err := far.Do(ctx, fine); err != nil {
			w.t.Fatal(err)
		}
		up := w.audited("authority.up", string(a.ID))
		if watch() != nil || len(up) != 1 || !strings.Contains(up[0].Message, "73h") || budget() == 0 {
			w.t.Errorf("%+v, budget %d", up, budget())
		}
		w.clock.Advance(10 * time.Minute)
		if err := o.Do(ctx, fine); err != nil { // this node's turn to find out
			w.t.Error(err)
		}
		if err := o.Do(ctx, fine); err != nil || len(w.audited("authority.up", string(a.ID))) != 1 {
			w.t.Error(err)
		}
		// What was learnt is there for the forecast.
		w.read(func(tx *store.Tx) error {
			e, hours, err := tx.Experience(a.ID, 7*24*time.Hour)
			if e.Calls < 200 || e.Failures < 200 || hours < 73 || hours > 76 {
				w.t.Errorf("%+v in %d hours", e, hours)
			}
			return err
		})
	})
}
