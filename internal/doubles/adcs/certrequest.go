package adcs

import (
	"maps"

	"chancery/internal/doubles/dcerpc"
)

// textLimit is the range of the strings of MS-WCCE, serialLimit that of serial
// numbers; both count the NUL.
const (
	textLimit   = 1536
	serialLimit = 65
)

// requestMethods is ICertRequestD (MS-WCCE 3.2.1.4.2).
var requestMethods = map[uint16]method{
	3: {Request, parseRequest, noAnswer},
	4: {GetCACert, parseGetCACert, noBlob},
	5: {Ping, parsePing, nothing},
}

// request2Methods is ICertRequestD2 (3.2.1.4.3), which has the others', too.
var request2Methods = func() map[uint16]method {
	m := maps.Clone(requestMethods)
	m[6] = method{Request2, parseRequest2, noAnswer}
	m[7] = method{GetCAProperty, parseGetCAProperty, noBlob}
	m[9] = method{Ping2, parsePing, nothing}
	return m
}()

func noAnswer(w *dcerpc.Writer) { writeAnswer(w, answer{}) }

func parseRequest(r *dcerpc.Reader) func(*session) uint32 {
	flags := r.U32()
	authority, _ := r.UniqueString(textLimit)
	id := r.U32()
	attributes, there := r.UniqueString(textLimit)
	request := readBlob(r)
	return func(s *session) uint32 {
		if code := s.ca.enrolment(authority); code != 0 {
			return code
		}
		serial := ""
		if id != 0 && there { // instead of attributes
			id, serial = 0, attributes
			if !goodSerial(serial) {
				return invalidArg
			}
		}
		a, code := s.ca.enrol(s.who, s.act, flags, id, serial, attributes, request)
		writeAnswer(&s.w, a)
		return code
	}
}

func parseRequest2(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	flags := r.U32()
	serial, bySerial := r.UniqueString(serialLimit)
	id := r.U32()
	attributes, _ := r.UniqueString(textLimit)
	request := readBlob(r)
	return func(s *session) uint32 {
		if code := s.ca.enrolment(authority); code != 0 {
			return code
		}
		if bySerial && (id != 0 || !goodSerial(serial)) {
			return invalidArg
		}
		a, code := s.ca.enrol(s.who, s.act, flags, id, serial, attributes, request)
		writeAnswer(&s.w, a)
		return code
	}
}

// goodSerial: an even number of hexadecimal digits, at most one leading zero.
func goodSerial(s string) bool {
	if s == "" || len(s)%2 != 0 || len(s) > 2 && s[:2] == "00" {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// enrolment is what comes before every request over DCOM: the interface is open,
// the name is ours.
func (ca *CA) enrolment(authority string) uint32 {
	switch {
	case ca.cfg.InterfaceFlags&IfNoRemoteRequest != 0:
		return enrollDenied
	case !ca.known(authority):
		return invalidArg
	}
	return 0
}

func parsePing(r *dcerpc.Reader) func(*session) uint32 {
	authority, there := r.UniqueString(textLimit)
	return func(s *session) uint32 {
		if there && authority != "" && !s.ca.known(authority) {
			return invalidArg
		}
		return 0
	}
}

// Queries of GetCACert (3.2.1.4.2.2).
const (
	askSigningCert  = 0
	askExchangeCert = 1
	askCRL          = 0x6363726C
	askInfo         = 0x696E666F
	askName         = 0x6E616D65
	askSanitized    = 0x73616E69
	askParent       = 0x70617265
	askProduct      = 0x70726F64
	askFile         = 0x66696C65
	askType         = 0x74797065
	askCertIndex    = 0x6374
	askCRLIndex     = 0x636C
	askCertState    = 0x7374
	askCRLState     = 0x736C
)

func parseGetCACert(r *dcerpc.Reader) func(*session) uint32 {
	what := r.U32()
	authority, _ := r.UniqueString(textLimit)
	return func(s *session) uint32 {
		ca := s.ca
		byName := what == askName || what == askSanitized
		switch {
		case !byName && !ca.known(authority):
			return invalidArg
		case !byName && !s.who.has(Read):
			return accessDenied
		}
		ca.mu.Lock()
		defer ca.mu.Unlock()
		var blob []byte
		switch what {
		case askName:
			blob = wideZ(ca.cfg.Name)
		case askSanitized:
			blob = wideZ(sanitize(ca.cfg.Name))
		case askSigningCert, askCertIndex << 16:
			blob = ca.keys.ca.cert.Raw
		case askExchangeCert:
			return fileNotFound
		case askCRL, askCRLIndex << 16:
			blob = ca.crls.base.Raw
		case askInfo:
			blob = ca.info()
		case askType:
			blob = number(ca.kind())
		case askParent:
			if ca.cfg.Root {
				return fileNotFound
			}
			blob = wideZ(ca.keys.root.cert.Subject.CommonName)
		case askProduct, askFile:
			blob = wideZ(fileVersion)
		case askCertState << 16, askCRLState << 16:
			blob = number(saysIssued) // valid
		default:
			return invalidArg
		}
		s.w.Blob(blob)
		return 0
	}
}
