package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"chancery/internal/ra"
)

// engine is what differs between the two databases.
type engine struct {
	name    string
	dialect goose.Dialect
	remote  bool   // the database can go away and come back
	lanes   int    // batches of changes at a time
	lockRow string // appended to a SELECT of rows that will be changed
	keepRow string // appended to a SELECT of rows that must not change until the end
	skip    string // appended to a SELECT that takes work from a queue
	alone   string // statement that waits until no other transaction holds the lock $1
	clock   string // statement that gives the microseconds of a clock all nodes share; empty: there is one node
}

var (
	sqliteEngine   = engine{name: "sqlite", dialect: goose.DialectSQLite3, lanes: 1}
	postgresEngine = engine{name: "postgres", dialect: goose.DialectPostgres, remote: true, lanes: 4,
		lockRow: " FOR NO KEY UPDATE", // rows that refer to this one may still be added meanwhile
		keepRow: " FOR SHARE",
		skip:    " FOR NO KEY UPDATE SKIP LOCKED",
		alone:   "SELECT pg_advisory_xact_lock($1)",
		clock:   "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
	}
)

func engineFor(address string) (engine, error) {
	switch {
	case strings.HasPrefix(address, "sqlite:"):
		return sqliteEngine, nil
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		return postgresEngine, nil
	}
	return engine{}, ra.Errorf(ra.Invalid, "The database address is not understood.").WithField("database").
		WithRemedy("Use sqlite:PATH or postgres://USER@HOST/DATABASE.")
}

// open gives a pool for writing and one for reading; on PostgreSQL they are
// the same kind of pool, on SQLite the writer has exactly one connection.
func (e engine) open(address string) (write, read *sql.DB, err error) {
	if e.name == postgresEngine.name {
		config, err := pgx.ParseConfig(address)
		if err != nil {
			return nil, nil, err
		}
		write = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(watched))
		read = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(watched))
		for _, pool := range []*sql.DB{write, read} {
			pool.SetMaxOpenConns(12)
			pool.SetMaxIdleConns(12)
			pool.SetConnMaxIdleTime(5 * time.Minute)
		}
		return write, read, nil
	}
	path := strings.TrimPrefix(address, "sqlite:")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, err
	}
	f.Close()
	// The writer copies its log into the file when that has 16 MB: pages that
	// many changes touch are copied once, and it takes a fraction of a second.
	write = sql.OpenDB(sqliteConnector{sqliteDSN(path, "immediate", "cache_size(-20000)", "wal_autocheckpoint(4000)")})
	write.SetMaxOpenConns(1)
	// Readers that nobody needs give their memory back.
	read = sql.OpenDB(sqliteConnector{sqliteDSN(path, "deferred", "cache_size(-8000)", "query_only(1)")})
	read.SetConnMaxIdleTime(5 * time.Minute)
	read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	read.SetMaxIdleConns(max(4, runtime.NumCPU()))
	return write, read, nil
}

// watched asks PostgreSQL to notice in the middle of a statement that nobody
// waits for its answer any more, so that what its transaction has locked is free
// again soon. A server that cannot (before 14, or not on Linux) goes on without.
func watched(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('client_connection_check_interval', '5s', false)")
	if answered(err) {
		return nil
	}
	return err
}

func sqliteDSN(path, txlock string, more ...string) string {
	q := url.Values{}
	q.Set("_txlock", txlock)
	for _, p := range append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "temp_store(MEMORY)"}, more...) {
		q.Add("_pragma", p)
	}
	return fmt.Sprintf("file:%s?%s", (&url.URL{Path: path}).EscapedPath(), q.Encode())
}

func (e engine) locker() lock.SessionLocker {
	if e.name != postgresEngine.name {
		return nil
	}
	l, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // looks every second, for five minutes
	if err != nil {
		panic(err) // the options above are constants
	}
	return l
}

// session is what statements are given to.
type session interface {
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
	GetContext(ctx context.Context, row any, q string, args ...any) error
	SelectContext(ctx context.Context, rows any, q string, args ...any) error
}

// session gives what runs the statements of a transaction. On SQLite it is the
// connection itself: the transaction would start a goroutine for every
// statement, to end it with the transaction's context, which is never ended.
func (e engine) session(conn *sqlx.Conn, x *sqlx.Tx) session {
	if e.remote {
		return x
	}
	return conn
}

// statements gives the context for the statements of a transaction. On SQLite
// one that is interrupted takes all members of a batch with it, and watching
// for the end of ctx costs more than most statements: there it is looked at
// between statements only. See Tx.long for those that take long.
func (e engine) statements(ctx context.Context) context.Context {
	if e.remote {
		return ctx
	}
	return uninterrupted{ctx}
}

// uninterrupted is a context that has to be asked whether it has ended.
type uninterrupted struct{ context.Context }

func (uninterrupted) Done() <-chan struct{} { return nil }

// long gives the context for a statement that may read many rows: nobody goes
// on reading for somebody who has gone away.
func (tx *Tx) long() context.Context {
	if quick, ok := tx.ctx.(uninterrupted); ok && !tx.lck {
		return quick.Context
	}
	return tx.ctx
}

func (e engine) readOptions() *sql.TxOptions {
	if e.name == postgresEngine.name {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	return &sql.TxOptions{}
}

// The locks of engine.alone. On SQLite the one writer is alone already.
const (
	groupsLock = 0x6368616e63650001 // the shape of the group tree
	auditLock  = 0x6368616e63650002 // the end of the audit chain
)

// stale marks the failure of a change made to a row that changed meanwhile.
var stale = errors.New("the row changed after it was read")

// transient reports a failure that running the transaction again may cure.
func (e engine) transient(err error) bool {
	if errors.Is(err, stale) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	return false
}

// unfit reports whether err says that PostgreSQL cannot keep or compare a
// text: it holds a zero byte or is not UTF-8.
func unfit(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P05")
}

// unique reports whether err is the violation of a unique constraint, by code,
// and gives the name of the constraint or its columns.
func unique(err error) (string, bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return pg.ConstraintName, true
	}
	var sq *sqlite.Error
	if errors.As(err, &sq) && (sq.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || sq.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return sq.Error(), true
	}
	return "", false
}

// referenced reports whether err says that another row still points here, or
// that the row pointed at does not exist.
func referenced(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23503"
	}
	var sq *sqlite.Error
	return errors.As(err, &sq) && sq.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}
