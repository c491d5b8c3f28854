package pkixmsg

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestGeneralNameCheck(t *testing.T) {
	label63, host := strings.Repeat("a", 63), strings.Repeat("abcdefg.", 31)
	good := []GeneralName{
		{Email, "ada@example.com"}, {Email, "o'hara+x/y=z@sub.example"}, {Email, "a@xn--bcher-kva.example"},
		{UPN, "ada@corp.example"}, {UPN, "Zoë Lovelace@corp"}, {UPN, "a@b@c"},
		{DNS, "www.example.com"}, {DNS, "pad-0042"}, {DNS, "XN--BCHER-KVA.example"}, {DNS, label63 + ".a"}, {DNS, host + "abcde"},
		{DNS, "xn--80akhbyknj4f.xn--p1ai"}, {DNS, "1.2.3.4.5"},
		{URI, "https://www.example.com/a?b#c"}, {URI, "https://192.0.2.1:8443/"}, {URI, "https://[2001:db8::1]/"}, {URI, "urn:uuid:x"},
		{URI, "spiffe://trust.example/workload"}, {URI, "tag:microsoft.com,2022-09-14:sid:" + testSID},
		{IP, "192.0.2.7"}, {IP, "2001:db8::7"}, {IP, "::ffff:192.0.2.7"},
		{DirName, "CN=Ada,O=Example"}, {GUID, "{12345678-9ABC-def0-1234-56789abcdef0}"}, {RegisteredID, "1.2.3.4"},
		{Other, "1.2.3.4:0c0161"}, {Other, oidUPN + ":020101"},
	}
	for _, g := range good {
		if err := g.Check(false); err != nil {
			t.Errorf("%s %q is refused: %v", g.Type, g.Value, err)
		}
	}
	bad := []struct {
		name GeneralName
		kind error
		text string // of message or remedy
	}{
		{GeneralName{Email, "ada"}, ErrSyntax, "no name or no domain"},
		{GeneralName{Email, "@x"}, ErrSyntax, "no name or no domain"},
		{GeneralName{Email, "Ada <ada@example.com>"}, ErrSyntax, "not allowed before the @"},
		{GeneralName{Email, "a..b@example.com"}, ErrSyntax, "A dot"},
		{GeneralName{Email, "a@b@example.com"}, ErrSyntax, "not allowed before the @"},
		{GeneralName{Email, "zoë@example.com"}, ErrSyntax, "not allowed before the @"},
		{GeneralName{Email, "a@bücher.example"}, ErrSyntax, "xn--bcher-kva.example"},
		{GeneralName{Email, strings.Repeat("x", 65) + "@example.com"}, ErrBounds, "64"},
		{GeneralName{UPN, ""}, ErrSyntax, "no user"},
		{GeneralName{UPN, "ada@"}, ErrSyntax, "no user"},
		{GeneralName{UPN, "a\x00@b"}, ErrBounds, "control character"},
		{GeneralName{UPN, "\xff@b"}, ErrBounds, "UTF-8"},
		{GeneralName{DNS, ""}, ErrSyntax, "empty"},
		{GeneralName{DNS, "a..b"}, ErrSyntax, "empty label"},
		{GeneralName{DNS, "www.example.com."}, ErrSyntax, "dot at its end"},
		{GeneralName{DNS, "-a.example"}, ErrSyntax, "hyphen"},
		{GeneralName{DNS, "a_b.example"}, ErrSyntax, "host names do not have"},
		{GeneralName{DNS, "a\x00.example"}, ErrSyntax, "host names do not have"},
		{GeneralName{DNS, "192.0.2.1"}, ErrSyntax, "kind ip"},
		{GeneralName{DNS, label63 + "a.b"}, ErrBounds, "63"},
		{GeneralName{DNS, host + "abcdef"}, ErrBounds, "253"},
		{GeneralName{DNS, "*.example.com"}, ErrSyntax, "wildcard"},
		{GeneralName{DNS, "bücher.Example"}, ErrSyntax, "xn--bcher-kva.example"},
		{GeneralName{DNS, "xn--a.example"}, ErrSyntax, "Punycode"},
		{GeneralName{DNS, "xn--abc-.example"}, ErrSyntax, "hyphen"},
		{GeneralName{DNS, "xn--99999999.example"}, ErrSyntax, "Punycode"},
		{GeneralName{URI, "www.example.com/x"}, ErrSyntax, "no scheme"},
		{GeneralName{URI, "https:"}, ErrSyntax, "nothing behind"},
		{GeneralName{URI, "https://a b/"}, ErrSyntax, "space"},
		{GeneralName{URI, "https://a_b/"}, ErrSyntax, "host names do not have"},
		{GeneralName{URI, "tag:microsoft.com,2022-09-14:SID:" + testSID}, ErrSyntax, "security identifier"},
		{GeneralName{URI, "tag:microsoft.com,2022-09-14:sid:S-1"}, ErrSyntax, "security identifier"},
		{GeneralName{IP, "192.0.2.0/24"}, ErrSyntax, "prefix length"},
		{GeneralName{IP, "fe80::1%eth0"}, ErrSyntax, "zone"},
		{GeneralName{DirName, ""}, ErrSyntax, "empty"},
		{GeneralName{DirName, "CN"}, ErrSyntax, "At character 1"},
		{GeneralName{DirName, "C=GBR"}, ErrBounds, "two letters"},
		{GeneralName{GUID, "12345678"}, ErrSyntax, "GUID"},
		{GeneralName{GUID, "1234567-89abc-def0-1234-56789abcdef0"}, ErrSyntax, "GUID"},
		{GeneralName{GUID, "1234567x-9abc-def0-1234-56789abcdef0"}, ErrSyntax, "GUID"},
		{GeneralName{RegisteredID, "1"}, ErrSyntax, "object identifier"},
		{GeneralName{Other, "1.2.3.4"}, ErrSyntax, "other name"},
		{GeneralName{Other, "1.2.3.4:0c01"}, ErrSyntax, "other name"},
		{GeneralName{Other, "9.2.3.4:0c0161"}, ErrSyntax, "object identifier"},
		{GeneralName{Other, oidUPN + ":0c0361406e"[:11]}, ErrSyntax, "other name"},
		{GeneralName{Other, oidUPN + ":1e020061"}, ErrSyntax, "kind of its own"},
		{GeneralName{"fax", "1"}, ErrSyntax, "no kind"},
		{GeneralName{"DNS", "a"}, ErrSyntax, "no kind"},
	}
	for _, tt := range bad {
		t.Run(string(tt.name.Type)+" "+tt.name.Value, func(t *testing.T) {
			err := tt.name.Check(false)
			wantKind(t, err, tt.kind)
			var e *Error
			if errors.As(err, &e); !strings.Contains(e.Message+e.Remedy, tt.text) {
				t.Errorf("message %q, remedy %q; want %q", e.Message, e.Remedy, tt.text)
			}
		})
	}
}

