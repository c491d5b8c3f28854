package scepproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/scepmsg"
)

const (
	// recheck is how old the settings of an authority may be here. Whether it is
	// switched off is asked again with every message.
	recheck = time.Second
	// forwardLimit is how long a server may take. Clients give up at 30 seconds.
	forwardLimit = 26 * time.Second
	// queueLimit is how long a message may wait for its turn.
	queueLimit = 10 * time.Second

	usualInFlight = 32
	usualQueue    = 128

	// The breaker opens after so many failures in a row, and lets one message
	// through after a while to find out.
	breakerFailures = 5
	breakerDelay    = 10 * time.Second
)

// backend is one authority's server: how much may be asked of it at once, and
// what it said. Nothing in it is shared with the others.
type backend struct {
	open    *authority.Open
	forward ca.Forwarder
	server  ca.SCEPServer
	breaker circuitbreaker.CircuitBreaker[any]
	turn    chan struct{} // messages at the server
	claimed atomic.Int64  // those and the ones that wait
	most    int64

	mu    sync.Mutex
	asked map[scepmsg.Operation]*said // GetCACert and GetCACaps
}

// known is a backend and when its authority was looked at.
type known struct {
	*backend
	at time.Time
}

// backend gives the server of an authority. New settings make a new one.
func (d *Door) backend(ctx context.Context, id ra.AuthorityID) (*backend, error) {
	d.mu.Lock()
	b, ok := d.backends[id]
	d.mu.Unlock()
	if ok && d.Now().Sub(b.at).Abs() < recheck {
		return b.backend, nil
	}
	o, err := d.Authorities.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if b, ok := d.backends[id]; ok && b.open == o {
		d.backends[id] = known{b.backend, d.Now()}
		return b.backend, nil
	}
	fresh, err := newBackend(o)
	if err != nil {
		return nil, err
	}
	if d.backends == nil {
		d.backends = map[ra.AuthorityID]known{}
	}
	d.backends[id] = known{fresh, d.Now()}
	return fresh, nil
}

func newBackend(o *authority.Open) (*backend, error) {
	f, ok := o.Connector.(ca.Forwarder)
	if !ok || !f.SCEP().ByProxy {
		return nil, ra.Errorf(ra.Conflict, "The authority %q is not to be reached through the proxy.", o.Authority.Name).
			WithRemedy("Switch the proxy on in its settings.")
	}
	b := &backend{open: o, forward: f, server: f.SCEP(), asked: map[scepmsg.Operation]*said{}}
	n := cmp.Or(b.server.InFlight, usualInFlight)
	b.turn, b.most = make(chan struct{}, n), int64(n+cmp.Or(b.server.Queue, usualQueue))
	b.breaker = circuitbreaker.NewBuilder[any]().WithFailureThreshold(breakerFailures).WithSuccessThreshold(1).WithDelay(breakerDelay).Build()
	return b, nil
}

// enter reserves a place in the server's queue before anything is claimed; leave
// gives it back.
func (b *backend) enter() (leave func(), err error) {
	if b.breaker.IsOpen() && b.breaker.RemainingDelay() > 0 {
		return nil, b.away(nil)
	}
	if b.claimed.Add(1) > b.most {
		b.claimed.Add(-1)
		return nil, ra.Errorf(ra.Busy, "The server of %q has more work than its limits allow at once.", b.open.Authority.Name).
			WithRemedy("Devices try again by themselves; raise the limits of the authority if it can take more.").WithRetry(30 * time.Second)
	}
	return func() { b.claimed.Add(-1) }, nil
}

func (b *backend) away(cause error) error {
	return ra.Errorf(ra.Unreachable, "The server of %q does not answer.", b.open.Authority.Name).
		WithRemedy("Test the connection of the authority; devices try again by themselves.").WithRetry(30 * time.Second).WithCause(cause)
}

// ask passes one operation on when it is its turn. A message of which nothing
// left is sent a second time; no other is. An error that wraps ca.NotSent says
// that nothing left.
func (b *backend) ask(ctx context.Context, op scepmsg.Operation, message []byte) (ca.Forwarded, error) {
	wait, cancel := context.WithTimeout(ctx, queueLimit)
	defer cancel()
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-wait.Done():
		return ca.Forwarded{}, &ca.NotSent{Err: b.away(wait.Err())}
	}
	if !b.breaker.TryAcquirePermit() {
		return ca.Forwarded{}, &ca.NotSent{Err: b.away(circuitbreaker.ErrOpen)}
	}
	ctx, stop := context.WithTimeout(ctx, forwardLimit)
	defer stop()
	answer, err := b.forward.Forward(ctx, op, message)
	var unsent *ca.NotSent
	if errors.As(err, &unsent) {
		answer, err = b.forward.Forward(ctx, op, message)
	}
	if err != nil || answer.Status == http.StatusBadGateway || answer.Status == http.StatusServiceUnavailable || answer.Status == http.StatusGatewayTimeout {
		b.breaker.RecordFailure()
	} else {
		b.breaker.RecordSuccess()
	}
	return answer, err
}

// unusual says what is wrong with an answer outside of SCEP.
func unusual(answer ca.Forwarded) *ra.Error {
	if answer.Status != http.StatusOK {
		kind := ra.RefusedByCA
		if answer.Status == http.StatusServiceUnavailable {
			kind = ra.Unreachable // it asks to be tried later
		}
		return ra.Errorf(kind, "The server answered with HTTP status %d.", answer.Status).
			WithRemedy("Look into the log of the server; expired RA certificates are a common cause of 500 and 503, a query that is too long of 404 and 414.")
	}
	return ra.Errorf(ra.RefusedByCA, "The server answered with something that is no SCEP message (%s, %d bytes).", mediaWord(answer.Media), len(answer.Body)).
		WithRemedy("See whether the address of the server is right, and whether something in between answers in its place.")
}

// mediaWord keeps what a server calls its answer short and printable.
func mediaWord(media string) string {
	if media == "" {
		return "no media type"
	}
	return fmt.Sprintf("%.60q", media)
}
