package scepmsg

import (
	"crypto/rand"
	"strconv"

	"chancery/internal/wire/cms"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// stringAttribute makes an attribute with a string value.
func stringAttribute(oid cms.OID, tag byte, text string) cms.Attribute {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
	return cms.Attribute{Type: oid, Value: b.BytesOrPanic()}
}

// numberAttribute makes an attribute of decimal digits (RFC 8894 §3.2.1).
func numberAttribute(oid cms.OID, n int) cms.Attribute {
	return stringAttribute(oid, byte(cbasn1.PrintableString), strconv.Itoa(n))
}

func nonceAttribute(oid cms.OID, nonce []byte) cms.Attribute {
	var b cryptobyte.Builder
	b.AddASN1OctetString(nonce)
	return cms.Attribute{Type: oid, Value: b.BytesOrPanic()}
}

// newNonce makes the 16 random octets of RFC 8894 §3.2.1.5.
func newNonce() []byte {
	nonce := make([]byte, 16)
	rand.Read(nonce)
	return nonce
}
