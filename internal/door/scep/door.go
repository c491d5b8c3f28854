// Package scep is the door for SCEP clients (RFC 8894), at
// /scep/{endpoint}, whatever a client appends to it.
//
// A request goes through these files: door.go reads the operation and the
// message within limits; message.go has wire/scepmsg verify and open it in an
// order that gives nothing away; admit.go gathers who sent it and what is known
// of it; decide.go is the one table of message type, credential and history
// that says what may happen, and denies by default; ask.go turns a yes into an
// enroll.Ask; answer.go and getcert.go turn what came of it into a CertRep;
// refusal.go turns a no into a CertRep that says nothing and into a log line
// and an audit entry that say everything.
//
// The door keeps no rules about templates, names or keys: package enroll
// judges those. It remembers nothing that must survive a restart.
package scep

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"chancery/internal/authority"
	"chancery/internal/door/scepin"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/observe"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// Door serves SCEP. Fill the fields, then use it; it is safe for concurrent
// use.
type Door struct {
	Enroll      *enroll.Service
	Lifecycle   *lifecycle.Service
	Authorities *authority.Service
	DB          *store.DB
	Now         func() time.Time
	Log         *slog.Logger
	Observer    *observe.Observer // nil: nobody watches
	// Patience is how long a client may take to send its message; 0 means 20
	// seconds.
	Patience time.Duration

	once     sync.Once
	slots    chan struct{} // messages being worked on
	wrong    strikes       // unknown challenges by address
	broken   strikes       // messages nobody could open, by address
	refusals refusals
}

const (
	prefix = "/scep/"
	// maxInFlight bounds the messages worked on at once. Beyond it the private
	// key is the bottleneck and waiting longer only makes clients repeat.
	maxInFlight = 256
)

// Register puts the door's routes on a mux.
func (d *Door) Register(mux *http.ServeMux) {
	mux.Handle(prefix+"{endpoint}", d)
	mux.Handle(prefix+"{endpoint}/{anything...}", d)
}

// Wrap serves SCEP before a mux sees it. A mux redirects paths with double
// slashes, which clients make of an address that ends in one, and few SCEP
// clients follow redirects.
func (d *Door) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix) {
			r.Pattern = prefix + "{endpoint}" // as the mux would, for those who count
			d.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// place is an endpoint with all that is set about it.
type place struct {
	endpoint *ra.Endpoint
	settings *sceppolicy.Endpoint
	template *ra.Template
	ra       ra.AuthorityID // issues the RA certificate
	renewal  bool           // a certificate may vouch for its successor
	floor    scepmsg.Floor
}

// httpError is an answer outside of SCEP: there was no message to reply to, or
// no reply to give now.
type httpError = scepin.Error

// ServeHTTP answers one request. The path behind the endpoint's name, and behind
// a challenge where one may be there, means nothing: clients append
// /pkiclient.exe, /cgi-bin/pkiclient.exe and the like.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, prefix), "/")
	media, body, err := d.serve(w, r, name, rest)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	status := http.StatusOK
	if err != nil {
		var e *httpError
		if !errors.As(err, &e) {
			d.Log.Error("SCEP request not answered", "endpoint", name, "error", err)
			e = later
		}
		media, body, status = "text/plain; charset=utf-8", []byte(e.Text+"\n"), e.Status
		switch status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			h.Set("Retry-After", "30")
		case http.StatusMethodNotAllowed:
			h.Set("Allow", "GET, POST")
		case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
			h.Set("Connection", "close") // the rest of the body is not read
		}
	}
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		d.Log.Debug("client went away", "error", err)
	}
}

// later is the answer when something here does not work now. Clients that
// retry read 503 as "unreachable"; a CertRep would end their attempt.
var later = &httpError{Status: http.StatusServiceUnavailable, Text: "Enrolment does not work at the moment. Try again later."}

