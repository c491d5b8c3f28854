package scepproxy

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// memory remembers a bounded number of things. When it is full it begins anew:
// what it holds is found again or may be forgotten.
type memory[V any] struct{ by map[string]V }

const maxMemory = 20_000

func (m *memory[V]) get(key string) (V, bool) {
	v, ok := m.by[key]
	return v, ok
}

func (m *memory[V]) put(key string, v V) {
	if m.by == nil || len(m.by) >= maxMemory {
		m.by = map[string]V{}
	}
	m.by[key] = v
}

// strike counts the bad things that came from an address.
type strike struct {
	since time.Time
	n     int
}

const (
	strikeWindow = time.Minute
	maxStrikes   = 40
)

// strike notes a bad thing: an unknown token, or something that is no message.
func (x *visit) strike() {
	now := x.Now()
	key := network(x.remote)
	x.mu.Lock()
	defer x.mu.Unlock()
	k, ok := x.strikes.get(key)
	if !ok || now.Sub(k.since).Abs() >= strikeWindow {
		k = &strike{since: now}
		x.strikes.put(key, k)
	}
	k.n++
}

// struck reports whether an address has sent too many bad things.
func (x *visit) struck() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	k, ok := x.strikes.get(network(x.remote))
	return ok && k.n >= maxStrikes && x.Now().Sub(k.since).Abs() < strikeWindow
}

// The pace of messages with one pass, and from one device with all its passes.
const (
	passPace    = rate.Limit(0.5) // a second
	passBurst   = 20
	devicePace  = rate.Limit(2)
	deviceBurst = 60
)

// hasty reports whether messages come faster than any client sends them.
func (x *visit) hasty() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.Now()
	return !x.pace("p"+string(x.ticket.Pass), passPace, passBurst).AllowN(now, 1) || !x.pace("d"+string(x.ticket.Device), devicePace, deviceBurst).AllowN(now, 1)
}

func (d *Door) pace(key string, pace rate.Limit, burst int) *rate.Limiter {
	l, ok := d.paces.get(key)
	if !ok {
		l = rate.NewLimiter(pace, burst)
		d.paces.put(key, l)
	}
	return l
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
