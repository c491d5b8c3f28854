package adcs_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"chancery/internal/doubles/adcs"
	"chancery/internal/doubles/dcerpc"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
)

func TestPassageOverNTLM(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "ra")
	mapper := object{"port": portOf(t, ca.MapperAddress()), "interface": "91ae6020-9e3c-11cf-8d7c-00aa00c091be"}
	binding := p.ok("map", mapper)["binding"]
	if want := "ncacn_ip_tcp:127.0.0.1[" + ca.ServerAddress()[len("127.0.0.1:"):] + "]"; binding != want {
		t.Errorf("mapped to %v, not %s", binding, want)
	}
	mapper["interface"] = "12345678-1234-abcd-ef00-0123456789ac"
	p.fails(0x16C9A0D6, "map", mapper)
	alive := p.ok("alive", mapper)["bindings"].([]any)
	if !slices.Contains(alive, any("127.0.0.1")) {
		t.Errorf("ServerAlive2: %v", alive)
	}

	answer := p.passage().enrol("WebServer", csr(t, keys()[0], "www.corp.example"))
	cert := certificate(t, answer)
	if err := cert.CheckSignatureFrom(ca.Certificate()); err != nil || cert.Subject.CommonName != "www.corp.example" || answer["message"] != "Issued" {
		t.Errorf("%v, %v", answer["message"], err)
	}
	raw, _ := hex.DecodeString(answer["chain"].(string))
	chain, _, err := cms.ParseDegenerate(raw, cms.Limits{})
	if err != nil || len(chain) != 3 || string(chain[0].Raw) != string(cert.Raw) || string(chain[2].Raw) != string(ca.Chain()[1].Raw) {
		t.Errorf("a chain of %d: %v", len(chain), err)
	}
	rows := ca.Requests()
	if len(rows) != 1 || rows[0].Disposition != 20 || rows[0].Caller != `CORP\ra` || rows[0].Template != "WebServer" || len(ca.Issued()) != 1 {
		t.Errorf("rows: %+v", rows)
	}
	if who := ca.Logons(); len(who) != 1 || who[0].Kind != 0x0A || who[0].Level != dcerpc.LevelPrivacy || who[0].User != "ra" {
		t.Errorf("logons: %+v", who)
	}
}

func TestPassageFragments(t *testing.T) {
	ca := start(t, adcs.Config{MaxFrag: 512})
	p := startPython(t, ca, "ra").passage()
	note := strings.Repeat("n", 3001)
	answer := p.enrol("", csr(t, keys()[0], "a"), object{"attributes": "CertificateTemplate:WebServer\nnote:" + note})
	certificate(t, answer)
	if !strings.Contains(ca.Requests()[0].Attributes, note) {
		t.Error("the attributes did not arrive whole")
	}
	certificate(t, p.enrol("WebServer", csr(t, keys()[0], "b"))) // the count of PDUs goes on
}

