package adcs

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Dispositions of rows.
const (
	rowPending = 9
	rowIssued  = 20
	rowRevoked = 21
	rowFailed  = 30
	rowDenied  = 31
)

// Dispositions of answers.
const (
	saysDenied  = 2
	saysIssued  = 3
	saysPending = 5
	saysRevoked = 6
)

// row is a request in the database. It is guarded by CA.mu.
type row struct {
	Row
	ask      *ask // nil where the request could not be read
	raw      []byte
	flags    uint32
	resolved time.Time
	effect   time.Time // when the revocation begins
	serial   string    // lower-case hexadecimal; "" until issued
	key      uint32    // index of the CA's key that signed the certificate
	hidden   bool      // the view does not show the certificate
}

// serialText writes a serial number as the CA does: lower-case, an even number
// of digits.
func serialText(n *big.Int) string {
	s := n.Text(16)
	if len(s)%2 != 0 {
		s = "0" + s
	}
	return s
}

// byID and bySerial find a row; ca.mu is held.
func (ca *CA) byID(id uint32) *row {
	if id == 0 || uint64(id) > uint64(len(ca.rows)) {
		return nil
	}
	return ca.rows[id-1]
}

func (ca *CA) bySerial(serial string) *row {
	for _, r := range ca.rows {
		if r.serial != "" && r.serial == serial {
			return r
		}
	}
	return nil
}

// revoked tells whether the row's certificate is revoked at an instant.
func (r *row) revoked(at time.Time) bool { return r.Disposition == rowRevoked && !r.effect.After(at) }

// submit puts a request into the database and lets the policy decide.
func (ca *CA) submit(who Account, flags uint32, attributesText string, raw []byte) *row {
	r := &row{raw: raw, flags: flags}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	r.Row = Row{ID: uint32(len(ca.rows) + 1), Attributes: attributesText, Submitted: ca.now(), Caller: ca.cfg.Domain + `\` + who.User}
	r.Requester = r.Caller
	ca.rows = append(ca.rows, r)
	in, code := parseIncoming(flags, raw)
	if code != 0 {
		r.refuse(rowFailed, code, ca.now())
		return r
	}
	r.ask = &ask{incoming: in, attributes: parseAttributes(attributesText), caller: who, subject: who}
	ca.decide(r, false)
	return r
}

// decide lets the policy judge a row and does what it says; ca.mu is held.
func (ca *CA) decide(r *row, approved bool) {
	what, code := ca.judge(r.ask, approved)
	r.Template, r.Requester = r.ask.template.Name, ca.cfg.Domain+`\`+r.ask.subject.User
	switch what {
	case pending:
		r.Disposition, r.Status, r.Message = rowPending, 0, "Taken Under Submission"
	case granted:
		cert, code := ca.sign(r.ask, r.ID)
		if code != 0 {
			r.refuse(rowFailed, code, ca.now())
			return
		}
		r.Disposition, r.Status, r.Message, r.Certificate = rowIssued, 0, "Issued", cert
		r.serial, r.resolved, r.key = serialText(cert.SerialNumber), ca.now(), uint32(len(ca.keys.former))
	default:
		r.refuse(rowDenied, code, ca.now())
	}
}

func (r *row) refuse(disposition int, code uint32, now time.Time) {
	r.Disposition, r.Status, r.resolved = disposition, code, now
	r.Message = fmt.Sprintf("Denied by Policy Module  0x%08x", code)
	if disposition == rowFailed {
		r.Message = fmt.Sprintf("Error Parsing Request  0x%08x", code)
	}
}

// resubmit is a manager's approval; ca.mu is held. What was denied needs the
// right to manage the CA.
func (ca *CA) resubmit(id uint32, admin bool) (disposition, code uint32) {
	r := ca.byID(id)
	switch {
	case r == nil:
		return 0, propertyEmpty
	case r.ask == nil, r.Disposition != rowPending && (r.Disposition != rowDenied || !admin):
		return 0, badRequestStatus
	}
	ca.decide(r, true)
	return r.says(true), 0
}

// deny is a manager's refusal; ca.mu is held.
func (ca *CA) deny(id uint32) uint32 {
	r := ca.byID(id)
	switch {
	case r == nil:
		return propertyEmpty
	case r.Disposition != rowPending:
		return badRequestStatus
	}
	r.refuse(rowDenied, adminDenied, ca.now())
	r.Message = "Denied by a certificate manager"
	return 0
}

// says is the disposition that a client hears: a fresh refusal is told by its
// code, one that is asked for later by its kind.
func (r *row) says(fresh bool) uint32 {
	switch r.Disposition {
	case rowIssued:
		return saysIssued
	case rowRevoked:
		return saysRevoked
	case rowPending:
		return saysPending
	case rowDenied:
		if !fresh {
			return saysDenied
		}
	}
	return r.Status
}

// answer is what the enrolment interfaces tell of a row.
type answer struct {
	id, disposition uint32
	chain, cert     []byte
	message         string
}

// tell makes the answer about a row; ca.mu is held.
func (ca *CA) tell(r *row, fresh bool, act Act) answer {
	a := answer{id: r.ID, disposition: r.says(fresh), message: r.Message}
	if act.do == "message" {
		a.message = act.text
	}
	if a.disposition != saysIssued || act.do == "empty" {
		return a
	}
	signer, _ := ca.keys.signer(r.key)
	certs := append([]*x509.Certificate{r.Certificate}, ca.keys.above(signer.cert)...)
	if act.do == "reverse" {
		for i, j := 0, len(certs)-1; i < j; i, j = i+1, j-1 {
			certs[i], certs[j] = certs[j], certs[i]
		}
	}
	var crls [][]byte
	if r.flags&flagCRLs != 0 {
		crls = [][]byte{ca.crls.base.Raw}
	}
	a.chain, a.cert = bundle(certs, crls...), r.Certificate.Raw
	return a
}

// enrol is the one way in of ICertPassage and ICertRequestD: a new request, or
// with an id or a serial number the answer to an earlier one. The second result
// is the HRESULT of the call.
func (ca *CA) enrol(who Account, act Act, flags, id uint32, serial, attributesText string, raw []byte) (answer, uint32) {
	if act.do == "refusal" {
		return answer{disposition: act.code, message: fmt.Sprintf("Error 0x%08x", act.code)}, 0
	}
	if !who.has(Enroll) {
		return answer{disposition: enrollDenied}, enrollDenied
	}
	if id == 0 && serial == "" {
		if len(raw) == 0 {
			return answer{}, invalidArg
		}
		r := ca.submit(who, flags, attributesText, raw)
		ca.mu.Lock()
		defer ca.mu.Unlock()
		return ca.tell(r, true, act), 0
	}
	if len(raw) != 0 {
		return answer{}, invalidArg
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	r := ca.byID(id)
	if serial != "" {
		r = ca.bySerial(strings.ToLower(serial))
	}
	if r == nil {
		return answer{disposition: propertyEmpty}, 0
	}
	return ca.tell(r, false, act), 0
}
