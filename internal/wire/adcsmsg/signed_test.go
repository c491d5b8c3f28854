package adcsmsg

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

func key(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	if curve == nil {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// certificate is signed by another, or by itself.
func certificate(t testing.TB, cn string, k crypto.Signer, by *Signer) *x509.Certificate {
	t.Helper()
	tbs := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	parent, signer := tbs, k
	if by != nil {
		parent, signer = by.Certificate, by.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, tbs, parent, k.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func csr(t testing.TB, k crypto.Signer, attributes ...pkixmsg.RequestAttribute) []byte {
	t.Helper()
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: k, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// openSSL has openssl verify a signed request and gives its content.
func openSSL(t *testing.T, message []byte, signer *x509.Certificate) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signer.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := testpeer.OpenSSL(t, dir, message, "cms", "-verify", "-inform", "DER", "-purpose", "any", "-CAfile", "agent.pem", "-binary")
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	return out
}

// TestOnBehalf: openssl accepts the message and finds the request in it, and the
// name is where the CA looks for it.
func TestOnBehalf(t *testing.T) {
	for name, curve := range map[string]elliptic.Curve{"rsa": nil, "p-256": elliptic.P256(), "p-384": elliptic.P384()} {
		t.Run(name, func(t *testing.T) {
			k := key(t, curve)
			agent := Signer{certificate(t, "agent", k, nil), k}
			request := csr(t, key(t, elliptic.P256()))
			message, err := OnBehalf(request, `CORP\alice`, agent)
			if err != nil {
				t.Fatal(err)
			}
			if got := openSSL(t, message, agent.Certificate); !bytes.Equal(got, request) {
				t.Errorf("openssl found %x", got)
			}
			attribute := unhex(t, `30 42 06 0a 2b 06 01 04 01 82 37 0d 02 01 31 34 30 32 1e 1a 00 72 00 65 00 71 00 75 00 65 00 73 00 74 00 65 00 72 00 6e 00 61 00 6d 00 65
				1e 14 00 43 00 4f 00 52 00 50 00 5c 00 61 00 6c 00 69 00 63 00 65`)
			if !bytes.Contains(message, attribute) {
				t.Error("the attribute with the requester's name is missing")
			}
		})
	}
}

func TestCheckRequester(t *testing.T) {
	for _, name := range []string{`CORP\alice`, `CORP\pc1$`, `corp.example\alice.b`, `CORP\Ådne O'Hara`} {
		if err := CheckRequester(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	k := key(t, elliptic.P256())
	agent := Signer{certificate(t, "agent", k, nil), k}
	for _, name := range []string{"", "alice", `CORP\`, `\alice`, `CORP\a\b`, "CORP\\a\nSAN:upn=x", "CORP\\a\x00", `CORP\a@b*`, `CORP\ alice`, `CORP\` + strings.Repeat("a", 300), "alice@corp.example"} {
		if b, err := OnBehalf(nil, name, agent); !errors.Is(err, ErrValue) || b != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestRenewal: the old key signs, and the new request holds the old certificate.
func TestRenewal(t *testing.T) {
	k := key(t, nil)
	old := Signer{certificate(t, "device", k, nil), k}
	request := csr(t, key(t, elliptic.P256()), RenewalAttribute(old.Certificate))
	message, err := Renewal(request, old)
	if err != nil {
		t.Fatal(err)
	}
	if got := openSSL(t, message, old.Certificate); !bytes.Equal(got, request) {
		t.Errorf("openssl found %x", got)
	}
	read, err := pkixmsg.ParseCSR(request)
	if err != nil || len(read.Attributes) != 1 || read.Attributes[0].OID != OIDRenewalCertificate || !bytes.Equal(read.Attributes[0].Values[0], old.Certificate.Raw) {
		t.Errorf("%v %v", read, err)
	}
	var oid asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(unhex(t, "06092b060104018237 0d01"), &oid); err != nil || len(rest) != 0 || oid.String() != OIDRenewalCertificate {
		t.Errorf("%v %v", oid, err)
	}
}

// TestReadChain: whatever the order, the leaf comes first and its issuers follow.
func TestReadChain(t *testing.T) {
	rootKey, subKey, leafKey := key(t, elliptic.P256()), key(t, elliptic.P256()), key(t, elliptic.P256())
	root := certificate(t, "root", rootKey, nil)
	sub := certificate(t, "sub", subKey, &Signer{root, rootKey})
	leaf := certificate(t, "leaf", leafKey, &Signer{sub, subKey})
	other := certificate(t, "sub", key(t, elliptic.P256()), nil) // of the issuer's name, and not the issuer
	for _, order := range [][]*x509.Certificate{{leaf, sub, root}, {root, other, leaf, sub}, {sub, root}} {
		var der [][]byte
		for _, c := range order {
			der = append(der, c.Raw)
		}
		blob, err := cms.Degenerate(der, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadChain(leaf.Raw, blob)
		if err != nil || !slices.EqualFunc(got, []*x509.Certificate{leaf, sub, root}, (*x509.Certificate).Equal) {
			t.Errorf("%d certificates, %v", len(got), err)
		}
	}
	if got, err := ReadChain(leaf.Raw, nil); err != nil || len(got) != 1 {
		t.Errorf("without a chain: %d, %v", len(got), err)
	}
	for _, bad := range [][2][]byte{{nil, nil}, {leaf.Raw, []byte{0x30, 0x80}}} {
		if _, err := ReadChain(bad[0], bad[1]); !errors.Is(err, ErrChain) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func FuzzReadCertificates(f *testing.F) {
	k := key(f, elliptic.P256())
	blob, err := cms.Degenerate([][]byte{certificate(f, "a", k, nil).Raw}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Fuzz(func(t *testing.T, b []byte) {
		if list, err := ReadCertificates(b); err != nil && list != nil {
			t.Error("certificates beside an error")
		}
	})
}
