package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

type actorKey struct{}

// Trusted serves h to callers who need no credential because of the way they
// came: the socket in the data folder, or the same process. They act as actor.
func Trusted(h http.Handler, actor ra.Actor) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, actor)))
	})
}

// actor tells who calls: the one a trusted listener named, or whoever the
// bearer token belongs to. Nothing else counts, cookies least of all. The
// address is that of the connection; a header can say anything.
func (s *Server) actor(ctx context.Context, authorization, remote string) (ra.Actor, error) {
	if authorization == "" {
		if a, ok := ctx.Value(actorKey{}).(ra.Actor); ok {
			return a, nil
		}
		return ra.Actor{}, ra.Errorf(ra.Unsigned, "This call needs a token.").
			WithRemedy("Send the header Authorization: Bearer TOKEN; chancery token create makes one.")
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	if !s.failures.may(host, s.Now()) {
		return ra.Actor{}, ra.Errorf(ra.Busy, "Too many wrong tokens came from this address.").WithRemedy("Wait a minute, then use a token that is valid.").WithRetry(time.Minute)
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "bearer") || token == "" || len(token) > 200 {
		err = ra.Errorf(ra.Unsigned, "The Authorization header holds no bearer token.").WithRemedy("Write it as Authorization: Bearer TOKEN.")
	} else {
		var a ra.Actor
		if a, err = s.Signin.Authenticate(ctx, secret.New(token), host); err == nil {
			a.Via = "api"
			return a, nil
		}
	}
	if ra.KindOf(err) == ra.Unsigned {
		s.failures.failed(host, s.Now())
	}
	return ra.Actor{}, err
}

// The pace at which one address may bring wrong tokens.
const (
	failBurst = 20
	failEvery = 3 * time.Second
	maxHosts  = 10_000
)

// limiter counts wrong tokens by address. The zero value is ready; it is safe
// for concurrent use.
type limiter struct {
	mu    sync.Mutex
	hosts map[string]*rate.Limiter
}

// may reports whether a host has wrong tokens left.
func (l *limiter) may(host string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[host]
	return h == nil || h.TokensAt(now) >= 1
}

func (l *limiter) failed(host string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil || len(l.hosts) >= maxHosts {
		l.forget(now)
	}
	h := l.hosts[host]
	if h == nil {
		h = rate.NewLimiter(rate.Every(failEvery), failBurst)
		l.hosts[host] = h
	}
	h.AllowN(now, 1)
}

// forget drops the addresses that have been quiet. When none has, all go: a
// flood from many addresses must not fill the memory.
func (l *limiter) forget(now time.Time) {
	kept := map[string]*rate.Limiter{}
	for host, h := range l.hosts {
		if h.TokensAt(now) < failBurst {
			kept[host] = h
		}
	}
	if len(kept) >= maxHosts {
		clear(kept)
	}
	l.hosts = kept
}
