package ntlm

import (
	"bytes"
	"crypto/rc4"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x; want %x", what, got, want)
	}
}

// challenge is a server's message with the given values.
func challenge(flags uint32, pairs ...pair) []byte {
	b := make([]byte, 56)
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[8:], 2)
	binary.LittleEndian.PutUint32(b[20:], flags)
	copy(b[24:], "\x01\x23\x45\x67\x89\xab\xcd\xef")
	info := appendPairs(nil, pairs)
	binary.LittleEndian.PutUint16(b[40:], uint16(len(info)))
	binary.LittleEndian.PutUint16(b[42:], uint16(len(info)))
	binary.LittleEndian.PutUint32(b[44:], uint32(len(b)))
	return append(b, info...)
}

var (
	key55  = bytes.Repeat([]byte{0x55}, 16)
	stamp  = pair{avTimestamp, []byte{1, 2, 3, 4, 5, 6, 7, 8}}
	domain = pair{avNetBIOS, utf16le("Domain")}
	server = pair{1, utf16le("Server")}
)

// TestValues: what MS-NLMP §4.2.4 computes for User, Domain and Password.
func TestValues(t *testing.T) {
	key := owf(Hash("Password"), "User", "Domain")
	equal(t, "NTOWFv2", key, unhex(t, "0c868a403bfd7a93a3001ef22ef02e3f"))
	equal(t, "NTOWFv2 of a name in small letters", owf(Hash("Password"), "user", "Domain"), key)
	if bytes.Equal(owf(Hash("Password"), "User", "DOMAIN"), key) {
		t.Error("the case of the domain does not count")
	}
	c, err := ParseChallenge(challenge(required, domain, server))
	if err != nil {
		t.Fatal(err)
	}
	zero := time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)
	nt, lm, base := respond(key, c, c.info, zero, [8]byte(bytes.Repeat([]byte{0xaa}, 8)))
	equal(t, "temp", nt[16:], unhex(t, `0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000
		02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000 00000000`))
	equal(t, "NTProofStr", nt[:16], unhex(t, "68cd0ab851e51c96aabc927bebef6a1c"))
	equal(t, "SessionBaseKey", base, unhex(t, "8de40ccadbc14a82f15cb0ad0de95ca3"))
	equal(t, "LMv2 response", lm, unhex(t, "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"))
}

// TestSealValues: the keys and the sealed message of MS-NLMP §4.2.4.4, and a
// sealed request of remote procedure calls with the same key.
func TestSealValues(t *testing.T) {
	s, err := newSession(key55)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "signing key", s.out.sign, unhex(t, "4788dc861b4782f35d43fd98fe1a2d39"))
	reference, err := rc4.NewCipher(unhex(t, "59f600973cc4960a25480a7c196e4c58"))
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, copied := make([]byte, 32), make([]byte, 32), *s.out.stream
	copied.XORKeyStream(ours, ours)
	reference.XORKeyStream(theirs, theirs)
	equal(t, "key stream of the sealing key", ours, theirs)

	data := utf16le("Plaintext")
	token := s.Seal(nil, data, nil)
	equal(t, "sealed", data, unhex(t, "54e50165bf1936dc996020c1811b0f06fb5f"))
	equal(t, "signature", token, unhex(t, "01000000 7fb38ec5c55d4976 00000000"))

	if s, err = newSession(key55); err != nil {
		t.Fatal(err)
	}
	data = bytes.Repeat([]byte{0x41}, 16)
	token = s.Seal(unhex(t, "05000003 10000000 40001000 02000000 10000000 00000600"), data, unhex(t, "0a060000 01000000"))
	equal(t, "sealed stub", data, unhex(t, "45a42c249f581e9db6211580a55a3647"))
	equal(t, "token", token, unhex(t, "01000000 e4d71217226102d6 00000000"))
}

// peer is the server's side of a session.
func peer(t *testing.T, key []byte) *Session {
	t.Helper()
	s, err := newSession(key)
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = s.out, s.in
	return s
}

