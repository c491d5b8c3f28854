package store_test

import (
	"slices"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestPostures: a posture is replaced whole, authorities are due as their version
// and time say, and dangers wait in the list of obligations while somebody owes
// something for them.
func TestPostures(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		id, kinds := w.authority.ID, []string{"none", w.authority.Kind}
		due := func() (n int) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				list, err := tx.DuePostures(kinds)
				n = 0
				for _, d := range list {
					if d == id {
						n++
					}
				}
				return err
			})
			return n
		}
		if due() != 1 {
			t.Error("one that was never looked at is due")
		}
		p := &ra.Posture{ID: id, Version: w.authority.UpdatedAt, Evaluated: c.Now(), Report: ra.PostureReport{By: "chancery", Account: "svc", ReadAt: c.Now(),
			Findings: []ra.Finding{{Condition: "ESC1", Key: "ESC1:x", State: ra.FindingFound, Severity: ra.SeverityDanger, Who: []ra.Principal{{SID: "S-1-1-0", Name: "Everyone"}}}}},
			Obligation: ra.Obligation{Action: ra.ActionEvaluate, At: c.Now().Add(time.Hour), Deadline: c.Now().Add(2 * time.Hour)}}
		for range 2 {
			write(t, db, func(tx *store.Tx) error { return tx.PutPosture(p) })
		}
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Posture(id)
			if err == nil && (!got.Evaluated.Equal(p.Evaluated) || !got.Version.Equal(p.Version) || got.Report.Findings[0].Who[0].Name != "Everyone" || !got.At.Equal(p.At) || got.Report.Account != "svc") {
				t.Errorf("%+v", got)
			}
			return err
		})
		if due() != 0 {
			t.Error("due too early")
		}
		c.Advance(time.Hour)
		if due() != 1 {
			t.Error("not due in time")
		}

		danger := &ra.Danger{ID: ra.NewID[ra.DangerID](ra.DangerPrefix, c.Now()), AuthorityID: id, Seen: c.Now(), Finding: ra.Finding{Condition: "ESC1", Key: "ESC1:x", Object: "X", Hash: "h", State: ra.FindingFound, Severity: ra.SeverityDanger},
			Obligation: ra.Obligation{Action: ra.ActionMend, At: c.Now(), Deadline: c.Now().Add(time.Hour), LastError: "why"}}
		write(t, db, func(tx *store.Tx) error { return tx.CreateDanger(danger) })
		again := *danger
		again.ID = ra.NewID[ra.DangerID](ra.DangerPrefix, c.Now())
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateDanger(&again) }); ra.KindOf(err) != ra.Conflict {
			t.Errorf("one finding twice: %v", err)
		}
		waiting := func(f store.ObligationFilter) (titles []string) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				list, _, err := tx.FindObligations(f)
				titles = nil
				for _, o := range list {
					if o.Authority != id || o.GroupID != w.authority.GroupID {
						t.Errorf("%+v", o)
					}
					titles = append(titles, o.Kind+" "+o.Title)
				}
				return err
			})
			return titles
		}
		for name, k := range map[string]struct {
			filter store.ObligationFilter
			want   []string
		}{
			"by authority": {store.ObligationFilter{Authority: id}, []string{"posture " + w.authority.Name, "danger ESC1 X"}},
			"of its group": {store.ObligationFilter{Groups: []ra.GroupID{w.authority.GroupID}, Action: ra.ActionMend}, []string{"danger ESC1 X"}},
			"elsewhere":    {store.ObligationFilter{Groups: []ra.GroupID{"grp_none"}}, nil},
			"late":         {store.ObligationFilter{LateOnly: true}, nil},
		} {
			got := waiting(k.filter)
			slices.Sort(got)
			slices.Sort(k.want)
			if !slices.Equal(got, k.want) {
				t.Errorf("%s: %q, want %q", name, got, k.want)
			}
		}
		late := func() (n int) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				dangers, err := tx.OverdueDangers()
				if err != nil {
					return err
				}
				postures, err := tx.OverduePostures()
				n = len(dangers) + len(postures)
				return err
			})
			return n
		}
		if late() != 0 {
			t.Error("late too early")
		}
		c.Advance(2 * time.Hour)
		if late() != 2 {
			t.Errorf("%d are late", late())
		}

		write(t, db, func(tx *store.Tx) error {
			list, err := tx.Dangers(id)
			if err != nil {
				return err
			}
			if len(list) != 1 || list[0].Finding.Object != "X" || list[0].LastError != "why" || !list[0].Open() {
				t.Errorf("%+v", list)
			}
			d := list[0]
			d.SignOff, d.Obligation = ra.SignOff{Hash: "h", By: "Olga", Why: "closed", At: tx.Now}, ra.Obligation{}
			return tx.UpdateDanger(d)
		})
		if got := waiting(store.ObligationFilter{Action: ra.ActionMend}); len(got) != 0 || late() != 1 {
			t.Errorf("signed off, and still waiting: %q", got)
		}
		read(t, db, func(tx *store.Tx) error {
			d, err := tx.Danger(danger.ID)
			if err == nil && (d.Open() || d.Lapsed() || d.SignOff.By != "Olga") {
				t.Errorf("%+v", d)
			}
			return err
		})
		write(t, db, func(tx *store.Tx) error {
			a, err := tx.Authority(id)
			if err != nil {
				return err
			}
			a.Disabled = true
			return tx.UpdateAuthority(a)
		})
		if due() != 0 || late() != 0 || len(waiting(store.ObligationFilter{Authority: id})) != 0 {
			t.Error("one that is switched off waits")
		}
		write(t, db, func(tx *store.Tx) error {
			if err := tx.DeleteDanger(danger.ID); err != nil {
				return err
			}
			return tx.DeletePosture(id)
		})
	})
}
