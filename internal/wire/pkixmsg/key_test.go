package pkixmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
)

func TestKeyTypes(t *testing.T) {
	for _, want := range KeyTypes {
		got, err := ParseKeyType(strings.ToUpper(string(want)))
		if err != nil || got != want {
			t.Errorf("ParseKeyType(%s) = %s, %v", want, got, err)
		}
		if want == RSA3072 || want == RSA4096 {
			continue // seconds each, and no other code than RSA2048's
		}
		key, err := GenerateKey(want)
		if err != nil {
			t.Fatal(err)
		}
		if info := DescribeKey(key.Public()); info.Type != want {
			t.Errorf("DescribeKey = %v, want %s", info, want)
		}
		if err := CheckKey(key.Public()); err != nil {
			t.Errorf("a new %s is refused: %v", want, err)
		}
	}
	_, err := ParseKeyType("rsa-1024")
	wantKind(t, err, ErrSyntax)
	for _, word := range []KeyType{"dsa", "P-256"} {
		_, err := GenerateKey(word)
		wantKind(t, err, ErrSyntax)
	}
}

func TestDescribeKey(t *testing.T) {
	for _, tt := range []struct {
		key  crypto.PublicKey
		want KeyInfo
	}{
		{&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 3}, KeyInfo{"rsa-1024", 1024}},
		{&ecdsa.PublicKey{Curve: elliptic.P224()}, KeyInfo{"p-224", 224}},
		{&rsa.PublicKey{}, KeyInfo{"unknown", 0}}, {&ecdsa.PublicKey{}, KeyInfo{"unknown", 0}},
		{(*rsa.PublicKey)(nil), KeyInfo{"unknown", 0}}, {nil, KeyInfo{"unknown", 0}},
	} {
		if got := DescribeKey(tt.key); got != tt.want {
			t.Errorf("DescribeKey(%T) = %v, want %v", tt.key, got, tt.want)
		}
	}
}

func TestCheckKeyRefuses(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	with := func(n *big.Int, e int) *rsa.PublicKey { return &rsa.PublicKey{N: n, E: e} }
	prime, err := rand.Prime(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	power := func(bits uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.Add(n, big.NewInt(1))
	}
	curve := func(c elliptic.Curve) *ecdsa.PublicKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	off := curve(elliptic.P256())
	off.Y = new(big.Int).Add(off.Y, big.NewInt(1))
	infinity := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}
	tests := []struct {
		name, message string
		key           crypto.PublicKey
	}{
		{"2047 bits", "2047 bits", with(power(2047), 65537)},
		{"8193 bits", "8193 bits", with(power(8193), 65537)},
		{"negative modulus", "bits", with(new(big.Int).Neg(key.N), 65537)},
		{"even exponent", "even", with(key.N, 65538)},
		{"small exponent", "below 65537", with(key.N, 3)},
		{"no exponent", "even", with(key.N, 0)},
		{"even modulus", "small prime factor", with(new(big.Int).Lsh(key.N, 1), 65537)},
		{"factor 3", "small prime factor", with(new(big.Int).Mul(prime, big.NewInt(3)), 65537)},
		{"factor 751", "small prime factor", with(new(big.Int).Mul(prime, big.NewInt(751)), 65537)},
		{"faulty generator", "ROCA", with(rocaModulus(t), 65537)},
		{"P-224", "curve", curve(elliptic.P224())},
		{"point off the curve", "not a point", off},
		{"point at infinity", "not a point", infinity},
		{"no point", "no supported type", &ecdsa.PublicKey{Curve: elliptic.P256()}},
		{"short Ed25519", "no supported type", ed25519.PublicKey{1}},
		{"no modulus", "no supported type", &rsa.PublicKey{E: 65537}},
		{"nothing", "no supported type", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckKey(tt.key)
			wantKind(t, err, ErrKey)
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("message = %q, want %q", err, tt.message)
			}
		})
	}
	if err := CheckKey(with(new(big.Int).Mul(prime, big.NewInt(757)), 65537)); err != nil {
		t.Errorf("a factor of 757 is found: %v", err)
	}
}

// rocaModulus makes a modulus as the faulty generator did: both primes are
// k*M + (65537^a mod M), M the product of the first 126 primes for 2048 bits.
func rocaModulus(t *testing.T) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for _, p := range smallPrimes[:126] {
		m.Mul(m, new(big.Int).SetUint64(p))
	}
	room := new(big.Int).Lsh(big.NewInt(1), uint(1024-m.BitLen()))
	prime := func() *big.Int {
		for {
			a, err := rand.Int(rand.Reader, m)
			if err != nil {
				t.Fatal(err)
			}
			k, err := rand.Int(rand.Reader, room)
			if err != nil {
				t.Fatal(err)
			}
			p := new(big.Int).Exp(big.NewInt(65537), a, m)
			if p.Add(p, k.Mul(k, m)); p.BitLen() == 1024 && p.Bit(1022) == 1 && p.ProbablyPrime(10) {
				return p
			}
		}
	}
	return new(big.Int).Mul(prime(), prime())
}

func TestSmallPrimes(t *testing.T) {
	if n, last := len(smallPrimes), smallPrimes[len(smallPrimes)-1]; n != 133 || last != 751 {
		t.Errorf("%d primes up to %d, want 133 up to 751", n, last)
	}
	if last := smallPrimes[rocaPrimes]; last != 167 {
		t.Errorf("the last prime of the test is %d, want 167", last)
	}
	n, _ := new(big.Int).SetString("123456789012345678901234567890123456789", 10)
	for i, got := range smallResidues(n) {
		p := new(big.Int).SetUint64(smallPrimes[i])
		if want := new(big.Int).Mod(n, p).Uint64(); got != want {
			t.Errorf("residue of %d = %d, want %d", p, got, want)
		}
	}
}
