package dcerpc

import (
	"encoding/binary"
	"errors"
)

var (
	ndr20    = MustUUID("8a885d04-1ceb-11c9-9fe8-08002b104860")
	features = [8]byte{0x2c, 0x1c, 0xb7, 0x6c, 0x12, 0x98, 0x40, 0x45} // of bind time, MS-RPCE 3.3.1.5.3
)

// Results of presentation contexts, and reasons of a bind_nak (C706 12.6.3.1,
// MS-RPCE 2.2.2.5).
const (
	resultAccept   = 0
	resultProvider = 2
	resultFeatures = 3 // negotiate_ack
	reasonAbstract = 1
	reasonTransfer = 2

	nakNotSpecified = 0
	nakVersion      = 4
	nakAuthType     = 8
	nakChecksum     = 9
)

// syntax is an interface or a transfer syntax with its version.
type syntax struct {
	id      UUID
	version uint32
}

// offer is one presentation context that a client wants.
type offer struct {
	id       uint16
	abstract syntax
	transfer []syntax
}

// bindBody is the body of a bind or alter_context.
type bindBody struct {
	maxSend, maxRecv uint16
	group            uint32
	offers           []offer
}

func parseBind(body []byte) (*bindBody, error) {
	r := NewReader(body)
	b := &bindBody{maxSend: r.U16(), maxRecv: r.U16(), group: r.U32()}
	count := int(r.U8())
	r.Bytes(3)
	if count == 0 || count > maxOffers {
		return nil, errPDU
	}
	read := func() syntax { return syntax{r.UUID(), r.U32()} }
	for range count {
		o := offer{id: r.U16()}
		transfers := int(r.U8())
		r.Bytes(1)
		o.abstract = read()
		if transfers == 0 || r.Err() != nil {
			return nil, errPDU
		}
		for range transfers {
			o.transfer = append(o.transfer, read())
		}
		b.offers = append(b.offers, o)
	}
	return b, r.Err() // what follows does not count: impacket repeats itself
}

// bind answers a bind or an alter_context.
func (c *conn) bind(p *pdu) error {
	body := p.body
	if p.trailer != nil {
		body = body[:len(body)-p.trailer.pad]
	}
	b, err := parseBind(body)
	if err != nil {
		return c.refuseBind(p, nakNotSpecified, FaultProtocol)
	}
	if p.kind == kindBind {
		c.bound = true
		c.signed = p.flags&flagHeaderSign != 0 && !c.server.NoHeaderSigning
		if b.maxRecv < minRecvFrag {
			return c.refuseBind(p, nakNotSpecified, FaultProtocol)
		}
		c.maxSend = min(c.maxSend, int(b.maxRecv))
		if c.group = b.group; c.group == 0 {
			c.group = c.server.nextGroup()
		}
	}
	var t *trailer
	var token []byte
	if p.trailer != nil {
		s, reply, err := c.logon(p)
		switch {
		case errors.Is(err, errAuthType):
			return c.refuseBind(p, nakAuthType, FaultDenied)
		case err != nil:
			return c.refuseBind(p, nakChecksum, FaultDenied)
		}
		if len(reply) > 0 {
			t, token = &trailer{kind: s.kind, level: s.level, id: s.id}, reply
		}
	}
	return c.ack(p, b, t, token)
}

// refuseBind says no in the way of the PDU.
func (c *conn) refuseBind(p *pdu, reason uint16, status uint32) error {
	if p.kind == kindBind {
		return c.nak(p, reason)
	}
	return c.fault(p, 0, status, true)
}

// ack answers which of the interfaces the client has now, with the token of the
// logon.
func (c *conn) ack(p *pdu, b *bindBody, t *trailer, token []byte) error {
	le := binary.LittleEndian
	recv := c.server.maxFrag()
	if b.maxSend != 0 {
		recv = min(recv, int(b.maxSend))
	}
	body := le.AppendUint16(nil, uint16(c.maxSend))
	body = le.AppendUint16(body, uint16(recv))
	body = le.AppendUint32(body, c.group)
	if p.kind == kindBind {
		body = le.AppendUint16(body, uint16(len(c.address)+1))
		body = append(append(body, c.address...), 0)
	} else {
		body = le.AppendUint16(body, 0)
	}
	body = append(body, make([]byte, -(headerSize+len(body))&3)...)
	body = append(body, byte(len(b.offers)), 0, 0, 0)
	for _, o := range b.offers {
		result, reason, transfer := c.settle(o)
		body = le.AppendUint16(body, result)
		body = le.AppendUint16(body, reason)
		body = append(body, transfer.id[:]...)
		body = le.AppendUint32(body, transfer.version)
	}
	kind, flags := byte(kindBindAck), byte(flagFirst|flagLast)
	if p.kind == kindAlter {
		kind = kindAlterResp
	}
	if c.signed {
		flags |= flagHeaderSign
	}
	raw := makePDU(kind, flags, p.callID, body, t, len(token))
	copy(raw[len(raw)-len(token):], token)
	return c.write(raw)
}

// settle decides about one presentation context.
func (c *conn) settle(o offer) (result, reason uint16, transfer syntax) {
	if len(o.transfer) == 1 && [8]byte(o.transfer[0].id[:8]) == features {
		return resultFeatures, 0, syntax{} // none of them
	}
	known := c.server.find(o.abstract.id, o.abstract.version)
	if known == nil || len(c.contexts) >= maxContexts {
		return resultProvider, reasonAbstract, syntax{}
	}
	if had := c.contexts[o.id]; had != nil && had != known {
		return resultProvider, reasonAbstract, syntax{} // the number is taken
	}
	for _, t := range o.transfer {
		if t.id == ndr20 && t.version == 2 {
			c.contexts[o.id] = known
			return resultAccept, 0, t
		}
	}
	return resultProvider, reasonTransfer, syntax{}
}
