package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/signin"
	"chancery/internal/store"
)

func (s *Server) listAdmins(ctx context.Context, actor ra.Actor, in *resource.AdminQuery) (*body[resource.Page[resource.Admin]], error) {
	list, next, err := s.Signin.FindAdmins(ctx, actor, store.AdminFilter{Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfAdmin)
}

func (s *Server) createAdmin(ctx context.Context, actor ra.Actor, in *body[resource.AdminInput]) (*tagged[resource.Admin], error) {
	a, err := s.Signin.CreateAdmin(ctx, actor, adminInput(in.Body))
	return one(a, err, resource.OfAdmin, adminUpdated)
}

func (s *Server) showAdmin(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Admin], error) {
	a, err := s.Signin.Admin(ctx, actor, ra.AdminID(in.ID))
	return one(a, err, resource.OfAdmin, adminUpdated)
}

func (s *Server) updateAdmin(ctx context.Context, actor ra.Actor, in *change[resource.AdminInput]) (*tagged[resource.Admin], error) {
	a, err := s.Signin.Admin(ctx, actor, ra.AdminID(in.ID))
	if err == nil {
		err = ifMatch(in.IfMatch, a.UpdatedAt)
	}
	if err == nil {
		a, err = s.Signin.UpdateAdmin(ctx, actor, ra.AdminID(in.ID), adminInput(in.Body))
	}
	return one(a, err, resource.OfAdmin, adminUpdated)
}

func (s *Server) deleteAdmin(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Signin.DeleteAdmin(ctx, actor, ra.AdminID(in.ID))
}

func (s *Server) setPassword(ctx context.Context, actor ra.Actor, in *posted[resource.PasswordInput]) (*tagged[resource.Admin], error) {
	password := secret.New(in.Body.Password)
	a, err := s.Signin.UpdateAdmin(ctx, actor, ra.AdminID(in.ID), signin.AdminInput{Password: &password})
	return one(a, err, resource.OfAdmin, adminUpdated)
}

func (s *Server) createLink(ctx context.Context, actor ra.Actor, in *posted[resource.LinkInput]) (*body[resource.Link], error) {
	life, err := readSpan("life", in.Body.Life)
	if err != nil {
		return nil, err
	}
	link, err := s.Signin.CreateLink(ctx, actor, ra.AdminID(in.ID), life)
	if err != nil {
		return nil, err
	}
	if life == 0 {
		life = signin.LinkLife
	}
	return &body[resource.Link]{resource.Link{Link: s.Signin.LinkURL(link), ExpiresAt: s.Now().UTC().Add(life).Truncate(time.Second)}}, nil
}

func adminInput(in resource.AdminInput) signin.AdminInput {
	out := signin.AdminInput{Name: in.Name, DisplayName: in.DisplayName, Email: in.Email, Disabled: in.Disabled}
	if in.Grants != nil {
		grants := resource.Grants(*in.Grants)
		out.Grants = &grants
	}
	return out
}

func adminUpdated(a *ra.Admin) time.Time { return a.UpdatedAt }

func (s *Server) listTokens(ctx context.Context, actor ra.Actor, in *resource.PageQuery) (*body[resource.Page[resource.Token]], error) {
	list, next, err := s.Signin.FindTokens(ctx, actor, pageOf(*in))
	return listed(list, next, err, resource.OfToken)
}

func (s *Server) createToken(ctx context.Context, actor ra.Actor, in *body[resource.TokenInput]) (*body[resource.Token], error) {
	life, err := readSpan("life", in.Body.Life)
	if err != nil {
		return nil, err
	}
	t, text, err := s.Signin.CreateToken(ctx, actor, signin.TokenInput{Name: in.Body.Name, Grants: resource.Grants(in.Body.Grants), Life: life})
	if err != nil {
		return nil, err
	}
	out := &body[resource.Token]{resource.OfToken(t)}
	out.Body.Token = text.Reveal()
	return out, nil
}

func (s *Server) showToken(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Token], error) {
	t, err := s.Signin.Token(ctx, actor, ra.TokenID(in.ID))
	if err != nil {
		return nil, err
	}
	return &body[resource.Token]{resource.OfToken(t)}, nil
}

func (s *Server) deleteToken(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Signin.RevokeToken(ctx, actor, ra.TokenID(in.ID))
}

func (s *Server) me(_ context.Context, actor ra.Actor, _ *none) (*body[resource.Me], error) {
	return &body[resource.Me]{resource.Me{Actor: resource.OfActor(actor), Grants: resource.OfGrants(actor.Grants)}}, nil
}
