package cms

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Errors of the SignedData reader.
var (
	ErrSigners       = errors.New("cms: the message must have exactly one signer")
	ErrNoAttributes  = errors.New("cms: the signer signed no attributes")
	ErrNoCertificate = errors.New("cms: the signer's certificate is not in the message")
)

// maxCertificates bounds the certificate set of a message; enough for a chain
// and the oddest of GetCACert answers.
const maxCertificates = 64

// SignedData is a SignedData with exactly one signer (RFC 5652 §5). Nothing in
// it is to be believed before Verify has returned nil; Certificates and CRLs
// not even then, since no signature covers them.
type SignedData struct {
	ContentType  OID
	Content      []byte // eContent octets: nil when absent, empty when present and empty
	Certificates []*Certificate
	CRLs         [][]byte // CertificateLists, DER
	Signer       SignerInfo
}

// SignerInfo is the one signature of a SignedData. The signer is named either
// by ID or, when SubjectKeyID is not nil, by key identifier.
type SignerInfo struct {
	ID           IssuerAndSerial
	SubjectKeyID []byte
	Digest       AlgorithmIdentifier
	Algorithm    AlgorithmIdentifier // of the signature
	Signature    []byte
	Attributes   Attributes

	rawAttributes []byte // inside of the [0], in the order sent
}

// ParseSignedData reads a ContentInfo holding a SignedData, DER or BER. The
// content must be an OCTET STRING or absent.
func ParseSignedData(b []byte, l Limits) (*SignedData, error) {
	sd, signers, err := readSignedData(b, l)
	if err != nil {
		return nil, err
	}
	var info cryptobyte.String
	if !signers.ReadASN1(&info, cbasn1.SEQUENCE) || !signers.Empty() {
		return nil, ErrSigners
	}
	if err := sd.Signer.read(info); err != nil {
		return nil, err
	}
	return sd, nil
}

// ParseDegenerate reads a SignedData without signers: the carrier of
// certificates and CRLs of GetCACert and of enrolment replies (RFC 8894 §3.4,
// §4.2.1). It gives the certificates it could read, in the order sent, and the
// CRLs.
func ParseDegenerate(b []byte, l Limits) ([]*Certificate, [][]byte, error) {
	sd, signers, err := readSignedData(b, l)
	if err != nil {
		return nil, nil, err
	}
	if !signers.Empty() {
		return nil, nil, ErrSigners
	}
	return sd.Certificates, sd.CRLs, nil
}

// readSignedData reads everything but the signers, which it returns unread.
func readSignedData(b []byte, l Limits) (*SignedData, cryptobyte.String, error) {
	body, err := readContentInfo(b, oidSignedData, l)
	if err != nil {
		return nil, nil, err
	}
	var seq, signers cryptobyte.String
	if !body.ReadASN1(&seq, cbasn1.SEQUENCE) || !body.Empty() ||
		!seq.SkipASN1(cbasn1.INTEGER) || // version: says nothing the fields do not
		!seq.SkipASN1(cbasn1.SET) { // digestAlgorithms: a hint for one-pass readers
		return nil, nil, malformed("SignedData")
	}
	sd := &SignedData{}
	if err := sd.readContent(&seq); err != nil {
		return nil, nil, err
	}
	var certs, crls cryptobyte.String
	var hasCerts, hasCRLs bool
	if !seq.ReadOptionalASN1(&certs, &hasCerts, context(0)) ||
		!seq.ReadOptionalASN1(&crls, &hasCRLs, context(1)) ||
		!seq.ReadASN1(&signers, cbasn1.SET) || !seq.Empty() {
		return nil, nil, malformed("SignedData")
	}
	if err := sd.readCertificates(certs); err != nil {
		return nil, nil, err
	}
	for !crls.Empty() {
		var crl cryptobyte.String
		var tag cbasn1.Tag
		if !crls.ReadAnyASN1Element(&crl, &tag) {
			return nil, nil, malformed("CRLs")
		}
		if tag == cbasn1.SEQUENCE { // other revocation formats are [1]
			sd.CRLs = append(sd.CRLs, crl)
		}
	}
	return sd, signers, nil
}

