package scepmsg_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/cms/cmstest"
	"chancery/internal/wire/scepmsg"

	"github.com/smallstep/scep"
	scepx509 "github.com/smallstep/scep/x509util"
)

// TestGoClient has the library of the micromdm and smallstep clients enrol
// with our server side: DES and SHA-1, encrypted to everything it was given.
func TestGoClient(t *testing.T) {
	a := newAuthority(t)
	key := cmstest.RSAKey(1)
	csrDER := cmstest.Must(scepx509.CreateCertificateRequest(rand.Reader, &scepx509.CertificateRequest{
		CertificateRequest: x509.CertificateRequest{RawSubject: cmstest.Name("device"), SignatureAlgorithm: x509.SHA256WithRSA},
		ChallengePassword:  "secret",
	}, key))(t)
	csr := cmstest.Must(x509.ParseCertificateRequest(csrDER))(t)
	signer := cmstest.Must(x509.ParseCertificate(cmstest.Plain(t, key, "SCEP SIGNER")))(t)
	other := cmstest.Must(x509.ParseCertificate(cmstest.Plain(t, cmstest.RSAKey(2), "CA")))(t)
	for _, typ := range []scep.MessageType{scep.PKCSReq, scep.RenewalReq} {
		request := cmstest.Must(scep.NewCSRRequest(csr, &scep.PKIMessage{
			MessageType: typ, Recipients: []*x509.Certificate{other, a.x509}, SignerKey: key, SignerCert: signer,
		}))(t)

		if m := parse(t, request.Raw, scepmsg.Compat); m.Check() == nil {
			t.Error("DES passed the compat floor")
		}
		m := parse(t, request.Raw, scepmsg.Legacy)
		if m.TransactionID.Value != string(request.TransactionID) || m.Algorithms.Cipher != cms.OIDDESCBC || m.Algorithms.Digest != cms.OIDSHA1 {
			t.Errorf("read %v %s %s", m.TransactionID, m.Algorithms.Cipher.Name(), m.Algorithms.Digest.Name())
		}
		content, err := m.Open(a.ra())
		if err != nil || !bytes.Equal(content.CSR, csrDER) {
			t.Fatalf("opened: %v", err)
		}

		leaf := a.issue(t, content.CSR)
		granted := readWithLibrary(t, a, cmstest.Must(a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{leaf, a.cert.Raw}}))(t))
		if granted.PKIStatus != scep.SUCCESS || granted.TransactionID != request.TransactionID || !bytes.Equal(granted.RecipientNonce, request.SenderNonce) {
			t.Errorf("the library read status %s, transaction %s", granted.PKIStatus, granted.TransactionID)
		}
		if err := granted.DecryptPKIEnvelope(signer, key); err != nil || !bytes.Equal(granted.Certificate.Raw, leaf) {
			t.Errorf("the library could not open the reply: %v", err)
		}
		if refused := readWithLibrary(t, a, cmstest.Must(a.responder().Failure(m, scepmsg.BadCertID, "no"))(t)); refused.PKIStatus != scep.FAILURE || refused.FailInfo != scep.BadCertID {
			t.Errorf("the library read status %s, failInfo %s", refused.PKIStatus, refused.FailInfo)
		}
		if waiting := readWithLibrary(t, a, cmstest.Must(a.responder().Pending(m))(t)); waiting.PKIStatus != scep.PENDING {
			t.Errorf("the library read status %s", waiting.PKIStatus)
		}
	}
}

func readWithLibrary(t *testing.T, a *authority, b []byte) *scep.PKIMessage {
	t.Helper()
	return cmstest.Must(scep.ParsePKIMessage(b, scep.WithCACerts([]*x509.Certificate{a.x509})))(t)
}

