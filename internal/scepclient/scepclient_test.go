package scepclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"slices"
	"testing"
	"time"

	"chancery/internal/wire/cms"
)

type holder struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func certify(t *testing.T, name string, isCA bool, by *holder) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: isCA, BasicConstraintsValid: true}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	if by == nil {
		by = &holder{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{cert, key}
}

// TestChained: a pin vouches for what the pinned certificate signed, directly and
// further down, and for the root above it; for nothing that merely comes along.
func TestChained(t *testing.T) {
	root := certify(t, "root", true, nil)
	issuing := certify(t, "issuing", true, root)
	registrar := certify(t, "registrar", false, issuing)
	strange := certify(t, "strange root", true, nil)
	stranger := certify(t, "strange registrar", false, strange)
	// What somebody in between could make of the root's public key.
	crossed := *root.cert
	der, err := x509.CreateCertificate(rand.Reader, &crossed, strange.cert, root.key.Public(), strange.key)
	if err != nil {
		t.Fatal(err)
	}
	cross, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	var all []*cms.Certificate
	names := map[string]string{}
	for name, c := range map[string]*x509.Certificate{"root": root.cert, "issuing": issuing.cert, "registrar": registrar.cert, "strange": strange.cert, "stranger": stranger.cert, "cross": cross} {
		x, err := cms.ParseCertificate(c.Raw)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
		names[string(x.Raw)] = name
	}
	for name, c := range map[string]struct {
		pin  *holder
		want []string
	}{
		"root":    {root, []string{"issuing", "registrar", "root"}},
		"issuing": {issuing, []string{"issuing", "registrar", "root"}},
		"other":   {strange, []string{"cross", "issuing", "registrar", "root", "strange", "stranger"}},
		"absent":  {certify(t, "absent", true, nil), nil},
	} {
		h := sha256.Sum256(c.pin.cert.Raw)
		var got []string
		for _, x := range Chained(all, hex.EncodeToString(h[:])) {
			got = append(got, names[string(x.Raw)])
		}
		slices.Sort(got)
		if name != "other" && !slices.Equal(got, c.want) || name == "other" && !slices.Contains(got, "stranger") {
			t.Errorf("pinned %s: %v; want %v", name, got, c.want)
		}
	}
}
