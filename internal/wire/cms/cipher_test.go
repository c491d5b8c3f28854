package cms

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestUnpad(t *testing.T) {
	block := func(tail ...byte) []byte { return append(bytes.Repeat([]byte{7}, 8-len(tail)), tail...) }
	for _, c := range []struct {
		name string
		in   []byte
		want int // length left, or -1
	}{
		{"one", block(1), 7},
		{"three", block(3, 3, 3), 5},
		{"whole block", bytes.Repeat([]byte{8}, 8), 0},
		{"second block", append(block(), block(2, 2)...), 14},
		{"zero", block(0), -1},
		{"beyond the block", append(block(), bytes.Repeat([]byte{9}, 8)...), -1},
		{"far beyond", block(0xff), -1},
		{"uneven", block(2, 3, 3), -1},
		{"first octet wrong", block(9, 3, 3), -1},
		{"nothing", nil, -1},
		{"not a block", []byte{1}, -1},
	} {
		got, ok := unpad(c.in, 8)
		if ok != (c.want >= 0) || ok && len(got) != c.want {
			t.Errorf("%s: %d octets, %v; want %d", c.name, len(got), ok, c.want)
		}
	}
}

func TestDegenerateTripleDES(t *testing.T) {
	a, b, c := bytes.Repeat([]byte{0x10}, 8), bytes.Repeat([]byte{0x22}, 8), bytes.Repeat([]byte{0x34}, 8)
	aWithParity := bytes.Repeat([]byte{0x11}, 8)
	for _, k := range []struct {
		name string
		key  [][]byte
		ok   bool
	}{
		{"three keys", [][]byte{a, b, c}, true},
		{"two keys", [][]byte{a, b, a}, true},
		{"first two equal", [][]byte{a, a, b}, false},
		{"last two equal", [][]byte{b, a, a}, false},
		{"equal but for parity", [][]byte{a, aWithParity, b}, false},
		{"short", [][]byte{a, b}, false},
	} {
		if _, err := newTripleDES(bytes.Join(k.key, nil)); (err == nil) != k.ok {
			t.Errorf("%s: %v, want accepted %v", k.name, err, k.ok)
		}
	}
}

// TestKeyWrapVectors are those of RFC 3394 §4.1, §4.3 and §4.6.
func TestKeyWrapVectors(t *testing.T) {
	for _, v := range []struct{ kek, key, want string }{
		{"000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF", "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"},
		{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F", "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		kek, key, want := bytesOf(t, v.kek), bytesOf(t, v.key), bytesOf(t, v.want)
		got, err := aesKeyWrap(kek, key)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("wrap: %X, %v, want %X", got, err, want)
		}
		if back := aesKeyUnwrap(kek, want); !bytes.Equal(back, key) {
			t.Errorf("unwrap: %X, want %X", back, key)
		}
		for i := range want {
			bad := bytes.Clone(want)
			bad[i] ^= 1
			if aesKeyUnwrap(kek, bad) != nil {
				t.Errorf("octet %d of the wrapped key does not count", i)
			}
		}
	}
	for _, short := range [][]byte{nil, make([]byte, 16), make([]byte, 25)} {
		if aesKeyUnwrap(make([]byte, 16), short) != nil {
			t.Errorf("%d octets unwrapped", len(short))
		}
	}
}

func TestOIDText(t *testing.T) {
	for _, dotted := range []string{"0.9", "1.2.840.113549.1.7.1", "2.5.29.14", "2.16.840.1.113733.1.9.2", "2.999.4294967295", "1.39.0"} {
		if got := MustOID(dotted).String(); got != dotted {
			t.Errorf("%s came back as %s", dotted, got)
		}
	}
	if got := OID("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x05").String(); got != "1.2.?.5" {
		t.Errorf("a huge arc prints as %s", got)
	}
	if got := OIDAES128CBC.Name(); got != "AES-128-CBC" {
		t.Errorf("name is %s", got)
	}
	if got := MustOID("1.2.3").Name(); got != "1.2.3" {
		t.Errorf("unknown name is %s", got)
	}
}

func bytesOf(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
