package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
	"chancery/internal/store"
)

func (s *Server) listEndpoints(ctx context.Context, actor ra.Actor, in *resource.EndpointQuery) (*body[resource.Page[resource.Endpoint]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Enroll.FindEndpoints(ctx, actor, store.EndpointFilter{Template: ra.TemplateID(in.Template), Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfEndpoint)
}

func (s *Server) createEndpoint(ctx context.Context, actor ra.Actor, in *body[resource.EndpointInput]) (*tagged[resource.Endpoint], error) {
	e, err := s.Enroll.CreateEndpoint(ctx, actor, endpointInput(in.Body))
	return one(e, err, resource.OfEndpoint, endpointUpdated)
}

func (s *Server) showEndpoint(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Endpoint], error) {
	e, err := s.Enroll.Endpoint(ctx, actor, ra.EndpointID(in.ID))
	return one(e, err, resource.OfEndpoint, endpointUpdated)
}

func (s *Server) updateEndpoint(ctx context.Context, actor ra.Actor, in *change[resource.EndpointInput]) (*tagged[resource.Endpoint], error) {
	e, err := s.Enroll.Endpoint(ctx, actor, ra.EndpointID(in.ID))
	if err == nil {
		err = ifMatch(in.IfMatch, e.UpdatedAt)
	}
	if err == nil {
		e, err = s.Enroll.UpdateEndpoint(ctx, actor, ra.EndpointID(in.ID), endpointInput(in.Body))
	}
	return one(e, err, resource.OfEndpoint, endpointUpdated)
}

func (s *Server) deleteEndpoint(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Enroll.DeleteEndpoint(ctx, actor, ra.EndpointID(in.ID))
}

func endpointInput(in resource.EndpointInput) enroll.EndpointInput {
	return enroll.EndpointInput{GroupID: (*ra.GroupID)(in.GroupID), TemplateID: (*ra.TemplateID)(in.TemplateID), Name: in.Name, Settings: in.Settings, Disabled: in.Disabled}
}

func endpointUpdated(e *ra.Endpoint) time.Time { return e.UpdatedAt }

func (s *Server) endpointForm(context.Context, ra.Actor, *none) (*body[resource.Page[resource.Field]], error) {
	return &body[resource.Page[resource.Field]]{resource.Page[resource.Field]{Items: fieldsOf(&sceppolicy.Endpoint{})}}, nil
}

func (s *Server) listChallenges(ctx context.Context, actor ra.Actor, in *resource.ChallengeQuery) (*body[resource.Page[resource.Challenge]], error) {
	list, next, err := s.Enroll.FindChallenges(ctx, actor, store.ChallengeFilter{Device: ra.DeviceID(in.Device), Endpoint: ra.EndpointID(in.Endpoint),
		OpenOnly: in.Open, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfChallenge)
}

func (s *Server) createChallenge(ctx context.Context, actor ra.Actor, in *body[resource.ChallengeInput]) (*body[resource.Challenge], error) {
	life, err := readSpan("life", in.Body.Life)
	if err != nil {
		return nil, err
	}
	c, text, err := s.Enroll.CreateChallenge(ctx, actor, enroll.ChallengeInput{Endpoint: ra.EndpointID(in.Body.EndpointID), Device: ra.DeviceID(in.Body.DeviceID),
		Life: life, Uses: in.Body.Uses})
	if err != nil {
		return nil, err
	}
	out := &body[resource.Challenge]{resource.OfChallenge(c)}
	path, err := s.Enroll.ChallengePath(ctx, c.EndpointID, text)
	if err != nil {
		return nil, err
	}
	out.Body.Challenge, out.Body.Path = text.Reveal(), path.Reveal()
	return out, nil
}

func (s *Server) deleteChallenge(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Enroll.DeleteChallenge(ctx, actor, ra.ChallengeID(in.ID))
}

// span is a time span, described as settings are, to be read and refused in
// the same words: 90m, 24h, 30d.
type span struct{ time.Duration }

// Describe names the one field.
func (s *span) Describe(f *setting.Form) { f.Duration(&s.Duration, "span", "Time span") }

// readSpan reads a time span; the empty text is zero.
func readSpan(field, text string) (time.Duration, error) {
	s := &span{}
	if err := setting.FromForm(s, map[string][]string{"span": {text}}); err != nil {
		e := *ra.AsError(err)
		e.Field = field
		return 0, &e
	}
	return s.Duration, nil
}
