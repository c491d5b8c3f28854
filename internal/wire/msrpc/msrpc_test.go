package msrpc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"chancery/internal/wire/msrpc"
)

// octets reads hex with blanks and line ends in it.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// samr is an interface that both Windows and Samba have.
var samr = msrpc.SyntaxID{UUID: msrpc.MustUUID("12345778-1234-abcd-ef00-0123456789ac"), Version: 1}

const samrHex = "78573412 3412 cdab ef00 0123456789ac 01000000 "
const ndrHex = "045d888a eb1c c911 9fe8 08002b104860 02000000 "

func TestUUID(t *testing.T) {
	if got := samr.UUID.String(); got != "12345778-1234-abcd-ef00-0123456789ac" {
		t.Error(got)
	}
	if got := (msrpc.SyntaxID{UUID: samr.UUID, Version: 2<<16 | 1}).String(); got != "12345778-1234-abcd-ef00-0123456789ac v1.2" {
		t.Error(got)
	}
	for _, bad := range []string{"", "12345778-1234-abcd-ef00-0123456789a", "12345778-1234-abcd-ef00-0123456789ag", "1234577801234-abcd-ef00-0123456789ac"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q passes", bad)
				}
			}()
			msrpc.MustUUID(bad)
		}()
	}
}

func TestBind(t *testing.T) {
	for name, c := range map[string]struct {
		m    msrpc.Bind
		want string
	}{
		"plain": {msrpc.Bind{CallID: 1, MaxFrag: 5840, Interfaces: []msrpc.SyntaxID{samr}},
			"05000b03 10000000 4800 0000 01000000  d016 d016 00000000 01000000  0000 0100 " + samrHex + ndrHex},
		"with a login and two interfaces": {msrpc.Bind{CallID: 2, MaxFrag: 5840, HeaderSign: true, Interfaces: []msrpc.SyntaxID{samr, msrpc.Mapper},
			Auth: &msrpc.Auth{Type: msrpc.AuthNTLM, Context: 1, Token: []byte{1, 2, 3, 4, 5}}},
			"05000b07 10000000 8100 0500 02000000  d016 d016 00000000 02000000  0000 0100 " + samrHex + ndrHex +
				"0100 0100 0883afe1 1f5d c911 91a4 08002b14a0fa 03000000 " + ndrHex + "0a060000 01000000 0102030405"},
		"another leg": {msrpc.Bind{Alter: true, CallID: 3, MaxFrag: 0x1000, Group: 7, Interfaces: []msrpc.SyntaxID{samr}, Auth: &msrpc.Auth{Type: msrpc.AuthNegotiate, Context: 1, Token: []byte{9}}},
			"05000e03 10000000 5100 0100 03000000  0010 0010 07000000 01000000  0000 0100 " + samrHex + ndrHex + "09060000 01000000 09"},
	} {
		got, err := c.m.Bytes()
		if want := octets(t, c.want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\ngot  %x\nwant %x", name, err, got, want)
		}
	}
	long := msrpc.Bind{Auth: &msrpc.Auth{Token: make([]byte, 0x10000)}}
	if _, err := long.Bytes(); !errors.Is(err, msrpc.ErrLength) {
		t.Errorf("a token of 64 KiB: %v", err)
	}
	many := msrpc.Bind{Interfaces: make([]msrpc.SyntaxID, 256)}
	if _, err := many.Bytes(); !errors.Is(err, msrpc.ErrLength) {
		t.Errorf("256 interfaces: %v", err)
	}
}

func TestAuth3(t *testing.T) {
	m := msrpc.Auth3{CallID: 1, Auth: msrpc.Auth{Type: msrpc.AuthNTLM, Context: 1, Token: []byte{1, 2}}}
	got, err := m.Bytes()
	if want := octets(t, "05001003 10000000 1e00 0200 01000000 00000000 0a060000 01000000 0102"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot  %x\nwant %x", err, got, want)
	}
}

