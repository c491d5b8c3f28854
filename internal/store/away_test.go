package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// A server that is restarted or crashes under load costs its clients time and
// nothing else: every change is made once and none is refused.
func TestRestartUnderWriters(t *testing.T) {
	server := testpeer.PostgresServer(t)
	address := server.Database()
	db := openAt(t, address)
	const writers = 8
	var made atomic.Int64
	stop := make(chan struct{})
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := int(made.Add(1)) - 1
				// The same insert twice would fail, and the sum below shows one too few.
				err := db.Write(t.Context(), func(tx *Tx) error {
					if _, err := tx.exec("INSERT INTO facts (name, value) VALUES ($1, 'noted')", fact(n)); err != nil {
						return err
					}
					return tx.Append(&ra.AuditEntry{Code: "test.noted", Actor: ra.System("test"), Object: fact(n), Result: "ok"})
				})
				if err != nil && errs[i] == nil {
					errs[i] = err
				}
			}
		})
	}
	progress := func() {
		t.Helper()
		from := made.Load()
		await(t, "the writers get on", func() bool { return made.Load() > from+3*writers })
	}
	progress()
	for _, end := range []func(){server.Stop, server.Kill, server.Stop} {
		end()
		server.Start()
		progress()
	}
	close(stop)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	err := db.Read(t.Context(), func(tx *Tx) error {
		var facts int64
		err := tx.x.GetContext(tx.ctx, &facts, "SELECT count(*) FROM facts WHERE name LIKE 'test.%'")
		report, err2 := tx.VerifyAudit(nil)
		if facts != made.Load() || report.Entries != made.Load() || report.Problem != "" {
			t.Errorf("got %d facts, %d entries, %q; want %d of both and no problem", facts, report.Entries, report.Problem, made.Load())
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cutter stands between a client and its server, and cuts the connection at the
// next commit: before the server hears of it, or before the client hears back.
type cutter struct {
	server string
	before atomic.Bool
	after  atomic.Bool
	cuts   atomic.Int64
}

// commitMessage is how the client's library says it (PostgreSQL protocol,
// "Query").
var commitMessage = []byte("Q\x00\x00\x00\x0bcommit\x00")

func (c *cutter) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go c.connect(client)
	}
}

func (c *cutter) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var deaf atomic.Bool
	go func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || deaf.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], commitMessage) {
			if c.before.CompareAndSwap(true, false) {
				c.cuts.Add(1)
				return
			}
			if c.after.CompareAndSwap(true, false) {
				c.cuts.Add(1)
				deaf.Store(true)
				server.Write(buffer[:n])
				io.Copy(io.Discard, client) // until the other half has seen the answer and closed
				return
			}
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// throughCutter opens a database through a cutter.
func throughCutter(t *testing.T) (*DB, *cutter) {
	t.Helper()
	u, err := url.Parse(testpeer.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &cutter{server: u.Host}
	go c.serve(l)
	u.Host = l.Addr().String()
	return openAt(t, u.String()), c
}

// A connection that breaks in the commit leaves open whether it took place. The
// answer must be true, and the change made once.
func TestCommitWithoutAnswer(t *testing.T) {
	for name, cut := range map[string]struct {
		set  func(*cutter)
		runs int
	}{
		"the server never heard of it": {func(c *cutter) { c.before.Store(true) }, 2},
		"the client never heard back":  {func(c *cutter) { c.after.Store(true) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			db, c := throughCutter(t)
			for i := range 5 {
				runs := 0
				cut.set(c)
				err := db.Write(t.Context(), func(tx *Tx) error {
					runs++
					return noteFact(tx, i)
				})
				if err != nil {
					t.Fatal(err)
				}
				if runs != cut.runs {
					t.Errorf("change %d ran %d times, want %d", i, runs, cut.runs)
				}
			}
			if got := c.cuts.Load(); got != 5 {
				t.Errorf("got %d cuts, want 5", got)
			}
			wantFacts(t, db, count(5)...)
		})
	}
}

// When nobody can say whether a change was kept, that is what the caller hears,
// and the change is not made again.
func TestCommitWithoutAnswerAndThenNothing(t *testing.T) {
	server := testpeer.PostgresServer(t)
	db := openAt(t, server.Database())
	server.Kill()
	db.patience = 300 * time.Millisecond
	err := db.outcome(io.ErrUnexpectedEOF, "lane", "token")
	if ra.KindOf(err) != ra.Unreachable || db.engine.away(err) || db.engine.transient(err) {
		t.Errorf("got %v, want that nobody knows", err)
	}
}

// A query that is cut off takes its connection with it: the others of the batch
// begin again, and only its own caller hears of it.
func TestCutOffQuery(t *testing.T) {
	db := openAt(t, testpeer.Postgres(t))
	db.oneLane()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sleeps := make(chan struct{})
	release := db.gather(t)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			if i != 1 {
				errs[i] = db.Write(t.Context(), func(tx *Tx) error { return noteFact(tx, i) })
				return
			}
			errs[i] = db.Write(ctx, func(tx *Tx) error {
				close(sleeps)
				_, err := tx.exec("SELECT pg_sleep(600)")
				return err
			})
		})
		db.inLine(t, i+1)
	}
	go func() { <-sleeps; cancel() }()
	if err := release(); err != nil {
		t.Errorf("the first member: %v", err)
	}
	wg.Wait()
	if errs[0] != nil || !errors.Is(errs[1], context.Canceled) || errs[2] != nil {
		t.Errorf("got %v, %v, %v; want that the second one was cancelled", errs[0], errs[1], errs[2])
	}
	wantFacts(t, db, 0, 2)
}
