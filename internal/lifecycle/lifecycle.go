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

	publishing sync.Mutex // one CRL at a time
	ensuring   sync.Mutex // one own certificate at a time
	own        ownCache
}

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Sweep)
	job.Handle(s.Queue, s.Act)
	job.Every(s.Queue, sweepEvery, SweepJob{})
}
