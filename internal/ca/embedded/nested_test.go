package embedded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
)

// TestChainThroughALeaf: a chain whose signatures are all right, and one of
// whose signers is no CA, makes nobody an issuing CA; nor does one through a CA
// that has only the right name.
func TestChainThroughALeaf(t *testing.T) {
	w := newSubordinate(t, `{"setup": "subordinate"}`)
	raw, err := w.settings.CSR()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	sign := func(name string, isCA bool, public any, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
		n++
		c := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
			IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
		if err != nil {
			t.Fatal(err)
		}
		out, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rootKey, leafKey, twinKey := newKey(), newKey(), newKey()
	root := sign("Company Root", true, rootKey.Public(), nil, rootKey)
	twin := sign("Company Root", true, twinKey.Public(), nil, twinKey)
	leaf := sign("www.example.org", false, leafKey.Public(), root, rootKey)
	for name, chain := range map[string][]*x509.Certificate{
		"through a leaf":    {sign("Issuing", true, csr.PublicKey, leaf, leafKey), leaf, root},
		"through a twin":    {sign("Issuing", true, csr.PublicKey, twin, twinKey), root},
		"a leaf at the top": {sign("Issuing", true, csr.PublicKey, leaf, leafKey), leaf},
	} {
		e := wantKind(t, w.settings.Install(chain, time.Now()), ra.Invalid)
		if !strings.Contains(e.Message, "chain stops") || w.settings.Certificates != "" {
			t.Errorf("%s: %s", name, e.Message)
		}
	}
	if err := w.settings.Install([]*x509.Certificate{sign("Issuing", true, csr.PublicKey, root, rootKey), root}, time.Now()); err != nil {
		t.Errorf("the right chain afterwards: %v", err)
	}
}
