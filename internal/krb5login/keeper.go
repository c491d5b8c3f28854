package krb5login

import (
	"context"
	"errors"
	"sync"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/gsskrb"
)

// margin is how long before its end a ticket is no longer used.
const margin = 5 * time.Minute

// doubt is how long a ticket that was given out may go without a word that it
// works, before another one is asked for: the service may have a new key.
const doubt = 30 * time.Second

// Keeper keeps the tickets of one login while they live. It is safe for
// concurrent use; who needs a new ticket waits while the KDC is asked for another.
type Keeper struct {
	login Login
	dial  Dial
	now   func() time.Time

	turn  chan struct{} // holds one token, for whoever asks the KDC
	first *granted      // the ticket of the login; with the turn only

	mu   sync.Mutex
	kept map[string]*kept
}

type kept struct {
	granted
	shown time.Time // first use since the ticket was last seen to work
}

// Keep makes a keeper. Nobody is asked yet.
func Keep(l Login, dial Dial, now func() time.Time) *Keeper {
	return &Keeper{login: l, dial: dial, now: now, turn: make(chan struct{}, 1), kept: map[string]*kept{}}
}

// Ticket gives a kept ticket for a service, or a new one. Errors are those of
// Login.Ticket, and the context's.
func (k *Keeper) Ticket(ctx context.Context, service string) (gsskrb.Ticket, error) {
	if t, ok := k.have(service); ok {
		return t, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return gsskrb.Ticket{}, ctx.Err()
	}
	if t, ok := k.have(service); ok { // somebody else asked meanwhile
		return t, nil
	}
	if k.first != nil && k.first.until.Sub(k.now()) <= margin {
		k.first = nil
	}
	first, t, err := k.login.ask(ctx, k.dial, k.first, service)
	if k.first != nil && ra.KindOf(err) == ra.RefusedByCA && !errors.Is(err, UnknownService) { // the KDC may have forgotten that login
		first, t, err = k.login.ask(ctx, k.dial, nil, service)
	}
	if err != nil {
		return gsskrb.Ticket{}, err
	}
	k.first = first
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[service] = &kept{granted: t, shown: k.now()}
	return t.Ticket, nil
}

// have gives a ticket that is there and beyond doubt.
func (k *Keeper) have(service string) (gsskrb.Ticket, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, t := k.now(), k.kept[service]
	if t == nil || t.until.Sub(now) <= margin || !t.shown.IsZero() && now.Sub(t.shown) >= doubt {
		return gsskrb.Ticket{}, false
	}
	if t.shown.IsZero() {
		t.shown = now
	}
	return t.Ticket, true
}

// Works tells that a service has taken its ticket.
func (k *Keeper) Works(service string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.kept[service]; t != nil {
		t.shown = time.Time{}
	}
}
