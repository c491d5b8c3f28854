package pass

import (
	"time"

	"chancery/internal/ra"
)

// The steps of an enrolment through the proxy that leave a hop. Refusals and
// everything else that happens has one of these as its step, too.
const (
	StepChallengeAsked = "challenge.asked"
	StepChallengeGiven = "challenge.given"
	StepPayload        = "payload.built"
	StepCertAsked      = "ca_cert.asked"
	StepCertForwarded  = "ca_cert.forwarded"
	StepCertAnswered   = "ca_cert.answered"
	StepCertReturned   = "ca_cert.returned"
	StepCapsAsked      = "ca_caps.asked"
	StepCapsForwarded  = "ca_caps.forwarded"
	StepCapsAnswered   = "ca_caps.answered"
	StepCapsReturned   = "ca_caps.returned"
	StepMessage        = "message.received"
	StepForwarded      = "message.forwarded"
	StepReply          = "reply.received"
	StepReturned       = "reply.returned"
	StepInstalled      = "certificate.installed"
	StepLearnt         = "certificate.learnt" // not one of the nineteen
)

// The steps on the device, which nobody sees.
const (
	stepRequestBuilt = "request.built"
	stepTransport    = "transport.built"
	stepSealed       = "message.built"
)

// Step is one of the nineteen steps.
type Step struct {
	Number int
	Name   string // as in hops
	Who    string // who takes it: "server", "proxy", "device"
	Title  string
	proof  string // the step that proves it, where it leaves no hop
	option bool   // an enrolment may do without it
}

// AllSteps lists the nineteen steps in order. "server" is the SCEP server,
// "proxy" this program.
var AllSteps = []Step{
	{1, StepChallengeAsked, "proxy", "Ask the server for a challenge", "", true},
	{2, StepChallengeGiven, "server", "Answer with a challenge", "", true},
	{3, StepPayload, "proxy", "Build the SCEP payload and hand it over", "", false},
	{4, stepRequestBuilt, "device", "Make the key and the certificate request", StepMessage, false},
	{5, stepTransport, "device", "Make the certificate that signs the message", StepMessage, false},
	{6, StepCertAsked, "device", "Ask for the CA certificates (GetCACert)", "", true},
	{7, StepCertForwarded, "proxy", "Find the server and pass GetCACert on", "", true},
	{8, StepCertAnswered, "server", "Answer with the CA certificates", "", true},
	{9, StepCertReturned, "proxy", "Pass the CA certificates to the device", "", true},
	{10, stepSealed, "device", "Encrypt the request to the CA and sign it", StepMessage, false},
	{11, StepCapsAsked, "device", "Ask what the CA can do (GetCACaps)", "", true},
	{12, StepCapsForwarded, "proxy", "Pass GetCACaps on", "", true},
	{13, StepCapsAnswered, "server", "Answer what the CA can do", "", true},
	{14, StepCapsReturned, "proxy", "Pass the capabilities to the device", "", true},
	{15, StepMessage, "device", "Send the message (PKIOperation)", StepReply, false},
	{16, StepForwarded, "proxy", "Check the token and pass the message on", StepReply, false},
	{17, StepReply, "server", "Answer with the certificate", "", false},
	{18, StepReturned, "proxy", "Pass the answer to the device", "", false},
	{19, StepInstalled, "device", "Verify, decrypt and install the certificate", "", false},
}

// StepState is how far a step got.
type StepState string

// The states of a step.
const (
	StepDone       StepState = "done"
	StepInferred   StepState = "inferred" // it left no trace here, and what came later proves it
	StepSkipped    StepState = "skipped"  // later ones were taken without it
	StepWaits      StepState = "waiting"
	StepFails      StepState = "failed"
	StepNotReached StepState = "not_reached"
)

// StepView is a step as a trace shows it.
type StepView struct {
	Step
	State   StepState
	At      time.Time // of its last hop; zero without one
	Took    time.Duration
	Times   int // hops of this step
	Message string
	Remedy  string
	Fields  map[string]string
}

// Steps gives all nineteen steps of a pass in order, by its trace.
func Steps(p *ra.Pass, hops []ra.Hop) []StepView {
	last := map[string]ra.Hop{}
	times := map[string]int{}
	for _, h := range hops {
		last[h.Step], times[h.Step] = h, times[h.Step]+1
	}
	reached := 0
	out := make([]StepView, len(AllSteps))
	for i, s := range AllSteps {
		v := StepView{Step: s, State: StepNotReached}
		if h, ok := last[s.Name]; ok {
			v.State, v.At, v.Message, v.Remedy, v.Fields = StepDone, h.At, h.Message, h.Remedy, h.Fields
			v.Took, v.Times = time.Duration(h.Took)*time.Microsecond, times[s.Name]
			switch h.Result {
			case ra.HopFailed:
				v.State = StepFails
			case ra.HopWaiting:
				v.State = StepWaits
			}
			reached = i + 1
		}
		out[i] = v
	}
	if p.Confirmed {
		reached = len(out)
	}
	for i := range out {
		v := &out[i]
		_, proven := last[v.proof]
		_, sent := last[StepReply]
		switch {
		case v.State != StepNotReached:
		case proven, sent && v.proof == StepMessage, p.Confirmed && !v.option:
			v.State = StepInferred
		case p.Confirmed && p.Model == ra.PassDelegate:
			v.State = StepInferred // the device went there by itself
		case v.option && i < reached:
			v.State = StepSkipped
		}
	}
	if v := &out[len(out)-1]; v.State == StepNotReached && p.State == ra.PassDone {
		v.State, v.Remedy = StepWaits, "Import the certificate, or have the device report it, to know that it has arrived."
	}
	return out
}

// steps is a set of the first looks at a server.
type steps uint8

const (
	sawCert steps = 1 << iota
	sawCaps
	sawNoCert // and the server gave no answer
	sawNoCaps
)

// sight gives which look the hops tell of.
func sight(step string, answered bool) steps {
	what := sawCaps
	if step == StepCertAsked {
		what = sawCert
	}
	if !answered {
		what <<= 2
	}
	return what
}

// Looked notes that the device of a pass asked for the CA certificates, or for
// the capabilities, and what it was told; the first answer and the first failure
// only. It is stored
// shortly after, with the next thing that happens to the pass if that comes
// first.
func (s *Service) Looked(id ra.PassID, hops ...ra.Hop) {
	what := sight(hops[0].Step, hops[len(hops)-1].Result != ra.HopFailed)
	now := s.Now()
	for i := range hops {
		hops[i].At = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id]&what != 0 {
		return
	}
	if s.known == nil || len(s.known) > maxKnown {
		s.known = map[ra.PassID]steps{}
	}
	s.known[id] |= what
	s.later(id, hops)
}

const maxKnown = 20_000

// LookedAlready reports whether Looked would store nothing of an answer.
func (s *Service) LookedAlready(id ra.PassID, step string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]&sight(step, true) != 0
}
