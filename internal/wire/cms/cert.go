package cms

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Certificate is the little a message layer needs of an X.509 certificate:
// its name tag (issuer and serial), its key, and what it says about itself.
//
// It is read leniently on purpose. The self-signed certificates real clients
// enrol with are of version 1 with 32-octet serials (certmonger), carry a
// critical authorityKeyIdentifier (Windows) or a negative serial (older
// network devices), all of which crypto/x509 refuses. Nothing here is
// evidence that a certificate is valid or trusted.
type Certificate struct {
	Raw        []byte // the whole certificate, DER
	Version    int    // 1, 2 or 3
	Serial     []byte // content octets of the INTEGER: two's complement, as sent
	RawIssuer  []byte // issuer Name, DER
	RawSubject []byte // subject Name, DER
	NotBefore  time.Time
	NotAfter   time.Time
	RawSPKI    []byte // SubjectPublicKeyInfo, DER

	// PublicKey is an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey,
	// or nil for a key of another type or beyond MaxRSABits.
	PublicKey crypto.PublicKey

	SubjectKeyID []byte        // extension content, nil when absent
	KeyUsage     x509.KeyUsage // zero when the extension is absent
	IsCA         bool          // basicConstraints says cA TRUE
}

// MaxRSABits bounds the RSA keys this package works with; larger ones only
// serve to keep a server busy.
const MaxRSABits = 8192

// ErrCertificate means a certificate could not be read at all.
var ErrCertificate = errors.New("cms: malformed certificate")

// ParseCertificate reads one DER certificate, and refuses trailing bytes. The
// result refers to der. RFC 5280 §4.1.
func ParseCertificate(der []byte) (*Certificate, error) {
	c := &Certificate{Raw: der, Version: 1}
	input := cryptobyte.String(der)
	var outer, tbs, sigAlg, sig cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!outer.ReadASN1(&sigAlg, cbasn1.SEQUENCE) ||
		!outer.ReadASN1(&sig, cbasn1.BIT_STRING) || !outer.Empty() {
		return nil, ErrCertificate
	}

	var version cryptobyte.String
	var versioned bool
	if !tbs.ReadOptionalASN1(&version, &versioned, context(0)) {
		return nil, ErrCertificate
	}
	if versioned {
		var v uint8
		if !version.ReadASN1Integer(&v) || !version.Empty() || v > 2 {
			return nil, ErrCertificate
		}
		c.Version = int(v) + 1
	}

	var serial, issuer, validity, subject, spki cryptobyte.String
	if !tbs.ReadASN1(&serial, cbasn1.INTEGER) || len(serial) == 0 ||
		!tbs.SkipASN1(cbasn1.SEQUENCE) || // signature
		!tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!tbs.ReadASN1(&validity, cbasn1.SEQUENCE) ||
		!readTime(&validity, &c.NotBefore) || !readTime(&validity, &c.NotAfter) || !validity.Empty() ||
		!tbs.ReadASN1Element(&subject, cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return nil, ErrCertificate
	}
	c.Serial, c.RawIssuer, c.RawSubject, c.RawSPKI = serial, issuer, subject, spki
	c.PublicKey = readPublicKey(spki)

	var extensions cryptobyte.String
	var extended bool
	if !tbs.SkipOptionalASN1(cbasn1.Tag(1).ContextSpecific()) || // issuerUniqueID
		!tbs.SkipOptionalASN1(cbasn1.Tag(2).ContextSpecific()) || // subjectUniqueID
		!tbs.ReadOptionalASN1(&extensions, &extended, context(3)) || !tbs.Empty() {
		return nil, ErrCertificate
	}
	if extended && !c.readExtensions(extensions) {
		return nil, ErrCertificate
	}
	return c, nil
}

