package scep

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// strikes counts what different bad things came from an address within a time.
// It forgets the address that began first when it would remember too many.
type strikes struct {
	mu sync.Mutex
	by map[string]*strike
}

type strike struct {
	since time.Time
	seen  [][8]byte
}

const (
	maxAddresses = 4096
	maxStrikes   = 64 // of one address
)

// add notes a bad thing; the same again counts once.
func (s *strikes) add(now time.Time, window time.Duration, address string, thing []byte) {
	hash := sha256.Sum256(thing)
	id := [8]byte(hash[:])
	address = network(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]*strike{}
	}
	k := s.by[address]
	if k == nil || now.Sub(k.since).Abs() >= window {
		if k == nil && len(s.by) >= maxAddresses {
			s.forget()
		}
		k = &strike{since: now}
		s.by[address] = k
	}
	if len(k.seen) < maxStrikes && !slices.ContainsFunc(k.seen, func(b [8]byte) bool { return bytes.Equal(b[:], id[:]) }) {
		k.seen = append(k.seen, id)
	}
}

// count gives how many different bad things came from an address.
func (s *strikes) count(now time.Time, window time.Duration, address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.by[network(address)]
	if k == nil || now.Sub(k.since).Abs() >= window {
		return 0
	}
	return len(k.seen)
}

func (s *strikes) forget() {
	oldest := ""
	for a, k := range s.by {
		if oldest == "" || k.since.Before(s.by[oldest].since) {
			oldest = a
		}
	}
	delete(s.by, oldest)
}

// network is what one party can be expected to hold: an IPv4 address, or the 64
// bits of an IPv6 network.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Is4() {
		return address
	}
	p, err := a.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
