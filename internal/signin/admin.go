package signin

import (
	"context"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// AdminInput is what somebody says about an administrator. In an update nil
// fields stay as they are. A Password that is not set takes the password away.
type AdminInput struct {
	Name        *string
	DisplayName *string
	Email       *string
	Password    *secret.Text
	Disabled    *bool
	Grants      *[]ra.Grant
}

// CreateAdmin adds an administrator. A taken sign-in name is a Conflict, and
// grants beyond those of the actor are Denied.
func (s *Service) CreateAdmin(ctx context.Context, actor ra.Actor, in AdminInput) (*ra.Admin, error) {
	if err := mayEdit(actor); err != nil {
		return nil, err
	}
	var a *ra.Admin
	hash, err := s.hashInput(ctx, in, "")
	if err != nil {
		return nil, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		a = &ra.Admin{ID: ra.NewID[ra.AdminID](ra.AdminPrefix, tx.Now), Grants: []ra.Grant{}, PasswordHash: hash}
		if err := applyAdmin(a, in); err != nil {
			return err
		}
		if err := checkGrants(tx, actor, a.Grants); err != nil {
			return err
		}
		if err := tx.CreateAdmin(a); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AdminCreated, Actor: actor, Object: string(a.ID), Message: "Administrator " + a.Name + " created.",
			Details: map[string]any{"grants": a.Grants}})
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// UpdateAdmin changes an administrator. Administrators may change their own
// display name and mail address; the rest takes the right to manage them. The
// last enabled owner cannot be disabled or demoted: Conflict. Whoever is given a
// password, or none, is signed out everywhere; unused links end with every change
// but that of the display name.
func (s *Service) UpdateAdmin(ctx context.Context, actor ra.Actor, id ra.AdminID, in AdminInput) (*ra.Admin, error) {
	old, err := s.Admin(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	hash, err := s.hashInput(ctx, in, old.Name)
	if err != nil {
		return nil, err
	}
	var a *ra.Admin
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if a, err = load(tx, actor, id); err != nil {
			return err
		}
		before := *a
		if in.Name != nil || in.Password != nil || in.Disabled != nil || in.Grants != nil {
			if err := manage(tx, actor, a.Grants); err != nil {
				return err
			}
		}
		if in.Password != nil {
			a.PasswordHash = hash
		}
		if err := applyAdmin(a, in); err != nil {
			return err
		}
		if in.Grants != nil {
			if err := checkGrants(tx, actor, a.Grants); err != nil {
				return err
			}
		}
		if owner(&before) && !owner(a) {
			if err := checkOwnerLeft(tx, id); err != nil {
				return err
			}
		}
		changes := adminChanges(&before, a)
		if in.Password != nil || before.Disabled != a.Disabled {
			err = signOut(tx, id)
		} else if before.Name != a.Name || before.Email != a.Email || !slices.Equal(before.Grants, a.Grants) {
			err = dropLinks(tx, id)
		}
		if err != nil || len(changes) == 0 && in.Password == nil {
			return err
		}
		if err := tx.UpdateAdmin(a); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AdminChanged, Actor: actor, Object: string(a.ID), Message: "Administrator " + a.Name + " changed.",
			Details: map[string]any{"changes": changes}})
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// DeleteAdmin deletes an administrator and their passkeys. The last enabled
// owner cannot be deleted: Conflict.
func (s *Service) DeleteAdmin(ctx context.Context, actor ra.Actor, id ra.AdminID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := load(tx, actor, id)
		if err != nil {
			return err
		}
		if err := manage(tx, actor, a.Grants); err != nil {
			return err
		}
		if owner(a) {
			if err := checkOwnerLeft(tx, id); err != nil {
				return err
			}
		}
		if err := tx.DeleteAdmin(id); err != nil {
			return err
		}
		if err := dropLinks(tx, id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AdminDeleted, Actor: actor, Object: string(id), Message: "Administrator " + a.Name + " deleted."})
	})
}

// Admin gives one administrator: oneself, or one the actor may manage. Others
// are NotFound.
func (s *Service) Admin(ctx context.Context, actor ra.Actor, id ra.AdminID) (a *ra.Admin, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err = load(tx, actor, id)
		return err
	})
	return a, err
}

