// Package enroll is the one path to a certificate. Whoever asks (a SCEP
// client, the API, the console, the renewal sweep) makes an Ask and calls
// Submit; everything after that is the same.
//
// Submit checks the actor's rights and loads what the Ask names (prepare.go),
// fills the template from lookup values (fill.go), compares a CSR with the
// result (csr.go), and writes the intent: a request row with its lease and an
// audit entry, in one transaction, together with what an authority of this house
// has decided on by then. Then the authority is asked (issue.go), inline while a
// caller waits, or from a job when the planner finds the lease run out. What it
// answers is recorded in one more transaction (record.go). A process that dies in between leaves a
// row whose next action is due soon: the authority is first asked whether it
// already did the work, and only then asked again.
//
// The states of a request and the moves between them are one table (state.go).
// The package also keeps templates, SCEP endpoints, challenges, approvals and
// the keys made here until somebody takes them.
package enroll

import (
	"log/slog"
	"time"

	"chancery/internal/authority"
	"chancery/internal/directory"
	"chancery/internal/job"
	"chancery/internal/observe"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB          *store.DB
	Box         *seal.Box
	Authorities *authority.Service
	Queue       *job.Queue
	Now         func() time.Time
	Log         *slog.Logger
	Observer    *observe.Observer // nil: nobody watches
	// Directories look users up before their certificates are made; nil: nobody
	// does.
	Directories *directory.Service
	// Step, when set, is called with the label of each step of the life of a
	// request just before it is taken. Fault tests stop the process there.
	Step func(label string)

	handout authority.Handout[ra.RequestID]
}

// The labels of the steps, in order.
const (
	StepIntent  = "enroll.intent"  // before the request row is written
	StepAsk     = "enroll.ask"     // the row is written, the authority not yet asked
	StepAnswer  = "enroll.answer"  // the authority answered, nothing recorded yet
	StepRecord  = "enroll.record"  // inside the recording transaction
	StepDeliver = "enroll.deliver" // recorded, the caller not yet told
)

// Steps lists the labels, for tests that stop the process at each.
var Steps = []string{StepIntent, StepAsk, StepAnswer, StepRecord, StepDeliver}

// lease is how long whoever acts on a request has before the planner takes it
// up again. It is longer than any call to an authority.
const lease = 2 * time.Minute

// callTimeout bounds one call to an authority.
const callTimeout = 60 * time.Second

func (s *Service) step(label string) {
	if s.Step != nil {
		s.Step(label)
	}
}