// TestGoServer enrols our client side with the library of the micromdm and
// smallstep servers, which answers in DES and SHA-1.
func TestGoServer(t *testing.T) {
	a := newAuthority(t)
	c := newClient(t, cmstest.RSAKey(1))
	for _, r := range []*scepmsg.Request{
		c.request(a),
		{Type: scepmsg.RenewalReq, Content: scepmsg.Content{CSR: c.csr}, Key: c.key, Certificate: c.cert, RA: a.cert, Cipher: cms.OIDAES256CBC, OAEP: true},
		{Type: scepmsg.PKCSReq, Content: scepmsg.Content{CSR: c.csr}, Key: c.key, Certificate: c.cert, RA: a.cert, Cipher: cms.OIDTripleDESCBC, SigningTime: notBefore.AddDate(0, 1, 0)},
	} {
		sent := build(t, r)
		request := cmstest.Must(scep.ParsePKIMessage(sent.Message))(t)
		if string(request.TransactionID) != sent.TransactionID || !bytes.Equal(request.SenderNonce, sent.SenderNonce) {
			t.Errorf("the library read transaction %s, nonce %x", request.TransactionID, request.SenderNonce)
		}
		if err := request.DecryptPKIEnvelope(a.x509, a.key); err != nil || !bytes.Equal(request.CSR.Raw, c.csr) {
			t.Fatalf("the library could not open the request: %v", err)
		}
		leaf := cmstest.Must(x509.ParseCertificate(a.issue(t, c.csr)))(t)
		e := c.expect(a, sent)
		e.Floor, e.RawSPKI = scepmsg.Legacy, c.cert.RawSPKI
		granted := cmstest.Must(scepmsg.ParseReply(cmstest.Must(request.Success(a.x509, a.key, leaf))(t).Raw, e))(t)
		if !bytes.Equal(granted.Certificates[0].Raw, leaf.Raw) {
			t.Error("another certificate was read")
		}
		refused := cmstest.Must(scepmsg.ParseReply(cmstest.Must(request.Fail(a.x509, a.key, scep.BadTime))(t).Raw, e))(t)
		if refused.Message.Status != scepmsg.Failure || refused.Message.FailInfo != scepmsg.BadTime {
			t.Errorf("read %v %v", refused.Message.Status, refused.Message.FailInfo)
		}
	}
}

// TestOpenSSL has openssl verify and decrypt what we write, both ways.
func TestOpenSSL(t *testing.T) {
	a := newAuthority(t)
	raFile, raKey := cmstest.Files(t, a.cert.Raw, a.key)
	rsaClient, ecClient := newClient(t, cmstest.RSAKey(1)), newClient(t, cmstest.ECKey(t, elliptic.P256()))
	for _, c := range []*client{rsaClient, ecClient} {
		file, key := cmstest.Files(t, c.cert.Raw, c.key)
		verify := []string{"cms", "-verify", "-binary", "-inform", "DER", "-noverify"}
		decrypt := []string{"cms", "-decrypt", "-binary", "-inform", "DER"}

		sent := build(t, c.request(a))
		envelope := cmstest.OpenSSL(t, sent.Message, verify...)
		csr := cmstest.OpenSSL(t, envelope, append(decrypt, "-inkey", raKey, "-recip", raFile)...)
		if !bytes.Equal(csr, c.csr) {
			t.Errorf("%T: openssl read another PKCS #10", c.key)
		}

		m := parse(t, sent.Message, scepmsg.Modern)
		leaf := a.issue(t, c.csr)
		for _, password := range []string{"", "challenge"} {
			reply := cmstest.Must(a.responder().Success(m, scepmsg.Grant{Certificates: [][]byte{leaf}, Password: []byte(password)}))(t)
			open := append(decrypt, "-inkey", key, "-recip", file)
			if _, isRSA := c.key.(*rsa.PrivateKey); !isRSA && password != "" {
				open = append(decrypt, "-pwri_password", password)
			}
			degenerate := cmstest.OpenSSL(t, cmstest.OpenSSL(t, reply, verify...), open...)
			out := cmstest.OpenSSL(t, cmstest.OpenSSL(t, degenerate, "pkcs7", "-inform", "DER", "-print_certs"), "x509", "-outform", "DER")
			if !bytes.Equal(out, leaf) {
				t.Errorf("%T, password %q: openssl read another certificate", c.key, password)
			}
		}
		for _, empty := range [][]byte{cmstest.Must(a.responder().Pending(m))(t), cmstest.Must(a.responder().Failure(m, scepmsg.BadAlg, "x"))(t)} {
			if out := cmstest.OpenSSL(t, empty, verify...); len(out) != 0 {
				t.Errorf("openssl read content %x", out)
			}
		}
	}
}

