package job_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/job"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(victimAddress); address != "" {
		beVictim(address, os.Getenv(victimNode))
	}
	// Most of these tests wait most of the time.
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	testpeer.Main(m)
}

// note is the job of most tests.
type note struct {
	Text string `json:"text"`
}

func (note) Kind() string { return "test.note" }

// other has the same arguments and another kind.
type other struct {
	Text string `json:"text"`
}

func (other) Kind() string { return "test.other" }

// patience is how long a test waits for what should happen soon.
const patience = 20 * time.Second

// records is a worker's diary.
type records struct {
	mu   sync.Mutex
	list []string
	add  chan struct{}
}

func newRecords() *records { return &records{add: make(chan struct{}, 10_000)} }

func (r *records) write(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, s)
	r.add <- struct{}{}
}

func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.list...)
}

func (r *records) count(s string) int {
	n := 0
	for _, one := range r.all() {
		if one == s {
			n++
		}
	}
	return n
}

// await blocks until n more entries have been written.
func (r *records) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(patience)
	for range n {
		select {
		case <-r.add:
		case <-deadline:
			t.Fatalf("waited %s for the next job; so far: %q", patience, r.all())
		}
	}
}

// until polls for something that happens soon.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// log is a log that can be read while it is written.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func openStore(t *testing.T, address string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openQueue(t *testing.T, db *store.DB, o job.Options) *job.Queue {
	t.Helper()
	q, err := job.Open(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func start(t *testing.T, q *job.Queue) {
	t.Helper()
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, q) })
}

func stop(t *testing.T, q *job.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := q.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func put(t *testing.T, db *store.DB, q *job.Queue, args job.Args, o job.PutOptions) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error { return job.Put(tx, q, args, o) })
	if err != nil {
		t.Fatal(err)
	}
	q.Kick()
}

// row is what the database says about the only job of a kind.
type row struct {
	state   string
	attempt int
	errors  string
}

func rowOf(t *testing.T, db *store.DB, kind string) row {
	t.Helper()
	var r row
	err := db.Pool().QueryRowContext(t.Context(),
		"SELECT state, attempt, COALESCE(CAST(errors AS TEXT), '') FROM river_job WHERE kind = $1", kind).Scan(&r.state, &r.attempt, &r.errors)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func awaitState(t *testing.T, db *store.DB, kind, state string) row {
	t.Helper()
	until(t, kind+" "+state, func() bool { return rowOf(t, db, kind).state == state })
	return rowOf(t, db, kind)
}

func TestPut(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		done := newRecords()
		job.Handle(q, func(_ context.Context, n note) error { done.write(n.Text); return nil })
		start(t, q)

		regret := errors.New("regret")
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			if err := job.Put(tx, q, note{"rolled back"}, job.PutOptions{}); err != nil {
				return err
			}
			return regret
		})
		if !errors.Is(err, regret) {
			t.Fatalf("got error %v, want %v", err, regret)
		}
		put(t, db, q, note{"committed"}, job.PutOptions{})
		put(t, db, q, note{"past"}, job.PutOptions{At: time.Now().Add(-time.Hour)})
		before := time.Now()
		put(t, db, q, note{"later"}, job.PutOptions{At: before.Add(1500 * time.Millisecond)})

		// A process that never starts its queue puts as well.
		beside := openStore(t, address)
		put(t, beside, openQueue(t, beside, job.Options{}), note{"from beside"}, job.PutOptions{})

		done.await(t, 4)
		if waited := time.Since(before); waited < 1500*time.Millisecond || waited > 4*time.Second {
			t.Errorf("the job for later ran after %s", waited)
		}
		for _, text := range []string{"committed", "past", "later", "from beside"} {
			if n := done.count(text); n != 1 {
				t.Errorf("job %q ran %d times", text, n)
			}
		}
		if n := done.count("rolled back"); n != 0 {
			t.Errorf("a job ran %d times that was rolled back", n)
		}
	})
}

