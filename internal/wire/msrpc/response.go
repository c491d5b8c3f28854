package msrpc

import "encoding/binary"

// responseHead is the length of a response's header, in bytes.
const responseHead = HeaderSize + 8

// Response is one fragment of an answer (C706 §12.6.4.10). Its parts lie in the
// PDU.
type Response struct {
	Context uint16
	Header  []byte // the common header and the response's own
	Stub    []byte // with its padding, sealed if there is a token
	Trailer []byte // nil without a token
	Pad     int    // bytes of the stub that are padding, at most all of them
}

// Response reads a response: ErrType for any other PDU, else ErrShort or
// ErrLength.
func (p *PDU) Response() (*Response, error) {
	if p.Type != TypeResponse {
		return nil, ErrType
	}
	end := p.end()
	if end < responseHead {
		return nil, ErrShort
	}
	r := &Response{Context: binary.LittleEndian.Uint16(p.Raw[20:]), Header: p.Raw[:responseHead], Stub: p.Raw[responseHead:end]}
	if p.Trailer != nil {
		r.Trailer, r.Pad = p.Raw[end:end+trailerSize], int(p.Trailer.Pad)
	}
	if r.Pad > len(r.Stub) {
		return nil, ErrLength
	}
	return r, nil
}

// Fault reads the status of a fault (C706 §12.6.4.7): ErrType for any other PDU,
// else ErrShort.
func (p *PDU) Fault() (uint32, error) {
	if p.Type != TypeFault {
		return 0, ErrType
	}
	if p.end() < 28 {
		return 0, ErrShort
	}
	return binary.LittleEndian.Uint32(p.Raw[24:]), nil
}