func TestPassageRefusals(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ca := start(t, adcs.Config{Templates: append(adcs.DefaultTemplates(),
		adcs.Template{Name: "Closed", NameFlags: adcs.SuppliesSubject, Enroll: []string{"manager"}},
		adcs.Template{Name: "Hidden", NameFlags: adcs.SuppliesSubject, Unpublished: true},
		adcs.Template{Name: "Mail", NameFlags: adcs.SubjectCommonName | adcs.SubjectEmail},
		adcs.Template{Name: "Host", NameFlags: adcs.SubjectDNSAsCN}, adcs.Template{Name: "Guid", NameFlags: adcs.SubjectCommonName | adcs.AltDirectoryGUID},
		adcs.Template{Name: "Archive", NameFlags: adcs.SuppliesSubject, KeyFlags: adcs.KeyArchival},
		adcs.Template{Name: "Attest", NameFlags: adcs.SuppliesSubject, KeyFlags: adcs.AttestationNeeded},
		adcs.Template{Name: "Signed", NameFlags: adcs.SuppliesSubject, Signatures: 1},
		adcs.Template{Name: "Refused", NameFlags: adcs.SuppliesSubject, Deny: 0x80092013})})
	ca.Account(adcs.Account{User: "nosid", Password: "secret of nosid", UPN: "nosid@corp.example"})
	ca.Account(adcs.Account{User: "noupn", Password: "secret of noupn", SID: sid})
	p := startPython(t, ca, "ra").passage()
	good := csr(t, keys()[0], "host")
	broken := slices.Clone(good)
	broken[len(broken)-1] ^= 1
	v1 := pkix.Extension{Id: []int{1, 3, 6, 1, 4, 1, 311, 20, 2}, Value: []byte{0x1e, 8, 0, 'U', 0, 's', 0, 'e', 0, 'r'}}
	template := func(text string) object { return object{"attributes": text} }
	for _, c := range []struct {
		name    string
		request []byte
		args    object
		code    uint32
	}{
		{"no template", good, template(""), 0x80094801},
		{"an unknown template", good, template("CertificateTemplate:Nowhere"), 0x80094800},
		{"a display name", good, template("CertificateTemplate:Web Server"), 0x80094800},
		{"an unpublished template", good, template("CertificateTemplate:Hidden"), 0x80094800},
		{"two templates", csr(t, keys()[0], "host", v1), template("CertificateTemplate:WebServer"), 0x80094802},
		{"a template of others", good, template("CertificateTemplate:Closed"), 0x80094012},
		{"a short key", csr(t, weak, "host"), template("CertificateTemplate:WebServer"), 0x80094811},
		{"no subject", csr(t, keys()[0], ""), template("CertificateTemplate:WebServer"), 0x80094001},
		{"a long name", csr(t, keys()[0], strings.Repeat("x", 65)), template("CertificateTemplate:WebServer"), 0x80094001},
		{"a broken signature", broken, template("CertificateTemplate:WebServer"), 0x80090006},
		{"no DER", []byte("-----BEGIN"), template("CertificateTemplate:WebServer"), 0x80093103},
		{"no agent", good, template("CertificateTemplate:MobileUser"), 0x80094809},
		{"no signature", good, template("CertificateTemplate:Signed"), 0x8009480A},
		{"an account without mail", good, template("CertificateTemplate:Mail"), 0x80094812},
		{"an account without a host name", good, template("CertificateTemplate:Host"), 0x8009480F},
		{"an account without a GUID", good, template("CertificateTemplate:Guid"), 0x8009480E},
		{"archival", good, template("CertificateTemplate:Archive"), 0x80094804},
		{"attestation", good, template("CertificateTemplate:Attest"), 0x8009481A},
		{"a code of the template's", good, template("CertificateTemplate:Refused"), 0x80092013},
	} {
		if answer := p.enrol("", c.request, c.args); disposition(answer) != c.code || answer["cert"] != "" || answer["id"] == 0.0 {
			t.Errorf("%s: %v, not 0x%08X", c.name, answer, c.code)
		}
	}
	if len(ca.Issued()) != 0 {
		t.Error("something was issued")
	}
	for user, want := range map[string]uint32{"nosid": 0x80094821, "noupn": 0x8009480D} {
		if answer := startPython(t, ca, user).passage().enrol("User", good); disposition(answer) != want {
			t.Errorf("%s: %v", user, answer)
		}
	}
}

func TestPassageArguments(t *testing.T) {
	ca := start(t, adcs.Config{Name: "Corp #1"})
	p := startPython(t, ca, "ra").passage()
	request := hex.EncodeToString(csr(t, keys()[0], "host"))
	attributes := "CertificateTemplate:WebServer"
	wide := hex.EncodeToString(dcerpc.Wide(attributes))
	for name, args := range map[string]object{
		"another CA":                 {"authority": "CA1\\Corp #1", "attributes": attributes, "request": request},
		"attributes without NUL":     {"authority": "Corp #1", "attribs": wide, "request": request},
		"attributes with two NULs":   {"authority": "Corp #1", "attribs": wide + "00000000", "request": request},
		"an odd number of octets":    {"authority": "Corp #1", "attribs": wide + "000000", "request": request},
		"no request":                 {"authority": "Corp #1", "attributes": attributes},
		"an id and a request":        {"authority": "Corp #1", "attributes": attributes, "request": request, "id": 1},
		"a request of a future type": {"authority": "Corp #1", "attributes": attributes, "request": request, "flags": 0x400},
	} {
		result := p.do("enrol", args)
		if errorOf(result) != 0x80070057 && disposition(result) != 0x80070057 {
			t.Errorf("%s: %v", name, result)
		}
	}
	for _, name := range []string{"Corp #1", "corp #1", "Corp !00231"} {
		answer := p.ok("enrol", object{"authority": name, "attributes": attributes, "request": request, "flags": 0x100})
		certificate(t, answer)
	}
	if answer := p.enrol("", nil, object{"id": 0x7fffffff}); disposition(answer) != 0x80094004 {
		t.Errorf("an id that is none: %v", answer)
	}
}

