package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// eachOpen runs a test on an empty database of each engine.
func eachOpen(t *testing.T, test func(t *testing.T, db *DB, address string)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(t, openAt(t, address), address) })
}

func openAt(t testing.TB, address string) *DB {
	t.Helper()
	db, err := Open(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// await waits until somebody else has brought something about.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// inLine waits until n stand in line.
func (db *DB) inLine(t testing.TB, n int) {
	t.Helper()
	await(t, fmt.Sprint(n, " stand in line"), func() bool {
		db.commit.mu.Lock()
		defer db.commit.mu.Unlock()
		return len(db.commit.line) == n
	})
}

// gather keeps every lane busy, and gives what ends that and gives the errors
// of those who did it.
func (db *DB) gather(t testing.TB) (release func() error) {
	t.Helper()
	// However slow the machine is, time is not what ends a batch here.
	db.commit.longest = time.Hour
	open, busy := make(chan struct{}), make(chan struct{})
	lanes := len(db.commit.idle)
	errs := make([]error, lanes)
	var wg sync.WaitGroup
	for i := range lanes {
		wg.Go(func() {
			var once sync.Once // it may have to begin again
			errs[i] = db.Write(t.Context(), func(*Tx) error { once.Do(func() { busy <- struct{}{} }); <-open; return nil })
		})
	}
	for range lanes {
		<-busy
	}
	return func() error { close(open); wg.Wait(); return errors.Join(errs...) }
}

// oneLane makes batches come one after the other on every engine.
func (db *DB) oneLane() { db.commit.idle = db.commit.idle[:1] }

func fact(i int) string { return fmt.Sprintf("test.%03d", i) }

func noteFact(tx *Tx, i int) error {
	err := tx.Append(&ra.AuditEntry{Code: "test.noted", Actor: ra.System("test"), Object: fact(i), Result: "ok", Message: fact(i)})
	return errors.Join(tx.PutFact(fact(i), "noted"), err)
}

// wantFacts wants the facts that are there, and the entries of the audit log,
// to be these.
func wantFacts(t *testing.T, db *DB, want ...int) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *Tx) error {
		var names, objects []string
		err := errors.Join(tx.x.SelectContext(tx.ctx, &names, "SELECT name FROM facts WHERE name LIKE 'test.%' ORDER BY name"),
			tx.x.SelectContext(tx.ctx, &objects, "SELECT object FROM audit WHERE object LIKE 'test.%' ORDER BY object"))
		var wanted []string
		for _, i := range want {
			wanted = append(wanted, fact(i))
		}
		if got := strings.Join(names, " "); got != strings.Join(wanted, " ") {
			t.Errorf("facts: got %s, want %s", got, strings.Join(wanted, " "))
		}
		if got := strings.Join(objects, " "); got != strings.Join(wanted, " ") {
			t.Errorf("audit entries: got %s, want %s", got, strings.Join(wanted, " "))
		}
		report, err2 := tx.VerifyAudit(nil)
		if report.Problem != "" || report.Entries != int64(len(want)) {
			t.Errorf("audit log: %d entries, %q; want %d and no problem", report.Entries, report.Problem, len(want))
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
}

func count(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestWritersShareCommits(t *testing.T) {
	eachOpen(t, func(t *testing.T, db *DB, address string) {
		const n = 200
		lanes := len(db.commit.idle)
		before := db.commits.Load()
		release := db.gather(t)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { errs[i] = db.Write(t.Context(), func(tx *Tx) error { return noteFact(tx, i) }) })
		}
		db.inLine(t, n)
		if err := release(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		// Batches that are open take what they can; a lane begins another only
		// while somebody stands in line.
		if got, most := db.commits.Load()-before, int64((n+lanes)/maxBatch+lanes); got > most {
			t.Errorf("%d writers in %d lanes cost %d commits, want at most %d", n+lanes, lanes, got, most)
		}
		wantFacts(t, db, count(n)...)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wantFacts(t, openAt(t, address), count(n)...)
	})
}

// Whatever a member of a batch does, the others do not notice.
func TestMembersAreApart(t *testing.T) {
	failure := errors.New("no")
	eachOpen(t, func(t *testing.T, db *DB, _ string) {
		db.oneLane()
		type result struct {
			err      error
			panicked any
			returned bool
		}
		cancelled, cancelLater := context.WithCancel(t.Context())
		inside, cancelInside := context.WithCancel(t.Context())
		defer cancelLater()
		defer cancelInside()
		members := []struct {
			name string
			ctx  context.Context
			f    func(tx *Tx) error
			want error // of those that return
		}{
			{"good", t.Context(), func(tx *Tx) error { return noteFact(tx, 0) }, nil},
			{"fails", t.Context(), func(tx *Tx) error { return errors.Join(noteFact(tx, 1), failure) }, failure},
			{"panics", t.Context(), func(tx *Tx) error { noteFact(tx, 2); panic(failure) }, nil},
			{"ends its goroutine", t.Context(), func(tx *Tx) error { noteFact(tx, 3); runtime.Goexit(); return nil }, nil},
			{"cancelled before its turn", cancelled, func(tx *Tx) error { t.Error("it ran"); return noteFact(tx, 4) }, context.Canceled},
			{"cancelled in its turn", inside, func(tx *Tx) error { cancelInside(); noteFact(tx, 5); return nil }, context.Canceled},
			{"is refused by the database", t.Context(), func(tx *Tx) error {
				noteFact(tx, 6)
				return tx.CreateDevice(&ra.Device{ID: "dev_1", GroupID: "og_none"})
			}, &ra.Error{Kind: ra.NotFound}},
			{"asks nonsense", t.Context(), func(tx *Tx) error {
				noteFact(tx, 7)
				_, err := tx.SQL().ExecContext(context.Background(), "nonsense")
				return errors.Join(failure, err)
			}, failure},
			{"uses savepoints of its own", t.Context(), func(tx *Tx) error {
				for _, q := range []string{"SAVEPOINT member", "DELETE FROM facts", "ROLLBACK TO SAVEPOINT member", "RELEASE SAVEPOINT member"} {
					if _, err := tx.SQL().ExecContext(context.Background(), q); err != nil {
						return err
					}
				}
				return noteFact(tx, 8)
			}, nil},
			{"good at the end", t.Context(), func(tx *Tx) error { return noteFact(tx, 9) }, nil},
		}
		before := db.commits.Load()
		release := db.gather(t)
		results := make([]result, len(members))
		var wg sync.WaitGroup
		for i, m := range members {
			wg.Go(func() {
				r := &results[i]
				defer func() { r.panicked = recover() }()
				r.err = db.Write(m.ctx, m.f)
				r.returned = true
			})
			db.inLine(t, i+1)
		}
		cancelLater()
		db.inLine(t, len(members)-1)
		if err := release(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for i, m := range members {
			switch r := results[i]; {
			case m.name == "panics":
				if r.panicked != failure {
					t.Errorf("%s: recovered %v, want %v", m.name, r.panicked, failure)
				}
			case m.name == "ends its goroutine":
				if r.returned || r.panicked != nil {
					t.Errorf("%s: got %+v", m.name, r)
				}
			case !errors.Is(r.err, m.want):
				t.Errorf("%s: got %v, want %v", m.name, r.err, m.want)
			}
		}
		// On PostgreSQL a query that is cut off takes the connection with it,
		// and the others begin again in another transaction.
		if got := db.commits.Load() - before; got != 1 {
			t.Errorf("got %d commits, want 1", got)
		}
		wantFacts(t, db, 0, 8, 9)
	})
}

// When the commit fails nobody is told that all is well, and nothing is kept.
func TestCommitFails(t *testing.T) {
	eachOpen(t, func(t *testing.T, db *DB, _ string) {
		db.oneLane()
		for _, q := range []string{"CREATE TABLE parent (id TEXT PRIMARY KEY)",
			"CREATE TABLE child (id TEXT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"} {
			if _, err := db.Pool().ExecContext(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		release := db.gather(t)
		errs := make([]error, 5)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				errs[i] = db.Write(t.Context(), func(tx *Tx) error {
					if i == 2 { // is noticed at the commit only
						_, err := tx.SQL().ExecContext(t.Context(), "INSERT INTO child (id) VALUES ('orphan')")
						return err
					}
					return noteFact(tx, i)
				})
			})
			db.inLine(t, i+1)
		}
		if release() == nil {
			t.Error("the first member was told that all is well")
		}
		wg.Wait()
		for i, err := range errs {
			if !referenced(err) {
				t.Errorf("member %d: got %v, want the refusal of the commit", i, err)
			}
		}
		wantFacts(t, db)
		if err := db.Write(t.Context(), func(tx *Tx) error { return noteFact(tx, 7) }); err != nil {
			t.Fatal(err)
		}
		wantFacts(t, db, 7)
	})
}

// A full disk ends the transaction of everybody in it, and things go on when
// there is room again.
func TestFullDisk(t *testing.T) {
	db := openAt(t, "sqlite:"+filepath.Join(t.TempDir(), "full.db"))
	limit := func(pages string) {
		if _, err := db.Pool().ExecContext(t.Context(), "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // as small as it is now
	release := db.gather(t)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = db.Write(t.Context(), func(tx *Tx) error {
				if i == 1 {
					return tx.PutFact("test.large", strings.Repeat("x", 1<<20))
				}
				return noteFact(tx, i)
			})
		})
		db.inLine(t, i+1)
	}
	release()
	wg.Wait()
	if cause, _ := causeOf(errs[1]); cause != faultFull {
		t.Errorf("the one that is too large: got %v, want a full disk", errs[1])
	}
	var kept []int
	for _, i := range []int{0, 2} {
		if errs[i] == nil {
			kept = append(kept, i)
		}
	}
	wantFacts(t, db, kept...)
	limit("1000000")
	if err := db.Write(t.Context(), func(tx *Tx) error { return noteFact(tx, 5) }); err != nil {
		t.Fatal(err)
	}
	wantFacts(t, db, append(kept, 5)...)
}

// The job library takes connections of the same pool.
func TestPoolIsShared(t *testing.T) {
	eachOpen(t, func(t *testing.T, db *DB, _ string) {
		const each = 20
		var wg sync.WaitGroup
		errs := make([]error, 16)
		for i := range 8 {
			wg.Go(func() {
				for n := range each {
					errs[i] = errors.Join(errs[i], db.Write(t.Context(), func(tx *Tx) error { return noteFact(tx, i*each+n) }))
				}
			})
			wg.Go(func() {
				for n := range each {
					_, err := db.Pool().ExecContext(t.Context(), "INSERT INTO facts (name, value) VALUES ($1, '')", fmt.Sprintf("pool.%d.%d", i, n))
					errs[8+i] = errors.Join(errs[8+i], err)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		wantFacts(t, db, count(8*each)...)
	})
}

// Whoever is first waits for a connection no longer than its context lasts, and
// then it is the next one's turn.
func TestFirstInLineGivesUp(t *testing.T) {
	db := openAt(t, "sqlite:"+filepath.Join(t.TempDir(), "line.db"))
	conn, err := db.Pool().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- db.Write(ctx, func(tx *Tx) error { return noteFact(tx, 1) }) }()
	await(t, "the first one has the lane", func() bool {
		db.commit.mu.Lock()
		defer db.commit.mu.Unlock()
		return len(db.commit.idle) == 0
	})
	go func() { second <- db.Write(t.Context(), func(tx *Tx) error { return noteFact(tx, 2) }) }()
	db.inLine(t, 1)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one: got %v, want that it was cancelled", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second one: %v", err)
	}
	wantFacts(t, db, 2)
}
