package adcs

import (
	"encoding/binary"
	"errors"

	"chancery/internal/doubles/dcerpc"
)

var errActivation = errors.New("adcs: malformed activation properties")

// wish is what a client wants activated.
type wish struct {
	class dcerpc.UUID
	iids  []dcerpc.UUID
}

// serveActivator is IRemoteSCMActivator (MS-DCOM 3.1.2.5.2.3). Anybody may ask;
// who is not logged on well enough is told so in the answer.
func (ca *CA) serveActivator(call *dcerpc.Call) dcerpc.Reply {
	if call.Opnum != 4 {
		return dcerpc.Reply{Fault: dcerpc.FaultOpnum}
	}
	r := dcerpc.NewReader(call.Stub)
	if fault := readThis(r); fault != 0 {
		return dcerpc.Reply{Fault: fault}
	}
	if r.Pointer() {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub} // no aggregation over the network
	}
	blob := readInterface(r)
	if r.End() != nil || blob == nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	refuse := func(code uint32) dcerpc.Reply {
		var w dcerpc.Writer
		return words(&w, 0, 0, 0, code) // ORPCTHAT, no properties
	}
	want, err := parseActivation(blob)
	if err != nil {
		return refuse(invalidArg)
	}
	return ca.do(Activate, refuse, func(act Act) dcerpc.Reply {
		account, ok := ca.caller(call.Caller)
		switch {
		case call.Level < dcerpc.LevelIntegrity, !ok, account.NoDCOM:
			return refuse(accessDenied)
		case want.class != clsidCertReq && want.class != clsidCertAdmin:
			return refuse(classNotRegistered)
		}
		return ca.activate(want, account.User, act)
	})
}

// readInterface reads an MInterfacePointer.
func readInterface(r *dcerpc.Reader) []byte {
	if !r.Pointer() {
		return nil
	}
	count := r.U32()
	if size := r.U32(); size != count || size > 1<<16 {
		r.Fail("size of an interface pointer")
		return nil
	}
	return r.Bytes(int(count))
}

// parseActivation reads the OBJREF_CUSTOM with the activation properties
// (MS-DCOM 2.2.22). All sizes in it must agree; properties are found by their
// class.
func parseActivation(b []byte) (*wish, error) {
	le := binary.LittleEndian
	if len(b) < 56 || string(b[:4]) != "MEOW" || le.Uint32(b[4:]) != 4 || dcerpc.UUID(b[8:24]) != iidPropsIn || dcerpc.UUID(b[24:40]) != clsidPropsIn || le.Uint32(b[40:]) != 0 {
		return nil, errActivation
	}
	b = b[48:]
	size := le.Uint32(b)
	if b = b[8:]; int64(size) > int64(len(b)) || len(b)-int(size) > 7 {
		return nil, errActivation
	}
	properties, err := splitProperties(b[:size])
	if err != nil {
		return nil, err
	}
	for _, need := range []dcerpc.UUID{clsidInstance, clsidScmRequest, clsidLocation} {
		if properties[need] == nil {
			return nil, errActivation
		}
	}
	if err := checkScmRequest(properties[clsidScmRequest]); err != nil {
		return nil, err
	}
	return parseInstantiation(properties[clsidInstance])
}

