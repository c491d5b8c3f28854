package pkixmsg

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extension is one extension of a certificate or of a request (RFC 5280 §4.1.2.9).
type Extension struct {
	OID      string // dotted
	Critical bool
	Value    []byte // DER inside the OCTET STRING
}

// DER encodes the extension. ErrSyntax when OID is none.
func (e Extension) DER() ([]byte, error) {
	var b cryptobyte.Builder
	e.add(&b)
	return b.Bytes()
}

func (e Extension) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, e.OID)
		if e.Critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(e.Value)
	})
}

// parseExtensions reads SEQUENCE OF Extension from s, which it must fill. An
// explicit FALSE in the critical field is taken, as several clients write it.
// The same extension twice is refused: two readers could believe two things.
func parseExtensions(s cryptobyte.String) ([]Extension, error) {
	var sequence cryptobyte.String
	if !s.ReadASN1(&sequence, cbasn1.SEQUENCE) || !s.Empty() {
		return nil, badDER("list of extensions", "one SEQUENCE of Extension")
	}
	var list []Extension
	for !sequence.Empty() {
		var e Extension
		var body, value cryptobyte.String
		if !sequence.ReadASN1(&body, cbasn1.SEQUENCE) || !readOID(&body, &e.OID) ||
			body.PeekASN1Tag(cbasn1.BOOLEAN) && !body.ReadASN1Boolean(&e.Critical) ||
			!body.ReadASN1(&value, cbasn1.OCTET_STRING) || !body.Empty() {
			return nil, badDER("list of extensions", "an Extension of identifier, critical flag and value")
		}
		if len(list) == maxExtensions {
			return nil, tooLarge("list of extensions", maxExtensions, "extensions")
		}
		e.Value = bytes.Clone(value)
		list = append(list, e)
	}
	return list, nil
}

// repeatedExtension gives the identifier of an extension that occurs twice.
func repeatedExtension(list []Extension) (oid string, twice bool) {
	for i, e := range list {
		if slices.ContainsFunc(list[:i], func(o Extension) bool { return o.OID == e.OID }) {
			return e.OID, true
		}
	}
	return "", false
}

// BasicConstraints says whether a certificate may issue others (RFC 5280 §4.2.1.9).
type BasicConstraints struct {
	CA      bool
	PathLen int // -1 when absent
}

// ParseBasicConstraints reads the value of a basic constraints extension. An
// explicit FALSE is taken, since DER's rule about defaults is widely ignored
// there. A path length above 2^15 is refused.
func ParseBasicConstraints(value []byte) (BasicConstraints, error) {
	bc := BasicConstraints{PathLen: -1}
	input := cryptobyte.String(value)
	var body cryptobyte.String
	ok := input.ReadASN1(&body, cbasn1.SEQUENCE) && input.Empty()
	if ok && body.PeekASN1Tag(cbasn1.BOOLEAN) {
		ok = body.ReadASN1Boolean(&bc.CA)
	}
	if ok && body.PeekASN1Tag(cbasn1.INTEGER) {
		ok = body.ReadASN1Integer(&bc.PathLen) && bc.PathLen >= 0 && bc.PathLen <= 1<<15
	}
	if !ok || !body.Empty() {
		return BasicConstraints{PathLen: -1}, badDER("basic constraints extension", "a CA flag and a path length")
	}
	return bc, nil
}

// KeyIDMethod is a way to derive a subject key identifier.
type KeyIDMethod int

const (
	// KeyIDSHA256 is the leftmost 160 bits of SHA-256 (RFC 7093 §2 method 1).
	KeyIDSHA256 KeyIDMethod = iota
	// KeyIDSHA1 is SHA-1 (RFC 5280 §4.2.1.2 method 1), for peers that recompute it.
	KeyIDSHA1
)

// SubjectKeyID derives the 20 octets of a subject key identifier from a
// SubjectPublicKeyInfo, hashing its BIT STRING without tag, length and unused
// bits. ErrEncoding when spki is none.
func SubjectKeyID(spki []byte, method KeyIDMethod) ([]byte, error) {
	_, _, key, err := splitSPKI(spki)
	if err != nil {
		return nil, err
	}
	if method == KeyIDSHA1 {
		sum := sha1.Sum(key)
		return sum[:], nil
	}
	sum := sha256.Sum256(key)
	return sum[:20], nil
}

// splitSPKI opens a SubjectPublicKeyInfo: the algorithm, its parameters as an
// element (empty when absent) and the octets of the key.
func splitSPKI(spki []byte) (oid string, parameters, key []byte, err error) {
	input := cryptobyte.String(spki)
	var body, algorithm cryptobyte.String
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() ||
		!body.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !readOID(&algorithm, &oid) ||
		len(algorithm) > 0 && !wholeElement(algorithm) ||
		!body.ReadASN1BitStringAsBytes(&key) || !body.Empty() {
		return "", nil, nil, badDER("public key", "a SubjectPublicKeyInfo of algorithm and key")
	}
	return oid, algorithm, key, nil
}
