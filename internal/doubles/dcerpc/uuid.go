package dcerpc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// UUID is an identifier in the order of the wire: the first three parts are
// little-endian.
type UUID [16]byte

// MustUUID reads the usual text form, and panics on anything else.
func MustUUID(text string) UUID {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 || len(text) != 36 {
		panic("dcerpc: not a UUID: " + text)
	}
	var u UUID
	copy(u[:], b)
	u[0], u[1], u[2], u[3] = b[3], b[2], b[1], b[0]
	u[4], u[5] = b[5], b[4]
	u[6], u[7] = b[7], b[6]
	return u
}

func (u UUID) String() string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(u[0:]), le.Uint16(u[4:]), le.Uint16(u[6:]), u[8:10], u[10:])
}
