package enroll

import (
	"context"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// PlanJob takes what is due and hands it out. It runs on one node at a time.
type PlanJob struct{}

// Kind is the stable name of the job.
func (PlanJob) Kind() string { return "enroll.plan" }

// PlanEvery is how often the planner runs.
const PlanEvery = 5 * time.Second

const (
	// planBatch is how many requests one transaction of the planner ends or
	// tells people of, and how many of them one run does for an authority.
	planBatch = 200
	// putBatch is how many jobs one transaction puts: it must not keep those
	// waiting who write beside it.
	putBatch = 50
)

// Plan hands out the due requests of every authority under its budget, three
// new enrolments for each renewal while both wait, ends approvals nobody gave,
// and tells people about what is late.
func (s *Service) Plan(ctx context.Context, _ PlanJob) error {
	var all []*ra.Authority
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return err
	}
	for _, a := range all {
		if err := s.planFor(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// due is what one look at an authority's requests finds.
type due struct {
	fresh, renewals []authority.Due[ra.RequestID] // whose turn it is, oldest first
	expired         bool                          // approvals nobody gave
	late            bool                          // requests people must hear of
	down            bool                          // an outage people may have to hear of
	now             time.Time
}

func (s *Service) look(ctx context.Context, id ra.AuthorityID, n int) (d due, err error) {
	asking := []ra.Action{ra.ActionIssue, ra.ActionFetch}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		d = due{now: tx.Now}
		for line, ids := range map[store.Line]*[]authority.Due[ra.RequestID]{store.NewLine: &d.fresh, store.RenewalLine: &d.renewals} {
			list, err := tx.DueRequests(id, line, asking, n)
			if err != nil {
				return err
			}
			for _, r := range list {
				*ids = append(*ids, authority.Due[ra.RequestID]{ID: r.ID, At: r.At})
			}
			approvals, err := tx.DueRequests(id, line, []ra.Action{ra.ActionApprove}, 1)
			if err != nil {
				return err
			}
			d.expired = d.expired || len(approvals) > 0
		}
		late, err := tx.OverdueRequests(id, 1)
		if err != nil {
			return err
		}
		down, err := tx.Outage(id)
		d.late, d.down = len(late) > 0, down != nil
		return err
	})
	return d, err
}

func (s *Service) planFor(ctx context.Context, a *ra.Authority) error {
	var budget authority.Budget
	if o, err := s.Authorities.Open(ctx, a.ID); err == nil {
		if budget, err = o.Budget(ctx, PlanEvery); err != nil {
			return err
		}
	} else if !a.Disabled {
		s.Log.Warn("authority cannot be opened, its requests wait", "authority", a.Name, "error", err)
	}
	line := string(a.ID)
	d, err := s.look(ctx, a.ID, s.handout.Look(line))
	if err != nil {
		return err
	}
	if d.expired {
		if err := s.expireApprovals(ctx, a.ID); err != nil {
			return err
		}
	}
	if d.late || d.down {
		if err := s.alarm(ctx, a); err != nil {
			return err
		}
	}
	refused, err := job.OfferAll(ctx, s.DB, s.Queue, s.handout.Next(line, fair(d.fresh, d.renewals), budget.Calls, d.now),
		func(id ra.RequestID) job.Args { return IssueJob{id} }, job.Spaced{Batch: putBatch, Gap: budget.Gap})
	s.handout.Refused(line, refused)
	return err
}

// newPerRenewal is how many new enrolments go before each renewal while both
// wait.
const newPerRenewal = 3

// fair merges new enrolments and renewals, each in its own order, so that
// neither starves.
func fair[T any](fresh, renewals []T) []T {
	out := make([]T, 0, len(fresh)+len(renewals))
	for len(fresh) > 0 && len(renewals) > 0 {
		n := min(newPerRenewal, len(fresh))
		out = append(append(out, fresh[:n]...), renewals[0])
		fresh, renewals = fresh[n:], renewals[1:]
	}
	return append(append(out, fresh...), renewals...)
}

func (s *Service) expireApprovals(ctx context.Context, id ra.AuthorityID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		for _, line := range []store.Line{store.NewLine, store.RenewalLine} {
			late, err := tx.DueRequests(id, line, []ra.Action{ra.ActionApprove}, planBatch)
			if err != nil {
				return err
			}
			for _, r := range late {
				if err := s.cancel(tx, ra.System("enroll"), r, "Nobody approved it in time."); err != nil {
					return err
				}
				if err := tx.ReleaseChallenge(r.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// alarm tells people of an authority that does not answer, once for all its
// requests, and otherwise of each request that is late, once: whether or not
// its turn came.
func (s *Service) alarm(ctx context.Context, a *ra.Authority) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if down, err := authority.Watch(tx, a); err != nil || down != nil {
			return err
		}
		late, err := tx.OverdueRequests(a.ID, planBatch)
		if err != nil {
			return err
		}
		for _, r := range late {
			if err := s.escalate(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// escalate tells people that a request is past its deadline.
func (s *Service) escalate(tx *store.Tx, r *ra.Request) error {
	r.Escalated = tx.Now
	if err := tx.UpdateRequest(r); err != nil {
		return err
	}
	s.Log.Error("certificate request is overdue", "request", r.ID, "subject", r.Subject, "last_error", r.LastError)
	return audit.Record(tx, audit.Entry{Code: audit.RequestOverdue, Actor: ra.System("enroll"), Group: r.GroupID, Object: string(r.ID), Result: "failed",
		Message: "Still no certificate for " + r.Subject, Details: map[string]any{"last_error": r.LastError, "attempts": r.Attempts}})
}

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Work)
	job.Handle(s.Queue, s.Plan)
	job.Handle(s.Queue, s.Abandon)
	job.Every(s.Queue, PlanEvery, PlanJob{})
}
