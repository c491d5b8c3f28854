package adcs

import (
	"chancery/internal/doubles/dcerpc"
)

// session is one call of a method.
type session struct {
	ca     *CA
	who    Account
	object *object // nil where there is none: on ICertPassage
	act    Act
	cut    bool          // the line breaks before the answer
	w      dcerpc.Writer // ORPCTHAT, then what comes out beside the HRESULT
}

// method is a method of an interface: how its parameters are read, which gives
// what is to be done, and what comes out when nothing is.
type method struct {
	op    Op
	parse func(*dcerpc.Reader) func(*session) uint32
	none  func(*dcerpc.Writer)
}

// Empty results.
func noWord(w *dcerpc.Writer) { w.U32(0) }
func noBlob(w *dcerpc.Writer) { w.Blob(nil) }
func nothing(*dcerpc.Writer)  {}
func noWords(w *dcerpc.Writer) {
	w.U32(0)
	w.U32(0)
}
func noWordBlob(w *dcerpc.Writer) {
	w.U32(0)
	w.Blob(nil)
}

// readThis reads the ORPCTHIS that every call of DCOM begins with (MS-DCOM
// 2.2.13.3); the answer is the status of a fault.
func readThis(r *dcerpc.Reader) uint32 {
	major, minor := r.U16(), r.U16()
	flags := r.U32()
	r.U32()
	r.UUID()
	if r.Pointer() {
		skipExtents(r)
	}
	switch {
	case r.Err() != nil || flags > 1:
		return dcerpc.FaultBadStub
	case major != 5 || minor > 7:
		return versionMismatch
	}
	return 0
}

// skipExtents reads past an ORPC_EXTENT_ARRAY.
func skipExtents(r *dcerpc.Reader) {
	r.U32()
	r.U32()
	if !r.Pointer() {
		return
	}
	n := r.Count(4)
	if n > 16 {
		r.Fail("too many extents")
		return
	}
	there := 0
	for range n {
		if r.Pointer() {
			there++
		}
	}
	for range there {
		size := r.U32()
		r.UUID()
		if r.U32() > size {
			r.Fail("size of an extent")
		}
		r.Bytes(int(min(size, 1<<20)))
		r.Align(4)
	}
}

// serveObject calls a method of an object.
func (ca *CA) serveObject(call *dcerpc.Call, table map[uint16]method) dcerpc.Reply {
	m, ok := table[call.Opnum]
	if !ok {
		return dcerpc.Reply{Fault: dcerpc.FaultOpnum}
	}
	of, fault := ca.objects.find(call.Object, call.Interface.ID)
	if fault != 0 {
		return dcerpc.Reply{Fault: fault}
	}
	r := dcerpc.NewReader(call.Stub)
	if fault := readThis(r); fault != 0 {
		return dcerpc.Reply{Fault: fault}
	}
	action := m.parse(r)
	if r.End() != nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	who, ok := ca.caller(call.Caller)
	if !ok || who.User != of.owner {
		return dcerpc.Reply{Fault: dcerpc.FaultDenied}
	}
	refuse := func(code uint32) dcerpc.Reply {
		var w dcerpc.Writer
		words(&w, 0, 0)
		m.none(&w)
		return words(&w, code)
	}
	return ca.do(m.op, refuse, func(act Act) dcerpc.Reply {
		s := &session{ca: ca, who: who, object: of, act: act}
		words(&s.w, 0, 0)
		before := s.w.Len()
		code := action(s)
		if s.w.Len() == before {
			m.none(&s.w)
		}
		if s.cut {
			return dcerpc.Reply{Act: dcerpc.Cut}
		}
		return words(&s.w, code)
	})
}

// serveRemUnknown is IRemUnknown2 (MS-DCOM 3.1.1.5.6 and 7).
func (ca *CA) serveRemUnknown(call *dcerpc.Call) dcerpc.Reply {
	if call.Object == nil || *call.Object != ca.objects.remUnknown {
		return dcerpc.Reply{Fault: invalidIPID}
	}
	r := dcerpc.NewReader(call.Stub)
	if fault := readThis(r); fault != 0 {
		return dcerpc.Reply{Fault: fault}
	}
	switch call.Opnum {
	case 3:
		return ca.remQueryInterface(r, call.Caller)
	case 4, 5:
		return ca.remCount(r, call.Opnum == 4)
	}
	return dcerpc.Reply{Fault: dcerpc.FaultOpnum}
}

// remQueryInterface gives further interfaces of an object.
func (ca *CA) remQueryInterface(r *dcerpc.Reader, caller *dcerpc.Caller) dcerpc.Reply {
	ipid := r.UUID()
	refs := min(r.U32(), 1<<20)
	n := int(r.U16())
	if r.Count(16) != n || n > 16 {
		r.Fail("count of interfaces")
	}
	var iids []dcerpc.UUID
	for range n {
		if r.Err() == nil {
			iids = append(iids, r.UUID())
		}
	}
	if r.End() != nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	refuse := func(code uint32) dcerpc.Reply {
		var w dcerpc.Writer
		return words(&w, 0, 0, 0, code)
	}
	return ca.do(QueryInterface, refuse, func(act Act) dcerpc.Reply {
		of := ca.objects.byIPID(ipid)
		if of == nil || caller == nil || caller.User != of.owner {
			return refuse(invalidObject)
		}
		var w dcerpc.Writer
		words(&w, 0, 0)
		w.Pointer(true)
		w.U32(uint32(n))
		found := 0
		for _, iid := range iids {
			w.Align(8)
			if !offers(of.class, iid) || act.do == "nointerface" && act.text == names[iid] {
				words(&w, noInterface, 0)
				w.Raw(make([]byte, 40))
				continue
			}
			found++
			words(&w, 0, 0)
			w.Raw(ca.stdobjref(of, iid, refs))
		}
		if found == 0 {
			return words(&w, noInterface)
		}
		return words(&w, 0)
	})
}

// remCount adds and gives back references.
func (ca *CA) remCount(r *dcerpc.Reader, add bool) dcerpc.Reply {
	n := int(r.U16())
	if r.Count(24) != n || n > 64 {
		r.Fail("count of references")
	}
	type change struct {
		ipid            dcerpc.UUID
		public, private uint32
	}
	var changes []change
	for range n {
		if r.Err() == nil {
			changes = append(changes, change{r.UUID(), r.U32(), r.U32()})
		}
	}
	if r.End() != nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	run := func(Act) dcerpc.Reply {
		var w dcerpc.Writer
		words(&w, 0, 0)
		if add {
			w.U32(uint32(n))
		}
		var worst uint32
		for _, c := range changes {
			count := int(min(c.public, 1<<20)) + int(min(c.private, 1<<20))
			if !add {
				count = -count
			}
			code := ca.objects.addRef(c.ipid, count)
			if worst = max(worst, code); add {
				w.U32(code)
			}
		}
		return words(&w, worst)
	}
	if add {
		return run(Act{})
	}
	return ca.do(Release, func(code uint32) dcerpc.Reply {
		var w dcerpc.Writer
		return words(&w, 0, 0, code)
	}, run)
}
