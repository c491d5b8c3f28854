package lint

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

var begin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// workbench is an issuer with a leaf template that every rule allows.
type workbench struct {
	t      testing.TB
	key    crypto.Signer
	issuer *x509.Certificate
	leaf   crypto.Signer
}

func newBench(t testing.TB) *workbench {
	t.Helper()
	w := &workbench{t: t, key: newKey(t), leaf: newKey(t)}
	der := w.create(&x509.Certificate{
		RawSubject: dn(t, "CN=Issuing,O=Example"), SerialNumber: big.NewInt(1 << 62), NotBefore: begin.Add(-24 * time.Hour), NotAfter: begin.Add(10 * year),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 0, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, w.key)
	var err error
	if w.issuer, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return w
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func dn(t testing.TB, text string) []byte {
	t.Helper()
	name, err := pkixmsg.ParseDN(text)
	if err != nil {
		t.Fatal(err)
	}
	der, err := name.DER()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (w *workbench) create(template, parent *x509.Certificate, subjectKey crypto.Signer) []byte {
	w.t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(subjectKey.Public())
	if err != nil {
		w.t.Fatal(err)
	}
	if template.SubjectKeyId == nil {
		if template.SubjectKeyId, err = pkixmsg.SubjectKeyID(spki, pkixmsg.KeyIDSHA256); err != nil {
			w.t.Fatal(err)
		}
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, subjectKey.Public(), w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}

// template is a leaf in order, with the names in one extension as ours have it.
func (w *workbench) template() *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial)
	serial[0] |= 0x40
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), RawSubject: dn(w.t, "CN=Ada Lovelace,O=Example"),
		NotBefore: begin, NotAfter: begin.Add(year - time.Second), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{w.san(false, pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "pad.example.test"})},
	}
}

func (w *workbench) san(critical bool, names ...pkixmsg.GeneralName) pkix.Extension {
	w.t.Helper()
	e, err := pkixmsg.SubjectAltName(pkixmsg.Name{{}}, names)
	if err != nil {
		w.t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: critical, Value: e.Value}
}

func (w *workbench) sid(text string) pkix.Extension {
	w.t.Helper()
	e, err := pkixmsg.SIDExtension(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 25, 2}, Value: e.Value}
}

// tbs is what would be signed.
func (w *workbench) tbs(template *x509.Certificate) []byte {
	w.t.Helper()
	// Not with crypto/x509, which would not read some of the faults.
	var outer struct{ TBS, Algorithm, Signature asn1.RawValue }
	if _, err := asn1.Unmarshal(w.create(template, w.issuer, w.leaf), &outer); err != nil {
		w.t.Fatal(err)
	}
	return outer.TBS.FullBytes
}

func (w *workbench) intent() Intent { return Intent{Issuer: w.issuer, Validity: year} }

// wantRule asks for a refusal that names a rule and says what to do.
func wantRule(t *testing.T, err error, rule string) {
	t.Helper()
	var e *ra.Error
	if !errors.As(err, &e) || e.Kind != ra.RefusedByCA || e.Remedy == "" || e.Retry != ra.Never {
		t.Fatalf("error %v; want a refusal with a remedy", err)
	}
	if !strings.Contains(e.Message, "rule "+rule) {
		for _, d := range e.Details {
			if d.Field == rule {
				return
			}
		}
		t.Errorf("message %q; want rule %s", e.Message, rule)
	}
}

