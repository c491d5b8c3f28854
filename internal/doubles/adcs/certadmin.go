package adcs

import (
	"encoding/binary"
	"maps"
	"strings"
	"time"

	"chancery/internal/doubles/dcerpc"
)

// adminMethods is ICertAdminD (MS-CSRA 3.1.4.1).
var adminMethods = map[uint16]method{
	5:  {Resubmit, parseResubmit, noWord},
	6:  {Deny, parseDeny, nothing},
	7:  {IsValid, parseIsValid, noWords},
	10: {Revoke, parseRevoke, nothing},
	14: {OpenView, parseOpenView, noWordBlob},
	15: {EnumView, parseEnumView, noWordBlob},
	16: {CloseView, parseCloseView, nothing},
	18: {AdminPing, parsePing, nothing},
}

// admin2Methods is ICertAdminD2 (3.1.4.2), which has the others', too.
var admin2Methods = func() map[uint16]method {
	m := maps.Clone(adminMethods)
	m[31] = method{PublishCRLs, parsePublishCRLs, nothing}
	m[32] = method{GetCAProperty, parseGetCAProperty, noBlob}
	m[35] = method{EnumColumns, parseEnumColumns, noWordBlob}
	m[36] = method{GetCASecurity, parseGetCASecurity, noBlob}
	m[38] = method{AdminPing, parsePing, nothing}
	m[44] = method{GetConfigEntry, parseGetConfigEntry, noWord}
	m[47] = method{GetMyRoles, parseGetMyRoles, noWord}
	return m
}()

// admit is what comes before everything a manager does.
func (s *session) admit(authority string, any Rights) uint32 {
	switch {
	case s.ca.cfg.InterfaceFlags&IfNoRemoteAdmin != 0, !s.who.has(any):
		return accessDenied
	case !s.ca.known(authority):
		return invalidArg
	}
	return 0
}

// admin makes a method that does something with the database: it needs the
// right, and runs with CA.mu held.
func admin(authority string, any Rights, run func(*session) uint32) func(*session) uint32 {
	return func(s *session) uint32 {
		if code := s.admit(authority, any); code != 0 {
			return code
		}
		s.ca.mu.Lock()
		defer s.ca.mu.Unlock()
		return run(s)
	}
}

func parseResubmit(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	id := r.U32()
	return admin(authority, Officer, func(s *session) uint32 {
		disposition, code := s.ca.resubmit(id, s.who.has(ManageCA))
		s.w.U32(disposition)
		return code
	})
}

func parseDeny(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	id := r.U32()
	return admin(authority, Officer, func(s *session) uint32 { return s.ca.deny(id) })
}

func parseIsValid(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	serial, _ := r.UniqueString(textLimit)
	return admin(authority, Officer|ManageCA|Read, func(s *session) uint32 {
		reason, disposition := s.ca.isValid(serial)
		words(&s.w, reason, disposition)
		return 0
	})
}

func parseRevoke(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	serial, _ := r.UniqueString(textLimit)
	reason, when := r.U32(), r.Filetime()
	return admin(authority, Officer, func(s *session) uint32 {
		at := s.ca.now()
		if when != 0 {
			at = dcerpc.Time(when).Truncate(time.Second)
		}
		return s.ca.revoke(serial, reason, at)
	})
}

func parsePublishCRLs(r *dcerpc.Reader) func(*session) uint32 {
	const base, delta, again = 1, 2, 0x10
	authority, _ := r.UniqueString(textLimit)
	r.Filetime() // nextUpdate: always the period
	flags := r.U32()
	return admin(authority, ManageCA, func(s *session) uint32 {
		switch {
		case flags&^(base|delta|again) != 0 || flags&(base|delta) == 0:
			return invalidArg
		case flags&again != 0:
			return 0 // what there is stays published
		case s.ca.publish(flags&base != 0, flags&delta != 0) != nil:
			return unexpected
		}
		return 0
	})
}

func parseGetMyRoles(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	return func(s *session) uint32 {
		if s.ca.cfg.InterfaceFlags&IfNoRemoteAdmin != 0 {
			return accessDenied
		}
		if !s.ca.known(authority) {
			return invalidArg
		}
		s.w.U32(uint32(s.who.Rights &^ NoRights))
		return 0
	}
}

func parseGetCASecurity(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	return admin(authority, ManageCA|Officer|Auditor|Read, func(s *session) uint32 {
		s.w.Blob(s.ca.descriptor())
		return 0
	})
}

