// Package caimport takes over what an authority issued without this server: the
// certificates in its own records come into the inventory, with the user or
// device they are for where one is known, and from then on they are watched,
// revoked and, with a template that adopts them, renewed like those issued here.
//
// Somebody sets an import up for an authority whose connector is a ca.Lister
// (Set). A run (Import, or the schedule) reads the authority's records once, in
// the order of their numbers, and works in batches: what a batch found, the
// counts of the run and how far it has come are stored in one transaction, so
// that a run that was cut off goes on where it was and does nothing twice. The
// first run that goes through reads everything; the ones after it what changed.
//
// Nothing is left out in silence: what was read is known, added or skipped, and
// what is skipped has a reason. Where the records and ours do not agree there is
// a Difference, which stays until somebody has settled it.
//
// The records are those of another machine. A certificate counts only if one of
// the authority's own keys signed it; it is only ever given to users and devices
// of the import's group, and changes nothing about certificates outside of the
// authority's.
package caimport

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/job"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB          *store.DB
	Queue       *job.Queue
	Authorities *authority.Service
	Passes      *pass.Service
	Now         func() time.Time
	Log         *slog.Logger
	// Step, when set, is called with the label of a step just before it is taken.
	// Fault tests stop the process there.
	Step func(label string)
}

// Input is how an import is set up; nil fields stay as they are.
type Input struct {
	GroupID *ra.GroupID              // where a certificate goes that is of no known user or device
	Scope   *ra.ImportScope          // nil in a new one: ra.ImportCurrent
	Adopt   map[string]ra.TemplateID // by the authority's template
	Every   *time.Duration           // zero: only when somebody asks
	Seen    time.Time                // unless zero: the version a change is made for; any other is a Conflict
}

// The intervals at which changes may be taken over, and how many of the
// authority's templates may be adopted.
const (
	minEvery    = time.Hour
	maxEvery    = 30 * 24 * time.Hour
	maxAdopt    = 500
	maxTemplate = 200 // bytes of the name of an authority's template
)

// Get gives how an authority's certificates are taken over; NotFound when it was
// never set up.
func (s *Service) Get(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (i *ra.CAImport, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, a.GroupID); err != nil {
			return err
		}
		i, err = setup(tx, a)
		return err
	})
	return i, err
}

// setup loads how an authority's certificates are taken over.
func setup(tx *store.Tx, a *ra.Authority) (*ra.CAImport, error) {
	i, err := tx.CAImport(a.ID)
	if ra.KindOf(err) == ra.NotFound {
		return nil, ra.Errorf(ra.NotFound, "The import of the certificates of %q is not set up.", a.Name).WithRemedy("Set it up first: the organization group is all it needs.").WithCause(err)
	}
	return i, err
}

// visible reports with an error when the actor may not see what an authority
// issued to all: that is for those who see its own group.
func visible(tx *store.Tx, actor ra.Actor, id ra.AuthorityID) error {
	a, err := tx.Authority(id)
	if err != nil {
		return err
	}
	return access.CheckGroup(tx, actor, access.See, a.GroupID)
}

func editable(tx *store.Tx, actor ra.Actor, id ra.AuthorityID) (*ra.Authority, error) {
	a, err := tx.Authority(id)
	if err != nil {
		return nil, err
	}
	return a, access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID)
}

