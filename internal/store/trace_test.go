package store_test

import (
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestTraces(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		r, cert := w.newRequest(c.Now()), w.newCertificate(c.Now())
		r.IdempotencyKey, r.SPKIHash = "key", "asked"
		write(t, db, func(tx *store.Tx) error { return tx.CreateRequest(r) })
		write(t, db, func(tx *store.Tx) error { return tx.CreateCertificate(cert) })

		nothing := store.Message{Fingerprint: "x", Key: "x", Endpoint: w.endpoint.ID, Transaction: "x"}
		for _, test := range []struct {
			name string
			set  func(m *store.Message)
			want store.Traces
		}{
			{"nothing", func(*store.Message) {}, store.Traces{}},
			{"the signer", func(m *store.Message) { m.Fingerprint = cert.Fingerprint }, store.Traces{Signer: true}},
			{"the request", func(m *store.Message) { m.Key = "key" }, store.Traces{Request: true}},
			{"the transaction", func(m *store.Message) { m.Transaction = "T-1" }, store.Traces{Transaction: true}},
			{"the transaction elsewhere", func(m *store.Message) { m.Transaction, m.Endpoint = "T-1", "sep_x" }, store.Traces{}},
			{"all", func(m *store.Message) { m.Fingerprint, m.Key, m.Transaction = cert.Fingerprint, "key", "T-1" }, store.Traces{Signer: true, Request: true, Transaction: true}},
		} {
			m := nothing
			test.set(&m)
			read(t, db, func(tx *store.Tx) error {
				got, err := tx.Traces(m)
				same(t, test.name, got, test.want)
				return err
			})
		}

		used := func(what, spki string, want bool) {
			t.Helper()
			read(t, db, func(tx *store.Tx) error {
				got, err := tx.KeyUsed(spki)
				if got != want {
					t.Errorf("%s: used is %v, want %v", what, got, want)
				}
				return err
			})
		}
		used("a fresh key", "fresh", false)
		used("the key of a certificate", cert.SPKIHash, true)
		used("the key of an open request", "asked", true)
		r.State, r.Obligation = ra.Failed, ra.Obligation{}
		write(t, db, func(tx *store.Tx) error { return tx.UpdateRequest(r) })
		used("the key of a request that failed", "asked", false)
	})
}

// MoveRequest stores what UpdateRequest does of a request that only moved on.
func TestMoveRequest(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		moved, updated := w.newRequest(c.Now()), w.newRequest(c.Now())
		cert := w.newCertificate(c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateRequest(moved) })
		write(t, db, func(tx *store.Tx) error { return tx.CreateRequest(updated) })
		c.Advance(time.Minute)
		for _, r := range []*ra.Request{moved, updated} {
			r.State, r.CertificateID, r.Handle, r.Reason, r.SubmittedAt = ra.Issued, cert.ID, "handle", "why", c.Now()
			r.Obligation = ra.Obligation{Attempts: 3, LastError: "late", Escalated: c.Now()}
		}
		write(t, db, func(tx *store.Tx) error { return tx.MoveRequest(moved) })
		write(t, db, func(tx *store.Tx) error { return tx.UpdateRequest(updated) })
		read(t, db, func(tx *store.Tx) error {
			for _, want := range []*ra.Request{moved, updated} {
				got, err := tx.Request(want.ID)
				if err != nil {
					return err
				}
				same(t, string(want.ID), got, want)
			}
			counts, err := tx.CountRequests(nil)
			same(t, "counts", counts, []store.Count{{Key: "issued", N: 2}})
			return err
		})
		gone := *moved
		gone.ID = "req_gone"
		refused(t, db, "a request that is not there", ra.NotFound, func(tx *store.Tx) error { return tx.MoveRequest(&gone) })
		open := *moved
		open.State = ra.Submitted // without an obligation nothing may be open
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.MoveRequest(&open) }); err == nil {
			t.Error("an open request without a next action was stored")
		}
	})
}

func TestAddJournal(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		write(t, db, func(tx *store.Tx) error { return tx.AddJournal("ca_1", "k", []byte{1}) })
		refused(t, db, "a key that is taken", ra.Conflict, func(tx *store.Tx) error { return tx.AddJournal("ca_1", "k", []byte{2}) })
		write(t, db, func(tx *store.Tx) error { return tx.AddJournal("ca_2", "k", []byte{3}) })
		read(t, db, func(tx *store.Tx) error {
			got, err := tx.Journal("ca_1", "k")
			same(t, "value", got, []byte{1})
			return err
		})
	})
}
