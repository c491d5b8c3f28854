package store_test

import (
	"slices"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func (w *world) newPass(now time.Time) *ra.Pass {
	p := &ra.Pass{ID: id[ra.PassID](ra.PassPrefix, now), GroupID: w.unit.ID, AuthorityID: w.authority.ID, TemplateID: w.template.ID, TemplateRev: 3,
		DeviceID: w.device.ID, UserID: w.user.ID, Model: ra.PassProxy, State: ra.PassIssued, SealedToken: []byte{1, 2}, Subject: "CN=Jürgen", Marker: "sceprenew-1",
		Fill: []byte(`{"subject":"CN=x"}`), MaxMessages: 9, Renews: "crt_old", ExpiresAt: now.Add(time.Hour), CreatedBy: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "Ann"},
		Obligation: ra.Obligation{Action: ra.ActionDeliver, At: now.Add(time.Minute), Deadline: now.Add(time.Hour)}}
	p.Hash = "h" + string(p.ID)
	return p
}

func TestPasses(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		p := w.newPass(c.Now())
		roundTrip[ra.Pass]{noun: p,
			change: func(p *ra.Pass) {
				p.State, p.SealedToken, p.TransactionID, p.SignerHash, p.Messages, p.Failures = ra.PassClaimed, nil, "T", "aa", 2, 1
				p.PKIStatus, p.FailInfo, p.CertificateID, p.Confirmed, p.RenewAt = "failure", "badRequest", "crt_1", true, c.Now().Add(time.Hour)
				p.Challenges, p.RevealedAt, p.ChallengeUntil, p.Hops, p.Reason = 2, c.Now(), c.Now().Add(time.Minute), 4, "r"
				p.Obligation = ra.Obligation{Action: ra.ActionAwait, At: c.Now(), Deadline: c.Now(), Attempts: 1, LastError: "e", Escalated: c.Now()}
			},
			load: func(tx *store.Tx) (*ra.Pass, error) { return tx.Pass(p.ID) },
			others: []func(*store.Tx) (*ra.Pass, error){
				func(tx *store.Tx) (*ra.Pass, error) { return tx.PassByCertificate("crt_1") },
				func(tx *store.Tx) (*ra.Pass, error) { return tx.RenewalPass("crt_old") }},
			update: (*store.Tx).UpdatePass, create: (*store.Tx).CreatePass,
			twin:  func(p ra.Pass) *ra.Pass { p.ID = "pass_twin"; return &p },
			times: func(p *ra.Pass) *ra.Times { return &p.Times },
		}.run(t, db, c)

		// An exchange changes these and leaves the others.
		moved := *p
		moved.State, moved.Messages, moved.Failures, moved.PKIStatus, moved.FailInfo, moved.Hops, moved.Reason = ra.PassFailed, 3, 2, "lost", "", 6, "s"
		moved.SealedToken = []byte{7}
		moved.Obligation.Action, moved.Obligation.At, moved.Obligation.Deadline, moved.Obligation.LastError = "", time.Time{}, time.Time{}, "f"
		want := moved
		moved.TransactionID, moved.CertificateID = "other", "other"
		write(t, db, func(tx *store.Tx) error { return tx.MovePass(&moved) })
		want.Times = moved.Times
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Pass(p.ID)
			if err == nil {
				same(t, "moved", *got, want)
			}
			return err
		})

		claimed := w.newPass(c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreatePass(claimed) })
		c.Advance(time.Second)
		claimed.State, claimed.SealedToken, claimed.TransactionID, claimed.SignerHash, claimed.Messages, claimed.PKIStatus, claimed.Hops = ra.PassClaimed, nil, "U", "cc", 1, "sent", 2
		claimed.Obligation = ra.Obligation{Action: ra.ActionAwait, At: c.Now(), Deadline: c.Now()}
		write(t, db, func(tx *store.Tx) error {
			ground, err := tx.PassGround(claimed)
			same(t, "ground", ground, store.PassGround{Device: w.device.Name, DeviceState: w.device.State, Template: w.template.Name, Authority: w.authority.Name})
			if err != nil {
				return err
			}
			gone := *claimed
			gone.DeviceID = "dev_none"
			if _, err := tx.PassGround(&gone); ra.KindOf(err) != ra.NotFound {
				t.Errorf("the ground of a device that is gone: %v", err)
			}
			return tx.ClaimPass(claimed)
		})
		is := func(what string, p, want *ra.Pass) {
			t.Helper()
			write(t, db, func(tx *store.Tx) error {
				got, err := tx.PassAsIs(p)
				same(t, what, got, want)
				return err
			})
		}
		is("claimed", claimed, claimed)
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.PassTicket(claimed.Hash)
			same(t, "ticket", got, store.PassTicket{Pass: claimed.ID, Authority: claimed.AuthorityID, Device: claimed.DeviceID, ExpiresAt: claimed.ExpiresAt})
			return err
		})
		refused(t, db, "a token nobody has", ra.NotFound, func(tx *store.Tx) error { _, err := tx.PassTicket(""); return err })
		old := *claimed
		old.Hops, old.Reason = 1, "what was known before"
		is("as it is now", &old, claimed)

		for _, state := range ra.PassStates {
			ok := w.newPass(c.Now())
			if ok.State, ok.SignerHash = state, "aa"; state.Ended() {
				ok.Obligation = ra.Obligation{}
			}
			write(t, db, func(tx *store.Tx) error { return tx.CreatePass(ok) })
		}
		for name, change := range map[string]func(*ra.Pass){
			"waits for nothing":       func(p *ra.Pass) { p.Obligation = ra.Obligation{} },
			"ended and waits":         func(p *ra.Pass) { p.State = ra.PassDone },
			"waits without a time":    func(p *ra.Pass) { p.At = time.Time{} },
			"claimed by nobody":       func(p *ra.Pass) { p.State = ra.PassClaimed },
			"a proxy without a token": func(p *ra.Pass) { p.Hash = "" },
			"of no group":             func(p *ra.Pass) { p.GroupID = "og_none" },
		} {
			bad := w.newPass(c.Now())
			change(bad)
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.CreatePass(bad) }); err == nil {
				t.Errorf("a pass that %s was stored", name)
			}
		}
	})
}

