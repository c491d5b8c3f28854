package ntlm

import (
	"encoding/binary"
	"slices"
)

// Identifiers of the values a challenge carries, and its answer (MS-NLMP §2.2.2.1).
const (
	avEnd        = 0
	avNetBIOS    = 2 // the domain's short name
	avFlags      = 6
	avTimestamp  = 7
	avTargetName = 9
	avBindings   = 10

	avFlagMIC = 2 // in avFlags: the answer carries a message integrity code
)

// maxChallenge bounds a challenge, and maxPairs its values. Servers send less than
// a kilobyte and ten values.
const (
	maxChallenge = 16 << 10
	maxPairs     = 64
)

// pair is one value of the target information.
type pair struct {
	id    uint16
	value []byte
}

// Challenge is the server's message (MS-NLMP §2.2.1.2).
type Challenge struct {
	raw    []byte
	flags  uint32
	server [8]byte
	info   []pair // without the end mark
}

// ParseChallenge reads the server's message. Errors are Malformed, and Weak when
// the server leaves out a flag that this client needs.
func ParseChallenge(b []byte) (*Challenge, error) {
	if len(b) < 48 || len(b) > maxChallenge || string(b[:8]) != signature || binary.LittleEndian.Uint32(b[8:]) != 2 {
		return nil, Malformed
	}
	c := &Challenge{raw: slices.Clone(b), flags: binary.LittleEndian.Uint32(b[20:]), server: [8]byte(b[24:32])}
	if c.flags&required != required {
		return nil, Weak
	}
	info, ok := field(c.raw, 40)
	if !ok {
		return nil, Malformed
	}
	if c.info, ok = parsePairs(info); !ok {
		return nil, Malformed
	}
	return c, nil
}

// Domain is the short name of the domain the server belongs to; empty when it
// does not say.
func (c *Challenge) Domain() string {
	v, _ := c.value(avNetBIOS)
	return fromUTF16(v)
}

// timestamp gives the server's clock, in FILETIME; false when it does not say.
func (c *Challenge) timestamp() (uint64, bool) {
	v, ok := c.value(avTimestamp)
	if !ok || len(v) != 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(v), true
}

func (c *Challenge) value(id uint16) ([]byte, bool) {
	for _, p := range c.info {
		if p.id == id {
			return p.value, true
		}
	}
	return nil, false
}

// field gives what the length and offset at a place of a message point to.
func field(b []byte, at int) ([]byte, bool) {
	n, offset := int(binary.LittleEndian.Uint16(b[at:])), uint64(binary.LittleEndian.Uint32(b[at+4:]))
	if offset+uint64(n) > uint64(len(b)) {
		return nil, false
	}
	return b[offset:][:n], true
}

// parsePairs reads values up to the end mark, which has to be there (MS-NLMP
// §2.2.2.1).
func parsePairs(b []byte) ([]pair, bool) {
	var out []pair
	for len(b) >= 4 && len(out) <= maxPairs {
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if id == avEnd {
			return out, true
		}
		if n > len(b) {
			return nil, false
		}
		out = append(out, pair{id, b[:n]})
		b = b[n:]
	}
	return nil, false
}

// appendPairs writes values and the end mark.
func appendPairs(b []byte, pairs []pair) []byte {
	for _, p := range append(slices.Clip(pairs), pair{id: avEnd}) {
		b = binary.LittleEndian.AppendUint16(b, p.id)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p.value)))
		b = append(b, p.value...)
	}
	return b
}
