// Package store keeps the nouns of package ra in SQLite or PostgreSQL. It is
// the only importer of database/sql, it has methods and no rules: rows in,
// rows out. One SQL text serves both engines; what differs is in engine.go.
//
// Callers open a transaction with Write or Read and get a Tx. A Write
// transaction has one instant, Tx.Now, that all its rows share; no remote call
// belongs inside. An error of a Tx method other than NotFound ends the
// transaction: PostgreSQL refuses every statement after it.
//
// Those who write at the same time share a transaction and its commit, see
// commit.go; when the function of one fails nothing of it is kept and the others
// do not notice, and each is told of success only when everything is on the disk.
//
// On SQLite there is one writer and many readers. On PostgreSQL a row that is
// loaded inside Write is locked until the end, so that nobody changes it in
// between. Groups, authorities, templates and endpoints are not: every
// enrolment reads them. Storing one of those compares its UpdatedAt with the
// row instead, on both engines; when somebody else was faster Write runs again,
// and gives up with a Conflict if the noun it stores was loaded before.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"chancery/internal/ra"
)

//go:embed migration/*.sql
var migrations embed.FS

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine   engine
	write    *sqlx.DB
	read     *sqlx.DB
	now      func() time.Time
	commit   *committer
	commits  atomic.Int64  // transactions that were committed or tried to
	patience time.Duration // with a database that went away
	config   atomic.Pointer[configMemory]
}

// Open opens the database at url ("sqlite:PATH" or "postgres://..."), brings
// its tables up to date and gives it back. now fills Tx.Now; nil means the
// system clock. An unusable address is Invalid; a database that does not
// answer is Unreachable.
func Open(ctx context.Context, url string, now func() time.Time) (*DB, error) {
	if now == nil {
		now = time.Now
	}
	e, err := engineFor(url)
	if err != nil {
		return nil, err
	}
	write, read, err := e.open(url)
	if why := faultOf(err); err != nil && ra.KindOf(why) != ra.Internal {
		return nil, why
	}
	if err != nil {
		return nil, ra.Errorf(ra.Unreachable, "The database cannot be opened.").WithField("database").
			WithRemedy("Check that the path or server in the database address exists and may be used by this account.").WithCause(err)
	}
	db := &DB{engine: e, write: sqlx.NewDb(write, "pgx"), read: sqlx.NewDb(read, "pgx"), now: now, patience: patience}
	db.commit = newCommitter(db)
	if err := db.migrate(ctx); err != nil {
		db.Close()
		return nil, err
	}
	if err := db.sweepTokens(ctx); err != nil {
		db.Close()
		return nil, faultOf(err)
	}
	return db, nil
}

func (db *DB) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migration")
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithVerbose(false)}
	locker := db.engine.locker()
	if locker != nil {
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(db.engine.dialect, db.write.DB, dir, options...)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	// Without a locker another process may have made a step in between; each
	// further look finds fewer steps to make.
	for try := 0; err != nil && locker == nil && try < len(p.ListSources()); try++ {
		_, err = p.Up(ctx)
	}
	if err == nil {
		var newest, known int64
		if newest, known, err = p.GetVersions(ctx); err == nil && newest > known {
			return ra.Errorf(ra.Conflict, "The database is of a newer version of Chancery: its schema is %d, and this program knows %d.", newest, known).WithField("database").
				WithRemedy("Start the newer program again; to go back to this one, restore a backup that it made.")
		}
	}
	if err != nil {
		if why := faultOf(err); ra.KindOf(why) != ra.Internal {
			return why
		}
		return ra.Errorf(ra.Unreachable, "The database cannot be brought up to date.").WithField("database").
			WithRemedy("Check that the database answers, is writable and was not used by a newer version of Chancery.").WithCause(err)
	}
	return nil
}

// Close closes the database.
func (db *DB) Close() error { return errors.Join(db.write.Close(), db.read.Close()) }

// Engine names the database engine: "sqlite" or "postgres".
func (db *DB) Engine() string { return db.engine.name }

// Pool gives the writing connection pool, for the job library, which keeps its
// own tables in the same database.
func (db *DB) Pool() *sql.DB { return db.write.DB }

// Ping asks the database for a sign of life.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return faultOf(db.read.GetContext(ctx, &one, "SELECT 1"))
}

// Tx is one transaction. It is for one goroutine.
type Tx struct {
	Now time.Time // one instant for all rows of this transaction, in whole milliseconds
	ctx context.Context
	x   session
	sql *sql.Tx
	e   engine
	lck bool
	db  *DB

	audit      []*ra.AuditEntry     // appended when the transaction commits
	tally      tally                // what was counted
	texts      map[string]string    // of rows that were loaded or stored, by ID
	unsearched []newText            // texts to be found from now on
	sums       map[string]tallyPart // where rows that were loaded are counted, by ID

	config       *Config // as this transaction sees it; nil until somebody asks
	reconfigured bool    // it changed the configuration itself
}

// SQL gives the underlying transaction, for the job library's InsertTx. Others
// may share it: it is not to be committed or rolled back.
func (tx *Tx) SQL() *sql.Tx { return tx.sql }

// Write runs f in a transaction that is committed when f returns nil. On
// PostgreSQL a serialization failure, a deadlock or a server that went away runs
// f again, and so does, on both engines, a change that lost against another and
// the failure of somebody who shares the transaction; f must have no effect
// outside the transaction. f may run in one transaction with others that come at
// the same time; it sees what those before it did. When
// ctx ends before f's turn, f does not run; when it ends while f runs, nothing
// of f is kept.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	const tries = 5
	wait := db.newBackoff()
	for try := 1; ; {
		err := db.commit.do(ctx, f)
		switch {
		case err == nil, ctx.Err() != nil:
			return faultOf(err)
		case db.engine.away(err):
			if wait.pause(ctx) != nil {
				return faultOf(err)
			}
		case db.engine.transient(err) && try < tries:
			try++
		default:
			return faultOf(err)
		}
	}
}

// Read runs f once, in a read-only view of the database that does not change
// while f runs. It waits for a database that went away before, but f's error is
// the answer when that happens in the middle.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	return faultOf(db.view(ctx, f))
}

func (db *DB) view(ctx context.Context, f func(*Tx) error) error {
	conn, x, err := db.look(ctx)
	for wait := db.newBackoff(); db.engine.away(err) && wait.pause(ctx) == nil; {
		conn, x, err = db.look(ctx)
	}
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer conn.Close()
	defer x.Rollback() // there is nothing to commit
	return f(db.tx(ctx, conn, x, false))
}

// look begins a view.
func (db *DB) look(ctx context.Context) (*sqlx.Conn, *sqlx.Tx, error) {
	conn, err := db.read.Connx(ctx)
	if err != nil {
		return nil, nil, err
	}
	x, err := conn.BeginTxx(db.engine.statements(ctx), db.engine.readOptions())
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, x, nil
}

func (db *DB) tx(ctx context.Context, conn *sqlx.Conn, x *sqlx.Tx, write bool) *Tx {
	return &Tx{Now: db.now().UTC().Truncate(time.Millisecond), ctx: db.engine.statements(ctx), x: db.engine.session(conn, x), sql: x.Tx, e: db.engine, lck: write, db: db}
}
