package ndes

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// KeyType is the kind of a CA key.
type KeyType string

// The kinds of CA keys.
const (
	RSA2048 KeyType = "RSA-2048"
	RSA3072 KeyType = "RSA-3072"
	P256    KeyType = "P-256"
)

func (k KeyType) generate() (crypto.Signer, error) {
	switch k {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fmt.Errorf("ndes: no key type %q", k)
}

// Template is what the CA does with requests for it. The zero value issues
// certificates for TLS clients, for a year.
type Template struct {
	Name     string             // "IPSECIntermediateOffline" when empty
	Validity time.Duration      // a year when zero; never longer than the issuing CA lives
	EKU      []x509.ExtKeyUsage // client authentication when nil
	KeyBits  int                // the least an RSA key may have; 2048 when zero
	// Subject is what certificates are named where the template takes the subject
	// from the directory; empty: the request says.
	Subject string
	Pending bool   // a certificate manager has to Approve
	Deny    uint32 // the HRESULT every request is denied with; zero: none is
}

func (t *Template) complete() {
	orElse(&t.Name, "IPSECIntermediateOffline")
	orElse(&t.Validity, 365*24*time.Hour)
	orElse(&t.KeyBits, 2048)
	if t.EKU == nil {
		t.EKU = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
}

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority is the CA behind the server, and the server's two RA certificates.
type authority struct {
	now                       func() time.Time
	root, issuer              identity
	signing, encryption, late identity // late signs replies although it has expired
}

var (
	oidRequestAgent = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 1}
	oidKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAlt   = asn1.ObjectIdentifier{2, 5, 29, 17}
)

func newAuthority(cfg Config) (*authority, error) {
	now := cfg.Now().UTC().Truncate(time.Second)
	a := &authority{now: cfg.Now}
	// The names differ between servers, so that one's certificates are foreign to
	// another.
	mark := rand.Text()[:6]
	caUsage := x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	var err error
	if a.root, err = certify(nil, cfg.CAKey, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Root CA " + mark, Organization: []string{"Corp"}}, IsCA: true, KeyUsage: caUsage,
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(20, 0, 0),
	}); err != nil {
		return nil, err
	}
	if a.issuer, err = certify(&a.root, cfg.CAKey, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Issuing CA " + mark, Organization: []string{"Corp"}}, IsCA: true, MaxPathLenZero: true, KeyUsage: caUsage,
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0),
	}); err != nil {
		return nil, err
	}
	from, until := now.Add(-time.Hour), now.Add(cfg.RALife)
	if cfg.RALife < 0 {
		from = until.AddDate(-2, 0, 0)
	}
	keys, err := raKeys()
	if err != nil {
		return nil, err
	}
	ra := func(key crypto.Signer, usage x509.KeyUsage, from, until time.Time) identity {
		t := &x509.Certificate{Subject: pkix.Name{CommonName: cfg.Computer + "-MSCEP-RA", Organization: []string{"Corp"}},
			SerialNumber: freshSerial(), KeyUsage: usage, NotBefore: from, NotAfter: until, BasicConstraintsValid: true,
			UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidRequestAgent}}
		cert, e := sign(t, a.issuer.cert, key.Public(), a.issuer.key)
		err = errors.Join(err, e)
		return identity{cert, key}
	}
	a.signing = ra(keys[0], x509.KeyUsageDigitalSignature, from, until)
	a.encryption = ra(keys[1], x509.KeyUsageKeyEncipherment, from, until)
	a.late = ra(keys[0], x509.KeyUsageDigitalSignature, now.AddDate(-2, 0, 0), now.Add(-24*time.Hour))
	return a, err
}

// raKeys are the keys of the RA certificates of every server of the process:
// making them is what takes long, and no server is told from another by them.
var raKeys = sync.OnceValues(func() (keys [2]crypto.Signer, err error) {
	for i := range keys {
		if keys[i], err = RSA2048.generate(); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

// certify makes a key and a certificate for it; no issuer means self-signed.
func certify(issuer *identity, kind KeyType, t *x509.Certificate) (identity, error) {
	key, err := kind.generate()
	if err != nil {
		return identity{}, err
	}
	t.SerialNumber, t.BasicConstraintsValid = freshSerial(), true
	parent, signer := t, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	cert, err := sign(t, parent, key.Public(), signer)
	return identity{cert, key}, err
}

func sign(t, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func freshSerial() *big.Int {
	number := make([]byte, 16)
	rand.Read(number)
	number[0] = number[0]&0x7f | 0x40 // positive and always as long
	return new(big.Int).SetBytes(number)
}

// raAlive tells whether both RA certificates are valid now.
func (a *authority) raAlive() bool {
	now := a.now()
	for _, c := range []*x509.Certificate{a.signing.cert, a.encryption.cert} {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return false
		}
	}
	return true
}

// chain is what GetCACert hands out.
func (a *authority) chain() []*x509.Certificate {
	return []*x509.Certificate{a.issuer.cert, a.root.cert, a.signing.cert, a.encryption.cert}
}

// issue signs a certificate for a request by the rules of a template.
func (a *authority) issue(csr *x509.CertificateRequest, t Template) (*x509.Certificate, error) {
	now := a.now().UTC().Truncate(time.Second)
	c := &x509.Certificate{SerialNumber: freshSerial(), RawSubject: csr.RawSubject, BasicConstraintsValid: true,
		NotBefore: now.Add(-10 * time.Minute), NotAfter: now.Add(t.Validity), ExtKeyUsage: t.EKU,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	if c.NotAfter.After(a.issuer.cert.NotAfter) {
		c.NotAfter = a.issuer.cert.NotAfter
	}
	if t.Subject != "" {
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: t.Subject}
	}
	for _, e := range csr.Extensions {
		switch {
		case e.Id.Equal(oidKeyUsage):
			c.KeyUsage, c.ExtraExtensions = 0, append(c.ExtraExtensions, e)
		case e.Id.Equal(oidSubjectAlt) && t.Subject == "":
			c.ExtraExtensions = append(c.ExtraExtensions, e)
		}
	}
	return sign(c, a.issuer.cert, csr.PublicKey, a.issuer.key)
}

// ours tells whether the issuing CA signed a certificate, whatever its dates.
func (a *authority) ours(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(a.issuer.cert.RawSubject) && c.CheckSignatureFrom(a.issuer.cert) == nil
}

// tlsIdentity is the certificate of the HTTPS server and the CA it is from.
type tlsIdentity struct {
	root *x509.Certificate
	leaf tls.Certificate
}

func newTLSIdentity(cfg Config) (*tlsIdentity, error) {
	now := cfg.Now().UTC().Truncate(time.Second)
	root, err := certify(nil, P256, &x509.Certificate{Subject: pkix.Name{CommonName: "TLS CA " + rand.Text()[:6]}, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0)})
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{Subject: pkix.Name{CommonName: cfg.Host}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	if ip := net.ParseIP(cfg.Host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{cfg.Host}
	}
	leaf, err := certify(&root, P256, t)
	if err != nil {
		return nil, err
	}
	return &tlsIdentity{root: root.cert, leaf: tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key, Leaf: leaf.cert}}, nil
}