func TestBindAck(t *testing.T) {
	accepted := "0000 0000 " + ndrHex
	const rejected = "0200 0100 00000000 00000000 00000000 00000000 00000000 "
	p, err := msrpc.Parse(octets(t, "05000c07 10000000 6200 0200 01000000  d016 b810 39050000  0600 34393135 3400 02000000"+accepted+rejected+"00000000 0a060400 01000000 aabb"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.BindAck()
	if err != nil {
		t.Fatal(err)
	}
	if a.MaxRecv != 4280 || a.Group != 0x539 || len(a.Results) != 2 || !a.Results[0].Accepted() || a.Results[1].Accepted() ||
		a.Results[1].String() != "the server does not have this interface" || hex.EncodeToString(p.Signature) != "aabb" || p.Flags&msrpc.FlagHeaderSign == 0 {
		t.Errorf("%+v %+v", p, a)
	}
	for name, text := range map[string]string{
		"no results":        "05000c03 10000000 2000 0000 01000000  d016 d016 00000000  0000 0000 01000000",
		"an address beyond": "05000c03 10000000 2000 0000 01000000  d016 d016 00000000  ff00 0000 01000000",
		"cut":               "05000c03 10000000 1800 0000 01000000  d016 d016 00000000",
	} {
		p, err := msrpc.Parse(octets(t, text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a, err := p.BindAck(); !errors.Is(err, msrpc.ErrShort) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if _, err := p.BindNak(); !errors.Is(err, msrpc.ErrType) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	p, err := msrpc.Parse(octets(t, "05000d03 10000000 1800 0000 01000000  0800 00 01 0500 0000"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := p.BindNak(); err != nil || r != 8 {
		t.Errorf("%v, %v", r, err)
	}
	p, err = msrpc.Parse(octets(t, "05000323 10000000 2000 0000 02000000  20000000 0000 00 00 05000000 00000000"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := p.Fault(); err != nil || msrpc.StatusText(s) != "access denied (0x00000005)" {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := p.Response(); !errors.Is(err, msrpc.ErrType) {
		t.Errorf("%v", err)
	}
	if got := msrpc.StatusText(0x12345678); got != "status 0x12345678" {
		t.Error(got)
	}
}

// Each reason has words of its own, and what is unknown has some, too.
func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range []msrpc.Result{{}, {Code: 1}, {Code: 2}, {Code: 2, Reason: 1}, {Code: 2, Reason: 2}, {Code: 2, Reason: 3}} {
		seen[r.String()] = true
		if r.Accepted() != (r.Code == 0) {
			t.Errorf("%v: accepted %v", r, r.Accepted())
		}
	}
	for _, r := range []msrpc.BindNak{0, 1, 2, 4, 8, 9} {
		seen[r.String()] = true
	}
	if len(seen) != 12 || seen[""] {
		t.Errorf("%d reasons: %v", len(seen), seen)
	}
	if got, want := (msrpc.Result{Code: 9}).String(), (msrpc.Result{Code: 2}).String(); got != want {
		t.Errorf("%q", got)
	}
}

func TestHeader(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"short":                 {"05000203 10000000 1800 0000 010000", msrpc.ErrShort},
		"version 4":             {"04000203 10000000 1000 0000 01000000", msrpc.ErrVersion},
		"minor version 2":       {"05020203 10000000 1000 0000 01000000", msrpc.ErrVersion},
		"big-endian":            {"05000203 00000000 0010 0000 00000001", msrpc.ErrOrder},
		"shorter than a header": {"05000203 10000000 0f00 0000 01000000", msrpc.ErrLength},
		"no room for a token":   {"05000203 10000000 1800 0100 01000000 00000000 00000000", msrpc.ErrLength},
		"longer than it says":   {"05000203 10000000 1000 0000 01000000 00", msrpc.ErrLength},
	} {
		if p, err := msrpc.Parse(octets(t, c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// The worked sealed PDU: a stub of 16 octets needs no padding, one of 15 gets one.
func TestFrame(t *testing.T) {
	trailer := &msrpc.Trailer{Type: msrpc.AuthNTLM, Level: msrpc.LevelPrivacy, Context: 1}
	both := msrpc.FlagFirst | msrpc.FlagLast
	r := msrpc.Request{CallID: 2, Flags: both, Hint: 16, Opnum: 6, Stub: bytes.Repeat([]byte{0x41}, 16)}
	f, err := r.Frame(trailer, 16)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(f.Header) != "050000031000000040001000020000001000000000000600" || hex.EncodeToString(f.Trailer) != "0a06000001000000" ||
		len(f.PDU) != 64 || len(f.Token) != 16 || !bytes.Equal(f.Stub, r.Stub) {
		t.Errorf("%x", f)
	}
	copy(f.Token, "sixteen octets!!")
	if !bytes.HasSuffix(f.PDU, []byte("sixteen octets!!")) {
		t.Error("the token is not part of the PDU")
	}

	object := msrpc.MustUUID("00010203-0405-0607-0809-0a0b0c0d0e0f")
	r = msrpc.Request{CallID: 3, Flags: both, Hint: 15, Context: 1, Opnum: 4, Object: &object, Stub: bytes.Repeat([]byte{0x42}, 15)}
	f, err = r.Frame(trailer, 4)
	want := octets(t, "05000083 10000000 4400 0400 03000000 0f000000 0100 0400 03020100 0504 0706 0809 0a0b0c0d0e0f"+strings.Repeat("42", 15)+"00 0a060100 01000000 00000000")
	if err != nil || !bytes.Equal(f.PDU, want) || len(f.Header) != 40 || len(f.Stub) != 16 {
		t.Errorf("%v\ngot  %x\nwant %x", err, f.PDU, want)
	}

	r.Object = nil
	if f, err = r.Frame(nil, 0); err != nil || len(f.PDU) != 39 || f.Trailer != nil || f.Token != nil || len(f.Stub) != 15 {
		t.Errorf("%v: %x", err, f)
	}
	r.Stub = make([]byte, 0x10000)
	if _, err := r.Frame(nil, 0); !errors.Is(err, msrpc.ErrLength) {
		t.Errorf("64 KiB: %v", err)
	}
}

// Whatever the room, every fragment fits into the largest PDU, and only the last
// one is not a multiple of 16.
func TestFragments(t *testing.T) {
	if got := msrpc.Fragments(nil, 16); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("an empty stub gives %x", got)
	}
	object := msrpc.UUID{1}
	for _, most := range []int{88, 100, 1432, 5840} {
		for _, token := range []int{-1, 16, 20} {
			for _, size := range []int{1, 15, 16, 17, 1000, 6000} {
				var trailer *msrpc.Trailer
				if token >= 0 {
					trailer = &msrpc.Trailer{}
				}
				var whole []byte
				pieces := msrpc.Fragments(bytes.Repeat([]byte{7}, size), msrpc.Room(most, true, token))
				for i, piece := range pieces {
					f, err := (&msrpc.Request{Object: &object, Stub: piece}).Frame(trailer, max(token, 0))
					if err != nil || len(f.PDU) > most || i < len(pieces)-1 && len(piece)%16 != 0 {
						t.Errorf("%d octets, at most %d, token %d: piece %d of %d makes %d octets, %v", size, most, token, i, len(piece), len(f.PDU), err)
					}
					whole = append(whole, piece...)
				}
				if len(whole) != size {
					t.Errorf("%d octets of %d", len(whole), size)
				}
			}
		}
	}
	if room := msrpc.Room(70, true, 16); room > 0 {
		t.Errorf("room for %d in 70", room)
	}
}

func TestResponse(t *testing.T) {
	p, err := msrpc.Parse(octets(t, "05000203 10000000 3400 0400 05000000 0d000000 0100 00 00 000102030405060708090a0b0c0d0e0f 0a060300 01000000 deadbeef"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Response()
	if err != nil || r.Context != 1 || len(r.Header) != 24 || len(r.Stub) != 16 || r.Pad != 3 || hex.EncodeToString(r.Trailer) != "0a06030001000000" || p.CallID != 5 {
		t.Errorf("%+v %+v, %v", p, r, err)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"more padding than stub": {"05000203 10000000 2800 0400 05000000 0d000000 0100 00 00 00010203 0a060500 01000000 deadbeef", msrpc.ErrLength},
		"cut":                    {"05000203 10000000 1400 0000 05000000 0d000000", msrpc.ErrShort},
		"a token in its place":   {"05000203 10000000 1c00 0400 05000000 0d000000 01000000 deadbeef", msrpc.ErrShort},
	} {
		p, err := msrpc.Parse(octets(t, c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r, err := p.Response(); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
