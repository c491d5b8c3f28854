package scripted

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"chancery/internal/ra"
)

// Server is a scripted authority in a process of its own: the one of the test,
// while the product that asks it over HTTP is another process and may be killed
// at any moment. What it signed and revoked it keeps itself, so its ledger can
// be held against the product's. Make one with NewServer; it is safe for
// concurrent use.
type Server struct {
	// Act says what it does with the nth call of an operation ("issue", "find",
	// "fetch", "revoke", "chain") about an ID. Nil grants everything. An
	// operation that is not "issue" knows only Grant, TimeOut, CutBefore,
	// LoseAnswer and Slow. Set it before the first call.
	Act func(operation, id string, nth int) Act

	now  func() time.Time
	key  crypto.Signer
	cert *x509.Certificate

	mu      sync.Mutex
	calls   map[string]int
	under   map[string]int // calls under way, by operation
	entries map[string]*entry
	revoked map[string]ra.RevocationReason // by serial, hex
}

// entry is what the server knows of one request.
type entry struct {
	order order
	since time.Time
	waits int // fetches until the answer
	certs []*x509.Certificate
}

// ripe is how long a pending request stays undecided that nobody asks about.
const ripe = 2 * time.Minute

// order is one call as it goes over the line. Everything but the operation and
// the ID belongs to "issue", or to "revoke".
type order struct {
	ID         string              `json:"id"`
	SPKI       []byte              `json:"spki,omitempty"`
	Subject    []byte              `json:"subject,omitempty"`
	Extensions [][]byte            `json:"extensions,omitempty"`
	KeyUsage   int                 `json:"key_usage,omitempty"`
	Seconds    int64               `json:"seconds,omitempty"`
	Serial     string              `json:"serial,omitempty"`
	Reason     ra.RevocationReason `json:"reason,omitempty"`
}

// answer is what comes back: a certificate, or nothing yet.
type answer struct {
	Known       bool   `json:"known"`
	Certificate []byte `json:"certificate,omitempty"`
	Issuer      []byte `json:"issuer,omitempty"`
}

// Twice handles the request two times at once, as when a proxy on the way
// repeats it. Only a Server knows it.
var Twice = Act{do: "twice"}

// Late does what is asked after a while even if the caller has gone away
// meanwhile. Only a Server knows it.
func Late(span time.Duration) Act { return Act{do: "late", span: span} }

// NewServer makes a server with a fresh CA key.
func NewServer(now func() time.Time) (*Server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := selfSigned(now(), key)
	if err != nil {
		return nil, err
	}
	return &Server{now: now, key: key, cert: cert, calls: map[string]int{}, under: map[string]int{}, entries: map[string]*entry{}, revoked: map[string]ra.RevocationReason{}}, nil
}

// Signed gives every certificate that was signed, by request ID. What was
// pending for two minutes has been decided, whether or not anybody asked.
func (s *Server) Signed() (map[string][]*x509.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]*x509.Certificate{}
	for id, e := range s.entries {
		if len(e.certs) == 0 && s.now().Sub(e.since) > ripe {
			e.waits = 0
			if err := s.decide(e); err != nil {
				return nil, err
			}
		}
		if len(e.certs) > 0 {
			out[id] = append([]*x509.Certificate(nil), e.certs...)
		}
	}
	return out, nil
}

// Revoked gives what is revoked or on hold, by serial in hex.
func (s *Server) Revoked() map[string]ra.RevocationReason {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]ra.RevocationReason{}
	for serial, reason := range s.revoked {
		out[serial] = reason
	}
	return out
}

// ServeHTTP answers POST /{operation}.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := r.URL.Path[1:]
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&o); err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	s.count(operation, 1)
	defer s.count(operation, -1)
	switch act := s.next(operation, o.ID); act.do {
	case TimeOut.do:
		<-r.Context().Done()
		return
	case CutBefore.do:
		cut(w)
		return
	case Refuse.do:
		http.Error(w, "refused", http.StatusForbidden)
		return
	case "slow":
		if !sleep(r.Context(), act.span) {
			return
		}
		s.reply(w, operation, o, act)
	case "late":
		sleep(context.WithoutCancel(r.Context()), act.span)
		s.reply(w, operation, o, act)
	case Twice.do:
		var both sync.WaitGroup
		both.Go(func() { _, _ = s.do(operation, o, act) }) // the proxy gives one of the answers on
		both.Go(func() { s.reply(w, operation, o, act) })
		both.Wait()
	case LoseAnswer.do:
		_, _ = s.do(operation, o, act) // nobody hears of it
		cut(w)
	default:
		s.reply(w, operation, o, act)
	}
}

