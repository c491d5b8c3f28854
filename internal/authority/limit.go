package authority

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/time/rate"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// defaultInFlight is the concurrency of an authority without a limit of its
// own.
const defaultInFlight = 16

// patience is how long work waits for a free slot before it gives up with
// Busy. A SCEP client's own patience is 30 s.
const patience = 15 * time.Second

// limits is one authority's rate and concurrency, shared by everything that
// talks to it.
type limits struct {
	rate  *rate.Limiter
	slots chan struct{}
	of    ra.Authority
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
	l := &limits{rate: rate.NewLimiter(rate.Inf, 0), slots: make(chan struct{}, n), of: *a}
	if a.RatePerSecond > 0 {
		l.rate = rate.NewLimiter(rate.Limit(a.RatePerSecond), 1)
	}
	if s.limits == nil {
		s.limits = map[ra.AuthorityID]*limits{}
	}
	s.limits[a.ID] = l
	return l
}

// Do runs f with the connector when the limits allow. Waiting longer than 15
// seconds, or than ctx lasts, is Busy: nothing was asked, and the work stays on
// its obligation.
func (o *Open) Do(ctx context.Context, f func(ca.Connector) error) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	busy := func(err error) error {
		return ra.Errorf(ra.Busy, "The authority %q has more work than its limits allow at once.", o.Authority.Name).
			WithRemedy("It will be tried again by itself; raise the authority's limits if it can take more.").
			WithRetry(5 * time.Second).WithCause(err)
	}
	select {
	case o.limits.slots <- struct{}{}:
		defer func() { <-o.limits.slots }()
	case <-wait.Done():
		return busy(wait.Err())
	}
	if err := o.limits.rate.Wait(wait); err != nil {
		return busy(err)
	}
	return f(o.Connector)
}

// Budget is how many calls the planner may hand out for the coming span.
func (o *Open) Budget(span time.Duration) int {
	slots := cap(o.limits.slots) * 4
	if r := o.limits.of.RatePerSecond; r > 0 {
		return max(1, min(slots, int(r*span.Seconds())))
	}
	return slots
}
