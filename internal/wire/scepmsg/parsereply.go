package scepmsg

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"

	"chancery/internal/wire/cms"
)

// Errors of ParseReply.
var (
	ErrNotReply       = errors.New("scepmsg: the answer is not a CertRep")
	ErrWrongReply     = errors.New("scepmsg: the answer is to another transaction")
	ErrStaleReply     = errors.New("scepmsg: the answer is to another message: recipientNonce differs")
	ErrEmptyReply     = errors.New("scepmsg: the answer says SUCCESS but carries nothing")
	ErrNotOurKey      = errors.New("scepmsg: no certificate in the answer has the requested key")
	ErrNoSignersGiven = errors.New("scepmsg: no certificates given that may sign the answer")
)

// Expect is what a client knows about the reply to come.
type Expect struct {
	Limits cms.Limits
	Floor  Floor
	// Signers are the certificates that may sign the reply: those GetCACert
	// gave, after they were chained to a pinned CA. None sent along are used.
	Signers []*cms.Certificate

	TransactionID string
	SenderNonce   []byte

	// Certificate and Key are those of the request: an RSA key that is a
	// crypto.Decrypter, or an EC key that is an *ecdsa.PrivateKey or a
	// cms.KeyAgreer. Password is the challengePassword it carried, for servers
	// that answer EC keys under it.
	Certificate *cms.Certificate
	Key         crypto.PrivateKey
	Password    []byte

	// RawSPKI, when not nil, is the SubjectPublicKeyInfo asked for: a granted
	// certificate must have it.
	RawSPKI []byte
}

// Reply is a CertRep that answers our message. Message has status, failInfo
// and signer; the rest is filled when the status is Success.
type Reply struct {
	Message *Message
	// Certificates are those granted; the one for RawSPKI, when that was
	// given, comes first. They are parsed, not validated: whether issuer,
	// subject and dates are as asked is for the caller.
	Certificates []*cms.Certificate
	CRLs         [][]byte
}

// ParseReply reads the answer to a request and makes every check that needs no
// opinion (RFC 8894 §3.2, §3.3.2): signed by one of the signers, a CertRep,
// for our transaction, to our very message, within our floor, readable with
// our key, for our key. A refusal or a request to wait is a Reply, not an
// error.
func ParseReply(b []byte, e Expect) (*Reply, error) {
	if len(e.Signers) == 0 {
		return nil, ErrNoSignersGiven
	}
	m, err := Parse(b, Options{Limits: e.Limits, Floor: e.Floor, Signers: e.Signers})
	if err != nil {
		return nil, err
	}
	switch {
	case m.Type != CertRep:
		return nil, ErrNotReply
	case m.TransactionID.Value != e.TransactionID:
		return nil, ErrWrongReply
	case len(e.SenderNonce) == 0 || !bytes.Equal(m.RecipientNonce, e.SenderNonce):
		return nil, ErrStaleReply
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	reply := &Reply{Message: m}
	if m.Status != Success {
		return reply, nil
	}
	plain, err := e.decrypt(m.envelope)
	if err != nil {
		return nil, ErrOpen
	}
	reply.Certificates, reply.CRLs, err = cms.ParseDegenerate(plain, e.Limits)
	if err != nil { // noise from a wrong key, or an odd server
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	if len(reply.Certificates) == 0 && len(reply.CRLs) == 0 {
		return nil, ErrEmptyReply
	}
	if e.RawSPKI != nil && !reply.putFirst(e.RawSPKI) {
		return nil, ErrNotOurKey
	}
	return reply, nil
}

// decrypt opens the content with whatever the client has.
func (e *Expect) decrypt(envelope *cms.EnvelopedData) ([]byte, error) {
	if len(envelope.Passwords) > 0 && len(e.Password) > 0 {
		return envelope.DecryptPassword(e.Password)
	}
	switch key := e.Key.(type) {
	case *ecdsa.PrivateKey:
		agreer, err := key.ECDH()
		if err != nil {
			return nil, err
		}
		return envelope.DecryptAgreed(e.Certificate, agreer)
	case cms.KeyAgreer:
		return envelope.DecryptAgreed(e.Certificate, key)
	case crypto.Decrypter:
		return envelope.Decrypt(e.Certificate, key)
	}
	return nil, cms.ErrDecrypt
}

// putFirst moves the certificate with this key to the front.
func (r *Reply) putFirst(rawSPKI []byte) bool {
	for i, c := range r.Certificates {
		if bytes.Equal(c.RawSPKI, rawSPKI) {
			r.Certificates[0], r.Certificates[i] = c, r.Certificates[0]
			return true
		}
	}
	return false
}
