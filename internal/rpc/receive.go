package rpc

import (
	"io"

	"chancery/internal/wire/msrpc"
)

// readPDU reads one PDU.
func (c *Conn) readPDU() (*msrpc.PDU, error) {
	var head [msrpc.HeaderSize]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	h, err := msrpc.ParseHeader(head[:])
	if err != nil {
		return nil, err
	}
	b := make([]byte, h.Length)
	copy(b, head[:])
	if _, err := io.ReadFull(c.in, b[msrpc.HeaderSize:]); err != nil {
		return nil, err
	}
	return msrpc.Parse(b)
}

// receive reads the fragments of an answer and puts them together (C706 §12.6.2).
// Whatever is wrong closes the connection, except a fault that the server sent.
func (c *Conn) receive() ([]byte, error) {
	var stub []byte
	for first := true; ; first = false {
		p, err := c.readPDU()
		if err != nil {
			c.shut(err)
			return nil, err
		}
		part, err := c.part(p, first)
		if err != nil {
			if _, fault := err.(*Fault); !fault || p.Trailer != nil { // where a fault is signed, who counts it is open
				c.shut(err)
			}
			return nil, err
		}
		if len(stub)+len(part) > c.o.MaxResponse {
			c.shut(errTooLong)
			return nil, errTooLong
		}
		stub = append(stub, part...)
		if p.Flags&msrpc.FlagLast != 0 {
			return stub, nil
		}
	}
}

// part gives what one PDU holds of the answer to the call under way.
func (c *Conn) part(p *msrpc.PDU, first bool) ([]byte, error) {
	if p.CallID != c.callID {
		return nil, errOtherCall
	}
	if status, err := p.Fault(); err == nil {
		return nil, &Fault{status}
	}
	r, err := p.Response()
	if err == msrpc.ErrType {
		return nil, errUnexpected
	}
	if err != nil {
		return nil, err
	}
	if first != (p.Flags&msrpc.FlagFirst != 0) {
		return nil, errOrder
	}
	if err := c.unseal(p, r); err != nil {
		return nil, err
	}
	part := r.Stub[:len(r.Stub)-r.Pad]
	if len(part) == 0 && p.Flags&msrpc.FlagLast == 0 {
		return nil, errEmpty
	}
	return part, nil
}

// unseal decrypts a fragment in place. On a connection with a login nothing counts
// that is not sealed.
func (c *Conn) unseal(p *msrpc.PDU, r *msrpc.Response) error {
	if c.login == nil {
		return nil
	}
	if t := p.Trailer; t == nil || t.Type != c.login.AuthType() || t.Level != msrpc.LevelPrivacy || t.Context != loginID {
		return errUnsealed
	}
	return c.login.Unseal(r.Header, r.Stub, r.Trailer, p.Signature, c.headerSign)
}
