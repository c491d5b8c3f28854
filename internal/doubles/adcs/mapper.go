package adcs

import (
	"encoding/binary"
	"net"

	"chancery/internal/doubles/dcerpc"
)

const notRegistered = 0x16C9A0D6 // EPT_S_NOT_REGISTERED

// serveMapper is the endpoint mapper (C706 appendix O). It knows ICertPassage.
func (ca *CA) serveMapper(call *dcerpc.Call) dcerpc.Reply {
	if call.Opnum != 3 {
		return dcerpc.Reply{Fault: dcerpc.FaultOpnum}
	}
	r := dcerpc.NewReader(call.Stub)
	if r.Pointer() {
		r.UUID() // of an object: nothing is registered by object
	}
	var octets []byte
	if r.Pointer() {
		count := r.U32()
		if length := r.U32(); length != count {
			r.Fail("length of a tower")
		}
		octets = r.Bytes(int(min(count, 1<<16)))
		r.Align(4)
	}
	handle := r.Bytes(20)
	limit := r.U32()
	if r.End() != nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	answer := func(towers ...[]byte) dcerpc.Reply {
		var w dcerpc.Writer
		w.Raw(handle)
		words(&w, uint32(len(towers)), limit, 0, uint32(len(towers)))
		for range towers {
			w.Pointer(true)
		}
		for _, t := range towers {
			words(&w, uint32(len(t)), uint32(len(t)))
			w.Raw(t)
		}
		if len(towers) == 0 {
			return words(&w, notRegistered)
		}
		return words(&w, 0)
	}
	none := func(code uint32) dcerpc.Reply {
		var w dcerpc.Writer
		w.Raw(handle)
		return words(&w, 0, limit, 0, 0, code)
	}
	return ca.do(Map, none, func(Act) dcerpc.Reply {
		if t, ok := ca.mapTower(octets); ok && limit > 0 {
			return answer(t)
		}
		return answer()
	})
}

// mapTower fills the port into the tower of an interface we have.
func (ca *CA) mapTower(octets []byte) ([]byte, bool) {
	iid, version, ok := parseTower(octets)
	if !ok || iid != iidPassage || version != 0 || ca.cfg.NotRegistered || ca.cfg.PassageOnPipe {
		return nil, false
	}
	return makeTower(iid, version, uint16(ca.server.Addr().(*net.TCPAddr).Port)), true
}

// parseTower reads a tower of five floors: interface, NDR, connections, TCP, IP.
func parseTower(b []byte) (iid dcerpc.UUID, version uint32, ok bool) {
	le := binary.LittleEndian
	if len(b) < 2 || le.Uint16(b) != 5 {
		return iid, 0, false
	}
	b = b[2:]
	side := func() []byte {
		if len(b) < 2 || int(le.Uint16(b)) > len(b)-2 {
			b = nil
			return nil
		}
		n := int(le.Uint16(b))
		s := b[2 : 2+n]
		b = b[2+n:]
		return s
	}
	var floors [5][2][]byte
	for i := range floors {
		floors[i] = [2][]byte{side(), side()}
		if len(floors[i][0]) == 0 {
			return iid, 0, false
		}
	}
	syntax := func(f [2][]byte) (dcerpc.UUID, uint32, bool) {
		if len(f[0]) != 19 || f[0][0] != 0x0d || len(f[1]) != 2 {
			return iid, 0, false
		}
		return dcerpc.UUID(f[0][1:17]), uint32(le.Uint16(f[1]))<<16 | uint32(le.Uint16(f[0][17:])), true
	}
	transfer, ndrVersion, fine := syntax(floors[1])
	if !fine || transfer != ndr20 || ndrVersion != 2 || floors[2][0][0] != 0x0b || floors[3][0][0] != 0x07 || len(floors[3][1]) != 2 || floors[4][0][0] != 0x09 || len(b) != 0 {
		return iid, 0, false
	}
	return syntax(floors[0])
}

// makeTower writes a tower with a port. The address of Windows hosts is often
// none, so ours is.
func makeTower(iid dcerpc.UUID, version uint32, port uint16) []byte {
	le := binary.LittleEndian
	b := []byte{5, 0}
	side := func(s ...byte) {
		b = le.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	syntax := func(id dcerpc.UUID, version uint32) {
		side(append(append([]byte{0x0d}, id[:]...), byte(version), byte(version>>8))...)
		side(byte(version>>16), byte(version>>24))
	}
	syntax(iid, version)
	syntax(ndr20, 2)
	side(0x0b)
	side(0, 0)
	side(0x07)
	side(byte(port>>8), byte(port))
	side(0x09)
	side(0, 0, 0, 0)
	return b
}
