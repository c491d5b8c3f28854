package store

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"chancery/internal/ra"
)

// fault is why a database does not work and what brings it back.
type fault struct{ message, remedy string }

var (
	faultFull = fault{"The disk of the database is full.",
		"Make room on that disk, or move the database to a larger one; the server goes on by itself as soon as there is room."}
	faultReadOnly = fault{"The database cannot be written to.",
		"Check the owner and mode of the file, and that its disk is not mounted read-only or, on a database server, that it is the primary; the server goes on by itself."}
	faultDamaged = fault{"The database is damaged.",
		"Stop the server, keep a copy of the file with its -wal and -shm, check the disk, and put the newest backup in its place: chancery restore FILE --replace."}
	faultNotOurs = fault{"The file is not a database, or its first page is damaged.",
		"Check the path; when it is the right file, keep a copy of it and put the newest backup in its place: chancery restore FILE --replace."}
	faultLocked = fault{"Another process holds the database.",
		"End whatever has it open (another server, a copy in progress, a database tool), then try again."}
	faultDisk = fault{"The disk of the database does not read or write.",
		"Look in the system's log for errors of the disk, and check that it is mounted and has room."}
	faultAway = fault{"The database server does not answer.",
		"Check that it runs and can be reached from here; the server goes on by itself as soon as it answers."}
	faultRefused = fault{"The database server refuses this account.",
		"Check the user, its password and its rights in the database address."}
	faultUnknown = fault{"The database does not exist on its server.",
		"Check the name in the database address, or make it with createdb."}
)

// faultOf gives an error of the database itself, as opposed to one about what
// was asked of it, as an Unreachable with what to do; every other error as it
// is. Whoever waits may come back: nothing of the transaction was kept.
func faultOf(err error) error {
	var known *ra.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	f, ok := causeOf(err)
	if !ok {
		return err
	}
	return ra.Errorf(ra.Unreachable, "%s", f.message).WithField("database").WithRemedy("%s", f.remedy).WithCause(err)
}

func causeOf(err error) (fault, bool) {
	var sq *sqlite.Error
	if errors.As(err, &sq) {
		f, ok := sqliteFaults[sq.Code()&0xff]
		return f, ok
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if f, ok := postgresFaults[pg.Code]; ok {
			return f, true
		}
		f, ok := postgresFaults[pg.Code[:min(2, len(pg.Code))]]
		return f, ok
	}
	var connect *pgconn.ConnectError
	var dial *net.OpError
	switch {
	case errors.As(err, &connect), errors.As(err, &dial):
		return faultAway, true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return faultFull, true
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return faultReadOnly, true
	}
	return fault{}, false
}

// By SQLite's primary result code.
var sqliteFaults = map[int]fault{
	sqlite3.SQLITE_FULL:     faultFull,
	sqlite3.SQLITE_READONLY: faultReadOnly,
	sqlite3.SQLITE_PERM:     faultReadOnly,
	sqlite3.SQLITE_CANTOPEN: faultReadOnly,
	sqlite3.SQLITE_CORRUPT:  faultDamaged,
	sqlite3.SQLITE_NOTADB:   faultNotOurs,
	sqlite3.SQLITE_BUSY:     faultLocked,
	sqlite3.SQLITE_LOCKED:   faultLocked,
	sqlite3.SQLITE_PROTOCOL: faultLocked,
	sqlite3.SQLITE_IOERR:    faultDisk,
}

// By SQLSTATE, or the two characters of its class.
var postgresFaults = map[string]fault{
	"53100": faultFull,
	"25006": faultReadOnly,
	"42501": faultRefused,
	"28":    faultRefused,
	"3D000": faultUnknown,
	"XX001": faultDamaged,
	"XX002": faultDamaged,
	"08":    faultAway,
	"53":    faultAway,
	"57P01": faultAway,
	"57P02": faultAway,
	"57P03": faultAway,
	"58":    faultDisk,
}
