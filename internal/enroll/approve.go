package enroll

import (
	"context"
	"fmt"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Decide approves or denies a request that waits for people. Whoever asked may
// not decide; one person decides once; one no is enough. When the template's
// number of approvals is reached the authority is asked at once.
func (s *Service) Decide(ctx context.Context, actor ra.Actor, id ra.RequestID, approve bool, comment string) (r *ra.Request, err error) {
	if len(comment) > 2000 {
		return nil, ra.Errorf(ra.Invalid, "The comment is longer than 2000 characters.").WithField("comment").WithRemedy("Shorten it.")
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if r, err = tx.Request(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.Approve, r.GroupID); err != nil {
			return err
		}
		if same(actor, r.AskedBy) {
			return ra.Errorf(ra.Denied, "Whoever asked for a certificate cannot decide about it.").WithRemedy("Ask another approver.")
		}
		if r.State != ra.AwaitingApproval {
			return ra.Errorf(ra.Conflict, "The request is %s and waits for no decision.", words(r.State)).WithRemedy("Reload it to see where it stands.")
		}
		if !r.Deadline.After(tx.Now) {
			return ra.Errorf(ra.Conflict, "The time to decide about this request is over.").WithRemedy("Ask for the certificate again.")
		}
		t, err := tx.Template(r.TemplateID)
		if err != nil {
			return err
		}
		if err := tx.CreateApproval(&ra.Approval{ID: ra.NewID[ra.ApprovalID](ra.ApprovalPrefix, tx.Now), RequestID: id, By: actor, Approve: approve, Comment: comment, At: tx.Now}); err != nil {
			if ra.KindOf(err) == ra.Conflict {
				return ra.Errorf(ra.Conflict, "You decided about this request already.").WithRemedy("Another person has to give the next decision.").WithCause(err)
			}
			return err
		}
		if !approve {
			return s.deny(tx, actor, r, comment)
		}
		votes, err := tx.Approvals(id)
		if err != nil {
			return err
		}
		message := fmt.Sprintf("Approved, %d of %d.", len(votes), t.Spec.Approvals)
		if len(votes) >= t.Spec.Approvals {
			if err := move(r, ra.Approved); err != nil {
				return err
			}
			s.due(tx, r)
			if err := tx.UpdateRequest(r); err != nil {
				return err
			}
			if err := s.enqueue(tx, id); err != nil {
				return err
			}
		}
		return audit.Record(tx, audit.Entry{Code: audit.RequestApproved, Actor: actor, Group: r.GroupID, Object: string(id), Message: message,
			Details: map[string]any{"comment": comment}})
	})
	if err != nil || r.State != ra.Approved {
		return r, err
	}
	// The last approval is also the moment to ask the authority, so that whoever
	// gave it sees what came of it. The job does it when this process cannot.
	if err := s.Work(ctx, IssueJob{id}); err != nil {
		s.Log.Warn("an approved request goes on later", "request", id, "error", err)
		return r, nil
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err = tx.Request(id)
		return err
	})
	return r, err
}

func (s *Service) deny(tx *store.Tx, actor ra.Actor, r *ra.Request, comment string) error {
	if err := move(r, ra.DeniedState); err != nil {
		return err
	}
	r.Reason = "Denied by " + actor.Name + "."
	if comment != "" {
		r.Reason += " " + comment
	}
	if err := tx.UpdateRequest(r); err != nil {
		return err
	}
	if err := tx.DeleteSealed(string(r.ID), ""); err != nil {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.RequestDenied, Actor: actor, Group: r.GroupID, Object: string(r.ID), Result: "refused",
		Message: "Denied: " + r.Subject, Details: map[string]any{"comment": comment}})
}

// Cancel ends a request that was not asked for at the authority yet, or that
// waits there.
func (s *Service) Cancel(ctx context.Context, actor ra.Actor, id ra.RequestID) (r *ra.Request, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if r, err = tx.Request(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.Request, r.GroupID); err != nil {
			return err
		}
		return s.cancel(tx, actor, r, "Cancelled by "+actor.Name+".")
	})
	return r, err
}

func (s *Service) cancel(tx *store.Tx, actor ra.Actor, r *ra.Request, reason string) error {
	asked := r.State == ra.PendingAtCA
	r.Reason = reason
	if err := s.giveUp(tx, r, ra.Cancelled); err != nil {
		return err
	}
	if asked {
		if err := s.abandon(tx, r.ID); err != nil {
			return err
		}
	}
	return audit.Record(tx, audit.Entry{Code: audit.RequestCancelled, Actor: actor, Group: r.GroupID, Object: string(r.ID), Result: "refused", Message: reason})
}

// same tells whether two actors are one person or program. A token stands for
// the administrator who made it.
func same(a, b ra.Actor) bool {
	if p := a.Behind(); p != "" && p == b.Behind() {
		return true
	}
	return a.Kind == b.Kind && a.ID == b.ID && (a.ID != "" || a.Name == b.Name)
}

// Request gives one request with the decisions about it.
func (s *Service) Request(ctx context.Context, actor ra.Actor, id ra.RequestID) (r *ra.Request, votes []*ra.Approval, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if r, err = tx.Request(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, r.GroupID); err != nil {
			return err
		}
		votes, err = tx.Approvals(id)
		return err
	})
	return r, votes, err
}

// FindRequests lists the requests the actor may see.
func (s *Service) FindRequests(ctx context.Context, actor ra.Actor, f store.RequestFilter) (list []*ra.Request, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindRequests(f)
		return err
	})
	return list, next, err
}
