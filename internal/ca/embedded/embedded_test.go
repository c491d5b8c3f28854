package embedded_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	zlints "github.com/zmap/zlint/v3/lint"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/embedded"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

const sid = "S-1-5-21-3623811015-3361044348-30300820-1013"

// TestExtensions lets openssl read a certificate with everything in it.
func TestExtensions(t *testing.T) {
	for _, keyType := range []pkixmsg.KeyType{pkixmsg.RSA2048, pkixmsg.P256} {
		t.Run(string(keyType), func(t *testing.T) {
			w := newWorld(t, `{}`)
			o := w.order("req_1", keyType)
			o.SID = sid
			o.EKUs = []string{clientAuth, "1.3.6.1.4.1.311.20.2.2"}
			o.SANs = []pkixmsg.GeneralName{
				{Type: pkixmsg.Email, Value: "ada@example.test"}, {Type: pkixmsg.UPN, Value: "ada@corp.example.test"},
				{Type: pkixmsg.DNS, Value: "pad.example.test"}, {Type: pkixmsg.IP, Value: "192.0.2.7"},
				{Type: pkixmsg.URI, Value: "urn:uuid:00000000-0000-0000-0000-000000000001"},
				{Type: pkixmsg.DirName, Value: "CN=Ada,O=Example"}, {Type: pkixmsg.GUID, Value: "01234567-89ab-cdef-0123-456789abcdef"},
			}
			reply := w.issue(o)
			dir := t.TempDir()
			text := openssl(t, dir, "x509", "-in", writePEM(t, dir, "leaf.pem", reply.Chain[0]), "-noout", "-text", "-nameopt", "RFC2253")
			root := spkiHash(reply.Chain[1])[:16]
			for _, want := range []string{
				"Subject: CN=Ada Lovelace,O=Example", "Issuer: CN=Example Issuing CA",
				"X509v3 Basic Constraints: critical\n                CA:FALSE",
				"X509v3 Key Usage: critical\n                Digital Signature\n",
				"TLS Web Client Authentication, Microsoft Smartcard Login",
				"email:ada@example.test", "othername: UPN::ada@corp.example.test", "DNS:pad.example.test", "IP Address:192.0.2.7",
				"URI:urn:uuid:00000000-0000-0000-0000-000000000001", "DirName:",
				"URI:http://pki.example.test/pki/" + root + ".crl", "CA Issuers - URI:http://pki.example.test/pki/" + root + ".cer",
				"OCSP - URI:http://pki.example.test/ocsp", "1.3.6.1.4.1.311.25.2", sid,
			} {
				if !strings.Contains(text, want) {
					t.Errorf("openssl does not show %q in:\n%s", want, text)
				}
			}
			lintAgain(t, reply.Chain...)
		})
	}
}

func spkiHash(c *x509.Certificate) string {
	return fmt.Sprintf("%x", sha256.Sum256(c.RawSubjectPublicKeyInfo))
}

// lintAgain runs zlint over what was really signed.
func lintAgain(t *testing.T, certs ...*x509.Certificate) {
	t.Helper()
	rules, err := zlints.GlobalRegistry().Filter(zlints.FilterOptions{
		IncludeSources: zlints.SourceList{zlints.RFC3279, zlints.RFC5280, zlints.RFC5480, zlints.RFC5891, zlints.RFC6960, zlints.RFC8813, zlints.Community}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range certs {
		cert, err := zx509.ParseCertificate(c.Raw)
		if err != nil {
			t.Fatalf("zlint cannot read %s: %v", c.Subject, err)
		}
		for name, result := range zlint.LintCertificateEx(cert, rules).Results {
			if result.Status >= zlints.Warn {
				t.Errorf("%s: %s is %v %s", c.Subject, name, result.Status, result.Details)
			}
		}
	}
}

// TestEmptySubject: the alternative name becomes critical.
func TestEmptySubject(t *testing.T) {
	w := newWorld(t, `{}`)
	o := w.order("req_1", pkixmsg.P256)
	o.Subject, o.SANs = nil, []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: "pad.example.test"}}
	leaf := w.issue(o).Chain[0]
	for _, e := range leaf.Extensions {
		if e.Id.String() == pkixmsg.OIDSubjectAltName && e.Critical {
			return
		}
	}
	t.Error("there is no critical alternative name")
}

