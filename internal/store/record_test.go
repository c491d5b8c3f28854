package store_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestSealed(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.PutSealed("ca_1", "token", []byte{1}), tx.PutSealed("ca_1", "key", []byte{2}), tx.PutSealed("ca_1", "token", []byte{3}),
				tx.PutSealed("req_1", "key", []byte{4}), tx.PutSealed("req_2", "key", nil))
		})
		want := func(owner string, want map[string][]byte) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				got, err := tx.Sealed(owner)
				same(t, "sealed of "+owner, got, want)
				return err
			})
		}
		want("ca_1", map[string][]byte{"token": {3}, "key": {2}})
		want("none", map[string][]byte{})
		read(t, db, func(tx *store.Tx) error {
			owners, err := tx.SealedOwners()
			same(t, "owners", owners, []string{"ca_1", "req_1", "req_2"})
			return err
		})
		write(t, db, func(tx *store.Tx) error { return tx.DeleteSealed("ca_1", "token") })
		want("ca_1", map[string][]byte{"key": {2}})
		write(t, db, func(tx *store.Tx) error { return errors.Join(tx.DeleteSealed("ca_1", ""), tx.DeleteSealed("none", "")) })
		want("ca_1", map[string][]byte{})
		want("req_1", map[string][]byte{"key": {4}})
	})
}

func TestJournal(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, _ *clock) {
		refused(t, db, "a missing entry", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Journal("ca_1", "k"); return err })
		stored := make([][]byte, 20)
		errs := together(20, func(i int) error {
			return db.Write(t.Context(), func(tx *store.Tx) (err error) {
				stored[i], err = tx.PutJournal("ca_1", "k", []byte{byte(i)})
				return err
			})
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Journal("ca_1", "k")
			for i := range stored {
				if !bytes.Equal(stored[i], got) {
					t.Errorf("writer %d was told %v, stored is %v", i, stored[i], got)
				}
			}
			return err
		})
		refused(t, db, "another authority's entry", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Journal("ca_2", "k"); return err })
	})
}

func TestMessages(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.PutBearer("sep_1", "h", "req_1"), tx.PutBearer("sep_1", "h", "req_2"), tx.PutBearer("sep_2", "h", "req_3"))
		})
		read(t, db, func(tx *store.Tx) error {
			first, err := tx.Bearer("sep_1", "h")
			second, err2 := tx.Bearer("sep_2", "h")
			if first != "req_1" || second != "req_3" {
				t.Errorf("got %q and %q, want req_1 and req_3", first, second)
			}
			return errors.Join(err, err2)
		})
		c.Advance(time.Second)
		write(t, db, func(tx *store.Tx) error {
			err := tx.PutBearer("sep_1", "new", "req_4")
			n, err2 := tx.SweepBearers(tx.Now)
			if n != 2 {
				t.Errorf("swept: got %d, want 2", n)
			}
			return errors.Join(err, err2)
		})
		refused(t, db, "a swept message", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Bearer("sep_1", "h"); return err })
	})
}

func TestFactsAndTokens(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		refused(t, db, "a missing fact", ra.NotFound, func(tx *store.Tx) error { _, err := tx.Fact("a"); return err })
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.PutFact("a", "1"), tx.PutFact("a", "2"), tx.CreateToken(&ra.Token{ID: "tok_1", Hash: "h"}),
				tx.CreateAdmin(&ra.Admin{ID: "adm_1", Name: "root"}))
		})
		used := func(want time.Time) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				n, err := tx.Token("tok_1")
				if err == nil && !n.LastUsedAt.Equal(want) {
					t.Errorf("last use: got %v, want %v", n.LastUsedAt, want)
				}
				return err
			})
		}
		touch := func() { write(t, db, func(tx *store.Tx) error { return tx.TouchToken("tok_1") }) }
		first := c.Now()
		touch()
		used(first)
		c.Advance(59 * time.Second)
		touch()
		used(first)
		c.Advance(time.Second)
		touch()
		used(c.Now())
		read(t, db, func(tx *store.Tx) error {
			value, err := tx.Fact("a")
			n, err2 := tx.CountAdmins()
			if value != "2" || n != 1 {
				t.Errorf("got fact %q and %d admins, want 2 and 1", value, n)
			}
			return errors.Join(err, err2)
		})
	})
}

