package enroll_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"strings"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// TestSignedByALeaf: an authority that answers with a certificate which another
// end entity signed, or a CA of the same name, is not believed: who holds some
// certificate must not be able to make more.
func TestSignedByALeaf(t *testing.T) {
	each(t, func(w *world) {
		o, id := w.odd()
		tpl := w.template(id, wifi())
		if r := w.asked(tpl); r.State != ra.Issued { // the authority's chain is on record now
			w.t.Fatalf("%+v", r)
		}
		holderKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t)
		holder := o.leaf(w.clock.Now(), holderKey.Public())
		nested := func(public any) *x509.Certificate {
			c := *o.leaf(w.clock.Now(), public)
			c.SignatureAlgorithm = 0
			return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, &c, holder, public, holderKey))(w.t)))(w.t)
		}
		twin := newOddCA(w.clock.Now())
		for name, answer := range map[string]func(public any) []*x509.Certificate{
			"a leaf":           func(public any) []*x509.Certificate { return []*x509.Certificate{nested(public), holder, o.cert} },
			"a leaf, left out": func(public any) []*x509.Certificate { return []*x509.Certificate{nested(public), o.cert} },
			"a twin, under the true one": func(public any) []*x509.Certificate {
				return []*x509.Certificate{twin.leaf(w.clock.Now(), public), o.cert}
			},
		} {
			o.answer = func(_ context.Context, r ca.Request) (ca.Reply, error) {
				return ca.Reply{Chain: answer(r.PublicKey)}, nil
			}
			if r := w.asked(tpl); r.State != ra.Submitted || !strings.Contains(r.LastError, "without the certificate that issued") || r.CertificateID != "" {
				w.t.Errorf("%s: %s, %q, %q", name, r.State, r.LastError, r.CertificateID)
			}
		}
	})
}
