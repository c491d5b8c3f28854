package enroll

import (
	"context"
	"time"

	"chancery/internal/audit"
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

// planBatch is how many due requests of one authority the planner looks at, at
// least.
const planBatch = 200

// Plan hands out the due requests of every authority under its budget, new
// enrolments and renewals in turn, ends approvals nobody gave, and tells people
// about what is late.
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

func (s *Service) planFor(ctx context.Context, a *ra.Authority) error {
	budget := 0
	if o, err := s.Authorities.Open(ctx, a.ID); err == nil {
		budget = o.Budget(PlanEvery)
	} else if !a.Disabled {
		s.Log.Warn("authority cannot be opened, its requests wait", "authority", a.Name, "error", err)
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.expireApprovals(tx, a.ID); err != nil {
			return err
		}
		due, err := tx.DueRequests(a.ID, []ra.Action{ra.ActionIssue, ra.ActionFetch}, max(4*budget, planBatch))
		if err != nil {
			return err
		}
		for _, r := range due { // whether or not their turn comes: an authority that is away is what people must hear of
			if err := s.escalate(tx, r); err != nil {
				return err
			}
		}
		for _, r := range fair(due, budget) {
			if err := s.enqueue(tx, r.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// fair picks n of the due requests: new enrolments and renewals in turn, each
// oldest first, so that neither starves.
func fair(due []*ra.Request, n int) []*ra.Request {
	var fresh, renewals, out []*ra.Request
	for _, r := range due {
		if r.Renews == "" {
			fresh = append(fresh, r)
		} else {
			renewals = append(renewals, r)
		}
	}
	for len(out) < n && len(fresh)+len(renewals) > 0 {
		if len(fresh) > 0 {
			out, fresh = append(out, fresh[0]), fresh[1:]
		}
		if len(renewals) > 0 && len(out) < n {
			out, renewals = append(out, renewals[0]), renewals[1:]
		}
	}
	return out
}

func (s *Service) expireApprovals(tx *store.Tx, id ra.AuthorityID) error {
	late, err := tx.DueRequests(id, []ra.Action{ra.ActionApprove}, planBatch)
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
	return nil
}

// escalate tells people once that a request is past its deadline.
func (s *Service) escalate(tx *store.Tx, r *ra.Request) error {
	if !r.Late(tx.Now) || !r.Escalated.IsZero() {
		return nil
	}
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
	job.Every(s.Queue, PlanEvery, PlanJob{})
}
