package caimport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const day = 24 * time.Hour

// TestImport: certificates of every state come in as what they are, once, with
// where they come from; templates that are adopted have them renewed, the others
// have their end watched; the next runs read only what changed.
func TestImport(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		adopted := w.template("Machines", nil)
		ended := func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = w.clock.Now().Add(-20*day), w.clock.Now().Add(-day)
		}
		since := w.clock.Now().Add(-5 * day).Truncate(time.Second)
		plain, mine, revoked, held, old := w.cert("plain", nil), w.cert("mine", nil), w.cert("revoked", nil), w.cert("held", nil), w.cert("old", ended)
		w.book.Enter(ca.Listed{DER: plain, Requester: `CORP\anna`, Template: "WebServer"}, ca.Listed{DER: mine, Template: "Machine"},
			ca.Listed{DER: revoked, State: ra.Revoked, RevokedAt: since, Reason: ra.KeyCompromise}, ca.Listed{DER: held, State: ra.OnHold, RevokedAt: since}, ca.Listed{DER: old})
		w.clock.Advance(2 * time.Hour) // more than runs read again
		i := w.setUp(func(in *caimport.Input) {
			in.Scope, in.Every, in.Adopt = ptr(ra.ImportAll), ptr(6*time.Hour), map[string]ra.TemplateID{"Machine": adopted.ID}
		})
		if i.Action != ra.ActionNone || !i.Since.IsZero() { // nothing happens before somebody has looked
			t.Errorf("set up: %+v", i)
		}

		preview := w.imported(caimport.Order{Preview: true})
		if preview.Added != 5 || w.count() != 0 || preview.Templates[0].Read+preview.Templates[1].Read+preview.Templates[2].Read != 5 {
			t.Errorf("preview: %+v, %d in the inventory", preview, w.count())
		}
		if i := must(w.Get(t.Context(), w.owner, w.authority.ID))(t); i.Position != 0 || i.Basis != "" || !i.EndedAt.IsZero() || i.Imported != 0 {
			t.Errorf("after a preview: %+v", i)
		}

		run := w.imported(caimport.Order{})
		if !run.Full || run.Added != 5 || run.Skipped != 0 || run.Matched != 0 || run.Strange != 0 || run.Position != 5 {
			t.Errorf("%+v", run)
		}
		for name, x := range map[string]struct {
			der      []byte
			state    ra.CertificateState
			action   ra.Action
			template ra.TemplateID
		}{
			"plain": {plain, ra.Valid, ra.ActionExpire, ""}, "mine": {mine, ra.Valid, ra.ActionAwait, adopted.ID}, "revoked": {revoked, ra.Revoked, "", ""},
			"held": {held, ra.OnHold, ra.ActionExpire, ""}, "old": {old, ra.Expired, "", ""},
		} {
			c := w.row(x.der)
			if c.State != x.state || c.Action != x.action || c.TemplateID != x.template || c.AuthorityID != w.authority.ID || c.GroupID != w.acme.ID || c.KeyPlace != ra.KeyOnDevice || c.RequestID != "" {
				t.Errorf("%s: %+v", name, c)
			}
			from := must(w.From(t.Context(), w.owner, c.ID))(t)
			if from.Run != run.ID || from.Authority != w.authority.ID || from.Number == 0 {
				t.Errorf("%s comes from %+v", name, from)
			}
		}
		if c := w.row(revoked); !c.RevokedAt.Equal(since) || c.Reason != ra.KeyCompromise {
			t.Errorf("revoked: %+v", c)
		}
		if c := w.row(plain); !c.Deadline.Equal(c.NotAfter.Add(-15 * day)) {
			t.Errorf("people hear of the end at %s, it ends %s", c.Deadline, c.NotAfter)
		}
		if from := must(w.From(t.Context(), w.owner, w.row(plain).ID))(t); from.Requester != `CORP\anna` || from.Template != "WebServer" {
			t.Errorf("%+v", from)
		}
		i = must(w.Get(t.Context(), w.owner, w.authority.ID))(t)
		if i.Imported != 5 || i.Position != 0 || i.Basis == "" || i.EndedAt.IsZero() || i.Since.IsZero() || i.FullAt.IsZero() || i.Action != ra.ActionImport || !i.At.Equal(w.clock.Now().Add(6*time.Hour)) || i.Deadline.Sub(w.clock.Now()) != day {
			t.Errorf("%+v", i)
		}
		for _, code := range []string{audit.ImportSet, audit.ImportStarted, audit.ImportEnded, audit.CertificatesImported} {
			if len(w.told(code)) == 0 {
				t.Errorf("nobody was told of %s", code)
			}
		}
		for imported, want := range map[bool]int{true: 5, false: 0} {
			w.read(func(tx *store.Tx) error {
				list, _, err := tx.FindCertificates(store.CertificateFilter{Imported: &imported})
				if len(list) != want {
					t.Errorf("imported %v: %d", imported, len(list))
				}
				counts, err2 := tx.CountCertificates(store.CertificateFilter{Imported: &imported})
				if n := 0; want > 0 && len(counts) != 4 || want == 0 && len(counts) != n {
					t.Errorf("imported %v: %v", imported, counts)
				}
				return firstOf(err, err2)
			})
		}

		// What changed since, and everything again.
		w.clock.Advance(2 * time.Hour)
		late := w.cert("late", nil)
		w.book.Enter(ca.Listed{DER: late})
		if run := w.imported(caimport.Order{}); run.Full || run.Read != 1 || run.Added != 1 {
			t.Errorf("changes: %+v", run)
		}
		if run := w.imported(caimport.Order{Full: true}); !run.Full || run.Read != 6 || run.Known != 6 || run.Changed != 0 {
			t.Errorf("again: %+v", run)
		}
		w.clock.Advance(8 * day)
		if run := w.imported(caimport.Order{}); !run.Full {
			t.Errorf("after a week everything is read: %+v", run)
		}
		asked := w.book.Asked()
		if last := asked[len(asked)-1]; last.After != 0 || !last.Changed.IsZero() || !last.EndsAfter.IsZero() {
			t.Errorf("asked for %+v", last)
		}
		list, _, err := w.Runs(t.Context(), w.owner, w.authority.ID, store.Page{})
		if err != nil || len(list) != 5 || list[0].CreatedAt.Before(list[4].CreatedAt) {
			t.Errorf("%d runs, %v", len(list), err)
		}
	})
}

