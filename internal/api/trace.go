package api

import (
	"context"

	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/trace"
)

// ByTrace names what leads to a trace.
type ByTrace struct {
	ID string `path:"id" maxLength:"400" doc:"ID of a pass, request, certificate or device, or a transaction ID of SCEP."`
}

func (s *Server) showTrace(ctx context.Context, actor ra.Actor, in *ByTrace) (*body[resource.Trace], error) {
	t, err := s.Traces.Show(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[resource.Trace]{traceOf(t)}, nil
}

// passTrace is showTrace for a pass, and for nothing else.
func (s *Server) passTrace(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Trace], error) {
	p, err := s.Passes.Get(ctx, actor, ra.PassID(in.ID))
	if err != nil {
		return nil, err
	}
	return s.showTrace(ctx, actor, &ByTrace{ID: string(p.ID)})
}

// traceOf gives a trace in wire form.
func traceOf(t *trace.Trace) resource.Trace {
	out := resource.Trace{ID: t.ID(), Kind: "request", Result: string(t.Result), Lines: make([]resource.TraceLine, len(t.Lines))}
	if p := t.Pass; p != nil {
		out.Kind, out.State, out.Subject, out.GroupID, out.AuthorityID = "pass", string(p.State), p.Subject, string(p.GroupID), string(p.AuthorityID)
		out.TemplateID, out.DeviceID, out.UserID = string(p.TemplateID), string(p.DeviceID), string(p.UserID)
	} else {
		r := t.Request
		out.State, out.Subject, out.GroupID, out.AuthorityID = string(r.State), r.Subject, string(r.GroupID), string(r.AuthorityID)
		out.TemplateID, out.DeviceID, out.UserID = string(r.TemplateID), string(r.DeviceID), string(r.UserID)
	}
	for i, l := range t.Lines {
		out.Lines[i] = lineOf(l)
	}
	if t.Problem != nil {
		l := lineOf(*t.Problem)
		out.Problem = &l
	}
	return out
}

func lineOf(l trace.Line) resource.TraceLine {
	out := resource.TraceLine{Number: l.Number, Step: l.Step, Title: l.Title, Who: l.Who, State: string(l.State), TookUS: l.Took.Microseconds(), Times: l.Times,
		Message: l.Message, Remedy: l.Remedy, Fields: l.Fields}
	if !l.At.IsZero() {
		out.At = l.At.UTC()
	}
	return out
}

// authorityChallenges tells how many challenges of an authority's server are
// out.
func (s *Server) authorityChallenges(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.AuthorityChallenges], error) {
	a, err := s.Authorities.Get(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &body[resource.AuthorityChallenges]{}
	if out.Body.Out, out.Body.Waiting, err = s.Authorities.Slots(a.ID).Out(ctx); err != nil {
		return nil, err
	}
	// One that is switched off or set up wrongly has no known capacity.
	if o, err := s.Authorities.Open(ctx, a.ID); err == nil {
		if c, ok := o.Connector.(ca.Slotted); ok {
			out.Body.Capacity = c.SlotOrder().Slots
		}
	}
	return out, nil
}

func (s *Server) compareCertificates(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.ServerCertificates], error) {
	list, changed, err := s.Passes.CompareCA(ctx, actor, ra.AuthorityID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &body[resource.ServerCertificates]{resource.ServerCertificates{Changed: changed, Certificates: make([]resource.ServerCertificate, len(list))}}
	for i, c := range list {
		out.Body.Certificates[i] = resource.ServerCertificate{Subject: c.Subject, Fingerprint: c.Fingerprint, NotAfter: c.NotAfter.UTC(), CA: c.CA, Kept: c.Kept, Shown: c.Shown}
	}
	return out, nil
}

func (s *Server) acceptCertificates(ctx context.Context, actor ra.Actor, in *posted[resource.AcceptInput]) (*none, error) {
	return nil, s.Passes.AcceptSeen(ctx, actor, ra.AuthorityID(in.ID), in.Body.Fingerprints)
}