// TestPurposes: the server's own certificates.
func TestPurposes(t *testing.T) {
	w := newWorld(t, `{}`)
	ocsp := w.order("req_ocsp", pkixmsg.P256)
	ocsp.Purpose = ra.PurposeOCSP
	leaf := w.issue(ocsp).Chain[0]
	if len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning || len(leaf.CRLDistributionPoints) > 0 || len(leaf.OCSPServer) > 0 {
		t.Errorf("an OCSP signer has purposes %v, CRL %v, OCSP %v", leaf.ExtKeyUsage, leaf.CRLDistributionPoints, leaf.OCSPServer)
	}
	dir := t.TempDir()
	if text := openssl(t, dir, "x509", "-in", writePEM(t, dir, "ocsp.pem", leaf), "-noout", "-text"); !strings.Contains(text, "OCSP No Check") {
		t.Errorf("openssl does not show OCSP No Check in:\n%s", text)
	}

	ra1 := w.order("req_ra", pkixmsg.RSA2048)
	ra1.Purpose, ra1.EKUs = ra.PurposeSCEPRA, nil
	leaf = w.issue(ra1).Chain[0]
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment; leaf.KeyUsage != want || leaf.IsCA {
		t.Errorf("a SCEP RA has key usage %b; want %b", leaf.KeyUsage, want)
	}
	lintAgain(t, leaf)
}

// TestValidity: exactly as long as asked, both ends counted.
func TestValidity(t *testing.T) {
	for name, c := range map[string]struct {
		settings string
		asked    time.Duration
		want     time.Duration
	}{
		"asked":        {`{}`, 30 * 24 * time.Hour, 30 * 24 * time.Hour},
		"usual":        {`{"leaf_days": 10}`, 0, 10 * 24 * time.Hour},
		"no backdate":  {`{"backdate": "0s"}`, 24 * time.Hour, 24 * time.Hour},
		"beyond 2050":  {`{"root_years": 50, "issuing_years": 50}`, 45 * 365 * 24 * time.Hour, 45 * 365 * 24 * time.Hour},
		"split second": {`{}`, 24*time.Hour + 300*time.Millisecond, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.settings)
			o := w.order("req_1", pkixmsg.P256)
			o.Validity = c.asked
			leaf := w.issue(o).Chain[0]
			if got := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; got != c.want {
				t.Errorf("valid for %v; want %v", got, c.want)
			}
		})
	}
}

// TestIssuerEnds: no certificate outlives its issuer, and none comes after it.
func TestIssuerEnds(t *testing.T) {
	w := newWorld(t, `{"issuing_years": 1}`)
	end := readPEM(t, w.settings.Certificates)[0].NotAfter
	*w.clock = end.Add(-10 * 24 * time.Hour)
	leaf := w.issue(w.order("req_1", pkixmsg.P256)).Chain[0]
	if !leaf.NotAfter.Equal(end) {
		t.Errorf("the certificate ends %v; want %v, with its issuer", leaf.NotAfter, end)
	}
	if !strings.Contains(w.log.String(), "valid for less than was asked") {
		t.Errorf("the log does not warn: %s", w.log.String())
	}
	steps := w.check()
	if s := steps["Validity"]; s.State != ca.StepWarning || s.Remedy == "" {
		t.Errorf("the check does not warn: %+v", s)
	}

	*w.clock = end.Add(time.Second)
	_, err := w.connect().Issue(t.Context(), checked(t, w.order("req_2", pkixmsg.P256)))
	if e := wantKind(t, err, ra.RefusedByCA); !strings.Contains(e.Message, "expired") || !strings.Contains(e.Remedy, "Renew") || e.Retry == ra.Never {
		t.Errorf("the refusal does not say what to do: %+v", e)
	}
	if steps := w.check(); steps["Validity"].State != ca.StepFailed || steps["Chain"].State != ca.StepSkipped {
		t.Errorf("the check of an expired issuer: %+v", steps)
	}
	// What was issued before is still found.
	if _, found, err := w.connect().Find(t.Context(), checked(t, w.order("req_3", pkixmsg.P256))); err != nil || found {
		t.Errorf("Find of nothing: found %v, %v", found, err)
	}

	*w.clock = start.AddDate(-1, 0, 0)
	_, err = w.connect().Issue(t.Context(), checked(t, w.order("req_4", pkixmsg.P256)))
	wantKind(t, err, ra.RefusedByCA)
}

