package caimport

import (
	"context"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Order is what somebody wants of a run.
type Order struct {
	Preview bool // nothing is kept but what it would do
	Full    bool // read everything, not only what changed
}

// Import takes over now, in the background. Errors are NotFound when no import is
// set up, Denied, and Conflict while a run waits or runs.
func (s *Service) Import(ctx context.Context, actor ra.Actor, id ra.AuthorityID, o Order) (*ra.CAImportRun, error) {
	run := &ra.CAImportRun{Authority: id, By: actor, Preview: o.Preview, Full: o.Full}
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := editable(tx, actor, id)
		if err != nil {
			return err
		}
		i, err := setup(tx, a)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditDevices, i.GroupID); err != nil {
			return err
		}
		if a.Disabled {
			return ra.Errorf(ra.Conflict, "The authority %q is switched off.", a.Name).WithRemedy("Switch it on first.")
		}
		if err := idle(tx, id); err != nil {
			return err
		}
		if err := s.order(tx, run); err != nil {
			return err
		}
		words := "The certificates of " + a.Name + " are taken over."
		if o.Preview {
			words = "It is counted which certificates of " + a.Name + " an import would take over."
		}
		return audit.Record(tx, audit.Entry{Code: audit.ImportStarted, Actor: actor, Group: a.GroupID, Object: string(id), Related: string(run.ID), Message: words,
			Details: map[string]any{"preview": o.Preview, "full": o.Full}})
	})
	if err != nil {
		return nil, err
	}
	s.Queue.Kick()
	return run, nil
}

// Cancel ends a run that waits or runs; what it has taken over stays. One that
// has ended is a Conflict.
func (s *Service) Cancel(ctx context.Context, actor ra.Actor, id ra.CAImportRunID) (run *ra.CAImportRun, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if run, err = tx.CAImportRun(id); err != nil {
			return err
		}
		a, err := editable(tx, actor, run.Authority)
		if err != nil {
			return err
		}
		if run.State != ra.ImportWaiting && run.State != ra.ImportRunning {
			return ra.Errorf(ra.Conflict, "The import has ended already.").WithRemedy("Look at what it did.")
		}
		run.State, run.Phase, run.EndedAt = ra.ImportCanceled, "", tx.Now
		run.Message, run.Remedy = "It was cancelled by "+actor.Name+": "+summary(run), "Import again: it goes on from there."
		if err := tx.UpdateCAImportRun(run); err != nil {
			return err
		}
		i, err := tx.CAImport(run.Authority)
		if err != nil && ra.KindOf(err) != ra.NotFound {
			return err
		}
		if err == nil && !run.Preview && i.Action != ra.ActionNone { // not at once again
			i.At = tx.Now.Add(i.Every)
			if err := tx.MoveCAImport(i); err != nil {
				return err
			}
		}
		return audit.Record(tx, audit.Entry{Code: audit.ImportCancelled, Actor: actor, Group: a.GroupID, Object: string(a.ID), Related: string(id),
			Message: "The import of the certificates of " + a.Name + " was cancelled.", Details: counts(run)})
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// Run gives one run.
func (s *Service) Run(ctx context.Context, actor ra.Actor, id ra.CAImportRunID) (run *ra.CAImportRun, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if run, err = tx.CAImportRun(id); err != nil {
			return err
		}
		return visible(tx, actor, run.Authority)
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// Runs lists the runs of an authority, newest first.
func (s *Service) Runs(ctx context.Context, actor ra.Actor, id ra.AuthorityID, p store.Page) (list []*ra.CAImportRun, next string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if err := visible(tx, actor, id); err != nil {
			return err
		}
		list, next, err = tx.FindCAImportRuns(id, p)
		return err
	})
	return list, next, err
}
