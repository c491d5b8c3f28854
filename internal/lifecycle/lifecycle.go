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
	"sync"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/job"
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
	// Step, when set, is called with the label of a step just before it is
	// taken. Fault tests stop the process there.
	Step func(label string)

	publishing sync.Mutex // one CRL at a time
	own        ownCache
	asked      ocspIssuers
}

// The labels of the steps to one of the server's own certificates, in order.
const (
	StepOwnAsk    = "lifecycle.own.ask"    // the key is sealed, the authority not yet asked
	StepOwnRecord = "lifecycle.own.record" // the authority answered, nothing recorded yet
)

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
	job.Every(s.Queue, sweepEvery, SweepJob{})
	job.Every(s.Queue, tidyEvery, TidyJob{})
}
