package scepmsg

import (
	"crypto"

	"chancery/internal/wire/cms"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// RA is a certificate clients encrypt to, with its RSA key, which may live in
// an HSM.
type RA struct {
	Certificate *cms.Certificate
	Key         crypto.Decrypter
}

// Content is what was inside a request; which field is set follows from the
// message type.
type Content struct {
	CSR     []byte              // PKCS #10, DER: PKCSReq and RenewalReq
	Poll    IssuerAndSubject    // CertPoll
	Subject cms.IssuerAndSerial // GetCert and GetCRL: the certificate meant
}

// IssuerAndSubject names a pending request by two Names, DER (RFC 8894 §3.3.3).
// The RFC says the issuer is the CA; strongSwan names the RA. The transactionID
// and the signer say better which request is meant.
type IssuerAndSubject struct {
	RawIssuer  []byte
	RawSubject []byte
}

// Open decrypts a request for the first of the RAs it is addressed to: the
// current one and those it replaced.
//
// It answers ErrRefusedType for a type that is not one of RenewalReq, PKCSReq,
// CertPoll, GetCert and GetCRL, a *FloorError when the message is below its
// floor, and else ErrOpen for all that can go wrong. The PKCS #10 is complete
// DER but otherwise unread; finding it unreadable later must be answered like
// ErrOpen.
func (m *Message) Open(ras ...RA) (*Content, error) {
	switch m.Type {
	case RenewalReq, PKCSReq, CertPoll, GetCert, GetCRL:
	default:
		return nil, ErrRefusedType
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	for _, ra := range ras {
		if !m.AddressedTo(ra.Certificate) {
			continue
		}
		plain, err := m.envelope.Decrypt(ra.Certificate, ra.Key)
		if err != nil {
			return nil, ErrOpen
		}
		return readContent(m.Type, plain)
	}
	return nil, ErrOpen
}

// readContent reads decrypted content. Noise from a wrong key ends here, so
// every error is ErrOpen.
func readContent(t MessageType, plain []byte) (*Content, error) {
	var c Content
	switch t {
	case RenewalReq, PKCSReq:
		if !looksLikeCSR(plain) {
			return nil, ErrOpen
		}
		c.CSR = plain
	case CertPoll:
		s := cryptobyte.String(plain)
		var seq, issuer, subject cryptobyte.String
		if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !s.Empty() ||
			!seq.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
			!seq.ReadASN1Element(&subject, cbasn1.SEQUENCE) || !seq.Empty() {
			return nil, ErrOpen
		}
		c.Poll = IssuerAndSubject{issuer, subject}
	case GetCert, GetCRL:
		var err error
		if c.Subject, err = cms.ParseIssuerAndSerial(plain); err != nil {
			return nil, ErrOpen
		}
	}
	return &c, nil
}

// looksLikeCSR checks the outer shape of a CertificationRequest (RFC 2986 §4.2).
func looksLikeCSR(der []byte) bool {
	s := cryptobyte.String(der)
	var seq, info cryptobyte.String
	return s.ReadASN1(&seq, cbasn1.SEQUENCE) && s.Empty() &&
		seq.ReadASN1(&info, cbasn1.SEQUENCE) && info.SkipASN1(cbasn1.INTEGER) &&
		info.SkipASN1(cbasn1.SEQUENCE) && info.SkipASN1(cbasn1.SEQUENCE) &&
		seq.SkipASN1(cbasn1.SEQUENCE) && seq.SkipASN1(cbasn1.BIT_STRING) && seq.Empty()
}

// Append appends the DER SEQUENCE.
func (i IssuerAndSubject) Append(b []byte) ([]byte, error) {
	builder := cryptobyte.NewBuilder(b)
	builder.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(i.RawIssuer)
		b.AddBytes(i.RawSubject)
	})
	return builder.Bytes()
}
