package pkixmsg

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseDN(t *testing.T) {
	const cn, ou, o, c = OIDCommonName, OIDOrganizationalUnit, OIDOrganization, OIDCountry
	one := func(oid, value string) Name { return Name{{{OID: oid, Value: value}}} }
	tests := []struct {
		name, text string
		want       Name
		canonical  string
	}{
		{"empty", " ", nil, ""},
		{"typed order", "CN=x,OU=y,O=z,C=US",
			Name{{{OID: cn, Value: "x"}}, {{OID: ou, Value: "y"}}, {{OID: o, Value: "z"}}, {{OID: c, Value: "US"}}},
			"CN=x,OU=y,O=z,C=US"},
		{"spaces and case", " cn = x , Ou= y ", Name{{{OID: cn, Value: "x"}}, {{OID: ou, Value: "y"}}}, "CN=x,OU=y"},
		{"escaped comma", `O=Engines\, Analytical`, one(o, "Engines, Analytical"), `O=Engines\, Analytical`},
		{"hexadecimal pair", `O=a\2Cb`, one(o, "a,b"), `O=a\,b`},
		{"UTF-8 pairs", `CN=Lu\C4\8Di\C4\87`, one(cn, "Lučić"), "CN=Lučić"},
		{"quoted", `CN="Doe, \"J\" + Co" ,C=US`,
			Name{{{OID: cn, Value: `Doe, "J" + Co`}}, {{OID: c, Value: "US"}}}, `CN=Doe\, \"J\" \+ Co,C=US`},
		{"multi-valued", "CN=pad+serialNumber=F00D,DC=corp",
			Name{{{OID: cn, Value: "pad"}, {OID: OIDSerialNumber, Value: "F00D"}}, {{OID: OIDDomainComponent, Value: "corp"}}},
			"CN=pad+serialNumber=F00D,DC=corp"},
		{"spaces that count", `CN=\  x \ `, one(cn, "  x  "), `CN=\  x \ `},
		{"leading hash", `CN=\#1 #2`, one(cn, "#1 #2"), `CN=\#1 #2`},
		{"equals sign in value", "CN=a=b", one(cn, "a=b"), "CN=a=b"},
		{"empty value", "CN=,O=z", Name{{{OID: cn}}, {{OID: o, Value: "z"}}}, "CN=,O=z"},
		{"control character", `CN=a\0Ab\00`, one(cn, "a\nb\x00"), `CN=a\0Ab\00`},
		{"placeholder", "CN={UserPrincipalName}", one(cn, "{UserPrincipalName}"), "CN={UserPrincipalName}"},
		{"hexadecimal text value", "CN=#0C0141", one(cn, "A"), "CN=A"},
		{"hexadecimal other value", "2.5.4.45=#03020780", Name{{{OID: "2.5.4.45", Raw: []byte{3, 2, 7, 0x80}}}}, "2.5.4.45=#03020780"},
		{"dotted known", "OID.2.5.4.3=x", one(cn, "x"), "CN=x"},
		{"dotted unknown text", "1.2.3.4=hi", one("1.2.3.4", "hi"), "1.2.3.4=#0c026869"},
		{"dotted beyond 64 bits", "2.25.340282366920938463463374607431768211455=x",
			one("2.25.340282366920938463463374607431768211455", "x"), "2.25.340282366920938463463374607431768211455=#0c0178"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mustDN(t, tt.text)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseDN = %#v, want %#v", got, tt.want)
			}
			if s := got.String(); s != tt.canonical {
				t.Errorf("String = %s, want %s", s, tt.canonical)
			}
		})
	}
}