func TestWildcards(t *testing.T) {
	for value, want := range map[string]bool{
		"*.example.com": true, "www.example.com": true, "*.com": false, "*": false, "*.": false, "w*.example.com": false,
		"a.*.example.com": false, "*.*.example.com": false, "*example.com": false,
	} {
		if err := (GeneralName{DNS, value}).Check(true); (err == nil) != want {
			t.Errorf("%s: error %v, want accepted %v", value, err, want)
		}
	}
}

// TestPunycode uses the samples of RFC 3492 §7.1.
func TestPunycode(t *testing.T) {
	for text, coded := range map[string]string{
		"ليهمابتكلموشعربي؟":            "egbpdaj6bu4bxfgehfvwxn",
		"他们为什么不说中文":                    "ihqwcrb4cv8a8dqg056pqjye",
		"pročprostěnemluvíčesky":       "proprostnemluvesky-uyb24dma41a",
		"почемужеонинеговорятпорусски": "b1abfaaepdrnnbgefbadotcwatmq2g4l",
		"3年b組金八先生":                     "3b-ww4c5e180e575a65lsy2b",
		"bücher":                       "bcher-kva",
	} {
		if got, ok := encodePunycode([]rune(text)); !ok || got != coded {
			t.Errorf("encode %q = %q, %v; want %q", text, got, ok, coded)
		}
		if got, ok := decodePunycode(coded); !ok || string(got) != text {
			t.Errorf("decode %q = %q, %v; want %q", coded, string(got), ok, text)
		}
	}
	if _, ok := encodePunycode(make([]rune, maxPunyRunes+1)); ok {
		t.Error("a label of 257 characters is encoded")
	}
}

