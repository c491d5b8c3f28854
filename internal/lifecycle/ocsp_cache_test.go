package lifecycle_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"chancery/internal/ra"
	"chancery/internal/wire/ocspmsg"
)

// raw asks a node about a certificate of the world.
func (n *node) raw(w *world, c *ra.Certificate, issuer *x509.Certificate) []byte {
	w.t.Helper()
	q := must(ocsp.CreateRequest(must(x509.ParseCertificate(c.DER))(w.t), issuer, nil))(w.t)
	return n.OCSP(w.t.Context(), q).DER
}

func (w *world) statusIn(answer []byte, c *ra.Certificate, issuer *x509.Certificate) *ocsp.Response {
	w.t.Helper()
	return must(ocsp.ParseResponseForCert(answer, must(x509.ParseCertificate(c.DER))(w.t), issuer))(w.t)
}

// TestOCSPCache: an answer is signed once and given again, on each node, until
// something changes; then the next answer says so, whichever node was told.
func TestOCSPCache(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		second := w.start()
		c := w.issue(w.template(w.inner, onDevice()))
		issuer := w.chain(c)[1]
		nodes := []*node{w.node, second}
		var before [2][]byte
		for i, n := range nodes {
			before[i] = n.raw(w, c, issuer)
			w.clock.Advance(5 * time.Second)
			if !bytes.Equal(before[i], n.raw(w, c, issuer)) {
				w.t.Errorf("node %d signs again what it has signed", i)
			}
		}
		for _, step := range []struct {
			reason ra.RevocationReason
			want   int
		}{{ra.CertificateHold, ocsp.Revoked}, {ra.RemoveFromCRL, ocsp.Good}, {ra.CertificateHold, ocsp.Revoked}, {ra.KeyCompromise, ocsp.Revoked}} {
			must(w.Revoke(ctx, w.owner, c.ID, step.reason, ""))(w.t)
			for i, n := range nodes {
				answer := n.raw(w, c, issuer)
				r := w.statusIn(answer, c, issuer)
				if r.Status != step.want || r.Status == ocsp.Revoked && r.RevocationReason != int(step.reason) {
					w.t.Errorf("after %s node %d says %d, %d", step.reason, i, r.Status, r.RevocationReason)
				}
				if !bytes.Equal(answer, n.raw(w, c, issuer)) {
					w.t.Errorf("node %d signs again what it has signed", i)
				}
			}
		}
		// Half of its life is all the time an answer is given out.
		old := w.raw(w, c, issuer)
		w.clock.Advance(30 * time.Minute)
		if r := w.statusIn(w.raw(w, c, issuer), c, issuer); !r.ThisUpdate.Equal(w.clock.Now().Truncate(time.Second)) || bytes.Equal(old, w.raw(w, c, issuer)) {
			w.t.Errorf("an old answer of %s", r.ThisUpdate)
		}
		// So is one made before the clock was put back.
		w.clock.Advance(-2 * time.Hour)
		if r := w.statusIn(w.raw(w, c, issuer), c, issuer); r.ThisUpdate.After(w.clock.Now()) {
			w.t.Errorf("an answer of %s", r.ThisUpdate)
		}
	})
}

// TestOCSPNewSigner: an answer by a responder that was revoked is not given out.
func TestOCSPNewSigner(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.inner, onDevice()))
		issuer := w.chain(c)[1]
		first := w.statusIn(w.raw(w, c, issuer), c, issuer)
		own := must(w.Own(w.t.Context(), w.inner, ra.PurposeOCSP))(w.t)
		must(w.Revoke(w.t.Context(), w.owner, own[0].Row.ID, ra.KeyCompromise, ""))(w.t)
		w.clock.Advance(2 * time.Minute) // own certificates are looked at again
		second := w.statusIn(w.raw(w, c, issuer), c, issuer)
		if first.Certificate.Equal(second.Certificate) {
			w.t.Error("the answer is by a revoked responder")
		}
	})
}

