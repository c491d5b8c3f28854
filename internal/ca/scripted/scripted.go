// Package scripted is an authority for tests: it does what a script says. It
// refuses, answers late, lets time run out, cuts the line before or after it has
// decided, and counts what it really issued, so that a test of enrolment can
// prove that nothing was lost and nothing issued twice.
//
// A test makes an Authority, writes its script with Plan, and takes its Kind.
// The authority lives outside the connectors opened from it, as a real one does:
// closing and opening a connector changes nothing there. It signs with a CA of
// its own that lasts as long as the Authority, and has every ability a connector
// can have; BareKind has none but Issue.
//
// Where the product itself is to be killed, a Server is the authority: it
// answers over HTTP from the test's own process and keeps its own ledger.
//
// Only tests import this package; the product's list of kinds does not have it.
package scripted

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// Authority is a scripted authority. Make one with New; it is safe for
// concurrent use.
type Authority struct {
	// Forgetful makes it issue a new certificate each time it is asked, whatever
	// the request's ID, as authorities without transaction IDs do. Set it before
	// the first request.
	Forgetful bool
	// Again is when a pending request says to be asked again.
	Again time.Duration

	now  func() time.Time
	key  crypto.Signer
	cert *x509.Certificate

	mu         sync.Mutex
	script     []Act
	records    map[string]*record // by request ID
	handles    map[string]*record
	asked      map[string]int
	revoked    map[string]ra.RevocationReason // by serial, hex
	challenges int
	crls       int64
	book       *Book
}

// record is what the authority knows of one request.
type record struct {
	handle  string
	request ca.Request
	waits   int // fetches until the answer
	certs   []*x509.Certificate
	key     crypto.Signer
}

// New makes an authority with a fresh CA key.
func New(now func() time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := selfSigned(now(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{
		Again: time.Second, now: now, key: key, cert: cert,
		records: map[string]*record{}, handles: map[string]*record{}, asked: map[string]int{}, revoked: map[string]ra.RevocationReason{},
	}, nil
}

// selfSigned makes the certificate of a CA key, valid from a day before now.
func selfSigned(now time.Time, key crypto.Signer) (*x509.Certificate, error) {
	from := now.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(from.UnixNano()), Subject: pkix.Name{CommonName: "Scripted CA"},
		NotBefore: from.Add(-24 * time.Hour), NotAfter: from.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Act is what the authority does when it is asked for a certificate.
type Act struct {
	do    string
	waits int
	span  time.Duration
}

// The acts.
var (
	Grant      = Act{}                  // issues at once
	Refuse     = Act{do: "refuse"}      // says no, finally
	TimeOut    = Act{do: "time out"}    // does not answer until the caller gives up; nothing is issued
	CutBefore  = Act{do: "cut before"}  // the line breaks before the request arrives
	LoseAnswer = Act{do: "lose answer"} // issues, and the line breaks before the answer arrives
)

// Pend answers later: the request is pending for a number of fetches.
func Pend(fetches int) Act { return Act{do: "pend", waits: fetches} }

// Slow issues after a while, unless the caller gives up before.
func Slow(span time.Duration) Act { return Act{do: "slow", span: span} }

// Plan adds acts for the next requests, one each, in order. Once they are used
// up every request is granted.
func (a *Authority) Plan(acts ...Act) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.script = append(a.script, acts...)
}

// Issued gives every certificate issued for a request ID, in order.
func (a *Authority) Issued(requestID string) []*x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.records[requestID]; r != nil {
		return append([]*x509.Certificate(nil), r.certs...)
	}
	return nil
}

// HadKey reports whether a request came with the key of its CSR.
func (a *Authority) HadKey(requestID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.records[requestID]
	return r != nil && r.request.Key != nil
}

// Total counts the certificates issued at all.
func (a *Authority) Total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, r := range a.records {
		n += len(r.certs)
	}
	return n
}

// Doubles lists the request IDs for which more than one certificate was issued.
func (a *Authority) Doubles() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ids []string
	for id, r := range a.records {
		if len(r.certs) > 1 {
			ids = append(ids, id)
		}
	}
	return ids
}

// Asked counts the requests that arrived for a request ID, answered or not.
func (a *Authority) Asked(requestID string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[requestID]
}

// Revoked tells whether and why a certificate is revoked at the authority.
func (a *Authority) Revoked(cert *x509.Certificate) (reason ra.RevocationReason, revoked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reason, revoked = a.revoked[serial(cert)]
	return reason, revoked
}

// Challenges counts the SCEP challenges handed out.
func (a *Authority) Challenges() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.challenges
}

func serial(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

// next takes an act from the script.
func (a *Authority) next() Act {
	if len(a.script) == 0 {
		return Grant
	}
	act := a.script[0]
	a.script = a.script[1:]
	return act
}

// record gives the record of a request, making it when it is new.
func (a *Authority) record(r ca.Request) *record {
	if known := a.records[r.ID]; known != nil {
		return known
	}
	rec := &record{handle: fmt.Sprintf("R-%06d", len(a.records)+1), request: r}
	a.records[r.ID], a.handles[rec.handle] = rec, rec
	return rec
}
