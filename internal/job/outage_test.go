package job

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/store"
	"chancery/internal/testpeer"
)

type beat struct{}

func (beat) Kind() string { return "test.beat" }

type long struct{}

func (long) Kind() string { return "test.long" }

// TestDatabaseOutage: the database goes away under running jobs for longer than
// river tries to write how they ended. When it is back the queue works again by
// itself, and the job whose end was lost runs once more instead of keeping
// others with its key away until its time limit.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	server := testpeer.PostgresServer(t)
	db, err := store.Open(t.Context(), server.Database(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q, err := Open(t.Context(), db, Options{Log: slog.New(slog.DiscardHandler), Node: "outage"})
	if err != nil {
		t.Fatal(err)
	}
	// River gives up after seven seconds when nobody listens at the address.
	q.lostAfter, q.lostEvery = 12*time.Second, time.Second
	var beats, runs atomic.Int64
	began, release := make(chan struct{}, 10), make(chan struct{})
	Handle(q, func(context.Context, beat) error { beats.Add(1); return nil })
	Handle(q, func(ctx context.Context, _ long) error {
		runs.Add(1)
		began <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	Every(q, time.Second, beat{})
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return Put(tx, q, long{}, PutOptions{Unique: "one"}) }); err != nil {
		t.Fatal(err)
	}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-began
	server.Kill()
	close(release) // it ends while nobody can write that down
	time.Sleep(10 * time.Second)
	server.Start()
	before := beats.Load()
	until(t, "the lost job runs again", func() bool { return runs.Load() == 2 })
	until(t, "periodic jobs run again", func() bool { return beats.Load() > before })
	until(t, "the lost job's key is free", func() bool {
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return Put(tx, q, long{}, PutOptions{Unique: "one"}) }); err != nil {
			t.Fatal(err)
		}
		return runs.Load() > 2
	})
	if err := q.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
