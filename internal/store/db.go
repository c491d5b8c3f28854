// Package store keeps the nouns of package ra in SQLite or PostgreSQL. It is
// the only importer of database/sql, it has methods and no rules: rows in,
// rows out. One SQL text serves both engines; what differs is in engine.go.
//
// Callers open a transaction with Write or Read and get a Tx. A Write
// transaction has one instant, Tx.Now, that all its rows share; no remote call
// belongs inside. An error of a Tx method other than NotFound ends the
// transaction: PostgreSQL refuses every statement after it.
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
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"chancery/internal/ra"
)

//go:embed migration/*.sql
var migrations embed.FS

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine engine
	write  *sqlx.DB
	read   *sqlx.DB
	now    func() time.Time
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
	if err != nil {
		return nil, ra.Errorf(ra.Unreachable, "The database cannot be opened.").WithField("database").
			WithRemedy("Check that the path or server in the database address exists and may be used by this account.").WithCause(err)
	}
	db := &DB{engine: e, write: sqlx.NewDb(write, "pgx"), read: sqlx.NewDb(read, "pgx"), now: now}
	if err := db.migrate(ctx); err != nil {
		db.Close()
		return nil, err
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
			err = fmt.Errorf("its version is %d, this program knows %d", newest, known)
		}
	}
	if err != nil {
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
	return db.read.GetContext(ctx, &one, "SELECT 1")
}

// Tx is one transaction. It is for one goroutine.
type Tx struct {
	Now time.Time // one instant for all rows of this transaction, in whole milliseconds
	ctx context.Context
	x   *sqlx.Tx
	e   engine
	lck bool

	audit []*ra.AuditEntry // appended when the transaction commits
}

// SQL gives the underlying transaction, for the job library's InsertTx.
func (tx *Tx) SQL() *sql.Tx { return tx.x.Tx }

// Write runs f in a transaction that is committed when f returns nil. On
// PostgreSQL a serialization failure or deadlock runs f again, and so does, on
// both engines, a change that lost against another; f must have no effect
// outside the transaction.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	const tries = 5
	for try := 1; ; try++ {
		err := db.run(ctx, db.write, true, f)
		if err == nil || try == tries || !db.engine.transient(err) || ctx.Err() != nil {
			return err
		}
	}
}

// Read runs f in a read-only view of the database that does not change while
// f runs.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	return db.run(ctx, db.read, false, f)
}

func (db *DB) run(ctx context.Context, pool *sqlx.DB, write bool, f func(*Tx) error) error {
	opts := &sql.TxOptions{}
	if !write {
		opts = db.engine.readOptions()
	}
	x, err := pool.BeginTxx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer x.Rollback() // does nothing after Commit; f may also panic
	tx := &Tx{Now: db.now().UTC().Truncate(time.Millisecond), ctx: ctx, x: x, e: db.engine, lck: write}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.appendAudit(); err != nil {
		return err
	}
	if err := x.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
