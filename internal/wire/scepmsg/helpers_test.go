package scepmsg_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"
)

var (
	notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC)
)

// authority is an RA that issues with its own key, which is all a message
// layer needs to see of a CA.
type authority struct {
	x509 *x509.Certificate
	cert *cms.Certificate
	key  *rsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := cmstest.RSAKey(0)
	der := cmstest.Plain(t, key, "RA")
	return &authority{cmstest.Must(x509.ParseCertificate(der))(t), parseCert(t, der), key}
}

func (a *authority) ra() scepmsg.RA { return scepmsg.RA{Certificate: a.cert, Key: a.key} }

func (a *authority) responder() *scepmsg.Responder {
	return &scepmsg.Responder{Certificate: a.cert, Key: a.key}
}

// issue makes a certificate for the key of a PKCS #10.
func (a *authority) issue(t testing.TB, csr []byte) []byte {
	t.Helper()
	req := cmstest.Must(x509.ParseCertificateRequest(csr))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(77), RawSubject: req.RawSubject, NotBefore: notBefore, NotAfter: notAfter}
	return cmstest.Must(x509.CreateCertificate(rand.Reader, template, a.x509, req.PublicKey, a.key))(t)
}

// client is a device with a key, a PKCS #10 and a transport certificate.
type client struct {
	key  crypto.Signer
	csr  []byte
	cert *cms.Certificate
}

func newClient(t testing.TB, key crypto.Signer) *client {
	t.Helper()
	name := cmstest.Name("device")
	csr := cmstest.Must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: name, DNSNames: []string{"device.example"}}, key))(t)
	cert := cmstest.Must(scepmsg.TransportCertificate(key, name, notBefore, notAfter))(t)
	return &client{key, csr, cert}
}

func (c *client) request(a *authority) *scepmsg.Request {
	return &scepmsg.Request{
		Type: scepmsg.PKCSReq, Content: scepmsg.Content{CSR: c.csr},
		Key: c.key, Certificate: c.cert, RA: a.cert,
	}
}

func (c *client) expect(a *authority, sent *scepmsg.Sent) scepmsg.Expect {
	return scepmsg.Expect{
		Signers: []*cms.Certificate{a.cert}, TransactionID: sent.TransactionID, SenderNonce: sent.SenderNonce,
		Certificate: c.cert, Key: c.key,
	}
}

func build(t testing.TB, r *scepmsg.Request) *scepmsg.Sent {
	t.Helper()
	return cmstest.Must(r.Build())(t)
}

func parseCert(t testing.TB, der []byte) *cms.Certificate {
	t.Helper()
	return cmstest.Must(cms.ParseCertificate(der))(t)
}

func parse(t testing.TB, b []byte, floor scepmsg.Floor) *scepmsg.Message {
	t.Helper()
	return cmstest.Must(scepmsg.Parse(b, scepmsg.Options{Floor: floor}))(t)
}