// Under tells how many calls of an operation are under way, with those whose
// caller has gone away.
func (s *Server) Under(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.under[operation]
}

func (s *Server) count(operation string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under[operation] += n
}

func sleep(ctx context.Context, span time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(span):
		return true
	}
}

// cut breaks the line without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}

func (s *Server) next(operation, id string) Act {
	s.mu.Lock()
	s.calls[operation+" "+id]++
	nth := s.calls[operation+" "+id]
	s.mu.Unlock()
	if s.Act == nil {
		return Grant
	}
	return s.Act(operation, id, nth)
}

func (s *Server) reply(w http.ResponseWriter, operation string, o order, act Act) {
	a, err := s.do(operation, o, act)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(a) // who has gone away asks again
}

// do carries an operation out.
func (s *Server) do(operation string, o order, act Act) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[o.ID]
	switch operation {
	case "issue":
		if e == nil {
			e = &entry{order: o, since: s.now()}
			if act.do == "pend" {
				e.waits = act.waits
			}
			s.entries[o.ID] = e
		} else if e.waits > 0 {
			e.waits-- // whoever asks again asks for the answer, too
		}
	case "fetch":
		if e != nil && e.waits > 0 {
			e.waits--
		}
	case "revoke":
		known := s.ours(o.Serial)
		if known {
			s.revoke(o)
		}
		return answer{Known: known}, nil
	case "find", "chain":
	default:
		return answer{}, fmt.Errorf("no operation %q", operation)
	}
	a := answer{Known: e != nil, Issuer: s.cert.Raw}
	if e == nil || e.waits > 0 {
		return a, nil
	}
	if err := s.decide(e); err != nil {
		return answer{}, err
	}
	a.Certificate = e.certs[0].Raw
	return a, nil
}

// decide signs a certificate, unless that has been done.
func (s *Server) decide(e *entry) error {
	if len(e.certs) > 0 {
		return nil
	}
	c, err := s.sign(e.order)
	if err == nil {
		e.certs = append(e.certs, c)
	}
	return err
}

// ours tells whether a certificate was signed here.
func (s *Server) ours(number string) bool {
	for _, e := range s.entries {
		if len(e.certs) > 0 && serial(e.certs[0]) == number {
			return true
		}
	}
	return false
}

func (s *Server) revoke(o order) {
	before, revoked := s.revoked[o.Serial]
	switch {
	case o.Reason == ra.RemoveFromCRL && before == ra.CertificateHold:
		delete(s.revoked, o.Serial)
	case o.Reason != ra.RemoveFromCRL && (!revoked || before == ra.CertificateHold):
		s.revoked[o.Serial] = o.Reason
	}
}

func (s *Server) sign(o order) (*x509.Certificate, error) {
	public, err := x509.ParsePKIXPublicKey(o.SPKI)
	if err != nil {
		return nil, err
	}
	from := s.now().UTC().Truncate(time.Second).Add(-time.Minute)
	t := &x509.Certificate{SerialNumber: freshSerial(), RawSubject: o.Subject, KeyUsage: x509.KeyUsage(o.KeyUsage),
		NotBefore: from, NotAfter: from.Add(time.Duration(o.Seconds)*time.Second - time.Second), BasicConstraintsValid: true}
	for _, der := range o.Extensions {
		var e pkix.Extension
		if _, err := asn1.Unmarshal(der, &e); err != nil {
			return nil, err
		}
		t.ExtraExtensions = append(t.ExtraExtensions, e)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, s.cert, public, s.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func freshSerial() *big.Int {
	number := make([]byte, 16)
	rand.Read(number)
	number[0] = number[0]&0x7f | 0x40 // positive and always as long
	return new(big.Int).SetBytes(number)
}
