package job_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/job"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestStopWaits(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		began, done := newRecords(), newRecords()
		job.Handle(q, func(ctx context.Context, n note) error {
			began.write(n.Text)
			select {
			case <-time.After(time.Second):
				done.write(n.Text)
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		ctx, cancel := context.WithCancel(t.Context())
		if err := q.Start(ctx); err != nil {
			t.Fatal(err)
		}
		put(t, db, q, note{"running"}, job.PutOptions{})
		began.await(t, 1)
		cancel() // the context of Start is for the start alone
		stop(t, q)
		if done.count("running") != 1 {
			t.Error("Stop did not wait for the running job")
		}
		if r := rowOf(t, db, "test.note"); r.state != "completed" {
			t.Errorf("after Stop the job is %s, want completed", r.state)
		}
		put(t, db, q, other{"late"}, job.PutOptions{})
		if r := rowOf(t, db, "test.other"); r.state != "available" {
			t.Errorf("a job put after Stop is %s, want available", r.state)
		}
	})
}

func TestStopCancels(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		runs, patient := newRecords(), atomic.Bool{}
		work := func(ctx context.Context, n note) error {
			runs.write(n.Text)
			if patient.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		q := openQueue(t, db, job.Options{})
		job.Handle(q, work)
		start(t, q)
		put(t, db, q, note{"interrupted"}, job.PutOptions{MaxAttempts: 1})
		runs.await(t, 1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Stop(ended); err != nil {
			t.Fatal(err)
		}
		if r := rowOf(t, db, "test.note"); r.state != "available" || r.attempt != 0 {
			t.Errorf("the interrupted job is %s after %d attempts, want available after none", r.state, r.attempt)
		}
		patient.Store(true)
		next := openQueue(t, db, job.Options{})
		job.Handle(next, work)
		start(t, next)
		runs.await(t, 1)
		awaitState(t, db, "test.note", "completed")
	})
}

// A job that does not listen keeps Stop for five seconds; then it is as if the
// node had been killed.
func TestStopGivesUp(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		deaf := make(chan struct{})
		q := openQueue(t, db, job.Options{Node: "here"})
		began := newRecords()
		job.Handle(q, func(_ context.Context, n note) error {
			began.write(n.Text)
			<-deaf
			return nil
		})
		if err := q.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, db, q, note{"deaf"}, job.PutOptions{})
		began.await(t, 1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Stop(ended); err == nil {
			t.Error("Stop did not say that a job still runs")
		}
		next := openQueue(t, db, job.Options{Node: "here"})
		done := newRecords()
		job.Handle(next, func(_ context.Context, n note) error { done.write(n.Text); return nil })
		start(t, next)
		done.await(t, 1)
		close(deaf)
	})
}

// The victim is this test program started once more: it begins a job that does
// not end and says so, until it is killed.
const (
	victimAddress = "CHANCERY_TEST_VICTIM_DATABASE"
	victimNode    = "CHANCERY_TEST_VICTIM_NODE"
)

func beVictim(address, node string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	db, err := store.Open(ctx, address, nil)
	fail(err)
	q, err := job.Open(ctx, db, job.Options{Node: node})
	fail(err)
	started := make(chan string)
	job.Handle(q, func(_ context.Context, n note) error { started <- n.Text; select {} })
	job.Handle(q, func(_ context.Context, o other) error { started <- o.Text; return nil })
	job.Every(q, time.Hour, other{"tick"}) // proves that the victim leads
	fail(q.Start(ctx))
	fail(db.Write(ctx, func(tx *store.Tx) error {
		if err := job.Put(tx, q, note{"last attempt"}, job.PutOptions{MaxAttempts: 1}); err != nil {
			return err
		}
		return job.Put(tx, q, note{"endless"}, job.PutOptions{Unique: "endless"})
	}))
	for range 3 {
		<-started
	}
	fmt.Println("working")
	select {}
}

func killVictim(t *testing.T, address, node string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimAddress+"="+address, victimNode+"="+node)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	killErr := cmd.Process.Kill()
	cmd.Wait()
	if err != nil || killErr != nil || line != "working\n" {
		t.Fatalf("the process to be killed said %q, error %v, kill %v", line, err, killErr)
	}
}

func TestKilled(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, name, address string) {
		t.Parallel()
		node := "here"
		if name == "sqlite" {
			node = "" // the only node there is
		}
		killVictim(t, address, node)
		db := openStore(t, address)
		var out log
		q := openQueue(t, db, job.Options{Node: node, Log: out.logger()})
		runs := newRecords()
		job.Handle(q, func(_ context.Context, n note) error { runs.write(n.Text); return nil })
		job.Handle(q, func(_ context.Context, o other) error { runs.write(o.Text); return nil })
		job.Every(q, time.Hour, other{"tick"})
		put(t, db, q, note{"kept away"}, job.PutOptions{Unique: "endless"})
		before := time.Now()
		start(t, q)
		runs.await(t, 2)
		// The killed leader's term would last fifteen seconds.
		if took := time.Since(before); took > 8*time.Second {
			t.Errorf("the next life took %s to take over", took)
		}
		until(t, "all jobs over", func() bool { return live(t, db) == 0 })
		// The killed one's tick may be over before this process leads, which then begins with a tick.
		if ticks := runs.count("tick"); runs.count("endless") != 1 || ticks < 1 || ticks > 2 || len(runs.all()) != 1+ticks {
			t.Errorf("after the kill ran %q, want the endless job and the tick", runs.all())
		}
		var discarded int
		if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM river_job WHERE state = 'discarded'").Scan(&discarded); err != nil {
			t.Fatal(err)
		}
		if discarded != 1 {
			t.Errorf("%d jobs were discarded, want the one on its last attempt", discarded)
		}
	})
}

// Another node may not take jobs back at once, but does when their time limit
// has passed.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		killVictim(t, address, "there")
		db := openStore(t, address)
		// Time passes: the term of the leader, and the limit of the jobs.
		long := time.Now().UTC().Add(-time.Hour).Format("2006-01-02 15:04:05.000")
		if db.Engine() == "postgres" {
			long += "+00"
		}
		cast := map[string]string{"sqlite": "$1", "postgres": "$1::text::timestamptz"}[db.Engine()]
		if _, err := db.Pool().ExecContext(t.Context(), "UPDATE river_leader SET elected_at = "+cast+", expires_at = "+cast, long); err != nil {
			t.Fatal(err)
		}
		q := openQueue(t, db, job.Options{Node: "here", Timeout: time.Minute})
		runs := newRecords()
		job.Handle(q, func(_ context.Context, n note) error { runs.write(n.Text); return nil })
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.SQL().ExecContext(t.Context(), "UPDATE river_job SET attempted_at = "+cast+" WHERE kind = 'test.note' AND max_attempts > 1", long)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		start(t, q)
		runs.await(t, 1)
		if got := runs.all(); got[0] != "endless" {
			t.Errorf("ran %q, want the job whose limit has passed", got)
		}
		var running int
		if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM river_job WHERE state = 'running' AND max_attempts = 1").Scan(&running); err != nil {
			t.Fatal(err)
		}
		if running != 1 {
			t.Errorf("%d jobs are left to the other node, want the one whose limit has not passed", running)
		}
	})
}
