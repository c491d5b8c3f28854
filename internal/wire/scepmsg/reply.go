package scepmsg

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"time"

	"chancery/internal/wire/cms"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Responder writes CertReps (RFC 8894 §3.3.2) in the one form that every
// client tested reads: DER, version 1 named by issuer and serial,
// rsaEncryption as signature algorithm, SHA-256, all attributes, a senderNonce
// of its own, content present and empty when there is none, its own
// certificate and no other.
type Responder struct {
	Certificate *cms.Certificate
	Key         crypto.Signer
	// SHA1 signs the answers to SHA-1 and MD5 requests with SHA-1, where the
	// floor is Legacy: for devices that cannot read anything else.
	SHA1 bool
	// Now adds a signingTime to the replies when it is set. RFC 8894 leaves it
	// out; clients with a wrong clock may compare it.
	Now func() time.Time
}

// Grant is what a successful reply carries.
type Grant struct {
	// Certificates are DER, the requested one first. RFC 8894 §3.3.2.1 wants
	// that one alone; some clients need the chain after it, others forbid it.
	Certificates [][]byte
	// CRLs are DER, for GetCRL.
	CRLs [][]byte
	// Password encrypts the reply to a requester whose key is not RSA: the
	// challengePassword of the request, octet for octet (RFC 8894 §3.1). When
	// it is empty such a requester is answered by key agreement, which needs
	// an EC key.
	Password []byte
}

// Success grants a request. The content is encrypted to the certificate that
// signed the request and to nobody else: the other certificates sent along are
// not covered by the signature, and an attacker in the path could have added
// one. The cipher is that of the request, AES-128 in place of DES.
func (r *Responder) Success(m *Message, g Grant) ([]byte, error) {
	inner, err := cms.Degenerate(g.Certificates, g.CRLs)
	if err != nil {
		return nil, err
	}
	to, err := g.recipient(m.Signer)
	if err != nil {
		return nil, err
	}
	content, err := cms.Encrypt(inner, m.replyCipher(), to)
	if err != nil {
		return nil, err
	}
	return r.reply(m, content, numberAttribute(oidPKIStatus, int(Success)))
}

// Pending tells the client to come back with a CertPoll.
func (r *Responder) Pending(m *Message) ([]byte, error) {
	return r.reply(m, nil, numberAttribute(oidPKIStatus, int(Pending)))
}

// Failure refuses a request. The text, which may be empty, is for whoever
// reads the client's log and must not reveal policy.
func (r *Responder) Failure(m *Message, info FailInfo, text string) ([]byte, error) {
	attrs := []cms.Attribute{
		numberAttribute(oidPKIStatus, int(Failure)),
		numberAttribute(oidFailInfo, int(info)),
	}
	if text != "" {
		attrs = append(attrs, stringAttribute(oidFailInfoText, byte(cbasn1.UTF8String), text))
	}
	return r.reply(m, nil, attrs...)
}

func (r *Responder) reply(m *Message, content []byte, outcome ...cms.Attribute) ([]byte, error) {
	o := cms.SignOptions{
		Content:     content,
		Signer:      r.Key,
		Certificate: r.Certificate,
		Digest:      r.digest(m),
		Attributes: append(outcome,
			numberAttribute(oidMessageType, int(CertRep)),
			stringAttribute(oidTransactionID, m.TransactionID.Tag, m.TransactionID.Value),
			nonceAttribute(oidSenderNonce, newNonce()),
			nonceAttribute(oidRecipientNonce, m.SenderNonce),
		),
	}
	if r.Now != nil {
		o.SigningTime = r.Now()
	}
	return cms.Sign(o)
}

func (r *Responder) digest(m *Message) crypto.Hash {
	old := m.Algorithms.Digest == cms.OIDSHA1 || m.Algorithms.Digest == cms.OIDMD5
	if r.SHA1 && old && m.floor == Legacy {
		return crypto.SHA1
	}
	return crypto.SHA256
}

// recipient addresses the grant to the signer of the request.
func (g Grant) recipient(signer *cms.Certificate) (cms.Recipient, error) {
	if _, ok := signer.PublicKey.(*rsa.PublicKey); !ok && len(g.Password) > 0 {
		return cms.ToPassword(g.Password)
	}
	to, err := cms.To(signer)
	if err != nil {
		return nil, fmt.Errorf("scepmsg: reply to requester: %w", err)
	}
	return to, nil
}

// replyCipher is the family and strength of the request, except that DES is
// answered in AES: clients that send DES read AES.
func (m *Message) replyCipher() cms.OID {
	switch c := m.Algorithms.Cipher; c {
	case cms.OIDAES192CBC, cms.OIDAES256CBC:
		return c
	case cms.OIDTripleDESCBC:
		if m.floor >= Compat {
			return c
		}
	}
	return cms.OIDAES128CBC
}
