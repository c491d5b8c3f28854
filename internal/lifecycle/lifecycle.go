// Package lifecycle looks after certificates once they exist: it renews those
// whose keys are made here, watches that devices renew the others, revokes,
// holds and unholds, retires what was replaced, and records what expired. For
// authorities whose revocations are signed here it publishes the CRL and
// answers OCSP, and it keeps the server's own certificates (the one that opens
// SCEP messages, the one that signs OCSP answers) fresh.
//
// Every certificate in use carries one obligation; the sweep takes what is due
// and hands out one job per certificate. Each job first looks whether the work
// is already done.
package lifecycle

import (
	"log/slog"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
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
	Enroll      *enroll.Service
	Queue       *job.Queue
	Now         func() time.Time
	Log         *slog.Logger
	Observer    *observe.Observer // nil: nobody watches
	// Step, when set, is called with the label of a step just before it is
	// taken. Fault tests stop the process there.
	Step func(label string)

	handout authority.Handout[ra.CertificateID]
	storms  storms
	making  makers
	own     ownCache
	asked   ocspIssuers
	answers ocspAnswers
	states  stateReader
}

// The labels of the steps to one of the server's own certificates, in order.
const (
	StepOwnAsk    = "lifecycle.own.ask"    // the key is sealed, the authority not yet asked
	StepOwnRecord = "lifecycle.own.record" // the authority answered, nothing recorded yet
)

// The labels of the steps of a revocation, in order. Where revocations are signed
// here the row is the authority's own record: there is nobody to tell, and the
// row is confirmed in the transaction that changes it.
const (
	StepRevokeRow     = "lifecycle.revoke.row"     // inside the transaction, the row not yet changed
	StepRevokeTell    = "lifecycle.revoke.tell"    // the row is changed, the authority not yet told
	StepRevokeConfirm = "lifecycle.revoke.confirm" // the authority was told, the row does not say so yet
	StepRevokeAnswer  = "lifecycle.revoke.answer"  // all is recorded, the caller not yet told
)

// The labels of the steps to a revocation list, in order.
const (
	StepCRLSign  = "lifecycle.crl.sign"  // the entries are gathered
	StepCRLStore = "lifecycle.crl.store" // the list is signed, nobody has seen it
	StepCRLServe = "lifecycle.crl.serve" // the list is stored, nobody has seen it
)

// Steps lists the labels, for tests that stop the process at each.
var Steps = []string{StepOwnAsk, StepOwnRecord, StepRevokeRow, StepRevokeTell, StepRevokeConfirm, StepRevokeAnswer, StepCRLSign, StepCRLStore, StepCRLServe}

func (s *Service) step(label string) {
	if s.Step != nil {
		s.Step(label)
	}
}

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Sweep)
	job.Handle(s.Queue, s.Act)
	job.Handle(s.Queue, s.Tidy)
	job.Handle(s.Queue, s.Index)
	job.Handle(s.Queue, s.WorkBulk)
	job.Handle(s.Queue, s.PlanAll)
	job.Every(s.Queue, sweepEvery, SweepJob{})
	job.Every(s.Queue, tidyEvery, TidyJob{})
	job.Every(s.Queue, indexEvery, IndexJob{})
	job.Every(s.Queue, forecastEvery, ForecastJob{})
}
