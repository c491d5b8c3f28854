package lifecycle_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// list fetches an issuer's CRL and checks its signature.
func (w *world) list(c *ra.Certificate) *x509.RevocationList {
	w.t.Helper()
	crl := must(w.CRL(w.t.Context(), c.IssuerHash[:16]))(w.t)
	list := must(x509.ParseRevocationList(crl.DER))(w.t)
	if err := list.CheckSignatureFrom(w.chain(c)[1]); err != nil || list.Number.Int64() != crl.Number || !list.NextUpdate.Equal(crl.NextUpdate) || !list.NextUpdate.After(w.clock.Now()) {
		w.t.Errorf("CRL %d, next %s: %v", crl.Number, list.NextUpdate, err)
	}
	return list
}

// entry gives the reason under which a certificate is on a list.
func entry(l *x509.RevocationList, c *ra.Certificate) (reason int, at time.Time, listed bool) {
	serial, _ := new(big.Int).SetString(c.Serial, 16)
	for _, e := range l.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return e.ReasonCode, e.RevocationTime, true
		}
	}
	return 0, time.Time{}, false
}

func TestCRL(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.inner, onDevice())
		good, bad, held := w.issue(tpl), w.issue(tpl), w.issue(tpl)
		first := w.list(good)
		if len(first.RevokedCertificateEntries) != 0 {
			w.t.Errorf("%d entries", len(first.RevokedCertificateEntries))
		}
		if again := w.list(good); again.Number.Cmp(first.Number) != 0 {
			w.t.Error("a new list without a reason")
		}
		must(w.Revoke(ctx, w.owner, bad.ID, ra.KeyCompromise, ""))(w.t)
		at := w.clock.Now()
		w.clock.Advance(time.Second)
		must(w.Revoke(ctx, w.owner, held.ID, ra.CertificateHold, ""))(w.t)
		second := w.list(good) // on demand, at once
		if second.Number.Cmp(first.Number) <= 0 {
			w.t.Errorf("number %s after %s", second.Number, first.Number)
		}
		if reason, when, ok := entry(second, bad); !ok || reason != int(ra.KeyCompromise) || !when.Equal(at) {
			w.t.Errorf("revoked: %d, %s, %v", reason, when, ok)
		}
		if reason, _, ok := entry(second, held); !ok || reason != int(ra.CertificateHold) {
			w.t.Errorf("on hold: %d, %v", reason, ok)
		}
		if _, _, ok := entry(second, good); ok {
			w.t.Error("a good one is listed")
		}
		must(w.Revoke(ctx, w.owner, held.ID, ra.RemoveFromCRL, ""))(w.t)
		third := w.list(good)
		if _, _, ok := entry(third, held); ok || third.Number.Cmp(second.Number) <= 0 {
			w.t.Errorf("off hold: listed %v, number %s", ok, third.Number)
		}

		// openssl agrees.
		chain := w.chain(good)
		dir := w.files("CERTIFICATE", map[string][]byte{"good.pem": good.DER, "bad.pem": bad.DER, "issuing.pem": chain[1].Raw, "root.pem": chain[2].Raw})
		if err := os.WriteFile(filepath.Join(dir, "list.crl"), third.Raw, 0o600); err != nil {
			w.t.Fatal(err)
		}
		text := must(w.openssl(dir, "crl", "-inform", "DER", "-in", "list.crl", "-noout", "-text", "-CAfile", "issuing.pem"))(w.t)
		if !has(text, "Key Compromise") || !has(strings.ToLower(text), bad.Serial) || !has(text, "X509v3 CRL Number") {
			w.t.Error(text)
		}
		must(w.openssl(dir, "crl", "-inform", "DER", "-in", "list.crl", "-out", "list.pem"))(w.t)
		// The root's own list lets the whole chain be checked.
		top := must(w.CRL(ctx, hashOf(chain[2])))(w.t)
		if err := os.WriteFile(filepath.Join(dir, "root.crl"), top.DER, 0o600); err != nil {
			w.t.Fatal(err)
		}
		must(w.openssl(dir, "crl", "-inform", "DER", "-in", "root.crl", "-out", "root-list.pem"))(w.t)
		stamp := fmt.Sprint(w.clock.Now().Unix())
		verify := []string{"verify", "-attime", stamp, "-crl_check_all", "-CRLfile", "list.pem", "-CRLfile", "root-list.pem", "-CAfile", "root.pem", "-untrusted", "issuing.pem"}
		if out, err := w.openssl(dir, append(verify, "good.pem")...); err != nil {
			w.t.Errorf("good: %v\n%s", err, out)
		}
		if out, err := w.openssl(dir, append(verify, "bad.pem")...); err == nil || !has(err.Error(), "revoked") {
			w.t.Errorf("bad: %v\n%s", err, out)
		}

		// What has expired leaves the list.
		w.pass(100*day, 5*day)
		last := w.list(good)
		if _, _, ok := entry(last, bad); ok || last.Number.Cmp(third.Number) <= 0 {
			w.t.Errorf("expired: listed %v, number %s", ok, last.Number)
		}
	})
}