// TestOCSPAtOnce: many who ask about many certificates on two nodes while they
// are being revoked never see an answer older than their question.
func TestOCSPAtOnce(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, onDevice())
		certs := make([]*ra.Certificate, 12)
		for i := range certs {
			certs[i] = w.issue(tpl)
		}
		issuer := w.chain(certs[0])[1]
		nodes := []*node{w.node, w.start()}
		requests := make([][]byte, len(certs))
		for i, c := range certs {
			requests[i] = must(ocsp.CreateRequest(must(x509.ParseCertificate(c.DER))(w.t), issuer, nil))(w.t)
		}
		ask := func(n *node, i int) int {
			r, err := ocsp.ParseResponse(n.OCSP(context.Background(), requests[i]).DER, issuer)
			if err != nil {
				w.t.Error(err)
				return -1
			}
			return r.Status
		}
		done := make(chan struct{})
		var readers, revokers sync.WaitGroup
		for k := range 6 {
			readers.Go(func() {
				for i := k; ; i++ {
					select {
					case <-done:
						return
					default:
						if status := ask(nodes[i%2], i%len(certs)); status != ocsp.Good && status != ocsp.Revoked {
							w.t.Errorf("status %d", status)
							return
						}
					}
				}
			})
		}
		for k := range 3 {
			revokers.Go(func() {
				for i := k; i < len(certs); i += 3 {
					if _, err := nodes[i%2].Revoke(context.Background(), w.owner, certs[i].ID, ra.KeyCompromise, ""); err != nil {
						w.t.Error(err)
						return
					}
					for _, n := range nodes {
						if status := ask(n, i); status != ocsp.Revoked {
							w.t.Errorf("status %d right after the revocation", status)
						}
					}
				}
			})
		}
		revokers.Wait()
		close(done)
		readers.Wait()
	})
}

// TestOCSPForms: several certificates in one request, nonces, and what is
// refused.
func TestOCSPForms(t *testing.T) {
	each(t, func(w *world) {
		base := w.serve()
		w.clock.ms.Store(time.Now().UnixMilli()) // openssl goes by the clock on the wall
		id := w.authority("embedded", "Now CA", `{}`)
		tpl := w.template(id, onDevice())
		good, bad := w.issue(tpl), w.issue(tpl)
		must(w.Revoke(w.t.Context(), w.owner, bad.ID, ra.KeyCompromise, ""))(w.t)
		chain := w.chain(good)
		outer := w.chain(w.issue(w.template(w.outer, onDevice())))
		dir := w.files("CERTIFICATE", map[string][]byte{"good.pem": good.DER, "bad.pem": bad.DER, "issuing.pem": chain[1].Raw, "root.pem": chain[2].Raw, "outer.pem": outer[0].Raw, "outer-issuing.pem": outer[1].Raw})
		ask := func(args ...string) string {
			out, err := w.openssl(dir, append([]string{"ocsp", "-url", base + "/ocsp", "-CAfile", "root.pem", "-verify_other", "issuing.pem", "-issuer", "issuing.pem"}, args...)...)
			return out + fmt.Sprint(err)
		}
		for name, c := range map[string]struct {
			args []string
			want []string
			not  string
		}{
			"two, with a nonce":     {[]string{"-cert", "good.pem", "-cert", "bad.pem", "-resp_text"}, []string{"good.pem: good", "bad.pem: revoked", "OCSP Nonce"}, "WARNING"},
			"one and an unknown":    {[]string{"-cert", "good.pem", "-serial", "0x77", "-no_nonce"}, []string{"good.pem: good", "0x77: unknown"}, "rror"},
			"two issuers":           {[]string{"-cert", "good.pem", "-issuer", "outer-issuing.pem", "-cert", "outer.pem"}, []string{"unauthorized"}, "good"},
			"the issuing CA itself": {[]string{"-issuer", "root.pem", "-cert", "issuing.pem"}, []string{"unauthorized"}, "good"},
		} {
			out := ask(c.args...)
			for _, want := range c.want {
				if !has(out, want) {
					w.t.Errorf("%s lacks %q: %s", name, want, out)
				}
			}
			if has(out, c.not) {
				w.t.Errorf("%s has %q: %s", name, c.not, out)
			}
		}
		// The nonce of a client comes back, byte for byte, and is never kept.
		must(w.openssl(dir, "ocsp", "-issuer", "issuing.pem", "-cert", "good.pem", "-reqout", "nonce.req"))(w.t)
		q := must(os.ReadFile(filepath.Join(dir, "nonce.req")))(w.t)
		nonce := must(ocspmsg.Parse(q))(w.t).Nonce
		a := w.OCSP(w.t.Context(), q)
		if len(nonce) < 3 || !bytes.Contains(a.DER, nonce) || !a.NextUpdate.IsZero() {
			w.t.Errorf("nonce %x, kept until %s", nonce, a.NextUpdate)
		}
		if bytes.Equal(a.DER, w.OCSP(w.t.Context(), q).DER) {
			w.t.Error("an answer with a nonce is given twice")
		}
	})
}

