package pkixmsg

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// TestTreeGolden shows a rich request of ours, one of OpenSSL with an RSA key,
// and a CA certificate; the halves that get signed show the same lines.
func TestTreeGolden(t *testing.T) {
	ours, err := BuildCSR(richRequest(t, fixedKey()))
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"rich.csr.txt": ours, "rsa-sha256.csr.txt": testdata(t, "rsa-sha256.csr"), "ca.crt.txt": testdata(t, "ca.crt"),
	} {
		root, err := Tree(der)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, root.Text())
		inner := root.Children[0]
		tbs, err := Tree(der[inner.Offset : inner.Offset+inner.HeaderLen+inner.Length])
		if err != nil {
			t.Fatal(err)
		}
		if got, want := columns(tbs), columns(inner); got != want {
			t.Errorf("%s: what is signed shows\n%s\nwant\n%s", name, got, want)
		}
	}
}

// columns gives the text of a tree without its offsets.
func columns(n *Node) string {
	var b strings.Builder
	for line := range strings.Lines(n.Text()) {
		b.WriteString(line[7:])
	}
	return b.String()
}

// TestTreeOffsets checks that every element is where the tree says.
func TestTreeOffsets(t *testing.T) {
	for _, file := range []string{"rsa-sha256.csr", "ca.crt"} {
		der := testdata(t, file)
		root, err := Tree(der)
		if err != nil {
			t.Fatal(err)
		}
		var walk func(*Node)
		walk = func(n *Node) {
			end := n.Offset + n.HeaderLen + n.Length
			if !wholeElement(der[n.Offset:end]) || !bytes.Equal(der[n.Offset+n.HeaderLen:end], n.body) {
				t.Errorf("%s: no element %s at %d", file, n.Tag, n.Offset)
			}
			for _, child := range n.Children {
				walk(child)
			}
		}
		walk(root)
	}
}

func TestTreeValues(t *testing.T) {
	for _, tt := range []struct{ der, want string }{
		{"0101ff", "BOOLEAN TRUE"}, {"010100", "BOOLEAN FALSE"}, {"010101", "BOOLEAN (1 byte) 01"},
		{"0201ff", "INTEGER -1"}, {"02020100", "INTEGER 256"}, {"0200", "INTEGER (0 bytes)"},
		{"0209008000000000000000", "INTEGER 64 bits (9 bytes) 008000000000000000"}, {"0a0105", "ENUMERATED 5"},
		{"0500", "NULL"}, {"050101", "NULL (1 byte) 01"}, {"06032a0304", "OBJECT IDENTIFIER 1.2.3.4"},
		{"06028001", "OBJECT IDENTIFIER (2 bytes) 8001"}, {"0603550403", "OBJECT IDENTIFIER 2.5.4.3 CN"},
		{"03020780", "BIT STRING 1 bit (1 byte) 80"}, {"030108", "BIT STRING (1 byte) 08"},
		{"0c03610a22", `UTF8String "a\n\""`}, {"0c01ff", "UTF8String (1 byte) ff"}, {"1e0200e9", `BMPString "é"`},
		{"170d3236303130323033303430355a", "UTCTime 2026-01-02T03:04:05Z"}, {"17026162", `UTCTime "ab"`},
		{"180f32303236303130323033303430355a", "GeneralizedTime 2026-01-02T03:04:05Z"},
		{"0403010203", "OCTET STRING (3 bytes) 010203"}, {"8201ff", "[2] (1 byte) ff"}, {"4200", "[2] application (0 bytes)"},
		{"c101aa", "[1] private (1 byte) aa"}, {"0d00", "UNIVERSAL 13 (0 bytes)"},
		{"0419" + strings.Repeat("ab", 25), "OCTET STRING (25 bytes) " + strings.Repeat("ab", 24) + "…"},
		{"0c79" + strings.Repeat("61", 121), `UTF8String "` + strings.Repeat("a", 120) + `"…`},
	} {
		root, err := Tree(unhex(t, tt.der))
		if err != nil {
			t.Errorf("%s: %v", tt.der, err)
			continue
		}
		if got := strings.TrimSuffix(root.Text()[16:], "\n"); got != tt.want {
			t.Errorf("%s = %q, want %q", tt.der, got, tt.want)
		}
	}
}

func TestTreeRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "two elements": "05000500", "child longer than parent": "30020c05", "indefinite length": "30800000",
		"long form of a short length": "308100", "high tag number": "1f8101" + "00",
	} {
		if _, err := Tree(unhex(t, text)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error = %v, want ErrEncoding", name, err)
		}
	}
	deep := []byte{5, 0}
	for range maxTreeDepth + 1 {
		var b cryptobyte.Builder
		b.AddASN1(0x30, func(b *cryptobyte.Builder) { b.AddBytes(deep) })
		deep = b.BytesOrPanic()
	}
	var wide cryptobyte.Builder
	wide.AddASN1(0x30, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Repeat([]byte{5, 0}, maxTreeNodes)) })
	for name, der := range map[string][]byte{"levels": deep, "elements": wide.BytesOrPanic(), "bytes": make([]byte, MaxTreeBytes+1)} {
		_, err := Tree(der)
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: error = %v, want ErrTooLarge", name, err)
		}
	}
}

// TestTreeHidesChallenge hides the secret also where the request is malformed.
func TestTreeHidesChallenge(t *testing.T) {
	for _, der := range [][]byte{
		request(t, 7, attribute(OIDChallengePassword, unhex(t, "130673657372e974"), unhex(t, "300313"+"0178"))),
		unhex(t, "3011"+"06092a864886f70d010907"+"1304"+"73657372"),
	} {
		root, err := Tree(der)
		if err != nil {
			t.Fatal(err)
		}
		if text := root.Text(); strings.Contains(text, "ses") || strings.Contains(text, "7365") || !strings.Contains(text, "(hidden)") {
			t.Errorf("the secret shows:\n%s", text)
		}
	}
}

func TestTreeJSON(t *testing.T) {
	root, err := Tree(unhex(t, "30050603550403"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(root)
	want := `{"offset":0,"headerLen":2,"length":5,"class":"universal","tag":"SEQUENCE","children":[` +
		`{"offset":2,"headerLen":2,"length":3,"class":"universal","tag":"OBJECT IDENTIFIER","oid":"2.5.4.3","name":"CN"}]}`
	if err != nil || string(got) != want {
		t.Errorf("JSON = %s, %v; want %s", got, err, want)
	}
}
