package lifecycle

import (
	"slices"
	"strings"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
)

// Base is where this server gives out what p publishes: the address that its
// certificates name, or else public, without what follows the host.
func (p Published) Base(public string) string {
	if base, _, named := strings.Cut(p.Address, "/pki/"); named {
		return base
	}
	return strings.TrimRight(public, "/")
}

// At is where a list of p is given out, whether certificates name it or not.
func (p Published) At(l PublishedList, public string) string {
	if l.Address != "" {
		return l.Address
	}
	name := l.Name
	if name != "" {
		name = "-" + name
	}
	return p.Base(public) + "/pki/" + authority.Hash(p.Issuer.RawSubjectPublicKeyInfo)[:16] + name + ".crl"
}

// Also are the addresses that certificates issued earlier name a list by, besides
// the one it is found at now.
func (l PublishedList) Also(at string) []string {
	return slices.DeleteFunc(slices.Clone(l.Points), func(p string) bool { return p == at })
}

// Part is which part of the revocations a list has, from 1 on, of how many; 1 of 1
// is all of them.
func (l PublishedList) Part() (part, of int) {
	shard, _ := ca.ParseShard(l.Name)
	if shard.Count <= 1 {
		return 1, 1
	}
	return shard.Index + 1, shard.Count
}

// State says in a word or two how a list stands.
func (l PublishedList) State(now time.Time) string {
	switch {
	case l.Number == 0:
		return "not made yet"
	case !l.NextUpdate.After(now):
		return "ended"
	case l.Stale() && l.OnDemand:
		return "on demand"
	case l.Stale():
		return "changes wait"
	}
	return "current"
}
