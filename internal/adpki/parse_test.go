package adpki

import (
	"crypto/x509"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/wire/secdesc"
)

var guid = []byte("0123456789abcdef")

func entryOf(pairs ...string) Entry {
	e := Entry{DN: "CN=x", Values: map[string][][]byte{"objectGUID": {guid}, "cn": {[]byte("x")}}}
	for i := 0; i < len(pairs); i += 2 {
		e.Values[pairs[i]] = append(e.Values[pairs[i]], []byte(pairs[i+1]))
	}
	return e
}

func TestPeriods(t *testing.T) {
	for bytes, want := range map[string]time.Duration{
		"\x00\x40\x39\x87\x2e\xe1\xfe\xff": 365 * 24 * time.Hour,
		"\x00\x80\xa6\x0a\xff\xde\xff\xff": 42 * 24 * time.Hour,
		"\x00\x00\x00\x00\x00\x00\x00\x80": 1<<63 - 1,
		"":                                 0,
	} {
		f := &fields{entry: entryOf("p", bytes)}
		if got := f.period("p"); got != want || f.err != nil {
			t.Errorf("%x: %v, %v; want %v", bytes, got, f.err, want)
		}
	}
}

func TestMasks(t *testing.T) {
	for text, want := range map[string]uint32{"-2147483648": 0x80000000, "-1": 0xFFFFFFFF, "4294967295": 0xFFFFFFFF, "1": 1, "": 0} {
		f := &fields{entry: entryOf("m", text)}
		if got := f.mask("M"); got != want || f.err != nil { // names have no case
			t.Errorf("%s: %x, %v; want %x", text, got, f.err, want)
		}
	}
}

