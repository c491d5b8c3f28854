package authority_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// passwords is a server that knows few challenges at once and counts how often
// it was asked for one more than that.
type passwords struct {
	mu      sync.Mutex
	room    int
	out     map[string]bool
	made    int
	refused int
	most    int
}

func (p *passwords) make() (secret.Text, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.out) >= p.room {
		p.refused++
		return secret.Text{}, errors.New("the password cache is full")
	}
	p.made++
	text := fmt.Sprintf("password-%d", p.made)
	p.out[text] = true
	p.most = max(p.most, len(p.out))
	return secret.New(text), nil
}

func (p *passwords) use(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := p.out[text]
	delete(p.out, text)
	return had
}

func wantOut(t *testing.T, s ca.Slots, out, waiting int) {
	t.Helper()
	gotOut, gotWaiting, err := s.Out(t.Context())
	if err != nil || gotOut != out || gotWaiting != waiting {
		t.Errorf("%d challenges are out and %d wait, want %d and %d (%v)", gotOut, gotWaiting, out, waiting, err)
	}
}

// becomes waits for something that another goroutine does.
func becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

// TestSlotsForMany has 200 take five slots, on one node and on two. Never are
// more than five out, and each taker gets a challenge of its own.
func TestSlotsForMany(t *testing.T) {
	each(t, func(w *world) {
		nodes := []*authority.Service{w.Service}
		if w.DB.Engine() == "postgres" {
			db := must(store.Open(t.Context(), w.address, w.clock.Now))(t)
			t.Cleanup(func() { db.Close() })
			nodes = append(nodes, &authority.Service{DB: db, Box: w.Box, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler)})
		}
		server := &passwords{room: 5, out: map[string]bool{}}
		var done sync.WaitGroup
		var got atomic.Int64
		for i := range 200 {
			slots := nodes[i%len(nodes)].Slots("ca_many")
			done.Go(func() {
				id := fmt.Sprintf("pass_%d/1", i)
				slot, err := slots.Take(t.Context(), id, ca.SlotOrder{Slots: 5, Life: time.Hour}, func(context.Context) (secret.Text, error) { return server.make() })
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				if !server.use(slot.Secret.Reveal()) {
					t.Errorf("%s got a challenge that is not out", id)
				}
				if err := slots.Free(t.Context(), id); err != nil {
					t.Error(err)
				}
				got.Add(1)
			})
		}
		done.Wait()
		if server.refused != 0 || server.made != 200 || got.Load() != 200 || server.most > 5 {
			t.Errorf("of %d challenges made %d arrived; %d were asked for beyond the room, %d were out at once", server.made, got.Load(), server.refused, server.most)
		}
		wantOut(t, nodes[0].Slots("ca_many"), 0, 0)
		w.nowhere("password-")
	})
}

// age moves everything on the account back in time, for both clocks.
func (w *world) age(d time.Duration) {
	w.t.Helper()
	if _, err := w.DB.Pool().Exec("UPDATE scep_slots SET since = since - $1, fetched_at = fetched_at - $1, until = until - $1, ends_at = ends_at - $1", d.Microseconds()); err != nil {
		w.t.Fatal(err)
	}
}