func TestFindingPasses(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		var all []ra.PassID
		for i := range 5 {
			c.Advance(time.Second)
			p := w.newPass(c.Now())
			switch i {
			case 1:
				p.State, p.Obligation = ra.PassDone, ra.Obligation{}
				p.RenewAt = c.Now().Add(time.Minute)
			case 2:
				p.DeviceID, p.SignerHash, p.Marker = "dev_other", "bb", "sceprenew-2"
			case 3:
				p.Action, p.At, p.Deadline = ra.ActionAwait, c.Now().Add(time.Second), c.Now().Add(2*time.Second)
			case 4:
				p.GroupID, p.Model, p.Hash = w.org.ID, ra.PassDelegate, ""
			}
			write(t, db, func(tx *store.Tx) error { return tx.CreatePass(p) })
			all = append([]ra.PassID{p.ID}, all...)
		}
		c.Advance(5 * time.Second)
		find := func(f store.PassFilter) (out []ra.PassID) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				for {
					list, next, err := tx.FindPasses(f)
					if err != nil {
						return err
					}
					for _, p := range list {
						out = append(out, p.ID)
					}
					if f.After = next; next == "" {
						return nil
					}
				}
			})
			return out
		}
		for name, tc := range map[string]struct {
			f    store.PassFilter
			want []ra.PassID
		}{
			"all, by pages": {store.PassFilter{Page: store.Page{Limit: 2}}, all},
			"state":         {store.PassFilter{States: []ra.PassState{ra.PassDone}}, all[3:4]},
			"device":        {store.PassFilter{Device: "dev_other"}, all[2:3]},
			"signer":        {store.PassFilter{Signer: "bb"}, all[2:3]},
			"marker":        {store.PassFilter{Marker: "sceprenew-2"}, all[2:3]},
			"group":         {store.PassFilter{Groups: []ra.GroupID{w.org.ID}}, all[0:1]},
			"action":        {store.PassFilter{Action: ra.ActionAwait}, all[1:2]},
			"late":          {store.PassFilter{LateOnly: true}, all[1:2]},
			"authority":     {store.PassFilter{Authority: "ca_none"}, nil},
			"template":      {store.PassFilter{Template: w.template.ID}, all},
		} {
			if got := find(tc.f); !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", name, got, tc.want)
			}
		}
		due := func() (out, renewals []ra.PassID) {
			t.Helper()
			read(t, db, func(tx *store.Tx) (err error) {
				if out, err = tx.DuePasses(10); err != nil {
					return err
				}
				renewals, err = tx.DueEnrolments(10)
				return err
			})
			return out, renewals
		}
		if out, renewals := due(); !slices.Equal(out, all[1:2]) || len(renewals) != 0 {
			t.Errorf("due are %v and %v", out, renewals)
		}
		c.Advance(2 * time.Minute)
		if out, renewals := due(); len(out) != 4 || out[0] != all[1] || !slices.Equal(renewals, all[3:4]) {
			t.Errorf("due later are %v and %v", out, renewals)
		}
	})
}

func TestSentMessages(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := &store.Sent{Pass: "pass_1", Hash: "aa", Tries: 1, SentAt: c.Now(), PKIStatus: "sent"}
		write(t, db, func(tx *store.Tx) error { return tx.PutSent(s) })
		is := func(what string) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				got, err := tx.Sent("pass_1", "aa")
				if err == nil {
					same(t, what, got, s)
				}
				return err
			})
		}
		is("sent")
		s.Tries, s.SentAt = 2, c.Now().Add(time.Second)
		write(t, db, func(tx *store.Tx) error { return tx.PutSent(s) })
		is("sent again")
		s.AnsweredAt, s.PKIStatus, s.Media, s.Body = c.Now().Add(time.Minute), "success", "application/x-pki-message", []byte{0x30, 0, 0xff}
		write(t, db, func(tx *store.Tx) error { return tx.AnswerSent(s) })
		is("answered")
		swept := func(before time.Time, want int64) {
			t.Helper()
			write(t, db, func(tx *store.Tx) error {
				n, err := tx.SweepSent(before, 10)
				if n != want {
					t.Errorf("%d were swept, want %d", n, want)
				}
				return err
			})
		}
		swept(s.SentAt, 0)
		swept(s.SentAt.Add(time.Second), 1)
		write(t, db, func(tx *store.Tx) error { return tx.PutSent(s) })
		write(t, db, func(tx *store.Tx) error { return tx.DeleteSent("pass_1", "aa") })
		refused(t, db, "a message that was forgotten", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Sent("pass_1", "aa"); return err })
	})
}

