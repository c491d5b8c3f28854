package pkixmsg

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyUsage(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"digitalSignature"}, "03020780"},
		{[]string{"keyEncipherment", "DIGITALSIGNATURE"}, "030205a0"},
		{[]string{"contentCommitment"}, "03020640"},
		{[]string{"keyCertSign", "cRLSign"}, "03020106"},
		{[]string{"keyAgreement", "decipherOnly"}, "0303070880"},
	} {
		usage, err := ParseKeyUsageNames(tt.names)
		if err != nil {
			t.Fatal(err)
		}
		ext, err := KeyUsageExtension(usage)
		if got := hex.EncodeToString(ext.Value); err != nil || got != tt.want || !ext.Critical {
			t.Errorf("%v = %s, critical %v, %v; want %s", tt.names, got, ext.Critical, err, tt.want)
		}
		if back, err := ParseKeyUsage(ext.Value); err != nil || back != usage {
			t.Errorf("%v came back as %v, %v", tt.names, KeyUsageNames(back), err)
		}
	}
	for usage := x509.KeyUsage(1); usage < 1<<9; usage++ {
		ext, err := KeyUsageExtension(usage)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseKeyUsage(ext.Value); err != nil || back != usage {
			t.Fatalf("%v came back as %v, %v", KeyUsageNames(usage), KeyUsageNames(back), err)
		}
		if named, err := ParseKeyUsageNames(KeyUsageNames(usage)); err != nil || named != usage {
			t.Fatalf("%v by name is %v, %v", KeyUsageNames(usage), named, err)
		}
	}
	_, err := ParseKeyUsageNames([]string{"signing"})
	wantKind(t, err, ErrSyntax)
	_, err = KeyUsageExtension(0)
	wantKind(t, err, ErrBounds)
	for _, text := range []string{"", "0303068040ff", "030407000080", "0303060040", "020101"} {
		if _, err := ParseKeyUsage(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", text, err)
		}
	}
}

func TestExtKeyUsage(t *testing.T) {
	var oids []string
	for _, p := range Purposes {
		oid, err := ParsePurpose(strings.ToUpper(p.Name))
		if err != nil || oid != p.OID || OIDName(oid) != p.Name {
			t.Errorf("%s = %s (%s), %v", p.Name, oid, OIDName(oid), err)
		}
		oids = append(oids, oid)
	}
	ext, err := ExtKeyUsageExtension(oids, true)
	if err != nil || !ext.Critical {
		t.Fatalf("critical %v, %v", ext.Critical, err)
	}
	if back, err := ParseExtKeyUsage(ext.Value); err != nil || !reflect.DeepEqual(back, oids) {
		t.Errorf("came back as %v, %v", back, err)
	}
	if oid, err := ParsePurpose("1.2.3.4"); err != nil || oid != "1.2.3.4" {
		t.Errorf("dotted = %s, %v", oid, err)
	}
	_, err = ParsePurpose("webServer")
	wantKind(t, err, ErrSyntax)
	_, err = ExtKeyUsageExtension(nil, false)
	wantKind(t, err, ErrBounds)
	_, err = ExtKeyUsageExtension([]string{"clientAuth"}, false)
	wantKind(t, err, ErrSyntax)
	for _, text := range []string{"", "3000", "30020500", "3003060080", "30040602" + "2a03ff"} {
		if _, err := ParseExtKeyUsage(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", text, err)
		}
	}
}