func (w *world) check() map[string]ca.Step {
	steps := map[string]ca.Step{}
	w.connect().Check(w.t.Context(), func(s ca.Step) { steps[s.Name] = s })
	return steps
}

func TestCheck(t *testing.T) {
	w := newWorld(t, `{}`)
	for name, s := range w.check() {
		if s.State != ca.StepOK || s.Detail == "" {
			t.Errorf("step %s: %+v", name, s)
		}
	}
	w.env.PublicURL = ""
	if s := w.check()["Addresses in certificates"]; s.State != ca.StepWarning || s.Remedy == "" {
		t.Errorf("without a public address: %+v", s)
	}
	leaf := w.issue(w.order("req_1", pkixmsg.P256)).Chain[0]
	if len(leaf.CRLDistributionPoints)+len(leaf.OCSPServer)+len(leaf.IssuingCertificateURL) > 0 {
		t.Error("a certificate points to an address that is not known")
	}
}

// TestPublicURL: the authority's own address comes first.
func TestPublicURL(t *testing.T) {
	w := newWorld(t, `{"public_url": "http://crl.example.test/base/"}`)
	leaf := w.issue(w.order("req_1", pkixmsg.P256)).Chain[0]
	if len(leaf.OCSPServer) != 1 || leaf.OCSPServer[0] != "http://crl.example.test/base/ocsp" {
		t.Errorf("OCSP at %v", leaf.OCSPServer)
	}
}

// TestSameRequest: one ID is one certificate, for one key and purpose.
func TestSameRequest(t *testing.T) {
	w := newWorld(t, `{}`)
	o := w.order("req_1", pkixmsg.P256)
	first := w.issue(o)

	changed := o
	changed.Validity, changed.EKUs = time.Hour*48, nil
	if again := w.issue(changed); !bytes.Equal(again.Chain[0].Raw, first.Chain[0].Raw) || again.Handle != first.Handle {
		t.Error("a repeated request got another certificate")
	}
	other := w.order("req_1", pkixmsg.P256)
	_, err := w.connect().Issue(t.Context(), checked(t, other))
	wantKind(t, err, ra.Conflict)
	other = o
	other.Purpose = ra.PurposeOCSP
	_, err = w.connect().Issue(t.Context(), checked(t, other))
	wantKind(t, err, ra.Conflict)
	_, _, err = w.connect().Find(t.Context(), checked(t, other))
	wantKind(t, err, ra.Conflict)

	// A request that could not be made any more is answered with what was decided.
	spoilt := o
	spoilt.KeyUsage = x509.KeyUsageKeyEncipherment
	if again := w.issue(spoilt); !bytes.Equal(again.Chain[0].Raw, first.Chain[0].Raw) {
		t.Error("a repeated request got another certificate")
	}
	if n := len(w.journal.Keys()); n != 1 {
		t.Errorf("%d intents in the journal; want 1", n)
	}
}

