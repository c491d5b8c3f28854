package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// listOf is a list of an issuer, as it is defined.
func (w *world) listOf(hash, name, low, high string) store.CRL {
	return store.CRL{IssuerHash: hash, Name: name, AuthorityID: w.authority.ID, Low: low, High: high, Points: []string{"http://pki/" + hash + name}}
}

func (w *world) putIssuer(hash string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		return tx.PutIssuers(w.authority.ID, []store.Issuer{{AuthorityID: w.authority.ID, Fingerprint: "f" + hash, SPKIHash: hash, DER: []byte{1}}})
	}
}

func TestCRLs(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		write(t, db, w.putIssuer("ka"))
		refused(t, db, "a list of an unknown issuer", ra.NotFound, func(tx *store.Tx) error { return tx.DefineCRL(w.listOf("kx", "", "00", "ff")) })
		state := func(name string) (got store.CRL) {
			read(t, db, func(tx *store.Tx) (err error) { got, err = tx.CRLState("ka", name); return err })
			return got
		}
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.DefineCRL(w.listOf("ka", "", "00", "ff")), tx.DefineCRL(w.listOf("ka", "4-1", "40", "7f")), tx.DefineCRL(w.listOf("ka", "4-2", "80", "bf")))
		})
		write(t, db, func(tx *store.Tx) error { return tx.DefineCRL(w.listOf("ka", "", "00", "ff")) }) // once more changes nothing
		if got := state(""); got.Wanted != 1 || got.Number != 0 || !got.Stale() {
			t.Errorf("a new list: %+v", got)
		}
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.CRL("ka", "4-1")
			same(t, "CRL", got, state("4-1"))
			return err
		})

		made := state("4-1")
		made.Number, made.Made, made.ThisUpdate, made.NextUpdate, made.DER = 7, made.Wanted, c.Now(), c.Now().Add(time.Hour), []byte{1}
		write(t, db, func(tx *store.Tx) error { return tx.PutCRL(made, 0) })
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.CRL("ka", "4-1")
			if same(t, "CRL", got, made); got.Stale() {
				t.Error("a list is stale that holds everything")
			}
			return err
		})
		for name, x := range map[string]struct{ number, before int64 }{"again": {8, 0}, "with the same number": {7, 7}, "with a smaller number": {6, 7}} {
			refused(t, db, name, ra.Conflict, func(tx *store.Tx) error {
				late := made
				late.Number = x.number
				return tx.PutCRL(late, x.before)
			})
		}
		read(t, db, func(tx *store.Tx) error {
			all, err := tx.AllCRLs()
			of, err2 := tx.CRLsOf("ka")
			if len(all) != 3 || all[2].Name != "4-1" || len(of) != 3 || of[0].Name != "" || of[2].Name != "4-2" {
				t.Errorf("lists: %+v, %+v", all, of)
			}
			return errors.Join(err, err2)
		})

		// A revocation touches the lists its serial number belongs on.
		write(t, db, func(tx *store.Tx) error {
			return errors.Join(tx.MarkCRLStale("ka", "1f40"), tx.MarkCRLStale("ka", "7f"), tx.MarkCRLStale("ka", "7"), tx.MarkCRLStale("elsewhere", "1f40"))
		})
		for name, want := range map[string]int64{"": 4, "4-1": 3, "4-2": 1} {
			if got := state(name); got.Wanted != want {
				t.Errorf("list %q is wanted %d times, want %d", name, got.Wanted, want)
			}
		}
		// A list under another address says so in its next edition.
		moved := w.listOf("ka", "4-2", "80", "bf")
		moved.Points = append(moved.Points, "http://new/")
		write(t, db, func(tx *store.Tx) error { return tx.DefineCRL(moved) })
		if got := state("4-2"); got.Wanted != 2 || !slices.Equal(got.Points, moved.Points) {
			t.Errorf("moved: %+v", got)
		}
		refused(t, db, "a missing list", ra.NotFound, func(tx *store.Tx) error { _, err := tx.CRL("ka", "4-3"); return err })
	})
}

