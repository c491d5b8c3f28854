package scepmsg

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"chancery/internal/wire/cms"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Request describes a pkiMessage for a server. Type says which of the contents
// is sent.
type Request struct {
	Type    MessageType
	Content Content

	// Key signs the request and reads the reply. Certificate is the one being
	// renewed, or a transport certificate from TransportCertificate.
	Key         crypto.Signer
	Certificate *cms.Certificate

	// RA is the certificate to encrypt to: of those GetCACert gave, one with
	// an RSA key and keyEncipherment.
	RA *cms.Certificate

	// Cipher and Digest are from Caps; zero means AES-128 and SHA-256.
	Cipher cms.OID
	Digest crypto.Hash
	// OAEP encrypts the content key with OAEP instead of PKCS #1 v1.5.
	OAEP bool

	// TransactionID is that of the request being polled for; empty means a new
	// random one.
	TransactionID string
	// SigningTime is signed along unless zero.
	SigningTime time.Time
}

// Sent is a request ready to go, with what its reply will be checked against.
type Sent struct {
	Message       []byte // DER
	TransactionID string // to be kept for polling
	SenderNonce   []byte
}

// Build makes the message. It fails when the content of the type is missing,
// or a key is of a kind that cannot do its part.
func (r *Request) Build() (*Sent, error) {
	plain, err := r.plaintext()
	if err != nil {
		return nil, err
	}
	address := cms.To
	if r.OAEP {
		address = cms.ToOAEP
	}
	to, err := address(r.RA)
	if err != nil {
		return nil, err
	}
	cipher := r.Cipher
	if cipher == "" {
		cipher = cms.OIDAES128CBC
	}
	content, err := cms.Encrypt(plain, cipher, to)
	if err != nil {
		return nil, err
	}

	sent := &Sent{TransactionID: r.TransactionID, SenderNonce: newNonce()}
	if sent.TransactionID == "" {
		// Not derived from the key, as others do: a second attempt with the
		// same key is another transaction.
		sent.TransactionID = hex.EncodeToString(newNonce())
	}
	sent.Message, err = cms.Sign(cms.SignOptions{
		Content:     content,
		Signer:      r.Key,
		Certificate: r.Certificate,
		Digest:      r.Digest,
		SigningTime: r.SigningTime,
		Attributes: cms.Attributes{
			numberAttribute(oidMessageType, int(r.Type)),
			stringAttribute(oidTransactionID, byte(cbasn1.PrintableString), sent.TransactionID),
			nonceAttribute(oidSenderNonce, sent.SenderNonce),
		},
	})
	if err != nil {
		return nil, err
	}
	return sent, nil
}

// plaintext encodes the content of the type (RFC 8894 §3.3).
func (r *Request) plaintext() ([]byte, error) {
	switch r.Type {
	case PKCSReq, RenewalReq:
		if looksLikeCSR(r.Content.CSR) {
			return r.Content.CSR, nil
		}
	case CertPoll:
		if p := r.Content.Poll; len(p.RawIssuer) > 0 && len(p.RawSubject) > 0 {
			return p.Append(nil)
		}
	case GetCert, GetCRL:
		if s := r.Content.Subject; len(s.RawIssuer) > 0 && len(s.Serial) > 0 {
			return s.Append(nil)
		}
	default:
		return nil, ErrRefusedType
	}
	return nil, fmt.Errorf("%w: content of %s", cms.ErrMalformed, r.Type)
}

// TransportCertificate makes the self-signed certificate that a first request
// is signed with (RFC 8894 §2.3): subject as in the PKCS #10, version 3,
// keyUsage its only extension, a random serial. A life of one to seven days is
// customary.
func TransportCertificate(key crypto.Signer, rawSubject []byte, notBefore, notAfter time.Time) (*cms.Certificate, error) {
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] = serial[0]&0x7f | 0x40 // positive and of fixed length
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		RawSubject:   rawSubject,
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement,
	}
	if _, ok := key.Public().(*rsa.PublicKey); ok {
		template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("scepmsg: transport certificate: %w", err)
	}
	return cms.ParseCertificate(der)
}