func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestScope: without those that ended nothing of them is read.
func TestScope(t *testing.T) {
	alone(t, func(w *world) {
		w.book.Enter(ca.Listed{DER: w.cert("now", nil)}, ca.Listed{DER: w.cert("then", func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = w.clock.Now().Add(-20*day), w.clock.Now().Add(-day)
		})})
		w.setUp(nil)
		if run := w.imported(caimport.Order{}); run.Read != 1 || run.Added != 1 {
			w.t.Errorf("%+v", run)
		}
		w.setUp(func(in *caimport.Input) { in.Scope = ptr(ra.ImportAll) })
		if run := w.imported(caimport.Order{}); !run.Full || run.Read != 2 || run.Known != 1 || run.Added != 1 {
			w.t.Errorf("with another scope: %+v", run)
		}
	})
}

// TestLeftOut: what cannot be taken over is counted and has a reason, whatever the
// authority sends.
func TestLeftOut(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		otherKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
		good := w.cert("good", nil)
		ca1 := must(x509.ParseCertificate(good))(t)
		forged := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "forged"}, NotBefore: w.clock.Now(), NotAfter: w.clock.Now().Add(day)},
			&x509.Certificate{RawSubject: ca1.RawIssuer, Subject: ca1.Issuer}, w.key, otherKey))(t)
		foreign := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(78), Subject: pkix.Name{CommonName: "foreign"}, NotBefore: w.clock.Now(), NotAfter: w.clock.Now().Add(day)},
			&x509.Certificate{Subject: pkix.Name{CommonName: "Another CA"}}, w.key, otherKey))(t)
		broken := slices.Clone(good)
		broken[len(broken)-1] ^= 1
		same := must(w.script.Certify(x509.Certificate{SerialNumber: ca1.SerialNumber, Subject: pkix.Name{CommonName: "twin"}}, w.key))(t)
		now := w.clock.Now()
		w.book.Enter(
			ca.Listed{DER: good, Template: "A\x00\n<b>" + strings.Repeat("x", 500), Requester: "R\xff\x07" + strings.Repeat("y", 500)},
			ca.Listed{}, ca.Listed{DER: []byte("no certificate")}, ca.Listed{DER: good[:len(good)-5]}, ca.Listed{DER: make([]byte, 65<<10)},
			ca.Listed{DER: forged}, ca.Listed{DER: foreign}, ca.Listed{DER: same},
			ca.Listed{DER: w.cert("state", nil), State: "strange"}, ca.Listed{DER: w.cert("never", nil), State: ra.Revoked}, ca.Listed{DER: w.cert("future", nil), State: ra.OnHold, RevokedAt: now.Add(3 * day)},
			ca.Listed{DER: w.cert("number", nil), Number: 3},
			ca.Listed{DER: w.cert("reason", nil), Number: 100, State: ra.Revoked, RevokedAt: now, Reason: 7}, ca.Listed{DER: good, Number: 101}, ca.Listed{DER: broken, Number: 102})
		w.setUp(func(in *caimport.Input) { in.Scope = ptr(ra.ImportAll) })
		run := w.imported(caimport.Order{})
		if run.Read != 15 || run.Added != 2 || run.Known != 1 || run.Skipped != 12 || len(run.Problems) != 12 {
			t.Errorf("%+v", run)
		}
		for _, p := range run.Problems {
			if p.Message == "" || p.Remedy == "" {
				t.Errorf("%+v", p)
			}
		}
		from := must(w.From(t.Context(), w.owner, w.row(good).ID))(t)
		if strings.ContainsAny(from.Template, "\x00\n") || len(from.Template) != 200 || len(from.Requester) != 300 {
			t.Errorf("%q %q", from.Template, from.Requester)
		}
	})
}