// TestHTTPCaching: what caches may keep, and for how long.
func TestHTTPCaching(t *testing.T) {
	each(t, func(w *world) {
		base := w.serve()
		c := w.issue(w.template(w.inner, onDevice()))
		issuer := w.chain(c)[1]
		leaf := must(x509.ParseCertificate(c.DER))(w.t)
		q := must(ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1}))(w.t)
		get := func(path, tag string) (*http.Response, []byte) {
			r := must(http.NewRequest(http.MethodGet, base+path, nil))(w.t)
			if tag != "" {
				r.Header.Set("If-None-Match", tag)
			}
			resp := must(http.DefaultClient.Do(r))(w.t)
			defer resp.Body.Close()
			return resp, must(io.ReadAll(resp.Body))(w.t)
		}
		for name, path := range map[string]string{"ocsp": "/ocsp/" + base64.StdEncoding.EncodeToString(q), "crl": "/pki/" + w.point(c) + ".crl"} {
			first, body := get(path, "")
			tag := first.Header.Get("ETag")
			if len(body) == 0 || tag == "" || first.Header.Get("Cache-Control") != "public, no-transform, must-revalidate, max-age=60" ||
				first.Header.Get("Expires") != w.clock.Now().Add(time.Minute).Format(http.TimeFormat) || first.Header.Get("Last-Modified") != w.clock.Now().Format(http.TimeFormat) {
				w.t.Errorf("%s: %v", name, first.Header)
			}
			if again, body := get(path, tag); again.StatusCode != http.StatusNotModified || len(body) != 0 {
				w.t.Errorf("%s, asked for what it has: %d, %d bytes", name, again.StatusCode, len(body))
			}
		}
		must(w.Revoke(w.t.Context(), w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
		resp, body := get("/ocsp/"+base64.StdEncoding.EncodeToString(q), `"other", W/"x"`)
		if r := must(ocsp.ParseResponseForCert(body, leaf, issuer))(w.t); resp.StatusCode != 200 || r.Status != ocsp.Revoked {
			w.t.Errorf("%d, %+v", resp.StatusCode, r)
		}
		// No cache keeps an answer past its end, an unknown one, or an error.
		stray := *leaf
		stray.SerialNumber = issuer.SerialNumber
		for name, request := range map[string][]byte{"unknown": must(ocsp.CreateRequest(&stray, issuer, nil))(w.t), "malformed": {1, 2, 3}} {
			if resp, _ := get("/ocsp/"+base64.StdEncoding.EncodeToString(request), ""); resp.Header.Get("Cache-Control") != "no-store" {
				w.t.Errorf("%s: %v", name, resp.Header)
			}
		}
	})
}

// TestFreshInstall: the whole chain of a new authority is checked with the lists
// its certificates name, fetched from where they say.
func TestFreshInstall(t *testing.T) {
	each(t, func(w *world) {
		base := w.serve()
		c := w.issue(w.template(w.inner, onDevice()))
		chain := w.chain(c)
		dir := w.files("CERTIFICATE", map[string][]byte{"leaf.pem": chain[0].Raw, "issuing.pem": chain[1].Raw, "root.pem": chain[2].Raw})
		verify := []string{"verify", "-x509_strict", "-attime", fmt.Sprint(w.clock.Now().Unix()), "-crl_check_all", "-CAfile", "root.pem", "-untrusted", "issuing.pem"}
		for i, x := range chain[:2] {
			if len(x.CRLDistributionPoints) != 1 || len(x.IssuingCertificateURL) != 1 {
				w.t.Fatalf("%s points at %v, %v", x.Subject, x.CRLDistributionPoints, x.IssuingCertificateURL)
			}
			body := must(http.Get(base + "/pki/" + filepath.Base(x.CRLDistributionPoints[0])))(w.t).Body
			der := must(io.ReadAll(body))(w.t)
			body.Close()
			if l := must(x509.ParseRevocationList(der))(w.t); l.CheckSignatureFrom(chain[i+1]) != nil {
				w.t.Errorf("the list of %s is of somebody else", x.Subject)
			}
			file := fmt.Sprintf("list%d.pem", i)
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600); err != nil {
				w.t.Fatal(err)
			}
			verify = append(verify, "-CRLfile", file)
		}
		if len(chain[1].OCSPServer) != 0 || len(chain[2].CRLDistributionPoints) != 0 {
			w.t.Errorf("the issuing CA's OCSP %v, the root's lists %v", chain[1].OCSPServer, chain[2].CRLDistributionPoints)
		}
		if out, err := w.openssl(dir, append(verify, "leaf.pem")...); err != nil {
			w.t.Errorf("%v\n%s", err, out)
		}
	})
}
