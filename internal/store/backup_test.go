package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// TestCopyBesideAWriter copies a database while every transaction changes two
// rows that belong together: the copy is of one instant, and the writer was not
// made to wait for its end.
func TestCopyBesideAWriter(t *testing.T) {
	dir := t.TempDir()
	address := "sqlite:" + filepath.Join(dir, "x.db")
	db, err := store.Open(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 12 { // 24 MiB, so that the copy takes several steps
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.PutFact(fmt.Sprint("ballast.", i), strings.Repeat("b", 2<<20)) }); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	written, failed := make(chan int, 1), make(chan error, 1)
	began := make(chan struct{})
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if err := db.Write(t.Context(), func(tx *store.Tx) error {
				if err := tx.PutFact("left", fmt.Sprint(n)); err != nil {
					return err
				}
				return tx.PutFact("right", fmt.Sprint(n))
			}); err != nil {
				failed <- err
				break
			}
			if n == 0 {
				close(began)
			}
		}
		written <- n
	}()
	<-began
	to := filepath.Join(dir, "copy.db")
	steps, last, during := 0, 0, int64(0)
	err = store.CopySQLite(t.Context(), address, to, func(done, all int) {
		if done < last || done > all {
			t.Errorf("%d of %d pages after %d", done, all, last)
		}
		if steps++; steps == 1 {
			// A change between two steps is made at once, and is not in the copy.
			begin := time.Now()
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.PutFact("later", "x") }); err != nil {
				t.Error(err)
			}
			during = time.Since(begin).Milliseconds()
		}
		last = done
	})
	stop()
	n := <-written
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	if err != nil {
		t.Fatal(err)
	}
	if steps < 5 || last == 0 {
		t.Errorf("%d steps, %d pages", steps, last)
	}
	t.Logf("%d pages in %d steps beside %d transactions; one in between took %d ms", last, steps, n, during)
	if _, err := store.LookSQLite(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(to + "-*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	copied, err := store.Open(t.Context(), "sqlite:"+to, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	err = copied.Read(t.Context(), func(tx *store.Tx) error {
		left, err := tx.Fact("left")
		if err != nil {
			return err
		}
		right, err := tx.Fact("right")
		if err != nil || left != right {
			t.Errorf("the copy holds %s and %s, %v", left, right, err)
		}
		if _, err := tx.Fact("later"); ra.KindOf(err) != ra.NotFound {
			t.Errorf("the copy holds what was written after it began: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCopyRefuses(t *testing.T) {
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := store.CopySQLite(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none.db"), to, nil); ra.KindOf(err) != ra.NotFound {
		t.Errorf("a database that is not there: %v", err)
	}
	if err := store.CopySQLite(t.Context(), "postgres://x@localhost/x", to, nil); ra.KindOf(err) != ra.Invalid {
		t.Errorf("a database server: %v", err)
	}
}

// TestSettle ends what works once, on both engines, and lifts the numbers of
// revocation lists above all that can have been published.
func TestSettle(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		now := time.Date(2027, 5, 4, 3, 2, 1, 0, time.UTC)
		db, err := store.Open(t.Context(), address, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Sessions().CommitCtx(t.Context(), "token", []byte("data"), now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		write := func(f func(tx *store.Tx) error) {
			t.Helper()
			if err := db.Write(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		write(func(tx *store.Tx) error {
			for hash, life := range map[string]time.Duration{"open": time.Hour, "ended": -time.Hour} {
				if err := tx.CreateLink(store.Link{Hash: hash, Purpose: "p", Subject: "s", ExpiresAt: now.Add(life)}); err != nil {
					return err
				}
			}
			return nil
		})
		if _, err := db.Pool().Exec(`INSERT INTO groups (id, parent_id, name, name_folded, path, settings, created_at, updated_at) VALUES ('g', '', 'g', 'g', '/g/', '{}', 1, 1)`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().Exec(`INSERT INTO authorities (id, group_id, name, name_folded, description, kind, settings, rate_per_second, max_in_flight, disabled, created_at, updated_at)
			VALUES ('a', 'g', 'a', 'a', '', 'embedded', '{}', 0, 0, FALSE, 1, 1)`); err != nil {
			t.Fatal(err)
		}
		high := now.UnixMilli() + 5
		for hash, number := range map[string]int64{"low": 7, "high": high} {
			if _, err := db.Pool().Exec(`INSERT INTO crl_lists (issuer_hash, name, authority_id, low, high, points, number, wanted, made, this_update, next_update)
				VALUES ($1, '', 'a', '00', 'ff', '[]', $2, 3, 3, 1, 2)`, hash, number); err != nil {
				t.Fatal(err)
			}
		}
		var got store.Settled
		write(func(tx *store.Tx) (err error) {
			got, err = tx.Settle()
			return err
		})
		if want := (store.Settled{Links: 1, Sessions: 1, CRLs: 2}); got != want {
			t.Errorf("settled %+v, want %+v", got, want)
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			for hash, want := range map[string]int64{"low": now.UnixMilli(), "high": high + 1} {
				c, err := tx.CRLState(hash, "")
				if err != nil || c.Number != want || !c.Stale() {
					t.Errorf("list %s: %+v, %v; want number %d, stale", hash, c, err, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.UseLink("open", "p")
			return err
		})
		if ra.KindOf(err) != ra.NotFound {
			t.Errorf("an open link works: %v", err)
		}
	})
}

// TestSeen: the latest time wins, whoever notes it.
func TestSeen(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		now := time.Date(2001, 9, 9, 1, 46, 39, 0, time.UTC) // one digit less a second later
		db, err := store.Open(t.Context(), address, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		seen := func() (at time.Time) {
			t.Helper()
			if err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
				at, err = tx.Seen()
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return at
		}
		if at := seen(); !at.IsZero() {
			t.Errorf("seen at first: %s", at)
		}
		var latest time.Time
		for _, step := range []time.Duration{0, 2 * time.Second, -time.Hour, time.Hour + time.Second} {
			now = now.Add(step)
			if now.After(latest) {
				latest = now
			}
			if err := db.Probe(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if at := seen(); !at.Equal(latest) {
				t.Errorf("seen %s, want %s", at, latest)
			}
		}
		now = now.Add(-time.Hour)
		if err := db.Write(t.Context(), (*store.Tx).ForgetSeen); err != nil {
			t.Fatal(err)
		}
		if at := seen(); !at.Equal(now) {
			t.Errorf("seen %s after it was forgotten, want %s", at, now)
		}
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
		c, err := db.Contents(t.Context())
		if err != nil || c.Schema != store.NewestSchema() || c.Certificates != 0 {
			t.Errorf("contents: %+v, %v", c, err)
		}
	})
}
