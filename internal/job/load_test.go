package job_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"chancery/internal/job"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// Writers, readers, workers that write and put in turn, and a second process:
// nobody is turned away, nothing is lost, and it ends.
func TestLoad(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db, beside := openStore(t, address), openStore(t, address)
		if _, err := db.Pool().ExecContext(t.Context(), "CREATE TABLE load (step TEXT, text TEXT)"); err != nil {
			t.Fatal(err)
		}
		insert := func(ctx context.Context, tx *store.Tx, step, text string) error {
			_, err := tx.SQL().ExecContext(ctx, "INSERT INTO load (step, text) VALUES ($1, $2)", step, text)
			return err
		}
		var out log
		q := openQueue(t, db, job.Options{Log: out.logger()})
		outside := openQueue(t, beside, job.Options{})
		job.Handle(q, func(ctx context.Context, n note) error {
			return db.Write(ctx, func(tx *store.Tx) error {
				if err := insert(ctx, tx, "work", n.Text); err != nil {
					return err
				}
				return job.Put(tx, q, other{n.Text}, job.PutOptions{Unique: n.Text})
			})
		})
		job.Handle(q, func(ctx context.Context, o other) error {
			return db.Write(ctx, func(tx *store.Tx) error { return insert(ctx, tx, "follow", o.Text) })
		})
		job.Handle(q, func(context.Context, hasty) error { return nil })
		job.Every(q, time.Second, hasty{Milliseconds: 1000})
		start(t, q)

		const writers, each = 8, 50
		var wg sync.WaitGroup
		write := func(db *store.DB, q *job.Queue, who int) {
			for i := range each {
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					text := fmt.Sprintf("%d/%d", who, i)
					if err := insert(t.Context(), tx, "intent", text); err != nil {
						return err
					}
					return job.Put(tx, q, note{text}, job.PutOptions{})
				})
				if err != nil {
					t.Errorf("write: %v", err)
				}
				q.Kick()
				err = db.Read(t.Context(), func(tx *store.Tx) error {
					var n int
					return tx.SQL().QueryRowContext(t.Context(), "SELECT count(*) FROM load").Scan(&n)
				})
				if err != nil {
					t.Errorf("read: %v", err)
				}
			}
		}
		for who := range writers {
			if who == 0 {
				wg.Go(func() { write(beside, outside, who) })
				continue
			}
			wg.Go(func() { write(db, q, who) })
		}
		wg.Wait()
		count := func(step string) (n int) {
			if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(DISTINCT text) FROM load WHERE step = $1", step).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		until(t, "every job and what it put", func() bool { return count("follow") == writers*each })
		if n := count("work"); n != writers*each {
			t.Errorf("%d jobs were worked, want %d", n, writers*each)
		}
		stop(t, q)
		if text := out.String(); text != "" {
			t.Errorf("the log tells of trouble:\n%s", text[:min(len(text), 2000)])
		}
	})
}
