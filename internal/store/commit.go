package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// What makes a change durable is a write to the disk, and that costs as much
// for fifty changes as for one. So callers of Write that come at the same time
// share a transaction: a batch. They run one after the other, each in its own
// goroutine. The last one commits for all, and nobody is told of success before.
// Meanwhile the next ones gather. Nobody waits for company: a batch is committed
// as soon as no one stands in line.
//
// Few fail, so a batch is made without savepoints, which cost a copy of every
// page that changes. Whoever fails as the first is alone with its transaction.
// When another one does, the batch is spoilt: it is rolled back, all members run
// again, and for a while the batches are careful: each member has a savepoint,
// and whoever fails is rolled back alone.
//
// A lane is one batch after the other. SQLite has one, for it has one writer.
// PostgreSQL has a few, so that a change that waits for a row does not hold up
// all others; there the audit chain, which one transaction at a time can
// append to, is what makes batches worth while.

const (
	maxBatch     = 64                    // members of a batch
	maxBatchTime = 20 * time.Millisecond // after which nobody joins any more
	endTime      = time.Minute           // for what is done for all at the end
	careAfter    = 64                    // batches with savepoints after one that was spoilt
)

// errSpoilt is why the members of a batch run again.
var errSpoilt = errors.New("store: another member of the batch failed")

// committer forms the batches.
type committer struct {
	db       *DB
	most     int           // members of a batch
	longest  time.Duration // after which nobody joins a batch
	rehearse bool          // see DB.Rehearse

	mu   sync.Mutex
	idle []string // lanes without a batch
	line []*member
	care int // batches still to be made with savepoints
}

func newCommitter(db *DB) *committer {
	c := &committer{db: db, most: maxBatch, longest: maxBatchTime}
	life := rand.Text()
	for i := range db.engine.lanes {
		c.idle = append(c.idle, fmt.Sprintf("%s-%d", life, i))
	}
	return c
}

// member is a caller of Write that stands in line.
type member struct{ turn chan *batch }

// batch is a transaction and what its members have left to be done at its end.
type batch struct {
	lane    string
	conn    *sqlx.Conn
	x       *sqlx.Tx
	careful bool // each member has a savepoint
	began   time.Time
	members int   // that took part
	good    int   // of them, those that did not fail
	full    bool  // nobody joins any more
	lost    error // why the transaction is gone
	end     ending
	done    chan struct{} // closed when err is valid
	err     error
}

// do runs f as a member of a batch, again where that is spoilt, and gives f's
// error or that of the commit.
func (c *committer) do(ctx context.Context, f func(*Tx) error) error {
	for {
		if err := c.try(ctx, f); err != errSpoilt {
			return err
		}
	}
}

func (c *committer) try(ctx context.Context, f func(*Tx) error) error {
	b, err := c.enter(ctx)
	if err != nil {
		return err
	}
	if err := c.take(ctx, b, f); err != nil {
		return err
	}
	<-b.done
	return b.err
}

// enter waits for a turn. Whoever gets one must leave.
func (c *committer) enter(ctx context.Context) (*batch, error) {
	c.mu.Lock()
	var b *batch
	if last := len(c.idle) - 1; last >= 0 {
		b = newBatch(c.idle[last])
		c.idle = c.idle[:last]
		c.mu.Unlock()
	} else {
		m := &member{turn: make(chan *batch, 1)}
		c.line = append(c.line, m)
		c.mu.Unlock()
		select {
		case b = <-m.turn:
		case <-ctx.Done():
			if c.forget(m) {
				return nil, ctx.Err()
			}
			b = <-m.turn
		}
	}
	err := ctx.Err()
	if err == nil && b.x == nil {
		b.careful = c.careful()
		err = b.begin(ctx, c.db)
	}
	if err != nil {
		c.leave(b)
		return nil, err
	}
	return b, nil
}

// careful reports whether a batch that begins needs savepoints.
func (c *committer) careful() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.care == 0 {
		return false
	}
	c.care--
	return true
}

// spoil rolls a batch back for all and makes the next ones careful.
func (c *committer) spoil(b *batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.care, b.lost = careAfter, errSpoilt
}

// forget takes somebody out of the line; false when the turn was given already.
func (c *committer) forget(m *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.line, m)
	if i < 0 {
		return false
	}
	c.line = slices.Delete(c.line, i, i+1)
	return true
}

// next gives the turn in a batch to the first in line, or puts the lane to rest
// when rest is set; false when nobody stands there.
func (c *committer) next(b *batch, rest bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) == 0 {
		if rest {
			c.idle = append(c.idle, b.lane)
		}
		return false
	}
	m := c.line[0]
	c.line = slices.Delete(c.line, 0, 1)
	m.turn <- b
	return true
}