func TestGoodCertificates(t *testing.T) {
	w := newBench(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	const sid = "S-1-5-21-1-2-3-500"
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		intent func(*Intent)
		key    crypto.Signer
	}{
		"plain":                {},
		"RSA for TLS and SCEP": {change: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }, key: rsaKey},
		"private names": {change: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{w.san(false, pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "intranet"},
				pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "pad.corp.local"},
				pkixmsg.GeneralName{Type: pkixmsg.URI, Value: "https://intranet/x"},
				pkixmsg.GeneralName{Type: pkixmsg.UPN, Value: "ada@corp.local"})}
		}},
		"empty subject": {change: func(c *x509.Certificate) {
			c.RawSubject, c.Subject = []byte{0x30, 0}, pkix.Name{}
			c.ExtraExtensions = []pkix.Extension{w.san(true, pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "pad.example.test"})}
		}},
		"SID": {change: func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, w.sid(sid)) }, intent: func(in *Intent) { in.SID = sid }},
		"pointers": {change: func(c *x509.Certificate) {
			c.CRLDistributionPoints, c.OCSPServer = []string{"http://pki.example.test/a.crl"}, []string{"http://pki.example.test/ocsp"}
		}},
		"ends with its issuer": {change: func(c *x509.Certificate) { c.NotAfter = w.issuer.NotAfter }, intent: func(in *Intent) { in.Validity = 11 * year }},
		"beyond 2049": {change: func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = w.issuer.NotAfter.Add(time.Second-year), w.issuer.NotAfter
		}},
	} {
		t.Run(name, func(t *testing.T) {
			template, in := w.template(), w.intent()
			if c.change != nil {
				c.change(template)
			}
			if c.intent != nil {
				c.intent(&in)
			}
			other := *w
			other.t = t
			if c.key != nil {
				other.leaf = c.key
			}
			tbs := other.tbs(template)
			before := bytes.Clone(tbs)
			var l Linter
			warnings, err := l.Check(tbs, in)
			if err != nil || len(warnings) > 0 {
				t.Errorf("refused: %v, warnings %v", err, warnings)
			}
			if !bytes.Equal(tbs, before) {
				t.Error("checking changed the bytes")
			}
		})
	}
}

