package dcerpc

import "encoding/binary"

// assembly is a request whose fragments are coming in.
type assembly struct {
	callID  uint32
	context uint16
	opnum   uint16
	object  *UUID
	secured *security
	stub    []byte
}

// request takes one fragment, and answers the call with the last.
func (c *conn) request(p *pdu) error {
	if len(p.raw) > c.server.maxFrag() || len(p.body) < 8 {
		return c.fault(p, 0, FaultProtocol, true)
	}
	le := binary.LittleEndian
	part := assembly{callID: p.callID, context: le.Uint16(p.body[4:]), opnum: le.Uint16(p.body[6:])}
	head := headerSize + 8
	if p.flags&flagObject != 0 {
		if len(p.body) < 24 {
			return c.fault(p, part.context, FaultProtocol, true)
		}
		object := UUID(p.body[8:24])
		part.object, head = &object, head+16
	}
	stub, status := c.unseal(p, head, &part)
	if status != 0 {
		return c.fault(p, part.context, status, true)
	}
	if status := c.join(p, &part, stub); status != 0 {
		return c.fault(p, part.context, status, true)
	}
	if p.flags&flagLast == 0 {
		return nil
	}
	call := c.call
	c.call = nil
	return c.answer(p, call)
}

// unseal opens the part of a PDU after head. The answer is a fault's status
// when it cannot be opened.
func (c *conn) unseal(p *pdu, head int, part *assembly) ([]byte, uint32) {
	if p.trailer == nil {
		// At the level of a connection PDUs come bare; with more than that none may.
		for _, s := range c.logons {
			if s.failed || s.caller == nil || s.level >= LevelIntegrity {
				return nil, FaultDenied
			}
			part.secured = s
		}
		return p.raw[head:], 0
	}
	t := p.trailer
	s := c.logons[t.id]
	if s == nil || s.failed || s.caller == nil || s.kind != t.kind || s.level != t.level {
		return nil, FaultDenied
	}
	part.secured = s
	end := len(p.raw) - len(p.token) - len(t.raw)
	if end < head || t.pad > end-head {
		return nil, FaultProtocol
	}
	stub := p.raw[head:end]
	if s.level >= LevelIntegrity {
		guard := s.mech.protection()
		if err := guard.unseal(p.raw[:head], stub, t.raw, p.token, c.signed, s.level == LevelPrivacy); err != nil {
			return nil, FaultSecurity
		}
	}
	return stub[:len(stub)-t.pad], 0
}

// join adds a fragment to the call it is of (C706 12.6.2).
func (c *conn) join(p *pdu, part *assembly, stub []byte) uint32 {
	first, last := p.flags&flagFirst != 0, p.flags&flagLast != 0
	switch {
	case first && c.call != nil, !first && c.call == nil:
		return FaultProtocol
	case !last && len(stub)%8 != 0:
		return FaultProtocol
	case first:
		c.call = part
	case c.call.callID != part.callID || c.call.context != part.context || c.call.opnum != part.opnum || c.call.secured != part.secured:
		return FaultProtocol
	}
	if len(c.call.stub)+len(stub) > maxCall {
		return FaultProtocol
	}
	c.call.stub = append(c.call.stub, stub...)
	return 0
}
