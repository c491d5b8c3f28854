package directory

import (
	"context"
	"errors"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// PlanJob hands out what directories are due for. It runs on one node at a
// time.
type PlanJob struct{}

// Kind is the stable name of the job.
func (PlanJob) Kind() string { return "directory.plan" }

// SyncJob does the waiting runs of one directory, one after the other. It is
// unique per directory.
type SyncJob struct {
	Directory ra.DirectoryID `json:"directory"`
}

// Kind is the stable name of the job.
func (SyncJob) Kind() string { return "directory.sync" }

// Timeout is how long all of that may take.
func (SyncJob) Timeout() time.Duration { return 2 * time.Hour }

// TidyJob forgets runs that are old.
type TidyJob struct{}

// Kind is the stable name of the job.
func (TidyJob) Kind() string { return "directory.tidy" }

const (
	planEvery = 10 * time.Second
	tidyEvery = time.Hour
	// runsKept is how long runs are remembered that ended.
	runsKept = 30 * 24 * time.Hour
)

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Plan)
	job.Handle(s.Queue, s.WorkSync)
	job.Handle(s.Queue, s.WorkPublish)
	job.Handle(s.Queue, s.Tidy)
	job.Every(s.Queue, planEvery, PlanJob{})
	job.Every(s.Queue, tidyEvery, TidyJob{})
}

// Plan looks what is due, and tells people of what is late.
func (s *Service) Plan(ctx context.Context, _ PlanJob) error {
	idle := false
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		directories, err := tx.DueDirectories()
		if err != nil {
			return err
		}
		runs, err := tx.OpenSyncs("")
		if err != nil {
			return err
		}
		publishing, err := tx.PublishingDirectories()
		idle = len(directories)+len(runs)+len(publishing) == 0
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
	return s.alarm(ctx)
}

// handOut puts the jobs of everything that is due. A run or a publication whose
// job was lost gets another one.
func (s *Service) handOut(tx *store.Tx) error {
	directories, err := tx.DueDirectories()
	if err != nil {
		return err
	}
	open, err := tx.OpenSyncs("")
	if err != nil {
		return err
	}
	busy := map[ra.DirectoryID]bool{}
	for _, run := range open {
		busy[run.Directory] = busy[run.Directory] || !run.Preview
		if err := s.putSync(tx, run.Directory); err != nil {
			return err
		}
	}
	for _, id := range directories {
		if busy[id] {
			continue
		}
		if err := s.order(tx, &ra.Sync{Directory: id, By: ra.System("directory")}); err != nil {
			return err
		}
	}
	publishing, err := tx.PublishingDirectories()
	if err != nil {
		return err
	}
	for _, id := range publishing {
		if err := job.Put(tx, s.Queue, PublishJob{id}, job.PutOptions{Unique: string(id)}); err != nil {
			return err
		}
	}
	return nil
}

// order writes a run down and puts its job.
func (s *Service) order(tx *store.Tx, run *ra.Sync) error {
	run.ID, run.State = ra.NewID[ra.SyncID](ra.SyncPrefix, tx.Now), ra.SyncWaiting
	if err := tx.CreateSync(run); err != nil {
		return err
	}
	return s.putSync(tx, run.Directory)
}

func (s *Service) putSync(tx *store.Tx, id ra.DirectoryID) error {
	return job.Put(tx, s.Queue, SyncJob{id}, job.PutOptions{Unique: string(id)})
}

// Order is what somebody wants of a run.
type Order struct {
	Preview bool // only count
	Full    bool // read everybody
	Allow   int  // how many users may be disabled although they are many
}

// Sync takes users over now, in the background. A run that waits already is not
// ordered twice: the same wish gives the same run.
func (s *Service) Sync(ctx context.Context, actor ra.Actor, id ra.DirectoryID, o Order) (*ra.Sync, error) {
	if o.Allow < 0 {
		return nil, ra.Errorf(ra.Invalid, "The number of users is negative.").WithField("allow").WithRemedy("Give the number that the held run named.")
	}
	var run *ra.Sync
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		d, err := s.editable(tx, actor, id)
		if err != nil {
			return err
		}
		if d.Disabled {
			return ra.Errorf(ra.Conflict, "The directory is switched off.").WithRemedy("Switch it on first.")
		}
		open, err := tx.OpenSyncs(id)
		if err != nil {
			return err
		}
		for _, r := range open {
			if r.State == ra.SyncWaiting && r.Preview == o.Preview && r.Full == o.Full && r.Allow == o.Allow {
				run = r
				return s.putSync(tx, id)
			}
		}
		run = &ra.Sync{Directory: id, By: actor, Preview: o.Preview, Full: o.Full, Allow: o.Allow}
		return s.order(tx, run)
	})
	if err != nil {
		return nil, err
	}
	s.Queue.Kick()
	return run, nil
}

