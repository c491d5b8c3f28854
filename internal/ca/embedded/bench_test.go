package embedded_test

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"testing"
	"time"

	"chancery/internal/wire/pkixmsg"
)

// BenchmarkIssue is one certificate from a checked request, the journal in
// memory; beside it, what the bare signature with crypto/x509 costs.
func BenchmarkIssue(b *testing.B) {
	for _, keyType := range []string{"p-256", "rsa-2048"} {
		w := newWorld(b, `{"key_type": "`+keyType+`"}`)
		c := w.connect()
		o := w.order("req_0", pkixmsg.P256)
		o.SANs = []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: "pad.example.test"}, {Type: pkixmsg.UPN, Value: "ada@example.test"}}
		r := checked(b, o)
		b.Run(keyType, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n++
				r.ID = fmt.Sprintf("req_%d", n)
				if _, err := c.Issue(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
		key, err := pkixmsg.GenerateKey(pkixmsg.KeyType(keyType))
		if err != nil {
			b.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.Add(time.Hour), DNSNames: []string{"pad.example.test"}}
		b.Run(keyType+"/crypto-x509", func(b *testing.B) {
			for b.Loop() {
				if _, err := x509.CreateCertificate(rand.Reader, template, template, r.PublicKey, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
