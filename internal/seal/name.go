package seal

import (
	"encoding/binary"
	"slices"
)

// KeyOf names the master key that a sealed value, or its first five bytes, was
// sealed with; ok is false for bytes that are no sealed value.
func KeyOf(sealed []byte) (id string, ok bool) {
	if len(sealed) < prefixLen || sealed[0] != prefixVersion {
		return "", false
	}
	return idText(binary.BigEndian.Uint32(sealed[1:prefixLen])), true
}

// Holds reports whether the box opens what the key of a name sealed.
func (b *Box) Holds(id string) bool {
	return slices.ContainsFunc(b.ring.Load().keys, func(k uint32) bool { return idText(k) == id })
}
