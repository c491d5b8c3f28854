package dcerpc

import (
	"encoding/binary"
	"io"
)

// answer serves a call and writes what comes of it.
func (c *conn) answer(p *pdu, a *assembly) error {
	iface := c.contexts[a.context]
	if iface == nil {
		return c.fault(p, a.context, FaultInterface, false)
	}
	call := &Call{Interface: iface, Opnum: a.opnum, Object: a.object, Stub: a.stub, Level: LevelNone}
	if a.secured != nil {
		call.Level, call.Caller = a.secured.level, a.secured.caller
	}
	if call.Level < iface.Level {
		return c.fault(p, a.context, FaultDenied, false)
	}
	reply := iface.Serve(call)
	switch reply.Act {
	case Cut:
		return errDone
	case Hang:
		io.Copy(io.Discard, c.rw)
		return errDone
	}
	if reply.Fault != 0 {
		return c.fault(p, a.context, reply.Fault, false)
	}
	callID := p.callID
	if reply.Act == WrongCallID {
		callID += 1000
	}
	pdus, err := c.responses(callID, a, reply.Stub)
	if err != nil {
		return err
	}
	for i, raw := range pdus {
		if reply.Act == Half && i == len(pdus)-1 {
			c.write(raw[:len(raw)/2])
			return errDone
		}
		if err := c.write(raw); err != nil {
			return err
		}
	}
	return nil
}

// responses cuts a reply into PDUs, each sealed alone.
func (c *conn) responses(callID uint32, a *assembly, stub []byte) ([][]byte, error) {
	const head = headerSize + 8
	room, size := c.maxSend-head, 0
	var guard protection
	if a.secured != nil && a.secured.level >= LevelIntegrity {
		guard = a.secured.mech.protection()
		size = guard.tokenSize()
		room -= 8 + size
	}
	room &^= 15
	if room <= 0 {
		return nil, errDone
	}
	le := binary.LittleEndian
	var pdus [][]byte
	for first := true; first || len(stub) > 0; first = false {
		n := min(room, len(stub))
		var flags byte
		if first {
			flags |= flagFirst
		}
		if n == len(stub) {
			flags |= flagLast
		}
		body := le.AppendUint32(nil, uint32(len(stub)))
		body = le.AppendUint16(body, a.context)
		body = append(body, 0, 0)
		body = append(body, stub[:n]...)
		stub = stub[n:]
		if guard == nil {
			pdus = append(pdus, makePDU(kindResponse, flags, callID, body, nil, 0))
			continue
		}
		t := &trailer{kind: a.secured.kind, level: a.secured.level, pad: -n & 15, id: a.secured.id}
		raw := makePDU(kindResponse, flags, callID, body, t, size)
		at := len(raw) - size - 8
		token, err := guard.seal(raw[:head], raw[head:at], raw[at:at+8], c.signed, a.secured.level == LevelPrivacy)
		if err != nil {
			return nil, err
		}
		copy(raw[at+8:], token)
		pdus = append(pdus, raw)
	}
	return pdus, nil
}
