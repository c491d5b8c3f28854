package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// together runs f n times at once and gives the errors.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// onlyOne wants exactly one success; all others have failed with a kind.
func onlyOne(t *testing.T, what string, errs []error, kind ra.Kind) {
	t.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantKind(t, what, err, kind)
		}
	}
	if won != 1 {
		t.Errorf("%s: got %d successes, want 1", what, won)
	}
}

func (w *world) newChallenge(now time.Time, uses int) *ra.Challenge {
	c := &ra.Challenge{ID: id[ra.ChallengeID](ra.ChallengePrefix, now), EndpointID: w.endpoint.ID, TemplateID: w.template.ID,
		DeviceID: w.device.ID, MaxUses: uses, ExpiresAt: now.Add(time.Hour), CreatedBy: "root"}
	c.Hash = "h" + string(c.ID)
	return c
}

func TestChallenge(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		once, twice := w.newChallenge(c.Now(), 1), w.newChallenge(c.Now(), 2)
		write(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreateChallenge(once), tx.CreateChallenge(twice)) })
		onlyOne(t, "20 users of a one-time challenge", together(20, func(i int) error {
			return db.Write(t.Context(), func(tx *store.Tx) error { return tx.UseChallenge(once.ID, ra.RequestID(fmt.Sprint("req_", i))) })
		}), ra.Conflict)
		use := func(n *ra.Challenge, r ra.RequestID) error {
			return db.Write(t.Context(), func(tx *store.Tx) error { return tx.UseChallenge(n.ID, r) })
		}
		for _, r := range []ra.RequestID{"req_a", "req_b"} {
			if err := use(twice, r); err != nil {
				t.Errorf("use for %s: %v", r, err)
			}
		}
		wantKind(t, "a third use", use(twice, "req_c"), ra.Conflict)
		wantKind(t, "use of nothing", use(&ra.Challenge{ID: "chl_none"}, "req_c"), ra.NotFound)
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.ReleaseChallenge(""), tx.ReleaseChallenge("req_b"), tx.ReleaseChallenge("req_b"))
		})
		read(t, db, func(tx *store.Tx) error {
			n, err := tx.ChallengeByHash(twice.Hash)
			if err == nil && (n.Uses != 1 || n.RequestID != "") {
				t.Errorf("after the release: got %d uses for %q, want 1 for none", n.Uses, n.RequestID)
			}
			found, _, err2 := tx.FindChallenges(store.ChallengeFilter{Device: w.device.ID, Endpoint: w.endpoint.ID, OpenOnly: true})
			if len(found) != 1 || found[0].ID != twice.ID {
				t.Errorf("open challenges: got %d, want the released one", len(found))
			}
			return errors.Join(err, err2)
		})
		c.Advance(time.Hour)
		wantKind(t, "use when it expires", use(twice, "req_d"), ra.Conflict)
		c.Advance(time.Millisecond)
		write(t, db, func(tx *store.Tx) error {
			n, err := tx.SweepChallenges(tx.Now)
			if n != 2 {
				t.Errorf("swept: got %d, want 2", n)
			}
			return err
		})
		refused(t, db, "a swept challenge", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Challenge(once.ID); return err })
		refused(t, db, "delete of a swept challenge", ra.NotFound, func(tx *store.Tx) error { return tx.DeleteChallenge(once.ID) })
	})
}

