package lifecycle_test

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func hashOf(c *x509.Certificate) string { return authority.Hash(c.RawSubjectPublicKeyInfo) }

// point gives the name of the list a certificate names.
func (w *world) point(c *ra.Certificate) string {
	w.t.Helper()
	leaf := must(x509.ParseCertificate(c.DER))(w.t)
	if len(leaf.CRLDistributionPoints) != 1 {
		w.t.Fatalf("points %v", leaf.CRLDistributionPoints)
	}
	return strings.TrimSuffix(filepath.Base(leaf.CRLDistributionPoints[0]), ".crl")
}

func (w *world) listAt(name string) *x509.RevocationList {
	w.t.Helper()
	crl := must(w.CRL(w.t.Context(), name))(w.t)
	return must(x509.ParseRevocationList(crl.DER))(w.t)
}

// idp gives the value of the issuing distribution point of a list; nil when it
// has none.
func idp(l *x509.RevocationList) []byte {
	for _, e := range l.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 28}) && e.Critical {
			return e.Value
		}
	}
	return nil
}

// shards sets into how many lists an authority's revocations are divided.
func (w *world) shards(id ra.AuthorityID, n int) {
	w.t.Helper()
	must(w.authorities.Update(w.t.Context(), w.owner, id, authority.Input{Settings: fmt.Appendf(nil, `{"crl_shards": %d}`, n)}))(w.t)
}

// TestShards: certificates name their part of the revocations, openssl follows
// them, a revocation makes that part anew and no other, and certificates from
// before the division keep the complete list.
func TestShards(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.inner, onDevice())
		before := w.issue(tpl)
		complete := w.point(before)
		w.shards(w.inner, 4)
		bad, good := w.issue(tpl), w.issue(tpl)
		for w.point(good) == w.point(bad) { // one whose list is another
			good = w.issue(tpl)
		}
		for _, c := range []*ra.Certificate{bad, good} {
			serial, _ := new(big.Int).SetString(c.Serial, 16)
			if want := complete + "-" + ca.ShardOf(serial, 4).Name(); w.point(c) != want {
				w.t.Errorf("serial %s names %s, want %s", c.Serial, w.point(c), want)
			}
		}
		w.work()
		first, other, all := w.listAt(w.point(bad)), w.listAt(w.point(good)), w.listAt(complete)
		leaf := must(x509.ParseCertificate(bad.DER))(w.t)
		if point := idp(first); !has(string(point), leaf.CRLDistributionPoints[0]) || has(string(point), "http://pki.example.test/pki/"+complete+".crl") {
			w.t.Errorf("issuing distribution point %q", point)
		}
		if idp(all) != nil {
			w.t.Error("the complete list is not complete")
		}
		must(w.Revoke(ctx, w.owner, bad.ID, ra.KeyCompromise, ""))(w.t)
		published := w.audited("crl.published", string(w.inner))
		w.work()
		if now := w.audited("crl.published", string(w.inner)); now != published+1 {
			w.t.Errorf("a revocation made %d lists", now-published)
		}
		second := w.listAt(w.point(bad))
		if _, _, ok := entry(second, bad); !ok || second.Number.Cmp(first.Number) <= 0 {
			w.t.Errorf("its own list: %v, number %s after %s", ok, second.Number, first.Number)
		}
		if again := w.listAt(w.point(good)); again.Number.Cmp(other.Number) != 0 {
			w.t.Error("the list of others was made anew")
		}
		if _, _, ok := entry(w.listAt(complete), bad); !ok { // on demand
			w.t.Error("the complete list lacks it")
		}

		chain := w.chain(good)
		dir := w.files("CERTIFICATE", map[string][]byte{"before.pem": before.DER, "good.pem": good.DER, "bad.pem": bad.DER, "issuing.pem": chain[1].Raw, "root.pem": chain[2].Raw})
		save := func(file, name string) {
			if err := os.WriteFile(filepath.Join(dir, "der"), w.listAt(name).Raw, 0o600); err != nil {
				w.t.Fatal(err)
			}
			must(w.openssl(dir, "crl", "-inform", "DER", "-in", "der", "-out", file))(w.t)
		}
		save("bad.crl", w.point(bad))
		save("good.crl", w.point(good))
		save("all.crl", complete)
		save("root.crl", hashOf(chain[2]))
		for _, c := range []struct {
			cert, list string
			fault      string
		}{
			{"good.pem", "good.crl", ""},
			{"bad.pem", "bad.crl", "certificate revoked"},
			{"good.pem", "bad.crl", "different CRL scope"}, // another's part says nothing
			{"bad.pem", "good.crl", "different CRL scope"},
			{"before.pem", "bad.crl", "different CRL scope"},
			{"before.pem", "all.crl", ""},
			{"good.pem", "all.crl", ""},
			{"bad.pem", "all.crl", "certificate revoked"},
		} {
			args := []string{"verify", "-extended_crl", "-attime", fmt.Sprint(w.clock.Now().Unix()), "-crl_check_all", "-CRLfile", c.list, "-CRLfile", "root.crl", "-CAfile", "root.pem", "-untrusted", "issuing.pem", c.cert}
			out, err := w.openssl(dir, args...)
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !has(out+err.Error(), c.fault)) {
				w.t.Errorf("%s with %s: want %q, got %v\n%s", c.cert, c.list, c.fault, err, out)
			}
		}

		// The division grows, then goes away: what was issued keeps its list.
		w.shards(w.inner, 16)
		later := w.issue(tpl)
		w.shards(w.inner, 1)
		last := w.issue(tpl)
		if w.point(last) != complete || !has(w.point(later), "-16-") {
			w.t.Errorf("points %s, %s", w.point(later), w.point(last))
		}
		for _, c := range []*ra.Certificate{good, later, last} {
			must(w.Revoke(ctx, w.owner, c.ID, ra.SupersededReason, ""))(w.t)
			for _, name := range []string{w.point(c), complete} {
				if _, _, ok := entry(w.listAt(name), c); !ok {
					w.t.Errorf("list %s lacks %s", name, c.Serial)
				}
			}
		}
	})
}

