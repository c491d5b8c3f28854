package pkixmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"math/big"
	"math/bits"
	"slices"
)

// The sizes CheckKey takes for RSA.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
)

// CheckKey looks for what makes a public key unfit for any certificate, by facts
// alone: no setting makes such a key good. It is ErrKey with the reason, nil when
// none is found. RSA keys have 2048 to 8192 bits, an odd exponent of at least
// 65537, no prime factor below 752, and do not carry the mark of the ROCA
// generator. Elliptic curve keys are points on P-256, P-384 or P-521. Ed25519
// keys have their length.
func CheckKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case *rsa.PublicKey:
		if key != nil && key.N != nil {
			return checkRSA(key)
		}
	case *ecdsa.PublicKey:
		if key != nil && key.X != nil && key.Y != nil {
			return checkEC(key)
		}
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fault(ErrKey, "Make a key of one of these types: "+keyTypeList()+".", "The public key is of no supported type.")
}

func checkRSA(key *rsa.PublicKey) error {
	const again = "Make a new key with current software."
	switch n := key.N.BitLen(); {
	case n < minRSABits || key.N.Sign() < 0:
		return fault(ErrKey, "Make a key of at least 2048 bits.", "The RSA key has %d bits; at least %d are needed.", n, minRSABits)
	case n > maxRSABits:
		return fault(ErrKey, "Make a key of at most 8192 bits, such as rsa-4096.", "The RSA key has %d bits; at most %d are taken.", n, maxRSABits)
	case key.E%2 == 0:
		return fault(ErrKey, again, "The RSA key has an even public exponent.")
	case key.E < minRSAExponent:
		return fault(ErrKey, "Make a new key with the exponent 65537.", "The RSA key has a public exponent below %d.", minRSAExponent)
	}
	residues := smallResidues(key.N)
	if slices.Contains(residues, 0) {
		return fault(ErrKey, again, "The RSA key can be factored: its modulus has a small prime factor.")
	}
	if rocaMark(residues) {
		return fault(ErrKey, "Update the firmware of the chip or TPM that made it, then make a new key.",
			"The RSA key was made by a faulty generator (ROCA, CVE-2017-15361) and can be factored.")
	}
	return nil
}

func checkEC(key *ecdsa.PublicKey) error {
	switch key.Curve {
	case elliptic.P256(), elliptic.P384(), elliptic.P521():
	default:
		return fault(ErrKey, "Use the curve P-256, P-384 or P-521.", "The elliptic curve of the key is not supported.")
	}
	if _, err := key.ECDH(); err != nil {
		return fault(ErrKey, "Make a new key with current software.", "The public key is not a point on its curve.")
	}
	return nil
}

// smallPrimes are the primes below 752, as the CA/Browser Forum's rules and
// NIST SP 800-89 §5.3.3 have them tried.
var smallPrimes = primesBelow(752)

func primesBelow(limit uint64) []uint64 {
	var primes []uint64
next:
	for n := uint64(2); n < limit; n++ {
		for _, p := range primes {
			if n%p == 0 {
				continue next
			}
		}
		primes = append(primes, n)
	}
	return primes
}

// smallResidues gives n modulo each of smallPrimes, in their order. Runs of
// primes share one division of n by their product.
func smallResidues(n *big.Int) []uint64 {
	padded := n.FillBytes(make([]byte, (n.BitLen()+63)/64*8))
	residues := make([]uint64, 0, len(smallPrimes))
	for len(residues) < len(smallPrimes) {
		start, end, product := len(residues), len(residues), uint64(1)
		for ; end < len(smallPrimes) && product < 1<<54; end++ { // no prime has more than 10 bits
			product *= smallPrimes[end]
		}
		var rest uint64
		for i := 0; i < len(padded); i += 8 {
			rest = bits.Rem64(rest, binary.BigEndian.Uint64(padded[i:]), product)
		}
		for _, p := range smallPrimes[start:end] {
			residues = append(residues, rest%p)
		}
	}
	return residues
}

// rocaPrimes is how many of the small primes, 2 left out, even the shortest keys
// of the faulty generator were built on: 3 to 167.
const rocaPrimes = 38

// rocaGroups holds, for smallPrimes in their order, which residues 65537
// generates; nil where it generates all, so that the prime tells nothing.
var rocaGroups = func() [][]bool {
	groups := make([][]bool, 1+rocaPrimes)
	for i, p := range smallPrimes[1 : 1+rocaPrimes] {
		group, size := make([]bool, p), uint64(0)
		for x := uint64(1); !group[x]; x = x * 65537 % p {
			group[x] = true
			size++
		}
		if size < p-1 {
			groups[1+i] = group
		}
	}
	return groups
}()

// rocaMark is the discriminant test of Nemec, Sys, Svenda, Klinec and Matyas (CCS
// 2017): every prime of the faulty generator is a power of 65537 modulo each of
// the small primes, so the product of two such primes is one as well. A good key
// has the property with a chance of about one in 2^27.
func rocaMark(residues []uint64) bool {
	for i, group := range rocaGroups {
		if group != nil && !group[residues[i]] {
			return false
		}
	}
	return true
}