// TestCaptured reads what real clients sent; testdata/README.md says how each
// file was made.
func TestCaptured(t *testing.T) {
	ra := scepmsg.RA{Certificate: parseCert(t, cmstest.Read(t, "ra.pem"))}
	ra.Key = cmstest.Must(x509.ParsePKCS8PrivateKey(cmstest.Read(t, "ra-key.pem")))(t).(*rsa.PrivateKey)
	query := string(cmstest.Must(os.ReadFile(filepath.Join("testdata", "certmonger-pkcsreq.query")))(t))
	certmonger := cmstest.Must(scepmsg.DecodeQuery(query))(t)
	if op, err := scepmsg.DecodeOperation(query); op != scepmsg.OpPKIOperation {
		t.Errorf("certmonger's operation is %q, %v", op, err)
	}
	for _, c := range []struct {
		name      string
		msg       []byte
		typ       scepmsg.MessageType
		floor     scepmsg.Floor
		id        string
		version   int
		serial    int // octets
		signature cms.OID
		cipher    cms.OID
		cn        string
	}{
		{"strongSwan PKCSReq", cmstest.Read(t, "strongswan-pkcsreq.der"), scepmsg.PKCSReq, scepmsg.Modern, "C1BCE86CB12C829D0495410B8584147D53845B6D", 3, 21, cms.OIDSHA256WithRSA, cms.OIDAES128CBC, "strongswan"},
		{"strongSwan CertPoll", cmstest.Read(t, "strongswan-certpoll.der"), scepmsg.CertPoll, scepmsg.Modern, "C1BCE86CB12C829D0495410B8584147D53845B6D", 3, 21, cms.OIDSHA256WithRSA, cms.OIDAES128CBC, ""},
		{"strongSwan RenewalReq", cmstest.Read(t, "strongswan-renewalreq.der"), scepmsg.RenewalReq, scepmsg.Compat, "9A088FDA35904350A6D51CB3A1966889E241987A", 3, 8, cms.OIDSHA256WithRSA, cms.OIDTripleDESCBC, "strongswan"},
		{"certmonger PKCSReq", certmonger, scepmsg.PKCSReq, scepmsg.Modern, "62740271382185490150358935200765693092592716770843847473914885042637411375900", 1, 33, cms.OIDRSA, cms.OIDAES256CBC, "certmonger"},
		{"smallstep PKCSReq", cmstest.Read(t, "smallstep-pkcsreq.der"), scepmsg.PKCSReq, scepmsg.Legacy, "", 3, 0, cms.OIDSHA1WithRSA, cms.OIDDESCBC, "smallstep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, c.msg, c.floor)
			if m.Type != c.typ || c.id != "" && m.TransactionID.Value != c.id || m.Signer.Version != c.version || c.serial != 0 && len(m.Signer.Serial) != c.serial ||
				m.Algorithms.Signature != c.signature || m.Algorithms.Cipher != c.cipher || m.Algorithms.KeyTransport != cms.OIDRSA || len(m.SenderNonce) != 16 {
				t.Errorf("read %v %v %d %d %s %s", m.Type, m.TransactionID, m.Signer.Version, len(m.Signer.Serial), m.Algorithms.Signature.Name(), m.Algorithms.Cipher.Name())
			}
			content, err := m.Open(ra)
			if err != nil {
				t.Fatal(err)
			}
			if c.cn == "" {
				if !bytes.Equal(content.Poll.RawIssuer, ra.Certificate.RawSubject) || len(content.Poll.RawSubject) == 0 {
					t.Errorf("polls for issuer %x, subject %x", content.Poll.RawIssuer, content.Poll.RawSubject)
				}
				return
			}
			csr, err := x509.ParseCertificateRequest(content.CSR)
			if err != nil || csr.Subject.CommonName != c.cn {
				t.Errorf("PKCS #10: %v", err)
			}
			if err == nil {
				err = csr.CheckSignature()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