// faults are certificates with one thing wrong each. Every one is refused both
// as the first of its shape and once the linter has learnt the right shape.
var faults = map[string]struct {
	rule   string
	change func(*workbench, *x509.Certificate, *Intent)
}{
	"a second too long":  {"validity_exact", func(w *workbench, c *x509.Certificate, _ *Intent) { c.NotAfter = c.NotAfter.Add(time.Second) }},
	"a second too short": {"validity_exact", func(w *workbench, c *x509.Certificate, _ *Intent) { c.NotAfter = c.NotAfter.Add(-time.Second) }},
	"backwards":          {"validity_order", func(w *workbench, c *x509.Certificate, _ *Intent) { c.NotAfter = c.NotBefore.Add(-time.Hour) }},
	"outlives its issuer": {"validity_within_issuer", func(w *workbench, c *x509.Certificate, in *Intent) {
		c.NotAfter, in.Validity = w.issuer.NotAfter.Add(time.Second), 20*year
	}},
	"before its issuer": {"validity_within_issuer", func(w *workbench, c *x509.Certificate, in *Intent) {
		c.NotBefore, c.NotAfter = w.issuer.NotBefore.Add(-time.Second), w.issuer.NotBefore.Add(year-2*time.Second)
	}},
	"short serial": {"serial_random", func(w *workbench, c *x509.Certificate, _ *Intent) { c.SerialNumber = big.NewInt(4711) }},
	"long serial": {"serial_length", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 158+10)
	}},
	"no key usage":          {"key_usage", func(w *workbench, c *x509.Certificate, _ *Intent) { c.KeyUsage = 0 }},
	"curve encrypts":        {"key_usage_of_key_type", func(w *workbench, c *x509.Certificate, _ *Intent) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }},
	"leaf signs":            {"key_usage_of_key_type", func(w *workbench, c *x509.Certificate, _ *Intent) { c.KeyUsage |= x509.KeyUsageCRLSign }},
	"leaf is a CA":          {"leaf_is_no_ca", func(w *workbench, c *x509.Certificate, _ *Intent) { c.IsCA = true }},
	"says nothing about CA": {"basic_constraints", func(w *workbench, c *x509.Certificate, _ *Intent) { c.BasicConstraintsValid = false }},
	"purpose without usage": {"purpose_without_usage", func(w *workbench, c *x509.Certificate, _ *Intent) { c.KeyUsage = x509.KeyUsageContentCommitment }},
	"decipher alone":        {"key_usage_agreement", func(w *workbench, c *x509.Certificate, _ *Intent) { c.KeyUsage |= x509.KeyUsageDecipherOnly }},
	"purpose twice": {"purpose_twice", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtKeyUsage = append(c.ExtKeyUsage, c.ExtKeyUsage[0])
	}},
	"foreign key identifier":            {"subject_key_identifier", func(w *workbench, c *x509.Certificate, _ *Intent) { c.SubjectKeyId = bytes.Repeat([]byte{7}, 20) }},
	"names critical":                    {"san_critical", func(w *workbench, c *x509.Certificate, _ *Intent) { c.ExtraExtensions[0].Critical = true }},
	"empty subject, names not critical": {"san_critical", func(w *workbench, c *x509.Certificate, _ *Intent) { c.RawSubject = []byte{0x30, 0} }},
	"names nobody": {"names_somebody", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.RawSubject, c.ExtraExtensions = []byte{0x30, 0}, nil
	}},
	"bad DNS name": {"san_value", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtraExtensions = rawSAN(0x82, "-pad.example.test")
	}},
	"DNS name with a space": {"san_value", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtraExtensions = rawSAN(0x82, "pad example.test")
	}},
	"DNS name with a zero byte": {"san_value", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtraExtensions = rawSAN(0x82, "pad.example.test\x00.evil")
	}},
	"empty DNS name": {"san_value", func(w *workbench, c *x509.Certificate, _ *Intent) { c.ExtraExtensions = rawSAN(0x82, "") }},
	"relative URI":   {"san_value", func(w *workbench, c *x509.Certificate, _ *Intent) { c.ExtraExtensions = rawSAN(0x86, "/path") }},
	"bad mail":       {"san_value", func(w *workbench, c *x509.Certificate, _ *Intent) { c.ExtraExtensions = rawSAN(0x81, "ada at example") }},
	"mail not ASCII": {"san_form", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtraExtensions = rawSAN(0x81, "ädä@example.test")
	}},
	"bad IP address": {"san_form", func(w *workbench, c *x509.Certificate, _ *Intent) { c.ExtraExtensions = rawSAN(0x87, "12345") }},
	"long name": {"subject_value", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: strings.Repeat("a", 65)}
	}},
	"control character": {"subject_value", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "Ada\nLovelace"}
	}},
	"country of three": {"subject_value", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "Ada", Country: []string{"SWE"}}
	}},
	"printable string": {"subject_encoding", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.RawSubject, c.Subject = nil, pkix.Name{CommonName: "Ada"} // the standard library writes PrintableString
	}},
	"SID missing": {"sid_present", func(w *workbench, c *x509.Certificate, in *Intent) { in.SID = "S-1-5-21-1-2-3-500" }},
	"SID of another": {"sid_exact", func(w *workbench, c *x509.Certificate, in *Intent) {
		in.SID = "S-1-5-21-1-2-3-500"
		c.ExtraExtensions = append(c.ExtraExtensions, w.sid("S-1-5-21-1-2-3-501"))
	}},
	"SID nobody decided": {"sid_exact", func(w *workbench, c *x509.Certificate, in *Intent) {
		c.ExtraExtensions = append(c.ExtraExtensions, w.sid("S-1-5-21-1-2-3-500"))
	}},
	"unknown extension": {"extension_unknown", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}})
	}},
	"critical flag": {"extension_critical", func(w *workbench, c *x509.Certificate, _ *Intent) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: []byte{0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2}})
	}},
}

func rawSAN(tag byte, text string) []pkix.Extension {
	value := append([]byte{0x30, byte(2 + len(text)), tag, byte(len(text))}, text...)
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
}

func TestFaults(t *testing.T) {
	w := newBench(t)
	var experienced Linter
	if _, err := experienced.Check(w.tbs(w.template()), w.intent()); err != nil {
		t.Fatalf("the right certificate: %v", err)
	}
	for name, c := range faults {
		t.Run(name, func(t *testing.T) {
			template, in := w.template(), w.intent()
			c.change(w, template, &in)
			tbs := w.tbs(template)
			_, err := (&Linter{}).Check(tbs, in)
			wantRule(t, err, c.rule)
			_, err = experienced.Check(tbs, in)
			wantRule(t, err, c.rule)
		})
	}
}