// Run gives one run.
func (s *Service) Run(ctx context.Context, actor ra.Actor, id ra.SyncID) (run *ra.Sync, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if run, err = tx.Sync(id); err != nil {
			return err
		}
		d, err := tx.Directory(run.Directory)
		if err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.See, d.GroupID)
	})
	return run, err
}

// Runs lists the runs of a directory, newest first.
func (s *Service) Runs(ctx context.Context, actor ra.Actor, id ra.DirectoryID, p store.Page) (list []*ra.Sync, next string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		d, err := tx.Directory(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, d.GroupID); err != nil {
			return err
		}
		list, next, err = tx.FindSyncs(id, p)
		return err
	})
	return list, next, err
}

// WorkSync runs the job.
func (s *Service) WorkSync(ctx context.Context, j SyncJob) error {
	for {
		var run *ra.Sync
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			run = nil
			open, err := tx.OpenSyncs(j.Directory)
			if err != nil || len(open) == 0 {
				return err
			}
			first := open[0]
			run = &ra.Sync{ID: first.ID, Directory: first.Directory, Times: first.Times, By: first.By, Preview: first.Preview, Full: first.Full, Allow: first.Allow,
				State: ra.SyncRunning, StartedAt: tx.Now} // from the start, also when it was interrupted
			return tx.UpdateSync(run)
		}); err != nil || run == nil {
			return err
		}
		if err := s.carryOut(ctx, run); err != nil {
			if ctx.Err() != nil {
				return err // interrupted: it is run again
			}
			if err := s.failed(ctx, run, err); err != nil {
				return err
			}
		}
	}
}

// failed notes why a run did not go through, and when the next is due.
func (s *Service) failed(ctx context.Context, run *ra.Sync, cause error) error {
	e := ra.AsError(cause)
	s.Log.Warn("users of a directory were not taken over", "directory", run.Directory, "run", run.ID, "error", cause)
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		ended := *run
		ended.State, ended.EndedAt, ended.Message, ended.Remedy = ra.SyncFailed, tx.Now, e.Message, e.Remedy
		code := audit.DirectoryFailed
		if errors.Is(cause, held) {
			ended.State, code = ra.SyncHeld, audit.DirectoryHeld
		}
		if err := tx.UpdateSync(&ended); err != nil || ended.Preview {
			return err
		}
		d, err := tx.Directory(run.Directory)
		if err != nil {
			return err
		}
		state, err := tx.DirectoryState(d.ID)
		if err != nil || state.Action == ra.ActionNone {
			return err
		}
		said := state.LastError == e.Say()
		wait := time.Hour
		if v, err := s.settings(tx, d); err == nil {
			wait = retryAfter(state.Attempts+1, v.Interval)
		}
		state.Attempts, state.LastError, state.At = state.Attempts+1, e.Say(), tx.Now.Add(max(wait, e.Retry))
		if err := tx.UpdateDirectoryState(state); err != nil || said {
			return err // people heard of it already
		}
		return audit.Record(tx, audit.Entry{Code: code, Actor: ended.By, Group: d.GroupID, Object: string(d.ID), Related: string(run.ID), Result: "failed",
			Message: "Users of " + d.Name + " not taken over: " + e.Message})
	})
}

// alarm tells people of directories and publications past their deadlines.
func (s *Service) alarm(ctx context.Context) error {
	late := false
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		directories, err := tx.OverdueDirectories()
		if err != nil {
			return err
		}
		publications, err := tx.OverduePublications(1)
		late = len(directories)+len(publications) > 0
		return err
	}); err != nil || !late {
		return err
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		directories, err := tx.OverdueDirectories()
		if err != nil {
			return err
		}
		for _, id := range directories {
			if err := s.alarmDirectory(tx, id); err != nil {
				return err
			}
		}
		publications, err := tx.OverduePublications(batch)
		if err != nil {
			return err
		}
		for _, p := range publications {
			if err := s.alarmPublication(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) alarmDirectory(tx *store.Tx, id ra.DirectoryID) error {
	d, err := tx.Directory(id)
	if err != nil {
		return err
	}
	state, err := tx.DirectoryState(id)
	if err != nil {
		return err
	}
	state.Escalated = tx.Now
	if err := tx.UpdateDirectoryState(state); err != nil {
		return err
	}
	s.Log.Error("users of a directory were not taken over for a long time", "directory", d.Name, "since", state.SyncedAt, "last_error", state.LastError)
	return audit.Record(tx, audit.Entry{Code: audit.DirectoryOverdue, Actor: ra.System("directory"), Group: d.GroupID, Object: string(id), Result: "failed",
		Message: "Users of " + d.Name + " were not taken over for a long time.", Details: map[string]any{"since": state.SyncedAt, "last_error": state.LastError}})
}

// Tidy runs the job.
func (s *Service) Tidy(ctx context.Context, _ TidyJob) error {
	for {
		var n int64
		if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.TidySyncs(tx.Now.Add(-runsKept), batch)
			return err
		}); err != nil || n < batch {
			return err
		}
	}
}
