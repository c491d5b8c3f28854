package msrpc

import "encoding/binary"

// Type is the type of a PDU (C706 §12.6.4.1).
type Type uint8

// The types that occur on a connection.
const (
	TypeRequest   Type = 0
	TypeResponse  Type = 2
	TypeFault     Type = 3
	TypeBind      Type = 11
	TypeBindAck   Type = 12
	TypeBindNak   Type = 13
	TypeAlter     Type = 14
	TypeAlterResp Type = 15
	TypeAuth3     Type = 16
)

// Flags of a PDU, pfc_flags (C706 §12.6.3.1, MS-RPCE §2.2.2.3).
const (
	FlagFirst      uint8 = 0x01
	FlagLast       uint8 = 0x02
	FlagHeaderSign uint8 = 0x04 // in bind, alter_context and their answers
	FlagObject     uint8 = 0x80 // a request carries an object's UUID
)

// HeaderSize is the length of the header that all PDUs have, in bytes.
const HeaderSize = 16

// Header is what all PDUs begin with (C706 §12.6.3.1).
type Header struct {
	Type   Type
	Flags  uint8
	Length int // of the whole PDU, in bytes
	Token  int // bytes of the login's token; its sec_trailer does not count
	CallID uint32
}

// ParseHeader reads the first HeaderSize bytes of b. The lengths it gives fit one
// another; more than 65535 bytes they never are.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrShort
	}
	h := Header{
		Type:   Type(b[2]),
		Flags:  b[3],
		Length: int(binary.LittleEndian.Uint16(b[8:])),
		Token:  int(binary.LittleEndian.Uint16(b[10:])),
		CallID: binary.LittleEndian.Uint32(b[12:]),
	}
	switch {
	case b[0] != 5 || b[1] > 1:
		return Header{}, ErrVersion
	case b[4] != 0x10:
		return Header{}, ErrOrder
	case h.Length < HeaderSize, h.Token > 0 && h.Length < HeaderSize+trailerSize+h.Token:
		return Header{}, ErrLength
	}
	return h, nil
}

// append writes the header. Whoever does not know the lengths yet has finish write
// them.
func (h Header) append(b []byte) []byte {
	b = append(b, 5, 0, byte(h.Type), h.Flags, 0x10, 0, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Length))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Token))
	return binary.LittleEndian.AppendUint32(b, h.CallID)
}

// PDU is one PDU taken apart as far as all of them are the same.
type PDU struct {
	Header
	Raw []byte
	// Trailer is nil where no login's token is.
	Trailer *Trailer
	// Signature is that token.
	Signature []byte
}

// Parse takes one whole PDU apart. The parts share b.
func Parse(b []byte) (*PDU, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if len(b) != h.Length {
		return nil, ErrLength
	}
	p := &PDU{Header: h, Raw: b}
	if h.Token > 0 {
		at := h.Length - h.Token
		p.Trailer, p.Signature = parseTrailer(b[at-trailerSize:at]), b[at:]
	}
	return p, nil
}

// end is where the body ends: before the sec_trailer, if there is one.
func (p *PDU) end() int {
	if p.Trailer == nil {
		return p.Length
	}
	return p.Length - p.Token - trailerSize
}