// TestManyProblems: the first are kept, all are counted, and templates beyond all
// measure are counted together.
func TestManyProblems(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/db", false)
	good := w.cert("good", nil)
	for n := range 450 {
		l := ca.Listed{DER: []byte("x"), Template: fmt.Sprint("T", n)}
		if n == 449 {
			l.DER = good
		}
		w.book.Enter(l)
	}
	w.setUp(nil)
	w.book.Alter(1, func(*ca.Listed) {})
	run := w.imported(caimport.Order{})
	if run.Skipped != 449 || len(run.Problems) != 100 || len(run.Templates) != 201 || run.Added != 1 {
		t.Errorf("%d skipped, %d problems, %d templates", run.Skipped, len(run.Problems), len(run.Templates))
	}
	all := 0
	for _, c := range run.Templates {
		all += c.Read
	}
	if all != 450 {
		t.Errorf("%d counted by template", all)
	}
}

// TestManyNames: a certificate of very many names is stored, found by the first of
// them, and taken over once.
func TestManyNames(t *testing.T) {
	each(t, func(w *world) {
		der := w.cert("many", func(c *x509.Certificate) {
			for range 400 {
				c.DNSNames = append(c.DNSNames, strings.ToLower(rand.Text())+".example.com")
			}
		})
		w.book.Enter(ca.Listed{DER: der})
		w.setUp(nil)
		if run := w.imported(caimport.Order{}); run.Added != 1 {
			w.t.Errorf("%+v", run)
		}
		if run := w.imported(caimport.Order{Full: true}); run.Known != 1 {
			w.t.Errorf("%+v", run)
		}
		w.read(func(tx *store.Tx) error {
			list, _, err := tx.FindCertificates(store.CertificateFilter{Text: w.row(der).SANs[0][4:]})
			if len(list) != 1 {
				w.t.Errorf("%d found", len(list))
			}
			return err
		})
	})
}

