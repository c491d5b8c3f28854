package ndes

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"

	"github.com/smallstep/pkcs7"
)

// EnvelopedData (RFC 5652 section 6.1) as the replies have it: one recipient,
// named by issuer and serial number, and content in CBC.

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type enveloped struct {
	Version    int
	Recipients []asn1.RawValue `asn1:"set"`
	Content    encrypted
}

type encrypted struct {
	Type   asn1.ObjectIdentifier
	Cipher pkix.AlgorithmIdentifier
	Data   asn1.RawValue `asn1:"optional,tag:0"`
}

type recipient struct {
	Version int
	Who     struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	Transport pkix.AlgorithmIdentifier
	Key       []byte
}

// envelopeCipher gives the content cipher of an EnvelopedData in DER; nil where
// it is something else.
func envelopeCipher(b []byte) asn1.ObjectIdentifier {
	var outer contentInfo
	if _, err := asn1.Unmarshal(b, &outer); err != nil || !outer.Type.Equal(pkcs7.OIDEnvelopedData) {
		return nil
	}
	var e enveloped
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &e); err != nil {
		return nil
	}
	return e.Content.Cipher.Algorithm
}

// seal encrypts content to one certificate, by the request's cipher where that
// is AES and in 3DES otherwise.
func seal(content []byte, to *x509.Certificate, oid asn1.ObjectIdentifier) ([]byte, error) {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("ndes: the requester's key cannot decrypt")
	}
	size, makeCipher := 24, des.NewTripleDESCipher
	switch {
	case oid.Equal(pkcs7.OIDEncryptionAlgorithmAES128CBC):
		size, makeCipher = 16, aes.NewCipher
	case oid.Equal(pkcs7.OIDEncryptionAlgorithmAES256CBC):
		size, makeCipher = 32, aes.NewCipher
	default:
		oid = pkcs7.OIDEncryptionAlgorithmDESEDE3CBC
	}
	key := make([]byte, size)
	rand.Read(key)
	block, err := makeCipher(key)
	if err != nil {
		return nil, err
	}
	iv := make([]byte, block.BlockSize())
	rand.Read(iv)
	pad := block.BlockSize() - len(content)%block.BlockSize()
	data := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	sealed, err := rsa.EncryptPKCS1v15(rand.Reader, public, key)
	if err != nil {
		return nil, err
	}
	r := recipient{Transport: pkix.AlgorithmIdentifier{Algorithm: pkcs7.OIDEncryptionAlgorithmRSA, Parameters: asn1.NullRawValue}, Key: sealed}
	r.Who.Issuer, r.Who.Serial = asn1.RawValue{FullBytes: to.RawIssuer}, to.SerialNumber
	one, err := asn1.Marshal(r)
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal(enveloped{Recipients: []asn1.RawValue{{FullBytes: one}}, Content: encrypted{
		Type:   pkcs7.OIDData,
		Cipher: pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}},
		Data:   asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: data},
	}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{pkcs7.OIDEnvelopedData,
		asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
}