func TestPassageStubs(t *testing.T) {
	ca := start(t, adcs.Config{Name: "CORP-CA"})
	p := startPython(t, ca, "ra").passage()
	const good = "0001000000000200080000000000000008000000" + "43004f00520050002d00430041000000" + "ffffff7f" + "0000000000000000" + "0000000000000000"
	if out := p.ok("raw", object{"opnum": 0, "stub": good})["stub"].(string); !strings.HasPrefix(out, "0000000004400980") {
		t.Errorf("retrieving: %s", out)
	}
	for name, stub := range map[string]string{
		"cut short":             good[:len(good)-10],
		"octets at NULL":        good[:len(good)-16] + "05000000" + "00000000",
		"counts that differ":    good[:len(good)-16] + "05000000" + "08000200" + "06000000" + "010203040506",
		"a string without NUL":  strings.Replace(good, "41000000ffffff7f", "41004100ffffff7f", 1),
		"a string from offset":  strings.Replace(good, "0800000000000000", "0800000001000000", 1),
		"more units than fit":   strings.Replace(good, "0800000000000000"+"08000000", "ffffff7f00000000"+"ffffff7f", 1),
		"more units than there": strings.Replace(good, "0800000000000000"+"08000000", "0800000000000000"+"09000000", 1),
		"too much":              good + "0000000000000000",
	} {
		if result := p.do("raw", object{"opnum": 0, "stub": stub}); errorOf(result) != 0x6f7 && !strings.Contains(result["text"].(string), "rpc_x_bad_stub_data") {
			t.Errorf("%s: %v", name, result)
		}
	}
	if text, _ := p.do("raw", object{"opnum": 1, "stub": good})["text"].(string); text != "nca_s_op_rng_error" {
		t.Errorf("another opnum: %s", text)
	}
}

func TestLogonsThatFail(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "ra")
	denied := func(name string, login object) {
		t.Helper()
		p.ok("passage", login) // it comes to light with the first call
		if text, _ := p.do("enrol", object{"authority": ca.Name(), "id": 1})["text"].(string); text != "rpc_s_access_denied" {
			t.Errorf("%s: %s", name, text)
		}
	}
	port := portOf(t, ca.ServerAddress())
	denied("a wrong password", object{"port": port, "password": "x"})
	denied("an unknown user", object{"port": port, "user": "x"})
	denied("another domain", object{"port": port, "domain": "OTHER"})
	denied("integrity alone", object{"port": port, "level": 5})
	denied("no logon", object{"port": port, "level": 1})
	if len(ca.Requests()) != 0 {
		t.Error("requests came in")
	}
	open := start(t, adcs.Config{InterfaceFlags: 1})
	p = startPython(t, open, "ra")
	p.ok("passage", object{"port": portOf(t, open.ServerAddress()), "level": 5})
	certificate(t, p.enrol("WebServer", csr(t, keys()[0], "a")))
	closed := start(t, adcs.Config{InterfaceFlags: adcs.IfNoPassage | adcs.IfEncryptRequest, RequireMIC: true})
	p = startPython(t, closed, "ra").passage()
	if text, _ := p.do("enrol", object{"authority": ca.Name(), "id": 1})["text"].(string); text != "rpc_s_access_denied" {
		t.Errorf("without the code that is required: %s", text)
	}
}

