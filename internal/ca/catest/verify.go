package catest

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

// verify asks of an issued certificate that it is for the request's key, says
// what the order says where the order decides, and chains up to a root for
// crypto/x509 and for openssl.
func (w *World) verify(r ca.Request, reply ca.Reply) {
	w.T.Helper()
	if len(reply.Chain) < 2 {
		w.T.Fatalf("the chain has %d certificates; want the certificate and its issuers", len(reply.Chain))
	}
	leaf := reply.Chain[0]
	want := r.PublicKey
	if reply.Key != nil {
		want = reply.Key.Public()
	}
	if !samePublicKey(leaf.PublicKey, want) {
		w.T.Error("the certificate is for another key")
	}
	if now := w.Env.Now(); leaf.NotBefore.After(now) || leaf.NotAfter.Before(now) {
		w.T.Errorf("the certificate is valid from %v to %v, not now", leaf.NotBefore, leaf.NotAfter)
	}
	if leaf.IsCA {
		w.T.Error("the certificate is one of an authority")
	}
	if w.setup.Kind.Traits.Extensions {
		w.verifyOrder(r, leaf)
	}
	w.verifyChain(reply.Chain)
	w.openSSLVerify(reply.Chain)
}

// verifyOrder holds the certificate against the order, for authorities that let
// the order decide.
func (w *World) verifyOrder(r ca.Request, leaf *x509.Certificate) {
	w.T.Helper()
	subject, err := pkixmsg.ParseNameDER(leaf.RawSubject)
	if err != nil || !subject.Equal(r.Subject) {
		w.T.Errorf("subject %v; want %v", subject, r.Subject)
	}
	if leaf.KeyUsage != r.KeyUsage {
		w.T.Errorf("key usage %b; want %b", leaf.KeyUsage, r.KeyUsage)
	}
	for _, e := range leaf.Extensions {
		switch e.Id.String() {
		case pkixmsg.OIDSubjectAltName:
			if names, err := pkixmsg.ParseSubjectAltName(e.Value); err != nil || !slices.Equal(names, r.SANs) {
				w.T.Errorf("alternative names %v; want %v", names, r.SANs)
			}
		case pkixmsg.OIDExtKeyUsage:
			if purposes, err := pkixmsg.ParseExtKeyUsage(e.Value); err != nil || !slices.Equal(purposes, r.EKUs) {
				w.T.Errorf("purposes %v; want %v", purposes, r.EKUs)
			}
		}
	}
	if got := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; r.Validity > 0 && got != r.Validity {
		w.T.Errorf("valid for %v; want %v", got, r.Validity)
	}
}

func (w *World) verifyChain(chain []*x509.Certificate) {
	w.T.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := *chain[0]
	leaf.UnhandledCriticalExtensions = nil // names Go does not know, such as a UPN
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: w.Env.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		w.T.Errorf("crypto/x509 does not verify the certificate: %v", err)
	}
}

// openSSLVerify lets openssl verify a chain.
func (w *World) openSSLVerify(chain []*x509.Certificate) {
	w.T.Helper()
	dir := w.T.TempDir()
	write := func(name string, list ...*x509.Certificate) string {
		var out []byte
		for _, c := range list {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, out, 0o600); err != nil {
			w.T.Fatal(err)
		}
		return path
	}
	out, err := testpeer.OpenSSL(w.T, dir, nil, "verify", "-attime", fmt.Sprint(w.Env.Now().Unix()),
		"-CAfile", write("root.pem", chain[len(chain)-1]), "-untrusted", write("between.pem", chain[1:]...), write("leaf.pem", chain[0]))
	if err != nil || !strings.Contains(string(out), ": OK") {
		w.T.Errorf("openssl does not verify the certificate: %v\n%s", err, out)
	}
}

// openSSLCRL lets openssl verify a DER CRL and gives what it prints of it.
func (w *World) openSSLCRL(crl []byte, issuer *x509.Certificate) string {
	w.T.Helper()
	dir := w.T.TempDir()
	path := filepath.Join(dir, "issuer.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Raw}), 0o600); err != nil {
		w.T.Fatal(err)
	}
	file := filepath.Join(dir, "list.crl")
	if err := os.WriteFile(file, crl, 0o600); err != nil {
		w.T.Fatal(err)
	}
	out, err := testpeer.OpenSSL(w.T, dir, nil, "crl", "-inform", "DER", "-in", file, "-noout", "-text", "-verify", "-CAfile", path)
	if err != nil {
		w.T.Errorf("openssl does not verify the revocation list: %v", err)
	}
	return string(out)
}

func samePublicKey(a, b any) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
