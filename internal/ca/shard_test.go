package ca_test

import (
	"math/big"
	"testing"

	"chancery/internal/ca"
)

// TestShards: every serial number is in exactly one shard of each count, the one
// whose endings take it in, and names are read as they are written.
func TestShards(t *testing.T) {
	for _, count := range ca.ShardCounts {
		seen := map[string]bool{}
		for last := range int64(256) {
			serial := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(0xabcdef), 64), big.NewInt(last))
			s := ca.ShardOf(serial, count)
			low, high := s.Endings()
			text := serial.Text(16)
			if ending := text[len(text)-2:]; ending < low || ending > high {
				t.Errorf("%s is in shard %q from %s to %s", text, s.Name(), low, high)
			}
			seen[s.Name()] = true
			if got, ok := ca.ParseShard(s.Name()); !ok || got != s {
				t.Errorf("%q is read as %+v, %v", s.Name(), got, ok)
			}
		}
		if len(seen) != count {
			t.Errorf("%d shards of %d are used", len(seen), count)
		}
	}
	if got := ca.ShardOf(big.NewInt(7), 4); got != (ca.Shard{Index: 0, Count: 4}) {
		t.Errorf("a serial number of one digit is in %+v", got)
	}
	for _, name := range []string{"1-0", "4-4", "3-1", "4-01", "-1", "4-", "4--1", "4-1-1", "+4-1", "4-1 ", "256-256", "999999999999-1", "four-1"} {
		if s, ok := ca.ParseShard(name); ok {
			t.Errorf("%q is read as %+v", name, s)
		}
	}
}