func TestRightsOnTheCA(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "nobody").passage()
	p.fails(0x80094011, "enrol", object{"authority": ca.Name(), "attributes": "CertificateTemplate:WebServer", "request": hex.EncodeToString(csr(t, keys()[0], "a"))})
	off := start(t, adcs.Config{InterfaceFlags: adcs.IfNoPassage})
	p = startPython(t, off, "ra").passage()
	p.fails(0x80070005, "enrol", object{"authority": off.Name(), "id": 1})
}

func TestPendingThenDecided(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "ra").passage()
	ask := func() uint32 {
		answer := p.enrol("Manual", csr(t, keys()[0], "host"))
		if disposition(answer) != 5 {
			t.Fatalf("not pending: %v", answer)
		}
		return uint32(answer["id"].(float64))
	}
	fetch := func(id uint32) object { return p.ok("enrol", object{"authority": ca.Name(), "id": id}) }
	first, second := ask(), ask()
	if second != first+1 || disposition(fetch(first)) != 5 {
		t.Errorf("ids %d, %d", first, second)
	}
	if err := ca.Approve(first); err != nil {
		t.Fatal(err)
	}
	if err := ca.Deny(second); err != nil {
		t.Fatal(err)
	}
	serial := hex.EncodeToString(certificate(t, fetch(first)).SerialNumber.Bytes())
	if d := disposition(fetch(second)); d != 2 {
		t.Errorf("denied: %d", d)
	}
	if err := ca.RevokeSerial(serial, 1); err != nil {
		t.Fatal(err)
	}
	if d := disposition(fetch(first)); d != 6 {
		t.Errorf("revoked: %d", d)
	}
	if ca.Approve(first) == nil || ca.Deny(second) == nil || ca.Approve(99) == nil {
		t.Error("decided twice")
	}
}

func TestNamesOfTheDirectory(t *testing.T) {
	ca := start(t, adcs.Config{})
	p := startPython(t, ca, "ra").passage()
	sidExtension, err := pkixmsg.SIDExtension("S-1-5-21-1-2-3-500")
	if err != nil {
		t.Fatal(err)
	}
	own := pkix.Extension{Id: []int{1, 3, 6, 1, 4, 1, 311, 25, 2}, Value: sidExtension.Value}
	ask := func(template string, attributes string) (name, upn, who string) {
		cert := certificate(t, p.enrol("", csr(t, keys()[0], "administrator", own), object{"attributes": "CertificateTemplate:" + template + attributes}))
		for _, e := range cert.Extensions {
			switch e.Id.String() {
			case "2.5.29.17":
				names, err := pkixmsg.ParseSubjectAltName(e.Value)
				if err != nil || len(names) != 1 {
					t.Fatalf("alternative names: %v, %v", names, err)
				}
				upn = names[0].Value
			case "1.3.6.1.4.1.311.25.2":
				if who, err = pkixmsg.ParseSIDExtension(e.Value); err != nil {
					t.Fatal(err)
				}
			}
		}
		return cert.Subject.String(), upn, who
	}
	if name, upn, who := ask("User", "\nSAN:upn=administrator@corp.example"); name != "CN=ra,CN=Users,DC=corp,DC=example" && !strings.HasPrefix(name, "CN=ra") || upn != "ra@corp.example" || who != sid {
		t.Errorf("of the directory: %s, %s, %s", name, upn, who)
	}
	if name, upn, who := ask("WebServer", "\nSAN:upn=administrator@corp.example"); name != "CN=administrator" || upn != "" || who != "S-1-5-21-1-2-3-500" {
		t.Errorf("of the request: %s, %s, %s", name, upn, who)
	}
	open := start(t, adcs.Config{EditFlags: adcs.EditAltName, DisabledExts: []string{"1.3.6.1.4.1.311.25.2"}})
	p = startPython(t, open, "ra").passage()
	if _, upn, who := ask("User", "\nSAN:upn=administrator@corp.example"); upn != "administrator@corp.example" || who != "" {
		t.Errorf("with the flag: %s, %s", upn, who)
	}
}