// TestBrokenTemplates: an attribute that is not what it should be makes the
// template unreadable, and the error names the attribute and not its value.
func TestBrokenTemplates(t *testing.T) {
	for name, pair := range map[string][2]string{
		"no number":         {"flags", "SECRET"},
		"too large":         {"msPKI-Enrollment-Flag", "4294967296"},
		"too small":         {"msPKI-Enrollment-Flag", "-2147483649"},
		"negative count":    {"msPKI-RA-Signature", "-1"},
		"short period":      {"pKIExpirationPeriod", "1234"},
		"positive period":   {"pKIOverlapPeriod", "\x00\x40\x39\x87\x2e\xe1\xfe\x0f"},
		"no text":           {"displayName", "\xff"},
		"half a property":   {"msPKI-RA-Application-Policies", "msPKI-Hash-Algorithm`PZPWSTR`"},
		"a wrong type":      {"msPKI-RA-Application-Policies", "msPKI-Hash-Algorithm`REG_SZ`SHA256`"},
		"a wrong number":    {"msPKI-RA-Application-Policies", "msPKI-Key-Usage`DWORD`-1`"},
		"too many":          {"msPKI-RA-Application-Policies", strings.Repeat("a`PZPWSTR`b`", 65)},
		"too long":          {"displayName", strings.Repeat("x", 300_000)},
		"two names":         {"cn", "y"},
		"a second schema":   {"msPKI-Template-Schema-Version", "x"},
		"two object guids":  {"objectGUID", "0123456789abcdef"},
		"nothing but blank": {"revision", " "},
	} {
		_, err := parseTemplate(entryOf(pair[0], pair[1]))
		if err == nil || !strings.Contains(err.Error(), pair[0]) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := entryOf()
	many.Values["pKIExtendedKeyUsage"] = make([][]byte, 5001)
	if _, err := parseTemplate(many); err == nil {
		t.Error("5,001 purposes were taken")
	}
}

func TestAgentRules(t *testing.T) {
	got, err := parseAgentRules([]string{"1.2.3", "msPKI-Asymmetric-Algorithm`PZPWSTR`RSA`msPKI-Symmetric-Algorithm`PZPWSTR`3DES`msPKI-Symmetric-Key-Length`DWORD`168`" +
		"msPKI-Key-Security-Descriptor`PZPWSTR`D:P(A;;FA;;;BA)`msPKI-Hash-Algorithm`PZPWSTR`SHA1`msPKI-Key-Usage`DWORD`2`msPKI-RA-Application-Policies`PZPWSTR`1.2.4, 1.2.5`New`DWORD`1`"})
	want := AgentRules{ApplicationPolicies: []string{"1.2.3", "1.2.4", "1.2.5"}, Algorithm: "RSA", Hash: "SHA1", Usage: 2, Symmetric: "3DES", SymmetricBits: 168,
		KeyAccess: "D:P(A;;FA;;;BA)", OtherProperties: []string{"New"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestRequirements(t *testing.T) {
	for name, c := range map[string]struct {
		t    Template
		want []string // with "!" in front of the impossible
	}{
		"supplied": {Template{Names: SupplySubject, MinKeyBits: 2048}, []string{"Subject and alternative names are supplied in the request.", "The key is 2048 bits or more."}},
		"built": {Template{Names: SubjectDirectory | AltUPN, Enroll: Approval},
			[]string{"Subject and alternative names are built from the directory, from the account that requests or is enrolled for: user principal name as alternative name, distinguished name as subject.",
				"A certificate manager approves each request; until then it is pending."}},
		"on behalf": {Template{Names: SubjectName, Signatures: 1, Agent: AgentRules{ApplicationPolicies: []string{PurposeEnrollAgent}, Algorithm: "ECDSA_P256"}},
			[]string{"Subject and alternative names are built from the directory, from the account that requests or is enrolled for: common name as subject.",
				"The request is signed by an enrollment agent (a certificate for Certificate Request Agent).", "The key is ECDSA_P256."}},
		"other agents": {Template{Names: SupplySubject, Signatures: 1, Agent: AgentRules{ApplicationPolicies: []string{"1.2.3"}, IssuancePolicies: []string{"1.2.4"}}},
			[]string{"Subject and alternative names are supplied in the request.", "The request is signed by an enrollment agent whose certificate has 1.2.3, 1.2.4."}},
		"impossible": {Template{Names: SupplySubject, Key: Archival | AttestationRequired, Signatures: 2, General: CrossCA | AuthorityType, Enroll: UserInteraction},
			[]string{"!The private key is archived at the authority, and the key never leaves the device here.",
				"!The key must be attested by a TPM, which only Windows can do on the device itself.", "!The request needs 2 agents' signatures; the authority takes one.",
				"!It is for cross certificates between authorities.", "!Windows asks the user during enrollment.",
				"Subject and alternative names are supplied in the request.", "It makes certification authorities."}},
		"no names": {Template{Key: SameKeyRenewal, Enroll: NoSecurityExtension | PoliciesFromRequest},
			[]string{"Subject and alternative names are built from the directory, from the account that requests or is enrolled for: no name is chosen.", "A renewal keeps the key.",
				"Issuance policies are taken from the request.",
				"The certificate gets no SID extension, so strong mapping needs the SID in an alternative name or a mapping on the account."}},
	} {
		var got []string
		impossible := 0
		for _, r := range c.t.Requirements() {
			if r.Impossible {
				impossible++
				r.Text = "!" + r.Text
			}
			got = append(got, r.Text)
		}
		if !slices.Equal(got, c.want) || len(c.t.Impossible()) != impossible {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
	}
}

func TestFlagWords(t *testing.T) {
	if got := (MachineType | ModifiedFlag | 0x4).Words(); !slices.Equal(got, []string{"for computers", "modified", "0x4"}) {
		t.Errorf("%q", got)
	}
	all := len((GeneralFlags(0x30000 | 0x18C0)).Words()) + len((NameFlags(0xFFC10009)).Words()) + len((EnrollFlags(0xFFD7F &^ 0x200)).Words()) + len(allKeyFlags.Words())
	for _, words := range [][]string{NameFlags(0xFFC10009).Words(), EnrollFlags(0xFFD7F &^ 0x200).Words()} {
		for _, w := range words {
			if strings.HasPrefix(w, "0x") {
				t.Errorf("a flag without a word: %s", w)
			}
		}
	}
	if all < 40 {
		t.Errorf("%d words", all)
	}
}

func TestEscape(t *testing.T) {
	if got, want := escape("a\x00(b)*\\ü"), `a\00\28b\29\2a\5cü`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestKeyUsage(t *testing.T) {
	if got := keyUsage([]byte{0x86, 0x80}); got != x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDecipherOnly {
		t.Errorf("%b", got)
	}
}

func TestWeakMappings(t *testing.T) {
	p := Privileged{Mappings: []string{"X509:<I>DC=com,CN=CA<SR>1200", "X509:<SKI>00ff", "x509:<sha1-pukey>00ff", "X509:<I>CN=CA<SID>S-1-5-21-1-2-3-4", "Kerberos:a@B", // strong, or no certificate
		"X509:<I>CN=CA<S>CN=x", "X509:<S>CN=x", "x509:<rfc822>a@b", "X509:<S>CN=<SR>12"}}
	if got := p.WeakMappings(); !slices.Equal(got, p.Mappings[5:]) {
		t.Errorf("%q", got)
	}
}

func TestWebService(t *testing.T) {
	got, err := parseWebService("2\r\n8\r\n1\r\nhttps://a/b\r\n0")
	if want := (WebService{URL: "https://a/b", Login: WebCertificate, Priority: 2, RenewalOnly: true}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "1\n4\n0", "1\n4\n0\n", "x\n4\n0\nhttps://a"} {
		if _, err := parseWebService(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestDescriptors: what a directory shows of a descriptor is told apart.
func TestDescriptors(t *testing.T) {
	whole, err := (&secdesc.Descriptor{Owner: "S-1-5-18", Access: []secdesc.Entry{}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := (&secdesc.Descriptor{Owner: "S-1-5-18", Open: true}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for value, hidden := range map[string]string{string(whole): "", string(bare): "left the access list out", "": "does not show", "rubbish": "malformed"} {
		o, err := parseObject(entryOf("nTSecurityDescriptor", value))
		if err != nil || (o.Security == nil) == (hidden == "") || !strings.Contains(o.Hidden, hidden) {
			t.Errorf("%x: %+v, %v", value, o, err)
		}
	}
}

func TestClassify(t *testing.T) {
	for sid, want := range map[string]Class{
		"S-1-1-0": Broad, "S-1-5-21-1-2-3-513": Broad, "S-1-5-21-1-2-3-515": Broad, "S-1-5-32-545": Broad,
		"S-1-5-21-1-2-3-512": Admin, "S-1-5-18": Admin, "S-1-5-21-1-2-3-498": Admin, "S-1-5-32-548": Operator,
		"S-1-5-21-1-2-3-1513": Other, "S-1-5-21-1-2-513": Other, "S-1-5-21-1-2-3-4-513": Other, "S-1-5-80-1-2-3-513": Other,
	} {
		if got := Classify(sid); got != want {
			t.Errorf("%s: %d, want %d", sid, got, want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("msPKI-RA-Application-Policies", "msPKI-Key-Usage`DWORD`1`", "pKIExpirationPeriod", "\x00\x40\x39\x87\x2e\xe1\xfe\xff")
	f.Add("nTSecurityDescriptor", "\x01\x00\x04\x80", "pKIKeyUsage", "\xa0")
	f.Add("msPKI-Enrollment-Servers", "1\n4\n0\nhttps://a", "cACertificate", "\x30\x00")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		e := entryOf(a, b, c, d)
		if template, err := parseTemplate(e); err == nil {
			template.Requirements()
			template.Enrollers()
			template.Writers()
			template.Authenticates()
		}
		parseService(e)
		parsePolicy(e)
		parsePrivileged(e)
	})
}
