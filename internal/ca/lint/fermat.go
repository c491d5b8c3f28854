package lint

import "math/big"

// fermatRounds is how far the search goes; the keys that were broken in the
// field (CVE-2022-26320) fell in the first round.
const fermatRounds = 100

// squares64 has bit i set when i is a square modulo 64.
const squares64 = uint64(1)<<0 | 1<<1 | 1<<4 | 1<<9 | 1<<16 | 1<<17 | 1<<25 | 1<<33 | 1<<36 | 1<<41 | 1<<49 | 1<<57

// closePrimes looks for two prime factors close to each other by Fermat's
// method: n = a² - b² with a just above the root of n. Most candidates for b²
// are no squares modulo 64, which costs nothing to see.
func closePrimes(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) == 0 {
		return true
	}
	a.Add(a, big.NewInt(1))
	rest := new(big.Int).Mul(a, a)
	rest.Sub(rest, n)
	step := new(big.Int).Lsh(a, 1) // (a+1)² - a² = 2a + 1
	step.Add(step, big.NewInt(1))
	root, square, two := new(big.Int), new(big.Int), big.NewInt(2)
	for range fermatRounds {
		if squares64&(1<<(rest.Bits()[0]&63)) != 0 && isSquare(rest, root, square) {
			return true
		}
		rest.Add(rest, step)
		step.Add(step, two)
	}
	return false
}

// smallModuli tell most of the remaining candidates from squares; their product
// fits in 64 bits.
var smallModuli = []uint64{63, 65, 11, 17, 19, 23, 31}

// squareResidues holds, for each of smallModuli, which residues are squares.
var squareResidues = func() map[uint64][]bool {
	out := map[uint64][]bool{}
	for _, m := range smallModuli {
		out[m] = make([]bool, m)
		for x := range m {
			out[m][x*x%m] = true
		}
	}
	return out
}()

func isSquare(n, root, square *big.Int) bool {
	product := uint64(1)
	for _, m := range smallModuli {
		product *= m
	}
	rest := square.Mod(n, root.SetUint64(product)).Uint64()
	for _, m := range smallModuli {
		if !squareResidues[m][rest%m] {
			return false
		}
	}
	root.Sqrt(n)
	return square.Mul(root, root).Cmp(n) == 0
}
