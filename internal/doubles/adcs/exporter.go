package adcs

import (
	"encoding/binary"
	"net"
	"strconv"

	"chancery/internal/doubles/dcerpc"
)

// serveExporter is IObjectExporter (MS-DCOM 3.1.2.5.1): pings and signs of life.
func (ca *CA) serveExporter(call *dcerpc.Call) dcerpc.Reply {
	r := dcerpc.NewReader(call.Stub)
	var w dcerpc.Writer
	switch call.Opnum {
	case 1: // SimplePing
		set := r.U64()
		if r.End() != nil {
			return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
		}
		return words(&w, ca.objects.ping(set))
	case 2: // ComplexPing
		return ca.complexPing(r)
	case 3: // ServerAlive
		return words(&w, 0)
	case 5: // ServerAlive2
		refuse := func(code uint32) dcerpc.Reply { return words(&w, 5|7<<16, 0, 0, code) }
		return ca.do(ServerAlive, refuse, func(Act) dcerpc.Reply {
			w.U16(5)
			w.U16(7)
			w.Pointer(true)
			ca.bindings(false).write(&w)
			return words(&w, 0, 0)
		})
	}
	return dcerpc.Reply{Fault: dcerpc.FaultOpnum}
}

// complexPing changes a ping set and pings it.
func (ca *CA) complexPing(r *dcerpc.Reader) dcerpc.Reply {
	set := r.U64()
	r.U16() // sequence number: one connection keeps the order
	adds, dels := int(r.U16()), int(r.U16())
	oids := func(n int) (list []uint64) {
		if !r.Pointer() {
			if n != 0 {
				r.Fail("no objects")
			}
			return nil
		}
		if r.Count(8) != n {
			r.Fail("count of objects")
		}
		for range n {
			if r.Err() != nil {
				break
			}
			list = append(list, r.U64())
		}
		return list
	}
	add, del := oids(adds), oids(dels)
	if r.End() != nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	set, status := ca.objects.change(set, add, del)
	var w dcerpc.Writer
	w.U64(set)
	w.U16(0) // back-off
	return words(&w, status)
}

// dual is a DUALSTRINGARRAY (MS-DCOM 2.2.19): string bindings, and from an offset
// on security bindings.
type dual struct {
	units    []uint16
	security int
}

// bindings are the host by name and by address, with the port or, for the
// resolver, without.
func (ca *CA) bindings(port bool) (d dual) {
	suffix := ""
	if port {
		suffix = "[" + strconv.Itoa(ca.server.Addr().(*net.TCPAddr).Port) + "]"
	}
	text := func(s string) {
		d.units = append(append(d.units, dcerpc.Units(dcerpc.Wide(s))...), 0)
	}
	for _, host := range []string{ca.cfg.Computer, ca.cfg.Host} {
		d.units = append(d.units, 7) // ncacn_ip_tcp
		text(host + suffix)
	}
	d.units = append(d.units, 0)
	d.security = len(d.units)
	for _, service := range []uint16{0x09, 0x0A, 0x10} {
		d.units = append(d.units, service, 0xffff, 0)
	}
	d.units = append(d.units, 0)
	return d
}

// write writes it as NDR does, its count first.
func (d dual) write(w *dcerpc.Writer) {
	w.U32(uint32(len(d.units)))
	w.Raw(d.append(nil))
}

func (d dual) append(b []byte) []byte {
	for _, u := range append([]uint16{uint16(len(d.units)), uint16(d.security)}, d.units...) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
