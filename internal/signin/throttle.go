package signin

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"chancery/internal/ra"
)

// How repeated failures are slowed down. Nothing is ever locked: after the
// longest wait there is always one more try.
const (
	freeByName   = 5  // failures with one name without a wait
	freeByRemote = 20 // failures from one address without a wait; many people may share it
	firstWait    = time.Second
	longestWait  = 5 * time.Minute
	forgetAfter  = 30 * time.Minute // without any attempt
	maxTracked   = 10_000           // names and addresses
)

// throttle counts attempts by name and by remote address, in memory. An attempt
// counts as failed from its beginning, so that many at once do not slip
// through; forgive takes that back. The zero value is ready; it is safe for
// concurrent use.
type throttle struct {
	mu    sync.Mutex
	tries map[string]*tries
}

type tries struct {
	failed int
	last   time.Time
	until  time.Time
}

// key is something attempts are counted by.
type key struct {
	text string
	free int
}

func byName(name string) key {
	name = ra.Fold(name)
	if len(name) > 800 {
		name = name[:800] // longer than any that exists
	}
	return key{"name " + name, freeByName}
}

// byRemote counts IPv4 addresses one by one and IPv6 by the /64 that one
// customer has. It understands addresses with and without a port.
func byRemote(remote string) key {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		host = a.String()
		if a.Is6() {
			host = netip.PrefixFrom(a, 64).Masked().String()
		}
	}
	if len(host) > 100 {
		host = host[:100]
	}
	return key{"remote " + host, freeByRemote}
}

// admit lets an attempt in and counts it, or is Busy with the time to wait.
func (t *throttle) admit(now time.Time, keys ...key) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		if e := t.tries[k.text]; e != nil && e.until.After(now) {
			wait := e.until.Sub(now).Truncate(time.Second) + time.Second
			return ra.Errorf(ra.Busy, "There were too many attempts to sign in.").WithRetry(wait).
				WithRemedy("Wait %s and try again, or sign in with a passkey or a link.", wait)
		}
	}
	for _, k := range keys {
		e := t.tries[k.text]
		if e == nil {
			t.makeRoom(now)
			e = &tries{}
			t.tries[k.text] = e
		} else if now.Sub(e.last) > forgetAfter {
			*e = tries{}
		}
		e.failed, e.last, e.until = e.failed+1, now, now
		if over := e.failed - k.free; over >= 0 {
			e.until = now.Add(min(longestWait, firstWait<<min(over, 20)))
		}
	}
	return nil
}

// forgive takes back the attempt that succeeded: the name starts anew, the
// address loses one failure and its wait.
func (t *throttle) forgive(name, remote key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tries, name.text)
	if e := t.tries[remote.text]; e != nil {
		e.failed--
		e.until = e.last
	}
}

// makeRoom keeps the table bounded: what is forgotten goes, else the one whose
// wait ends first.
func (t *throttle) makeRoom(now time.Time) {
	if t.tries == nil {
		t.tries = map[string]*tries{}
	}
	if len(t.tries) < maxTracked {
		return
	}
	var first string
	for text, e := range t.tries {
		if now.Sub(e.last) > forgetAfter {
			delete(t.tries, text)
		} else if f := t.tries[first]; f == nil || e.until.Before(f.until) {
			first = text
		}
	}
	if len(t.tries) >= maxTracked {
		delete(t.tries, first)
	}
}
