package lifecycle_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"chancery/internal/ra"
)

// ask asks the responder about a certificate and checks the answer's signature.
func (w *world) ask(c *x509.Certificate, issuer *x509.Certificate, hash crypto.Hash) *ocsp.Response {
	w.t.Helper()
	q := must(ocsp.CreateRequest(c, issuer, &ocsp.RequestOptions{Hash: hash}))(w.t)
	raw := w.OCSP(w.t.Context(), q).DER
	r, err := ocsp.ParseResponseForCert(raw, c, issuer)
	return must(r, err)(w.t)
}

func TestOCSP(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, settings := range map[string]string{"p-256": `{}`, "rsa": `{"key_type": "rsa-2048", "root_key_type": "rsa-2048"}`} {
			id := w.authority("embedded", "CA "+name, settings)
			tpl := w.template(id, onDevice())
			good, bad := w.issue(tpl), w.issue(tpl)
			must(w.Revoke(ctx, w.owner, bad.ID, ra.AffiliationChanged, ""))(w.t)
			chain := w.chain(good)
			for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
				r := w.ask(chain[0], chain[1], hash)
				if r.Status != ocsp.Good || !r.ThisUpdate.Equal(w.clock.Now().Truncate(time.Second)) || r.NextUpdate.Sub(r.ThisUpdate) != time.Hour || r.Certificate == nil {
					w.t.Errorf("%s: %+v", name, r)
				}
				r = w.ask(must(x509.ParseCertificate(bad.DER))(w.t), chain[1], hash)
				if r.Status != ocsp.Revoked || r.RevocationReason != int(ra.AffiliationChanged) || !r.RevokedAt.Equal(w.clock.Now().Truncate(time.Second)) {
					w.t.Errorf("%s: %+v", name, r)
				}
			}
			// A serial nobody issued.
			stray := *chain[0]
			stray.SerialNumber = big.NewInt(4711)
			if r := w.ask(&stray, chain[1], crypto.SHA1); r.Status != ocsp.Unknown {
				w.t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

func TestOCSPRefuses(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		outer := w.chain(w.issue(w.template(w.outer, onDevice())))
		foreign := must(ocsp.CreateRequest(outer[0], outer[1], nil))(w.t)
		chain := w.chain(w.issue(w.template(w.inner, onDevice())))
		mixed := *chain[1]
		mixed.RawSubject = outer[1].RawSubject // the right key under another name
		named := must(ocsp.CreateRequest(chain[0], &mixed, nil))(w.t)
		for name, c := range map[string]struct {
			request []byte
			want    []byte
		}{
			"empty":           {nil, ocsp.MalformedRequestErrorResponse},
			"text":            {[]byte("GET / HTTP/1.1"), ocsp.MalformedRequestErrorResponse},
			"cut":             {foreign[:len(foreign)-4], ocsp.MalformedRequestErrorResponse},
			"foreign issuer":  {foreign, ocsp.UnauthorizedErrorResponse},
			"issuer's name":   {named, ocsp.UnauthorizedErrorResponse},
			"too many zeroes": {bytes.Repeat([]byte{0}, 4000), ocsp.MalformedRequestErrorResponse},
		} {
			if got := w.OCSP(ctx, c.request).DER; !bytes.Equal(got, c.want) {
				w.t.Errorf("%s: %x", name, got)
			}
		}
	})
}

// TestOCSPWithOpenSSL: the real client over HTTP, by POST and by GET.
func TestOCSPWithOpenSSL(t *testing.T) {
	each(t, func(w *world) {
		base := w.serve()
		w.clock.ms.Store(time.Now().UnixMilli()) // openssl goes by the clock on the wall
		id := w.authority("embedded", "Now CA", `{}`)
		tpl := w.template(id, onDevice())
		good, bad := w.issue(tpl), w.issue(tpl)
		must(w.Revoke(w.t.Context(), w.owner, bad.ID, ra.KeyCompromise, ""))(w.t)
		chain := w.chain(good)
		dir := w.files("CERTIFICATE", map[string][]byte{"good.pem": good.DER, "bad.pem": bad.DER, "issuing.pem": chain[1].Raw, "root.pem": chain[2].Raw})
		ask := func(args ...string) string {
			out, err := w.openssl(dir, append([]string{"ocsp", "-url", base + "/ocsp", "-issuer", "issuing.pem", "-CAfile", "root.pem", "-verify_other", "issuing.pem"}, args...)...)
			if err != nil {
				w.t.Errorf("%v: %v", args, err)
			}
			return out
		}
		if out := ask("-no_nonce", "-cert", "good.pem"); !has(out, "good.pem: good") {
			w.t.Error(out)
		}
		if out := ask("-no_nonce", "-cert", "bad.pem"); !has(out, "bad.pem: revoked") || !has(out, "keyCompromise") {
			w.t.Error(out)
		}
		if out := ask("-no_nonce", "-serial", "0x1234"); !has(out, "0x1234: unknown") {
			w.t.Error(out)
		}
		if out := ask("-sha256", "-cert", "good.pem"); !has(out, "good.pem: good") || has(out, "no nonce") { // its nonce is in the answer
			w.t.Error(out)
		}
		q := must(ocsp.CreateRequest(chain[0], chain[1], nil))(w.t)
		for _, encoded := range []string{base64.StdEncoding.EncodeToString(q), strings.NewReplacer("/", "%2F", "+", "%2B", "=", "%3D").Replace(base64.StdEncoding.EncodeToString(q))} {
			resp := must(http.Get(base + "/ocsp/" + encoded))(w.t)
			body := must(io.ReadAll(resp.Body))(w.t)
			resp.Body.Close()
			if r, err := ocsp.ParseResponseForCert(body, chain[0], chain[1]); err != nil || r.Status != ocsp.Good || resp.Header.Get("Content-Type") != "application/ocsp-response" {
				w.t.Errorf("%v, %v", r, err)
			}
		}
	})
}

// TestOCSPAfterRenewal: an authority with a new key answers about what it
// signed with either.
func TestOCSPAfterRenewal(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, onDevice())
		old := w.issue(tpl)
		before := w.chain(old)
		w.ask(before[0], before[1], crypto.SHA1)
		w.clock.Advance(time.Hour)
		if err := w.authorities.Renew(w.t.Context(), w.owner, w.inner); err != nil {
			w.t.Fatal(err)
		}
		next := w.issue(tpl)
		after := w.chain(next)
		if bytes.Equal(before[1].RawSubjectPublicKeyInfo, after[1].RawSubjectPublicKeyInfo) {
			w.t.Fatal("the key is the same")
		}
		if r := w.ask(after[0], after[1], crypto.SHA1); r.Status != ocsp.Good {
			w.t.Errorf("%+v", r)
		}
		if r := w.ask(before[0], before[1], crypto.SHA1); r.Status != ocsp.Good {
			w.t.Errorf("%+v", r)
		}
		must(w.Revoke(w.t.Context(), w.owner, old.ID, ra.SupersededReason, ""))(w.t)
		if _, _, ok := entry(w.list(old), old); !ok {
			w.t.Error("the list of the former key lacks it")
		}
		if _, _, ok := entry(w.list(next), old); ok {
			w.t.Error("the list of the new key has it")
		}
	})
}