func (c *Certificate) readExtensions(s cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || !s.Empty() {
		return false
	}
	for !list.Empty() {
		var ext, value cryptobyte.String
		var id OID
		if !list.ReadASN1(&ext, cbasn1.SEQUENCE) || !readOID(&ext, &id) ||
			!ext.SkipOptionalASN1(cbasn1.BOOLEAN) || // critical, right or wrong
			!ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return false
		}
		switch id {
		case oidSubjectKeyID:
			var ski cryptobyte.String
			if !value.ReadASN1(&ski, cbasn1.OCTET_STRING) {
				return false
			}
			c.SubjectKeyID = ski
		case oidKeyUsage:
			c.KeyUsage = readKeyUsage(value)
		case oidBasicConstr:
			var seq cryptobyte.String
			var ca cryptobyte.String
			var present bool
			if value.ReadASN1(&seq, cbasn1.SEQUENCE) && seq.ReadOptionalASN1(&ca, &present, cbasn1.BOOLEAN) && present {
				c.IsCA = len(ca) == 1 && ca[0] != 0
			}
		}
	}
	return true
}

// readKeyUsage maps the BIT STRING's first nine bits, most significant first,
// to the bits of x509.KeyUsage (RFC 5280 §4.2.1.3).
func readKeyUsage(value cryptobyte.String) x509.KeyUsage {
	var bits cryptobyte.String
	if !value.ReadASN1(&bits, cbasn1.BIT_STRING) || len(bits) < 2 {
		return 0
	}
	var usage x509.KeyUsage
	for i := range min(9, (len(bits)-1)*8) {
		if bits[1+i/8]&(0x80>>(i%8)) != 0 {
			usage |= 1 << i
		}
	}
	return usage
}

// readPublicKey gives nil for keys it cannot use: a message may carry
// certificates that play no part in it.
func readPublicKey(spki []byte) crypto.PublicKey {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil
	}
	if r, ok := key.(*rsa.PublicKey); ok && r.N.BitLen() > MaxRSABits {
		return nil
	}
	return key
}

// readTime reads a UTCTime or GeneralizedTime.
func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

// SelfIssued reports whether issuer and subject are the same name. It does not
// check that the certificate signed itself.
func (c *Certificate) SelfIssued() bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// ID gives the certificate's name tag.
func (c *Certificate) ID() IssuerAndSerial {
	return IssuerAndSerial{RawIssuer: c.RawIssuer, Serial: c.Serial}
}

// IssuerAndSerial names a certificate by issuer Name (DER) and the content
// octets of its serial number (RFC 5652 §10.2.4). Both are compared as bytes.
type IssuerAndSerial struct {
	RawIssuer []byte
	Serial    []byte
}

// Equal reports whether both name the same certificate.
func (i IssuerAndSerial) Equal(o IssuerAndSerial) bool {
	return bytes.Equal(i.RawIssuer, o.RawIssuer) && bytes.Equal(i.Serial, o.Serial)
}

// Append appends the DER SEQUENCE.
func (i IssuerAndSerial) Append(b []byte) ([]byte, error) {
	builder := cryptobyte.NewBuilder(b)
	i.add(builder)
	return builder.Bytes()
}

func (i IssuerAndSerial) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(i.RawIssuer)
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(i.Serial) })
	})
}

// ParseIssuerAndSerial reads exactly one IssuerAndSerialNumber.
func ParseIssuerAndSerial(der []byte) (IssuerAndSerial, error) {
	s := cryptobyte.String(der)
	var out IssuerAndSerial
	if !readIssuerAndSerial(&s, &out) || !s.Empty() {
		return IssuerAndSerial{}, malformed("IssuerAndSerialNumber")
	}
	return out, nil
}

func readIssuerAndSerial(s *cryptobyte.String, out *IssuerAndSerial) bool {
	var seq, issuer, serial cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) ||
		!seq.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!seq.ReadASN1(&serial, cbasn1.INTEGER) || len(serial) == 0 || !seq.Empty() {
		return false
	}
	out.RawIssuer, out.Serial = issuer, serial
	return true
}

// context is the tag [n] of a constructed or explicitly tagged field.
func context(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
