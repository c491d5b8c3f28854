package store_test

import (
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestPassesWait: passes are in the list of what waits, in its order and under
// its filters, until they have ended.
func TestPassesWait(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		var passes []*ra.Pass
		for i := range 3 {
			p := w.newPass(c.Now())
			p.At, p.Deadline = c.Now().Add(time.Duration(3-i)*time.Minute), c.Now().Add(time.Duration(i)*time.Hour+time.Second)
			write(t, db, func(tx *store.Tx) error { return tx.CreatePass(p) })
			passes = append(passes, p)
		}
		ended := w.newPass(c.Now())
		ended.State, ended.Obligation = ra.PassRevoked, ra.Obligation{}
		write(t, db, func(tx *store.Tx) error { return tx.CreatePass(ended) })
		c.Advance(time.Minute)

		for name, k := range map[string]struct {
			filter store.ObligationFilter
			want   []int // of passes
		}{
			"all":                {store.ObligationFilter{}, []int{2, 1, 0}},
			"their group":        {store.ObligationFilter{Groups: []ra.GroupID{w.unit.ID}}, []int{2, 1, 0}},
			"another group":      {store.ObligationFilter{Groups: []ra.GroupID{"grp_none"}}, nil},
			"another authority":  {store.ObligationFilter{Authority: "ca_none"}, nil},
			"to be delivered":    {store.ObligationFilter{Authority: w.authority.ID, Action: ra.ActionDeliver}, []int{2, 1, 0}},
			"to be renewed":      {store.ObligationFilter{Action: ra.ActionRenew}, nil},
			"late":               {store.ObligationFilter{LateOnly: true}, []int{0}},
			"due within seconds": {store.ObligationFilter{DueBefore: c.Now().Add(time.Second)}, []int{2}},
		} {
			read(t, db, func(tx *store.Tx) error {
				var got []string
				k.filter.Limit = 2
				for {
					list, next, err := tx.FindObligations(k.filter)
					if err != nil {
						return err
					}
					for _, r := range list {
						if r.Kind != "pass" || r.Device != w.device.ID || r.Authority != w.authority.ID || r.Title != "CN=Jürgen" {
							t.Errorf("%s: %+v", name, r)
						}
						got = append(got, r.ID)
					}
					if k.filter.After = next; next == "" {
						break
					}
				}
				if len(got) != len(k.want) {
					t.Errorf("%s: %d passes, want %d", name, len(got), len(k.want))
					return nil
				}
				for i, n := range k.want {
					if got[i] != string(passes[n].ID) {
						t.Errorf("%s: place %d is taken by another", name, i)
					}
				}
				return nil
			})
		}
	})
}
