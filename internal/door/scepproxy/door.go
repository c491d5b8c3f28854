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
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"chancery/internal/authority"
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

const patience = 20 * time.Second

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
	x := &visit{Door: d, remote: address(r)}
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
		return a, &httpError{http.StatusMethodNotAllowed, "SCEP uses GET and POST."}
	}
	if len(r.URL.RawQuery) > scepmsg.MaxQueryBytes {
		return a, &httpError{http.StatusRequestURITooLong, "The query is too long. Use POST."}
	}
	if x.struck() {
		return a, &httpError{http.StatusTooManyRequests, "Too many bad requests came from this address."}
	}
	op, err := scepmsg.DecodeOperation(r.URL.RawQuery)
	if err != nil {
		return a, &httpError{http.StatusBadRequest, "This operation is not offered."}
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
		raw, err := x.readMessage(w, r)
		if err != nil {
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

// readMessage reads the message of a PKIOperation from the query or the body.
// The media type of a POST is whatever the client thinks of.
func (x *visit) readMessage(w http.ResponseWriter, r *http.Request) (raw []byte, err error) {
	if r.Method == http.MethodGet {
		raw, err = scepmsg.DecodeQuery(r.URL.RawQuery)
	} else {
		var body []byte
		if body, err = x.readBody(w, r); err != nil {
			return nil, err
		}
		raw, err = scepmsg.DecodeBody(body)
	}
	if err != nil {
		x.strike()
		return nil, &httpError{http.StatusBadRequest, "The request carries no SCEP message."}
	}
	return raw, nil
}

func (x *visit) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := &httpError{http.StatusRequestEntityTooLarge, "The message is larger than 64 KiB."}
	if r.ContentLength > scepmsg.MaxBodyBytes {
		return nil, tooLarge
	}
	wait := x.Patience
	if wait == 0 {
		wait = patience
	}
	// Sockets go by the system's clock. The deadline is taken off again: it
	// would end the request while the server is asked.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(wait))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, scepmsg.MaxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &httpError{http.StatusRequestTimeout, "The message did not arrive in time."}
	case err != nil:
		return nil, &httpError{http.StatusBadRequest, "The message was cut off."}
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, nil
}

// address is where a request came from, without the port.
func address(r *http.Request) string {
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return a.Addr().Unmap().WithZone("").String()
	}
	return r.RemoteAddr
}
