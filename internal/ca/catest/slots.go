package catest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

// Slots is a ca.Slots in memory that outlives connectors, as a database does.
// The zero value is ready and safe for concurrent use; set Now before it is
// used.
type Slots struct {
	Now func() time.Time // nil: time.Now

	mu       sync.Mutex
	out      map[string]ca.Slot // one without a secret is being fetched, or was lost
	fetching map[string]bool
	lost     int
	queue    []*place
	changed  chan struct{} // closed and replaced whenever there is news
}

// place is one caller's place in the queue.
type place struct{ _ byte }

// Take gives the challenge for id, or has fetch get one when its turn has come.
func (s *Slots) Take(ctx context.Context, id string, order ca.SlotOrder, fetch func(context.Context) (secret.Text, error)) (ca.Slot, error) {
	known, err := s.await(ctx, id, order)
	if err != nil || known.Secret.IsSet() {
		return known, err
	}
	text, err := fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fetching, id)
	defer s.tell()
	slot := s.out[id]
	var none *ca.NoChallenge
	switch {
	case errors.As(err, &none):
		delete(s.out, id)
	case err != nil: // nobody knows what the server made
		delete(s.out, id)
		s.lost++
		s.out[fmt.Sprintf("lost %d", s.lost)] = slot
	default:
		slot.Secret = text
		s.out[id] = slot
	}
	return slot, err
}

// await gives the challenge that is out for id, or one without a secret that the
// caller is to fill.
func (s *Slots) await(ctx context.Context, id string, order ca.SlotOrder) (ca.Slot, error) {
	me := &place{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		s.out, s.fetching, s.changed = map[string]ca.Slot{}, map[string]bool{}, make(chan struct{})
	}
	s.queue = append(s.queue, me)
	defer func() {
		s.queue = slices.DeleteFunc(s.queue, func(p *place) bool { return p == me })
		s.tell()
	}()
	for {
		next := s.expire()
		if slot := s.out[id]; slot.Secret.IsSet() {
			return slot, nil
		}
		if s.queue[0] == me && !s.fetching[id] && len(s.out) < order.Slots {
			now := s.now()
			s.fetching[id] = true
			s.out[id] = ca.Slot{FetchedAt: now, ExpiresAt: now.Add(order.Life)}
			return s.out[id], nil
		}
		if err := s.sleep(ctx, next); err != nil {
			return ca.Slot{}, ra.Errorf(ra.Unreachable, "No slot for a challenge became free in time.").
				WithRemedy("Wait until devices have used theirs.").WithRetry(time.Minute).WithCause(err)
		}
	}
}

// sleep waits for news, or until next. The lock is held before and after.
func (s *Slots) sleep(ctx context.Context, next time.Duration) error {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	timer := time.NewTimer(next)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// expire forgets what the server has forgotten, and says when that happens next.
func (s *Slots) expire() time.Duration {
	now, next := s.now(), time.Hour
	for id, slot := range s.out {
		left := slot.ExpiresAt.Sub(now)
		if left <= 0 && !s.fetching[id] {
			delete(s.out, id)
			continue
		}
		next = min(next, max(left, time.Millisecond))
	}
	return next
}

// Free forgets the challenge for id.
func (s *Slots) Free(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, out := s.out[id]; out && !s.fetching[id] {
		delete(s.out, id)
		s.tell()
	}
	return nil
}

// Out counts the challenges that are out, and who waits.
func (s *Slots) Out(context.Context) (out, waiting int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return len(s.out), len(s.queue), nil
}

// tell wakes everyone who waits.
func (s *Slots) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Slots) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}
