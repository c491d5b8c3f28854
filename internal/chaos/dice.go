package chaos

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// dice gives numbers that follow from a seed, so that a round can be repeated.
type dice struct {
	mu   sync.Mutex
	seed uint64
	n    uint64
}

// below gives a number from 0 to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], d.seed)
	binary.BigEndian.PutUint64(b[8:], d.n)
	h := sha256.Sum256(b[:])
	return int(binary.BigEndian.Uint64(h[:]) >> 1 % uint64(n))
}

// chance is true in percent of the cases.
func (d *dice) chance(percent int) bool { return d.below(100) < percent }

// span gives a time from low to high.
func (d *dice) span(low, high time.Duration) time.Duration {
	return low + time.Duration(d.below(int(high-low)+1))
}

// fork gives dice of somebody else, so that one does not take from the other.
func (d *dice) fork(n int) *dice { return &dice{seed: d.seed*1_000_003 + uint64(n) + 1} }