// TestSIDExtension compares with bytes worked out by hand.
func TestSIDExtension(t *testing.T) {
	ext, err := SIDExtension(testSID)
	if err != nil {
		t.Fatal(err)
	}
	want := "304c 0609 2b0601040182371902 043f 303d a03b 060a 2b060104018237190201 a02d 042b" + hex.EncodeToString([]byte(testSID))
	if der, err := ext.DER(); err != nil || !reflect.DeepEqual(der, unhex(t, want)) {
		t.Errorf("DER = %x, %v; want %s", der, err, want)
	}
	if sid, err := ParseSIDExtension(ext.Value); err != nil || sid != testSID {
		t.Errorf("ParseSIDExtension = %q, %v", sid, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "empty": "3000", "other identifier": "300aa00806022a03a0020400",
		"two": "30" + "7a" + strings.Repeat(hex.EncodeToString(ext.Value[2:]), 2), "trailing byte": hex.EncodeToString(ext.Value) + "00",
	} {
		if _, err := ParseSIDExtension(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	broken := []byte(strings.Replace(string(ext.Value), "S-1-5", "T-1-5", 1))
	_, err = ParseSIDExtension(broken)
	wantKind(t, err, ErrSyntax)
	_, err = SIDExtension("x")
	wantKind(t, err, ErrSyntax)
}

func TestCheckSID(t *testing.T) {
	for _, sid := range []string{testSID, "S-1-5-18", "S-1-12-1-4294967295-0", "S-1-281474976710655-1"} {
		if err := CheckSID(sid); err != nil {
			t.Errorf("%s is refused: %v", sid, err)
		}
	}
	for _, sid := range []string{"", "S-1", "S-1-5", "s-1-5-18", "S-2-5-18", "S-1-5-018", "S-1-5-4294967296", "S-1-281474976710656-1",
		"S-1-5-", "S-1-5-+1", "S-1-5-1 ", "S-1-5" + strings.Repeat("-1", 16)} {
		wantKind(t, CheckSID(sid), ErrSyntax)
	}
}

func TestSIDURI(t *testing.T) {
	g, err := SIDURI(testSID)
	if err != nil || g.Type != URI || g.Value != "tag:microsoft.com,2022-09-14:sid:"+testSID {
		t.Fatalf("SIDURI = %v, %v", g, err)
	}
	if sid, ok := ParseSIDURI(g.Value); !ok || sid != testSID {
		t.Errorf("ParseSIDURI = %q, %v", sid, ok)
	}
	for _, uri := range []string{"", "tag:microsoft.com,2022-09-14:sid:", "tag:example.com,2022-09-14:sid:" + testSID, g.Value + "x"} {
		if sid, ok := ParseSIDURI(uri); ok {
			t.Errorf("%s gives %s", uri, sid)
		}
	}
	_, err = SIDURI("x")
	wantKind(t, err, ErrSyntax)
}

func TestMicrosoftTemplates(t *testing.T) {
	if name, err := ParseTemplateName(unhex(t, "1e08 0055 0073 0065 0072")); err != nil || name != "User" {
		t.Errorf("name = %q, %v", name, err)
	}
	info, err := ParseTemplateInfo(unhex(t, "3014 060c 2b060104018237150801 0203 020164 020103"))
	if want := (TemplateInfo{"1.3.6.1.4.1.311.21.8.1.2.3", 100, 3}); err != nil || info != want {
		t.Errorf("info = %v, %v; want %v", info, err, want)
	}
	if info, err := ParseTemplateInfo(unhex(t, "3004 0602 2a03")); err != nil || info != (TemplateInfo{"1.2.3", -1, -1}) {
		t.Errorf("without versions = %v, %v", info, err)
	}
	oids, err := ParseApplicationPolicies(unhex(t, "300c 300a 0608 2b06010505070302"))
	if err != nil || !reflect.DeepEqual(oids, []string{"1.3.6.1.5.5.7.3.2"}) {
		t.Errorf("application policies = %v, %v", oids, err)
	}
	for _, text := range []string{"", "0500", "1e00", "1e0100"} {
		if _, err := ParseTemplateName(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("name %s: error = %v, want ErrEncoding", text, err)
		}
	}
	for _, text := range []string{"", "3000", "3007 0602 2a03 0201ff", "300d 0602 2a03 020101 020101 0500"} {
		if _, err := ParseTemplateInfo(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("info %s: error = %v, want ErrEncoding", text, err)
		}
	}
	for _, text := range []string{"", "30020500", "30023000"} {
		if _, err := ParseApplicationPolicies(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("policies %s: error = %v, want ErrEncoding", text, err)
		}
	}
}

func TestBasicConstraints(t *testing.T) {
	for text, want := range map[string]BasicConstraints{
		"3000": {false, -1}, "30030101ff": {true, -1}, "3003010100": {false, -1}, "30060101ff020100": {true, 0}, "30060101ff020105": {true, 5},
	} {
		if got, err := ParseBasicConstraints(unhex(t, text)); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "300000", "3003010101", "30060101ff0201ff", "30020500", "30080101ff020301ffff"} {
		if _, err := ParseBasicConstraints(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", text, err)
		}
	}
}

func TestSubjectKeyID(t *testing.T) {
	spki, err := x509.MarshalPKIXPublicKey(fixedKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	key := spki[len(spki)-32:]
	long, short := sha256.Sum256(key), sha1.Sum(key)
	if got, err := SubjectKeyID(spki, KeyIDSHA256); err != nil || !reflect.DeepEqual(got, long[:20]) {
		t.Errorf("SHA-256 = %x, %v; want %x", got, err, long[:20])
	}
	if got, err := SubjectKeyID(spki, KeyIDSHA1); err != nil || !reflect.DeepEqual(got, short[:]) {
		t.Errorf("SHA-1 = %x, %v; want %x", got, err, short)
	}
	_, err = SubjectKeyID(spki[:20], KeyIDSHA1)
	wantKind(t, err, ErrEncoding)
}