// parseGetConfigEntry gives entries of the CA's registry. DisableExtensionList,
// which Windows gives as an array, is a text of lines here.
func parseGetConfigEntry(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	node, _ := r.UniqueString(textLimit)
	entry := r.String(textLimit)
	return admin(authority, ManageCA|Officer|Auditor, func(s *session) uint32 {
		const policy = `PolicyModules\CertificateAuthority_MicrosoftDefault.Policy`
		ca := s.ca
		switch node + "|" + entry {
		case "|InterfaceFlags":
			writeLong(&s.w, ca.cfg.InterfaceFlags)
		case "|CommonName":
			writeText(&s.w, ca.cfg.Name)
		case "|CAType":
			writeLong(&s.w, ca.kind())
		case "|CRLPeriodUnits":
			writeLong(&s.w, uint32(ca.cfg.CRLPeriod/(24*time.Hour)))
		case "|Version":
			writeLong(&s.w, 0x00080001)
		case "PolicyModules|Active":
			writeText(&s.w, "CertificateAuthority_MicrosoftDefault.Policy")
		case policy + "|RequestDisposition":
			writeLong(&s.w, 1)
		case policy + "|EditFlags":
			writeLong(&s.w, ca.cfg.EditFlags)
		case policy + "|DisableExtensionList":
			if len(ca.cfg.DisabledExts) == 0 {
				return fileNotFound
			}
			writeText(&s.w, strings.Join(ca.cfg.DisabledExts, "\n"))
		default:
			return fileNotFound
		}
		return 0
	})
}

// writeLong writes a VARIANT with a number (MS-OAUT 2.2.29.2).
func writeLong(w *dcerpc.Writer, v uint32) {
	w.Pointer(true)
	w.Align(8)
	words(w, 3, 0)
	for _, u := range []uint16{3, 0, 0, 0} {
		w.U16(u)
	}
	words(w, 3, v)
}

// writeText writes a VARIANT with a BSTR.
func writeText(w *dcerpc.Writer, text string) {
	units := dcerpc.Wide(text)
	w.Pointer(true)
	w.Align(8)
	words(w, uint32(5+(len(units)+7)/8), 0)
	for _, u := range []uint16{8, 0, 0, 0} {
		w.U16(u)
	}
	w.U32(8)
	w.Pointer(true)
	words(w, uint32(len(units)/2), uint32(len(units)), uint32(len(units)/2))
	w.Raw(units)
}

// descriptor is the CA's security descriptor, self-relative (MS-DTYP 2.4.6): an
// entry for each account that has a SID, and one for the administrators.
func (ca *CA) descriptor() []byte {
	le := binary.LittleEndian
	administrators := sidBytes("S-1-5-32-544")
	acl := []byte{2, 0, 0, 0, 0, 0, 0, 0}
	count := 0
	allow := func(sid []byte, mask Rights) {
		if sid == nil || mask == 0 {
			return
		}
		acl = append(acl, 0, 0)
		acl = le.AppendUint16(acl, uint16(8+len(sid)))
		acl = le.AppendUint32(acl, uint32(mask))
		acl = append(acl, sid...)
		count++
	}
	allow(administrators, ManageCA|Officer)
	for _, a := range ca.accounts {
		if a.Rights&NoRights == 0 {
			allow(sidBytes(a.SID), a.Rights)
		}
	}
	le.PutUint16(acl[2:], uint16(len(acl)))
	le.PutUint16(acl[4:], uint16(count))
	head := []byte{1, 0, 0x04, 0x80} // a DACL, self-relative
	for _, offset := range []int{20, 20 + len(administrators), 0, 20 + 2*len(administrators)} {
		head = le.AppendUint32(head, uint32(offset))
	}
	return append(append(append(head, administrators...), administrators...), acl...)
}

// sidBytes encodes a SID; nil for what is none.
func sidBytes(text string) []byte {
	rest, ok := strings.CutPrefix(text, "S-1-")
	if !ok {
		return nil
	}
	oid, ok := parseOID(strings.ReplaceAll(rest, "-", "."))
	if !ok {
		return nil
	}
	b := []byte{1, byte(len(oid) - 1), 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(oid[0]))
	for _, part := range oid[1:] {
		b = binary.LittleEndian.AppendUint32(b, uint32(part))
	}
	return b
}
