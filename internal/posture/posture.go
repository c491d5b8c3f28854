// Package posture keeps watch over authorities whose templates and rights can be
// dangerous: it joins what the authority tells of itself, what its directory says
// (package adpki) and what its web pages offer, has it judged (package adpki/guard)
// and remembers the verdict.
//
// An authority is looked at daily, after each change of its settings, with each
// test of its connection, and when somebody asks. What could not be read is in the
// report with its reason. A danger becomes a row that waits for people: they mend
// it, or sign it off by name. While one is open, the template it is about is not
// taken into use anew (Admit); what uses it already goes on issuing, and the row
// says so. A sign-off holds for what was judged; it lapses when that changes. A
// danger ends when a look has seen that it is gone, not when a look could not see.
//
// An enrollment agent whose certificate ends soon is a danger, too, and an authority
// whose certificates the domain does not take for logons is worth a warning.
//
// Nothing is changed anywhere: what mends a danger is a script for an administrator
// to read and run. No login is sent to web pages.
package posture

import (
	"context"
	"log/slog"
	"net"
	"time"

	"chancery/internal/access"
	"chancery/internal/authority"
	"chancery/internal/directory"
	"chancery/internal/egress"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB          *store.DB
	Authorities *authority.Service
	Directories *directory.Service
	Queue       *job.Queue
	Now         func() time.Time
	Log         *slog.Logger
	// Dial connects to the web pages of authorities; nil: nothing may be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// View is what is known of one authority.
type View struct {
	Authority *ra.Authority
	Directory *ra.Directory // where templates are read; nil: none is set, or it is gone
	Posture   *ra.Posture   // never looked at: without a time
	Dangers   []*ra.Danger  // those that are there, signed off or not
}

// Danger gives the danger of a finding; nil when it is none.
func (v *View) Danger(key string) *ra.Danger {
	for _, d := range v.Dangers {
		if d.Finding.Key == key {
			return d
		}
	}
	return nil
}

// Open counts the dangers that nobody has signed off.
func (v *View) Open() int {
	n := 0
	for _, d := range v.Dangers {
		if d.Open() {
			n++
		}
	}
	return n
}

// Get gives what is known of an authority. One that nothing guards is Invalid.
func (s *Service) Get(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (*View, error) {
	o, err := s.guarded(ctx, actor, access.See, id)
	if err != nil {
		return nil, err
	}
	v := &View{Authority: o.Authority, Posture: &ra.Posture{ID: id}}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if p, err := tx.Posture(id); err == nil {
			v.Posture = p
		} else if ra.KindOf(err) != ra.NotFound {
			return err
		}
		if v.Dangers, err = tx.Dangers(id); err != nil || o.Guard.Directory == "" {
			return err
		}
		if v.Directory, err = tx.Directory(o.Guard.Directory); ra.KindOf(err) == ra.NotFound {
			v.Directory, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Guarded reports whether an authority is of a sort that is watched.
func (s *Service) Guarded(ctx context.Context, id ra.AuthorityID) bool {
	o, err := s.Authorities.Reach(ctx, id)
	return err == nil && o.Guard != nil
}

// guarded opens an authority for somebody who may do something with it.
func (s *Service) guarded(ctx context.Context, actor ra.Actor, p access.Permission, id ra.AuthorityID) (*authority.Open, error) {
	a, err := s.Authorities.Get(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	if err := s.DB.Read(ctx, func(tx *store.Tx) error { return access.CheckGroup(tx, actor, p, a.GroupID) }); err != nil {
		return nil, err
	}
	o, err := s.Authorities.Reach(ctx, id)
	if err == nil && o.Guard == nil {
		return nil, ra.Errorf(ra.Invalid, "The authority %q has no templates and rights that could be dangerous.", a.Name).
			WithRemedy("Ask for one of the kind Microsoft AD CS.")
	}
	return o, err
}

func (s *Service) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.Dial == nil {
		return egress.Policy{}.Dial(ctx, network, address) // nobody said where it may go
	}
	return s.Dial(ctx, network, address)
}
