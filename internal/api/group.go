package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listGroups(ctx context.Context, actor ra.Actor, in *resource.GroupQuery) (*body[resource.Page[resource.Group]], error) {
	list, next, err := s.Inventory.FindGroups(ctx, actor, store.GroupFilter{Under: ra.GroupID(in.Under), Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfGroup)
}

func (s *Server) createGroup(ctx context.Context, actor ra.Actor, in *body[resource.GroupInput]) (*tagged[resource.Group], error) {
	g, err := s.Inventory.CreateGroup(ctx, actor, groupInput(in.Body))
	return one(g, err, resource.OfGroup, groupUpdated)
}

func (s *Server) showGroup(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Group], error) {
	g, err := s.Inventory.Group(ctx, actor, ra.GroupID(in.ID))
	return one(g, err, resource.OfGroup, groupUpdated)
}

func (s *Server) updateGroup(ctx context.Context, actor ra.Actor, in *change[resource.GroupInput]) (*tagged[resource.Group], error) {
	g, err := s.Inventory.Group(ctx, actor, ra.GroupID(in.ID))
	if err == nil {
		err = ifMatch(in.IfMatch, g.UpdatedAt)
	}
	if err == nil {
		g, err = s.Inventory.UpdateGroup(ctx, actor, ra.GroupID(in.ID), groupInput(in.Body))
	}
	return one(g, err, resource.OfGroup, groupUpdated)
}

func (s *Server) deleteGroup(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Inventory.DeleteGroup(ctx, actor, ra.GroupID(in.ID))
}

func groupInput(in resource.GroupInput) inventory.GroupInput {
	return inventory.GroupInput{ParentID: (*ra.GroupID)(in.ParentID), Name: in.Name, Organization: in.Organization, Country: in.Country,
		Realm: in.Realm, EmailDomain: in.EmailDomain, Contact: in.Contact}
}

func groupUpdated(g *ra.Group) time.Time { return g.UpdatedAt }