// TestIssuerMismatch: names and key identifiers must chain.
func TestIssuerMismatch(t *testing.T) {
	w, other := newBench(t), newBench(t)
	tbs := w.tbs(w.template())
	in := w.intent()
	in.Issuer = other.issuer
	_, err := (&Linter{}).Check(tbs, in)
	wantRule(t, err, "authority_key_identifier")
	renamed := *w.issuer
	renamed.RawSubject = dn(t, "CN=Other")
	in.Issuer = &renamed
	_, err = (&Linter{}).Check(tbs, in)
	wantRule(t, err, "issuer_name")
}

// TestForm: what is no version 3 TBSCertificate.
func TestForm(t *testing.T) {
	w := newBench(t)
	good := w.tbs(w.template())
	in := w.intent()
	for name, raw := range map[string][]byte{
		"empty": nil, "trailing byte": append(bytes.Clone(good), 0), "cut": good[:len(good)-1], "other": {0x30, 0},
		"version 1": bytes.Replace(good, []byte{0xa0, 3, 2, 1, 2}, []byte{0xa0, 3, 2, 1, 0}, 1),
		"too large": append([]byte{0x30, 0x83, 4, 0, 0}, make([]byte, 4<<16)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Linter{}).Check(raw, in)
			wantRule(t, err, "tbs_form")
		})
	}
}

// TestCA: the certificates of authorities have rules of their own.
func TestCA(t *testing.T) {
	w := newBench(t)
	in := Intent{CA: true, Issuer: w.issuer, Validity: year}
	template := w.template()
	template.IsCA, template.ExtKeyUsage, template.ExtraExtensions, template.KeyUsage = true, nil, nil, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	_, err := (&Linter{}).Check(w.tbs(template), in)
	wantRule(t, err, "path_length")
	template.IsCA = false
	template.KeyUsage = x509.KeyUsageDigitalSignature
	_, err = (&Linter{}).Check(w.tbs(template), in)
	wantRule(t, err, "ca_is_ca")
	wantRule(t, err, "ca_signs")
}

// TestClosePrimes: Fermat's weak keys are found, good ones are not suspected.
func TestClosePrimes(t *testing.T) {
	p, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	q := new(big.Int).Add(p, big.NewInt(2))
	for !q.ProbablyPrime(20) {
		q.Add(q, big.NewInt(2))
	}
	if !closePrimes(new(big.Int).Mul(p, q)) || !closePrimes(new(big.Int).Mul(p, p)) {
		t.Error("close primes are not found")
	}
	for range 3 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		if closePrimes(key.N) {
			t.Error("a good key is suspected")
		}
	}
	// Found in a certificate as well.
	w := newBench(t)
	cert := w.template()
	var key rsa.PublicKey
	key.N, key.E = new(big.Int).Mul(p, q), 65537
	spki, err := x509.MarshalPKIXPublicKey(&key)
	if err != nil {
		t.Fatal(err)
	}
	if cert.SubjectKeyId, err = pkixmsg.SubjectKeyID(spki, pkixmsg.KeyIDSHA256); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, w.issuer, &key, w.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&Linter{}).Check(parsed.RawTBSCertificate, w.intent())
	wantRule(t, err, "public_key_strength")
}

