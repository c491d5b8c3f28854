package scepmsg

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"chancery/internal/wire/cms/cmstest"
)

// FuzzOpenPlain goes past signature and encryption, which a fuzzer cannot
// make, to what a client may put inside.
func FuzzOpenPlain(f *testing.F) {
	key := cmstest.ECKey(f, elliptic.P256())
	csr := cmstest.Must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: cmstest.Name("device")}, key))(f)
	names := cmstest.Must(IssuerAndSubject{cmstest.Name("a"), cmstest.Name("b")}.Append(nil))(f)
	serial := cmstest.IssuerAndSerial(f, cmstest.Plain(f, key, "device"))
	for _, typ := range []byte{17, 19, 20, 21, 22, 18, 99} {
		for _, plain := range [][]byte{csr, names, serial, {}, bytes.Repeat([]byte{0x30}, 50)} {
			f.Add(typ, plain)
		}
	}
	f.Fuzz(func(t *testing.T, typ byte, plain []byte) {
		c, err := readContent(MessageType(typ), plain)
		if err != nil {
			if err != ErrOpen || c != nil {
				t.Errorf("type %d: %v, want ErrOpen", typ, err)
			}
			return
		}
		var again []byte
		switch MessageType(typ) {
		case RenewalReq, PKCSReq:
			again = c.CSR
			x509.ParseCertificateRequest(c.CSR)
		case CertPoll:
			again, err = c.Poll.Append(nil)
		case GetCert, GetCRL:
			again, err = c.Subject.Append(nil)
		default:
			return
		}
		if err != nil || !bytes.Equal(again, plain) {
			t.Errorf("type %d: %x came back as %x, %v", typ, plain, again, err)
		}
	})
}
