package signin

import (
	"context"
	"errors"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// SignIn checks a name and a password and gives the administrator. Whatever
// does not fit is the same Unsigned, at the same cost; too many failures by
// name or from one remote address are Busy with the time to wait in Retry.
func (s *Service) SignIn(ctx context.Context, name string, password secret.Text, remote string) (*ra.Admin, error) {
	keys := []key{byName(name), byRemote(remote)}
	if err := s.throttle.admit(s.Now(), keys...); err != nil {
		return nil, err
	}
	known, err := s.byName(ctx, name)
	if err != nil {
		return nil, err
	}
	stored := ""
	if known != nil && !known.Disabled {
		stored = known.PasswordHash
	}
	right, err := s.verify(ctx, stored, password)
	if err != nil {
		return nil, err
	}
	fresh := ""
	if right && s.outdated(stored) {
		if fresh, err = s.renew(ctx, password); err != nil {
			return nil, err
		}
	}
	var in *ra.Admin
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		in = nil
		if known == nil || !right {
			return s.turnedAway(tx, known, remote, "password", "wrong name or password")
		}
		// Somebody may have changed or disabled the administrator meanwhile.
		a, err := tx.Admin(known.ID)
		if ra.KindOf(err) == ra.NotFound || (err == nil && (a.Disabled || a.PasswordHash != stored)) {
			return s.turnedAway(tx, known, remote, "password", "changed meanwhile")
		}
		if err != nil {
			return err
		}
		if fresh != "" {
			a.PasswordHash = fresh
			if err := tx.UpdateAdmin(a); err != nil {
				return err
			}
		}
		in = a
		return s.entered(tx, a, remote, "password", nil)
	})
	if err != nil {
		return nil, err
	}
	if in == nil {
		return nil, ra.Errorf(ra.Unsigned, "The name or the password is wrong.").
			WithRemedy("Try again, sign in with a passkey, or ask an owner for a sign-in link.")
	}
	s.throttle.forgive(keys[0], keys[1])
	return in, nil
}

// byName gives an administrator, nil when there is none. A name that cannot be
// stored belongs to nobody.
func (s *Service) byName(ctx context.Context, name string) (a *ra.Admin, err error) {
	if !writable(name) {
		return nil, nil
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err = tx.AdminByName(name)
		return err
	})
	if ra.KindOf(err) == ra.NotFound {
		return nil, nil
	}
	return a, err
}

// renew hashes a password at today's cost.
func (s *Service) renew(ctx context.Context, password secret.Text) (string, error) {
	done, err := s.slot(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	return hashWith(s.passwordCost(), password), nil
}

// ChangePassword gives the acting administrator another password. The present
// one has to be named, if there is one; a wrong one is Denied and slowed down
// like a sign-in. Other sessions and unused links of the administrator end.
func (s *Service) ChangePassword(ctx context.Context, actor ra.Actor, present, next secret.Text) (*ra.Admin, error) {
	if actor.Kind != ra.ActorAdmin {
		return nil, ra.Errorf(ra.Denied, "Only a signed-in administrator has a password to change.").WithRemedy("Sign in to the console.")
	}
	id := ra.AdminID(actor.ID)
	old, err := s.Admin(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	hash, err := s.hash(ctx, next, old.Name)
	if err != nil {
		return nil, err
	}
	if old.PasswordHash != "" {
		if err := s.confirm(ctx, old, present, actor.Remote); err != nil {
			return nil, err
		}
	}
	var a *ra.Admin
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if a, err = tx.Admin(id); err != nil {
			return err
		}
		if a.PasswordHash != old.PasswordHash {
			return ra.Errorf(ra.Conflict, "The password was changed meanwhile.").WithRemedy("Sign in again.")
		}
		before := *a
		a.PasswordHash = hash
		if err := errors.Join(tx.UpdateAdmin(a), signOut(tx, id)); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AdminChanged, Actor: actor, Object: string(id), Message: a.Name + " changed their password.",
			Details: map[string]any{"changes": adminChanges(&before, a)}})
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// confirm asks for the present password of somebody who is signed in.
func (s *Service) confirm(ctx context.Context, a *ra.Admin, password secret.Text, remote string) error {
	name, from := byName("confirm "+string(a.ID)), byRemote(remote)
	if err := s.throttle.admit(s.Now(), name, from); err != nil {
		return err
	}
	right, err := s.verify(ctx, a.PasswordHash, password)
	if err != nil {
		return err
	}
	if !right {
		return ra.Errorf(ra.Denied, "The present password is wrong.").WithField("present").WithRemedy("Type the password you sign in with now.")
	}
	s.throttle.forgive(name, from)
	return nil
}
