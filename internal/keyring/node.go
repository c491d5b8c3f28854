package keyring

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Run keeps this node in step until the context ends, then says that it is
// gone. It looks once before it returns the first time from waiting.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(cmp.Or(s.Every, lookEvery))
	defer t.Stop()
	for {
		if err := s.Sync(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("the master keys could not be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = s.DB.Write(last, func(tx *store.Tx) error { return tx.DeleteKeyNode(s.Node) }) // else it counts as alive for a while
			return
		case <-t.C:
		}
	}
}

// Catch brings a Box up to date before the server begins to work with it: it
// learns what is offered and seals with what is in force. An error when the
// database has moved on to a key that the Box cannot learn.
func (s *Service) Catch(ctx context.Context) error {
	var keys []store.MasterKey
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		keys, err = tx.MasterKeys()
		return err
	}); err != nil {
		return err
	}
	return s.follow(keys)
}

// follow does with the Box what the rows say.
func (s *Service) follow(keys []store.MasterKey) error {
	seals := ""
	for _, k := range keys {
		switch k.State {
		case store.KeyOffered:
		case store.KeySealing, store.KeyAlone, store.KeyInUse:
			seals = k.ID // the last one counts: the one before it was in use
		case store.KeyDropped:
			continue
		}
		if k.State != store.KeyInUse {
			if err := s.Box.Learn(k.ID, k.Box); err != nil {
				return missed(k.ID, err)
			}
		}
	}
	if seals == "" {
		return nil
	}
	if !s.Box.Holds(seals) {
		return missed(seals, nil)
	}
	if err := s.Box.Use(seals); err != nil {
		return err
	}
	for _, k := range keys {
		if k.State == store.KeyDropped {
			if err := s.Box.Forget(k.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func missed(id string, err error) error {
	return ra.Errorf(ra.Conflict, "The master key was rotated to %s while this server was away, and its file does not have that key.", id).WithField("master_key").
		WithRemedy("Copy the master key file of a server that runs, or the copy that was made after the rotation.").WithCause(err)
}

// Sync looks once: it follows what the database says, keeps the file in step,
// tells what this node has, and moves the rotation on when every node is ready.
func (s *Service) Sync(ctx context.Context) error {
	var keys []store.MasterKey
	var before []store.KeyNode
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if keys, err = tx.MasterKeys(); err != nil {
			return err
		}
		before, err = tx.KeyNodes(tx.Now.Add(-signEvery))
		return err
	}); err != nil {
		return err
	}
	if err := s.follow(keys); err != nil {
		return err
	}
	me := store.KeyNode{Node: s.Node, Holds: strings.Join(s.Box.Keys(), ","), Seals: s.Box.KeyID()}
	if err := s.Box.Save(s.Path); err != nil {
		e := ra.AsError(err)
		me.Problem = strings.TrimSpace(e.Message + " " + e.Remedy)
		s.Log.Error("the master key file could not be changed", "error", err)
	}
	k, rotating := moving(keys)
	told := slices.ContainsFunc(before, func(n store.KeyNode) bool {
		return n.Node == me.Node && n.Holds == me.Holds && n.Seals == me.Seals && n.Problem == me.Problem
	})
	if told && (!rotating || k.State == store.KeyAlone) {
		return nil
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := tx.PutKeyNode(me); err != nil || !rotating {
			return err
		}
		return s.move(tx, k)
	})
}

// move takes a rotation a step further when every node alive is ready for it.
func (s *Service) move(tx *store.Tx, k store.MasterKey) error {
	nodes, err := tx.KeyNodes(tx.Now.Add(-aliveFor))
	if err != nil {
		return err
	}
	switch k.State {
	case store.KeyOffered:
		if slices.ContainsFunc(nodes, func(n store.KeyNode) bool { return !holds(n, k.ID) }) {
			return nil
		}
		k.State = store.KeySealing
		moved, err := tx.PutMasterKey(k, store.KeyOffered)
		if err != nil || !moved {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.MasterKeyInUse, Actor: ra.System("keyring"), Object: k.ID,
			Message: "The new master key " + k.ID + " seals from now on.", Details: map[string]any{"nodes": len(nodes)}})
	case store.KeySealing:
		if slices.ContainsFunc(nodes, func(n store.KeyNode) bool { return n.Seals != k.ID }) {
			return nil
		}
		return job.Put(tx, s.Queue, ResealJob{Key: k.ID}, job.PutOptions{Unique: k.ID, Later: true})
	}
	return nil
}
