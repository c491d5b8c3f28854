// Package scepclient talks SCEP (RFC 8894) to a server over HTTP: it asks what
// the server can do, fetches its certificates, enrols or renews, and polls
// while the answer is pending. The bytes are wire/scepmsg's; this package adds
// the transport and the order of things. Enrol does all of it in one go; whoever
// must survive a crash in between keeps an Exchange and sends it themselves.
//
// Trust: what GetCACert gives counts only after it was compared with the
// fingerprint the caller pinned, and then only what the pinned certificate has
// signed.
package scepclient

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// maxAnswer is the largest answer that is read, in bytes.
const maxAnswer = 1 << 20

// Client is one SCEP server as seen by one device.
type Client struct {
	URL         string
	HTTP        *http.Client
	Fingerprint string // SHA-256 of the CA's root or issuing certificate, hex; empty accepts what the server says
	Now         func() time.Time
	// CAIdentifier is sent as message of GetCACert; empty: nothing is.
	CAIdentifier string
	// Floor is the weakest algorithms that are sent and accepted; nil is Compat.
	Floor *scepmsg.Floor
	// Poll is how long to wait between polls, Patience how long in all; zero
	// Patience does not wait at all.
	Poll, Patience time.Duration
}

// Server is what a server said of itself.
type Server struct {
	Caps         scepmsg.Caps
	CapsText     string
	Certificates []*cms.Certificate // as sent
	RA           *cms.Certificate   // the one to encrypt to
}

// Order is what to enrol for.
type Order struct {
	CSR []byte // DER PKCS#10 with the challenge in it
	Key crypto.Signer
	Old *x509.Certificate // renewal: the certificate being replaced; nil: first enrolment
	// Sign signs the message and reads the answer: the key of Old in a renewal, a
	// key for the transport otherwise; nil: Key.
	Sign crypto.Signer
	// TransactionID names the exchange; empty: it is made of the key, as most
	// clients do, so that asking again with the same key is the same transaction.
	TransactionID string
}

// Outcome is the server's final word.
type Outcome struct {
	Certificate   *x509.Certificate
	TransactionID string
	Pending       bool // still, when patience ran out
}

// Ask fetches capabilities and certificates. A server that does not answer to
// GetCACaps is taken for an old one: GET, 3DES, SHA-1 (RFC 8894 §3.5.2).
func (c *Client) Ask(ctx context.Context) (*Server, error) {
	caps, err := c.get(ctx, "GetCACaps", "")
	var refused *StatusError
	if err != nil && !errors.As(err, &refused) {
		return nil, err
	}
	certs, err := c.get(ctx, "GetCACert", c.CAIdentifier)
	if err != nil {
		return nil, err
	}
	s := &Server{Caps: scepmsg.ParseCaps(caps), CapsText: string(caps)}
	if s.Certificates, err = scepmsg.ParseCACert(certs, cms.Limits{}); err != nil {
		return nil, c.fault("The SCEP server's certificates cannot be read.", "Check that the address is that of a SCEP server.", err)
	}
	if c.Fingerprint != "" {
		if s.Certificates = Chained(s.Certificates, c.Fingerprint); s.Certificates == nil {
			return nil, c.fault("The SCEP server's certificates are not those that were expected.", "Compare the fingerprint with the one the CA's administrator gave you.", nil)
		}
	}
	if s.RA = scepmsg.ChooseRA(s.Certificates); s.RA == nil {
		return nil, c.fault("The SCEP server has no certificate to encrypt to.", "It needs an RSA certificate with keyEncipherment.", nil)
	}
	return s, nil
}