// TestCrashBeforeSigning: the intent is durable, the process dies, and the next
// one signs exactly what was decided, also with an issuing key renewed since.
func TestCrashBeforeSigning(t *testing.T) {
	w := newWorld(t, `{}`)
	o := w.order("req_1", pkixmsg.P256)
	r := checked(t, o)
	died := errors.New("the process died")
	w.journal.After = func(_ context.Context, op, _ string) error { return died }
	_, err := w.connect().Issue(t.Context(), r)
	if wantKind(t, err, ra.Unreachable); !errors.Is(err, died) {
		t.Errorf("the cause is lost: %v", err)
	}
	w.journal.After = nil
	raw, err := w.journal.Get(t.Context(), "issue/req_1")
	if err != nil {
		t.Fatalf("there is no intent: %v", err)
	}
	var intent struct {
		Serial string
		TBS    []byte
		SHA256 string
	}
	if err := json.Unmarshal(raw, &intent); err != nil || fmt.Sprintf("%x", sha256.Sum256(intent.TBS)) != intent.SHA256 {
		t.Fatalf("the intent does not hold together: %v", err)
	}
	old := readPEM(t, w.settings.Certificates)[0]
	if err := w.settings.Renew(t.Context(), w.env); err != nil {
		t.Fatalf("Renew: %v", err)
	}
	reply, found, err := w.connect().Find(t.Context(), r)
	if err != nil || !found {
		t.Fatalf("Find: found %v, %v", found, err)
	}
	if !bytes.Equal(reply.Chain[0].RawTBSCertificate, intent.TBS) || reply.Handle != intent.Serial || reply.Chain[0].CheckSignatureFrom(old) != nil {
		t.Error("what was signed is not what was decided")
	}
}

// TestDamagedIntent: bytes that do not match their hash are not signed.
func TestDamagedIntent(t *testing.T) {
	w := newWorld(t, `{}`)
	r := checked(t, w.order("req_1", pkixmsg.P256))
	for _, raw := range []string{`{}`, `{"tbs":"MAA=","sha256":"` + strings.Repeat("0", 64) + `"}`, "", "[", `{"sha256": 3}`} {
		w.journal = &catest.Journal{}
		w.env.Journal = w.journal
		if _, err := w.journal.Put(t.Context(), "issue/req_1", []byte(raw)); err != nil {
			t.Fatal(err)
		}
		_, err := w.connect().Issue(t.Context(), r)
		wantKind(t, err, ra.Internal)
	}
}

// TestSerials: 128 random bits, positive, never two the same.
func TestSerials(t *testing.T) {
	w := newWorld(t, `{}`)
	c := w.connect()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range 200 {
		reply, err := c.Issue(t.Context(), checked(t, w.orderFor(fmt.Sprintf("req_%d", i), key)))
		if err != nil {
			t.Fatal(err)
		}
		n := reply.Chain[0].SerialNumber
		if n.Sign() <= 0 || n.BitLen() > 128 || n.BitLen() < 65 || seen[n.String()] {
			t.Fatalf("serial number %s", n.Text(16))
		}
		if reply.Handle != n.Text(16) {
			t.Errorf("handle %q; want the serial number %s", reply.Handle, n.Text(16))
		}
		seen[n.String()] = true
	}
}

