package adcs

import "chancery/internal/doubles/dcerpc"

// servePassage is ICertPassage (MS-ICPR 3.2.4.1.1), which needs no object.
func (ca *CA) servePassage(call *dcerpc.Call) dcerpc.Reply {
	if call.Opnum != 0 {
		return dcerpc.Reply{Fault: dcerpc.FaultOpnum}
	}
	r := dcerpc.NewReader(call.Stub)
	flags := r.U32()
	authority, _ := r.UniqueString(0)
	id := r.U32()
	attributes, request := readBlob(r), readBlob(r)
	if r.End() != nil {
		return dcerpc.Reply{Fault: dcerpc.FaultBadStub}
	}
	reply := func(a answer, code uint32) dcerpc.Reply {
		var w dcerpc.Writer
		writeAnswer(&w, a)
		return words(&w, code)
	}
	refuse := func(code uint32) dcerpc.Reply { return reply(answer{}, code) }
	return ca.do(Passage, refuse, func(act Act) dcerpc.Reply {
		who, ok := ca.caller(call.Caller)
		if !ok {
			return dcerpc.Reply{Fault: dcerpc.FaultDenied}
		}
		text, fine := blobText(attributes)
		switch {
		case ca.cfg.InterfaceFlags&IfNoPassage != 0:
			return refuse(accessDenied)
		case !ca.known(authority) || !fine:
			return refuse(invalidArg)
		}
		return reply(ca.enrol(who, act, flags, id, "", text, request))
	})
}

// readBlob reads a CERTTRANSBLOB, aligned as a structure.
func readBlob(r *dcerpc.Reader) []byte {
	r.Align(4)
	return r.Blob()
}

// writeAnswer writes what enrolment gives: id, disposition, chain, certificate,
// message.
func writeAnswer(w *dcerpc.Writer, a answer) {
	words(w, a.id, a.disposition)
	w.Blob(a.chain)
	w.Blob(a.cert)
	if a.message == "" {
		w.Blob(nil)
		return
	}
	w.Blob(wideZ(a.message))
}
