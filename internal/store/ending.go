package store

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"chancery/internal/ra"
)

// ending is what a batch writes right before its commit, once for all members:
// what one transaction at a time can write is written as late as can be.
type ending struct {
	audit []*ra.AuditEntry
	tally tally
	texts []newText
	token string // tells afterwards whether the commit took place
}

func (e *ending) add(tx *Tx) {
	e.audit = append(e.audit, tx.audit...)
	e.tally.merge(tx.tally)
	e.texts = append(e.texts, tx.unsearched...)
}

// write takes the lock of the audit chain, which is held until the commit.
func (e *ending) write(tx *Tx, lane string) error {
	if tx.e.remote {
		e.token = rand.Text()
		if err := tx.putToken(lane, e.token); err != nil {
			return err
		}
	}
	if len(e.audit) == 0 && len(e.tally) == 0 && len(e.texts) == 0 {
		return nil
	}
	if err := tx.alone(auditLock); err != nil {
		return err
	}
	if err := tx.putTally(e.tally); err != nil {
		return err
	}
	if err := tx.putTexts(e.texts); err != nil {
		return err
	}
	return tx.appendAudit(e.audit)
}

// putToken notes that the transaction of a lane commits.
func (tx *Tx) putToken(lane, token string) error {
	_, err := tx.exec("INSERT INTO commits (lane, token, at) VALUES ($1, $2, $3) ON CONFLICT (lane) DO UPDATE SET token = excluded.token, at = excluded.at",
		lane, token, millis(tx.Now))
	return err
}

// sweepTokens deletes those of processes that are long gone.
func (db *DB) sweepTokens(ctx context.Context) error {
	if !db.engine.remote {
		return nil
	}
	_, err := db.write.ExecContext(ctx, "DELETE FROM commits WHERE at < $1", millis(db.now().Add(-24*time.Hour)))
	return err
}

// A database on another machine, or restarted by itself, can go away in the
// middle of a transaction. Before the commit was sent nothing is kept, so the
// functions run again as soon as it is back. When it goes away during the
// commit, nobody knows by the error alone.

// patience is how long Write and Read wait for a database that went away.
const patience = 15 * time.Second

// lostError is the failure of a transaction that ended without its commit, and
// that nobody asked to end.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// gone gives the error of a transaction that is gone before its commit. Of
// SQLite it is a lasting one: the disk is full or broken.
func (e engine) gone(err error) error {
	if e.remote {
		return lostError{err}
	}
	return err
}

// away reports that the database went away before anything was done, or cannot
// be reached.
func (e engine) away(err error) bool {
	if !e.remote || err == nil {
		return false
	}
	var lost lostError
	if errors.As(err, &lost) {
		return true
	}
	var known *ra.Error
	if errors.As(err, &known) {
		return false
	}
	f, _ := causeOf(err)
	return f == faultAway || broken(err)
}

// broken reports whether err is that of a connection rather than of what was
// asked over it.
func broken(err error) bool {
	for _, one := range []error{driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// answered reports whether err is the database's refusal of a statement, after
// which its transaction is still there to be rolled back.
func answered(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR"
}

// outcome finds out whether a commit that ended with err took place all the
// same, and gives nil then. Where it did not, the error says that running again
// is safe.
func (db *DB) outcome(err error, lane, token string) error {
	if !db.engine.remote || answered(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), db.patience)
	defer cancel()
	for wait := db.newBackoff(); ; {
		var last string
		// The row is locked until the former transaction has ended, one way or
		// the other, also where its server process has not noticed yet.
		asked := db.write.GetContext(ctx, &last, "INSERT INTO commits (lane, token, at) VALUES ($1, '', 0) ON CONFLICT (lane) DO UPDATE SET at = commits.at RETURNING token", lane)
		switch {
		case asked == nil && last == token:
			return nil
		case asked == nil:
			return lostError{err}
		}
		if wait.pause(ctx) != nil {
			return ra.Errorf(ra.Unreachable, "The database went away while a change was being kept, and nobody knows yet whether it was.").WithField("database").
				WithRemedy("When the database answers again, look whether the change is there before repeating it.").WithCause(errors.Join(err, asked))
		}
	}
}

// backoff waits longer each time.
type backoff struct {
	next time.Duration
	end  time.Time
}

func (db *DB) newBackoff() *backoff {
	return &backoff{10 * time.Millisecond, time.Now().Add(db.patience)}
}

// pause waits, unless ctx ends or it has been waited for long enough.
func (b *backoff) pause(ctx context.Context) error {
	if time.Now().After(b.end) {
		return context.DeadlineExceeded
	}
	select {
	case <-time.After(b.next):
		b.next = min(2*b.next, 500*time.Millisecond)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