func TestSubjectAltNameRoundTrip(t *testing.T) {
	names := []GeneralName{
		{Email, "ada@example.com"}, {UPN, "zoë@corp.example"}, {DNS, "*.example.com"}, {URI, "urn:x:y"}, {IP, "192.0.2.7"},
		{IP, "2001:db8::7"}, {IP, "::ffff:192.0.2.7"}, {DirName, `CN=Ada\, B,C=GB`}, {GUID, "12345678-9abc-def0-1234-56789abcdef0"},
		{RegisteredID, "1.2.3.4"}, {Other, "1.2.3.4:0c0161"},
	}
	ext, err := SubjectAltName(nil, names)
	if err != nil {
		t.Fatal(err)
	}
	if !ext.Critical || ext.OID != OIDSubjectAltName {
		t.Errorf("extension %s, critical %v; want critical without a subject", ext.OID, ext.Critical)
	}
	got, err := ParseSubjectAltName(ext.Value)
	if err != nil || !reflect.DeepEqual(got, names) {
		t.Errorf("came back as %v, %v; want %v", got, err, names)
	}
	if ext, err := SubjectAltName(mustDN(t, "CN=x"), names[:1]); err != nil || ext.Critical {
		t.Errorf("with a subject: critical %v, %v", ext.Critical, err)
	}
}

// TestSubjectAltNameBytes compares with bytes worked out by hand.
func TestSubjectAltNameBytes(t *testing.T) {
	for _, tt := range []struct {
		name GeneralName
		want string
	}{
		{GeneralName{UPN, "alice@corp.example"}, "a022060a2b060104018237140203a0140c12616c69636540636f72702e6578616d706c65"},
		{GeneralName{GUID, "12345678-9abc-def0-1234-56789abcdef0"}, "a01f06092b0601040182371901a0120410" + "78563412" + "bc9a" + "f0de" + "1234" + "56789abcdef0"},
		{GeneralName{DNS, "a.b"}, "8203612e62"},
		{GeneralName{IP, "192.0.2.7"}, "8704c0000207"},
		{GeneralName{DirName, "C=GB"}, "a40f300d310b3009060355040613024742"},
		{GeneralName{RegisteredID, "1.2.3"}, "88022a03"},
	} {
		ext, err := SubjectAltName(nil, []GeneralName{tt.name})
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(ext.Value[2:]); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.name.Type, got, tt.want)
		}
	}
}

func TestSubjectAltNameRefuses(t *testing.T) {
	_, err := SubjectAltName(nil, nil)
	wantKind(t, err, ErrBounds)
	_, err = SubjectAltName(nil, []GeneralName{{DNS, "a b"}})
	wantKind(t, err, ErrSyntax)
	_, err = SubjectAltName(nil, make([]GeneralName, maxSANs+1))
	wantKind(t, err, ErrTooLarge)
	for name, text := range map[string]string{
		"nothing": "", "trailing byte": "300000", "five octets of address": "300787050102030405", "Latin-1 in a DNS name": "30038201e9",
		"X.400": "3002a300", "other name without value": "3006a0040602" + "2a03", "two values": "300ca00a06022a03a004050005" + "00",
		"registered identifier": "30028800", "directory name": "3004a4020500", "truncated": "30058203",
	} {
		der, _ := hex.DecodeString(text)
		if _, err := ParseSubjectAltName(der); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	many, _ := hex.DecodeString("30820fa4" + strings.Repeat("82026162", maxSANs+1))
	if _, err := ParseSubjectAltName(many); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1001 names: error = %v, want ErrTooLarge", err)
	}
}

// TestUPNInOtherStrings reads a UPN in an unusual string type as a UPN, so that
// it meets the same checks.
func TestUPNInOtherStrings(t *testing.T) {
	der, _ := hex.DecodeString("3018" + "a016" + "060a2b060104018237140203" + "a008" + "1e06006100400062")
	got, err := ParseSubjectAltName(der)
	if err != nil || !reflect.DeepEqual(got, []GeneralName{{UPN, "a@b"}}) {
		t.Errorf("got %v, %v; want a UPN", got, err)
	}
}

func TestParseNameType(t *testing.T) {
	for _, want := range NameTypes {
		if got, err := ParseNameType(strings.ToUpper(string(want))); err != nil || got != want {
			t.Errorf("ParseNameType = %v, %v; want %v", got, err, want)
		}
	}
	_, err := ParseNameType("fax")
	wantKind(t, err, ErrSyntax)
}
