package testpeer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// caUsage lets an issuing certificate sign certificates and messages.
const caUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature

// issuer is a certificate with its key, as a server is set up with.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issuerOrder says what certificate to make.
type issuerOrder struct {
	name  string
	rsa   bool // RSA-2048 instead of P-256
	ca    bool
	usage x509.KeyUsage
	hosts []string // DNS names and addresses of a TLS server
	by    *issuer  // nil: it signs itself
}

func newIssuer(t testing.TB, o issuerOrder) *issuer {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: o.name, Organization: []string{"Test peer"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), KeyUsage: o.usage, IsCA: o.ca, BasicConstraintsValid: true}
	for _, h := range o.hosts {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	made := &issuer{}
	if o.rsa {
		made.key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		made.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	parent, key := template, made.key
	if o.by != nil {
		parent, key = o.by.cert, o.by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, made.key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if made.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return made
}

func (i *issuer) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// keyPEM is in the form all peers read: PKCS #1 for RSA, SEC 1 for EC.
func (i *issuer) keyPEM(t testing.TB) []byte {
	t.Helper()
	if key, ok := i.key.(*rsa.PrivateKey); ok {
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	}
	der, err := x509.MarshalECPrivateKey(i.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func (i *issuer) save(t testing.TB, certFile, keyFile string) {
	t.Helper()
	for file, b := range map[string][]byte{certFile: i.certPEM(), keyFile: i.keyPEM(t)} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
