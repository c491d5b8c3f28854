// Package keyring replaces the master key while the servers work. Nothing is
// decrypted to disk and no server stops:
//
//  1. Rotate makes a new key. It lies in the database as ciphertext of the key
//     in use, so every node can learn it and nobody else can.
//  2. Each node looks every few seconds (Run), learns the new key, writes it
//     into its own master key file, and says so. Until then nobody seals with it.
//  3. When every node that is alive has it, it seals from then on.
//  4. When every node does so, a job seals everything anew that another key
//     sealed, a few hundred values at a time (reseal.go). It begins again where
//     it was when it was killed, and ends when a count finds nothing left.
//  5. Drop, when somebody asks for it, forgets the former key: it counts again,
//     wipes the ciphertext of step 1, and every node takes the key out of its
//     file.
//
// A node that was away learns at its next start what it missed; once the
// former key was dropped it cannot, and needs a copy of another node's file.
// Backups open with the keys of their time: a copy of the master key file
// belongs to them.
package keyring

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

const (
	// lookEvery is how often a node looks for a change, unless it is told.
	lookEvery = 3 * time.Second
	// signEvery is how often a node gives a sign of life while nothing happens.
	signEvery = 30 * time.Second
	// aliveFor is how long after its last sign a node counts.
	aliveFor = 3 * time.Minute
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB    *store.DB
	Box   *seal.Box
	Path  string // of the master key file
	Node  string // name of this server, the same after a restart
	Queue *job.Queue
	Now   func() time.Time
	Log   *slog.Logger
	// Every is how often Run looks for a change; zero means three seconds.
	Every time.Duration
	// Step, when set, hears of every step of the job, for tests that stop it.
	Step func(string)
}

// Status is how far a rotation is.
type Status struct {
	Seals    string // name of the key that seals
	Next     string // name of the key that is taking over; empty: no rotation is under way
	State    store.KeyState
	Resealed int64 // values sealed anew so far
	Left     int64 // values sealed by other keys than the newest
	Former   []string
	Nodes    []store.KeyNode
}

// Handle says to the queue what this service does.
func (s *Service) Handle() { job.Handle(s.Queue, s.Reseal) }

// Status tells how far the rotation is. Denied without the right to change
// administrators in the whole installation.
func (s *Service) Status(ctx context.Context, actor ra.Actor) (st Status, err error) {
	if err := access.Check(actor, access.EditAdmins, ""); err != nil {
		return st, err
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		keys, err := tx.MasterKeys()
		if err != nil {
			return err
		}
		if st.Nodes, err = tx.KeyNodes(tx.Now.Add(-aliveFor)); err != nil {
			return err
		}
		st.Seals = s.Box.KeyID()
		newest := st.Seals
		if k, ok := moving(keys); ok {
			st.Next, st.State, st.Resealed, newest = k.ID, k.State, k.Resealed, k.ID
		}
		st.Former = slices.DeleteFunc(s.Box.Keys(), func(id string) bool { return id == newest })
		st.Left, err = s.count(tx, st.Former)
		return err
	})
	return st, err
}

// Rotate begins to replace the master key and gives the name of the new one.
// Conflict while another rotation is under way.
func (s *Service) Rotate(ctx context.Context, actor ra.Actor) (id string, err error) {
	if err := access.Check(actor, access.EditAdmins, ""); err != nil {
		return "", err
	}
	if err := s.Sync(ctx); err != nil {
		return "", err
	}
	id, wrapped, err := s.Box.Offer()
	if err != nil {
		return "", err
	}
	return id, s.DB.Write(ctx, func(tx *store.Tx) error {
		keys, err := tx.MasterKeys()
		if err != nil {
			return err
		}
		if k, ok := moving(keys); ok {
			return ra.Errorf(ra.Conflict, "The master key %s is being introduced already.", k.ID).
				WithRemedy("See chancery key status. When nothing is sealed by the former key any more, drop that with chancery key drop.")
		}
		if _, err := tx.PutMasterKey(store.MasterKey{ID: id, State: store.KeyOffered, Box: wrapped}); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.MasterKeyOffered, Actor: actor, Object: id,
			Message: "A new master key was made: " + id + ".", Details: map[string]any{"former": s.Box.KeyID()}})
	})
}

// Drop forgets the former key. Conflict unless nothing is sealed by it and
// every node alive has the new one in its file.
func (s *Service) Drop(ctx context.Context, actor ra.Actor) (dropped []string, err error) {
	if err := access.Check(actor, access.EditAdmins, ""); err != nil {
		return nil, err
	}
	if err := s.Sync(ctx); err != nil {
		return nil, err
	}
	again := false
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		keys, err := tx.MasterKeys()
		if err != nil {
			return err
		}
		k, ok := moving(keys)
		if !ok || k.State != store.KeyAlone {
			return ra.Errorf(ra.Conflict, "There is no master key to drop now.").
				WithRemedy("Rotate first, and wait until chancery key status says that everything is sealed anew.")
		}
		nodes, err := tx.KeyNodes(tx.Now.Add(-aliveFor))
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if n.Seals != k.ID || !holds(n, k.ID) || n.Problem != "" {
				return ra.Errorf(ra.Conflict, "The node %s does not keep the new master key in its file yet.", n.Node).
					WithRemedy("%s", remedyFor(n))
			}
		}
		dropped = slices.DeleteFunc(s.Box.Keys(), func(id string) bool { return id == k.ID })
		left, err := s.count(tx, dropped)
		if err != nil {
			return err
		}
		if again = left > 0; again {
			k.State, k.Place, k.After = store.KeySealing, "", ""
			_, err := tx.PutMasterKey(k, store.KeyAlone)
			return err
		}
		k.State, k.Box = store.KeyInUse, make([]byte, len(k.Box))
		if done, err := tx.PutMasterKey(k, store.KeyAlone); err != nil || !done {
			return err
		}
		for _, id := range dropped {
			gone := store.MasterKey{ID: id, State: store.KeyDropped}
			known := slices.ContainsFunc(keys, func(o store.MasterKey) bool { return o.ID == id })
			if known {
				_, err = tx.PutMasterKey(gone, store.KeyInUse)
			} else {
				_, err = tx.PutMasterKey(gone)
			}
			if err != nil {
				return err
			}
		}
		return audit.Record(tx, audit.Entry{Code: audit.MasterKeyDropped, Actor: actor, Object: k.ID,
			Message: "The former master key was dropped.", Details: map[string]any{"dropped": dropped}})
	})
	if err != nil {
		return nil, err
	}
	if again {
		return nil, ra.Errorf(ra.Conflict, "Something was sealed by the former key meanwhile, and is sealed anew now.").
			WithRemedy("Wait until chancery key status says that nothing is left, then try again.")
	}
	return dropped, s.Sync(ctx)
}

func remedyFor(n store.KeyNode) string {
	if n.Problem != "" {
		return n.Problem
	}
	return "Wait a few seconds and try again; stop the node if it is not needed."
}

// moving gives the key that is taking over, if there is one.
func moving(keys []store.MasterKey) (store.MasterKey, bool) {
	for _, k := range keys {
		if k.State == store.KeyOffered || k.State == store.KeySealing || k.State == store.KeyAlone {
			return k, true
		}
	}
	return store.MasterKey{}, false
}

func (s *Service) count(tx *store.Tx, ids []string) (total int64, err error) {
	for _, id := range ids {
		n, err := tx.CountSealed(seal.Prefix(id))
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func holds(n store.KeyNode, id string) bool { return slices.Contains(strings.Split(n.Holds, ","), id) }
