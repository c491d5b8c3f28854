package cms

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrDuplicateAttribute means a signed attribute occurs twice, or has two
// values where the standards allow one: two readers could take different ones
// for the signed one.
var ErrDuplicateAttribute = errors.New("cms: a signed attribute occurs more than once")

// Attribute is a signed attribute with its single value as one DER element.
type Attribute struct {
	Type  OID
	Value []byte
}

// Attributes are the signed attributes in the order they were sent; no type
// occurs twice.
type Attributes []Attribute

// Value gives the DER element of the attribute's value, and false when the
// attribute is absent.
func (a Attributes) Value(t OID) ([]byte, bool) {
	for i := range a {
		if a[i].Type == t {
			return a[i].Value, true
		}
	}
	return nil, false
}

// readAttributes reads the inside of SignedAttributes (RFC 5652 §5.3). Values
// are limited to one: §11 requires it of the standard ones, RFC 8894 §3.2.1
// implies it for its own.
func readAttributes(s cryptobyte.String) (Attributes, error) {
	var list Attributes
	for !s.Empty() {
		var seq, set, value cryptobyte.String
		var a Attribute
		if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !readOID(&seq, &a.Type) ||
			!seq.ReadASN1(&set, cbasn1.SET) || !seq.Empty() ||
			!set.ReadAnyASN1Element(&value, new(cbasn1.Tag)) {
			return nil, malformed("signed attributes")
		}
		if _, twice := list.Value(a.Type); twice || !set.Empty() {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateAttribute, a.Type)
		}
		a.Value = value
		list = append(list, a)
		if len(list) > maxAttributes {
			return nil, fmt.Errorf("%w: signed attributes", ErrTooMany)
		}
	}
	return list, nil
}

const maxAttributes = 64

// encodeSorted gives the contents of the DER SET OF the attributes: elements
// in ascending order of their encodings (X.690 §11.6).
func (a Attributes) encodeSorted() ([]byte, error) {
	encoded := make([][]byte, len(a))
	for i, attr := range a {
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			attr.Type.add(b)
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(attr.Value) })
		})
		var err error
		if encoded[i], err = b.Bytes(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(encoded, bytes.Compare)
	return bytes.Join(encoded, nil), nil
}

// asSet puts the SET OF tag in front of attribute bytes: what is signed is the
// attributes with the tag 0x31 instead of the [0] they are sent with (RFC 5652
// §5.4).
func asSet(contents []byte) []byte {
	return append(appendLength([]byte{0x31}, len(contents)), contents...)
}
