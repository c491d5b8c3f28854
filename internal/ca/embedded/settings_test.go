package embedded_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// company is a superior CA made with openssl.
type company struct {
	t              testing.TB
	dir, cert, key string
}

// newCompany makes a root with basic constraints of its own.
func newCompany(t testing.TB, constraints string) company {
	t.Helper()
	dir := t.TempDir()
	c := company{t, dir, filepath.Join(dir, "root.pem"), filepath.Join(dir, "root.key")}
	openssl(t, dir, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", c.key, "-out", c.cert, "-days", "3650",
		"-subj", "/O=Company/CN=Company Root", "-addext", "basicConstraints=critical,"+constraints, "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	return c
}

// sign answers a DER request with the given extensions.
func (c company) sign(csr []byte, extensions ...string) []*x509.Certificate {
	c.t.Helper()
	request, ext := filepath.Join(c.dir, "sub.csr"), filepath.Join(c.dir, "ext.cnf")
	if err := os.WriteFile(request, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(ext, []byte(strings.Join(extensions, "\n")+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return readPEM(c.t, openssl(c.t, c.dir, "x509", "-req", "-in", request, "-CA", c.cert, "-CAkey", c.key, "-days", "1000", "-extfile", ext))
}

func (c company) root() []*x509.Certificate {
	c.t.Helper()
	raw, err := os.ReadFile(c.cert)
	if err != nil {
		c.t.Fatal(err)
	}
	return readPEM(c.t, string(raw))
}

var subordinateExtensions = []string{
	"basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid",
}

// newSubordinate is an authority that waits for its certificate, with the clock
// of openssl.
func newSubordinate(t testing.TB, json string) *world {
	t.Helper()
	w := newWorld(t, json)
	*w.clock = time.Now().Add(time.Minute) // openssl dates what it signs now
	return w
}

func TestSubordinate(t *testing.T) {
	for _, keyType := range []string{"p-256", "p-384", "rsa-2048"} {
		t.Run(keyType, func(t *testing.T) {
			w := newSubordinate(t, `{"setup": "subordinate", "key_type": "`+keyType+`", "issuing_subject": "CN=Issuing,O=Company"}`)
			_, err := w.connect().Issue(t.Context(), checked(t, w.order("req_1", pkixmsg.P256)))
			if e := wantKind(t, err, ra.RefusedByCA); e.Retry == ra.Never {
				t.Error("a request is refused for good while the authority waits")
			}
			_, err = w.connect().Chain(t.Context())
			wantKind(t, err, ra.NotFound)
			if s := w.check(); s["Issuing certificate"].State != ca.StepFailed || s["Issuing key"].State != ca.StepSkipped {
				t.Errorf("the check while it waits: %+v", s)
			}

			csr, err := w.settings.CSR()
			if err != nil {
				t.Fatalf("CSR: %v", err)
			}
			again, err := w.settings.CSR()
			if err != nil || !bytes.Equal(publicKey(t, csr), publicKey(t, again)) {
				t.Errorf("a second request is for another key: %v", err)
			}
			superior := newCompany(t, "CA:TRUE,pathlen:1")
			answer := superior.sign(csr, subordinateExtensions...)
			if err := w.settings.Install(append(superior.root(), answer...), time.Now()); err != nil { // in any order
				t.Fatalf("Install: %v", err)
			}
			if w.settings.PendingKey.IsSet() {
				t.Error("the pending key is still pending")
			}
			reply := w.issue(w.order("req_1", pkixmsg.P256))
			if len(reply.Chain) != 3 || reply.Chain[2].Subject.CommonName != "Company Root" {
				t.Fatalf("the chain has %d certificates", len(reply.Chain))
			}
			dir := t.TempDir()
			out := openssl(t, dir, "verify", "-x509_strict", "-CAfile", superior.cert, "-untrusted", writePEM(t, dir, "sub.pem", reply.Chain[1]), writePEM(t, dir, "leaf.pem", reply.Chain[0]))
			if !strings.Contains(out, ": OK") {
				t.Error(out)
			}
			for name, s := range w.check() {
				if s.State != ca.StepOK {
					t.Errorf("step %s: %+v", name, s)
				}
			}

			// Renewed with a new key, the earlier issuer still signs its lists.
			csr, err = w.settings.CSR()
			if err != nil {
				t.Fatal(err)
			}
			if err := w.settings.Install(append(superior.sign(csr, subordinateExtensions...), superior.root()...), time.Now()); err != nil {
				t.Fatalf("Install of the renewal: %v", err)
			}
			c := w.connect()
			if n := len(c.Issuers()); n != 2 || !c.Issuers()[1].Equal(reply.Chain[1]) {
				t.Fatalf("%d issuers; want the new and the earlier one", n)
			}
			w.verifyList(c, reply.Chain[1])
			if again := w.issue(w.order("req_2", pkixmsg.P256)); again.Chain[0].CheckSignatureFrom(c.Issuers()[0]) != nil {
				t.Error("the renewed certificate does not sign")
			}
		})
	}
}

// verifyList signs and checks the list of an issuer.
func (w *world) verifyList(c *embedded.Connector, issuer *x509.Certificate) {
	w.t.Helper()
	now := w.env.Now()
	der, err := c.SignCRLFor(w.t.Context(), spkiHash(issuer), ca.CRLOrder{Number: 1, ThisUpdate: now, NextUpdate: now.Add(time.Hour)})
	if err != nil {
		w.t.Fatalf("SignCRLFor: %v", err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil || list.CheckSignatureFrom(issuer) != nil {
		w.t.Errorf("the list of an earlier issuer does not verify: %v", err)
	}
}

func publicKey(t *testing.T, csr []byte) []byte {
	t.Helper()
	r, err := pkixmsg.ParseCSR(csr)
	if err != nil || r.CheckSignature() != nil {
		t.Fatalf("the request is not right: %v", err)
	}
	if r.BasicConstraints == nil || !r.BasicConstraints.CA || r.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Error("the request does not ask for a CA certificate")
	}
	return r.RawSPKI
}

// TestInstallRefuses: each wrong answer has its own words and changes nothing.
func TestInstallRefuses(t *testing.T) {
	superior, shallow, stranger := newCompany(t, "CA:TRUE,pathlen:1"), newCompany(t, "CA:TRUE,pathlen:0"), newCompany(t, "CA:TRUE")
	w := newSubordinate(t, `{"setup": "subordinate"}`)
	csr, err := w.settings.CSR()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSubordinate(t, `{"setup": "subordinate"}`).settings.CSR()
	if err != nil {
		t.Fatal(err)
	}
	good := superior.sign(csr, subordinateExtensions...)
	for name, c := range map[string]struct {
		answer []*x509.Certificate
		want   string
	}{
		"nothing":       {nil, "another key"},
		"other key":     {append(superior.sign(other, subordinateExtensions...), superior.root()...), "another key"},
		"no chain":      {good, "chain stops"},
		"wrong chain":   {append(good[:1:1], stranger.root()...), "chain stops"},
		"a leaf":        {append(superior.sign(csr, "basicConstraints=critical,CA:FALSE"), superior.root()...), "not a CA certificate"},
		"may not sign":  {append(superior.sign(csr, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature"), superior.root()...), "may not sign certificates"},
		"may not list":  {append(superior.sign(csr, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"), superior.root()...), "may not sign revocation lists"},
		"too far below": {append(shallow.sign(csr, subordinateExtensions...), shallow.root()...), "so far below"},
	} {
		t.Run(name, func(t *testing.T) {
			e := wantKind(t, w.settings.Install(c.answer, time.Now()), ra.Invalid)
			if !strings.Contains(e.Message, c.want) || e.Field != "certificates" {
				t.Errorf("field %q, message %q; want %q", e.Field, e.Message, c.want)
			}
			if w.settings.Certificates != "" || !w.settings.PendingKey.IsSet() {
				t.Error("a wrong answer changed the settings")
			}
		})
	}
	if err := w.settings.Install(append(good, superior.root()...), time.Now()); err != nil {
		t.Errorf("the right answer afterwards: %v", err)
	}
}

// TestOwn: a CA made with openssl is brought along.
func TestOwn(t *testing.T) {
	superior := newCompany(t, "CA:TRUE,pathlen:1")
	rootKey, err := os.ReadFile(superior.key)
	if err != nil {
		t.Fatal(err)
	}
	rootCert, err := os.ReadFile(superior.cert)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ genpkey []string }{
		"RSA": {[]string{"genrsa", "-traditional", "2048"}},
		"EC":  {[]string{"ecparam", "-genkey", "-name", "prime256v1"}}, // with EC PARAMETERS before the key
	} {
		t.Run(name, func(t *testing.T) {
			key := openssl(t, superior.dir, c.genpkey...)
			file := filepath.Join(t.TempDir(), "sub.key")
			if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
				t.Fatal(err)
			}
			block, _ := pem.Decode([]byte(openssl(t, superior.dir, "req", "-new", "-key", file, "-subj", "/CN=Own Issuing")))
			// Without a subject key identifier, as some old CAs issue.
			sub := superior.sign(block.Bytes, "basicConstraints=critical,CA:TRUE", "subjectKeyIdentifier=none", "authorityKeyIdentifier=none")
			chain := string(rootCert) + pemText(sub...)

			w := emptyWorld(t)
			*w.clock = time.Now().Add(time.Minute)
			if err := w.configure(jsonOf(map[string]any{"setup": "own", "certificates": chain, "key": key})); err != nil {
				t.Fatalf("settings: %v", err)
			}
			reply := w.issue(w.order("req_1", pkixmsg.P256))
			dir := t.TempDir()
			openssl(t, dir, "verify", "-CAfile", superior.cert, "-untrusted", writePEM(t, dir, "sub.pem", sub...), writePEM(t, dir, "leaf.pem", reply.Chain[0]))
			w.verifyList(w.connect(), sub[0])

			// The same with the key left in its file.
			w = emptyWorld(t)
			*w.clock = time.Now().Add(time.Minute)
			if err := w.configure(jsonOf(map[string]any{"setup": "own", "certificates": chain, "key_source": "uri", "key_uri": "file://" + file})); err != nil {
				t.Fatalf("settings: %v", err)
			}
			w.issue(w.order("req_1", pkixmsg.P256))
			if w.settings.Key.IsSet() {
				t.Error("the key of the file was taken into the settings")
			}
			w.settings.KeyURI = "file://" + file + ".gone"
			_, err := w.settings.Connect(t.Context(), w.env)
			if e := wantKind(t, err, ra.Invalid); e.Field != "key_uri" {
				t.Errorf("field %q", e.Field)
			}
		})
	}

	// The root itself may issue; its key is the company's.
	w := emptyWorld(t)
	*w.clock = time.Now().Add(time.Minute)
	if err := w.configure(jsonOf(map[string]any{"setup": "own", "certificates": string(rootCert), "key": string(rootKey)})); err != nil {
		t.Fatalf("settings: %v", err)
	}
	w.issue(w.order("req_1", pkixmsg.P256))
}

func TestOwnRefuses(t *testing.T) {
	superior := newCompany(t, "CA:TRUE")
	rootCert, err := os.ReadFile(superior.cert)
	if err != nil {
		t.Fatal(err)
	}
	other := openssl(t, superior.dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	locked := openssl(t, superior.dir, "pkey", "-in", superior.key, "-aes256", "-passout", "pass:secret")
	ed := openssl(t, superior.dir, "genpkey", "-algorithm", "ED25519")
	weak := openssl(t, superior.dir, "genrsa", "1024")
	for name, c := range map[string]struct {
		settings map[string]any
		field    string
	}{
		"no certificate":  {map[string]any{"key": other}, "certificates"},
		"no key":          {map[string]any{"certificates": string(rootCert)}, "key"},
		"key of another":  {map[string]any{"certificates": string(rootCert), "key": other}, "key"},
		"locked key":      {map[string]any{"certificates": string(rootCert), "key": locked}, "key"},
		"no key at all":   {map[string]any{"certificates": string(rootCert), "key": "hello"}, "key"},
		"Ed25519":         {map[string]any{"certificates": string(rootCert), "key": ed}, "key"},
		"weak":            {map[string]any{"certificates": string(rootCert), "key": weak}, "key"},
		"unknown store":   {map[string]any{"certificates": string(rootCert), "key_source": "uri", "key_uri": "pkcs11:token=a"}, "key_uri"},
		"file with host":  {map[string]any{"certificates": string(rootCert), "key_source": "uri", "key_uri": "file://host/a"}, "key_uri"},
		"missing address": {map[string]any{"certificates": string(rootCert), "key_source": "uri"}, "key_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			c.settings["setup"] = "own"
			w := emptyWorld(t)
			err := w.configure(jsonOf(c.settings))
			if err == nil {
				_, err = w.settings.Connect(t.Context(), w.env)
			}
			e := wantKind(t, err, ra.Invalid)
			if e.Field != c.field {
				t.Errorf("field %q; want %q (%v)", e.Field, c.field, err)
			}
			if key, _ := c.settings["key"].(string); len(key) > 100 && strings.Contains(fmt.Sprintf("%+v %s", e, err), key[40:80]) {
				t.Error("the error shows the key")
			}
		})
	}
}

func jsonOf(v map[string]any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func pemText(list ...*x509.Certificate) string {
	var out []byte
	for _, c := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return string(out)
}

// TestStored: what Provision makes survives the way through the store, where
// the settings are JSON and the secrets lie sealed under their names.
func TestStored(t *testing.T) {
	w := newWorld(t, `{"root_subject": "CN=My Root,C=SE"}`)
	if err := w.settings.Renew(t.Context(), w.env); err != nil {
		t.Fatalf("Renew: %v", err)
	}
	before := w.issue(w.order("req_1", pkixmsg.P256))
	raw, err := setting.ToJSON(w.settings)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("PRIVATE KEY")) {
		t.Error("the settings' JSON holds a key")
	}
	loaded := embedded.Kind().New().(*embedded.Settings)
	if err := setting.Load(loaded, raw); err != nil {
		t.Fatalf("Load: %v", err)
	}
	from := setting.Secrets(w.settings)
	for i, s := range setting.Secrets(loaded) {
		*s.Value = *from[i].Value
	}
	if err := setting.Check(loaded); err != nil {
		t.Errorf("the stored settings are not right: %v", err)
	}
	w.settings = loaded
	c := w.connect()
	if len(c.Issuers()) != 3 || !c.Issuers()[0].Equal(before.Chain[1]) {
		t.Error("the issuers are not those that were stored")
	}
	if reply, found, err := c.Find(t.Context(), ca.Request{Order: ca.Order{ID: "req_1"}}); err == nil && found {
		t.Errorf("a request without a key found a certificate: %v", reply.Handle)
	}
	if changes := setting.Diff(w.settings, loaded); len(changes) != 0 {
		t.Errorf("differences: %v", changes)
	}
}

func TestRenew(t *testing.T) {
	w := newWorld(t, `{"issuing_years": 2}`)
	first := w.connect().Issuers()[0]
	*w.clock = start.AddDate(1, 11, 0)
	if err := w.settings.Renew(t.Context(), w.env); err != nil {
		t.Fatalf("Renew: %v", err)
	}
	c := w.connect()
	now := c.Issuers()[0]
	if len(c.Issuers()) != 3 || !c.Issuers()[1].Equal(first) || now.Equal(first) || !now.NotAfter.After(first.NotAfter) {
		t.Fatalf("the issuers after a renewal: %d, the new one until %v", len(c.Issuers()), now.NotAfter)
	}
	chain, err := c.Chain(t.Context())
	if err != nil || len(chain) != 2 || now.CheckSignatureFrom(chain[1]) != nil || first.CheckSignatureFrom(chain[1]) != nil {
		t.Errorf("both issuers stand below one root: %v", err)
	}
	w.verifyList(c, first)
	w.verifyList(c, now)
	leaf := w.issue(w.order("req_1", pkixmsg.P256)).Chain[0]
	if err := c.Revoke(t.Context(), ca.Revocation{Certificate: leaf}); err != nil {
		t.Errorf("Revoke: %v", err)
	}

	sub := newWorld(t, `{"setup": "subordinate"}`)
	wantKind(t, sub.settings.Renew(t.Context(), sub.env), ra.Conflict)
}

// TestRootEnds: an issuing CA ends with its root.
func TestRootEnds(t *testing.T) {
	w := newWorld(t, `{"root_years": 5, "issuing_years": 10}`)
	chain := readPEM(t, w.settings.Certificates)
	if !chain[0].NotAfter.Equal(chain[1].NotAfter) {
		t.Errorf("the issuing CA ends %v, its root %v", chain[0].NotAfter, chain[1].NotAfter)
	}
	lintAgain(t, chain...)
}

func TestSettingsRefuse(t *testing.T) {
	for name, c := range map[string]struct{ json, field string }{
		"name":    {`{"root_subject": "not a name"}`, "root_subject"},
		"country": {`{"issuing_subject": "CN=a,C=Sweden"}`, "issuing_subject"},
		"lists":   {`{"crl_shards": 3}`, "crl_shards"},
		"overlap": {`{"crl_validity": "1d", "crl_overlap": "1d"}`, "crl_overlap"},
		"years":   {`{"root_years": 0}`, "root_years"},
		"key":     {`{"key_type": "rsa-1024"}`, "key_type"},
		"url":     {`{"public_url": "pki.example.test"}`, "public_url"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := wantKind(t, emptyWorld(t).configure(c.json), ra.Invalid); e.Field != c.field {
				t.Errorf("field %q; want %q", e.Field, c.field)
			}
		})
	}
	w := emptyWorld(t)
	s := embedded.Kind().New()
	setting.Defaults(s)
	_, err := s.Connect(t.Context(), w.env)
	wantKind(t, err, ra.Invalid)
}

// TestKeyInFile: the issuing key stays in its file, whoever signs it.
func TestKeyInFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "issuing.key")
	openssl(t, dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", file)
	address := `"key_source": "uri", "key_uri": "file://` + file + `"`

	w := newWorld(t, `{`+address+`}`)
	first := w.issue(w.order("req_1", pkixmsg.P256))
	if first.Chain[0].SignatureAlgorithm != x509.ECDSAWithSHA384 {
		t.Errorf("signed with %v", first.Chain[0].SignatureAlgorithm)
	}
	*w.clock = start.AddDate(1, 0, 0)
	if err := w.settings.Renew(t.Context(), w.env); err != nil {
		t.Fatalf("Renew: %v", err)
	}
	c := w.connect()
	if len(c.Issuers()) != 2 || c.Issuers()[0].Equal(first.Chain[1]) || w.settings.Key.IsSet() || w.settings.RetiredKeys.IsSet() {
		t.Error("a renewal with the same key keeps one issuer beside the root and takes no key into the settings")
	}
	if err := c.Revoke(t.Context(), ca.Revocation{Certificate: first.Chain[0]}); err != nil {
		t.Errorf("a certificate from before the renewal cannot be revoked: %v", err)
	}
	w.verifyList(c, first.Chain[1]) // the same key, so the same list

	sub := newSubordinate(t, `{"setup": "subordinate", `+address+`}`)
	csr, err := sub.settings.CSR()
	if err != nil {
		t.Fatalf("CSR: %v", err)
	}
	superior := newCompany(t, "CA:TRUE")
	if err := sub.settings.Install(append(superior.sign(csr, subordinateExtensions...), superior.root()...), time.Now()); err != nil {
		t.Fatalf("Install: %v", err)
	}
	sub.issue(sub.order("req_1", pkixmsg.P256))
	if sub.settings.Key.IsSet() || sub.settings.PendingKey.IsSet() {
		t.Error("the key of the file was taken into the settings")
	}
}