// TestShardsOfBefore: a list that certificates name is kept up after the number
// of lists was changed back.
func TestShardsOfBefore(t *testing.T) {
	each(t, func(w *world) {
		w.shards(w.inner, 16)
		tpl := w.template(w.inner, onDevice())
		c := w.issue(tpl)
		w.work()
		w.shards(w.inner, 1)
		must(w.Revoke(w.t.Context(), w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
		w.work()
		if _, _, ok := entry(w.listAt(w.point(c)), c); !ok {
			w.t.Error("the list it names lacks it")
		}
		w.pass(30*day, 3*day)
		if l := w.listAt(w.point(c)); !l.NextUpdate.After(w.clock.Now().Add(day / 2)) {
			w.t.Errorf("the list ends on %s", l.NextUpdate)
		}
	})
}

// TestShardsMove: a server that moved is found at both addresses, and the list
// says so.
func TestShardsMove(t *testing.T) {
	each(t, func(w *world) {
		w.shards(w.inner, 4)
		tpl := w.template(w.inner, onDevice())
		c := w.issue(tpl)
		first := w.listAt(w.point(c))
		must(w.authorities.Update(w.t.Context(), w.owner, w.inner, authority.Input{Settings: []byte(`{"public_url": "http://new.example.test"}`)}))(w.t)
		name := w.point(c)
		for w.point(w.issue(tpl)) != name {
		}
		second := w.listAt(name)
		for _, host := range []string{"http://pki.example.test", "http://new.example.test"} {
			if !has(string(idp(second)), host+"/pki/"+name+".crl") {
				w.t.Errorf("the list does not say that it is found at %s: %q", host, idp(second))
			}
		}
		if second.Number.Cmp(first.Number) <= 0 {
			w.t.Error("the list was not made anew")
		}
	})
}

// TestCRLNumbers: they rise, whatever became of the clock, and after the
// database was put back to what it was.
func TestCRLNumbers(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, onDevice())
		make := func() int64 {
			c := w.issue(tpl)
			must(w.Revoke(w.t.Context(), w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
			return w.listAt(w.point(c)).Number.Int64()
		}
		first := make()
		var backup store.CRL
		w.read(func(tx *store.Tx) error {
			all, err := tx.AllCRLs()
			for _, crl := range all {
				if crl.Number == first {
					backup = crl
				}
			}
			return err
		})
		last := first
		for range 3 { // all in one moment
			n := make()
			if n <= last {
				w.t.Errorf("%d after %d", n, last)
			}
			last = n
		}
		w.clock.Advance(-time.Hour)
		if n := make(); n <= last {
			w.t.Errorf("%d after %d with a clock put back", n, last)
		} else {
			last = n
		}
		w.clock.Advance(time.Hour + time.Second)
		must(w.db.Pool().ExecContext(w.t.Context(), "UPDATE crl_lists SET number = $1 WHERE issuer_hash = $2", backup.Number, backup.IssuerHash))(w.t)
		if n := make(); n <= last {
			w.t.Errorf("%d after %d from a backup", n, last)
		}
	})
}

// TestCRLStorm: a hundred revocations and as many who want the list at once cost
// a few lists, and whoever asks after a revocation has it on the list.
func TestCRLStorm(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, onDevice())
		const revokers, each = 4, 6
		certs := make([]*ra.Certificate, revokers*each)
		for i := range certs {
			certs[i] = w.issue(tpl)
		}
		nodes := []*node{w.node, w.node}
		if w.db.Engine() == "postgres" {
			nodes[1] = w.start()
		}
		// A list takes as long as it takes for everybody to be waiting for it.
		var made atomic.Int64
		for _, n := range nodes {
			n.Step = func(label string) {
				if label == lifecycle.StepCRLSign {
					made.Add(1)
					time.Sleep(20 * time.Millisecond)
				}
			}
		}
		var wg sync.WaitGroup
		for i := range revokers {
			wg.Go(func() {
				for _, c := range certs[i*each : (i+1)*each] {
					if _, err := nodes[i%2].Revoke(context.Background(), w.owner, c.ID, ra.KeyCompromise, ""); err != nil {
						w.t.Error(err)
						return
					}
					var readers sync.WaitGroup
					for k := range 4 {
						readers.Go(func() {
							crl, err := nodes[(i+k)%2].CRL(context.Background(), c.IssuerHash)
							if err != nil {
								w.t.Error(err)
								return
							}
							l, err := x509.ParseRevocationList(crl.DER)
							if err != nil {
								w.t.Error(err)
								return
							}
							if _, _, ok := entry(l, c); !ok {
								w.t.Errorf("the list lacks %s, which was revoked before", c.Serial)
							}
						})
					}
					readers.Wait()
				}
			})
		}
		wg.Wait()
		if asked := int64(revokers * each * 4); made.Load() > asked*3/4 {
			w.t.Errorf("%d lists for %d who asked", made.Load(), asked)
		}
	})
}

// TestCRLCrash: a node that dies at any step of a list leaves one that another
// node publishes, with a number nobody has seen.
func TestCRLCrash(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, onDevice())
		seen := int64(0)
		for _, label := range []string{lifecycle.StepCRLSign, lifecycle.StepCRLStore, lifecycle.StepCRLServe} {
			c := w.issue(tpl)
			must(w.Revoke(w.t.Context(), w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
			dead := w.start()
			ctx, die := context.WithCancel(w.t.Context())
			reached := false
			dead.Step = func(step string) {
				if step == label {
					reached = true
					die()
				}
			}
			crl, err := dead.CRL(ctx, c.IssuerHash)
			if !reached || label != lifecycle.StepCRLServe && err == nil && label == lifecycle.StepCRLStore {
				w.t.Errorf("%s: reached %v, %v", label, reached, err)
			}
			if err == nil {
				seen = max(seen, crl.Number)
			}
			l := w.list(c)
			if _, _, ok := entry(l, c); !ok || l.Number.Int64() < seen {
				w.t.Errorf("%s: listed %v, number %s after %d", label, ok, l.Number, seen)
			}
			seen = l.Number.Int64()
		}
	})
}