// TestRefusals: what may not be signed says so in words for people.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*ca.Order)
		want  string
	}{
		"encryption with a curve": {func(o *ca.Order) { o.KeyUsage = x509.KeyUsageKeyEncipherment }, "cannot serve for keyEncipherment"},
		"a CA":                    {func(o *ca.Order) { o.KeyUsage |= x509.KeyUsageCertSign }, "cannot serve for keyCertSign"},
		"no usage":                {func(o *ca.Order) { o.KeyUsage = 0 }, "what its key is for"},
		"purpose without usage":   {func(o *ca.Order) { o.KeyUsage = x509.KeyUsageContentCommitment }, "nothing to do for the purpose clientAuth"},
		"purpose twice":           {func(o *ca.Order) { o.EKUs = []string{clientAuth, clientAuth} }, "occurs twice"},
		"over in an hour":         {func(o *ca.Order) { o.Validity = time.Hour / 2 }, "expired before it is issued"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, `{}`)
			o := w.order("req_1", pkixmsg.P256)
			c.spoil(&o)
			_, err := w.connect().Issue(t.Context(), checked(t, o))
			e := wantKind(t, err, ra.RefusedByCA)
			if !strings.Contains(e.Message, c.want) || e.Retry != ra.Never {
				t.Errorf("message %q, retry %v; want %q and never", e.Message, e.Retry, c.want)
			}
			if len(w.journal.Keys()) > 0 {
				t.Error("a refusal left an intent")
			}
		})
	}
}

// TestKeyAtCA: the embedded CA makes no keys and says so.
func TestKeyAtCA(t *testing.T) {
	w := newWorld(t, `{}`)
	o := w.order("req_1", pkixmsg.P256)
	o.CSR, o.KeyAtCA = nil, "p-256"
	_, err := w.connect().Issue(t.Context(), checked(t, o))
	wantKind(t, err, ra.Invalid)
}

// TestRevocationList lets openssl check a list with every reason.
func TestRevocationList(t *testing.T) {
	for _, keyType := range []string{"rsa-2048", "p-256"} {
		t.Run(keyType, func(t *testing.T) {
			w := newWorld(t, `{"key_type": "`+keyType+`", "crl_validity": "2d", "crl_overlap": "12h"}`)
			c := w.connect()
			if validity, overlap := c.CRLTimes(); validity != 48*time.Hour || overlap != 12*time.Hour {
				t.Errorf("CRL times %v, %v", validity, overlap)
			}
			leaf := w.issue(w.order("req_1", pkixmsg.P256)).Chain[0]
			order := ca.CRLOrder{Number: 3, ThisUpdate: start, NextUpdate: start.Add(48 * time.Hour)}
			for _, reason := range ra.Reasons {
				n := new(big.Int).Add(leaf.SerialNumber, big.NewInt(int64(reason)))
				order.Entries = append(order.Entries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: start, ReasonCode: int(reason)})
			}
			der, err := c.SignCRLFor(t.Context(), spkiHash(c.Issuers()[0]), order)
			if err != nil {
				t.Fatalf("SignCRLFor: %v", err)
			}
			dir := t.TempDir()
			file := filepath.Join(dir, "list.crl")
			if err := os.WriteFile(file, der, 0o600); err != nil {
				t.Fatal(err)
			}
			text := openssl(t, dir, "crl", "-inform", "DER", "-in", file, "-verify", "-CAfile", writePEM(t, dir, "ca.pem", c.Issuers()...), "-noout", "-text")
			for _, want := range []string{"X509v3 CRL Number: \n                3", "Key Compromise", "Certificate Hold", "Privilege Withdrawn",
				strings.ToUpper(colons(c.Issuers()[0].SubjectKeyId))} {
				if !strings.Contains(text, want) {
					t.Errorf("openssl does not show %q in:\n%s", want, text)
				}
			}
		})
	}
}

func colons(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(parts, ":")
}

// TestKeyTypes: every type of key the traits promise.
func TestKeyTypes(t *testing.T) {
	w := newWorld(t, `{}`)
	for _, keyType := range embedded.Kind().Traits.KeyTypes {
		reply := w.issue(w.order("req_"+strings.ReplaceAll(keyType, "-", "_"), pkixmsg.KeyType(keyType)))
		if got := string(pkixmsg.DescribeKey(reply.Chain[0].PublicKey).Type); got != keyType {
			t.Errorf("a key of type %s; asked for %s", got, keyType)
		}
		lintAgain(t, reply.Chain[0])
	}
}
