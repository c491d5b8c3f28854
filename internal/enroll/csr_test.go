package enroll

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

func signer(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.KeyType(kind))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, r pkixmsg.CSRRequest, subject string) []byte {
	t.Helper()
	var err error
	if r.Name, err = pkixmsg.ParseDN(subject); err != nil {
		t.Fatal(err)
	}
	der, err := pkixmsg.BuildCSR(r)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func extension(e pkixmsg.Extension, err error) pkixmsg.Extension {
	if err != nil {
		panic(err)
	}
	return e
}

func TestReadCSR(t *testing.T) {
	der := request(t, pkixmsg.CSRRequest{Signer: signer(t, "p-256")}, "CN=x")
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	for name, in := range map[string][]byte{"DER": der, "PEM": block("CERTIFICATE REQUEST", der), "old PEM": append([]byte("hello\n"), block("NEW CERTIFICATE REQUEST", der)...)} {
		if csr, err := readCSR(in); err != nil || !slices.Equal(csr.Raw, der) {
			t.Errorf("%s: %v", name, err)
		}
	}
	forged := slices.Clone(der)
	forged[len(forged)-1] ^= 1
	for name, in := range map[string][]byte{"other PEM": block("CERTIFICATE", der), "cut": der[:len(der)-3], "trailing": append(slices.Clone(der), 0), "signature": forged, "text": []byte("hello")} {
		_, err := readCSR(in)
		if e := ra.AsError(err); e.Kind != ra.Invalid || e.Field != "csr" || e.Retry != ra.Never || e.Remedy == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestJudge(t *testing.T) {
	spec := ra.TemplateSpec{
		Subject: "CN={DeviceUid},OU=Devices,O={Organization}", KeyType: "p-256", KeyTypes: []string{"rsa-3072"}, Usage: "signing", EKUs: []string{"clientAuth"}, SID: true,
		SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceAttribute.host}"}, {Type: "upn", Value: "{UserPrincipalName}"}, {Type: "ip", Value: "{DeviceAttribute.ip}"}, {Type: "dirname", Value: "CN=A,C=DE"}},
	}
	keys := map[string]crypto.Signer{"p-256": signer(t, "p-256"), "p-384": signer(t, "p-384"), "rsa-2048": signer(t, "rsa-2048"), "rsa-3072": signer(t, "rsa-3072")}
	const subject = `CN=UDID-1,OU=Devices,O=Example\, Inc.`
	names := func(list ...string) (out []pkixmsg.GeneralName) {
		for _, text := range list {
			kind, value, _ := strings.Cut(text, ":")
			out = append(out, pkixmsg.GeneralName{Type: pkixmsg.NameType(kind), Value: value})
		}
		return out
	}
	unread := pkixmsg.Extension{OID: "1.3.6.1.4.1.311.20.2", Value: []byte{0x1e, 2, 0, 'x'}}
	policies := pkixmsg.Extension{OID: pkixmsg.OIDApplicationPolicies, Value: []byte{0x30, 0}}
	for name, c := range map[string]struct {
		subject  string
		request  pkixmsg.CSRRequest
		key      string
		refused  string // under "match"; and under "overwrite" too when always
		always   bool
		stripped []string // under "overwrite"
	}{
		"the template's own": {subject: subject, request: pkixmsg.CSRRequest{SANs: names("dns:pad.example.org", "upn:ada@corp.example.org", "ip:2001:db8::7", "dirname:CN=a,C=DE")}},
		"nothing":            {},
		"part of it":         {subject: "O=example\\,  inc.", request: pkixmsg.CSRRequest{SANs: names("dns:PAD.example.org")}},
		"extra attribute":    {subject: subject + ",OU=Admins", refused: "OU=Admins", stripped: []string{"subject"}},
		"foreign name":       {subject: "CN=UDID-2", refused: "CN=UDID-2", stripped: []string{"subject"}},
		"twice the same":     {subject: "CN=UDID-1,CN=UDID-1", refused: "subject", stripped: []string{"subject"}},
		"extra host":         {request: pkixmsg.CSRRequest{SANs: names("dns:pad.example.org", "dns:evil.example")}, refused: "evil.example", stripped: []string{"alternative name dns"}},
		"host as mail":       {request: pkixmsg.CSRRequest{SANs: names("email:ada@corp.example.org")}, refused: "ada@corp.example.org", stripped: []string{"alternative name email"}},
		"foreign UPN":        {request: pkixmsg.CSRRequest{SANs: names("upn:admin@corp.example.org")}, refused: "admin@corp", stripped: []string{"alternative name upn"}},
		"own SID":            {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{extension(pkixmsg.SIDExtension(sid))}}},
		"foreign SID":        {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{extension(pkixmsg.SIDExtension("S-1-5-21-1-2-3-500"))}}, refused: "S-1-5-21-1-2-3-500", stripped: []string{"security identifier"}},
		"foreign SID in URI": {request: pkixmsg.CSRRequest{SANs: names("uri:tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500")}, refused: "S-1-5-21-1-2-3-500", stripped: []string{"alternative name uri", "security identifier"}},
		"CA":                 {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{{OID: pkixmsg.OIDBasicConstraints, Value: []byte{0x30, 3, 1, 1, 0xff}}}}, refused: "CA certificate", always: true},
		"not a CA":           {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{{OID: pkixmsg.OIDBasicConstraints, Value: []byte{0x30, 0}}}}},
		"smaller key":        {key: "rsa-2048", refused: "rsa-2048", always: true},
		"other key":          {key: "p-384", refused: "p-384", always: true},
		"further key":        {key: "rsa-3072"},
		"purposes":           {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{extension(pkixmsg.ExtKeyUsageExtension([]string{"1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"}, false))}}, stripped: []string{"extended key usage serverAuth"}},
		"key usage":          {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{extension(pkixmsg.KeyUsageExtension(x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign))}}, stripped: []string{"key usage keyCertSign"}},
		"unknown extensions": {request: pkixmsg.CSRRequest{Extensions: []pkixmsg.Extension{unread, policies}}, stripped: []string{"extension ", "extension applicationPolicies"}},
	} {
		for _, policy := range CSRPolicies {
			t.Run(name+"/"+policy, func(t *testing.T) {
				spec.CSRPolicy = policy
				tpl := template(spec)
				f, err := fill(tpl, ada())
				if err != nil {
					t.Fatal(err)
				}
				r := c.request
				if r.Signer = keys["p-256"]; c.key != "" {
					r.Signer = keys[c.key]
				}
				csr, err := readCSR(request(t, r, c.subject))
				if err != nil {
					t.Fatal(err)
				}
				err = judge(tpl, f, csr)
				if c.refused != "" && (policy == "match" || c.always) {
					if e := ra.AsError(err); err == nil || e.Kind != ra.Invalid || e.Field != "csr" || e.Retry != ra.Never || e.Remedy == "" || !strings.Contains(e.Message, c.refused) {
						t.Fatalf("error %+v, want a refusal that names %q", err, c.refused)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				want := c.stripped
				if len(f.Stripped) != len(want) {
					t.Fatalf("stripped %q, want %q", f.Stripped, want)
				}
				for _, w := range want {
					if !slices.ContainsFunc(f.Stripped, func(s string) bool { return strings.HasPrefix(s, w) }) {
						t.Errorf("stripped %q, want %q", f.Stripped, want)
					}
				}
			})
		}
	}
}

func TestAllowedKey(t *testing.T) {
	for _, c := range []struct {
		wanted, got string
		further     []string
		ok          bool
	}{
		{"rsa-2048", "rsa-2048", nil, true}, {"rsa-2048", "rsa-4096", nil, true}, {"rsa-3072", "rsa-2048", nil, false}, {"rsa-2048", "p-256", nil, false},
		{"rsa-2048", "p-256", []string{"p-256"}, true}, {"p-256", "p-384", nil, false}, {"p-256", "rsa-4096", nil, false}, {"ed25519", "ed25519", nil, true}, {"p-256", "", nil, false},
	} {
		err := allowedKey(&ra.Template{Name: "T", Spec: ra.TemplateSpec{KeyType: c.wanted, KeyTypes: c.further}}, c.got)
		if (err == nil) != c.ok {
			t.Errorf("%s (or %v) wanted, %s given: %v", c.wanted, c.further, c.got, err)
		}
	}
}

// TestRefusalStaysShort: a hostile request cannot make a message long.
func TestRefusalStaysShort(t *testing.T) {
	var many []string
	for range 500 {
		many = append(many, strings.Repeat("x", 5000))
	}
	if text := list(many); len(text) > 1000 || !strings.Contains(text, "495 more") {
		t.Errorf("%d characters", len(text))
	}
}
