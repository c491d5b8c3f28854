package authority

import (
	"context"
	"slices"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// checkHost reports with a Denied error when settings name something of this
// machine (ca.Hosted) that the old ones, nil for none, do not, and the actor is
// not trusted with the whole installation. Otherwise the owner of one group
// could sign with a key file of another, or have a library of their choice
// loaded.
func checkHost(actor ra.Actor, old, next ca.Settings) error {
	h, ok := next.(ca.Hosted)
	if !ok {
		return nil
	}
	var known []string
	if o, ok := old.(ca.Hosted); ok {
		known = o.HostParts()
	}
	for _, part := range h.HostParts() {
		if slices.Contains(known, part) {
			continue
		}
		if err := access.Check(actor, access.EditAuthorities, ""); err != nil {
			return ra.Errorf(ra.Denied, "%s may not name keys of this machine.", actor.Name).WithField("settings").
				WithRemedy("Leave the key sealed in the database, or ask an owner of the whole installation to set the address of the key.").WithCause(err)
		}
	}
	return nil
}

// checkDeputy wants whoever names an authority to revoke in another's place to be
// allowed to edit that one too: it is told to revoke with its own credentials.
func (s *Service) checkDeputy(ctx context.Context, actor ra.Actor, old, next ca.Settings) error {
	d, ok := next.(ca.Deputed)
	if !ok || d.RevokesThrough() == "" {
		return nil
	}
	if o, ok := old.(ca.Deputed); ok && o.RevokesThrough() == d.RevokesThrough() {
		return nil
	}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		_, err := s.editable(tx, actor, d.RevokesThrough())
		return err
	})
	if k := ra.KindOf(err); k == ra.NotFound || k == ra.Denied {
		return ra.Errorf(ra.Invalid, "There is no authority %.60q that may be told to revoke.", d.RevokesThrough()).WithField("settings.revoke_through").
			WithRemedy("Give the ID of an authority that you may edit and that reaches the same CA, or leave it empty.").WithCause(err)
	}
	return err
}

// checkDirectory wants whoever names a directory to be allowed to edit that one
// too: it is read with its own credentials.
func (s *Service) checkDirectory(ctx context.Context, actor ra.Actor, old, next ca.Settings) error {
	g, ok := next.(ca.Guarded)
	if !ok || g.Guard().Directory == "" {
		return nil
	}
	if o, ok := old.(ca.Guarded); ok && o.Guard().Directory == g.Guard().Directory {
		return nil
	}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		d, err := tx.Directory(g.Guard().Directory)
		if err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.EditAuthorities, d.GroupID)
	})
	if k := ra.KindOf(err); k == ra.NotFound || k == ra.Denied {
		return ra.Errorf(ra.Invalid, "There is no directory %.60q that may be read for this.", g.Guard().Directory).WithField("settings.directory").
			WithRemedy("Give the ID of a directory that you may edit, or leave it empty.").WithCause(err)
	}
	return err
}
