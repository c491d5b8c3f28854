package lint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/wire/pkixmsg"
)

// shape is the hash of how a certificate is put together: everything but the
// serial number, the dates, the text of names, the key itself and the SID.
type shape [sha256.Size]byte

// valueExtensions hold values that differ between the certificates of one
// template; of the others the whole value belongs to the shape.
var valueExtensions = map[string]bool{
	pkixmsg.OIDSubjectKeyIdentifier: true,
	pkixmsg.OIDSubjectAltName:       true,
	pkixmsg.OIDSecurityIdentifier:   true,
	oidCRLPoints:                    true, // one address for each part of the revocations
}

// shape hashes, in order and each part with its length before it: the signature
// algorithm, the issuer, the types of the dates, the structure of the subject,
// the algorithm and length of the key, and for each extension its identifier,
// flag and value, or the structure of the value.
func (c *tbs) shape(in Intent) shape {
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	flag := func(on bool) {
		if on {
			part([]byte{1})
		} else {
			part([]byte{0})
		}
	}
	flag(in.CA)
	flag(in.Issuer == nil)
	part(c.algorithm)
	part(c.issuer)
	part([]byte{byte(c.notBefore.tag), byte(c.notAfter.tag)})
	part(skeleton(nil, c.subject))
	part(keyShape(c.spki))
	for _, e := range c.extensions {
		part([]byte(e.OID))
		flag(e.Critical)
		if valueExtensions[e.OID] {
			part(skeleton(nil, e.Value))
		} else {
			part(e.Value)
		}
	}
	var s shape
	h.Sum(s[:0])
	return s
}

// skeleton appends the tags of DER with object identifiers in full and all
// other values left out. A run of equal members counts once, so that three DNS
// names have the shape of one.
func skeleton(out []byte, der cryptobyte.String) []byte {
	var last []byte
	for !der.Empty() {
		var body cryptobyte.String
		var tag cbasn1.Tag
		if !der.ReadAnyASN1(&body, &tag) {
			return append(out, 0xff)
		}
		one := []byte{byte(tag)}
		switch {
		case tag == cbasn1.OBJECT_IDENTIFIER:
			one = append(append(one, byte(len(body))), body...)
		case tag&0x20 != 0:
			one = append(skeleton(append(one, 0xfe), body), 0xfd)
		}
		if string(one) != string(last) {
			out = append(out, one...)
		}
		last = one
	}
	return out
}

// keyShape is the key's algorithm with its parameters, and the key's length.
func keyShape(spki cryptobyte.String) []byte {
	var body, algorithm cryptobyte.String
	if !spki.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) {
		return nil
	}
	// A copy: appending to a part of the TBS would write over what follows it.
	return binary.BigEndian.AppendUint32(bytes.Clone(algorithm), uint32(len(body)))
}
