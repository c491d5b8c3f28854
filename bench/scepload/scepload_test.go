package scepload

import (
	"bytes"
	"slices"
	"testing"
)

func TestKeys(t *testing.T) {
	const n = 7 // more than one pair of a generated key
	keys, err := Keys(n)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if k.N.BitLen() != 2048 {
			t.Errorf("a modulus has %d bits", k.N.BitLen())
		}
		seen[k.N.String()] = true
	}
	if len(keys) != n || len(seen) != n {
		t.Errorf("%d keys, %d of them different, want %d", len(keys), len(seen), n)
	}
}

func TestSucceeded(t *testing.T) {
	with := func(tail ...byte) []byte { return slices.Concat([]byte{0x30, 0x80}, statusAttribute, tail) }
	for _, test := range []struct {
		name   string
		answer []byte
		want   bool
	}{
		{"success", with(0x13, 1, '0', 0x30), true},
		{"success at the very end", with(0x13, 1, '0'), true},
		{"success in another string type", with(0x0c, 1, '0'), true},
		{"failure", with(0x13, 1, '2'), false},
		{"pending", with(0x13, 1, '3'), false},
		{"cut off", with(0x13, 1), false},
		{"longer text", with(0x13, 2, '0', '0'), false},
		{"no status", bytes.Repeat([]byte{0x06}, 40), false},
		{"empty", nil, false},
	} {
		if got := succeeded(test.answer); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
