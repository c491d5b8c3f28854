// Package scepproxy is the door through which devices enrol at SCEP servers
// that are not ours, at /scep-proxy/{token}, whatever a client appends to it.
//
// The door has no key of those servers and opens nothing. GetCACaps and
// GetCACert are answered from a memory of what each server said (cache.go). A
// PKIOperation is read as far as it is in clear (message.go): one signature that
// holds, a type that may pass, algorithms above the floor, a recipient that the
// server really shows. Package pass then decides by the token and what came
// before, durably. What may pass goes to the server byte for byte, and its
// answer comes back byte for byte (forward.go); the same message again gets the
// same answer, and two at once make one.
//
// Each server has a queue and a circuit breaker of its own (backend.go), so that
// one that does not answer takes nothing from the others. A refusal is an HTTP
// status and one sentence: a CertRep has to be signed with a key of the CA, and
// there is none here (answer.go). Tokens and messages are in no log.
package scepproxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"chancery/internal/authority"
	"chancery/internal/door/scepin"
	"chancery/internal/observe"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/scepmsg"
)

// Door serves the proxy. Fill the fields, then use it; it is safe for concurrent
// use.
type Door struct {
	Passes      *pass.Service
	Authorities *authority.Service
	Now         func() time.Time
	Log         *slog.Logger
	Observer    *observe.Observer // nil: nobody watches
	// Patience is how long a client may take to send its message, and how long
	// it waits for an answer; 0 means 20 and 28 seconds.
	Patience time.Duration

	mu       sync.Mutex
	tickets  memory[pass.Ticket] // by the hash of the token
	backends map[ra.AuthorityID]known
	flights  map[string]*flight // messages that are being passed on
	paces    memory[*rate.Limiter]
	strikes  memory[*strike] // bad things by address
}

// Register puts the door's routes on a mux.
func (d *Door) Register(mux *http.ServeMux) {
	mux.Handle(pass.Path+"{token}", d)
	mux.Handle(pass.Path+"{token}/{anything...}", d)
}

// Wrap serves the proxy before a mux sees it. A mux redirects paths with double
// slashes, which clients make of an address that ends in one, and few SCEP
// clients follow redirects.
func (d *Door) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, pass.Path) {
			r.Pattern = pass.Path + "{token}" // as the mux would, for those who count
			d.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP answers one request. The path behind the token means nothing.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	token, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, pass.Path), "/")
	x := &visit{Door: d, remote: scepin.Address(r)}
	a, err := x.serve(w, r, token)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		a = x.refusal(err)
		if a.status >= http.StatusInternalServerError || a.status == http.StatusTooManyRequests {
			h.Set("Retry-After", "30")
		}
		switch a.status {
		case http.StatusMethodNotAllowed:
			h.Set("Allow", "GET, POST")
		case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
			h.Set("Connection", "close") // the rest of the body is not read
		}
	}
	h.Set("Content-Type", a.media)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if _, err := w.Write(a.body); err != nil {
		d.Log.Debug("client went away", "error", err)
	}
	d.Observer.SCEPProxied(x.authority, string(x.operation), a.result, time.Since(began))
}

// visit is one request.
type visit struct {
	*Door
	remote    string
	ticket    pass.Ticket
	authority string // its name, once it is known
	operation scepmsg.Operation
}

// answer is what a client gets.
type answer struct {
	status int
	media  string
	body   []byte
	result string // for those who watch
}

// tokenForm is what tokens look like; a database may not even take other things
// for text.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9]{20,64}$`)

func (x *visit) serve(w http.ResponseWriter, r *http.Request, token string) (a answer, err error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return a, &httpError{Status: http.StatusMethodNotAllowed, Text: "SCEP uses GET and POST."}
	}
	if len(r.URL.RawQuery) > scepmsg.MaxQueryBytes {
		return a, &httpError{Status: http.StatusRequestURITooLong, Text: "The query is too long. Use POST."}
	}
	if x.struck() {
		return a, &httpError{Status: http.StatusTooManyRequests, Text: "Too many bad requests came from this address."}
	}
	op, err := scepmsg.DecodeOperation(r.URL.RawQuery)
	if err != nil {
		return a, &httpError{Status: http.StatusBadRequest, Text: "This operation is not offered."}
	}
	x.operation = op
	if x.ticket, err = x.find(r.Context(), token); err != nil {
		return a, err
	}
	b, err := x.backend(r.Context(), x.ticket.Authority)
	if err != nil {
		return a, err
	}
	x.authority = b.open.Authority.Name
	if op == scepmsg.OpPKIOperation {
		raw, err := scepin.Message(w, r, x.Patience)
		if err != nil {
			if errors.Is(err, scepin.ErrNoMessage) {
				x.strike()
			}
			return a, err
		}
		return x.pkiOperation(r.Context(), b, raw, r.Method)
	}
	if !x.ticket.ExpiresAt.After(x.Now()) {
		return a, x.late(op)
	}
	if op == scepmsg.OpGetNextCACert {
		return x.nextCACert(r.Context(), b)
	}
	return x.look(r.Context(), b, op)
}

// find gives the ticket of a token. What never changes of it is remembered.
func (x *visit) find(ctx context.Context, token string) (t pass.Ticket, err error) {
	unknown := pass.Refuse(pass.Unknown, "There is no such token.", "Make a new pass for the device.")
	if !tokenForm.MatchString(token) {
		x.strike()
		return t, unknown
	}
	hash := pass.TokenHash(secret.New(token))
	x.mu.Lock()
	t, ok := x.tickets.get(hash)
	x.mu.Unlock()
	if ok {
		return t, nil
	}
	if t, err = x.Passes.Ticket(ctx, hash); err != nil {
		var r *pass.Refusal
		if errors.As(err, &r) {
			x.strike()
		}
		return t, err
	}
	x.mu.Lock()
	x.tickets.put(hash, t)
	x.mu.Unlock()
	return t, nil
}
