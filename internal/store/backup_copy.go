package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"

	"chancery/internal/ra"
)

// SQLitePath gives the path of the file a database address names; ok is false
// when the address is not that of a SQLite database.
func SQLitePath(address string) (path string, ok bool) { return strings.CutPrefix(address, "sqlite:") }

// copyPages is how many pages are copied before the copy rests for as long as
// that took: 4 MiB of pages of 4 KiB.
const copyPages = 1024

// CopySQLite copies the SQLite database at an address into a new file, as it is
// at one instant, whether or not a server works on it meanwhile: writers are
// not held up, what they write later is not in the copy. It needs no current
// schema and changes nothing. The file is complete and synced when it returns
// nil. progress, unless nil, hears of pages copied and pages in all.
//
// An address of another engine is Invalid, a database that is not there
// NotFound, one that cannot be read or a disk without room Unreachable.
func CopySQLite(ctx context.Context, address, to string, progress func(done, all int)) error {
	path, ok := SQLitePath(address)
	if !ok {
		return ra.Errorf(ra.Invalid, "Only a SQLite database is copied as a file.").WithField("database").
			WithRemedy("Use the tools of the database server.")
	}
	db, err := openExisting(path, "")
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return faultOf(err)
	}
	defer conn.Close()
	// One read transaction over the whole copy: its pages are of one instant,
	// and no writer makes the copy begin anew.
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return faultOf(err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	var tables int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return faultOf(err)
	}
	err = conn.Raw(func(c any) error { return copyTo(ctx, c, to, progress) })
	if err == nil {
		err = syncFile(to)
	}
	if f, _ := causeOf(err); f == faultFull { // reading needs no room
		return ra.Errorf(ra.Unreachable, "There is no room for a copy of the database in %s.", filepath.Dir(to)).
			WithRemedy("Make room there, or choose another place.").WithCause(err)
	}
	return faultOf(err)
}

func copyTo(ctx context.Context, from any, to string, progress func(done, all int)) (err error) {
	source, ok := from.(interface {
		NewBackup(string) (*sqlite.Backup, error)
	})
	if !ok {
		return fmt.Errorf("store: %T makes no copies", from)
	}
	// The copy is synced once, at its end; until then it is worth nothing.
	b, err := source.NewBackup(fileURL(to) + "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Finish()) }()
	for more := true; more; {
		began := time.Now()
		if more, err = b.Step(copyPages); err != nil {
			return err
		}
		if progress != nil {
			progress(b.PageCount()-b.Remaining(), b.PageCount())
		}
		if !more {
			return nil
		}
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func fileURL(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// openExisting opens a SQLite file that is there, for reading.
func openExisting(path, more string) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, ra.Errorf(ra.NotFound, "There is no database at %s.", path).WithField("database").
			WithRemedy("Name the data folder with --data, or the database with --database.").WithCause(err)
	}
	return sql.Open("sqlite", fileURL(path)+"?mode=rw&_pragma=busy_timeout(10000)&_pragma=query_only(1)"+more)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Contents is what a database holds, in figures.
type Contents struct {
	Schema       int64     // version of the newest migration in it
	Certificates int64     // issued ones, in whatever state
	Requests     int64     // in whatever state
	AuditEntries int64     // number of the last entry
	AuditHead    string    // hash of the last entry, hex; empty without any
	LastEntry    time.Time // when the last entry was written; zero without any
	SealedWith   [][]byte  // the first five bytes of sealed values, each once: they name the key
}

// LookSQLite reads a SQLite file that nobody else uses through and tells what
// it holds. It works for every schema since the first one. A damaged file, or
// one that is no database of this program, is Invalid.
func LookSQLite(ctx context.Context, path string) (Contents, error) {
	db, err := openExisting(path, "")
	if err != nil {
		return Contents{}, err
	}
	defer db.Close()
	c, err := look(ctx, db)
	if err != nil && ra.KindOf(err) == ra.Internal {
		return c, ra.Errorf(ra.Invalid, "The file %s is damaged, or no database of Chancery.", path).
			WithRemedy("Use another backup.").WithCause(err)
	}
	return c, err
}

func look(ctx context.Context, db *sql.DB) (c Contents, err error) {
	if err := quickCheck(ctx, db); err != nil {
		return c, err
	}
	return contents(ctx, db)
}

// quickCheck has SQLite look through the whole file.
func quickCheck(ctx context.Context, db queryer) error {
	var found string
	err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found)
	if err == nil && found != "ok" {
		err = errors.New(found)
	}
	return err
}

type queryer interface {
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

func contents(ctx context.Context, db queryer) (c Contents, err error) {
	var last sql.NullInt64
	var head string
	for _, one := range []struct {
		q    string
		into any
	}{
		{"SELECT max(version_id) FROM goose_db_version WHERE is_applied", &c.Schema},
		{"SELECT count(*) FROM certificates", &c.Certificates},
		{"SELECT count(*) FROM requests", &c.Requests},
		{"SELECT max(at) FROM audit WHERE seq = (SELECT max(seq) FROM audit)", &last},
		{"SELECT coalesce((SELECT value FROM facts WHERE name = '" + auditHeadFact + "'), '')", &head},
	} {
		if err := db.QueryRowContext(ctx, one.q).Scan(one.into); err != nil {
			return c, err
		}
	}
	c.LastEntry = instant(last.Int64)
	var end auditHead
	if err := parse(head, &end); err != nil {
		return c, err
	}
	c.AuditEntries, c.AuditHead = end.Seq, end.Hash
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT substr(box, 1, 5) FROM sealed UNION SELECT DISTINCT substr(value, 1, 5) FROM journal WHERE substr(value, 1, 1) = $1", []byte{1})
	if err != nil {
		return c, err
	}
	defer rows.Close()
	for rows.Next() {
		var prefix []byte
		if err := rows.Scan(&prefix); err != nil {
			return c, err
		}
		c.SealedWith = append(c.SealedWith, prefix)
	}
	return c, rows.Err()
}

// Contents tells what the open database holds.
func (db *DB) Contents(ctx context.Context) (Contents, error) {
	c, err := contents(ctx, db.read)
	return c, faultOf(err)
}

// NewestSchema is the version of the newest migration this program knows.
func NewestSchema() int64 {
	files, err := fs.ReadDir(migrations, "migration")
	if err != nil || len(files) == 0 {
		panic("store: no migrations inside the program")
	}
	var version int64
	if _, err := fmt.Sscanf(files[len(files)-1].Name(), "%d_", &version); err != nil {
		panic("store: " + err.Error())
	}
	return version
}
