// Package signin knows who is asking: administrators with their passwords,
// passkeys and one-time links, programs with API tokens, and the sessions of
// the console. What comes in is something to prove an identity with; what goes
// out is an ra.Actor with its grants as they are at this moment.
//
// Nothing that opens a door is stored: passwords as argon2id, tokens, links and
// session cookies as hashes. A failed attempt costs the same whether the name
// exists or not, and repeated failures are slowed down, never locked out: a
// stranger must not be able to lock an administrator out of their own server.
//
// Nobody gives away more than they have: whoever creates or changes an
// administrator or a token needs every permission of every role in it, there
// where the role holds, and the permission to edit administrators there. The
// last owner of the installation stays.
package signin

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/observe"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB        *store.DB
	Now       func() time.Time
	Log       *slog.Logger
	Observer  *observe.Observer // nil: nobody watches
	PublicURL string            // where browsers reach the console: passkeys and cookies depend on it

	cost     cost // of passwords; zero: the default
	throttle throttle
	slots    chan struct{} // who may compute a password hash now
	once     sync.Once
}

// manage reports with a Denied error when the actor lacks anything these
// grants would give. Nothing granted takes the right in the whole installation.
func manage(tx *store.Tx, actor ra.Actor, grants []ra.Grant) error {
	if len(grants) == 0 {
		return access.Check(actor, access.EditAdmins, "")
	}
	resolved, err := access.Resolve(tx, grants)
	if err != nil {
		return err
	}
	for _, g := range resolved {
		// A group that is gone has no path: that is for the whole installation.
		for _, p := range append([]access.Permission{access.EditAdmins}, access.Permissions(g.Role)...) {
			if err := access.Check(actor, p, g.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxGrants is how many grants one administrator or token may have.
const maxGrants = 100

// checkGrants looks at grants that somebody wants to give: known roles, groups
// the actor may see, and nothing the actor lacks.
func checkGrants(tx *store.Tx, actor ra.Actor, grants []ra.Grant) error {
	if len(grants) > maxGrants {
		return ra.Errorf(ra.Invalid, "There are more than %d grants.", maxGrants).WithField("grants").WithRemedy("Grant the role in a group further up.")
	}
	for i, g := range grants {
		if !slices.Contains(ra.Roles, g.Role) {
			return ra.Errorf(ra.Invalid, "%.40q is not a role.", g.Role).WithField("grants").
				WithRemedy("Use one of owner, manager, operator, approver, auditor, viewer.")
		}
		if slices.Contains(grants[:i], ra.Grant{Role: g.Role, Group: g.Group}) {
			return ra.Errorf(ra.Invalid, "The role %s is granted twice in the same place.", g.Role).WithField("grants").WithRemedy("Leave one of the two out.")
		}
		if g.Group == "" {
			continue
		}
		if err := access.CheckGroup(tx, actor, access.See, g.Group); err != nil {
			return err
		}
	}
	if err := manage(tx, actor, grants); err != nil {
		if ra.KindOf(err) != ra.Denied {
			return err
		}
		return ra.Errorf(ra.Denied, "%s cannot give rights they do not have there.", actor.Name).WithField("grants").
			WithRemedy("Grant less, or ask an owner of the whole installation.").WithCause(err)
	}
	return nil
}

// bare gives grants without what was worked out for the moment.
func bare(grants []ra.Grant) []ra.Grant {
	out := make([]ra.Grant, len(grants))
	for i, g := range grants {
		out[i] = ra.Grant{Role: g.Role, Group: g.Group}
	}
	return out
}

// managed gives one page of what the actor may manage. Every round asks for as
// many rows as are missing, so that the last cursor is that of the page.
func managed[T any](tx *store.Tx, actor ra.Actor, p store.Page, find func(store.Page) ([]T, string, error), grants func(T) []ra.Grant) (list []T, next string, err error) {
	if access.Check(actor, access.EditAdmins, "") == nil {
		return find(p)
	}
	if !access.May(actor, access.EditAdmins) {
		return nil, "", access.Check(actor, access.EditAdmins, "")
	}
	limit := p.Limit
	if limit <= 0 || limit > store.MaxPage {
		limit = 50
	}
	for {
		p.Limit = limit - len(list)
		page, next, err := find(p)
		if err != nil {
			return nil, "", err
		}
		for _, one := range page {
			switch err := manage(tx, actor, grants(one)); {
			case err == nil:
				list = append(list, one)
			case ra.KindOf(err) != ra.Denied:
				return nil, "", err
			}
		}
		if next == "" || len(list) == limit {
			return list, next, nil
		}
		p.After = next
	}
}

// ActorFor gives the actor behind a signed-in administrator with the grants of
// this moment. One who was deleted or disabled meanwhile is Unsigned.
func (s *Service) ActorFor(ctx context.Context, id ra.AdminID, remote string) (ra.Actor, error) {
	actor, _, err := s.actorFor(ctx, id, remote)
	return actor, err
}

// actorFor also gives the stamp that a session of this moment has.
func (s *Service) actorFor(ctx context.Context, id ra.AdminID, remote string) (actor ra.Actor, now string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := tx.Admin(id)
		if ra.KindOf(err) == ra.NotFound || (err == nil && a.Disabled) {
			return unsigned()
		}
		if err != nil {
			return err
		}
		actor = adminActor(a, remote)
		if actor.Grants, err = access.Resolve(tx, a.Grants); err != nil {
			return err
		}
		now, err = stamp(tx, a)
		return err
	})
	if err != nil {
		return ra.Actor{}, "", err
	}
	return actor, now, nil
}

// adminActor is an administrator at the console, without grants.
func adminActor(a *ra.Admin, remote string) ra.Actor {
	return ra.Actor{Kind: ra.ActorAdmin, ID: string(a.ID), Name: a.Name, Via: "console", Remote: remote}
}

func unsigned() *ra.Error {
	return ra.Errorf(ra.Unsigned, "You are not signed in.").WithRemedy("Sign in, then try again.")
}

// entered records that somebody signed in, and how; key is nil when it was not
// with a passkey.
func (s *Service) entered(tx *store.Tx, a *ra.Admin, remote, method string, key *ra.Passkey) error {
	how := map[string]any{"method": method}
	if key != nil {
		how["passkey"] = key.Name
	}
	s.Observer.SignIn(method, "ok")
	return audit.Record(tx, audit.Entry{Code: audit.AdminSignedIn, Actor: adminActor(a, remote), Object: string(a.ID), Message: a.Name + " signed in.", Details: how})
}

// turnedAway records that somebody did not get in. a is nil when the name is
// not known; what was typed is not recorded, it may be a password.
func (s *Service) turnedAway(tx *store.Tx, a *ra.Admin, remote, method, why string) error {
	s.Observer.SignIn(method, "refused")
	e := audit.Entry{Code: audit.AdminSignInRefused, Actor: ra.Actor{Kind: ra.ActorAdmin, Name: "unknown", Via: "console", Remote: remote}, Result: "refused",
		Message: "A sign-in was refused.", Details: map[string]any{"method": method, "why": why}}
	if a != nil {
		e.Actor, e.Object = adminActor(a, remote), string(a.ID)
		e.Message = "A sign-in as " + a.Name + " was refused."
	}
	return audit.Record(tx, e)
}