func TestIssuersAndCRLs(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		issuer := func(name string) store.Issuer {
			return store.Issuer{AuthorityID: w.authority.ID, Fingerprint: "f" + name, SPKIHash: "k" + name[:1], DER: []byte(name)}
		}
		put := func(chain ...store.Issuer) {
			t.Helper()
			write(t, db, func(tx *store.Tx) error { return tx.PutIssuers(w.authority.ID, chain) })
		}
		want := func(want ...string) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				got, err := tx.Issuers(w.authority.ID)
				for i, n := range got {
					if i >= len(want) || n.Position != i || string(n.DER) != want[i] {
						t.Errorf("issuers: got %s at %d, want %v", n.DER, n.Position, want)
					}
				}
				if len(got) != len(want) {
					t.Errorf("issuers: got %d, want %d", len(got), len(want))
				}
				return err
			})
		}
		put(issuer("a1"), issuer("root"))
		want("a1", "root")
		put(issuer("a1"), issuer("root"))
		put(issuer("b1"), issuer("root"))
		want("b1", "root", "a1")
		put(issuer("a2")) // the old key again, certified anew
		want("a2", "b1", "root", "a1")
		refused(t, db, "an unknown key", ra.NotFound, func(tx *store.Tx) error { _, err := tx.IssuerByHash("kx"); return err })
		refused(t, db, "issuers of no authority", ra.Conflict, func(tx *store.Tx) error { return tx.PutIssuers("ca_none", []store.Issuer{issuer("a1")}) })
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.IssuerByHash("ka")
			if string(got.DER) != "a2" || got.AuthorityID != w.authority.ID {
				t.Errorf("issuer of a key: got %+v, want a2", got)
			}
			return err
		})
	})
}

