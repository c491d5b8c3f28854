package pkixmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// KeyType is a key algorithm with its size, as settings and reports write it.
type KeyType string

// The key types that can be generated and chosen in settings. DescribeKey may
// give others, such as rsa-1024, for keys that exist all the same.
const (
	RSA2048 KeyType = "rsa-2048"
	RSA3072 KeyType = "rsa-3072"
	RSA4096 KeyType = "rsa-4096"
	P256    KeyType = "p-256"
	P384    KeyType = "p-384"
	P521    KeyType = "p-521"
	Ed25519 KeyType = "ed25519"
)

// KeyTypes lists the types of the constants in display order.
var KeyTypes = []KeyType{RSA2048, RSA3072, RSA4096, P256, P384, P521, Ed25519}

// ParseKeyType reads one of KeyTypes without regard to case, else ErrSyntax.
func ParseKeyType(s string) (KeyType, error) {
	t := KeyType(strings.ToLower(s))
	if slices.Contains(KeyTypes, t) {
		return t, nil
	}
	return "", fault(ErrSyntax, "Use one of "+keyTypeList()+".", "%s is no key type.", quote(s))
}

func keyTypeList() string {
	words := make([]string, len(KeyTypes))
	for i, t := range KeyTypes {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}

// GenerateKey makes a private key of one of KeyTypes.
func GenerateKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	_, err := ParseKeyType(string(t))
	if err == nil {
		err = fault(ErrSyntax, "Write it in small letters.", "%s is no key type.", quote(string(t)))
	}
	return nil, err
}

// KeyInfo says what a public key is.
type KeyInfo struct {
	Type KeyType // rsa-2048, p-256 and so on; "unknown" for other algorithms
	Bits int     // of the modulus or of the field; 0 for other algorithms
}

// DescribeKey names a public key by type and size, whatever its quality.
func DescribeKey(pub crypto.PublicKey) KeyInfo {
	switch key := pub.(type) {
	case *rsa.PublicKey:
		if key != nil && key.N != nil {
			return KeyInfo{KeyType(fmt.Sprintf("rsa-%d", key.N.BitLen())), key.N.BitLen()}
		}
	case *ecdsa.PublicKey:
		if key != nil && key.Curve != nil {
			params := key.Curve.Params()
			return KeyInfo{KeyType(strings.ToLower(params.Name)), params.BitSize}
		}
	case ed25519.PublicKey:
		return KeyInfo{Ed25519, 256}
	}
	return KeyInfo{Type: "unknown"}
}

// parseSPKI reads the key of a SubjectPublicKeyInfo. RSA keys are taken without
// the NULL parameters (some devices leave them out) and under the RSASSA-PSS
// identifier (RFC 4055 §1.2); the rest is crypto/x509's to read.
func parseSPKI(spki []byte) (crypto.PublicKey, error) {
	oid, _, octets, err := splitSPKI(spki)
	if err != nil {
		return nil, err
	}
	var key crypto.PublicKey
	if oid == oidRSA || oid == oidPSS {
		key, err = x509.ParsePKCS1PublicKey(octets)
	} else {
		key, err = x509.ParsePKIXPublicKey(spki)
	}
	if err == nil {
		switch key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
			return key, nil
		}
	}
	return nil, fault(ErrKey, "Make a key of one of these types: "+keyTypeList()+".",
		"The public key is of no supported type, or is not a valid key of its type.")
}
