package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"chancery/bench/peer"
	"chancery/internal/store"
	"chancery/internal/store/storebench"
)

// stock is our server on a full inventory, kept for several cases.
type stock struct {
	*ours
	engine string
	world  *storebench.World
	count  int
}

// The engines.
const (
	sqlite   = "SQLite"
	postgres = "PostgreSQL"
)

// stocked gives the server on a million certificates. The first to ask has it
// filled on both engines, at the same time: that takes minutes.
func (b *bench) stocked(engine string) (*stock, error) {
	if len(b.stocks) > 0 {
		return b.stocks[engine], nil
	}
	if err := b.startPostgres(); err != nil {
		return nil, err
	}
	address, err := b.postgres.Database("stock")
	if err != nil {
		return nil, err
	}
	list := []*stock{{engine: sqlite}, {engine: postgres}}
	failed := make([]error, len(list))
	var filling sync.WaitGroup
	for i, s := range list {
		s.count, s.ours = b.pick(1_000_000, 30_000), b.ours(filepath.Join(b.dir, "stock-"+s.engine))
		if s.engine == postgres {
			s.database = address
		}
		b.say("filling %s with %d certificates", s.engine, s.count)
		filling.Go(func() {
			if s.world, failed[i] = s.fill(b.ctx, storebench.Of(s.count, soon())); failed[i] == nil {
				failed[i] = s.open(b.ctx)
			}
		})
	}
	filling.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for _, s := range list {
		b.stocks[s.engine] = s
	}
	return b.stocks[engine], nil
}

// startPostgres starts the run's own server, once.
func (b *bench) startPostgres() (err error) {
	if b.postgres == nil {
		if b.postgres, err = peer.StartPostgres(); err == nil {
			b.fact(postgres, b.postgres.Version)
		}
	}
	return err
}

// soon is the moment an inventory is made for: no obligation is due before, so
// that none of the server's own work falls into a measurement of something else.
func soon() time.Time { return time.Now().Add(3 * time.Hour) }

// fill writes an inventory before anything else is there.
func (o *ours) fill(ctx context.Context, shape storebench.Shape) (*storebench.World, error) {
	address := o.database
	if address == "" {
		address = "sqlite:" + o.file("chancery.db")
	}
	shape.Clock = &storebench.Clock{}
	db, err := store.Open(ctx, address, shape.Clock.Now)
	if err != nil {
		return nil, err
	}
	world, err := storebench.Fill(ctx, db, shape, nil)
	if err == nil {
		err = told(ctx, db, shape.Now)
	}
	if err != nil {
		err = fmt.Errorf("filling the database: %w", err)
	}
	return world, errors.Join(err, db.Close())
}

// told notes that people have heard of everything that is late by then: telling
// them of thousands at once is what only the first minutes of a server with an
// invented past are like.
func told(ctx context.Context, db *store.DB, then time.Time) error {
	for _, table := range []string{"certificates", "requests"} {
		if _, err := db.Pool().ExecContext(ctx, "UPDATE "+table+" SET escalated_at = $1 WHERE escalated_at = 0 AND deadline_at > 0 AND deadline_at < $1", then.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}