func TestWhatThePlannerAsks(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		now := c.Now()
		read(t, db, func(tx *store.Tx) error {
			at, err := tx.NextDue()
			if !at.IsZero() {
				t.Errorf("next due when nothing waits: got %v", at)
			}
			return err
		})
		soon, later, held, revoked, ended := w.newCertificate(now), w.newCertificate(now), w.newCertificate(now), w.newCertificate(now), w.newCertificate(now)
		soon.At, soon.NotAfter = now.Add(time.Hour), now.Add(24*time.Hour)
		held.State, held.RevokedAt, held.Reason = ra.OnHold, now, ra.CertificateHold
		revoked.State, revoked.RevokedAt, revoked.Reason, revoked.Obligation = ra.Revoked, now, ra.KeyCompromise, ra.Obligation{}
		ended.State, ended.RevokedAt, ended.Obligation, ended.NotAfter = ra.Revoked, now, ra.Obligation{}, now.Add(-1e6)
		own, ownOld := w.newCertificate(now), w.newCertificate(now)
		own.Purpose, own.IssuerHash = ra.PurposeOCSP, "o"
		ownOld.Purpose, ownOld.NotAfter, ownOld.State = ra.PurposeOCSP, now.Add(time.Hour), ra.Superseded
		renewal := w.newRequest(now)
		renewal.Renews, renewal.At = soon.ID, now.Add(2*time.Hour)
		write(t, db, func(tx *store.Tx) (err error) {
			for _, n := range []*ra.Certificate{soon, later, held, revoked, ended, own, ownOld} {
				err = errors.Join(err, tx.CreateCertificate(n))
			}
			return errors.Join(err, tx.CreateRequest(renewal))
		})
		read(t, db, func(tx *store.Tx) error {
			at, err := tx.NextDue()
			if !at.Equal(soon.At) {
				t.Errorf("next due: got %v, want %v", at, soon.At)
			}
			entries, err2 := tx.RevokedBy("issuer", "00", "ff")
			if len(entries) != 2 || entries[0].Serial == entries[1].Serial || entries[0].RevokedAt.IsZero() {
				t.Errorf("revoked: got %+v, want the held and the revoked one", entries)
			}
			owns, err3 := tx.OwnCertificates(w.authority.ID, ra.PurposeOCSP)
			if len(owns) != 2 || owns[0].ID != own.ID || owns[1].ID != ownOld.ID {
				t.Errorf("own: got %d certificates", len(owns))
			}
			none, err4 := tx.OwnCertificates(w.authority.ID, ra.PurposeLeaf)
			if len(none) != 0 {
				t.Errorf("own for no purpose: got %d, want 0", len(none))
			}
			open, err5 := tx.OpenRequestsFor(w.device.ID, w.template.ID)
			r, err6 := tx.RenewalRequest(soon.ID)
			if open != 1 || err6 == nil && r.ID != renewal.ID {
				t.Errorf("open requests: got %d", open)
			}
			states, err7 := tx.CountCertificates(store.CertificateFilter{})
			same(t, "certificates by state", states, []store.Count{{Key: "on_hold", N: 1}, {Key: "revoked", N: 2}, {Key: "valid", N: 2}})
			requests, err8 := tx.CountRequests([]ra.GroupID{w.unit.ID})
			same(t, "requests by state", requests, []store.Count{{Key: "submitted", N: 1}})
			calendar, err9 := tx.ExpiryCalendar(nil, 91)
			same(t, "calendar", calendar, []store.ExpiryBucket{{AuthorityID: string(w.authority.ID), Day: 1, Action: "renew", N: 1},
				{AuthorityID: string(w.authority.ID), Day: 90, Action: "renew", N: 3}})
			return errors.Join(err, err2, err3, err4, err5, err6, err7, err8, err9)
		})
		due := func(want ...ra.CertificateID) {
			t.Helper()
			write(t, db, func(tx *store.Tx) error {
				got, err := tx.DueCertificates(w.authority.ID, ra.ActionRenew, 10)
				same(t, "due", ids(got, func(n store.Due) string { return string(n.ID) }), ids(want, func(id ra.CertificateID) string { return string(id) }))
				return err
			})
		}
		due()
		c.Advance(time.Hour)
		due(soon.ID)
	})
}

func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		var s scs.CtxStore = db.Sessions()
		find := func(token string) string {
			t.Helper()
			b, found, err := s.Find(token)
			if err != nil {
				t.Fatal(err)
			}
			if found != (b != nil) {
				t.Errorf("found %v with data %v", found, b)
			}
			return string(b)
		}
		if err := errors.Join(s.Commit("one", []byte("1"), c.Now().Add(time.Minute)), s.Commit("two", []byte("2"), c.Now().Add(time.Hour)),
			s.Commit("one", []byte("1+"), c.Now().Add(time.Minute)), s.Delete("none")); err != nil {
			t.Fatal(err)
		}
		same(t, "sessions", []string{find("one"), find("two"), find("none")}, []string{"1+", "2", ""})
		for _, hash := range list(t, db, "SELECT hash FROM sessions") {
			if len(hash) != 64 {
				t.Errorf("a session is kept as %q", hash)
			}
		}
		c.Advance(time.Minute)
		same(t, "an expired session", find("one"), "")
		write(t, db, func(tx *store.Tx) error {
			n, err := tx.SweepSessions()
			if n != 1 {
				t.Errorf("swept: got %d, want 1", n)
			}
			return err
		})
		if err := s.DeleteCtx(t.Context(), "two"); err != nil {
			t.Fatal(err)
		}
		same(t, "a deleted session", find("two"), "")
	})
}