// Set sets the import of an authority's certificates up, or changes it. A change
// of what is taken over has the next run read everything again. Errors are Invalid
// with the field, Conflict for an authority whose records cannot be read and while
// a run is open, NotFound and Denied.
func (s *Service) Set(ctx context.Context, actor ra.Actor, id ra.AuthorityID, in Input) (*ra.CAImport, error) {
	if err := s.DB.Read(ctx, func(tx *store.Tx) error { // whoever may not do this learns nothing else
		_, err := editable(tx, actor, id)
		return err
	}); err != nil {
		return nil, err
	}
	o, err := s.Authorities.Reach(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := lister(o); err != nil {
		return nil, err
	}
	var i *ra.CAImport
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := editable(tx, actor, id)
		if err != nil {
			return err
		}
		if err := idle(tx, id); err != nil {
			return err
		}
		before := &ra.CAImport{Scope: ra.ImportCurrent}
		i, err = tx.CAImport(id)
		fresh := ra.KindOf(err) == ra.NotFound
		switch {
		case fresh:
			i = &ra.CAImport{Authority: id, Scope: ra.ImportCurrent, Adopt: map[string]ra.TemplateID{}}
		case err != nil:
			return err
		default:
			copied := *i
			before = &copied
		}
		if !in.Seen.IsZero() && !in.Seen.Equal(i.UpdatedAt) {
			return ra.Errorf(ra.Conflict, "Somebody else changed the import meanwhile.").WithRemedy("Look at it again and repeat the change.")
		}
		if err := accept(tx, actor, a, i, in); err != nil {
			return err
		}
		changes := differences(before, i)
		if i.GroupID != before.GroupID || i.Scope != before.Scope || !maps.Equal(i.Adopt, before.Adopt) {
			i.Since, i.Position, i.Begun = time.Time{}, 0, time.Time{}
		}
		if i.UpdatedBy = actor; i.Every != before.Every {
			i.Obligation = due(tx.Now, i, tx.Now)
		}
		store := tx.UpdateCAImport
		if fresh {
			store = tx.CreateCAImport
		}
		if err := store(i); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.ImportSet, Actor: actor, Group: a.GroupID, Object: string(id), Related: string(i.GroupID),
			Message: "The import of the certificates of " + a.Name + " was set up.", Details: map[string]any{"changes": changes}})
	})
	if err != nil {
		return nil, err
	}
	s.Queue.Kick()
	return i, nil
}

// lister gives the ability to read an authority's records.
func lister(o *authority.Open) (ca.Lister, error) {
	l, ok := o.Connector.(ca.Lister)
	if !ok {
		return nil, ra.Errorf(ra.Conflict, "The records of the authority %q cannot be read.", o.Authority.Name).WithRetry(ra.Never).
			WithRemedy("Only authorities that show what they issued have an import, such as a Microsoft CA over DCOM. If this one stands for such a CA, define that one, too.")
	}
	return l, nil
}

// idle is a Conflict while a run of an authority waits or runs.
func idle(tx *store.Tx, id ra.AuthorityID) error {
	open, err := tx.OpenCAImportRuns(id)
	if err == nil && len(open) > 0 {
		return ra.Errorf(ra.Conflict, "An import of this authority is under way.").WithRemedy("Wait until it has ended, or cancel it.")
	}
	return err
}

// due is the obligation to take over what changed, at an instant. There is none
// before a run that somebody ordered went through: people look first.
func due(now time.Time, i *ra.CAImport, at time.Time) ra.Obligation {
	if i.Every == 0 || i.EndedAt.IsZero() {
		return ra.Obligation{}
	}
	return ra.Obligation{Action: ra.ActionImport, At: at, Deadline: now.Add(patience(i))}
}

// patience is how long there may be no run that went through before people are
// told.
func patience(i *ra.CAImport) time.Duration { return max(3*i.Every, 24*time.Hour) }

// accept takes an input into an import and checks it.
func accept(tx *store.Tx, actor ra.Actor, a *ra.Authority, i *ra.CAImport, in Input) error {
	if in.GroupID != nil {
		i.GroupID = *in.GroupID
	}
	if in.Scope != nil {
		i.Scope = *in.Scope
	}
	if in.Adopt != nil {
		i.Adopt = in.Adopt
	}
	if in.Every != nil {
		i.Every = *in.Every
	}
	var p ra.Problems
	if i.Scope != ra.ImportCurrent && i.Scope != ra.ImportAll {
		p.Add("scope", "There is no such scope.", "Use current or all.")
	}
	if i.Every != 0 && (i.Every < minEvery || i.Every > maxEvery) {
		p.Add("every", "Changes are taken over every 1 hour to 30 days, or not by themselves.", "Choose an interval in that range, or 0.")
	}
	if i.GroupID == "" {
		p.Add("group_id", "A certificate that is of no known user or device needs an organization group.", "Name the group.")
		return p.Err()
	}
	group, err := reachable(tx, a, i.GroupID)
	if ra.KindOf(err) == ra.Invalid {
		p.Merge("", err)
		return p.Err()
	}
	if err != nil {
		return err
	}
	if err := access.CheckGroup(tx, actor, access.EditDevices, i.GroupID); err != nil {
		return err
	}
	if len(i.Adopt) > maxAdopt {
		p.Add("adopt", "More than 500 templates are adopted.", "Adopt those whose certificates shall be renewed here.")
		return p.Err()
	}
	for _, name := range slices.Sorted(maps.Keys(i.Adopt)) {
		if field := "adopt." + name; name == "" || len(name) > maxTemplate || clean(name, maxTemplate) != name {
			p.Add("adopt", "This is no name of a template of the authority.", "Give the name, not the display name, of 1 to 200 characters.")
		} else if _, err := adopting(tx, a, group, i.Adopt[name]); ra.KindOf(err) == ra.Invalid {
			p.Merge(field, err)
		} else if err != nil {
			return err
		}
	}
	return p.Err()
}

