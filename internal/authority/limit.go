package authority

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// defaultInFlight is the concurrency of an authority without a limit of its
// own. That one holds on each node for itself: it spares the authority a
// crowd, and nobody promised anything.
const defaultInFlight = 16

// How long work waits for its turn before it gives up with Busy. A SCEP
// client's own patience is 30 s; a worker of the queue has other things to do.
const (
	patience     = 15 * time.Second
	calmPatience = 5 * time.Second
)

// class is who waits for a call.
type class int

const (
	urgent class = iota // somebody waits for the outcome
	calm                // a renewal in the background
)

// limits is one authority's rate and concurrency on this node, shared by
// everything that talks to it. A rate and a number of calls at once that
// somebody set hold over all nodes: one goroutine, pump, asks the database for
// the next of those who wait here (claim.go). Without such limits the database
// is not asked.
type limits struct {
	db     *store.DB
	log    *slog.Logger
	of     ra.Authority // with the numbers these were made from
	slots  int          // at once on this node
	shared bool         // the database decides who is next

	mu      sync.Mutex
	free    int // of slots
	waiting [2][]*waiter
	streak  int // urgent calls since the last calm one, of those decided here
	pumping bool
	wake    chan struct{} // something changed for pump
}

// waiter is a call that waits for its turn.
type waiter struct {
	until time.Time   // it leaves then
	ends  time.Time   // the call is over then
	turn  chan string // gets the slot, empty when they are not counted; closed when its turn cannot come in time
}

// limitsOf gives the authority's limits; changed numbers make new ones. kind
// is the kind's own idea of how much the authority takes at once.
func (s *Service) limitsOf(a *ra.Authority, kind ca.Kind) *limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.limits[a.ID]; l != nil && l.of.RatePerSecond == a.RatePerSecond && l.of.MaxInFlight == a.MaxInFlight {
		return l
	}
	n := cmp.Or(a.MaxInFlight, kind.Traits.InFlight, defaultInFlight)
	l := &limits{db: s.DB, log: s.Log, of: *a, slots: n, free: n, wake: make(chan struct{}, 1)}
	// With SQLite this node is the only one, and it counts its calls itself.
	l.shared = a.RatePerSecond > 0 || l.counted()
	if s.limits == nil {
		s.limits = map[ra.AuthorityID]*limits{}
	}
	s.limits[a.ID] = l
	return l
}

// counted reports whether open calls are counted over all nodes.
func (l *limits) counted() bool { return l.of.MaxInFlight > 0 && l.db.Engine() == "postgres" }

type calmKey struct{}

// InBackground marks work that nobody waits for, such as a renewal in good
// time. Do lets work that somebody waits for go first: of four calls in a row
// the background is sure of one.
func InBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, calmKey{}, true)
}

// classOf tells who waits for what is done under ctx.
func classOf(ctx context.Context) (class, time.Duration) {
	if ctx.Value(calmKey{}) != nil {
		return calm, calmPatience
	}
	return urgent, patience
}

// Do runs f with the connector when the limits allow, on whatever node the
// other calls are. Waiting longer than 15 seconds (5 in the background), or
// than ctx lasts, is Busy: nothing was asked, and the work stays on its
// obligation. While the authority does not answer, one call at a time is let
// through to find out; the others are Unreachable at once.
//
// ctx must be the one f works under: when it ends, f returns, and its place is
// free for another call. A ctx without end is given two minutes.
func (o *Open) Do(ctx context.Context, f func(ca.Connector) error) error {
	probe, err := o.pulse.admit(o)
	if err != nil {
		return err
	}
	who, wait := classOf(ctx)
	began := time.Now()
	leave, err := o.limits.enter(ctx, who, wait)
	if err != nil {
		o.pulse.withdraw(probe)
		return ra.Errorf(ra.Busy, "The authority %q has more work than its limits allow at once.", o.Authority.Name).
			WithRemedy("It will be tried again by itself; raise the authority's limits if it can take more.").
			WithRetry(5 * time.Second).WithCause(err)
	}
	defer leave()
	_, span := o.observer.Start(ctx, "authority.call", "authority", o.Authority.Name)
	ended := o.observer.Calling(o.Authority.Name, time.Since(began))
	err = o.pulse.observe(ctx, o, who, probe, func() error { return f(o.Connector) })
	ended(err)
	span.End(err)
	return err
}

// enter waits for a turn. The place is given back with leave.
func (l *limits) enter(ctx context.Context, who class, wait time.Duration) (leave func(), err error) {
	ends, known := ctx.Deadline()
	if !known {
		ends = time.Now().Add(longestCall)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	l.mu.Lock()
	if !l.shared && l.free > 0 && len(l.waiting[urgent])+len(l.waiting[calm]) == 0 {
		l.free--
		l.mu.Unlock()
		return l.leave, nil
	}
	w := &waiter{ends: ends, turn: make(chan string, 1)}
	w.until, _ = ctx.Deadline()
	l.waiting[who] = append(l.waiting[who], w)
	if l.shared && !l.pumping {
		l.pumping = true
		go l.pump()
	}
	l.mu.Unlock()
	l.changed()
	select {
	case slot, ok := <-w.turn:
		if !ok {
			return nil, context.DeadlineExceeded
		}
		return l.leaver(slot), nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting[who], w)
	if i >= 0 {
		l.waiting[who] = slices.Delete(l.waiting[who], i, i+1)
	}
	l.mu.Unlock()
	l.changed()
	if i < 0 { // its turn came at the same moment
		if slot, ok := <-w.turn; ok {
			return l.leaver(slot), nil
		}
	}
	return nil, ctx.Err()
}

// The lease of a slot outlasts the call by leaseMargin; a call whose end nobody
// has set is believed to take longestCall. No lease is longer than longestLease.
const (
	longestCall  = 2 * time.Minute
	leaseMargin  = 3 * time.Second
	longestLease = 15 * time.Minute
)

// leaver gives back a slot of the database with the one here.
func (l *limits) leaver(slot string) func() {
	if slot == "" {
		return l.leave
	}
	return func() {
		l.release(slot)
		l.leave()
	}
}

// release gives a slot of the database back. If that fails its lease runs out.
func (l *limits) release(slot string) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseMargin)
	defer cancel()
	if err := l.db.Write(ctx, func(tx *store.Tx) error { return tx.ReleaseSlot(slot) }); err != nil {
		l.log.Warn("a place at an authority is given back when its lease ends", "authority", l.of.Name, "error", err)
	}
}

// leave gives a place on this node to the next.
func (l *limits) leave() {
	l.mu.Lock()
	l.free++
	if !l.shared {
		l.next()
	}
	l.mu.Unlock()
	l.changed()
}

// next gives a free place to whoever is first, when the database has no say.
func (l *limits) next() {
	who := urgent
	switch {
	case l.free == 0 || len(l.waiting[urgent])+len(l.waiting[calm]) == 0:
		return
	case len(l.waiting[urgent]) == 0, l.streak >= share && len(l.waiting[calm]) > 0:
		who = calm
	}
	w := l.waiting[who][0]
	l.waiting[who] = l.waiting[who][1:]
	l.streak = streakAfter(l.streak, who, 1)
	l.free--
	w.turn <- ""
}

// changed tells pump to look again.
func (l *limits) changed() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// slotID names an open call among those of all nodes.
func slotID() string { return "slot_" + rand.Text() }

// AtOnce is how many calls are open at a time at most, on this node.
func (o *Open) AtOnce() int { return o.limits.slots }
