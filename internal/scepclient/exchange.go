package scepclient

import (
	"context"
	"crypto"
	"errors"
	"time"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// Exchange is one message of a transaction with all that is needed, beside the
// key, to send it again, to read its answer, and to poll for it. It can be kept
// as JSON. Message holds the challenge in encrypted form only.
type Exchange struct {
	Type          scepmsg.MessageType
	TransactionID string
	Message       []byte // DER pkiMessage
	Nonce         []byte // its senderNonce
	Certificate   []byte // DER: whose key signed the message and reads the answer
	RawSubject    []byte // DER Name asked for
	RawSPKI       []byte // SubjectPublicKeyInfo asked for

	// An EC key cannot decrypt: a server may answer it under the challenge.
	password []byte
}

// signer is the key that signs the message and reads its answer.
func (o Order) signer() crypto.Signer {
	if o.Sign != nil {
		return o.Sign
	}
	return o.Key
}

// Begin makes the message of a first enrolment or a renewal. Nothing is sent. A
// server that knows nothing above the floor is RefusedByCA.
func (c *Client) Begin(s *Server, o Order) (*Exchange, error) {
	csr, err := pkixmsg.ParseCSR(o.CSR)
	if err != nil {
		return nil, err
	}
	x := &Exchange{Type: scepmsg.PKCSReq, TransactionID: o.TransactionID, RawSubject: csr.RawSubject, RawSPKI: csr.RawSPKI}
	if x.TransactionID == "" {
		x.TransactionID = transaction(csr)
	}
	if password, ok := csr.ChallengePassword(); ok {
		x.password = []byte(password)
	}
	var by *cms.Certificate
	if o.Old != nil {
		if s.Caps.Renewal {
			x.Type = scepmsg.RenewalReq
		}
		by, err = cms.ParseCertificate(o.Old.Raw)
	} else {
		by, err = scepmsg.TransportCertificate(o.signer(), csr.RawSubject, c.Now().Add(-time.Hour), c.Now().Add(7*24*time.Hour))
	}
	if err != nil {
		return nil, err
	}
	return c.build(s, x, scepmsg.Content{CSR: o.CSR}, by, o.signer())
}

// PollFor makes the message that asks for the answer to x (RFC 8894 §3.3.3).
func (c *Client) PollFor(s *Server, x *Exchange, key crypto.Signer) (*Exchange, error) {
	by, err := cms.ParseCertificate(x.Certificate)
	if err != nil {
		return nil, err
	}
	poll := *x
	poll.Type = scepmsg.CertPoll
	return c.build(s, &poll, scepmsg.Content{Poll: scepmsg.IssuerAndSubject{RawIssuer: s.RA.RawIssuer, RawSubject: x.RawSubject}}, by, key)
}

// build fills the message in.
func (c *Client) build(s *Server, x *Exchange, content scepmsg.Content, by *cms.Certificate, key crypto.Signer) (*Exchange, error) {
	r := scepmsg.Request{Type: x.Type, Content: content, Key: key, Certificate: by, RA: s.RA, Cipher: s.Caps.Cipher(), Digest: s.Caps.Digest(),
		TransactionID: x.TransactionID, SigningTime: c.Now()}
	if err := c.allowed(s.Caps); err != nil {
		return nil, err
	}
	sent, err := r.Build()
	if err != nil {
		return nil, err
	}
	x.Message, x.Nonce, x.Certificate = sent.Message, sent.SenderNonce, by.Raw
	return x, nil
}

// floor is the weakest that is sent and accepted.
func (c *Client) floor() scepmsg.Floor {
	if c.Floor == nil {
		return scepmsg.Compat
	}
	return *c.Floor
}

// allowed holds what a server can do against the floor.
func (c *Client) allowed(caps scepmsg.Caps) error {
	if c.floor() >= scepmsg.Compat {
		return nil
	}
	if !caps.AES {
		return c.fault("The SCEP server does not know AES, and nothing weaker may be sent to it.", "Update the server, or lower the algorithm floor to compat.", nil)
	}
	if caps.Digest() == crypto.SHA1 {
		return c.fault("The SCEP server does not know SHA-256, and nothing weaker may be sent to it.", "Update the server, or lower the algorithm floor to compat.", nil)
	}
	return nil
}

// Send sends a message and reads its answer, which may be a refusal or a request
// to wait. Errors: Unreachable when there was no answer; RefusedByCA when there
// was one that is none, with a *StatusError as cause where HTTP said so. The
// server may have acted in each of these cases.
func (c *Client) Send(ctx context.Context, s *Server, x *Exchange, key crypto.Signer) (*scepmsg.Reply, error) {
	body, err := c.send(ctx, s, x.Message)
	if err != nil {
		return nil, err
	}
	by, err := cms.ParseCertificate(x.Certificate)
	if err != nil {
		return nil, err
	}
	reply, err := scepmsg.ParseReply(body, scepmsg.Expect{Floor: c.floor(), Signers: scepmsg.ReplySigners(s.Certificates), TransactionID: x.TransactionID,
		SenderNonce: x.Nonce, Certificate: by, Key: key, Password: x.password, RawSPKI: x.RawSPKI})
	if err != nil {
		return nil, c.fault("The SCEP server's answer is not usable.", "Check clock, algorithms and certificates of the server.", err)
	}
	if reply.Message.Status == scepmsg.Success && len(reply.Certificates) == 0 {
		return nil, c.fault("The SCEP server's answer is not usable.", "Look at the server's log.", errors.New("a CRL came in place of a certificate"))
	}
	return reply, nil
}