func (d *Door) serve(w http.ResponseWriter, r *http.Request, name, rest string) (media string, body []byte, err error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return "", nil, &httpError{Status: http.StatusMethodNotAllowed, Text: "SCEP uses GET and POST."}
	}
	if len(r.URL.RawQuery) > scepmsg.MaxQueryBytes {
		return "", nil, &httpError{Status: http.StatusRequestURITooLong, Text: "The query is too long. Use POST."}
	}
	op, err := scepmsg.DecodeOperation(r.URL.RawQuery)
	if err != nil || op == scepmsg.OpGetNextCACert {
		return "", nil, &httpError{Status: http.StatusBadRequest, Text: "This operation is not offered. There are GetCACaps, GetCACert and PKIOperation."}
	}
	p, err := d.open(r.Context(), name)
	if err != nil {
		return "", nil, err
	}
	switch op {
	case scepmsg.OpGetCACaps:
		return scepmsg.MediaCaps, []byte(caps(p)), nil
	case scepmsg.OpGetCACert:
		body, err = d.caCert(r.Context(), p)
		return scepmsg.MediaCARACert, body, err
	}
	raw, err := scepin.Message(w, r, d.Patience)
	if err != nil {
		return "", nil, err
	}
	body, err = d.pkiOperation(r.Context(), p, scepin.Address(r), inAddress(rest), raw)
	return scepmsg.MediaMessage, body, err
}

// challengeForm is what a challenge in an address looks like; it is longer than
// anything else that clients put there.
var challengeForm = regexp.MustCompile(`^/*([A-Za-z0-9]{16,255})(/|$)`)

func inAddress(rest string) secret.Text {
	if found := challengeForm.FindStringSubmatch(rest); found != nil {
		return secret.New(found[1])
	}
	return secret.Text{}
}

var endpointName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

func (d *Door) open(ctx context.Context, name string) (*place, error) {
	nowhere := &httpError{Status: http.StatusNotFound, Text: "There is no such SCEP endpoint."}
	if !endpointName.MatchString(name) {
		return nil, nowhere // a database may not even take it for text
	}
	at, err := d.Enroll.OpenEndpoint(ctx, name)
	switch {
	case ra.KindOf(err) == ra.NotFound:
		return nil, nowhere
	case err != nil:
		return nil, err
	}
	p := &place{endpoint: at.Endpoint, settings: at.Settings, template: at.Template, ra: at.RA}
	p.renewal = p.settings.Renewal
	if p.ra != p.template.AuthorityID && p.renewal {
		// Where each request carries a challenge of the authority's own, a renewal
		// is an enrolment with a new one.
		o, err := d.Authorities.Reach(ctx, p.template.AuthorityID)
		if err != nil {
			return nil, err
		}
		p.renewal = !enroll.Carried(o)
	}
	switch p.settings.FloorAt(d.Now()) {
	case sceppolicy.Compat:
		p.floor = scepmsg.Compat
	case sceppolicy.Legacy:
		p.floor = scepmsg.Legacy
	}
	return p, nil
}

// enter takes a slot for a message; leave gives it back.
func (d *Door) enter() (leave func(), ok bool) {
	d.once.Do(func() { d.slots = make(chan struct{}, maxInFlight) })
	select {
	case d.slots <- struct{}{}:
		return func() { <-d.slots }, true
	default:
		return nil, false
	}
}

// caps lists what the endpoint can do (RFC 8894 §3.5.2), no more than its
// floor accepts. SHA-384 is in it for strongSwan 5.9.8 to 5.9.10 also.
func caps(p *place) string {
	words := []string{"AES"}
	if p.floor >= scepmsg.Compat {
		words = append(words, "DES3", "SHA-1")
	}
	words = append(words, "SHA-256", "SHA-384", "SHA-512", "POSTPKIOperation")
	if p.renewal {
		words = append(words, "Renewal")
	}
	return strings.Join(append(words, "SCEPStandard"), "\n") + "\n"
}

// caCert answers GetCACert (RFC 8894 §4.2.1.2): the RA certificate first,
// because some clients take the first one, then those above it up to the root,
// and where the issuing CA is of another authority, that one's too if the endpoint
// says so: certmonger cannot tell reliably which of two chains to encrypt to.
// Nothing depends on the message parameter.
func (d *Door) caCert(ctx context.Context, p *place) ([]byte, error) {
	own, err := d.Lifecycle.Own(ctx, p.ra, ra.PurposeSCEPRA)
	if err != nil {
		return nil, err
	}
	chain, err := d.Authorities.Chain(ctx, p.ra)
	if err == nil && p.settings.IssuersToo && p.ra != p.template.AuthorityID {
		var issuing []*x509.Certificate
		issuing, err = d.Authorities.Ask(ctx, p.template.AuthorityID)
		chain = append(chain, issuing...)
	}
	if err != nil {
		return nil, err
	}
	certs := [][]byte{own[0].Row.DER}
	for _, c := range chain {
		certs = append(certs, c.Raw)
	}
	return cms.Degenerate(certs, nil)
}
