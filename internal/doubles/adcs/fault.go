package adcs

import "chancery/internal/doubles/dcerpc"

// Op is something the double can be asked for.
type Op string

// The operations that a Fault can name.
const (
	Any            Op = "" // of a Fault: whatever comes
	Map            Op = "ept_map"
	ServerAlive    Op = "ServerAlive2"
	Activate       Op = "RemoteCreateInstance"
	QueryInterface Op = "RemQueryInterface"
	Release        Op = "RemRelease"
	Passage        Op = "CertServerRequest" // of ICertPassage
	Request        Op = "Request"           // of ICertRequestD
	GetCACert      Op = "GetCACert"
	Ping           Op = "Ping" // of ICertRequestD
	Request2       Op = "Request2"
	GetCAProperty  Op = "GetCAProperty" // of ICertRequestD2
	Ping2          Op = "Ping2"
	Resubmit       Op = "ResubmitRequest"
	Deny           Op = "DenyRequest"
	IsValid        Op = "IsValidCertificate"
	Revoke         Op = "RevokeCertificate"
	PublishCRLs    Op = "PublishCRLs"
	EnumColumns    Op = "EnumViewColumnTable"
	OpenView       Op = "OpenView"
	EnumView       Op = "EnumView"
	CloseView      Op = "CloseView"
	GetCASecurity  Op = "GetCASecurity"
	GetConfigEntry Op = "GetConfigEntry"
	GetMyRoles     Op = "GetMyRoles"
	AdminPing      Op = "Ping of ICertAdminD"
)

// Fault makes the double fail. Faults are kept in a list; each operation takes
// the first that is for it.
type Fault struct {
	At    Op
	Times int // how often; 0 means once, a negative number for ever
	Act   Act
}

// Act is what happens instead of, or to, the right answer.
type Act struct {
	do   string
	line dcerpc.Act
	code uint32
	text string
}

// The acts that have no more to say.
var (
	CutBefore   = Act{do: "before", line: dcerpc.Cut}  // the line breaks before anything was done
	CutAfter    = Act{do: "after", line: dcerpc.Cut}   // all is done and committed, and the line breaks before the answer
	Hang        = Act{do: "before", line: dcerpc.Hang} // nothing is done and nothing answered until the client gives up
	HangAfter   = Act{do: "after", line: dcerpc.Hang}  // all is done and committed, and nothing answered until the client gives up
	HalfPDU     = Act{do: "after", line: dcerpc.Half}  // all is done, and the line breaks in the middle of the answer
	WrongCallID = Act{do: "after", line: dcerpc.WrongCallID}
	// EmptyBlobs says that the certificate is issued, and sends none.
	EmptyBlobs = Act{do: "empty"}
	// ReverseChain sends the chain with the root first.
	ReverseChain = Act{do: "reverse"}
)

// Result answers with an HRESULT or, from the mapper, a status; nothing is done.
func Result(code uint32) Act { return Act{do: "result", code: code} }

// Refusal has enrolment answer with this disposition, which is how a denial of
// the policy comes; nothing is done.
func Refusal(code uint32) Act { return Act{do: "refusal", code: code} }

// RPCFault answers with a fault PDU; nothing is done. 0x80010114 is what a
// client hears whose object has expired.
func RPCFault(status uint32) Act { return Act{do: "fault", code: status} }

// Message does what is asked and puts the disposition in other words.
func Message(text string) Act { return Act{do: "message", text: text} }

// NoInterface has activation and RemQueryInterface answer E_NOINTERFACE for the
// interface of this name, such as "ICertRequestD2".
func NoInterface(name string) Act { return Act{do: "nointerface", text: name} }

// SetFault adds faults to the list.
func (ca *CA) SetFault(faults ...Fault) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	for _, f := range faults {
		orElse(&f.Times, 1)
		ca.faults = append(ca.faults, f)
	}
}

// Heal empties the list of faults.
func (ca *CA) Heal() {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.faults = nil
}

// CutAfterRows has the line break in place of the answer with which views have
// given so many rows, counted from here or from the break before it on.
func (ca *CA) CutAfterRows(counts ...int) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.cuts, ca.rowsGiven = append(ca.cuts, counts...), 0
}

// given counts rows that a view gives, and tells whether the line breaks now; ca.mu
// is held.
func (ca *CA) given(rows int) bool {
	ca.rowsGiven += rows
	if len(ca.cuts) == 0 || ca.rowsGiven < ca.cuts[0] {
		return false
	}
	ca.cuts, ca.rowsGiven = ca.cuts[1:], 0
	return true
}

// act takes what an operation has to do from the list.
func (ca *CA) act(op Op) Act {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	for i := range ca.faults {
		f := &ca.faults[i]
		if f.At != Any && f.At != op || f.Times == 0 {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f.Act
	}
	return Act{}
}

// do runs an operation, or fails as the list of faults says. refuse makes the
// answer that carries an HRESULT and nothing else.
func (ca *CA) do(op Op, refuse func(uint32) dcerpc.Reply, run func(Act) dcerpc.Reply) dcerpc.Reply {
	act := ca.act(op)
	switch act.do {
	case "before":
		return dcerpc.Reply{Act: act.line}
	case "after":
		reply := run(act)
		reply.Act = act.line
		return reply
	case "result":
		return refuse(act.code)
	case "fault":
		return dcerpc.Reply{Fault: act.code}
	}
	return run(act)
}