// TestCRLIsPublishedInTime: the sweep replaces a list before it ends, of a
// switched-off authority too, and what one authority cannot sign does not keep
// the others.
func TestCRLIsPublishedInTime(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		second := w.authority("embedded", "Second CA", `{}`)
		off := w.issue(w.template(second, onDevice()))
		c := w.issue(w.template(w.inner, onDevice()))
		must(w.authorities.Update(ctx, w.owner, second, authority.Input{Disabled: ptr(true)}))(w.t)
		w.work()
		for range 12 {
			w.clock.Advance(2 * day)
			w.work()
			for _, c := range []*ra.Certificate{c, off} {
				w.read(func(tx *store.Tx) error {
					crl, err := tx.CRLState(c.IssuerHash, "")
					if err == nil && crl.NextUpdate.Sub(w.clock.Now()) < day {
						w.t.Errorf("a list ends in %s", crl.NextUpdate.Sub(w.clock.Now()))
					}
					return err
				})
			}
		}
		w.breakKey(w.inner)
		must(w.Revoke(ctx, w.owner, off.ID, ra.KeyCompromise, ""))(w.t)
		w.work()
		if _, _, ok := entry(w.list(off), off); !ok {
			w.t.Error("an authority that cannot be opened keeps another from publishing")
		}
	})
}

// breakKey makes an embedded authority's key unreadable.
func (w *world) breakKey(id ra.AuthorityID) {
	w.t.Helper()
	err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		if err := tx.PutSealed(string(id), "key", []byte("damaged")); err != nil {
			return err
		}
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		return tx.UpdateAuthority(a)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestCRLAtOnce: many who ask for a stale list get one new one, on two nodes.
func TestCRLAtOnce(t *testing.T) {
	each(t, func(w *world) {
		c := w.issue(w.template(w.inner, onDevice()))
		nodes := []*node{w.node, w.node}
		if w.db.Engine() == "postgres" {
			nodes[1] = w.start()
		}
		last := int64(0)
		for round := range 3 {
			var wg sync.WaitGroup
			var mu sync.Mutex
			numbers := map[int64]bool{}
			for i := range 12 {
				wg.Go(func() {
					crl, err := nodes[i%2].CRL(w.t.Context(), c.IssuerHash)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						w.t.Errorf("%v", err)
					}
					numbers[crl.Number] = true
				})
			}
			wg.Wait()
			if len(numbers) != 1 || numbers[last] {
				w.t.Errorf("round %d: numbers %v after %d", round, numbers, last)
			}
			for n := range numbers {
				last = n
			}
			bad := w.issue(w.template(w.inner, onDevice()))
			must(w.Revoke(w.t.Context(), w.owner, bad.ID, ra.SupersededReason, ""))(w.t)
		}
	})
}

func TestCRLOfOthers(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		c := w.issue(w.template(w.inner, onDevice()))
		outer := w.issue(w.template(w.outer, onDevice()))
		for name, hash := range map[string]string{"an outer authority": outer.IssuerHash, "unknown": strings.Repeat("0", 64), "too short": "abc", "not hex": strings.Repeat("z", 16), "empty": "",
			"a count that cannot be": c.IssuerHash + "-3-1", "a shard beyond": c.IssuerHash + "-4-4", "no shard": c.IssuerHash + "-", "a long one": c.IssuerHash[:16] + "-4-0001"} {
			_, err := w.CRL(ctx, hash)
			if ra.KindOf(err) != ra.NotFound {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		if i := must(w.Issuer(ctx, c.IssuerHash[:16]))(w.t); !i.Equal(w.chain(c)[1]) {
			w.t.Errorf("%s", i.Subject)
		}
	})
}

// TestDoor: files over HTTP, at the addresses certificates name.
func TestDoor(t *testing.T) {
	each(t, func(w *world) {
		base := w.serve()
		c := w.issue(w.template(w.inner, onDevice()))
		leaf := must(x509.ParseCertificate(c.DER))(w.t)
		get := func(path string) (int, string, []byte) {
			resp := must(http.Get(base + path))(w.t)
			defer resp.Body.Close()
			return resp.StatusCode, resp.Header.Get("Content-Type"), must(io.ReadAll(resp.Body))(w.t)
		}
		path := func(url string) string { return strings.TrimPrefix(url, "http://pki.example.test") }
		if len(leaf.CRLDistributionPoints) != 1 || len(leaf.IssuingCertificateURL) != 1 || len(leaf.OCSPServer) != 1 {
			w.t.Fatalf("%v %v %v", leaf.CRLDistributionPoints, leaf.IssuingCertificateURL, leaf.OCSPServer)
		}
		if status, kind, body := get(path(leaf.CRLDistributionPoints[0])); status != 200 || kind != "application/pkix-crl" {
			w.t.Errorf("%d, %s", status, kind)
		} else if _, err := x509.ParseRevocationList(body); err != nil {
			w.t.Error(err)
		}
		if status, kind, body := get(path(leaf.IssuingCertificateURL[0])); status != 200 || kind != "application/pkix-cert" {
			w.t.Errorf("%d, %s", status, kind)
		} else if i, err := x509.ParseCertificate(body); err != nil || leaf.CheckSignatureFrom(i) != nil {
			w.t.Error(err)
		}
		for _, p := range []string{"/pki/0000000000000000.crl", "/pki/x.exe", "/pki/..%2f..%2fetc.crl"} {
			if status, _, _ := get(p); status != 404 {
				w.t.Errorf("%s: %d", p, status)
			}
		}
	})
}