func TestSlotsAccount(t *testing.T) {
	each(t, func(w *world) {
		slots := w.Slots("ca_a")
		order := ca.SlotOrder{Slots: 2, Life: time.Hour}
		take := func(ctx context.Context, id, text string, err error) (ca.Slot, error) {
			return slots.Take(ctx, id, order, func(context.Context) (secret.Text, error) { return secret.New(text), err })
		}
		never := func(context.Context) (secret.Text, error) {
			t.Error("a challenge that is out was fetched again")
			return secret.Text{}, nil
		}
		first := must(take(t.Context(), "a", "one", nil))(t)
		if left := first.ExpiresAt.Sub(first.FetchedAt); left != time.Hour {
			t.Errorf("a challenge lives %s", left)
		}
		again := must(slots.Take(t.Context(), "a", order, never))(t)
		// Another start of the server knows what is out, too.
		restarted := &authority.Service{DB: w.DB, Box: w.Box, Now: w.clock.Now, Log: w.Log}
		later := must(restarted.Slots("ca_a").Take(t.Context(), "a", order, never))(t)
		if !again.Secret.Equal(first.Secret) || !later.Secret.Equal(first.Secret) {
			t.Error("the same order got another challenge")
		}
		wantOut(t, slots, 1, 0)
		wantOut(t, w.Slots("ca_b"), 0, 0)

		// The server was certainly not asked: nothing counts.
		if _, err := take(t.Context(), "b", "", &ca.NoChallenge{Err: ra.Errorf(ra.Unreachable, "x")}); ra.KindOf(err) != ra.Unreachable {
			t.Errorf("a failed fetch gave %v", err)
		}
		wantOut(t, slots, 1, 0)
		// Nobody knows what the server did: it counts, and the order may ask again.
		if _, err := take(t.Context(), "b", "", ra.Errorf(ra.Unreachable, "cut off")); ra.KindOf(err) != ra.Unreachable {
			t.Errorf("a failed fetch gave %v", err)
		}
		wantOut(t, slots, 2, 0)

		// Nothing is free: whoever has no patience hears when to come back.
		ctx, cancel := context.WithCancel(t.Context())
		var busy error
		var over sync.WaitGroup
		over.Go(func() { _, busy = take(ctx, "b", "two", nil) })
		becomes(t, "one waits", func() bool { _, n, _ := slots.Out(t.Context()); return n == 1 })
		cancel()
		over.Wait()
		if e := wantError(t, busy, ra.Unreachable); e.Retry <= 0 {
			t.Error("nobody says when to come back")
		}
		becomes(t, "nobody waits", func() bool { _, n, _ := slots.Out(t.Context()); return n == 0 })

		// What was lost comes back when its life is over; what is out ends then too.
		w.age(time.Hour + time.Second)
		wantOut(t, slots, 0, 0)
		fresh := must(take(t.Context(), "a", "three", nil))(t)
		if fresh.Secret.Equal(first.Secret) {
			t.Error("a challenge outlives its life")
		}
		wantOut(t, slots, 1, 0)
		for range 2 { // to free what is not out is no error
			if err := slots.Free(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		}
		wantOut(t, slots, 0, 0)
		w.nowhere("one", "three")
	})
}

// TestSlotsFirstCome: who came first is served first, whatever their names.
func TestSlotsFirstCome(t *testing.T) {
	each(t, func(w *world) {
		slots := w.Slots("ca_a")
		order := ca.SlotOrder{Slots: 1, Life: time.Hour}
		text := func(context.Context) (secret.Text, error) { return secret.New("x"), nil }
		must(slots.Take(t.Context(), "holder", order, text))(t)
		var mu sync.Mutex
		var served []string
		var over sync.WaitGroup
		for i, id := range []string{"z", "y", "x"} {
			over.Go(func() {
				if _, err := slots.Take(t.Context(), id, order, text); err != nil {
					t.Error(err)
				}
				mu.Lock()
				served = append(served, id)
				mu.Unlock()
				if err := slots.Free(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
			becomes(t, "the next one waits", func() bool { _, n, _ := slots.Out(t.Context()); return n == i+1 })
			w.clock.Advance(time.Millisecond)
		}
		if err := slots.Free(t.Context(), "holder"); err != nil {
			t.Fatal(err)
		}
		over.Wait()
		if !slices.Equal(served, []string{"z", "y", "x"}) {
			t.Errorf("served %v", served)
		}
	})
}

// TestSlotsAfterACrash: a fetch whose node died counts until the end of its life,
// and those who wait on a node that died do not stand in the way.
func TestSlotsAfterACrash(t *testing.T) {
	each(t, func(w *world) {
		order := ca.SlotOrder{Slots: 2, Life: time.Hour}
		dead := &authority.Service{DB: w.DB, Box: w.Box, Now: w.clock.Now, Log: w.Log}
		began, never := make(chan struct{}), make(chan struct{})
		t.Cleanup(func() { close(never) })
		hangs := func(context.Context) (secret.Text, error) {
			close(began)
			<-never
			return secret.Text{}, &ca.NoChallenge{Err: errors.New("dead")}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go dead.Slots("ca_a").Take(ctx, "a", order, hangs)
		<-began
		slots := w.Slots("ca_a")
		wantOut(t, slots, 1, 0)
		w.age(2 * time.Minute) // the fetch is over by now, whatever became of it
		text := func(context.Context) (secret.Text, error) { return secret.New("x"), nil }
		must(slots.Take(t.Context(), "a", order, text))(t)
		wantOut(t, slots, 2, 0)
		w.age(59 * time.Minute)
		becomes(t, "the lost one is over", func() bool { n, _, _ := slots.Out(t.Context()); return n == 1 })
	})
}

// TestSlotsOutliveTheirTaker: a challenge that arrives when nobody waits any more
// is kept for the order.
func TestSlotsOutliveTheirTaker(t *testing.T) {
	each(t, func(w *world) {
		slots := w.Slots("ca_a")
		order := ca.SlotOrder{Slots: 1, Life: time.Hour}
		began, answer := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-began
			cancel()
		}()
		_, err := slots.Take(ctx, "a", order, func(context.Context) (secret.Text, error) {
			close(began)
			<-answer
			return secret.New("late"), nil
		})
		wantError(t, err, ra.Unreachable)
		close(answer)
		slot := must(slots.Take(t.Context(), "a", order, func(context.Context) (secret.Text, error) {
			return secret.Text{}, errors.New("a second challenge was made")
		}))(t)
		if slot.Secret.Reveal() != "late" {
			t.Error("another challenge came")
		}
	})
}
