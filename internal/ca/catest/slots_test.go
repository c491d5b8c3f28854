package catest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

func give(text string) func(context.Context) (secret.Text, error) {
	return func(context.Context) (secret.Text, error) { return secret.New(text), nil }
}

func wantOut(t *testing.T, s *catest.Slots, out, waiting int) {
	t.Helper()
	gotOut, gotWaiting, err := s.Out(t.Context())
	if err != nil || gotOut != out || gotWaiting != waiting {
		t.Errorf("%d are out and %d wait (%v); want %d and %d", gotOut, gotWaiting, err, out, waiting)
	}
}

// TestSlots: never more are out than allowed, those who wait get theirs in turn,
// and the same id is given the same challenge.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &catest.Slots{}
		order := ca.SlotOrder{Slots: 2, Life: time.Hour}
		first, err := s.Take(t.Context(), "a", order, give("one"))
		if err != nil || first.Secret.Reveal() != "one" || first.ExpiresAt.Sub(first.FetchedAt) != time.Hour {
			t.Fatalf("the first challenge is %+v, %v", first, err)
		}
		if again, err := s.Take(t.Context(), "a", order, give("other")); err != nil || again.Secret.Reveal() != "one" {
			t.Errorf("the same id got %v, %v", again.Secret.Reveal(), err)
		}
		if _, err := s.Take(t.Context(), "b", order, give("two")); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var turn []string
		var wait sync.WaitGroup
		for i := range 4 {
			id := fmt.Sprintf("c%d", i)
			wait.Go(func() {
				if _, err := s.Take(t.Context(), id, order, func(context.Context) (secret.Text, error) {
					mu.Lock()
					defer mu.Unlock()
					turn = append(turn, id)
					return secret.New(id), nil
				}); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
			synctest.Wait() // so that they come in this order
		}
		wantOut(t, s, 2, 4)
		if err := s.Free(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantOut(t, s, 2, 3)
		time.Sleep(time.Hour) // the others go by age
		time.Sleep(time.Hour)
		wait.Wait()
		if want := []string{"c0", "c1", "c2", "c3"}; !slices.Equal(turn, want) {
			t.Errorf("the turns were %v; want %v", turn, want)
		}
	})
}

// TestSlotsAfterFailure: a fetch that certainly made nothing gives its slot back,
// any other does not.
func TestSlotsAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &catest.Slots{}
		order := ca.SlotOrder{Slots: 1, Life: time.Hour}
		no := errors.New("refused")
		if _, err := s.Take(t.Context(), "a", order, func(context.Context) (secret.Text, error) { return secret.Text{}, &ca.NoChallenge{Err: no} }); !errors.Is(err, no) {
			t.Fatalf("got %v", err)
		}
		wantOut(t, s, 0, 0)
		if _, err := s.Take(t.Context(), "a", order, func(context.Context) (secret.Text, error) { return secret.Text{}, no }); !errors.Is(err, no) {
			t.Fatalf("got %v", err)
		}
		wantOut(t, s, 1, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Take(ctx, "a", order, give("late")); ra.KindOf(err) != ra.Unreachable || ra.AsError(err).Retry <= 0 {
			t.Errorf("got %v; want unreachable with a time", err)
		}
		time.Sleep(time.Hour)
		if slot, err := s.Take(t.Context(), "a", order, give("late")); err != nil || slot.Secret.Reveal() != "late" {
			t.Errorf("after the lost one is forgotten: %v", err)
		}
	})
}
