// Package ocspmsg reads OCSP requests and writes OCSP responses (RFC 6960, with
// the nonce of RFC 9654 and the profile of RFC 5019).
//
// What comes in is a DER OCSPRequest; what goes out is the certificates it asks
// about, each as it named them, and its nonce. A request is unsigned in the eyes
// of this package: a signature on it is skipped, because nobody is refused an
// answer. A response is built from the status of each certificate and signed
// with the key of a responder, whose certificate comes along. Who may ask, what
// is true and what time it is, others know.
package ocspmsg

import (
	"crypto"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The ways a request is wrong.
var (
	ErrSyntax   = errors.New("ocspmsg: not a DER OCSP request")
	ErrVersion  = errors.New("ocspmsg: not version 1")
	ErrCount    = errors.New("ocspmsg: asks about no certificate, or about too many")
	ErrHash     = errors.New("ocspmsg: a hash algorithm of another kind")
	ErrNonce    = errors.New("ocspmsg: the nonce does not have 1 to 128 octets")
	ErrCritical = errors.New("ocspmsg: a critical extension of another kind")
)

// MaxCerts is how many certificates one request may ask about.
const MaxCerts = 16

// maxNonce is the longest nonce, in octets (RFC 9654 §2.1).
const maxNonce = 128

// maxSerial is the longest serial number, in octets; RFC 5280 §4.1.2.2 has 20.
const maxSerial = 32

// Request is what somebody wants to know.
type Request struct {
	Certs []CertID // 1 to MaxCerts
	Nonce []byte   // the OCTET STRING inside the extension, as DER; nil: none came
}

// CertID names a certificate by hashes of its issuer and its serial number
// (RFC 6960 §4.1.1).
type CertID struct {
	Raw      []byte // as it came, to be repeated in the answer
	Hash     crypto.Hash
	NameHash []byte
	KeyHash  []byte
	Serial   string // lower-case hex without leading zeros
}

var hashes = map[string]crypto.Hash{
	"1.3.14.3.2.26":          crypto.SHA1,
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

var oidNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}

var (
	tag0 = cbasn1.Tag(0).ContextSpecific().Constructed()
	tag1 = cbasn1.Tag(1).ContextSpecific().Constructed()
	tag2 = cbasn1.Tag(2).ContextSpecific().Constructed()
)

// Parse reads a DER OCSPRequest. The result points into der.
func Parse(der []byte) (*Request, error) {
	input := cryptobyte.String(der)
	var whole, tbs, certs cryptobyte.String
	if !input.ReadASN1(&whole, cbasn1.SEQUENCE) || !input.Empty() || !whole.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!whole.SkipOptionalASN1(tag0) || !whole.Empty() {
		return nil, ErrSyntax
	}
	var version cryptobyte.String
	var given bool
	if !tbs.ReadOptionalASN1(&version, &given, tag0) {
		return nil, ErrSyntax
	}
	if given {
		var v int64
		if !version.ReadASN1Integer(&v) || !version.Empty() {
			return nil, ErrSyntax
		}
		if v != 0 {
			return nil, ErrVersion
		}
	}
	if !tbs.SkipOptionalASN1(tag1) || !tbs.ReadASN1(&certs, cbasn1.SEQUENCE) {
		return nil, ErrSyntax
	}
	r := &Request{}
	for !certs.Empty() {
		if len(r.Certs) == MaxCerts {
			return nil, ErrCount
		}
		c, err := readCert(&certs)
		if err != nil {
			return nil, err
		}
		r.Certs = append(r.Certs, c)
	}
	if len(r.Certs) == 0 {
		return nil, ErrCount
	}
	if err := readExtensions(&tbs, tag2, &r.Nonce); err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, ErrSyntax
	}
	return r, nil
}

func readCert(list *cryptobyte.String) (c CertID, err error) {
	var one, id, rest, algorithm, name, key, serial cryptobyte.String
	if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1Element(&id, cbasn1.SEQUENCE) {
		return c, ErrSyntax
	}
	c.Raw = id
	rest = id
	var oid asn1.ObjectIdentifier
	if !rest.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!id.ReadASN1(&name, cbasn1.OCTET_STRING) || !id.ReadASN1(&key, cbasn1.OCTET_STRING) || !id.ReadASN1Element(&serial, cbasn1.INTEGER) || !id.Empty() {
		return c, ErrSyntax
	}
	var null cryptobyte.String
	if !algorithm.Empty() && (!algorithm.ReadASN1(&null, cbasn1.NULL) || !null.Empty() || !algorithm.Empty()) {
		return c, ErrSyntax
	}
	if c.Hash = hashes[oid.String()]; c.Hash == 0 || len(name) != c.Hash.Size() || len(key) != c.Hash.Size() {
		return c, ErrHash
	}
	c.NameHash, c.KeyHash = name, key
	number := new(big.Int)
	if len(serial) > maxSerial+2 || !serial.ReadASN1Integer(number) || number.Sign() < 0 {
		return c, ErrSyntax
	}
	if c.Serial = strings.TrimLeft(hex.EncodeToString(number.Bytes()), "0"); c.Serial == "" {
		c.Serial = "0"
	}
	return c, readExtensions(&one, tag0, nil)
}

// readExtensions reads Extensions under a tag, if there are any. The nonce is
// kept unless nonce is nil; what is not critical is skipped.
func readExtensions(s *cryptobyte.String, tag cbasn1.Tag, nonce *[]byte) error {
	var wrapped, list cryptobyte.String
	var given bool
	if !s.ReadOptionalASN1(&wrapped, &given, tag) {
		return ErrSyntax
	}
	if !given {
		return nil
	}
	if !wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() {
		return ErrSyntax
	}
	for !list.Empty() {
		var one, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		critical := false
		if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) ||
			one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) || !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return ErrSyntax
		}
		switch {
		case nonce != nil && oid.Equal(oidNonce):
			var inner cryptobyte.String
			whole := value
			if *nonce != nil || !value.ReadASN1(&inner, cbasn1.OCTET_STRING) || !value.Empty() || len(inner) == 0 || len(inner) > maxNonce {
				return ErrNonce
			}
			*nonce = whole
		case critical:
			return ErrCritical
		}
	}
	return nil
}
