package msrpc

import "encoding/binary"

// Bind offers presentation contexts: the interfaces that are going to be called,
// each in NDR20. Their identifiers are their places in the list (C706 §12.6.4.3,
// MS-RPCE §2.2.2.13 for header signing).
type Bind struct {
	// Alter makes it an alter_context, on a connection that is bound already.
	Alter      bool
	CallID     uint32
	MaxFrag    uint16 // largest PDU that we send and take, in bytes
	Group      uint32 // association group; 0: a new one
	HeaderSign bool   // offer to sign PDU headers
	Interfaces []SyntaxID
	Auth       *Auth // nil: no login
}

// Bytes gives the PDU. It is never split; one that is too long is ErrLength.
func (m *Bind) Bytes() ([]byte, error) {
	h := Header{Type: TypeBind, Flags: FlagFirst | FlagLast, CallID: m.CallID}
	if m.Alter {
		h.Type = TypeAlter
	}
	if m.HeaderSign {
		h.Flags |= FlagHeaderSign
	}
	if len(m.Interfaces) > 0xff {
		return nil, ErrLength
	}
	b := h.append(nil)
	b = binary.LittleEndian.AppendUint16(b, m.MaxFrag)
	b = binary.LittleEndian.AppendUint16(b, m.MaxFrag)
	b = binary.LittleEndian.AppendUint32(b, m.Group)
	b = append(b, byte(len(m.Interfaces)), 0, 0, 0)
	for i, s := range m.Interfaces {
		b = binary.LittleEndian.AppendUint16(b, uint16(i))
		b = append(b, 1, 0)
		b = NDR20.append(s.append(b))
	}
	return finish(b, m.Auth)
}

func (s SyntaxID) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(append(b, s.UUID[:]...), s.Version)
}

// BindAck answers a bind or an alter_context (C706 §12.6.4.4).
type BindAck struct {
	MaxRecv uint16 // largest PDU the server takes, in bytes
	Group   uint32
	Results []Result // one for each presentation context
}

// Result is what became of one presentation context (C706 §12.6.3.1,
// p_result_t).
type Result struct {
	Code   uint16 // 0: accepted
	Reason uint16
}

// Accepted reports whether the interface can be called.
func (r Result) Accepted() bool { return r.Code == 0 }

// String says why not.
func (r Result) String() string {
	switch {
	case r.Code == 0:
		return "accepted"
	case r.Code == 2 && r.Reason == 1:
		return "the server does not have this interface"
	case r.Code == 2 && r.Reason == 2:
		return "the server does not know the transfer syntax"
	case r.Code == 2 && r.Reason == 3:
		return "the server has reached a limit"
	case r.Code == 1:
		return "the service refused it"
	}
	return "the server refused it"
}

// BindAck reads a bind_ack or an alter_context_resp: ErrType for any other, else
// ErrShort. What follows the results is padding before a token.
func (p *PDU) BindAck() (*BindAck, error) {
	if p.Type != TypeBindAck && p.Type != TypeAlterResp {
		return nil, ErrType
	}
	b := p.Raw[:p.end()]
	if len(b) < 26 {
		return nil, ErrShort
	}
	a := &BindAck{MaxRecv: binary.LittleEndian.Uint16(b[18:]), Group: binary.LittleEndian.Uint32(b[20:])}
	at := (26 + int(binary.LittleEndian.Uint16(b[24:])) + 3) &^ 3 // behind the secondary address
	if len(b) < at+4 {
		return nil, ErrShort
	}
	n, rest := int(b[at]), b[at+4:]
	if len(rest) < n*resultSize {
		return nil, ErrShort
	}
	for ; n > 0; n, rest = n-1, rest[resultSize:] {
		a.Results = append(a.Results, Result{binary.LittleEndian.Uint16(rest), binary.LittleEndian.Uint16(rest[2:])})
	}
	return a, nil
}

// resultSize is the length of one result with its transfer syntax, in bytes.
const resultSize = 24

// BindNak is the reason why the server refuses a bind (C706 §12.6.4.5, MS-RPCE
// §2.2.2.9).
type BindNak uint16

// String says it in words.
func (r BindNak) String() string {
	switch r {
	case 1:
		return "temporary congestion"
	case 2:
		return "a local limit was exceeded"
	case 4:
		return "the protocol version is not supported"
	case 8:
		return "the authentication type is not recognized"
	case 9:
		return "the login was refused"
	}
	return "no reason was given"
}

// BindNak reads a bind_nak: ErrType for any other, else ErrShort.
func (p *PDU) BindNak() (BindNak, error) {
	if p.Type != TypeBindNak {
		return 0, ErrType
	}
	if p.end() < 18 {
		return 0, ErrShort
	}
	return BindNak(binary.LittleEndian.Uint16(p.Raw[16:])), nil
}