func TestLink(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		link := store.Link{Hash: "h1", Purpose: "sign-in", Subject: "adm_1", ExpiresAt: c.Now().Add(time.Minute)}
		late := store.Link{Hash: "h2", Purpose: "sign-in", Subject: "adm_1", ExpiresAt: c.Now().Add(time.Minute)}
		write(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreateLink(link), tx.CreateLink(late)) })
		refused(t, db, "the same link", ra.Conflict, func(tx *store.Tx) error { return tx.CreateLink(link) })
		refused(t, db, "another purpose", ra.NotFound, func(tx *store.Tx) error { _, err := tx.UseLink("h1", "download"); return err })
		onlyOne(t, "20 users of a link", together(20, func(int) error {
			return db.Write(t.Context(), func(tx *store.Tx) error {
				subject, err := tx.UseLink("h1", "sign-in")
				if err == nil && subject != "adm_1" {
					return fmt.Errorf("got subject %q", subject)
				}
				return err
			})
		}), ra.NotFound)
		c.Advance(time.Minute)
		refused(t, db, "an expired link", ra.NotFound, func(tx *store.Tx) error { _, err := tx.UseLink("h2", "sign-in"); return err })
		c.Advance(time.Minute)
		write(t, db, func(tx *store.Tx) error {
			n, err := tx.SweepLinks(tx.Now)
			if n != 2 {
				t.Errorf("swept: got %d, want 2", n)
			}
			return err
		})
	})
}

func TestApproval(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		r := w.newRequest(c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateRequest(r) })
		decide := func(id string, by ra.Actor) error {
			return db.Write(t.Context(), func(tx *store.Tx) error {
				return tx.CreateApproval(&ra.Approval{ID: ra.ApprovalID("apv_" + id), RequestID: r.ID, By: by, Approve: true, Comment: "fine"})
			})
		}
		jane := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "jane", Via: "console"}
		onlyOne(t, "one person at two doors", together(2, func(i int) error {
			by := jane
			by.Via = []string{"api", "console"}[i]
			return decide(fmt.Sprint(i), by)
		}), ra.Conflict)
		if err := decide("other kind", ra.Actor{Kind: ra.ActorToken, ID: "adm_1", Name: "jane"}); err != nil {
			t.Error(err)
		}
		if err := decide("local", ra.Actor{Kind: ra.ActorLocal, Name: "root"}); err != nil {
			t.Error(err)
		}
		wantKind(t, "the local owner again", decide("local 2", ra.Actor{Kind: ra.ActorLocal, Name: "root"}), ra.Conflict)
		read(t, db, func(tx *store.Tx) error {
			all, err := tx.Approvals(r.ID)
			if len(all) != 3 || all[0].By.Name == "" || !all[0].Approve || !all[0].At.Equal(c.Now()) {
				t.Errorf("approvals: got %d, first %+v", len(all), all[0])
			}
			return err
		})
	})
}

// A change of a noun that is loaded without a lock must not undo another.
func TestChangesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		const n = 8
		errs := together(n, func(int) error {
			for { // Write gives up when it lost too often
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					n, err := tx.Template(w.template.ID)
					if err != nil {
						return err
					}
					n.Revision++
					return tx.UpdateTemplate(n)
				})
				if ra.KindOf(err) != ra.Conflict {
					return err
				}
			}
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Template(w.template.ID)
			if err == nil && got.Revision != 1+n {
				t.Errorf("revision after %d changes at once: got %d, want %d", n, got.Revision, 1+n)
			}
			return err
		})
		old := *w.template // loaded before all of them
		refused(t, db, "a change of what was loaded long ago", ra.Conflict, func(tx *store.Tx) error { n := old; return tx.UpdateTemplate(&n) })
		write(t, db, func(tx *store.Tx) error {
			n := old
			n.Times = ra.Times{} // never loaded
			return tx.UpdateTemplate(&n)
		})
	})
}

func TestReadDoesNotChange(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		read(t, db, func(tx *store.Tx) error {
			before, err := tx.CountDevices(nil)
			if err != nil {
				return err
			}
			write(t, db, func(tx *store.Tx) error { return tx.CreateDevice(newDevice(w.unit.ID, c.Now())) })
			after, err := tx.CountDevices(nil)
			same(t, "counts in one Read", after, before)
			return err
		})
		read(t, db, func(tx *store.Tx) error {
			after, err := tx.CountDevices([]ra.GroupID{w.unit.ID})
			same(t, "counts in the next Read", after, []store.Count{{Key: "ios", N: 2}})
			return err
		})
		if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.PutFact("a", "b") }); err == nil {
			t.Error("Read could write")
		}
	})
}

func TestWriteIsAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		failure := errors.New("no")
		err := db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.PutFact("a", "1"), failure) })
		if !errors.Is(err, failure) {
			t.Errorf("got %v, want %v", err, failure)
		}
		func() {
			defer func() { recover() }()
			db.Write(t.Context(), func(tx *store.Tx) error { tx.PutFact("a", "2"); panic("no") })
		}()
		ctx, cancel := context.WithCancel(t.Context())
		if err := db.Write(ctx, func(tx *store.Tx) error { err := tx.PutFact("a", "3"); cancel(); return err }); err == nil {
			t.Error("a cancelled Write was committed")
		}
		refused(t, db, "the fact", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Fact("a"); return err })
	})
}

func TestDueRequestsAreTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		write(t, db, func(tx *store.Tx) error {
			for range 10 {
				if err := tx.CreateRequest(w.newRequest(c.Now())); err != nil {
					return err
				}
			}
			later := w.newRequest(c.Now())
			later.At = c.Now().Add(time.Minute)
			done := w.newRequest(c.Now())
			done.State, done.Obligation = ra.Failed, ra.Obligation{}
			return errors.Join(tx.CreateRequest(later), tx.CreateRequest(done))
		})
		take := func(tx *store.Tx, limit int) (ids []ra.RequestID, err error) {
			due, err := tx.DueRequests(w.authority.ID, store.NewLine, []ra.Action{ra.ActionIssue, ra.ActionFetch}, limit)
			for _, r := range due {
				ids = append(ids, r.ID)
			}
			return ids, err
		}
		if db.Engine() == "sqlite" { // the one writer has them all to itself
			write(t, db, func(tx *store.Tx) error {
				all, err := take(tx, 20)
				if len(all) != 10 {
					t.Errorf("due: got %d, want 10", len(all))
				}
				return err
			})
			return
		}
		write(t, db, func(tx *store.Tx) error {
			first, err := take(tx, 6)
			if err != nil {
				return err
			}
			var second []ra.RequestID
			err = db.Write(t.Context(), func(tx *store.Tx) (err error) { second, err = take(tx, 20); return err })
			if len(first) != 6 || len(second) != 4 || slices.ContainsFunc(second, func(id ra.RequestID) bool { return slices.Contains(first, id) }) {
				t.Errorf("two takers got %v and %v, want 6 and the other 4", first, second)
			}
			return err
		})
	})
}

func TestRowsAreLockedWhenLoaded(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		errs := together(10, func(int) error {
			return db.Write(t.Context(), func(tx *store.Tx) error {
				d, err := tx.Device(w.device.ID)
				if err != nil {
					return err
				}
				d.Attributes["asset"] += "+"
				return tx.UpdateDevice(d)
			})
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx *store.Tx) error {
			d, err := tx.Device(w.device.ID)
			if err == nil && d.Attributes["asset"] != "4711++++++++++" {
				t.Errorf("ten changes at once: got %q", d.Attributes["asset"])
			}
			return err
		})
	})
}

// Two transactions that wait for each other on PostgreSQL both end well.
func TestDeadlockIsTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		other := newDevice(w.unit.ID, c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateDevice(other) })
		pair := []ra.DeviceID{w.device.ID, other.ID}
		errs := together(2, func(i int) error {
			return db.Write(t.Context(), func(tx *store.Tx) error {
				for _, id := range []ra.DeviceID{pair[i], pair[1-i]} {
					d, err := tx.Device(id)
					if err != nil {
						return err
					}
					d.Attributes["asset"] += "+"
					if err := tx.UpdateDevice(d); err != nil {
						return err
					}
					time.Sleep(100 * time.Millisecond) // lets the other one lock its first device
				}
				return tx.Append(entry(i))
			})
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx *store.Tx) error {
			for _, id := range pair {
				d, err := tx.Device(id)
				if err != nil {
					return err
				}
				if d.Attributes["asset"] != "4711++" {
					t.Errorf("after both: got %q, want both changes", d.Attributes["asset"])
				}
			}
			return nil
		})
		if r := verify(t, db); r.Entries != 2 || r.Problem != "" {
			t.Errorf("audit log: %+v", r)
		}
	})
}
