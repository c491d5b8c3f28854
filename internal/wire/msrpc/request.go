package msrpc

import (
	"encoding/binary"
	"slices"
)

// unit is what stubs are padded to and split at: every fragment but the last
// must be a multiple of 8, and what is sealed a multiple of 16 to be safe with
// every cipher (MS-RPCE §2.2.2.11).
const unit = 16

// Request is one fragment of a call (C706 §12.6.4.9).
type Request struct {
	CallID  uint32
	Flags   uint8 // FlagFirst, FlagLast
	Hint    uint32
	Context uint16 // the presentation context
	Opnum   uint16
	Object  *UUID // nil: the call is not made on an object
	Stub    []byte
}

// Frame is a request with room for its token, and its parts as a login takes
// them. They all lie in PDU.
type Frame struct {
	PDU     []byte
	Header  []byte // the common header and the request's own
	Stub    []byte // with its padding
	Trailer []byte // nil without a token
	Token   []byte // to be filled in
}

// Frame lays the request out. With a trailer the stub is padded to a multiple of
// 16, which is put into the trailer, and token bytes are left at the end. All
// lengths are final, since a login signs them, too. Whoever splits a stub by Room
// stays below ErrLength.
func (r *Request) Frame(t *Trailer, token int) (Frame, error) {
	h := Header{Type: TypeRequest, Flags: r.Flags, CallID: r.CallID}
	head := HeaderSize + 8
	if r.Object != nil {
		h.Flags |= FlagObject
		head += 16
	}
	h.Length = head + len(r.Stub)
	pad := 0
	if t != nil {
		pad = -len(r.Stub) & (unit - 1)
		h.Length += pad + trailerSize + token
		h.Token = token
	}
	if h.Length > 0xffff {
		return Frame{}, ErrLength
	}
	b := h.append(make([]byte, 0, h.Length))
	b = binary.LittleEndian.AppendUint32(b, r.Hint)
	b = binary.LittleEndian.AppendUint16(b, r.Context)
	b = binary.LittleEndian.AppendUint16(b, r.Opnum)
	if r.Object != nil {
		b = append(b, r.Object[:]...)
	}
	b = append(b, r.Stub...)
	f := Frame{Header: b[:head:head]}
	if t != nil {
		sealed := *t
		sealed.Pad = uint8(pad)
		b = sealed.append(append(b, make([]byte, pad)...))
		f.Trailer = b[len(b)-trailerSize:]
		b = b[:h.Length]
		f.Token = b[h.Length-token:]
	}
	f.PDU, f.Stub = b, b[head:head+len(r.Stub)+pad]
	return f, nil
}

// Room is how many bytes of a stub fit into a PDU of maxFrag bytes, a multiple of
// 16; less than that when not even 16 do. token is the length of the token, or
// negative without a login.
func Room(maxFrag int, object bool, token int) int {
	room := maxFrag - HeaderSize - 8
	if object {
		room -= 16
	}
	if token >= 0 {
		room -= trailerSize + token
	}
	return room - room%unit
}

// Fragments splits a stub into pieces of at most room bytes, a multiple of 16. An
// empty stub is one empty piece.
func Fragments(stub []byte, room int) [][]byte {
	if len(stub) == 0 {
		return [][]byte{nil}
	}
	return slices.Collect(slices.Chunk(stub, room))
}