// Chained gives of certificates those that the one with the SHA-256 fingerprint
// vouches for: itself, what it signed and what those signed, and the root that
// signed it, whose key its own signature proves. Without it among them there are
// none.
func Chained(certs []*cms.Certificate, fingerprint string) []*cms.Certificate {
	var kept []*cms.Certificate
	var trusted []*x509.Certificate
	read := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		read[i], _ = x509.ParseCertificate(c.Raw) // one that cannot be read can prove nothing
		if h := sha256.Sum256(c.Raw); read[i] != nil && strings.EqualFold(hex.EncodeToString(h[:]), fingerprint) && kept == nil {
			kept, trusted, read[i] = append(kept, c), append(trusted, read[i]), nil
		}
	}
	for i := 0; i < len(trusted); i++ {
		for j, x := range read {
			// Only a root: of any other certificate above, no more than the key is proven.
			above := x != nil && i == 0 && trusted[0].CheckSignatureFrom(x) == nil && x.CheckSignatureFrom(x) == nil
			if x != nil && (above || x.CheckSignatureFrom(trusted[i]) == nil) {
				kept, trusted, read[j] = append(kept, certs[j]), append(trusted, x), nil
			}
		}
	}
	return kept
}

// Enrol sends a PKCSReq, or a RenewalReq when there is an old certificate, and
// polls while the answer is pending. A FAILURE is RefusedByCA.
func (c *Client) Enrol(ctx context.Context, s *Server, o Order) (*Outcome, error) {
	x, err := c.Begin(s, o)
	if err != nil {
		return nil, err
	}
	key := o.signer()
	deadline := c.Now().Add(c.Patience)
	for {
		reply, err := c.Send(ctx, s, x, key)
		if err != nil {
			return nil, err
		}
		switch reply.Message.Status {
		case scepmsg.Success:
			leaf, err := x509.ParseCertificate(reply.Certificates[0].Raw)
			return &Outcome{Certificate: leaf, TransactionID: x.TransactionID}, err
		case scepmsg.Failure:
			return nil, &ra.Error{Kind: ra.RefusedByCA, Message: fmt.Sprintf("The SCEP server refused the request: %s.", reply.Message.FailInfo),
				Remedy: "Look at the server's log for the reason; the protocol carries no more.", Retry: ra.Never}
		}
		if c.Now().Add(c.Poll).After(deadline) {
			return &Outcome{TransactionID: x.TransactionID, Pending: true}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(c.Poll):
		}
		if x, err = c.PollFor(s, x, key); err != nil {
			return nil, err
		}
	}
}

// transaction names the exchange after the key, as most clients do: asking
// again with the same key is the same transaction to the server, so an answer
// that was lost or pending is given then.
func transaction(csr *pkixmsg.CSR) string {
	return strings.ToUpper(hex.EncodeToString(csr.SPKIHash[:]))
}

func (c *Client) send(ctx context.Context, s *Server, message []byte) ([]byte, error) {
	if !s.Caps.Post {
		return c.do(ctx, http.MethodGet, "?operation=PKIOperation&message="+scepmsg.EncodeQuery(message), nil)
	}
	return c.do(ctx, http.MethodPost, "?operation=PKIOperation", message)
}

func (c *Client) get(ctx context.Context, operation, message string) ([]byte, error) {
	query := "?operation=" + operation
	if message != "" {
		query += "&message=" + url.QueryEscape(message)
	}
	return c.do(ctx, http.MethodGet, query, nil)
}

func (c *Client) do(ctx context.Context, method, query string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+query, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", scepmsg.MediaMessage)
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, ra.Errorf(ra.Unreachable, "The SCEP server does not answer.").WithRemedy("Check the address and the network.").WithCause(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, ra.Errorf(ra.Unreachable, "The SCEP server's answer was cut off.").WithRemedy("Try again.").WithCause(err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, ra.Errorf(ra.RefusedByCA, "The SCEP server answered HTTP %d.", res.StatusCode).WithRemedy("Look at the server's log for the reason.").
			WithCause(&StatusError{Status: res.StatusCode})
	}
	return data, nil
}

// StatusError is the cause where the server gave an HTTP status other than 200.
type StatusError struct{ Status int }

// Error names the status.
func (e *StatusError) Error() string { return fmt.Sprintf("HTTP status %d", e.Status) }

func (c *Client) fault(message, remedy string, cause error) error {
	return &ra.Error{Kind: ra.RefusedByCA, Message: message, Remedy: remedy, Err: cause}
}