// splitProperties reads the CustomHeader and gives the readers of the bodies by
// class.
func splitProperties(b []byte) (map[dcerpc.UUID]*dcerpc.Reader, error) {
	le := binary.LittleEndian
	if len(b) < 24 {
		return nil, errActivation
	}
	total, header := le.Uint32(b[16:]), le.Uint32(b[20:])
	if int64(total) != int64(len(b)) || header > total || header < 16 {
		return nil, errActivation
	}
	r, err := serialized(b[:header])
	if err != nil {
		return nil, err
	}
	r.Bytes(12) // the sizes, and a reserved word
	r.U32()     // destination context
	n := int(r.U32())
	r.UUID()
	if !r.Pointer() || !r.Pointer() || r.Pointer() || n < 1 || n > 10 {
		return nil, errActivation
	}
	classes, sizes := make([]dcerpc.UUID, n), make([]uint32, n)
	if r.Count(16) != n {
		return nil, errActivation
	}
	for i := range classes {
		classes[i] = r.UUID()
	}
	if r.Count(4) != n {
		return nil, errActivation
	}
	for i := range sizes {
		sizes[i] = r.U32()
	}
	if r.End() != nil {
		return nil, errActivation
	}
	properties, rest := map[dcerpc.UUID]*dcerpc.Reader{}, b[header:]
	for i, class := range classes {
		if int64(sizes[i]) > int64(len(rest)) || properties[class] != nil {
			return nil, errActivation
		}
		if properties[class], err = serialized(rest[:sizes[i]]); err != nil {
			return nil, err
		}
		rest = rest[sizes[i]:]
	}
	if len(rest) != 0 {
		return nil, errActivation
	}
	return properties, nil
}

// serialized opens the frame of type serialization version 1 (MS-RPCE 2.2.6).
// Some clients do not count the padding behind the body, and Windows lets them.
func serialized(b []byte) (*dcerpc.Reader, error) {
	le := binary.LittleEndian
	if len(b) < 16 || le.Uint64(b) != 0xcccccccc_00081001 {
		return nil, errActivation
	}
	n, body := int64(le.Uint32(b[8:])), b[16:]
	if len(body)%8 != 0 || n > int64(len(body)) || int64(len(body))-n > 7 {
		return nil, errActivation
	}
	return dcerpc.NewReader(body[:n]), nil
}

// parseInstantiation reads InstantiationInfoData (2.2.22.2.1).
func parseInstantiation(r *dcerpc.Reader) (*wish, error) {
	w := &wish{class: r.UUID()}
	r.U32() // class context
	r.U32() // activation flags
	r.U32() // surrogate
	n := int(r.U32())
	r.U32() // instance flag
	there := r.Pointer()
	r.U32() // size of this
	major, minor := r.U16(), r.U16()
	if !there || n < 1 || n > 0x8000 || major != 5 || minor > 7 || r.Count(16) != n {
		return nil, errActivation
	}
	for range n {
		w.iids = append(w.iids, r.UUID())
	}
	if r.End() != nil {
		return nil, errActivation
	}
	return w, nil
}

// checkScmRequest reads ScmRequestInfoData (2.2.22.2.4), which must allow TCP.
func checkScmRequest(r *dcerpc.Reader) error {
	if r.Pointer() || !r.Pointer() {
		return errActivation
	}
	r.U32() // impersonation level
	n := int(r.U16())
	if !r.Pointer() || r.Count(2) != n {
		return errActivation
	}
	tcp := false
	for range n {
		tcp = r.U16() == 7 || tcp
	}
	if r.End() != nil || !tcp {
		return errActivation
	}
	return nil
}

