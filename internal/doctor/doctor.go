// Package doctor looks for what makes an installation fail sooner or later:
// the database and the room it has, the master key, the record of who did
// what, revocation lists and signing certificates near their end, authorities
// that do not answer, promises that are late, addresses that are weak on
// purpose, a clock that is wrong. Every finding says what to do about it.
//
// There are two depths. Glance tells what is known here: nothing leaves the
// server and nothing is written, so pages may ask at every visit. Examine also
// asks every authority and walks the whole audit log. Neither repairs
// anything. A check that cannot be made is itself a finding, and what is
// behind an internal error stays in the log, under the reference that the
// finding shows.
package doctor

import (
	"context"
	"log/slog"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB          *store.DB
	Authorities *authority.Service
	Enroll      *enroll.Service
	Lifecycle   *lifecycle.Service
	Audit       audit.Log
	Now         func() time.Time
	Log         *slog.Logger
	MasterKey   string // path of the master key file
	Data        string // path of the data folder
	// Also, unless nil, gives what a running server found out about itself.
	Also func(context.Context) []Finding
}

// Finding is what one check found. Several findings may have one name.
type Finding struct {
	Name   string // what was looked at
	State  ca.StepState
	Detail string
	Remedy string // empty when there is nothing to do
	Object string // ID of what it is about; may be empty
}

// Obligations is the name of the finding about what is late; the list of it
// has a page of its own.
const Obligations = "obligations"

// Glance tells what is known without asking anybody: of the installation for
// whoever may edit all its authorities, and otherwise of what the actor may
// see. It fails with Denied for an actor who may see nothing, and with the
// context's error when that ends.
func (s *Service) Glance(ctx context.Context, actor ra.Actor) ([]Finding, error) {
	if !access.May(actor, access.See) {
		return nil, access.Check(actor, access.See, "")
	}
	x := &examination{Service: s, ctx: ctx, actor: actor}
	return x.all(access.Check(actor, access.EditAuthorities, "") == nil)
}

// Authority tells of one authority what Glance does. The caller has checked
// that the actor may see it.
func (s *Service) Authority(ctx context.Context, actor ra.Actor, a *ra.Authority) Finding {
	x := &examination{Service: s, ctx: ctx, actor: actor}
	return x.authority(a)
}

// Examine is Glance with the test of every authority and of the audit log. The
// actor must be allowed to edit the authorities of the whole installation.
func (s *Service) Examine(ctx context.Context, actor ra.Actor) ([]Finding, error) {
	if err := access.Check(actor, access.EditAuthorities, ""); err != nil {
		return nil, err
	}
	x := &examination{Service: s, ctx: ctx, actor: actor, thorough: true}
	return x.all(true)
}

// examination gathers what the checks of one call find. It is for one
// goroutine.
type examination struct {
	*Service
	ctx      context.Context // of the one call that the checks are made in
	actor    ra.Actor
	thorough bool
	found    []Finding
}

// all makes the checks. Without a database there is little else to look at.
func (x *examination) all(installation bool) ([]Finding, error) {
	answers := x.database()
	if installation {
		x.masterKey()
		x.diskSpace()
	}
	if answers {
		if x.thorough {
			x.damage()
			x.auditLog()
		}
		x.restored()
		if !installation || !x.also() {
			x.clock()
		}
		x.authorities()
		x.endpoints()
		x.obligations()
	}
	if err := x.ctx.Err(); err != nil {
		return nil, err
	}
	return x.found, nil
}

func (x *examination) add(f Finding) { x.found = append(x.found, f) }

func (x *examination) say(name string, state ca.StepState, detail, remedy string) {
	x.add(Finding{Name: name, State: state, Detail: detail, Remedy: remedy})
}

// broken adds the finding about a check that could not be made.
func (x *examination) broken(name, object string, err error) {
	if x.ctx.Err() == nil {
		x.add(x.failure(name, object, err))
	}
}

// failure is the finding about a check that could not be made. The cause of an
// internal error is in the log only.
func (s *Service) failure(name, object string, err error) Finding {
	e := ra.AsError(err)
	f := Finding{Name: name, State: ca.StepFailed, Detail: e.Message, Remedy: e.Remedy, Object: object}
	if e.Kind == ra.Internal {
		reference := ra.NewID[string]("err", s.Now())
		s.Log.Error("the doctor could not look", "reference", reference, "check", name, "error", err)
		f.Detail, f.Remedy = "This could not be looked at (reference "+reference+").", "Look up the reference in the server's log."
	}
	return f
}

// every reads a list to its end.
func every[T any](find func(store.Page) ([]T, string, error)) ([]T, error) {
	var all []T
	page := store.Page{Limit: store.MaxPage}
	for {
		list, next, err := find(page)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if next == "" {
			return all, nil
		}
		page.After = next
	}
}
