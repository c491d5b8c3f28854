package msrpc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// UUID is an identifier of an interface, class or object in the order of the
// wire: the first three fields little-endian (C706 appendix A; MS-DTYP §2.3.4.2).
type UUID [16]byte

// MustUUID reads the usual text form, such as
// 91ae6020-9e3c-11cf-8d7c-00aa00c091be; it panics on any other and serves
// constants only.
func MustUUID(text string) UUID {
	var u UUID
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		panic("msrpc: not a UUID: " + text)
	}
	b, err := hex.DecodeString(text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:])
	if err != nil {
		panic("msrpc: not a UUID: " + text)
	}
	binary.LittleEndian.PutUint32(u[0:], binary.BigEndian.Uint32(b[0:]))
	binary.LittleEndian.PutUint16(u[4:], binary.BigEndian.Uint16(b[4:]))
	binary.LittleEndian.PutUint16(u[6:], binary.BigEndian.Uint16(b[6:]))
	copy(u[8:], b[8:])
	return u
}

// String gives the usual text form.
func (u UUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(u[0:]), binary.LittleEndian.Uint16(u[4:]), binary.LittleEndian.Uint16(u[6:]), u[8:10], u[10:])
}

// SyntaxID names an interface or a transfer syntax and its version, the minor
// number in the upper half (C706 §12.6.3.1, p_syntax_id_t).
type SyntaxID struct {
	UUID    UUID
	Version uint32
}

// String gives identifier and version, such as "…-00aa00c091be v1.0".
func (s SyntaxID) String() string {
	return fmt.Sprintf("%v v%d.%d", s.UUID, s.Version&0xffff, s.Version>>16)
}

// NDR20 is the one transfer syntax spoken here (C706 §14, MS-RPCE §2.2.4.12).
var NDR20 = SyntaxID{MustUUID("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2}
