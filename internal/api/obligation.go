package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listObligations(ctx context.Context, actor ra.Actor, in *resource.ObligationQuery) (*body[resource.Page[resource.Waiting]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Lifecycle.FindObligations(ctx, actor, store.ObligationFilter{Authority: ra.AuthorityID(in.Authority), Action: ra.Action(in.Action),
		LateOnly: in.Late, DueBefore: in.DueBefore, Page: pageOf(in.PageQuery)})
	now := s.Now()
	return listed(list, next, err, func(r ra.ObligationRow) resource.Waiting { return resource.OfWaiting(r, now) })
}

type calendarInput struct {
	Group string `query:"group_id" doc:"This group and everything below it."`
	Days  int    `query:"days" minimum:"1" maximum:"3660" default:"90" doc:"How many days ahead."`
}

func (s *Server) calendar(ctx context.Context, actor ra.Actor, in *calendarInput) (*body[resource.Calendar], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	buckets, err := s.Lifecycle.Calendar(ctx, actor, in.Days)
	if err != nil {
		return nil, err
	}
	now := s.Now().UTC()
	out := &body[resource.Calendar]{resource.Calendar{Days: []resource.CalendarDay{}}}
	for _, b := range buckets {
		out.Body.Days = append(out.Body.Days, resource.CalendarDay{Date: now.AddDate(0, 0, int(b.Day)).Format(time.DateOnly), AuthorityID: b.AuthorityID,
			Action: b.Action, Count: b.N})
	}
	return out, nil
}

func (s *Server) listAudit(ctx context.Context, actor ra.Actor, in *resource.AuditQuery) (*body[resource.Page[resource.Event]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Audit.Find(ctx, actor, store.AuditFilter{Code: in.Code, Object: in.Object, Actor: in.Actor, Since: in.Since, Until: in.Until,
		Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfEvent)
}

func (s *Server) verifyAudit(ctx context.Context, actor ra.Actor, _ *none) (*body[resource.AuditReport], error) {
	r, err := s.Audit.Verify(ctx, actor)
	if err != nil {
		return nil, err
	}
	return &body[resource.AuditReport]{resource.AuditReport{OK: r.Broken == 0 && r.Problem == "", Entries: r.Entries, Head: r.Head, Broken: r.Broken, Problem: r.Problem}}, nil
}
