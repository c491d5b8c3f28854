package api

import (
	"context"
	"io"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listUsers(ctx context.Context, actor ra.Actor, in *resource.UserQuery) (*body[resource.Page[resource.User]], error) {
	list, next, err := s.Inventory.FindUsers(ctx, actor, userFilter(in))
	return listed(list, next, err, resource.OfUser)
}

func (s *Server) createUser(ctx context.Context, actor ra.Actor, in *body[resource.UserInput]) (*tagged[resource.User], error) {
	u, err := s.Inventory.CreateUser(ctx, actor, userInput(in.Body))
	return one(u, err, resource.OfUser, userUpdated)
}

func (s *Server) showUser(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.User], error) {
	u, err := s.Inventory.User(ctx, actor, ra.UserID(in.ID))
	return one(u, err, resource.OfUser, userUpdated)
}

func (s *Server) updateUser(ctx context.Context, actor ra.Actor, in *change[resource.UserInput]) (*tagged[resource.User], error) {
	u, err := s.Inventory.User(ctx, actor, ra.UserID(in.ID))
	if err == nil {
		err = ifMatch(in.IfMatch, u.UpdatedAt)
	}
	if err == nil {
		u, err = s.Inventory.UpdateUser(ctx, actor, ra.UserID(in.ID), userInput(in.Body))
	}
	return one(u, err, resource.OfUser, userUpdated)
}

func (s *Server) deleteUser(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Inventory.DeleteUser(ctx, actor, ra.UserID(in.ID))
}

func (s *Server) importUsers(ctx context.Context, actor ra.Actor, in *importInput) (*body[resource.ImportReport], error) {
	return taken(s.Inventory.ImportUsers(ctx, actor, in.reader(), in.options()))
}

func (s *Server) exportUsers(ctx context.Context, actor ra.Actor, in *resource.UserQuery) (*download, error) {
	if _, _, err := s.Inventory.FindUsers(ctx, actor, firstOf(userFilter(in))); err != nil {
		return nil, err
	}
	return s.csvFile("users.csv", func(ctx context.Context, to io.Writer) error {
		return s.Inventory.ExportUsers(ctx, actor, userFilter(in), to)
	}), nil
}

func firstOf(f store.UserFilter) store.UserFilter { f.Limit = 1; return f }

func userFilter(in *resource.UserQuery) store.UserFilter {
	return store.UserFilter{Groups: groups(in.Group), Text: in.Text, Page: pageOf(in.PageQuery)}
}

func userInput(in resource.UserInput) inventory.UserInput {
	return inventory.UserInput{GroupID: (*ra.GroupID)(in.GroupID), Name: in.Name, Email: in.Email, UPN: in.UPN, SID: in.SID, FirstName: in.FirstName,
		LastName: in.LastName, DisplayName: in.DisplayName, DN: in.DN, Attributes: in.Attributes, Disabled: in.Disabled}
}

func userUpdated(u *ra.User) time.Time { return u.UpdatedAt }

// groups gives the groups a filter names; nil asks for all.
func groups(id string) []ra.GroupID {
	if id == "" {
		return nil
	}
	return []ra.GroupID{ra.GroupID(id)}
}
