package lifecycle_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"golang.org/x/crypto/ocsp"
)

// TestOCSPImpostor: a CA that has only the name of ours, or only the serial
// numbers of its certificates, gets no answer signed here.
func TestOCSPImpostor(t *testing.T) {
	each(t, func(w *world) {
		chain := w.chain(w.issue(w.template(w.inner, onDevice())))
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t)
		twin := &x509.Certificate{SerialNumber: chain[1].SerialNumber, RawSubject: chain[1].RawSubject, NotBefore: chain[1].NotBefore, NotAfter: chain[1].NotAfter, IsCA: true, BasicConstraintsValid: true}
		twin = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, twin, twin, key.Public(), key))(w.t)))(w.t)
		request := must(ocsp.CreateRequest(chain[0], twin, nil))(w.t)
		if got := w.OCSP(w.t.Context(), request).DER; !bytes.Equal(got, ocsp.UnauthorizedErrorResponse) {
			w.t.Errorf("a CA of the same name: %x", got)
		}
		// One of our certificates is no issuer, although we know its key.
		request = must(ocsp.CreateRequest(chain[0], chain[0], nil))(w.t)
		if got := w.OCSP(w.t.Context(), request).DER; !bytes.Equal(got, ocsp.UnauthorizedErrorResponse) {
			w.t.Errorf("a device as the issuer: %x", got)
		}
	})
}