func TestParseDNAttributeNames(t *testing.T) {
	words := map[string]string{
		"CN": "2.5.4.3", "SN": "2.5.4.4", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "S": "2.5.4.8",
		"STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "T": "2.5.4.12", "TITLE": "2.5.4.12", "GN": "2.5.4.42", "G": "2.5.4.42",
		"givenName": "2.5.4.42", "I": "2.5.4.43", "GENERATIONQUALIFIER": "2.5.4.44", "DC": "0.9.2342.19200300.100.1.25",
		"UID": "0.9.2342.19200300.100.1.1", "E": "1.2.840.113549.1.9.1", "EMAIL": "1.2.840.113549.1.9.1",
		"EMAILADDRESS": "1.2.840.113549.1.9.1", "DNQ": "2.5.4.46", "unstructuredName": "1.2.840.113549.1.9.2",
		"unstructuredAddress": "1.2.840.113549.1.9.8", "pseudonym": "2.5.4.65", "businessCategory": "2.5.4.15",
		"organizationIdentifier": "2.5.4.97",
	}
	for word, oid := range words {
		for _, typed := range []string{word, strings.ToLower(word), strings.ToUpper(word)} {
			if got := mustDN(t, typed+"=x")[0][0].OID; got != oid {
				t.Errorf("%s = %s, want %s", typed, got, oid)
			}
		}
	}
	for _, word := range AttributeNames() {
		if got := mustDN(t, word+"=x").String(); got != word+"=x" {
			t.Errorf("%s is written back as %s", word, got)
		}
	}
}

