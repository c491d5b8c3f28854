package pkixmsg

import (
	"bytes"
	"crypto/x509"
	"testing"
)

// FuzzShortOID holds the short ways of reading and writing object identifiers
// against crypto/x509's: they give the same, or leave it to them.
func FuzzShortOID(f *testing.F) {
	for _, s := range []string{"1.3.6.1.5.5.7.3.2", "2.5.4.3", "2.999.1", "2.39", "2.40", "2.48", "1.39", "0.0", "1.40", "3.1", "1", "", ".", "1.", ".1", "1..2", "01.2", "1.02",
		"1.2.268435455", "1.2.268435456", "2.268435375", "2.268435376", "2.25.329800735698586629295641978511506172918", "1.2.840.113549.1.1.11", "1.2.-3", "1.2 3"} {
		oid, err := x509.ParseOID(s)
		var body []byte
		if err == nil {
			body, _ = oid.MarshalBinary()
		}
		f.Add(s, body)
	}
	for _, body := range [][]byte{{}, {0x80}, {0x80, 0x01}, {0x2a, 0x80}, {0x2a, 0x80, 0x01}, {0xff, 0xff, 0xff, 0x7f}, {0x8f, 0xff, 0xff, 0xff, 0x7f}, {0x2a, 0xff}} {
		f.Add("1.2", body)
	}
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		if got, ok := encodeShortOID(text); ok {
			oid, err := x509.ParseOID(text)
			if err != nil || oid.String() != text {
				t.Fatalf("%q is taken for an object identifier: %v", text, err)
			}
			if want, _ := oid.MarshalBinary(); !bytes.Equal(got, want) {
				t.Errorf("%q: got %x, want %x", text, got, want)
			}
		}
		if got, ok := decodeShortOID(body); ok {
			var oid x509.OID
			if err := oid.UnmarshalBinary(body); err != nil {
				t.Fatalf("%x is taken for an object identifier: %v", body, err)
			}
			if want := oid.String(); got != want {
				t.Errorf("%x: got %q, want %q", body, got, want)
			}
		}
	})
}

// What every certificate holds goes the short way.
func TestShortOID(t *testing.T) {
	for _, s := range []string{OIDSubjectAltName, OIDSecurityIdentifier, oidSHA256RSA, "1.3.6.1.5.5.7.3.2", "2.999.3"} {
		body, ok := encodeShortOID(s)
		if !ok {
			t.Errorf("%s goes the long way", s)
		}
		if back, ok := decodeShortOID(body); !ok || back != s {
			t.Errorf("%s: %x is read as %q", s, body, back)
		}
	}
}

func BenchmarkEncodeOID(b *testing.B) {
	for b.Loop() {
		if _, err := encodeOID(OIDSecurityIdentifier); err != nil {
			b.Fatal(err)
		}
	}
}