func TestHops(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		old, young := id[ra.PassID](ra.PassPrefix, c.Now()), id[ra.PassID](ra.PassPrefix, c.Now().Add(time.Hour))
		want := []ra.Hop{
			{Owner: string(old), Position: 1, At: c.Now(), Step: "challenge.asked", Result: ra.HopOK},
			{Owner: string(old), Position: 2, At: c.Now(), Step: "challenge.given", Result: ra.HopFailed, Took: 1500, Message: "Full.", Remedy: "Wait.", Fields: map[string]string{"b": "2", "a": "1"}},
		}
		write(t, db, func(tx *store.Tx) error {
			if err := tx.AddHops(); err != nil {
				return err
			}
			if err := tx.AddHops(want...); err != nil {
				return err
			}
			return tx.AddHops(ra.Hop{Owner: string(young), Position: 1, At: c.Now(), Step: "x", Result: ra.HopInfo}, ra.Hop{Owner: "req_1", Position: 1, At: c.Now(), Step: "x", Result: ra.HopInfo})
		})
		hops := func(owner string) (list []ra.Hop) {
			t.Helper()
			read(t, db, func(tx *store.Tx) (err error) { list, err = tx.Hops(owner); return err })
			return list
		}
		same(t, "trace", hops(string(old)), want)
		write(t, db, func(tx *store.Tx) error {
			n, err := tx.SweepHops(c.Now().Add(time.Minute), 100)
			if n != 2 {
				t.Errorf("%d hops were swept, want 2", n)
			}
			return err
		})
		if len(hops(string(old))) != 0 || len(hops(string(young))) != 1 || len(hops("req_1")) != 1 {
			t.Error("other hops were swept than those of old passes")
		}
		if first := ra.FirstID(ra.PassPrefix, c.Now()); first > string(old) || first <= string(id[ra.PassID](ra.PassPrefix, c.Now().Add(-time.Millisecond))) {
			t.Errorf("%s does not begin the IDs of its time", first)
		}
	})
}

func TestSCEPSlots(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		at := c.Now()
		a := store.SCEPSlot{Authority: "ca_1", ID: "a", State: store.SlotWaiting, Since: at.Add(time.Microsecond), Until: at.Add(time.Second)}
		b := store.SCEPSlot{Authority: "ca_1", ID: "b", State: store.SlotOut, Box: []byte{1}, Since: at, FetchedAt: at, Until: at.Add(time.Hour), EndsAt: at.Add(time.Minute)}
		other := store.SCEPSlot{Authority: "ca_2", ID: "a", State: store.SlotLost, Since: at, Until: at.Add(time.Hour)}
		write(t, db, func(tx *store.Tx) error {
			for _, s := range []store.SCEPSlot{a, b, other} {
				if err := tx.PutSCEPSlot(s); err != nil {
					return err
				}
			}
			list, err := tx.SCEPSlots("ca_1") // with the lock
			same(t, "in the order of the queue", list, []store.SCEPSlot{b, a})
			return err
		})
		a.State, a.EndsAt, a.Box = store.SlotFetching, at.Add(time.Minute), []byte{2, 3}
		write(t, db, func(tx *store.Tx) error { return tx.PutSCEPSlot(a) })
		write(t, db, func(tx *store.Tx) error {
			n, err := tx.SweepSCEPSlots(at.Add(time.Minute))
			if n != 1 {
				t.Errorf("%d slots were swept, want 1", n)
			}
			return err
		})
		write(t, db, func(tx *store.Tx) error { return tx.DeleteSCEPSlot("ca_1", "nothing") })
		read(t, db, func(tx *store.Tx) error {
			list, err := tx.SCEPSlots("ca_1")
			same(t, "left", list, []store.SCEPSlot{b})
			return err
		})
		// What is sealed there is found by those who change the master key.
		read(t, db, func(tx *store.Tx) error {
			list, _, err := tx.SealedAfter("scep_slots", "", [][]byte{{}}, 10)
			if err != nil || len(list) != 1 {
				t.Errorf("%d sealed values, %v", len(list), err)
				return err
			}
			table, row, field := list[0].Sealing()
			same(t, "place", []string{table, row, field}, []string{"scep_slots", "ca_1/b", "challenge"})
			return nil
		})
	})
}