// TestBothWays: a negotiation's signatures and some messages each way; the key
// stream is as if the signatures had not been, their count goes on.
func TestBothWays(t *testing.T) {
	client, err := newSession(key55)
	if err != nil {
		t.Fatal(err)
	}
	s := peer(t, key55)
	list := []byte("list of mechanisms")
	mic := client.SignList(list)
	if err := s.VerifyList(list, mic); err != nil {
		t.Fatal(err)
	}
	if err := client.VerifyList(list, s.SignList(list)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		text := strings.Repeat("x", 100*i)
		data := []byte(text)
		token := client.Seal([]byte("before"), data, []byte("behind"))
		if i == 0 {
			fresh, err := newSession(key55)
			if err != nil {
				t.Fatal(err)
			}
			fresh.out.count = 1
			if want := fresh.Seal([]byte("before"), []byte(text), []byte("behind")); !bytes.Equal(token, want) {
				t.Errorf("first token %x; want %x", token, want)
			}
		}
		if i > 0 && string(data) == text {
			t.Error("sealed is still in clear")
		}
		if err := s.Unseal([]byte("before"), data, []byte("behind"), token); err != nil || string(data) != text {
			t.Fatalf("message %d: %v", i, err)
		}
		token = s.Seal(nil, data, nil)
		if err := client.Unseal(nil, data, nil, token); err != nil || string(data) != text {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
}

// TestTampered: no changed, repeated or cut message opens.
func TestTampered(t *testing.T) {
	for name, change := range map[string]func(before, data, behind, token []byte) []byte{
		"data":      func(_, data, _, token []byte) []byte { data[0] ^= 1; return token },
		"header":    func(before, _, _, token []byte) []byte { before[0] ^= 1; return token },
		"trailer":   func(_, _, behind, token []byte) []byte { behind[0] ^= 1; return token },
		"signature": func(_, _, _, token []byte) []byte { token[5] ^= 1; return token },
		"count":     func(_, _, _, token []byte) []byte { token[12] ^= 1; return token },
		"cut token": func(_, _, _, token []byte) []byte { return token[:15] },
		"no token":  func(_, _, _, _ []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			client, err := newSession(key55)
			if err != nil {
				t.Fatal(err)
			}
			before, data, behind := []byte("before"), []byte("data"), []byte("behind")
			token := change(before, data, behind, client.Seal(before, data, behind))
			if err := peer(t, key55).Unseal(before, data, behind, token); !errors.Is(err, Tampered) {
				t.Errorf("got %v; want %v", err, Tampered)
			}
		})
	}
	client, s := peer(t, key55), peer(t, key55)
	client.in, client.out = client.out, client.in
	data := []byte("data")
	token := client.Seal(nil, data, nil)
	sealed := bytes.Clone(data)
	if err := s.Unseal(nil, data, nil, token); err != nil {
		t.Fatal(err)
	}
	if err := s.Unseal(nil, sealed, nil, token); !errors.Is(err, Tampered) {
		t.Errorf("a repeated message: %v; want %v", err, Tampered)
	}
	mic := client.SignList([]byte("list"))
	if err := s.VerifyList([]byte("List"), mic); !errors.Is(err, Tampered) {
		t.Errorf("another list: %v; want %v", err, Tampered)
	}
}

// TestNegotiate: the first message is 40 octets without names.
func TestNegotiate(t *testing.T) {
	equal(t, "NEGOTIATE", Negotiate(), append(unhex(t, "4e544c4d53535000 01000000 358208e0"), make([]byte, 24)...))
}

// TestAuthenticate checks the answer the way a server does: proof, key exchange,
// integrity code, and the values that a client has to give back.
func TestAuthenticate(t *testing.T) {
	bindings := bytes.Repeat([]byte{7}, 16)
	for name, c := range map[string]struct {
		pairs []pair
		login Login
		lm    bool
	}{
		"with the server's time": {[]pair{domain, server, stamp}, Login{User: "User", Domain: "Domain", Target: "host/ca1.example"}, false},
		"without":                {[]pair{domain, server}, Login{User: "User", Domain: "Domain", Target: "host/ca1.example"}, true},
		"by principal name":      {[]pair{domain, stamp}, Login{User: "user@corp.example", Target: "host/ca1.example"}, false},
		"bound to a channel":     {[]pair{stamp, {avFlags, []byte{9, 9, 9, 9}}}, Login{User: "Üser", Domain: "Domain", Target: "HTTP/ca1", Bindings: bindings}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.login.Hash = Hash("Password")
			sent, raw := Negotiate(), challenge(required|flagTarget|0x10000000, c.pairs...)
			parsed, err := ParseChallenge(raw)
			if err != nil {
				t.Fatal(err)
			}
			b, s, err := c.login.Authenticate(sent, parsed, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			get := func(at int) []byte {
				v, ok := field(b, at)
				if !ok {
					t.Fatalf("the field at %d points outside", at)
				}
				return v
			}
			if binary.LittleEndian.Uint32(b[8:]) != 3 || fromUTF16(get(28)) != c.login.Domain || fromUTF16(get(36)) != c.login.User {
				t.Errorf("not an answer of this user: %x", b)
			}
			if flags := binary.LittleEndian.Uint32(b[60:]); flags != required|flagTarget {
				t.Errorf("flags %x; want what both sides have", flags)
			}
			key := owf(c.login.Hash, c.login.User, c.login.Domain)
			nt := get(20)
			equal(t, "proof", nt[:16], mac(key, raw[24:32], nt[16:]))
			exported := make([]byte, 16)
			stream, err := rc4.NewCipher(mac(key, nt[:16]))
			if err != nil {
				t.Fatal(err)
			}
			stream.XORKeyStream(exported, get(52))
			equal(t, "session key", exported, s.Key())
			code := bytes.Clone(b[72:88])
			clear(b[72:88])
			equal(t, "integrity code", code, mac(exported, sent, raw, b))
			if none := bytes.Equal(get(12), make([]byte, 24)); none == c.lm {
				t.Errorf("the older response is empty: %v", none)
			}

			said, ok := parsePairs(nt[44 : len(nt)-4])
			if !ok {
				t.Fatal("the values cannot be read")
			}
			answer := &Challenge{info: said}
			if v, _ := answer.value(avFlags); !bytes.Equal(v, []byte{2, 0, 0, 0}) {
				t.Errorf("flags value %x; want 2", v)
			}
			if v, _ := answer.value(avTargetName); fromUTF16(v) != c.login.Target {
				t.Errorf("target %q; want %q", fromUTF16(v), c.login.Target)
			}
			if v, _ := answer.value(avBindings); !bytes.Equal(v, c.login.Bindings) {
				t.Errorf("bindings %x; want %x", v, c.login.Bindings)
			}
			if parsed.Domain() != answer.Domain() {
				t.Errorf("domain %q was not given back", parsed.Domain())
			}
			if count := len(said) - len(c.pairs); count < 1 || count > 3 {
				t.Errorf("%d values for the server's %d", len(said), len(c.pairs))
			}
		})
	}
}

// TestAnswersDiffer: neither the challenge nor the key of a client comes twice.
func TestAnswersDiffer(t *testing.T) {
	c, err := ParseChallenge(challenge(required, stamp))
	if err != nil {
		t.Fatal(err)
	}
	l := Login{User: "User", Hash: Hash("Password")}
	a, first, err := l.Authenticate(Negotiate(), c, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, second, err := l.Authenticate(Negotiate(), c, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first.Key(), second.Key()) || bytes.Equal(a[88:], b[88:]) {
		t.Error("two answers are alike")
	}
}

// TestChallengeRefused: what is no challenge, and what is too weak a one.
func TestChallengeRefused(t *testing.T) {
	good := challenge(required, domain, stamp)
	set := func(at int, v byte) []byte { b := bytes.Clone(good); b[at] = v; return b }
	cases := map[string]struct {
		b    []byte
		want error
	}{
		"empty":                 {nil, Malformed},
		"short":                 {good[:47], Malformed},
		"another name":          {set(0, 'M'), Malformed},
		"another type":          {set(8, 3), Malformed},
		"values outside":        {set(44, 0xff), Malformed},
		"far outside":           {set(47, 0xff), Malformed},
		"no end of the values":  {good[:len(good)-4], Malformed},
		"value past the end":    {set(58, 0xff), Malformed},
		"too long":              {append(bytes.Clone(good), make([]byte, maxChallenge)...), Malformed},
		"no values at all":      {set(40, 0), Malformed},
		"too many values":       {challenge(required, slices.Repeat([]pair{server}, maxPairs+2)...), Malformed},
		"as many as can be":     {challenge(required, slices.Repeat([]pair{server}, maxPairs)...), nil},
		"a challenge like that": {good, nil},
	}
	for _, flag := range []uint32{flagUnicode, flagSign, flagSeal, flagExtended, flagTargetInfo, flag128, flagKeyExchange} {
		cases["without flag "+hex.EncodeToString(binary.BigEndian.AppendUint32(nil, flag))] = struct {
			b    []byte
			want error
		}{challenge(required&^flag, domain, stamp), Weak}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseChallenge(c.b)
			if !errors.Is(err, c.want) || (got == nil) != (err != nil) {
				t.Errorf("got %v; want %v", err, c.want)
			}
		})
	}
}

// FuzzParseChallenge: whatever parses can be answered, and its values come back.
func FuzzParseChallenge(f *testing.F) {
	f.Add(challenge(required, domain, server, stamp))
	f.Add(challenge(required))
	f.Add(challenge(0))
	f.Add(challenge(required, pair{avTimestamp, []byte{1}}, pair{avNetBIOS, []byte{0xff, 0xdf, 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChallenge(b)
		if err != nil {
			return
		}
		c.Domain()
		if again, ok := parsePairs(appendPairs(nil, c.info)); !ok || len(again) != len(c.info) {
			t.Errorf("%d values came back as %d", len(c.info), len(again))
		}
		if _, _, err := (Login{User: "User"}).Authenticate(Negotiate(), c, time.Unix(0, 0)); err != nil {
			t.Error(err)
		}
	})
}
