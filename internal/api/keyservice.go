package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/keydelivery"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listKeyServices(ctx context.Context, actor ra.Actor, in *resource.KeyServiceQuery) (*body[resource.Page[resource.KeyService]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Keys.Find(ctx, actor, store.KeyServiceFilter{Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfKeyService)
}

func (s *Server) createKeyService(ctx context.Context, actor ra.Actor, in *body[resource.KeyServiceInput]) (*tagged[resource.KeyService], error) {
	k, err := s.Keys.Create(ctx, actor, keyServiceInput(in.Body))
	return one(k, err, resource.OfKeyService, keyServiceUpdated)
}

func (s *Server) keyServiceForm(context.Context, ra.Actor, *none) (*body[resource.Page[resource.Field]], error) {
	return &body[resource.Page[resource.Field]]{resource.Page[resource.Field]{Items: fieldsOf(&keypolicy.Settings{})}}, nil
}

func (s *Server) showKeyService(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.KeyService], error) {
	k, err := s.Keys.Get(ctx, actor, ra.KeyServiceID(in.ID))
	return one(k, err, resource.OfKeyService, keyServiceUpdated)
}

func (s *Server) updateKeyService(ctx context.Context, actor ra.Actor, in *change[resource.KeyServiceInput]) (*tagged[resource.KeyService], error) {
	k, err := s.Keys.Get(ctx, actor, ra.KeyServiceID(in.ID))
	if err != nil {
		return nil, err
	}
	if err := ifMatch(in.IfMatch, k.UpdatedAt); err != nil {
		return nil, err
	}
	input := keyServiceInput(in.Body)
	if in.IfMatch != "" && in.IfMatch != "*" {
		input.Seen = k.UpdatedAt
	}
	k, err = s.Keys.Update(ctx, actor, k.ID, input)
	return one(k, err, resource.OfKeyService, keyServiceUpdated)
}

func (s *Server) deleteKeyService(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Keys.Delete(ctx, actor, ra.KeyServiceID(in.ID))
}

func (s *Server) testKeyService(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.TestReport], error) {
	return report(func(step func(ca.Step)) error { return s.Keys.Test(ctx, actor, ra.KeyServiceID(in.ID), step) })
}

func (s *Server) testKeyServiceSettings(ctx context.Context, actor ra.Actor, in *body[resource.KeyServiceTest]) (*body[resource.TestReport], error) {
	return report(func(step func(ca.Step)) error {
		return s.Keys.TestSettings(ctx, actor, ra.KeyServiceID(in.Body.ID), ra.GroupID(in.Body.GroupID), in.Body.Settings, step)
	})
}

func keyServiceInput(in resource.KeyServiceInput) keydelivery.Input {
	return keydelivery.Input{GroupID: (*ra.GroupID)(in.GroupID), Name: in.Name, Description: in.Description, Settings: in.Settings, Disabled: in.Disabled}
}

func keyServiceUpdated(k *ra.KeyService) time.Time { return k.UpdatedAt }
