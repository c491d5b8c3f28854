package rpclogin

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/gsskrb"
	"chancery/internal/wire/ntlm"
	"chancery/internal/wire/spnego"
)

// played is a mechanism that says what it is asked to do.
type played struct{ mechanism }

func (played) authType() uint8                 { return authNTLM }
func (played) tokenSize() int                  { return 3 }
func (played) offers() []asn1.ObjectIdentifier { return []asn1.ObjectIdentifier{spnego.NTLM} }
func (played) start() ([]byte, error)          { return []byte("start"), nil }
func (played) sign(list []byte) []byte         { return append([]byte("signed "), list...) }
func (played) verify(list, mic []byte) error {
	if string(mic) != "right" || !bytes.Equal(list, spnego.List([]asn1.ObjectIdentifier{spnego.NTLM})) {
		return ntlm.Tampered
	}
	return nil
}
func (played) finish(answer []byte) ([]byte, error) {
	if string(answer) == "no" {
		return nil, refused("ca1")
	}
	return append([]byte("finish "), answer...), nil
}
func (played) seal(_, _, _ []byte, _ bool) ([]byte, error) { return []byte("abc"), nil }
func (played) unseal(_, _, _, _ []byte, _ bool) error      { return nil }

// said is a server's token of SPNEGO; a state below zero is left out.
func said(t *testing.T, state int, mechanism asn1.ObjectIdentifier, token, mic string) []byte {
	t.Helper()
	inner := spnego.Next([]byte(token), []byte(mic))
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(inner, &outer); err != nil {
		t.Fatal(err)
	}
	var fields asn1.RawValue
	if _, err := asn1.Unmarshal(outer.Bytes, &fields); err != nil {
		t.Fatal(err)
	}
	var b []byte
	if state >= 0 {
		b = append(b, 0xa0, 3, 0x0a, 1, byte(state))
	}
	if mechanism != nil {
		oid, err := asn1.Marshal(mechanism)
		if err != nil {
			t.Fatal(err)
		}
		b = append(append(b, 0xa1, byte(len(oid))), oid...)
	}
	b = append(b, fields.Bytes...)
	b = append([]byte{0x30, byte(len(b))}, b...)
	return append([]byte{0xa1, byte(len(b))}, b...)
}

// TestNegotiation: what servers may answer in the two legs, and how it ends.
func TestNegotiation(t *testing.T) {
	chosen := said(t, 1, spnego.NTLM, "challenge", "")
	for name, c := range map[string]struct {
		answers [][]byte
		kind    ra.Kind // empty: it succeeds
	}{
		"as it should be":         {[][]byte{chosen, said(t, 0, nil, "", "right")}, ""},
		"nothing is signed":       {[][]byte{chosen, said(t, 0, nil, "", "")}, ""},
		"wants a signature":       {[][]byte{said(t, 3, spnego.NTLM, "challenge", ""), said(t, 0, nil, "", "right")}, ""},
		"signed by somebody else": {[][]byte{chosen, said(t, 0, nil, "", "wrong")}, ra.Unreachable},
		"refused at once":         {[][]byte{said(t, 2, nil, "", "")}, ra.RefusedByCA},
		"refused in the end":      {[][]byte{chosen, said(t, 2, nil, "", "")}, ra.RefusedByCA},
		"no end":                  {[][]byte{chosen, said(t, 1, nil, "more", "")}, ra.RefusedByCA},
		"done too early":          {[][]byte{said(t, 0, spnego.NTLM, "challenge", "")}, ra.RefusedByCA},
		"another mechanism":       {[][]byte{said(t, 1, spnego.Kerberos, "challenge", "")}, ra.RefusedByCA},
		"no mechanism":            {[][]byte{said(t, 1, nil, "challenge", "")}, ra.RefusedByCA},
		"the mechanism refuses":   {[][]byte{said(t, 1, spnego.NTLM, "no", "")}, ra.RefusedByCA},
		"noise":                   {[][]byte{[]byte("noise")}, ra.RefusedByCA},
		"noise in the end":        {[][]byte{chosen, []byte("noise")}, ra.RefusedByCA},
	} {
		t.Run(name, func(t *testing.T) {
			s := &negotiated{m: played{}, target: "ca1"}
			if _, err := s.Seal(nil, nil, nil, true); err == nil {
				t.Error("sealed before it began")
			}
			first, err := s.Next(nil)
			if err != nil || !bytes.Equal(first, spnego.First([]asn1.ObjectIdentifier{spnego.NTLM}, []byte("start"))) {
				t.Fatalf("begins with %x, %v", first, err)
			}
			var out []byte
			for i, a := range c.answers {
				if s.Done() {
					t.Fatal("done too early")
				}
				if out, err = s.Next(a); err != nil {
					break
				}
				if i == 0 && !bytes.Equal(out, spnego.Next([]byte("finish challenge"), append([]byte("signed "), spnego.List([]asn1.ObjectIdentifier{spnego.NTLM})...))) {
					t.Errorf("answers %x", out)
				}
			}
			if c.kind == "" {
				if err != nil || !s.Done() || len(out) != 0 {
					t.Errorf("ends with %x, %v", out, err)
				}
				if _, err := s.Seal(nil, nil, nil, true); err != nil {
					t.Error(err)
				}
				if err := s.Unseal(nil, nil, nil, nil, true); err != nil {
					t.Error(err)
				}
				if _, err := s.Next(nil); err == nil {
					t.Error("goes on after the end")
				}
				return
			}
			if e := ra.AsError(err); e.Kind != c.kind || e.Remedy == "" || s.Done() {
				t.Errorf("got %v (%s); want %s", err, e.Kind, c.kind)
			}
			if err := s.Unseal(nil, nil, nil, nil, true); err == nil {
				t.Error("unsealed without a login")
			}
		})
	}
}