// reachable gives the group of an import: that of its authority, or one below.
func reachable(tx *store.Tx, a *ra.Authority, id ra.GroupID) (*ra.Group, error) {
	home, err := tx.Group(a.GroupID)
	if err != nil {
		return nil, err
	}
	g, err := tx.Group(id)
	if ra.KindOf(err) == ra.NotFound || err == nil && !strings.HasPrefix(g.Path, home.Path) {
		return nil, ra.Errorf(ra.Invalid, "The certificates of this authority go into its own organization group, or one below it.").WithField("group_id").
			WithRemedy("Choose %q or a group below it.", home.Name)
	}
	return g, err
}

// adopting gives a template that may renew what is taken over from an authority
// into a group.
func adopting(tx *store.Tx, a *ra.Authority, group *ra.Group, id ra.TemplateID) (*ra.Template, error) {
	t, err := tx.Template(id)
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return nil, err
	}
	if err != nil || t.AuthorityID != a.ID {
		return nil, ra.Errorf(ra.Invalid, "This is no template of the authority %q.", a.Name).WithRemedy("Choose a template whose certificates it issues.")
	}
	home, err := tx.Group(t.GroupID)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(group.Path, home.Path) {
		return nil, ra.Errorf(ra.Invalid, "The template %q is not for the organization group %q.", t.Name, group.Name).WithRemedy("Choose a template of that group or of one above it.")
	}
	if t.Spec.KeyPlace != ra.KeyOnDevice {
		return nil, ra.Errorf(ra.Invalid, "The keys of the template %q are not made on the device.", t.Name).
			WithRemedy("Choose a template for keys from the device: whoever holds the key of a certificate that was taken over renews it.")
	}
	return t, nil
}

// differences lists for the audit log what was changed.
func differences(before, after *ra.CAImport) audit.Changes {
	var out audit.Changes
	out.Add("group_id", before.GroupID, after.GroupID)
	out.Add("scope", before.Scope, after.Scope)
	if !maps.Equal(before.Adopt, after.Adopt) { // none and an empty one are the same
		out.Add("adopt", before.Adopt, after.Adopt)
	}
	out.Add("every", before.Every.String(), after.Every.String())
	return out
}

// Remove ends the import of an authority's certificates. What was taken over
// stays, with its runs and differences. Errors are those of Set.
func (s *Service) Remove(ctx context.Context, actor ra.Actor, id ra.AuthorityID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := editable(tx, actor, id)
		if err != nil {
			return err
		}
		if err := idle(tx, id); err != nil {
			return err
		}
		if err := tx.DeleteCAImport(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.ImportRemoved, Actor: actor, Group: a.GroupID, Object: string(id), Message: "The certificates of " + a.Name + " are not taken over any more."})
	})
}

// From tells where a certificate was taken over from; NotFound when it was
// issued through this server.
func (s *Service) From(ctx context.Context, actor ra.Actor, id ra.CertificateID) (f *ra.ImportedFrom, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		c, err := tx.Certificate(id)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, c.GroupID); err != nil {
			return err
		}
		f, err = tx.ImportedFrom(id)
		return err
	})
	return f, err
}