// activate makes the object and describes it.
func (ca *CA) activate(want *wish, owner string, act Act) dcerpc.Reply {
	made := ca.objects.make(want.class, owner)
	var props dcerpc.Writer
	props.U32(uint32(len(want.iids)))
	for range 3 {
		props.Pointer(true)
	}
	props.U32(uint32(len(want.iids)))
	for _, iid := range want.iids {
		props.UUID(iid)
	}
	good := make([]bool, len(want.iids))
	found := 0
	props.U32(uint32(len(want.iids)))
	for i, iid := range want.iids {
		if good[i] = offers(want.class, iid) && (act.do != "nointerface" || act.text != names[iid]); good[i] {
			found++
			props.U32(0)
		} else {
			props.U32(noInterface)
		}
	}
	props.U32(uint32(len(want.iids)))
	for _, ok := range good {
		props.Pointer(ok)
	}
	for i, iid := range want.iids {
		if good[i] {
			ref := ca.objref(made, iid)
			words(&props, uint32(len(ref)), uint32(len(ref)))
			props.Raw(ref)
			props.Align(4)
		}
	}
	var reply dcerpc.Writer
	reply.Pointer(false)
	reply.Pointer(true)
	reply.U64(ca.objects.oxid)
	reply.Pointer(true)
	reply.UUID(ca.objects.remUnknown)
	reply.U32(ca.hint())
	reply.U16(5)
	reply.U16(7)
	ca.bindings(true).write(&reply)

	blob := propertiesOut([]dcerpc.UUID{clsidPropsOut, clsidScmReply}, [][]byte{props.Bytes(), reply.Bytes()})
	var w dcerpc.Writer
	words(&w, 0, 0) // ORPCTHAT
	w.Pointer(true)
	words(&w, uint32(len(blob)), uint32(len(blob)))
	w.Raw(blob)
	switch found {
	case 0:
		return words(&w, noInterface)
	case len(want.iids):
		return words(&w, 0)
	}
	return words(&w, notAllInterfaces)
}

// hint is the least authentication level that clients should use.
func (ca *CA) hint() uint32 {
	if ca.cfg.InterfaceFlags&(IfEncryptRequest|IfEncryptAdmin) != 0 {
		return dcerpc.LevelPrivacy
	}
	return dcerpc.LevelIntegrity
}

// objref is an OBJREF_STANDARD (MS-DCOM 2.2.18.4).
func (ca *CA) objref(of *object, iid dcerpc.UUID) []byte {
	b := append([]byte("MEOW"), 1, 0, 0, 0)
	b = append(b, iid[:]...)
	b = append(b, ca.stdobjref(of, iid, publicRefs)...)
	return ca.bindings(false).append(b)
}

// stdobjref is the STDOBJREF: flags, references, OXID, OID, IPID.
func (ca *CA) stdobjref(of *object, iid dcerpc.UUID, refs uint32) []byte {
	le := binary.LittleEndian
	ipid := ca.objects.export(of, iid, int(refs))
	b := le.AppendUint32(make([]byte, 4, 40), refs)
	b = le.AppendUint64(b, ca.objects.oxid)
	b = le.AppendUint64(b, of.oid)
	return append(b, ipid[:]...)
}

// propertiesOut wraps property bodies up in an OBJREF_CUSTOM.
func propertiesOut(classes []dcerpc.UUID, bodies [][]byte) []byte {
	frame := func(body []byte) []byte {
		body = append(body, make([]byte, -len(body)&7)...)
		f := []byte{1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc}
		f = binary.LittleEndian.AppendUint32(f, uint32(len(body)))
		return append(append(f, 0, 0, 0, 0), body...)
	}
	var all []byte
	var sizes []uint32
	for _, body := range bodies {
		f := frame(body)
		sizes = append(sizes, uint32(len(f)))
		all = append(all, f...)
	}
	header := func(total, size uint32) []byte {
		var w dcerpc.Writer
		words(&w, total, size, 0, 2, uint32(len(classes)))
		w.UUID(dcerpc.UUID{})
		w.Pointer(true)
		w.Pointer(true)
		words(&w, 0, uint32(len(classes)))
		for _, c := range classes {
			w.UUID(c)
		}
		w.U32(uint32(len(sizes)))
		words(&w, sizes...)
		return frame(w.Bytes())
	}
	size := uint32(len(header(0, 0)))
	all = append(header(size+uint32(len(all)), size), all...)

	le := binary.LittleEndian
	b := append([]byte("MEOW"), 4, 0, 0, 0)
	b = append(append(b, iidPropsOut[:]...), clsidPropsOut[:]...)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(len(all)+8))
	b = le.AppendUint32(b, uint32(len(all)))
	b = le.AppendUint32(b, 0)
	return append(b, all...)
}
