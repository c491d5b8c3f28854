package msrpc

import "encoding/binary"

// trailerSize is the length of a sec_trailer, in bytes.
const trailerSize = 8

// Trailer is the sec_trailer that stands before a login's token (MS-RPCE
// §2.2.2.11).
type Trailer struct {
	Type    uint8 // AuthNTLM and its like
	Level   uint8
	Pad     uint8  // bytes of padding at the end of the stub
	Context uint32 // which login of the connection
}

func parseTrailer(b []byte) *Trailer {
	return &Trailer{Type: b[0], Level: b[1], Pad: b[2], Context: binary.LittleEndian.Uint32(b[4:])}
}

func (t Trailer) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(append(b, t.Type, t.Level, t.Pad, 0), t.Context)
}

// The authentication types (MS-RPCE §2.2.1.1.7).
const (
	AuthNegotiate uint8 = 0x09 // SPNEGO
	AuthNTLM      uint8 = 0x0A
	AuthKerberos  uint8 = 0x10
)

// LevelPrivacy seals every stub (MS-RPCE §2.2.1.1.8).
const LevelPrivacy uint8 = 6

// Auth is a token of a login on its way in a bind, alter_context or auth3.
type Auth struct {
	Type    uint8
	Context uint32
	Token   []byte
}

// finish aligns a PDU to 4, appends the token, if there is one, and writes the
// lengths. More than a PDU can hold is ErrLength.
func finish(b []byte, a *Auth) ([]byte, error) {
	if a != nil {
		t := Trailer{Type: a.Type, Level: LevelPrivacy, Context: a.Context}
		for len(b)%4 != 0 {
			b, t.Pad = append(b, 0), t.Pad+1
		}
		b = append(t.append(b), a.Token...)
		binary.LittleEndian.PutUint16(b[10:], uint16(len(a.Token)))
	}
	if len(b) > 0xffff {
		return nil, ErrLength
	}
	binary.LittleEndian.PutUint16(b[8:], uint16(len(b)))
	return b, nil
}

// Auth3 is the third leg of a login that the server does not answer (MS-RPCE
// §2.2.2.5).
type Auth3 struct {
	CallID uint32
	Auth   Auth
}

// Bytes gives the PDU. A token that is too long is ErrLength.
func (m *Auth3) Bytes() ([]byte, error) {
	b := Header{Type: TypeAuth3, Flags: FlagFirst | FlagLast, CallID: m.CallID}.append(nil)
	return finish(append(b, 0, 0, 0, 0), &m.Auth)
}