// TestCRLDefinitionMissesNothing: a revocation that began before a list became
// known, and ends after it, makes it stale.
func TestCRLDefinitionMissesNothing(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		if db.Engine() != "postgres" {
			return // one writer at a time
		}
		w := newWorld(t, db, c)
		write(t, db, w.putIssuer("ka"))
		marked, defined := make(chan struct{}), make(chan error)
		go func() {
			<-marked
			defined <- db.Write(t.Context(), func(tx *store.Tx) error { return tx.DefineCRL(w.listOf("ka", "", "00", "ff")) })
		}()
		revoked := w.newCertificate(c.Now())
		revoked.IssuerHash, revoked.State, revoked.RevokedAt, revoked.Obligation = "ka", ra.Revoked, c.Now(), ra.Obligation{}
		write(t, db, func(tx *store.Tx) error {
			if err := tx.CreateCertificate(revoked); err != nil {
				return err
			}
			if err := tx.MarkCRLStale("ka", revoked.Serial); err != nil {
				return err
			}
			close(marked)
			select {
			case <-defined:
				return errors.New("a list was defined while somebody revokes")
			case <-time.After(50 * time.Millisecond): // long enough to be wrong, if it does not wait
				return nil
			}
		})
		if err := <-defined; err != nil {
			t.Fatal(err)
		}
		read(t, db, func(tx *store.Tx) error {
			entries, err := tx.RevokedBy("ka", "00", "ff")
			if len(entries) != 1 {
				t.Errorf("%d entries right after the definition", len(entries))
			}
			return err
		})
	})
}

func TestRevokedByEnding(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		serials := []string{"0", "7", "3f", "40", "a07f", "80", "ff", "123456789abcdeff"}
		write(t, db, func(tx *store.Tx) (err error) {
			for _, serial := range serials {
				n := w.newCertificate(c.Now())
				n.Serial, n.State, n.RevokedAt, n.Reason, n.Obligation = serial, ra.Revoked, c.Now(), ra.KeyCompromise, ra.Obligation{}
				err = errors.Join(err, tx.CreateCertificate(n))
			}
			return err
		})
		for _, x := range []struct{ low, high, want string }{
			{"00", "ff", "0 123456789abcdeff 3f 40 7 80 a07f ff"}, {"00", "3f", "0 3f 7"}, {"40", "7f", "40 a07f"}, {"80", "bf", "80"}, {"c0", "ff", "123456789abcdeff ff"}, {"ff", "ff", "123456789abcdeff ff"},
		} {
			read(t, db, func(tx *store.Tx) error {
				entries, err := tx.RevokedBy("issuer", x.low, x.high)
				var got []string
				for _, e := range entries {
					got = append(got, e.Serial)
					if e.Reason != ra.KeyCompromise || !e.RevokedAt.Equal(c.Now()) {
						t.Errorf("%+v", e)
					}
				}
				slices.Sort(got)
				if text := strings.Join(got, " "); text != x.want {
					t.Errorf("%s to %s: got %s, want %s", x.low, x.high, text, x.want)
				}
				return err
			})
		}
	})
}

func TestCertificateStatuses(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		var serials []string
		write(t, db, func(tx *store.Tx) (err error) {
			for i := range 6 {
				n := w.newCertificate(c.Now())
				n.Serial = fmt.Sprintf("%x", 0x1000+i)
				serials = append(serials, n.Serial)
				if i == 5 {
					n.State, n.RevokedAt, n.Reason, n.Obligation = ra.Revoked, c.Now(), ra.SupersededReason, ra.Obligation{}
				}
				err = errors.Join(err, tx.CreateCertificate(n))
			}
			return err
		})
		for n := range len(serials) + 1 {
			got, err := db.CertificateStatuses(t.Context(), append([]string{"dead"}, serials[:n]...))
			if err != nil || len(got) != n {
				t.Errorf("asked for %d, got %d, %v", n, len(got), err)
			}
			for _, s := range got {
				if s.IssuerHash != "issuer" || !slices.Contains(serials[:n], s.Serial) || (s.State == ra.Revoked) != (s.Serial == serials[5]) || (s.Reason == ra.SupersededReason && s.RevokedAt.Equal(c.Now())) != (s.State == ra.Revoked) {
					t.Errorf("%+v", s)
				}
			}
		}
		if got, err := db.CertificateStatuses(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("asked for none, got %d, %v", len(got), err)
		}
	})
}

// TestUpdateCertificateState: what a revocation changes is stored, and nothing
// else is touched.
func TestUpdateCertificateState(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		n := w.newCertificate(c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateCertificate(n) })
		c.Advance(time.Minute)
		want := *n
		want.State, want.RevokedAt, want.Reason = ra.OnHold, c.Now(), ra.CertificateHold
		want.Obligation = ra.Obligation{Action: ra.ActionRevoke, At: c.Now().Add(time.Hour), Deadline: c.Now().Add(2 * time.Hour), Attempts: 3, LastError: "late", Escalated: c.Now()}
		write(t, db, func(tx *store.Tx) error {
			changed := want
			changed.Subject, changed.DER = "CN=other", []byte{9}
			return tx.UpdateCertificateState(&changed)
		})
		want.UpdatedAt = c.Now()
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Certificate(n.ID)
			same(t, "certificate", got, &want)
			return err
		})
		refused(t, db, "a missing certificate", ra.NotFound, func(tx *store.Tx) error { return tx.UpdateCertificateState(&ra.Certificate{ID: "crt_none"}) })
	})
}
