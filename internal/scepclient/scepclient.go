// Package scepclient talks SCEP (RFC 8894) to a server over HTTP: it asks what
// the server can do, fetches its certificates, enrols or renews, and polls
// while the answer is pending. The bytes are wire/scepmsg's; this package adds
// the transport and the order of things.
//
// Trust: what GetCACert gives counts only after it was compared with the
// fingerprint or the certificate the caller pinned.
package scepclient

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
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
	CSR  []byte // DER PKCS#10 with the challenge in it
	Key  crypto.Signer
	Old  *x509.Certificate // renewal: the certificate being replaced; nil: first enrolment
	Sign crypto.Signer     // renewal: the key of Old; nil: Key
}

// Outcome is the server's final word.
type Outcome struct {
	Certificate   *x509.Certificate
	TransactionID string
	Pending       bool // still, when patience ran out
}

// Ask fetches capabilities and certificates.
func (c *Client) Ask(ctx context.Context) (*Server, error) {
	caps, err := c.get(ctx, "GetCACaps")
	if err != nil {
		return nil, err
	}
	certs, err := c.get(ctx, "GetCACert")
	if err != nil {
		return nil, err
	}
	s := &Server{Caps: scepmsg.ParseCaps(caps), CapsText: string(caps)}
	if s.Certificates, err = scepmsg.ParseCACert(certs, cms.Limits{}); err != nil {
		return nil, c.fault("The SCEP server's certificates cannot be read.", "Check that the address is that of a SCEP server.", err)
	}
	if c.Fingerprint != "" && !c.pinned(s.Certificates) {
		return nil, c.fault("The SCEP server's certificates are not those that were expected.", "Compare the fingerprint with the one the CA's administrator gave you.", nil)
	}
	if s.RA = scepmsg.ChooseRA(s.Certificates); s.RA == nil {
		return nil, c.fault("The SCEP server has no certificate to encrypt to.", "It needs an RSA certificate with keyEncipherment.", nil)
	}
	return s, nil
}

func (c *Client) pinned(certs []*cms.Certificate) bool {
	for _, x := range certs {
		if h := sha256.Sum256(x.Raw); strings.EqualFold(hex.EncodeToString(h[:]), c.Fingerprint) {
			return true
		}
	}
	return false
}

// Enrol sends a PKCSReq, or a RenewalReq when there is an old certificate, and
// polls while the answer is pending. A FAILURE is RefusedByCA.
func (c *Client) Enrol(ctx context.Context, s *Server, o Order) (*Outcome, error) {
	csr, err := pkixmsg.ParseCSR(o.CSR)
	if err != nil {
		return nil, err
	}
	request := scepmsg.Request{Type: scepmsg.PKCSReq, Content: scepmsg.Content{CSR: o.CSR}, Key: o.Key, RA: s.RA, Cipher: s.Caps.Cipher(), Digest: s.Caps.Digest(), SigningTime: c.Now(),
		TransactionID: transaction(csr)}
	if o.Old != nil {
		if s.Caps.Renewal {
			request.Type = scepmsg.RenewalReq
		}
		if o.Sign != nil {
			request.Key = o.Sign
		}
		request.Certificate, err = cms.ParseCertificate(o.Old.Raw)
	} else {
		request.Certificate, err = scepmsg.TransportCertificate(o.Key, csr.RawSubject, c.Now().Add(-time.Hour), c.Now().Add(7*24*time.Hour))
	}
	if err != nil {
		return nil, err
	}
	// An EC key cannot decrypt: a server may answer it under the challenge.
	password, _ := csr.ChallengePassword()
	deadline := c.Now().Add(c.Patience)
	for {
		reply, sent, err := c.exchange(ctx, s, &request, csr.RawSPKI, password)
		if err != nil {
			return nil, err
		}
		switch reply.Message.Status {
		case scepmsg.Success:
			leaf, err := x509.ParseCertificate(reply.Certificates[0].Raw)
			return &Outcome{Certificate: leaf, TransactionID: sent.TransactionID}, err
		case scepmsg.Failure:
			return nil, &ra.Error{Kind: ra.RefusedByCA, Message: fmt.Sprintf("The SCEP server refused the request: %s.", reply.Message.FailInfo),
				Remedy: "Look at the server's log for the reason; the protocol carries no more.", Retry: ra.Never}
		}
		if c.Now().Add(c.Poll).After(deadline) {
			return &Outcome{TransactionID: sent.TransactionID, Pending: true}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(c.Poll):
		}
		request.Type, request.TransactionID = scepmsg.CertPoll, sent.TransactionID
		request.Content = scepmsg.Content{Poll: scepmsg.IssuerAndSubject{RawIssuer: s.RA.RawIssuer, RawSubject: csr.RawSubject}}
	}
}

// transaction names the exchange after the key, as most clients do: asking
// again with the same key is the same transaction to the server, so an answer
// that was lost or pending is given then.
func transaction(csr *pkixmsg.CSR) string {
	return strings.ToUpper(hex.EncodeToString(csr.SPKIHash[:]))
}

// exchange sends one message and reads its answer.
func (c *Client) exchange(ctx context.Context, s *Server, r *scepmsg.Request, spki []byte, password string) (*scepmsg.Reply, *scepmsg.Sent, error) {
	sent, err := r.Build()
	if err != nil {
		return nil, nil, err
	}
	body, err := c.send(ctx, s, sent.Message)
	if err != nil {
		return nil, nil, err
	}
	reply, err := scepmsg.ParseReply(body, scepmsg.Expect{Floor: scepmsg.Compat, Signers: scepmsg.ReplySigners(s.Certificates), TransactionID: sent.TransactionID,
		SenderNonce: sent.SenderNonce, Certificate: r.Certificate, Key: r.Key, Password: []byte(password), RawSPKI: spki})
	if err != nil {
		return nil, nil, c.fault("The SCEP server's answer is not usable.", "Check clock, algorithms and certificates of the server.", err)
	}
	return reply, sent, nil
}

func (c *Client) send(ctx context.Context, s *Server, message []byte) ([]byte, error) {
	if !s.Caps.Post {
		return c.do(ctx, http.MethodGet, "?operation=PKIOperation&message="+scepmsg.EncodeQuery(message), nil)
	}
	return c.do(ctx, http.MethodPost, "?operation=PKIOperation", message)
}

func (c *Client) get(ctx context.Context, operation string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, "?operation="+operation, nil)
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
		return nil, ra.Errorf(ra.RefusedByCA, "The SCEP server answered HTTP %d.", res.StatusCode).WithRemedy("Look at the server's log for the reason.")
	}
	return data, nil
}

func (c *Client) fault(message, remedy string, cause error) error {
	return &ra.Error{Kind: ra.RefusedByCA, Message: message, Remedy: remedy, Err: cause}
}
