package pkixmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha1" // crypto.SHA1 for requests of old clients
	_ "crypto/sha256"
	_ "crypto/sha512"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

type signatureScheme int

const (
	unknownScheme signatureScheme = iota
	pkcs1Scheme
	pssScheme
	ecdsaScheme
	ed25519Scheme
)

// signatureAlgorithm is an AlgorithmIdentifier as understood.
type signatureAlgorithm struct {
	name   string
	scheme signatureScheme
	hash   crypto.Hash
	salt   int // octets, RSASSA-PSS only
}

// signatureAlgorithms are the schemes without parameters of their own. MD5 and
// older are left out on purpose.
var signatureAlgorithms = map[string]signatureAlgorithm{
	oidSHA1RSA:    {"SHA1-RSA", pkcs1Scheme, crypto.SHA1, 0},
	oidSHA1RSAOIW: {"SHA1-RSA", pkcs1Scheme, crypto.SHA1, 0},
	oidSHA256RSA:  {"SHA256-RSA", pkcs1Scheme, crypto.SHA256, 0},
	oidSHA384RSA:  {"SHA384-RSA", pkcs1Scheme, crypto.SHA384, 0},
	oidSHA512RSA:  {"SHA512-RSA", pkcs1Scheme, crypto.SHA512, 0},
	oidECSHA1:     {"ECDSA-SHA1", ecdsaScheme, crypto.SHA1, 0},
	oidECSHA256:   {"ECDSA-SHA256", ecdsaScheme, crypto.SHA256, 0},
	oidECSHA384:   {"ECDSA-SHA384", ecdsaScheme, crypto.SHA384, 0},
	oidECSHA512:   {"ECDSA-SHA512", ecdsaScheme, crypto.SHA512, 0},
	oidEd25519:    {"Ed25519", ed25519Scheme, 0, 0},
}

var pssHashes = map[string]signatureAlgorithm{
	oidSHA1:   {"SHA1-RSAPSS", pssScheme, crypto.SHA1, 0},
	oidSHA256: {"SHA256-RSAPSS", pssScheme, crypto.SHA256, 0},
	oidSHA384: {"SHA384-RSAPSS", pssScheme, crypto.SHA384, 0},
	oidSHA512: {"SHA512-RSAPSS", pssScheme, crypto.SHA512, 0},
}

// CheckSignature reports whether the request was signed with the key it holds.
// ErrSignature covers a wrong signature as well as an algorithm that is unknown,
// too old (MD5) or of another kind than the key. SHA-1 verifies; see
// WeakSignature. An RSA key of more than 8192 bits is ErrKey before anything is
// computed with it, since a stranger chooses the size and the work grows with it.
// A success is remembered: whoever is handed a CSR may ask again for nothing.
// It is not for concurrent use.
func (c *CSR) CheckSignature() error {
	if c.proven {
		return nil
	}
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
		return CheckKey(key)
	}
	digest := c.RawTBS
	if c.algorithm.hash != 0 {
		h := c.algorithm.hash.New()
		h.Write(c.RawTBS)
		digest = h.Sum(nil)
	}
	valid := false
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		switch c.algorithm.scheme {
		case pkcs1Scheme:
			valid = rsa.VerifyPKCS1v15(key, c.algorithm.hash, digest, c.signature) == nil
		case pssScheme:
			options := &rsa.PSSOptions{SaltLength: c.algorithm.salt, Hash: c.algorithm.hash}
			valid = rsa.VerifyPSS(key, c.algorithm.hash, digest, c.signature, options) == nil
		}
	case *ecdsa.PublicKey:
		valid = c.algorithm.scheme == ecdsaScheme && ecdsa.VerifyASN1(key, digest, c.signature)
	case ed25519.PublicKey:
		valid = c.algorithm.scheme == ed25519Scheme && ed25519.Verify(key, digest, c.signature)
	}
	switch {
	case valid:
		c.proven = true
		return nil
	case c.algorithm.scheme == unknownScheme:
		return fault(ErrSignature, "Sign the request with SHA-256 or stronger, as RSA, RSA-PSS, ECDSA or Ed25519.",
			"The request is signed with an algorithm that is not accepted (%s).", c.algorithm.name)
	}
	return fault(ErrSignature, "Make the request again; it was changed on its way, or signed with another key.",
		"The signature of the request does not fit its public key.")
}

