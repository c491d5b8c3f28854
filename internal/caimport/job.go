package caimport

import (
	"context"
	"time"

	"chancery/internal/audit"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// PlanJob hands out the imports that are due. It runs on one node at a time.
type PlanJob struct{}

// Kind is the stable name of the job.
func (PlanJob) Kind() string { return "ca_import.plan" }

// RunJob does the run of one authority that waits. It is unique per authority.
type RunJob struct {
	Authority ra.AuthorityID `json:"authority"`
}

// Kind is the stable name of the job.
func (RunJob) Kind() string { return "ca_import.run" }

// Timeout is how long a run may take before it is cut off, to go on from there.
func (RunJob) Timeout() time.Duration { return 6 * time.Hour }

// TidyJob forgets runs that are old.
type TidyJob struct{}

// Kind is the stable name of the job.
func (TidyJob) Kind() string { return "ca_import.tidy" }

const (
	planEvery = 10 * time.Second
	tidyEvery = time.Hour
	tidyBatch = 100
	// runsKept is how long runs are remembered that ended and that no certificate
	// came from.
	runsKept = 30 * 24 * time.Hour
)

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Plan)
	job.Handle(s.Queue, s.Work)
	job.Handle(s.Queue, s.Tidy)
	job.Every(s.Queue, planEvery, PlanJob{})
	job.Every(s.Queue, tidyEvery, TidyJob{})
}

// Plan looks what is due, and tells people of what is late. A run whose job was
// lost gets another one.
func (s *Service) Plan(ctx context.Context, _ PlanJob) error {
	idle, late := true, false
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		due, err := tx.DueCAImports()
		if err != nil {
			return err
		}
		open, err := tx.OpenCAImportRuns("")
		if err != nil {
			return err
		}
		overdue, err := tx.OverdueCAImports()
		idle, late = len(due)+len(open) == 0, len(overdue) > 0
		return err
	}); err != nil {
		return err
	}
	if !idle {
		if err := s.DB.Write(ctx, s.handOut); err != nil {
			return err
		}
		s.Queue.Kick()
	}
	if !late {
		return nil
	}
	return s.DB.Write(ctx, s.alarm)
}

func (s *Service) handOut(tx *store.Tx) error {
	due, err := tx.DueCAImports()
	if err != nil {
		return err
	}
	open, err := tx.OpenCAImportRuns("")
	if err != nil {
		return err
	}
	busy := map[ra.AuthorityID]bool{}
	for _, run := range open {
		busy[run.Authority] = true
		if err := s.put(tx, run.Authority); err != nil {
			return err
		}
	}
	for _, id := range due {
		if busy[id] {
			continue
		}
		if err := s.order(tx, &ra.CAImportRun{Authority: id, By: ra.System("import")}); err != nil {
			return err
		}
	}
	return nil
}

// order writes a run down and puts its job.
func (s *Service) order(tx *store.Tx, run *ra.CAImportRun) error {
	run.ID, run.State = ra.NewID[ra.CAImportRunID](ra.CAImportRunPrefix, tx.Now), ra.ImportWaiting
	if err := tx.CreateCAImportRun(run); err != nil {
		return err
	}
	return s.put(tx, run.Authority)
}

func (s *Service) put(tx *store.Tx, id ra.AuthorityID) error {
	return job.Put(tx, s.Queue, RunJob{id}, job.PutOptions{Unique: string(id)})
}

// Work runs the job.
func (s *Service) Work(ctx context.Context, j RunJob) error {
	for {
		var run *ra.CAImportRun
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			run = nil
			open, err := tx.OpenCAImportRuns(j.Authority)
			if err != nil || len(open) == 0 {
				return err
			}
			run = open[0]
			if run.State = ra.ImportRunning; run.StartedAt.IsZero() {
				run.StartedAt, run.Next = tx.Now, tx.Now
			}
			return tx.UpdateCAImportRun(run)
		}); err != nil || run == nil {
			return err
		}
		if err := s.carryOut(ctx, run); err != nil {
			if ctx.Err() != nil {
				return err // interrupted: it goes on where it was
			}
			if err := s.failed(ctx, run, err); err != nil {
				return err
			}
		}
	}
}

// failed notes why a run did not go through, and when the next is due. What it
// has taken over stays, and the next goes on from there.
func (s *Service) failed(ctx context.Context, run *ra.CAImportRun, cause error) error {
	e := ra.AsError(cause)
	s.Log.Warn("the certificates of an authority were not taken over", "authority", run.Authority, "run", run.ID, "error", cause)
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		ended, err := tx.CAImportRun(run.ID)
		if err != nil || ended.State != ra.ImportRunning {
			return err // somebody has cancelled it
		}
		ended.State, ended.Phase, ended.EndedAt, ended.Message, ended.Remedy = ra.ImportFailed, "", tx.Now, e.Message, e.Remedy
		if err := tx.UpdateCAImportRun(ended); err != nil || ended.Preview {
			return err
		}
		a, err := tx.Authority(run.Authority)
		if err != nil {
			return err
		}
		i, err := tx.CAImport(run.Authority)
		if err != nil && ra.KindOf(err) != ra.NotFound {
			return err
		}
		said := false
		if err == nil && i.Action != ra.ActionNone {
			said = i.LastError == e.Say() && ended.By.Kind == ra.ActorSystem
			i.Attempts, i.LastError = i.Attempts+1, e.Say()
			i.At = tx.Now.Add(max(again(i.Attempts, i.Every), e.Retry))
			if err := tx.MoveCAImport(i); err != nil {
				return err
			}
		}
		if said {
			return nil // people heard of it already
		}
		return audit.Record(tx, audit.Entry{Code: audit.ImportFailed, Actor: ended.By, Group: a.GroupID, Object: string(a.ID), Related: string(run.ID), Result: "failed",
			Message: "Certificates of " + a.Name + " not taken over: " + e.Message, Details: counts(ended)})
	})
}

// again is the wait after the n-th failed run: 5 minutes doubling, at most the
// interval.
func again(n int, every time.Duration) time.Duration {
	return min(5*time.Minute<<min(max(n-1, 0), 10), every)
}

// alarm tells people, once, of imports that did not go through for long.
func (s *Service) alarm(tx *store.Tx) error {
	overdue, err := tx.OverdueCAImports()
	if err != nil {
		return err
	}
	for _, id := range overdue {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		i, err := tx.CAImport(id)
		if err != nil {
			return err
		}
		i.Escalated = tx.Now
		if err := tx.MoveCAImport(i); err != nil {
			return err
		}
		s.Log.Error("the certificates of an authority were not taken over for a long time", "authority", a.Name, "since", i.EndedAt, "last_error", i.LastError)
		if err := audit.Record(tx, audit.Entry{Code: audit.ImportOverdue, Actor: ra.System("import"), Group: a.GroupID, Object: string(id), Result: "failed",
			Message: "Certificates of " + a.Name + " were not taken over for a long time.", Details: map[string]any{"since": i.EndedAt, "last_error": i.LastError}}); err != nil {
			return err
		}
	}
	return nil
}

// Tidy runs the job.
func (s *Service) Tidy(ctx context.Context, _ TidyJob) error {
	for {
		var n int64
		if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.TidyCAImportRuns(tx.Now.Add(-runsKept), tidyBatch)
			return err
		}); err != nil || n < tidyBatch {
			return err
		}
	}
}
