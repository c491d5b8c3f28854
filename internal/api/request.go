package api

import (
	"context"
	"fmt"

	"chancery/internal/api/resource"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listRequests(ctx context.Context, actor ra.Actor, in *resource.RequestQuery) (*body[resource.Page[resource.Request]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	f := store.RequestFilter{Authority: ra.AuthorityID(in.Authority), Template: ra.TemplateID(in.Template), Device: ra.DeviceID(in.Device),
		User: ra.UserID(in.User), Text: in.Text, Page: pageOf(in.PageQuery)}
	if f.States, err = words("state", in.States, ra.RequestStates); err != nil {
		return nil, err
	}
	list, next, err := s.Enroll.FindRequests(ctx, actor, f)
	return listed(list, next, err, resource.OfRequest)
}

// words reads a list of states; one that does not exist is Invalid, so that a
// typing error does not read as "there is none".
func words[T ~string](field string, given []string, known []T) ([]T, error) {
	var out []T
	for _, g := range given {
		found := false
		for _, k := range known {
			if string(k) == g {
				out, found = append(out, k), true
			}
		}
		if !found {
			return nil, ra.Errorf(ra.Invalid, "%.40q is not possible here.", g).WithField(field).WithRemedy("Use any of %v.", known)
		}
	}
	return out, nil
}

type requestInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"200" doc:"Calls with the same key are the same request, however often they are repeated."`
	Body resource.RequestInput
}

func (s *Server) createRequest(ctx context.Context, actor ra.Actor, in *requestInput) (*body[resource.Request], error) {
	b := in.Body
	ask := enroll.Ask{Template: ra.TemplateID(b.TemplateID), Device: ra.DeviceID(b.DeviceID), User: ra.UserID(b.UserID), CSR: []byte(b.CSR),
		Renews: ra.CertificateID(b.Renews), Door: door(actor), Wait: b.Wait}
	if ask.Renews != "" {
		if _, err := s.Lifecycle.Certificate(ctx, actor, ask.Renews); err != nil {
			return nil, err
		}
	}
	if in.Key != "" {
		// A key is the caller's own: nobody meets another's request through it.
		ask.Key = fmt.Sprintf("api:%s:%s:%s", actor.Kind, actor.ID, in.Key)
	}
	r, issued, err := s.Enroll.Issue(ctx, actor, ask)
	if err != nil {
		return nil, err
	}
	if issued != nil { // all there is to say of it is at hand
		csr, err := s.Enroll.PublicCSR(r)
		if err != nil {
			return nil, err
		}
		return &body[resource.Request]{resource.OfWholeRequest(r, nil, csr, issued)}, nil
	}
	if r.TemplateID != ask.Template || r.DeviceID != ask.Device || ask.User != "" && r.UserID != ask.User || r.Renews != ask.Renews {
		return nil, ra.Errorf(ra.Conflict, "Another request was made with this Idempotency-Key.").WithField("Idempotency-Key").WithRemedy("Use a new key for a new request.")
	}
	return s.wholeRequest(ctx, actor, r.ID)
}

// door tells the record which way a request came.
func door(actor ra.Actor) string {
	if actor.Via == "cli" {
		return "cli"
	}
	return "api"
}

func (s *Server) showRequest(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Request], error) {
	return s.wholeRequest(ctx, actor, ra.RequestID(in.ID))
}

func (s *Server) wholeRequest(ctx context.Context, actor ra.Actor, id ra.RequestID) (*body[resource.Request], error) {
	r, votes, err := s.Enroll.Request(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	csr, err := s.Enroll.PublicCSR(r)
	if err != nil {
		return nil, err
	}
	var issued *ra.Certificate
	if r.CertificateID != "" {
		if issued, err = s.Lifecycle.Certificate(ctx, actor, r.CertificateID); err != nil {
			return nil, err
		}
	}
	return &body[resource.Request]{resource.OfWholeRequest(r, votes, csr, issued)}, nil
}

func (s *Server) approveRequest(ctx context.Context, actor ra.Actor, in *posted[resource.Decision]) (*body[resource.Request], error) {
	return s.decide(ctx, actor, in, true)
}

func (s *Server) denyRequest(ctx context.Context, actor ra.Actor, in *posted[resource.Decision]) (*body[resource.Request], error) {
	return s.decide(ctx, actor, in, false)
}

func (s *Server) decide(ctx context.Context, actor ra.Actor, in *posted[resource.Decision], approve bool) (*body[resource.Request], error) {
	if _, err := s.Enroll.Decide(ctx, actor, ra.RequestID(in.ID), approve, in.Body.Comment); err != nil {
		return nil, err
	}
	return s.wholeRequest(ctx, actor, ra.RequestID(in.ID))
}

func (s *Server) cancelRequest(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Request], error) {
	if _, err := s.Enroll.Cancel(ctx, actor, ra.RequestID(in.ID)); err != nil {
		return nil, err
	}
	return s.wholeRequest(ctx, actor, ra.RequestID(in.ID))
}