// TestReplaced: of certificates for the same names, owner and template the older
// ones end in silence; nothing is revoked.
func TestReplaced(t *testing.T) {
	alone(t, func(w *world) {
		t := w.t
		aged := func(days int) func(*x509.Certificate) {
			return func(c *x509.Certificate) {
				c.NotBefore = w.clock.Now().Add(-time.Duration(days) * day).Truncate(time.Second)
			}
		}
		nameless := func(days int) []byte {
			return w.cert("", func(c *x509.Certificate) { c.Subject = pkix.Name{}; aged(days)(c) })
		}
		a, b, other, c := w.cert("web", aged(300)), w.cert("web", aged(200)), w.cert("web", aged(100)), w.cert("web", aged(50))
		anna1, bert, anna2 := nameless(90), nameless(80), nameless(70)
		w.book.Enter(ca.Listed{DER: a, Template: "Web"}, ca.Listed{DER: b, Template: "Web"}, ca.Listed{DER: other, Template: "VPN"},
			ca.Listed{DER: anna1, Template: "User", Requester: `CORP\anna`}, ca.Listed{DER: bert, Template: "User", Requester: `CORP\bert`}, ca.Listed{DER: anna2, Template: "User", Requester: `CORP\anna`})
		w.setUp(nil)
		w.imported(caimport.Order{})
		w.clock.Advance(2 * time.Hour)
		w.book.Enter(ca.Listed{DER: c, Template: "Web"})
		w.imported(caimport.Order{})
		for name, x := range map[string]struct{ old, by []byte }{"a": {a, b}, "b": {b, c}, "anna": {anna1, anna2}} {
			old := w.row(x.old)
			if old.State != ra.Superseded || old.RenewedBy != w.row(x.by).ID || old.Action != ra.ActionExpire || !old.At.Equal(old.NotAfter) || !old.Deadline.IsZero() {
				t.Errorf("%s: %+v", name, old)
			}
		}
		for name, der := range map[string][]byte{"other template": other, "newest": c, "other requester": bert, "newest of anna": anna2} {
			if row := w.row(der); row.State != ra.Valid || row.RenewedBy != "" || row.Deadline.IsZero() {
				t.Errorf("%s: %+v", name, row)
			}
		}
	})
}

// TestFormerKey: certificates of a key that the CA had before are taken over, and
// their chain is known.
func TestFormerKey(t *testing.T) {
	alone(t, func(w *world) {
		former := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t)
		present := must(x509.ParseCertificate(w.cert("x", nil)))(w.t)
		tpl := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: present.Issuer, NotBefore: w.clock.Now().Add(-900 * day), NotAfter: w.clock.Now().Add(900 * day), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign}
		cert := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tpl, tpl, former.Public(), former))(w.t)))(w.t)
		w.book.Former(cert)
		der := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(6), Subject: pkix.Name{CommonName: "of the former key"}, NotBefore: w.clock.Now(), NotAfter: w.clock.Now().Add(100 * day)}, cert, w.key, former))(w.t)
		w.book.Enter(ca.Listed{DER: der}, ca.Listed{DER: w.cert("of the present key", nil)})
		w.setUp(nil)
		if run := w.imported(caimport.Order{}); run.Added != 2 {
			w.t.Errorf("%+v", run)
		}
		chain := must(w.lifecycle.Chain(w.t.Context(), w.row(der)))(w.t)
		if len(chain) != 2 || string(chain[1]) != string(cert.Raw) {
			w.t.Errorf("a chain of %d", len(chain))
		}
	})
}