func TestParseDNErrors(t *testing.T) {
	tests := []struct {
		name, text string
		position   int
		message    string
	}{
		{"no equals sign", "CN=x,Ltd", 6, `expected = after the attribute name "Ltd"`},
		{"comma in a value", "O=Example, Inc.", 12, `expected = after`},
		{"unknown type", "CN=x, CM=y", 7, `"CM" is no attribute name`},
		{"trailing comma", "CN=x,", 6, "expected an attribute such as CN="},
		{"no type", "=x", 1, "expected an attribute name before ="},
		{"semicolon", "CN=é;O=y", 5, "semicolon"},
		{"slashes", "/CN=x/O=y", 1, "slash"},
		{"open quotation", `CN=x,O="y`, 8, "not closed"},
		{"quotation in a value", `CN=a "b"`, 6, "in the middle"},
		{"text behind quotation", `CN="a" b`, 8, "expected a comma"},
		{"bad escape", `CN=a\xyz`, 5, "backslash"},
		{"escape at the end", `CN=a\`, 5, "backslash"},
		{"not UTF-8", `CN=\FF`, 4, "not valid UTF-8"},
		{"odd hexadecimal", "CN=#0c0", 4, "hexadecimal"},
		{"not one element", "CN=#0c01410c0141", 4, "hexadecimal"},
		{"text behind hexadecimal", "CN=#0c0141zz", 11, "expected a comma"},
		{"twice in a part", "CN=a+CN=b", 6, "CN occurs twice"},
		{"leading zero in identifier", "1.02.3=x", 1, "no attribute name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseDN(tt.text)
			wantKind(t, err, ErrSyntax)
			var e *Error
			errors.As(err, &e)
			if e.Position != tt.position || !strings.Contains(e.Message, tt.message) {
				t.Errorf("position %d, message %q; want %d, %q", e.Position, e.Message, tt.position, tt.message)
			}
		})
	}
}

func TestParseDNLimits(t *testing.T) {
	for name, text := range map[string]string{
		"text":     "CN=" + strings.Repeat("x", maxDNText),
		"parts":    strings.Repeat("OU=x,", maxRDNs) + "C=US",
		"together": "CN=x" + manyTogether(),
	} {
		if _, err := ParseDN(text); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: error = %v, want ErrTooLarge", name, err)
		}
	}
}

func manyTogether() string {
	var b strings.Builder
	for i := range maxRDNValues {
		fmt.Fprintf(&b, "+1.2.3.%d=x", i)
	}
	return b.String()
}

func TestNameDER(t *testing.T) {
	if der, err := Name(nil).DER(); err != nil || hex.EncodeToString(der) != "3000" {
		t.Errorf("empty name = %x, %v; want 3000", der, err)
	}
	types := []struct {
		text string
		tag  byte // of the only value
	}{
		{"CN=x", 12}, {"CN=Zoë", 12}, {"C=US", 19}, {"serialNumber=1", 19}, {"DNQ=1", 19}, {"DC=corp", 22}, {"E=a@b.c", 22},
		{"UID=x", 12}, {"unstructuredName=x", 22}, {"unstructuredName=é", 12}, {"1.2.3=x", 12}, {"jurisdictionC=GB", 19},
	}
	for _, tt := range types {
		name := mustDN(t, tt.text)
		der, err := name.DER()
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		value := len(der) - 2 - len(name[0][0].Value)
		if der[value] != tt.tag {
			t.Errorf("%s: value has tag %d, want %d", tt.text, der[value], tt.tag)
		}
	}
	der, err := mustDN(t, "CN=x,O=y,C=us").DER()
	want := "3025" + "310b3009" + "0603550406" + "13025553" + // C=US first
		"310a3008" + "060355040a" + "0c0179" + "310a3008" + "0603550403" + "0c0178"
	if got := hex.EncodeToString(der); err != nil || got != want {
		t.Errorf("DER = %s, %v; want %s", got, err, want)
	}
}

func TestNameDERBounds(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	tests := []struct{ name, text, message string }{
		{"common name", "CN=" + long(65), "CN has 65 characters; the limit is 64."},
		{"organization", "O=" + long(65), "O has 65 characters; the limit is 64."},
		{"locality", "L=" + long(129), "L has 129 characters; the limit is 128."},
		{"user", "UID=" + long(257), "UID has 257 characters"},
		{"mail", "E=" + strings.Repeat("x", 256), "emailAddress has 256 characters"},
		{"country of three", "C=USA", "C is exactly two letters."},
		{"country of digits", "C=U1", "C is exactly two letters."},
		{"empty", "CN=", "CN is empty."},
		{"serial number", "serialNumber=a_b", "serialNumber holds a character"},
		{"mail not ASCII", "E=é@x", "emailAddress holds a character"},
		{"control character", `CN=a\00b`, "CN holds a control character."},
		{"other value for text", "CN=#020101", "CN must be text."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mustDN(t, tt.text).DER()
			wantKind(t, err, ErrBounds)
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("message = %q, want %q", err, tt.message)
			}
		})
	}
	if _, err := mustDN(t, "CN="+long(64)+",O="+long(64)).DER(); err != nil {
		t.Errorf("64 characters of two bytes are refused: %v", err)
	}
	for name, n := range map[string]Name{
		"empty part": {{}}, "not UTF-8": {{{OID: OIDCommonName, Value: "\xff"}}},
		"twice": {{{OID: OIDCommonName, Value: "a"}, {OID: OIDCommonName, Value: "b"}}},
	} {
		if _, err := n.DER(); !errors.Is(err, ErrBounds) {
			t.Errorf("%s: error = %v, want ErrBounds", name, err)
		}
	}
	if _, err := (Name{{{OID: "1.x", Value: "a"}}}).DER(); !errors.Is(err, ErrSyntax) {
		t.Errorf("bad identifier: error = %v, want ErrSyntax", err)
	}
}

func TestParseNameDERStringTypes(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"UTF8String", "0c03c3a978", "éx"},
		{"PrintableString with a star", "13022a2e", "*."},
		{"IA5String", "16024040", "@@"},
		{"NumericString", "12023432", "42"},
		{"T61String", "1402e978", "éx"},
		{"BMPString", "1e0400e90078", "éx"},
		{"BMPString with a pair", "1e04d83dde00", "😀"},
		{"UniversalString", "1c080001f60000000078", "😀x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name, err := ParseNameDER(commonNameDER(t, tt.value))
			if err != nil || name.Values(OIDCommonName)[0] != tt.want {
				t.Errorf("got %v, %v; want %q", name, err, tt.want)
			}
		})
	}
	for name, value := range map[string]string{
		"UTF8String": "0c01ff", "PrintableString": "1301e9", "odd BMPString": "1e0100", "half a pair": "1e02d83d",
		"reversed pair": "1e04de00d83d", "UniversalString": "1c0400110000", "short UniversalString": "1c020041", "no value": "",
	} {
		if _, err := ParseNameDER(commonNameDER(t, value)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	odd, err := ParseNameDER(commonNameDER(t, "020101"))
	if err != nil || odd.String() != "CN=#020101" {
		t.Errorf("INTEGER value = %v, %v; want CN=#020101", odd, err)
	}
}

// commonNameDER wraps a value, in hexadecimal DER, in a name.
func commonNameDER(t *testing.T, value string) []byte {
	t.Helper()
	body, err := hex.DecodeString("0603550403" + value)
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []byte{0x30, 0x31, 0x30} {
		body = append([]byte{tag, byte(len(body))}, body...)
	}
	return body
}

func TestParseNameDERRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "trailing byte": "300000", "empty set": "30023100", "no set": "30020500", "indefinite length": "30800000",
		"same type twice": "3016" + "3114" + "3008" + "0603550403" + "0c0161" + "3008" + "0603550403" + "0c0162",
	} {
		der, _ := hex.DecodeString(text)
		if _, err := ParseNameDER(der); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	if _, err := ParseNameDER(make([]byte, maxNameBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large name: error = %v, want ErrTooLarge", err)
	}
}

func TestNameEqualAndContains(t *testing.T) {
	base := mustDN(t, "CN=Ada  Lovelace+UID=ada,OU=Straße,OU=x,O=Example,C=GB")
	equal := []string{
		"UID=ADA+CN=ada lovelace,OU=STRAßE,OU=X,O=EXAMPLE,C=gb",
		`CN=\ ada lovelace\ +UID=ada,OU=straße,OU=x,O= example ,C=GB`,
	}
	for _, text := range equal {
		if !base.Equal(mustDN(t, text)) {
			t.Errorf("%s differs", text)
		}
	}
	for _, text := range []string{
		"", "CN=AdaLovelace+UID=ada,OU=Straße,OU=x,O=Example,C=GB", "CN=Ada Lovelace+UID=ada,OU=x,OU=Straße,O=Example,C=GB",
		"CN=Ada Lovelace,OU=Straße,OU=x,O=Example,C=GB", "CN=Ada Lovelace+UID=ada,OU=Straße,OU=x,O=Example",
	} {
		if base.Equal(mustDN(t, text)) {
			t.Errorf("%s is equal", text)
		}
	}
	for text, want := range map[string]bool{
		"": true, "O=example": true, "C=GB,UID=ada": true, "OU=x,OU=straße": true, "OU=x,OU=x": false, "O=Exampl": false, "L=x": false,
	} {
		if got := base.Contains(mustDN(t, text)); got != want {
			t.Errorf("Contains(%s) = %v, want %v", text, got, want)
		}
	}
	if got := base.Values(OIDOrganizationalUnit); !reflect.DeepEqual(got, []string{"Straße", "x"}) {
		t.Errorf("Values = %q", got)
	}
	raw := mustDN(t, "2.5.4.45=#03020780")
	if !raw.Equal(raw) || raw.Equal(mustDN(t, "2.5.4.45=#03020640")) || raw.Equal(mustDN(t, "2.5.4.45=x")) {
		t.Error("values that are not text compare wrongly")
	}
}

// TestNameRoundTrip writes random names and reads them back, as text and as DER.
func TestNameRoundTrip(t *testing.T) {
	alphabet := []rune(" ,+\"\\<>;=#aZ09/é😀\u00a0{}'\t\x00\x7f")
	types := append(AttributeNames(), "1.2.3.4", "2.25.99999999999999999999")
	for range 3000 {
		var name Name
		for range 1 + pick(t, 4) {
			var rdn RDN
			for range 1 + pick(t, 3) {
				oid, _ := attributeOID(types[pick(t, len(types))])
				value := make([]rune, pick(t, 8))
				for i := range value {
					value[i] = alphabet[pick(t, len(alphabet))]
				}
				rdn = append(rdn, Attribute{OID: oid, Value: string(value)})
			}
			if _, twice := rdn.repeats(); twice {
				rdn = rdn[:1]
			}
			name = append(name, rdn)
		}
		text := name.String()
		again, err := ParseDN(text)
		if err != nil || !reflect.DeepEqual(again, name) {
			t.Fatalf("%q came back as %#v, %v; want %#v", text, again, err, name)
		}
		der, err := name.DER()
		if err != nil {
			wantKind(t, err, ErrBounds)
			continue
		}
		if decoded, err := ParseNameDER(der); err != nil || !decoded.Equal(name) {
			t.Fatalf("%q came back from DER as %q, %v", text, decoded, err)
		}
	}
}
