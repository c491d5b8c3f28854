package ca

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// ShardCounts are into how many lists the revocations of an issuer may be
// divided.
var ShardCounts = []int{1, 4, 16, 64, 256}

// Shard is a part of an issuer's revocations: those of the certificates whose
// serial number ends in certain digits. Nothing but the serial number and the
// count that was set when the certificate was issued decides it, so no lost row
// can move a certificate to another list. The zero Shard is all of them.
type Shard struct {
	Index int // from 0
	Count int // one of ShardCounts; 0 is 1
}

// ShardOf gives the shard of a serial number among count.
func ShardOf(serial *big.Int, count int) Shard {
	if count <= 1 {
		return Shard{}
	}
	var last [1]byte
	new(big.Int).And(serial, big.NewInt(0xff)).FillBytes(last[:])
	return Shard{Index: int(last[0]) * count / 256, Count: count}
}

// Name is how addresses and rows call the shard: "16-3" is the fourth of
// sixteen; all of them have the empty name.
func (s Shard) Name() string {
	if s.Count <= 1 {
		return ""
	}
	return fmt.Sprintf("%d-%d", s.Count, s.Index)
}

// ParseShard reads a name that Name gave.
func ParseShard(name string) (Shard, bool) {
	if name == "" {
		return Shard{}, true
	}
	if len(name) > len("256-255") || strings.Trim(name, "0123456789-") != "" {
		return Shard{}, false
	}
	var s Shard
	if _, err := fmt.Sscanf(name, "%d-%d", &s.Count, &s.Index); err != nil {
		return Shard{}, false
	}
	return s, s.Count > 1 && slices.Contains(ShardCounts, s.Count) && s.Index >= 0 && s.Index < s.Count && s.Name() == name
}

// Endings gives the last two hex digits of the first and the last serial number
// of the shard, as they are counted.
func (s Shard) Endings() (low, high string) {
	width := 256 / max(s.Count, 1)
	return fmt.Sprintf("%02x", s.Index*width), fmt.Sprintf("%02x", s.Index*width+width-1)
}
