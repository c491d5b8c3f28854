package scepload

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"runtime"
	"sync"
)

// Keys makes n different RSA-2048 keys for devices. Making thousands the proper
// way takes minutes, so the moduli are all products of two out of a few primes.
// To a server they are keys like any others; they protect nothing here.
func Keys(n int) ([]*rsa.PrivateKey, error) {
	primes, err := primesFor(n)
	if err != nil {
		return nil, err
	}
	keys := make([]*rsa.PrivateKey, 0, n)
	for i := range primes {
		for j := range i {
			if len(keys) == n {
				return keys, nil
			}
			key, err := keyOf(primes[i], primes[j])
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// primesFor makes primes enough for n pairs, on all cores.
func primesFor(n int) ([]*big.Int, error) {
	need := 2
	for need*(need-1)/2 < n {
		need++
	}
	var mu sync.Mutex
	var primes []*big.Int
	var failed error
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				mu.Lock()
				enough := len(primes) >= need || failed != nil
				mu.Unlock()
				if enough {
					return
				}
				key, err := rsa.GenerateKey(rand.Reader, 2048)
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					primes = append(primes, key.Primes...)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return primes, failed
}

const exponent = 65537

// keyOf makes the key with the modulus p times q.
func keyOf(p, q *big.Int) (*rsa.PrivateKey, error) {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	d := new(big.Int).ModInverse(big.NewInt(exponent), phi)
	if d == nil {
		return nil, errors.New("the exponent has no inverse")
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent}, D: d, Primes: []*big.Int{p, q}}
	key.Precompute()
	return key, key.Validate()
}
