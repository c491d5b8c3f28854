package adcs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"sync"
	"time"

	"chancery/internal/wire/cms"
)

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority is the CA's keys and certificates, and where it publishes.
type authority struct {
	root, ca       identity   // the same where the CA signs itself
	former         []identity // those before ca, the oldest first
	cdp, delta, ai string     // URLs of the CRLs and of the CA's certificate
}

// caKeys are the keys of all CAs of the process: making them is what takes long.
// CAs that shall not be taken for each other have different names.
var caKeys = sync.OnceValues(func() (keys [2]*rsa.PrivateKey, err error) {
	for i := range keys {
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

func newAuthority(cfg *Config, base string) (authority, error) {
	clean := sanitize(cfg.Name)
	a := authority{cdp: base + "/CertEnroll/" + clean + ".crl", delta: base + "/CertEnroll/" + clean + "+.crl", ai: base + "/CertEnroll/" + clean + ".crt"}
	keys, err := caKeys()
	if err != nil {
		return a, err
	}
	rootKey, key := crypto.Signer(keys[0]), crypto.Signer(keys[1])
	if cfg.EllipticKeys {
		if rootKey, err = newCurveKey(); err == nil {
			key, err = newCurveKey()
		}
		if err != nil {
			return a, err
		}
	}
	now := cfg.Now().UTC().Truncate(time.Second)
	t := &x509.Certificate{Subject: pkix.Name{CommonName: cfg.Name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(10, 0, 0), SerialNumber: freshSerial(0)}
	root := *t
	root.SerialNumber, root.NotAfter = freshSerial(0), now.AddDate(20, 0, 0)
	if !cfg.Root {
		root.Subject.CommonName = cfg.Name + " Root"
	}
	if a.root, err = certify(&root, &root, rootKey, rootKey); err != nil {
		return a, err
	}
	if a.ca = a.root; !cfg.Root {
		a.ca, err = certify(t, a.root.cert, rootKey, key)
	}
	for i := 0; err == nil && i < cfg.FormerKeys; i++ {
		var was identity
		was, err = a.before(t, rootKey, cfg.FormerKeys-i)
		a.former = append(a.former, was)
	}
	return a, err
}

// before makes the certificate that the CA had so many renewals ago, with a key of
// its own.
func (a *authority) before(t *x509.Certificate, rootKey crypto.Signer, renewals int) (identity, error) {
	key, err := newCurveKey()
	if err != nil {
		return identity{}, err
	}
	old := *t
	old.SerialNumber, old.NotBefore, old.NotAfter = freshSerial(0), t.NotBefore.AddDate(-renewals, 0, 0), t.NotAfter.AddDate(-renewals, 0, 0)
	if a.ca.cert == a.root.cert {
		return certify(&old, &old, key, key)
	}
	return certify(&old, a.root.cert, rootKey, key)
}

func newCurveKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// signer gives the CA's certificate and key by its index, as CR_PROP_CASIGCERT
// counts: the oldest is 0. newest is the present one.
func (a *authority) signer(index uint32) (identity, bool) {
	switch n := uint32(len(a.former)); {
	case index < n:
		return a.former[index], true
	case index == n || index == newest:
		return a.ca, true
	}
	return identity{}, false
}

func certify(t, parent *x509.Certificate, signer, subject crypto.Signer) (identity, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, subject.Public(), signer)
	if err != nil {
		return identity{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return identity{cert, subject}, err
}

// freshSerial makes a serial number of 19 octets as AD CS does, that ends with
// the request's id.
func freshSerial(id uint32) *big.Int {
	b := make([]byte, 19)
	rand.Read(b)
	b[0] = 0x61
	binary.BigEndian.PutUint32(b[15:], id)
	return new(big.Int).SetBytes(b)
}

// chain is the CA's certificate and those above it.
func (a *authority) chain() []*x509.Certificate { return a.above(a.ca.cert) }

// above is one of the CA's certificates and those above it.
func (a *authority) above(own *x509.Certificate) []*x509.Certificate {
	if a.ca.cert == a.root.cert {
		return []*x509.Certificate{own}
	}
	return []*x509.Certificate{own, a.root.cert}
}

// bundle is a SignedData of certificates and CRLs and nothing else.
func bundle(certs []*x509.Certificate, crls ...[]byte) []byte {
	var raw [][]byte
	for _, c := range certs {
		raw = append(raw, c.Raw)
	}
	b, err := cms.Degenerate(raw, crls)
	if err != nil {
		panic(err) // of certificates that were parsed
	}
	return b
}
