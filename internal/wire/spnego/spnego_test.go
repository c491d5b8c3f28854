package spnego_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"chancery/internal/wire/spnego"

	reference "github.com/jcmturner/gokrb5/v8/spnego"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFirst: the octets for NTLM, and what another implementation reads for
// Kerberos.
func TestFirst(t *testing.T) {
	got := spnego.First([]asn1.ObjectIdentifier{spnego.NTLM}, []byte("token"))
	want := append(unhex(t, "6025 06062b0601050502 a01b 3019 a00e 300c 060a2b06010401823702020a a207 0405"), "token"...)
	if !bytes.Equal(got, want) {
		t.Errorf("got %x; want %x", got, want)
	}
	long := bytes.Repeat([]byte("token"), 500)
	var read reference.SPNEGOToken
	if err := read.Unmarshal(spnego.First([]asn1.ObjectIdentifier{spnego.KerberosWindows, spnego.Kerberos}, long)); err != nil {
		t.Fatal(err)
	}
	if m := read.NegTokenInit.MechTypes; !read.Init || !bytes.Equal(read.NegTokenInit.MechTokenBytes, long) || len(m) != 2 || m[0].String() != "1.2.840.48018.1.2.2" || m[1].String() != "1.2.840.113554.1.2.2" {
		t.Errorf("read as %+v", read.NegTokenInit)
	}
}

// TestNext: the token and the signature, and neither where there is none.
func TestNext(t *testing.T) {
	for _, c := range []struct{ token, mic, want string }{
		{"ab", "cd", "a10e300c a204 0402 6162 a304 0402 6364"},
		{"ab", "", "a1083006 a204 0402 6162"},
		{"", "cd", "a1083006 a304 0402 6364"},
	} {
		if got := spnego.Next([]byte(c.token), []byte(c.mic)); !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%q, %q: got %x; want %s", c.token, c.mic, got, c.want)
		}
	}
	if got, want := spnego.List([]asn1.ObjectIdentifier{spnego.NTLM}), unhex(t, "300c 060a2b06010401823702020a"); !bytes.Equal(got, want) {
		t.Errorf("list %x; want %x", got, want)
	}
}

// TestParse: what servers say, and what is no answer.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		b    string
		want *spnego.Answer
	}{
		"goes on with NTLM": {"a11b3019 a0030a0101 a10c060a2b06010401823702020a a2040402 6162", &spnego.Answer{State: spnego.Incomplete, Mechanism: spnego.NTLM, Token: []byte("ab")}},
		"is done":           {"a10d300b a0030a0100 a3040402 6364", &spnego.Answer{State: spnego.Completed, MIC: []byte("cd")}},
		"refuses":           {"a1073005 a0030a0102", &spnego.Answer{State: spnego.Rejected}},
		"wants a signature": {"a1073005 a0030a0103", &spnego.Answer{State: spnego.WantsMIC}},
		"says nothing":      {"a1023000", &spnego.Answer{State: spnego.Incomplete}},
		"nothing":           {"", nil},
		"a first token":     {"a0023000", nil},
		"state of no kind":  {"a1073005 a0030a0104", nil},
		"state below zero":  {"a1073005 a0030a01ff", nil},
		"more behind it":    {"a1023000 00", nil},
		"more inside":       {"a1043000 0500", nil},
		"unknown field":     {"a1043002 a400", nil},
		"out of order":      {"a10d300b a3040402 6364 a0030a0100", nil},
		"not octets":        {"a1063004 a2020500", nil},
		"two in one field":  {"a1083006 a2040400 0400", nil},
		"cut":               {"a1073005 a0030a01", nil},
		"too long":          {"a1820002" + strings.Repeat("00", 70<<10), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := spnego.Parse(unhex(t, c.b))
			if c.want == nil {
				if !errors.Is(err, spnego.Malformed) || got != nil {
					t.Errorf("got %+v, %v; want %v", got, err, spnego.Malformed)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// FuzzParse: whatever parses holds no more than came in.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, "a11b3019 a0030a0101 a10c060a2b06010401823702020a a2040402 6162"))
	f.Add(unhex(f, "a10d300b a0030a0100 a3040402 6364"))
	f.Add(spnego.Next([]byte("ab"), []byte("cd")))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := spnego.Parse(b)
		if err != nil {
			return
		}
		if len(a.Token)+len(a.MIC) > len(b) {
			t.Errorf("%d and %d octets out of %d", len(a.Token), len(a.MIC), len(b))
		}
		again, err := spnego.Parse(spnego.Next(a.Token, a.MIC))
		if err != nil || !bytes.Equal(again.Token, a.Token) || !bytes.Equal(again.MIC, a.MIC) {
			t.Errorf("came back as %+v, %v", again, err)
		}
	})
}
