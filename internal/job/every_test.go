package job_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/job"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestEvery(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		ticks, slow := newRecords(), newRecords()
		job.Handle(q, func(_ context.Context, n note) error { ticks.write(n.Text); return nil })
		var running, together atomic.Int32
		job.Handle(q, func(_ context.Context, o other) error {
			if running.Add(1) > 1 {
				together.Add(1)
			}
			time.Sleep(2500 * time.Millisecond)
			running.Add(-1)
			slow.write(o.Text)
			return nil
		})
		job.Every(q, time.Hour, note{"hourly"})
		job.Every(q, 2*time.Second, note{"often"})
		job.Every(q, time.Second, other{"slow"})
		before := time.Now()
		start(t, q)
		ticks.await(t, 2)
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("the first run came %s after the start", took)
		}
		slow.await(t, 2)
		time.Sleep(time.Until(before.Add(7 * time.Second)))
		stop(t, q)
		if n := ticks.count("hourly"); n != 1 {
			t.Errorf("the hourly job ran %d times", n)
		}
		if n := ticks.count("often"); n < 2 || n > 4 {
			t.Errorf("a job for every two seconds ran %d times in seven", n)
		}
		if n := together.Load(); n != 0 {
			t.Errorf("the slow job ran beside itself %d times", n)
		}
	})
}

// By the usual backoff the third attempt would come after 17 s.
func TestEveryFailing(t *testing.T) {
	t.Parallel()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel()
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{})
		runs := newRecords()
		job.Handle(q, func(_ context.Context, n note) error { runs.write(n.Text); return errors.New("no") })
		job.Every(q, time.Second, note{"failing"})
		before := time.Now()
		start(t, q)
		runs.await(t, 4)
		if took := time.Since(before); took > 14*time.Second {
			t.Errorf("four attempts of a job for every second took %s", took)
		}
		stop(t, q)
		var rows int
		if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM river_job").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows != 1 {
			t.Errorf("the failing job was put %d times while it was live", rows)
		}
	})
}

func TestTwoQueues(t *testing.T) {
	t.Parallel()
	address := testpeer.Postgres(t)
	work, ticks, by := newRecords(), newRecords(), newRecords()
	open := func(name string) (*store.DB, *job.Queue) {
		db := openStore(t, address)
		q := openQueue(t, db, job.Options{Node: name, Workers: 3})
		job.Handle(q, func(_ context.Context, n note) error {
			time.Sleep(20 * time.Millisecond)
			by.write(name)
			work.write(n.Text)
			return nil
		})
		job.Handle(q, func(_ context.Context, o other) error { ticks.write(name); return nil })
		job.Every(q, 2*time.Second, other{"tick"})
		start(t, q)
		return db, q
	}
	before := time.Now()
	db, east := open("east")
	_, west := open("west")
	const jobs = 100
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for i := range jobs {
			if err := job.Put(tx, east, note{time.Duration(i).String()}, job.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	work.await(t, jobs)
	for i := range jobs {
		if n := work.count(time.Duration(i).String()); n != 1 {
			t.Errorf("job %d ran %d times", i, n)
		}
	}
	if e, w := by.count("east"), by.count("west"); e == 0 || w == 0 {
		t.Errorf("east did %d jobs and west %d, want both to work", e, w)
	}
	time.Sleep(time.Until(before.Add(7 * time.Second)))
	until(t, "the second tick", func() bool { return len(ticks.all()) >= 2 })
	if n, most := len(ticks.all()), int(time.Since(before)/(2*time.Second))+1; n > most {
		t.Errorf("a job for every two seconds ran %d times on two nodes, want at most %d", n, most)
	}
	// The one that stays leads, whichever did before.
	stop(t, east)
	seen := ticks.count("west")
	until(t, "west to run the periodic job", func() bool { return ticks.count("west") > seen })
	stop(t, west)
}
