package ndes

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
)

// FuzzMessage: whatever comes as a SCEP message, the parser ends without a
// panic and gives a message that can be answered, or none.
func FuzzMessage(f *testing.F) {
	keys, err := raKeys()
	if err != nil {
		f.Fatal(err)
	}
	subject := pkix.Name{CommonName: "device"}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := sign(t, t, keys[0].Public(), keys[0])
	if err != nil {
		f.Fatal(err)
	}
	ra := identity{cert, keys[0]}
	content, err := seal([]byte("a request"), cert, pkcs7.OIDEncryptionAlgorithmAES128CBC)
	if err != nil {
		f.Fatal(err)
	}
	s := &Server{}
	b, err := s.build(&message{kind: scep.PKCSReq, transaction: "1", nonce: []byte("0123456789abcdef"), signer: cert, digest: pkcs7.OIDDigestAlgorithmSHA256},
		reply{status: scep.SUCCESS, cert: cert}, ra)
	if err != nil {
		f.Fatal(err)
	}
	if m, err := parseMessage(b); err != nil || !m.genuine {
		f.Fatalf("what is right was not taken: %v", err)
	}
	f.Add(b)
	f.Add(content)
	f.Add([]byte{0x30, 0x80, 0x06, 0x01, 0x00, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			if m != nil {
				t.Error("a message that is none")
			}
			m = &message{content: b}
		} else if m.signer == nil || m.transaction == "" || len(m.nonce) == 0 || !bytes.Contains(b, m.nonce) {
			t.Errorf("read %+v", m)
		}
		if _, err := m.decrypt(ra); err == nil && wellFormed(m.content) != nil {
			t.Error("opened what is broken")
		}
	})
}