// CheckKey is CheckKey of the request's key, and remembers a success as
// CheckSignature does.
func (c *CSR) CheckKey() error {
	if c.sound {
		return nil
	}
	err := CheckKey(c.PublicKey)
	c.sound = err == nil
	return err
}

// parseSignatureAlgorithm reads an AlgorithmIdentifier. One that is unknown is
// kept under its identifier and fails in CheckSignature.
func parseSignatureAlgorithm(element cryptobyte.String) (signatureAlgorithm, error) {
	var body cryptobyte.String
	var oid string
	if !element.ReadASN1(&body, cbasn1.SEQUENCE) || !readOID(&body, &oid) || len(body) > 0 && !wholeElement(body) {
		return signatureAlgorithm{}, badDER("signature algorithm", "an identifier and its parameters")
	}
	if oid == oidPSS {
		return parsePSS(body)
	}
	if known, ok := signatureAlgorithms[oid]; ok {
		return known, nil
	}
	return signatureAlgorithm{name: oid}, nil
}

// parsePSS reads RSASSA-PSS-params (RFC 4055 §3.1) with their defaults. A mask
// generation other than MGF1 with the same hash is legal but used by nobody, and
// counts as unknown.
func parsePSS(parameters cryptobyte.String) (signatureAlgorithm, error) {
	bad := badDER("signature algorithm", "RSASSA-PSS parameters")
	hash, mask, salt, trailer := oidSHA1, oidSHA1, 20, 1
	if len(parameters) > 0 {
		var body cryptobyte.String
		if !parameters.ReadASN1(&body, cbasn1.SEQUENCE) {
			return signatureAlgorithm{}, bad
		}
		ok := readOptional(&body, 0, func(s *cryptobyte.String) bool { return readHash(s, &hash) }) &&
			readOptional(&body, 1, func(s *cryptobyte.String) bool { return readMGF1(s, &mask) }) &&
			readOptional(&body, 2, func(s *cryptobyte.String) bool { return s.ReadASN1Integer(&salt) }) &&
			readOptional(&body, 3, func(s *cryptobyte.String) bool { return s.ReadASN1Integer(&trailer) }) &&
			body.Empty()
		if !ok || salt < 0 || salt > maxRSABits/8 {
			return signatureAlgorithm{}, bad
		}
	}
	known, ok := pssHashes[hash]
	if !ok || mask != hash || trailer != 1 {
		return signatureAlgorithm{name: oidPSS}, nil
	}
	known.salt = salt // crypto/rsa reads 0 as any length, which proves possession as well
	return known, nil
}

// readOptional reads an explicitly tagged field that may be absent.
func readOptional(s *cryptobyte.String, tag uint8, read func(*cryptobyte.String) bool) bool {
	var field cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&field, &present, cbasn1.Tag(tag).ContextSpecific().Constructed()) {
		return false
	}
	return !present || read(&field) && field.Empty()
}

// readHash reads the AlgorithmIdentifier of a hash, with NULL or no parameters.
func readHash(s *cryptobyte.String, oid *string) bool {
	var body cryptobyte.String
	return s.ReadASN1(&body, cbasn1.SEQUENCE) && readOID(&body, oid) &&
		body.SkipOptionalASN1(cbasn1.NULL) && body.Empty()
}

func readMGF1(s *cryptobyte.String, hash *string) bool {
	var body cryptobyte.String
	var oid string
	return s.ReadASN1(&body, cbasn1.SEQUENCE) && readOID(&body, &oid) && oid == oidMGF1 &&
		readHash(&body, hash) && body.Empty()
}
