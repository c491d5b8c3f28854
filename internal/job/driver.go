package job

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivershared/baseservice"
	"github.com/riverqueue/river/rivershared/riverpilot"
	"github.com/riverqueue/river/rivertype"

	"chancery/internal/store"
)

// driver is river's driver for an engine. Through its pilot, river's own way
// to extend a client, it gets hold of the function that makes the client look
// for jobs, which is not to be had otherwise.
type driver struct {
	riverdriver.Driver[*sql.Tx]
	pilot pilot
}

func newDriver(db *store.DB) *driver {
	if db.Engine() == "sqlite" {
		return &driver{Driver: riversqlite.New(db.Pool())}
	}
	return &driver{Driver: riverdatabasesql.New(db.Pool())}
}

// PluginInit is of no use here but makes driver a plugin in river's eyes.
func (d *driver) PluginInit(*baseservice.Archetype) {}

// PluginPilot is called by the client that is made with d.
func (d *driver) PluginPilot() riverpilot.Pilot { return &d.pilot }

type pilot struct {
	riverpilot.StandardPilot
	kick func()
}

// PilotInit is called by the client before it is started.
func (p *pilot) PilotInit(_ *baseservice.Archetype, params *riverpilot.PilotInitParams) {
	p.kick = func() {
		params.NotifyNonTxJobInsert(context.Background(),
			[]*rivertype.JobInsertResult{{Job: &rivertype.JobRow{Queue: river.QueueDefault}}})
	}
}

// migrateLock is the PostgreSQL advisory lock that one migrating node holds.
const migrateLock = 0x6368616e63657279

// migrate creates or changes river's tables if need be, one node at a time.
func migrate(ctx context.Context, db *store.DB, d *driver, log *slog.Logger) error {
	m, err := rivermigrate.New(d, &rivermigrate.Config{Logger: log})
	if err != nil {
		return err
	}
	if done, err := m.Validate(ctx); err != nil || done.OK {
		return err
	}
	return db.Write(ctx, func(tx *store.Tx) error {
		if db.Engine() == "sqlite" {
			// The transaction is the lock, and has the only connection.
			_, err := m.MigrateTx(ctx, tx.SQL(), rivermigrate.DirectionUp, nil)
			return err
		}
		if _, err := tx.SQL().ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
			return err
		}
		_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	})
}