// open reports whether somebody may join a batch.
func (c *committer) open(b *batch) bool {
	return b.x != nil && b.lost == nil && !b.full && b.members < c.most && time.Since(b.began) < c.longest
}

// leave ends a turn: somebody else joins the batch, or it ends and the lane
// begins another or rests.
func (c *committer) leave(b *batch) {
	if c.open(b) && c.next(b, false) {
		return
	}
	// Who is about to come needs the processor first. Where nobody needs it this
	// takes no time.
	runtime.Gosched()
	if c.open(b) && c.next(b, false) {
		return
	}
	defer c.next(newBatch(b.lane), true)
	if b.x != nil {
		b.err = errors.New("store: the end of the transaction was not reached")
		defer close(b.done)
		b.err = b.finish(c.db)
	}
}

func newBatch(lane string) *batch { return &batch{lane: lane, done: make(chan struct{})} }

// begin opens the transaction. The first member's context bounds the wait for
// a connection and nothing after that.
func (b *batch) begin(ctx context.Context, db *DB) error {
	conn, err := db.write.Connx(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	x, err := conn.BeginTxx(context.WithoutCancel(ctx), nil)
	if err != nil {
		conn.Close()
		return fmt.Errorf("begin: %w", err)
	}
	b.conn, b.x, b.began = conn, x, time.Now()
	return nil
}

// take runs one member's function and leaves the batch, whatever way the
// function ends.
func (c *committer) take(ctx context.Context, b *batch, f func(*Tx) error) (err error) {
	b.members++
	good := false
	defer func() {
		switch {
		case good:
			b.good++
		case b.lost != nil:
		case b.careful:
			b.undo()
		case b.members == 1: // nothing else was done, so the batch ends here
			b.full = true
			b.lost = b.asked(c.db)
		default:
			c.spoil(b)
			err = errSpoilt
		}
		if err != nil && b.lost != nil && b.lost != errSpoilt {
			err = c.db.engine.gone(err)
		}
		c.leave(b)
	}()
	if b.careful {
		if b.lost = b.exec("SAVEPOINT member"); b.lost != nil {
			return b.lost
		}
	}
	if c.rehearse {
		if b.lost = c.rehearsal(ctx, b, f); b.lost != nil {
			return b.lost
		}
	}
	tx := c.db.tx(ctx, b.conn, b.x, true)
	if err := f(tx); err != nil {
		b.full = c.db.engine.transient(err) // let go of what this one waits for
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.careful {
		if b.lost = b.exec("RELEASE SAVEPOINT member"); b.lost != nil {
			return b.lost
		}
	}
	b.end.add(tx)
	good = true
	return nil
}

// Rehearse makes every Write run its function twice, the first time for nothing:
// so a test finds functions that leave something behind outside of their
// transaction. It is to be called before the first Write.
func (db *DB) Rehearse() { db.commit.rehearse = true }

// rehearsal runs a function and takes back what it did to the database.
func (c *committer) rehearsal(ctx context.Context, b *batch, f func(*Tx) error) error {
	if err := b.exec("SAVEPOINT rehearsal"); err != nil {
		return err
	}
	f(c.db.tx(ctx, b.conn, b.x, true)) // its error comes again, or would not have counted
	return errors.Join(b.exec("ROLLBACK TO SAVEPOINT rehearsal"), b.exec("RELEASE SAVEPOINT rehearsal"))
}

// undo rolls the last member back. Where that fails the transaction is gone.
func (b *batch) undo() {
	for _, statement := range []string{"ROLLBACK TO SAVEPOINT member", "RELEASE SAVEPOINT member"} {
		if b.lost == nil {
			b.lost = b.exec(statement)
		}
	}
}

func (b *batch) exec(statement string) error {
	_, err := b.x.ExecContext(context.Background(), statement)
	return err
}

// asked finds out whether a database that can go away has, and gives why.
func (b *batch) asked(db *DB) error {
	if !db.engine.remote {
		return nil
	}
	if err := b.exec("SELECT 1"); !answered(err) {
		return err
	}
	return nil
}

// finish commits what the good members did and gives the error they all get.
func (b *batch) finish(db *DB) error {
	defer b.conn.Close()
	defer b.x.Rollback() // does nothing after a commit
	if b.lost == errSpoilt {
		return errSpoilt
	}
	if b.lost != nil {
		return db.engine.gone(fmt.Errorf("the transaction ended before its commit: %w", b.lost))
	}
	if b.good == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if err := b.end.write(db.tx(ctx, b.conn, b.x, true), b.lane); err != nil {
		if b.asked(db) != nil && !answered(err) {
			return db.engine.gone(err)
		}
		return err
	}
	db.commits.Add(1)
	if err := b.x.Commit(); err != nil {
		return db.outcome(fmt.Errorf("commit: %w", err), b.lane, b.end.token)
	}
	return nil
}
