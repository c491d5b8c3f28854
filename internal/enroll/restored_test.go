package enroll_test

import (
	"testing"

	"chancery/internal/enroll"
	"chancery/internal/ra"
)

// TestRestored stops requests where a backup may find them and deals with them
// as after a restore: an authority of this house gives what it had decided, one
// that can be searched is left for the planner to search, and where nobody can
// know the request ends and may be asked again.
func TestRestored(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		want := map[string]ra.RequestState{"decided": ra.Issued, "elsewhere": ra.Submitted}
		under := map[string]enroll.Ask{}
		for place, id := range map[string]ra.AuthorityID{"decided": w.inner, "undecided": w.inner, "elsewhere": w.outer, "bare": w.bare} {
			ask := enroll.Ask{Template: w.template(id, vpn()).ID, Device: w.tablet.ID, Key: place, Wait: true}
			first := w.start()
			if place == "decided" { // an authority that is open decides before the request is written
				if _, err := first.Submit(t.Context(), w.owner, enroll.Ask{Template: w.template(id, vpn()).ID, Device: w.phone.ID, Key: "before", Wait: true}); err != nil {
					t.Fatal(err)
				}
			}
			if !first.crash(enroll.StepAsk, 1, false, func() { first.Submit(t.Context(), w.owner, ask) }) {
				t.Fatalf("%s: the step was not reached", place)
			}
			under[place] = ask
		}
		node := w.start()
		defer node.db.Close()
		answered, ended, left, err := node.Restored(t.Context())
		if err != nil || answered != 1 || ended != 2 || left != 1 {
			t.Fatalf("%d answered, %d ended, %d left, %v", answered, ended, left, err)
		}
		for place, ask := range under {
			if want[place] == "" {
				continue // it ended and its key is free again: asking is a new request
			}
			r, err := node.Submit(t.Context(), w.owner, ask)
			if err != nil || r.State != want[place] {
				t.Errorf("%s: %+v, %v; want %s", place, r, err, want[place])
			}
		}
		// What was left is searched for, found missing, and asked for once.
		w.settle(node)
		for place, ask := range under {
			r, err := node.Submit(t.Context(), w.owner, ask)
			if err != nil || r.State != ra.Issued {
				t.Errorf("%s, asked again: %+v, %v", place, r, err)
			}
		}
		if doubles := w.script.Doubles(); len(doubles) != 0 {
			t.Errorf("issued twice: %v", doubles)
		}
		again, ended, left, err := node.Restored(t.Context())
		if err != nil || again+ended+left != 0 {
			t.Errorf("a second time: %d, %d, %d, %v", again, ended, left, err)
		}
	})
}