// TestShapes: values make no difference, structure does, and memory is bounded.
func TestShapes(t *testing.T) {
	w := newBench(t)
	shapeOf := func(change func(*x509.Certificate)) shape {
		t.Helper()
		template := w.template()
		if change != nil {
			change(template)
		}
		c, bad := parse(w.tbs(template))
		if bad != nil {
			t.Fatal(bad.Message)
		}
		return c.shape(w.intent())
	}
	plain := shapeOf(nil)
	names := func(list ...pkixmsg.GeneralName) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{w.san(false, list...)} }
	}
	for name, change := range map[string]func(*x509.Certificate){
		"serial":  func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1 << 61) },
		"dates":   func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(-time.Hour) },
		"subject": func(c *x509.Certificate) { c.RawSubject = dn(t, "CN=Grace Hopper,O=Navy") },
		"names":   names(pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "a.example.test"}, pkixmsg.GeneralName{Type: pkixmsg.DNS, Value: "b.example.test"}),
	} {
		if shapeOf(change) != plain {
			t.Errorf("another %s makes another shape", name)
		}
	}
	for name, change := range map[string]func(*x509.Certificate){
		"subject":    func(c *x509.Certificate) { c.RawSubject = dn(t, "CN=Ada,OU=Example") },
		"RDN":        func(c *x509.Certificate) { c.RawSubject = dn(t, "CN=Ada+O=Example") },
		"key usage":  func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment },
		"purpose":    func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"kind":       names(pkixmsg.GeneralName{Type: pkixmsg.Email, Value: "ada@example.test"}),
		"other name": names(pkixmsg.GeneralName{Type: pkixmsg.UPN, Value: "ada@example.test"}),
		"extension":  func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, w.sid("S-1-5-21-1-2-3-500")) },
		"date type":  func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(30, 0, 0) },
	} {
		if shapeOf(change) == plain {
			t.Errorf("another %s makes no other shape", name)
		}
	}
	w.leaf = mustRSA(t)
	if shapeOf(nil) == plain {
		t.Error("another type of key makes no other shape")
	}

	var l Linter
	for i := range maxShapes + 10 {
		l.learn(shape{byte(i), byte(i >> 8)})
	}
	if n := len(l.known); n == 0 || n > maxShapes {
		t.Errorf("%d shapes are remembered; at most %d may be", n, maxShapes)
	}
}

func mustRSA(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestThrowAway: each algorithm has a key, and what it signs is no signature of
// the issuer.
func TestThrowAway(t *testing.T) {
	w := newBench(t)
	c, bad := parse(w.tbs(w.template()))
	if bad != nil {
		t.Fatal(bad.Message)
	}
	for _, a := range algorithms {
		oid, err := x509.ParseOID(a.oid)
		if err != nil {
			t.Fatal(err)
		}
		body, err := oid.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		c.algorithm = append([]byte{0x30, byte(2 + len(body)), 6, byte(len(body))}, body...)
		der, err := throwAway(c)
		if err != nil {
			t.Fatalf("%s: %v", a.oid, err)
		}
		var outer struct {
			TBS       asn1.RawValue
			Algorithm asn1.RawValue
			Signature asn1.BitString
		}
		if _, err := asn1.Unmarshal(der, &outer); err != nil || !bytes.Equal(outer.TBS.FullBytes, c.raw) {
			t.Errorf("%s: not a certificate of the TBS: %v", a.oid, err)
		}
		if w.issuer.CheckSignature(x509.ECDSAWithSHA256, c.raw, outer.Signature.Bytes) == nil {
			t.Errorf("%s: the throw-away signature is the issuer's", a.oid)
		}
	}
	c.algorithm = []byte{0x30, 3, 6, 1, 0x2a}
	if _, err := throwAway(c); ra.KindOf(err) != ra.Internal {
		t.Errorf("an unknown algorithm: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	w := newBench(f)
	good := w.tbs(w.template())
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte{0x30, 0x80})
	for _, c := range faults {
		template, in := w.template(), w.intent()
		c.change(w, template, &in)
		f.Add(w.tbs(template))
	}
	in := w.intent()
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		_, err := (&Linter{}).Check(raw, in)
		if !bytes.Equal(before, raw) {
			t.Error("checking changed the bytes")
		}
		if err != nil && ra.AsError(err).Remedy == "" {
			t.Errorf("no remedy: %v", err)
		}
	})
}

// BenchmarkCheck shows what lint costs: for the first certificate of a shape,
// and for every other.
func BenchmarkCheck(b *testing.B) {
	for _, key := range []string{"p-256", "rsa-2048"} {
		w := newBench(b)
		if key == "rsa-2048" {
			w.leaf = mustRSA(b)
		}
		tbs, in := w.tbs(w.template()), w.intent()
		var known Linter
		for name, l := range map[string]func() *Linter{
			"new shape":   func() *Linter { return &Linter{} },
			"known shape": func() *Linter { return &known },
		} {
			b.Run(fmt.Sprintf("%s/%s", key, name), func(b *testing.B) {
				for b.Loop() {
					if _, err := l().Check(tbs, in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
