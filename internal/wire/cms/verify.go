package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	_ "crypto/md5" // for legacy requests, by the caller's policy only
	"crypto/rsa"
	_ "crypto/sha1" // for requests of older clients
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Errors of Verify.
var (
	ErrSignature = errors.New("cms: the signature does not match")
	ErrAlgorithm = errors.New("cms: unsupported algorithm")
	ErrMD5       = errors.New("cms: MD5 is not allowed")
)

// VerifyPolicy says what Verify may use beyond the SHA families.
type VerifyPolicy struct {
	AllowMD5 bool
}

// Verify checks the signature with the key of cert, which must be the
// certificate the signature names: over the signed attributes, and through
// them over content type and content (RFC 5652 §5.4). SHA-1 is accepted; the
// algorithms are there in Signer for a caller that does not want it.
//
// Some clients sign their attributes in the order they send them, others in
// DER order while sending another: both are tried.
func (sd *SignedData) Verify(cert *Certificate, p VerifyPolicy) error {
	si := &sd.Signer
	if !si.Matches(cert) {
		return ErrNoCertificate
	}
	hash, err := si.hash(p)
	if err != nil {
		return err
	}

	value, _ := si.Attributes.Value(oidContentType)
	s := cryptobyte.String(value)
	var contentType OID
	if !readOID(&s, &contentType) || !s.Empty() || contentType != sd.ContentType {
		return fmt.Errorf("%w: contentType attribute", ErrSignature)
	}
	value, _ = si.Attributes.Value(oidMessageDigest)
	s = cryptobyte.String(value)
	var digest cryptobyte.String
	if !s.ReadASN1(&digest, cbasn1.OCTET_STRING) || !s.Empty() || !bytes.Equal(digest, sum(hash, sd.Content)) {
		return fmt.Errorf("%w: messageDigest attribute", ErrSignature)
	}

	if verifyDigest(cert.PublicKey, hash, sum(hash, asSet(si.rawAttributes)), si.Signature) {
		return nil
	}
	sorted, err := si.Attributes.encodeSorted()
	if err != nil || bytes.Equal(sorted, si.rawAttributes) ||
		!verifyDigest(cert.PublicKey, hash, sum(hash, asSet(sorted)), si.Signature) {
		return ErrSignature
	}
	return nil
}

// hash gives the digest of the signature after checking that the signature
// algorithm, when it names a digest too, names the same.
func (si *SignerInfo) hash(p VerifyPolicy) (crypto.Hash, error) {
	hash, ok := si.Digest.Algorithm.Hash()
	if !ok {
		return 0, fmt.Errorf("%w: digest %s", ErrAlgorithm, si.Digest.Algorithm.Name())
	}
	if hash == crypto.MD5 && !p.AllowMD5 {
		return 0, ErrMD5
	}
	if si.Algorithm.Algorithm == OIDRSA {
		return hash, nil
	}
	implied, ok := signatureHash(si.Algorithm.Algorithm)
	if !ok {
		return 0, fmt.Errorf("%w: signature %s", ErrAlgorithm, si.Algorithm.Algorithm.Name())
	}
	if implied != hash {
		return 0, fmt.Errorf("%w: digest %s with signature %s", ErrAlgorithm, si.Digest.Algorithm.Name(), si.Algorithm.Algorithm.Name())
	}
	return hash, nil
}

func signatureHash(o OID) (crypto.Hash, bool) {
	switch o {
	case OIDMD5WithRSA:
		return crypto.MD5, true
	case OIDSHA1WithRSA, OIDECDSAWithSHA1:
		return crypto.SHA1, true
	case OIDSHA224WithRSA, OIDECDSAWithSHA224:
		return crypto.SHA224, true
	case OIDSHA256WithRSA, OIDECDSAWithSHA256:
		return crypto.SHA256, true
	case OIDSHA384WithRSA, OIDECDSAWithSHA384:
		return crypto.SHA384, true
	case OIDSHA512WithRSA, OIDECDSAWithSHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

func verifyDigest(key crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, signature)
	}
	return false
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}
