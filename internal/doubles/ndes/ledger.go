package ndes

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Issued is a certificate that the CA signed.
type Issued struct {
	Certificate *x509.Certificate
	Serial      string // hex, lower case
	Subject     string
	SPKI        []byte // DER
	Transaction string // SCEP's transactionID
	Challenge   string // what the request came with; empty for a renewal
	Renewal     bool   // authorised by the certificate it was signed with
	Template    string
	At          time.Time
}

// Waiting is a request that Approve or Deny decides.
type Waiting struct {
	Transaction string
	Subject     string
	Template    string
	At          time.Time
}

// Refused is a request that was answered with FAILURE.
type Refused struct {
	Transaction string
	FailInfo    string // the digit on the wire
	HRESULT     uint32 // zero where it was not the CA that refused
	Reason      string
	At          time.Time
}

// ledger is what the server remembers of requests.
type ledger struct {
	entries map[string]*entry // by transaction; what CacheRequest keeps
	issued  []Issued
	refused []Refused
}

// entry is a request that was taken.
type entry struct {
	csr       *x509.CertificateRequest
	digest    [32]byte // of the request
	signer    []byte   // SPKI of who signed the message
	challenge string
	renewal   bool
	template  Template
	since     time.Time
	cert      *x509.Certificate // once issued
	denied    uint32            // HRESULT; once denied
}

// Issued gives every certificate, in order.
func (s *Server) Issued() []Issued {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger.issued)
}

// Refused gives every refusal, in order.
func (s *Server) Refused() []Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger.refused)
}

// Waiting gives the requests that somebody has to decide, the oldest first.
func (s *Server) Waiting() []Waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Waiting
	for transaction, e := range s.ledger.entries {
		if e.cert == nil && e.denied == 0 {
			out = append(out, Waiting{transaction, e.csr.Subject.String(), e.template.Name, e.since})
		}
	}
	slices.SortFunc(out, func(a, b Waiting) int { return a.At.Compare(b.At) })
	return out
}

// Approve issues a waiting request's certificate, which the client gets when it
// asks again.
func (s *Server) Approve(transaction string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.waiting(transaction)
	if err != nil {
		return err
	}
	return s.issue(transaction, e)
}

// Deny refuses a waiting request for good, as a certificate manager does.
func (s *Server) Deny(transaction string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.waiting(transaction)
	if err == nil {
		e.denied = adminDenied
	}
	return err
}

func (s *Server) waiting(transaction string) (*entry, error) {
	e := s.ledger.entries[transaction]
	if e == nil || e.cert != nil || e.denied != 0 {
		return nil, fmt.Errorf("ndes: no waiting request %q", transaction)
	}
	return e, nil
}

// issue signs a request's certificate. The caller holds the lock.
func (s *Server) issue(transaction string, e *entry) error {
	cert, err := s.ca.issue(e.csr, e.template)
	if err != nil {
		return err
	}
	e.cert = cert
	s.ledger.issued = append(s.ledger.issued, Issued{Certificate: cert, Serial: cert.SerialNumber.Text(16), Subject: cert.Subject.String(),
		SPKI: cert.RawSubjectPublicKeyInfo, Transaction: transaction, Challenge: e.challenge, Renewal: e.renewal, Template: e.template.Name,
		At: s.cfg.Now()})
	return nil
}

// known gives what CacheRequest still knows of a transaction. The caller holds
// the lock.
func (s *Server) known(transaction string) *entry {
	e := s.ledger.entries[transaction]
	if e != nil && s.cfg.Now().Sub(e.since) >= s.cfg.CacheRequest {
		delete(s.ledger.entries, transaction)
		return nil
	}
	return e
}

// same tells whether a request is the one of an entry, sent again.
func (e *entry) same(csr []byte, signer *x509.Certificate) bool {
	return e.digest == sha256.Sum256(csr) && bytes.Equal(e.signer, signer.RawSubjectPublicKeyInfo)
}
