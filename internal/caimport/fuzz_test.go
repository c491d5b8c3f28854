package caimport

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
	"unicode/utf8"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
)

// FuzzExamine: whatever an authority sends is read or left out with a reason; what
// is read can be stored.
func FuzzExamine(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: now, NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		f.Fatal(err)
	}
	w := &taking{run: &ra.CAImportRun{StartedAt: now}, issuers: []*issuer{{root, authority.Hash(root.RawSubjectPublicKeyInfo)}}}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "pc01.corp.example"}, DNSNames: []string{"pc01.corp.example"}, EmailAddresses: []string{"anna@corp.example"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key); err != nil {
		f.Fatal(err)
	}
	f.Add(der, `CORP\anna`, "Machine", "valid", int64(5), int64(0))
	f.Add(der, `CORP\PC01$`, "\x00\xff", "revoked", int64(5), now.Unix())
	f.Add(der[:40], `\`, strings.Repeat("ä", 400), "on_hold", int64(-1), int64(1<<60))
	f.Fuzz(func(t *testing.T, der []byte, requester, template, state string, number, at int64) {
		it := w.examine(ca.Listed{Number: number, DER: der, State: ra.CertificateState(state), RevokedAt: time.Unix(at, 0), Requester: requester, Template: template}, 0)
		if !utf8.ValidString(it.Requester) || len(it.Requester) > maxRequester || len(it.Template) > maxTemplate || strings.ContainsAny(it.Requester+it.Template, "\x00\n") {
			t.Fatalf("%q %q", it.Requester, it.Template)
		}
		if it.problem == nil {
			it.describe(now)
		}
		if (it.problem == nil) != (it.row != nil) || it.problem != nil && (it.problem.Message == "" || it.problem.Remedy == "") {
			t.Fatalf("%+v, %+v", it.problem, it.row)
		}
		if it.row != nil {
			ownerOf(it.said, peopleOf(nil), thingsOf(nil))
		}
	})
}