// TestBare: one answer, and no use before it and no second one.
func TestBare(t *testing.T) {
	s := &bare{m: played{}}
	if out, err := s.Next(nil); err != nil || string(out) != "start" || s.Done() {
		t.Fatalf("%q, %v", out, err)
	}
	if _, err := s.Seal(nil, nil, nil, true); err == nil {
		t.Error("sealed before the end")
	}
	if err := s.Unseal(nil, nil, nil, nil, true); err == nil {
		t.Error("unsealed before the end")
	}
	if _, err := s.Next([]byte("no")); err == nil || s.Done() {
		t.Error("a refusal is an end")
	}
	if out, err := s.Next([]byte("challenge")); err != nil || string(out) != "finish challenge" || !s.Done() || s.Answered() {
		t.Fatalf("%q, %v", out, err)
	}
	if _, err := s.Next(nil); err == nil {
		t.Error("goes on after the end")
	}
}

// TestWords: what can go wrong with a server has words and a remedy of its own.
func TestWords(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kind ra.Kind
		word string
	}{
		"weak":           {ntlmError(ntlm.Weak, "ca1"), ra.RefusedByCA, "weak"},
		"no challenge":   {ntlmError(ntlm.Malformed, "ca1"), ra.RefusedByCA, "cannot be read"},
		"no RC4":         {ntlmError(errors.New("crypto/rc4: use of RC4 is not allowed"), "ca1"), ra.Invalid, "NTLM"},
		"skew":           {kerberosError(&gsskrb.Refused{Code: gsskrb.CodeSkew}, "host/ca1", "ca1"), ra.RefusedByCA, "clock"},
		"modified":       {kerberosError(&gsskrb.Refused{Code: gsskrb.CodeModified}, "host/ca1", "ca1"), ra.RefusedByCA, "another account"},
		"not us":         {kerberosError(&gsskrb.Refused{Code: gsskrb.CodeNotUs}, "host/ca1", "ca1"), ra.RefusedByCA, "not the service"},
		"something else": {kerberosError(&gsskrb.Refused{Code: 60}, "host/ca1", "ca1"), ra.RefusedByCA, "refused"},
		"RC4":            {kerberosError(gsskrb.NotAES, "host/ca1", "ca1"), ra.RefusedByCA, "RC4"},
		"forged":         {kerberosError(gsskrb.Forged, "host/ca1", "ca1"), ra.RefusedByCA, "prove that it is host/ca1"},
		"no answer":      {kerberosError(gsskrb.Malformed, "host/ca1", "ca1"), ra.RefusedByCA, "cannot be read"},
	} {
		if e := ra.AsError(c.err); e.Kind != c.kind || !strings.Contains(e.Message, c.word) || e.Remedy == "" {
			t.Errorf("%s: got %v (%s); want %s with %q", name, c.err, e.Kind, c.kind, c.word)
		}
	}
}

// TestService: the principal name, for remote procedure calls and for SMB.
func TestService(t *testing.T) {
	for _, c := range []struct{ spn, target, class, want string }{
		{"", "CA1.corp.example.", "host", "host/ca1.corp.example"},
		{"", "ca1.corp.example", "cifs", "cifs/ca1.corp.example"},
		{"RPCSS/ca1", "10.0.0.1", "host", "RPCSS/ca1"},
		{"RPCSS/ca1", "10.0.0.1", "cifs", "cifs/ca1"},
		{"ca1$", "10.0.0.1", "cifs", "ca1$"},
	} {
		if got := New(Login{SPN: c.spn}, Way{}).service(c.target, c.class); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

// TestHostileNTLM: a challenge that is weak or none, inside SPNEGO or not.
func TestHostileNTLM(t *testing.T) {
	for _, scheme := range []Scheme{NTLM, Negotiate} {
		a := New(Login{Scheme: scheme, User: `CORP\enroller`, Password: secret.New("Correct-horse 7")}, Way{Now: time.Now})
		for _, challenge := range []string{"", "noise", "NTLMSSP\x00\x02\x00\x00\x00" + strings.Repeat("\x00", 60)} {
			s, err := a.Security(t.Context(), "ca1")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Next(nil); err != nil {
				t.Fatal(err)
			}
			in := []byte(challenge)
			if scheme == Negotiate {
				in = said(t, 1, spnego.NTLM, challenge, "")
			}
			if _, err := s.Next(in); ra.KindOf(err) != ra.RefusedByCA || ra.AsError(err).Remedy == "" || s.Done() {
				t.Errorf("%s: %q: %v", scheme, challenge, err)
			}
		}
	}
}