// readContentInfo normalises b, checks the content type and gives the inside
// of the [0] (RFC 5652 §3).
func readContentInfo(b []byte, want OID, l Limits) (cryptobyte.String, error) {
	der, err := Normalize(b, l)
	if err != nil {
		return nil, err
	}
	s := cryptobyte.String(der)
	var info, body cryptobyte.String
	var contentType OID
	if !s.ReadASN1(&info, cbasn1.SEQUENCE) || !readOID(&info, &contentType) {
		return nil, malformed("ContentInfo")
	}
	if contentType != want {
		return nil, fmt.Errorf("%w: %s", ErrContentType, contentType)
	}
	if !info.ReadASN1(&body, context(0)) || !info.Empty() {
		return nil, malformed("ContentInfo")
	}
	return body, nil
}

func (sd *SignedData) readContent(s *cryptobyte.String) error {
	var encap, explicit, content cryptobyte.String
	var present bool
	if !s.ReadASN1(&encap, cbasn1.SEQUENCE) || !readOID(&encap, &sd.ContentType) ||
		!encap.ReadOptionalASN1(&explicit, &present, context(0)) || !encap.Empty() {
		return malformed("EncapsulatedContentInfo")
	}
	if present {
		if !explicit.ReadASN1(&content, cbasn1.OCTET_STRING) || !explicit.Empty() {
			return malformed("eContent")
		}
		sd.Content = content[:len(content):len(content)]
	}
	return nil
}

// readCertificates keeps the certificates it can read. One that it cannot is
// left out rather than an error: the set is not signed, and a signer whose own
// certificate is unreadable is met later as ErrNoCertificate.
func (sd *SignedData) readCertificates(s cryptobyte.String) error {
	for n := 0; !s.Empty(); n++ {
		var element cryptobyte.String
		var tag cbasn1.Tag
		if !s.ReadAnyASN1Element(&element, &tag) {
			return malformed("certificates")
		}
		if n == maxCertificates {
			return fmt.Errorf("%w: certificates", ErrTooMany)
		}
		if tag != cbasn1.SEQUENCE { // attribute certificates and the like
			continue
		}
		if c, err := ParseCertificate(element); err == nil {
			sd.Certificates = append(sd.Certificates, c)
		}
	}
	return nil
}

func (si *SignerInfo) read(s cryptobyte.String) error {
	var sid, attrs, sig cryptobyte.String
	var signed bool
	if !s.SkipASN1(cbasn1.INTEGER) {
		return malformed("SignerInfo")
	}
	if keyID := cbasn1.Tag(0).ContextSpecific(); s.PeekASN1Tag(keyID) {
		if !s.ReadASN1(&sid, keyID) || len(sid) == 0 {
			return malformed("SignerIdentifier")
		}
		si.SubjectKeyID = sid
	} else if !readIssuerAndSerial(&s, &si.ID) {
		return malformed("SignerIdentifier")
	}
	if !readAlgorithm(&s, &si.Digest) ||
		!s.ReadOptionalASN1(&attrs, &signed, context(0)) ||
		!readAlgorithm(&s, &si.Algorithm) ||
		!s.ReadASN1(&sig, cbasn1.OCTET_STRING) ||
		!s.SkipOptionalASN1(context(1)) || !s.Empty() { // unsigned attributes
		return malformed("SignerInfo")
	}
	if !signed {
		return ErrNoAttributes
	}
	si.Signature, si.rawAttributes = sig, attrs
	var err error
	si.Attributes, err = readAttributes(attrs)
	return err
}

// Matches reports whether the signature names this certificate.
func (si *SignerInfo) Matches(c *Certificate) bool {
	if si.SubjectKeyID != nil {
		return bytes.Equal(si.SubjectKeyID, c.SubjectKeyID)
	}
	return si.ID.Equal(c.ID())
}

// SignerCertificate finds the signer's certificate among those in the message,
// or gives ErrNoCertificate. That it is there says nothing about trust.
func (sd *SignedData) SignerCertificate() (*Certificate, error) {
	for _, c := range sd.Certificates {
		if sd.Signer.Matches(c) {
			return c, nil
		}
	}
	return nil, ErrNoCertificate
}