// FindAdmins lists the administrators the actor may manage.
func (s *Service) FindAdmins(ctx context.Context, actor ra.Actor, f store.AdminFilter) (list []*ra.Admin, next string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list, next, err = managed(tx, actor, f.Page, func(p store.Page) ([]*ra.Admin, string, error) {
			f.Page = p
			return tx.FindAdmins(f)
		}, func(a *ra.Admin) []ra.Grant { return a.Grants })
		return err
	})
	return list, next, err
}

// mayEdit is the first question to whoever wants to manage anybody.
func mayEdit(actor ra.Actor) error {
	if access.May(actor, access.EditAdmins) {
		return nil
	}
	return access.Check(actor, access.EditAdmins, "")
}

// load gives an administrator to whoever may look at them.
func load(tx *store.Tx, actor ra.Actor, id ra.AdminID) (*ra.Admin, error) {
	if self(actor, id) {
		return tx.Admin(id)
	}
	if err := mayEdit(actor); err != nil {
		return nil, err
	}
	a, err := tx.Admin(id)
	if err != nil {
		return nil, err
	}
	if err := manage(tx, actor, a.Grants); err != nil {
		if ra.KindOf(err) != ra.Denied {
			return nil, err
		}
		return nil, ra.Errorf(ra.NotFound, "There is no such administrator.").WithRemedy("Check the ID; it may lie outside your organization groups.").WithCause(err)
	}
	return a, nil
}

func self(actor ra.Actor, id ra.AdminID) bool {
	return actor.Kind == ra.ActorAdmin && actor.ID == string(id)
}

// hashInput checks and hashes the password of an input, outside of any
// transaction because it takes its time.
func (s *Service) hashInput(ctx context.Context, in AdminInput, name string) (string, error) {
	if in.Password == nil || !in.Password.IsSet() {
		return "", nil
	}
	if in.Name != nil {
		name = *in.Name
	}
	return s.hash(ctx, *in.Password, name)
}

func applyAdmin(a *ra.Admin, in AdminInput) error {
	for _, t := range []struct{ to, from *string }{{&a.Name, in.Name}, {&a.DisplayName, in.DisplayName}, {&a.Email, in.Email}} {
		if t.from != nil {
			*t.to = strings.TrimSpace(*t.from)
		}
	}
	if in.Disabled != nil {
		a.Disabled = *in.Disabled
	}
	if in.Grants != nil {
		a.Grants = bare(*in.Grants)
	}
	var p ra.Problems
	if !writable(a.Name) || a.Name == "" {
		p.Add("name", "A sign-in name has 1 to 200 characters.", "Use letters, digits and punctuation, such as a mail address.")
	}
	if !writable(a.DisplayName) {
		p.Add("display_name", "This is longer than 200 characters or holds a control character.", "Shorten it.")
	}
	if a.Email != "" {
		if at, err := mail.ParseAddress(a.Email); err != nil || at.Address != a.Email || !writable(a.Email) {
			p.Add("email", "This is not a mail address.", "Write it as name@example.com, or leave it empty.")
		}
	}
	return p.Err()
}

// writable: short enough, and nothing in it that cannot be shown in one line.
func writable(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= 200 && !strings.ContainsFunc(s, unicode.IsControl)
}

func adminChanges(before, after *ra.Admin) audit.Changes {
	var out audit.Changes
	out.Add("name", before.Name, after.Name)
	out.Add("display_name", before.DisplayName, after.DisplayName)
	out.Add("email", before.Email, after.Email)
	out.Add("disabled", before.Disabled, after.Disabled)
	if !slices.Equal(before.Grants, after.Grants) {
		out.Add("grants", before.Grants, after.Grants)
	}
	if before.PasswordHash != after.PasswordHash {
		out = append(out, audit.Change{Field: "password", Before: presence(before.PasswordHash), After: presence(after.PasswordHash)})
	}
	return out
}

func presence(hash string) string {
	if hash == "" {
		return secret.Unset
	}
	return secret.Mask
}
