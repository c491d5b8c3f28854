package api

import (
	"context"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// orderRevocation revokes everything a filter finds, in the background. A dry
// run counts and changes nothing.
func (s *Server) orderRevocation(ctx context.Context, actor ra.Actor, in *body[resource.RevocationOrder]) (*body[resource.Revocation], error) {
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	narrow, f, err := s.certificateFilter(ctx, actor, in.Body.Filter)
	if err != nil {
		return nil, err
	}
	if in.Body.DryRun {
		total, err := s.Lifecycle.PlanBulk(ctx, narrow, f)
		if err != nil {
			return nil, err
		}
		return &body[resource.Revocation]{revocation(&store.Bulk{By: actor, Reason: reason, Comment: in.Body.Comment, Total: total})}, nil
	}
	b, err := s.Lifecycle.RevokeAll(ctx, narrow, f, reason, in.Body.Comment)
	if err != nil {
		return nil, err
	}
	return &body[resource.Revocation]{revocation(b)}, nil
}

func (s *Server) listRevocations(ctx context.Context, actor ra.Actor, _ *none) (*body[resource.Page[resource.Revocation]], error) {
	list, err := s.Lifecycle.Bulks(ctx, actor)
	return listed(list, "", err, revocation)
}

func (s *Server) showRevocation(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Revocation], error) {
	b, err := s.Lifecycle.Bulk(ctx, actor, store.BulkID(in.ID))
	if err != nil {
		return nil, err
	}
	return &body[resource.Revocation]{revocation(b)}, nil
}

// revocation shows a bulk revocation.
func revocation(b *store.Bulk) resource.Revocation {
	r := resource.Revocation{ID: string(b.ID), State: "running", OrderBy: b.By.Name, Reason: b.Reason.String(), Comment: b.Comment, Total: b.Total, Revoked: b.Revoked, Skipped: b.Skipped,
		Failed: b.Failed, Failures: []resource.RevocationFailure{}, Created: b.CreatedAt, Ended: b.EndedAt}
	switch {
	case b.ID == "":
		r.State = "planned"
	case !b.EndedAt.IsZero():
		r.State = "done"
	}
	for _, f := range b.Failures {
		r.Failures = append(r.Failures, resource.RevocationFailure{ID: string(f.Certificate), Title: f.Subject, Message: f.Message, Remedy: f.Remedy})
	}
	return r
}
