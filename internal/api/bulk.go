package api

import (
	"context"
	"fmt"

	"chancery/internal/access"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// maxBulk bounds how many certificates one call revokes.
const maxBulk = 1000

// The outcomes of one item of a bulk act.
const (
	wouldChange = "would_change"
	changed     = "changed"
	unchanged   = "unchanged"
	failed      = "failed"
)

// revokeMany revokes many certificates. The rights to every single one are
// looked at before the first is touched: one that the caller may not see is
// NotFound, and nothing happens at all.
func (s *Server) revokeMany(ctx context.Context, actor ra.Actor, in *body[resource.BulkRevokeInput]) (*body[resource.BulkResult], error) {
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	list, err := s.chosen(ctx, actor, in.Body)
	if err != nil {
		return nil, err
	}
	out := &body[resource.BulkResult]{resource.BulkResult{DryRun: in.Body.DryRun, Items: []resource.Attempt{}}}
	for _, c := range list {
		item := resource.Attempt{ID: string(c.ID), Title: c.Subject, Outcome: unchanged}
		if c.State != ra.Revoked && c.State != ra.Expired {
			item = s.revokeOne(ctx, actor, c, reason, in.Body)
		}
		switch item.Outcome {
		case changed, wouldChange:
			out.Body.Changed++
		case failed:
			out.Body.Failed++
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}

func (s *Server) revokeOne(ctx context.Context, actor ra.Actor, c *ra.Certificate, reason ra.RevocationReason, in resource.BulkRevokeInput) resource.Attempt {
	item := resource.Attempt{ID: string(c.ID), Title: c.Subject, Outcome: wouldChange}
	if in.DryRun {
		return item
	}
	item.Outcome = changed
	if _, err := s.Lifecycle.Revoke(ctx, actor, c.ID, reason, in.Comment); err != nil {
		p := s.problemOf(ctx, "revoke-certificates", err).Problem
		item.Outcome, item.Problem = failed, &p
	}
	return item
}

// chosen gives the certificates a bulk act is about, each of which the actor
// may revoke.
func (s *Server) chosen(ctx context.Context, actor ra.Actor, in resource.BulkRevokeInput) ([]*ra.Certificate, error) {
	if (len(in.IDs) > 0) == (in.Filter != nil) {
		return nil, ra.Errorf(ra.Invalid, "Which certificates are meant is not clear.").WithField("ids").WithRemedy("Give either ids or a filter.")
	}
	var list []*ra.Certificate
	if in.Filter != nil {
		narrow, f, err := s.certificateFilter(ctx, actor, *in.Filter)
		if err != nil {
			return nil, err
		}
		f.Limit = store.MaxPage
		found, next, err := s.Lifecycle.FindCertificates(ctx, narrow, f)
		if err != nil {
			return nil, err
		}
		if next != "" {
			return nil, ra.Errorf(ra.TooLarge, "The filter finds more than %d certificates.", maxBulk).WithField("filter").WithRemedy("Narrow it, and repeat.")
		}
		list = found
	}
	for i, id := range in.IDs {
		c, err := s.Lifecycle.Certificate(ctx, actor, ra.CertificateID(id))
		if err != nil {
			return nil, inField(fmt.Sprintf("ids[%d]", i), err)
		}
		list = append(list, c)
	}
	for _, c := range list {
		if err := s.may(ctx, actor, access.Revoke, c.GroupID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// inField names the input an error is about.
func inField(field string, err error) error {
	if ra.KindOf(err) == ra.Internal {
		return err
	}
	e := *ra.AsError(err)
	e.Field = field
	return &e
}
