package embedded

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // of signatures with P-384 and P-521
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// issuer is a CA certificate with its key.
type issuer struct {
	cert           *x509.Certificate
	chain          []*x509.Certificate // cert and those above it
	hash           string              // SHA-256 of its SubjectPublicKeyInfo, hex
	keyIDExtension pkixmsg.Extension   // the authority key identifier of what it signs
	signer
}

// signer is a key with the one algorithm it signs with.
type signer struct {
	key       crypto.Signer
	algorithm []byte // AlgorithmIdentifier
	name      x509.SignatureAlgorithm
	digest    crypto.Hash
}

// newSigner chooses the algorithm of a key. Ed25519 is not taken: too many
// devices cannot verify it.
func newSigner(key crypto.Signer) (signer, error) {
	s := signer{key: key, digest: crypto.SHA256}
	var oid asn1.ObjectIdentifier
	isRSA := false
	switch pub := key.Public().(type) {
	case *rsa.PublicKey:
		isRSA, s.name, oid = true, x509.SHA256WithRSA, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			s.name, oid = x509.ECDSAWithSHA256, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
		case elliptic.P384():
			s.name, s.digest, oid = x509.ECDSAWithSHA384, crypto.SHA384, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
		case elliptic.P521():
			s.name, s.digest, oid = x509.ECDSAWithSHA512, crypto.SHA512, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
		}
	}
	if oid == nil {
		return signer{}, ra.Errorf(ra.Invalid, "The key is of a type that cannot sign certificates here.").
			WithRemedy("Use an RSA key with 2048 bits or more, or P-256, P-384 or P-521.")
	}
	if err := pkixmsg.CheckKey(key.Public()); err != nil {
		return signer{}, refusedSetting(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if isRSA {
			b.AddASN1NULL() // RFC 4055 §5
		}
	})
	s.algorithm = b.BytesOrPanic()
	return s, nil
}

// certify signs a TBS. Where the key is in memory the same TBS has the same
// signature, since RSA PKCS #1 has no random part and ECDSA without a random
// source is that of RFC 6979.
func (s signer) certify(tbs []byte) (*x509.Certificate, error) {
	h := s.digest.New()
	h.Write(tbs)
	random := rand.Reader
	if _, ok := s.key.(*ecdsa.PrivateKey); ok {
		random = nil
	}
	signature, err := s.key.Sign(random, h.Sum(nil), s.digest)
	if err != nil {
		return nil, unsigned(err)
	}
	return s.assemble(tbs, signature)
}

// unsigned says why a key did not sign. The request is tried again whatever it
// was: somebody will mend the key store.
func unsigned(err error) error {
	message, remedy := "The issuing key did not sign.", "Check that the key store is there and unlocked; the request is tried again."
	var e *ra.Error
	if errors.As(err, &e) {
		message, remedy = "The issuing key did not sign. "+e.Message, e.Remedy
	}
	return ra.Errorf(ra.Unreachable, "%s", message).WithRemedy("%s", remedy).WithCause(err)
}

// assemble makes the certificate of a TBS and its signature.
func (s signer) assemble(tbs, signature []byte) (*x509.Certificate, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(s.algorithm)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, ra.AsError(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, ra.AsError(err)
	}
	return cert, nil
}

// newIssuer joins a CA certificate, its chain and its key. A key that does not
// belong to the certificate is Invalid.
func newIssuer(chain []*x509.Certificate, key crypto.Signer) (*issuer, error) {
	s, err := newSigner(key)
	if err != nil {
		return nil, err
	}
	cert := chain[0]
	if !sameKey(cert.PublicKey, key.Public()) {
		return nil, ra.Errorf(ra.Invalid, "The private key does not belong to the issuing certificate.").
			WithRemedy("Give the key that the certificate was requested with.")
	}
	if err := checkCA(cert); err != nil {
		return nil, err
	}
	if cert, err = completed(cert); err != nil {
		return nil, err
	}
	return &issuer{cert: cert, chain: chain, hash: spkiHash(cert), keyIDExtension: authorityKeyID(cert.SubjectKeyId), signer: s}, nil
}

// authorityKeyID names the key that signs (RFC 5280 §4.2.1.1).
func authorityKeyID(id []byte) pkixmsg.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
	})
	return pkixmsg.Extension{OID: oidAuthorityKeyID, Value: b.BytesOrPanic()}
}

// completed fills in what an old superior may have left out, so that nobody
// after this has to ask: without a key identifier the choice is ours (RFC 5280
// §4.2.1.1), and without key usage everything is allowed (§4.2.1.3).
func completed(cert *x509.Certificate) (*x509.Certificate, error) {
	full := *cert
	if full.KeyUsage == 0 {
		full.KeyUsage = caUsage
	}
	if len(full.SubjectKeyId) == 0 {
		id, err := pkixmsg.SubjectKeyID(cert.RawSubjectPublicKeyInfo, pkixmsg.KeyIDSHA1)
		if err != nil {
			return nil, refusedSetting(err)
		}
		full.SubjectKeyId = id
	}
	return &full, nil
}

// checkCA asks what a certificate needs to sign leaves and CRLs.
func checkCA(cert *x509.Certificate) error {
	const remedy = "Ask for a certificate from a template for subordinate CAs."
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return ra.Errorf(ra.Invalid, "The issuing certificate is not a CA certificate.").WithRemedy(remedy)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return ra.Errorf(ra.Invalid, "The issuing certificate may not sign certificates.").WithRemedy(remedy)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return ra.Errorf(ra.Invalid, "The issuing certificate may not sign revocation lists.").WithRemedy(remedy)
	}
	return nil
}

// sign makes the certificate of a TBS and verifies it: a fault in memory or in
// a key store must not leave the house.
func (i *issuer) sign(tbs []byte) (*x509.Certificate, error) {
	cert, err := i.certify(tbs)
	if err != nil {
		return nil, err
	}
	return cert, i.verify(cert)
}

// verify asks whether a certificate bears this issuer's signature.
func (i *issuer) verify(cert *x509.Certificate) error {
	if err := i.cert.CheckSignature(i.name, cert.RawTBSCertificate, cert.Signature); err != nil {
		return ra.Errorf(ra.Internal, "The issuing key made a signature that its certificate does not verify.").
			WithRemedy("Check the key store and the memory of the machine.").WithCause(err)
	}
	return nil
}

func spkiHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// orderChain finds, among certificates in any order, the way up from leaf: each
// signed by the next, the root last. A way that stops below a root is Invalid.
// The root's own signature proves nothing and is not looked at.
func orderChain(leaf *x509.Certificate, rest []*x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{leaf}
	for {
		last := chain[len(chain)-1]
		if bytes.Equal(last.RawIssuer, last.RawSubject) {
			break
		}
		var next *x509.Certificate
		for _, c := range rest {
			if bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil {
				next = c
			}
		}
		if next == nil || len(chain) > len(rest)+1 {
			return nil, ra.Errorf(ra.Invalid, "The chain stops at %s, whose issuer is not among the certificates.", last.Subject).
				WithRemedy("Add the certificates of every CA above it, up to the root.")
		}
		chain = append(chain, next)
	}
	for depth, c := range chain[1:] {
		if (c.MaxPathLen > 0 || c.MaxPathLenZero) && c.MaxPathLen < depth+1 {
			return nil, ra.Errorf(ra.Invalid, "%s allows no issuing CA so far below it.", c.Subject).
				WithRemedy("Ask for a certificate from a CA with a path length of at least %s.", fmt.Sprint(depth+1))
		}
	}
	return chain, nil
}
