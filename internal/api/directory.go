package api

import (
	"context"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/directory"
	"chancery/internal/dirpolicy"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func (s *Server) listDirectories(ctx context.Context, actor ra.Actor, in *resource.DirectoryQuery) (*body[resource.Page[resource.Directory]], error) {
	actor, err := s.within(ctx, actor, in.Group)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Directories.Find(ctx, actor, store.DirectoryFilter{Text: in.Text, Page: pageOf(in.PageQuery)})
	return listed(list, next, err, resource.OfDirectory)
}

func (s *Server) createDirectory(ctx context.Context, actor ra.Actor, in *body[resource.DirectoryInput]) (*tagged[resource.Directory], error) {
	d, err := s.Directories.Create(ctx, actor, directoryInput(in.Body))
	return one(d, err, resource.OfDirectory, directoryUpdated)
}

func (s *Server) directoryForm(context.Context, ra.Actor, *none) (*body[resource.Page[resource.Field]], error) {
	return &body[resource.Page[resource.Field]]{resource.Page[resource.Field]{Items: fieldsOf(&dirpolicy.Settings{})}}, nil
}

func (s *Server) showDirectory(ctx context.Context, actor ra.Actor, in *ByID) (*tagged[resource.Directory], error) {
	d, state, err := s.Directories.Get(ctx, actor, ra.DirectoryID(in.ID))
	out, err := one(d, err, resource.OfDirectory, directoryUpdated)
	if err == nil {
		out.Body.Status = resource.OfDirectoryState(state)
	}
	return out, err
}

func (s *Server) updateDirectory(ctx context.Context, actor ra.Actor, in *change[resource.DirectoryInput]) (*tagged[resource.Directory], error) {
	d, _, err := s.Directories.Get(ctx, actor, ra.DirectoryID(in.ID))
	if err != nil {
		return nil, err
	}
	if err := ifMatch(in.IfMatch, d.UpdatedAt); err != nil {
		return nil, err
	}
	input := directoryInput(in.Body)
	if in.IfMatch != "" && in.IfMatch != "*" {
		input.Seen = d.UpdatedAt
	}
	d, err = s.Directories.Update(ctx, actor, d.ID, input)
	return one(d, err, resource.OfDirectory, directoryUpdated)
}

func (s *Server) deleteDirectory(ctx context.Context, actor ra.Actor, in *ByID) (*none, error) {
	return nil, s.Directories.Delete(ctx, actor, ra.DirectoryID(in.ID))
}

func (s *Server) testDirectory(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.TestReport], error) {
	return report(func(step func(ca.Step)) error { return s.Directories.Test(ctx, actor, ra.DirectoryID(in.ID), step) })
}

func (s *Server) testDirectorySettings(ctx context.Context, actor ra.Actor, in *body[resource.DirectoryTest]) (*body[resource.TestReport], error) {
	return report(func(step func(ca.Step)) error {
		return s.Directories.TestSettings(ctx, actor, ra.DirectoryID(in.Body.ID), ra.GroupID(in.Body.GroupID), in.Body.Settings, step)
	})
}

func (s *Server) orderSync(ctx context.Context, actor ra.Actor, in *posted[resource.SyncOrder]) (*body[resource.Sync], error) {
	run, err := s.Directories.Sync(ctx, actor, ra.DirectoryID(in.ID), directory.Order{Preview: in.Body.Preview, Full: in.Body.Full, Allow: in.Body.Allow})
	if err != nil {
		return nil, err
	}
	return &body[resource.Sync]{resource.OfSync(run)}, nil
}

type syncsOf struct {
	ByID
	resource.PageQuery
}

func (s *Server) listSyncs(ctx context.Context, actor ra.Actor, in *syncsOf) (*body[resource.Page[resource.Sync]], error) {
	list, next, err := s.Directories.Runs(ctx, actor, ra.DirectoryID(in.ID), pageOf(in.PageQuery))
	return listed(list, next, err, resource.OfSync)
}

func (s *Server) showSync(ctx context.Context, actor ra.Actor, in *ByID) (*body[resource.Sync], error) {
	run, err := s.Directories.Run(ctx, actor, ra.SyncID(in.ID))
	if err != nil {
		return nil, err
	}
	return &body[resource.Sync]{resource.OfSync(run)}, nil
}

func directoryInput(in resource.DirectoryInput) directory.Input {
	return directory.Input{GroupID: (*ra.GroupID)(in.GroupID), Name: in.Name, Description: in.Description, Settings: in.Settings, Disabled: in.Disabled}
}

func directoryUpdated(d *ra.Directory) time.Time { return d.UpdatedAt }