func TestUnique(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		done, release := newRecords(), make(chan struct{})
		job.Handle(q, func(_ context.Context, n note) error {
			done.write(n.Text)
			<-release
			return nil
		})
		job.Handle(q, func(_ context.Context, o other) error { done.write("other " + o.Text); return nil })

		key := job.PutOptions{Unique: "request r1"}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(job.Put(tx, q, note{"first"}, key), job.Put(tx, q, note{"same transaction"}, key))
		})
		if err != nil {
			t.Fatal(err)
		}
		put(t, db, q, note{"while waiting"}, key)
		named := func(id string) job.Args { return note{"for " + id} }
		for _, want := range [][]string{{"request r1"}, {"request r1", "request r3", "request r4"}} {
			had, err := job.OfferAll(t.Context(), db, q, []string{"request r3", "request r1", "request r4"}, named, job.Spaced{Batch: 2})
			if slices.Sort(had); err != nil || !slices.Equal(had, want) {
				t.Errorf("had a job already: %q, %v", had, err)
			}
		}
		put(t, db, q, note{"another key"}, job.PutOptions{Unique: "request r2"})
		put(t, db, q, other{"another kind"}, key)
		put(t, db, q, note{"no key"}, job.PutOptions{})
		put(t, db, q, note{"no key"}, job.PutOptions{})
		start(t, q)
		done.await(t, 7)
		put(t, db, q, note{"while running"}, key)
		close(release)

		until(t, "all jobs done", func() bool { return live(t, db) == 0 })
		put(t, db, q, note{"afterwards"}, key)
		done.await(t, 1)
		for text, want := range map[string]int{"first": 1, "same transaction": 0, "while waiting": 0, "another key": 1,
			"for request r3": 1, "for request r4": 1, "other another kind": 1, "no key": 2, "while running": 0, "afterwards": 1} {
			if got := done.count(text); got != want {
				t.Errorf("job %q ran %d times, want %d", text, got, want)
			}
		}
	})
}

// live counts the jobs that are not over.
func live(t *testing.T, db *store.DB) int {
	t.Helper()
	var n int
	if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM river_job WHERE finalized_at IS NULL").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKick(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		q.Kick() // not started: nothing to do
		done := newRecords()
		job.Handle(q, func(_ context.Context, n note) error { done.write(n.Text); return nil })
		start(t, q)
		const jobs = 20
		before := time.Now()
		for i := range jobs {
			put(t, db, q, note{fmt.Sprint(i)}, job.PutOptions{})
			done.await(t, 1)
		}
		// Polled for, one after the other would take a second each.
		if took := time.Since(before); took > jobs/4*time.Second {
			t.Errorf("%d jobs one after the other took %s", jobs, took)
		}
	})
}

func TestDrain(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		done := newRecords()
		job.Handle(q, func(_ context.Context, n note) error { done.write(n.Text); return nil })
		const jobs = 200
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			for i := range jobs {
				if err := job.Put(tx, q, note{fmt.Sprint(i)}, job.PutOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		start(t, q)
		done.await(t, jobs)
		took := time.Since(before)
		t.Logf("%d jobs took %s", jobs, took)
		if took > 10*time.Second {
			t.Errorf("%d empty jobs took %s", jobs, took)
		}
		until(t, "all recorded as done", func() bool { return live(t, db) == 0 })
	})
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		const nodes = 5
		var wg sync.WaitGroup
		errs := make([]error, nodes)
		for i := range nodes {
			db := openStore(t, address)
			wg.Go(func() { _, errs[i] = job.Open(t.Context(), db, job.Options{}) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMisuse(t *testing.T) {
	db := openStore(t, "sqlite:"+t.TempDir()+"/chancery.db")
	work := func(context.Context, note) error { return nil }
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s did not panic", what)
			}
		}()
		f()
	}

	q := openQueue(t, db, job.Options{})
	job.Handle(q, work)
	panics("a second Handle for a kind", func() { job.Handle(q, work) })
	panics("an interval below a second", func() { job.Every(q, time.Millisecond, note{}) })
	start(t, q)
	panics("Handle after Start", func() { job.Handle(q, func(context.Context, other) error { return nil }) })
	panics("Every after Start", func() { job.Every(q, time.Minute, note{}) })
	panics("a second Start", func() { q.Start(t.Context()) })
	stop(t, q)
	stop(t, q) // stopped already: nothing to do

	unhandled := openQueue(t, db, job.Options{})
	job.Handle(unhandled, work)
	job.Every(unhandled, time.Minute, other{})
	if err := unhandled.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "test.other") {
		t.Errorf("starting with a periodic kind nobody handles: got error %v", err)
	}
	if err := openQueue(t, db, job.Options{}).Start(t.Context()); err == nil {
		t.Error("starting without any worker went well")
	}
	if _, err := job.Open(t.Context(), db, job.Options{Node: strings.Repeat("n", 81)}); err == nil {
		t.Error("a node name of 81 characters was taken")
	}
}
