package signin

import (
	"context"
	"slices"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// EnsureFirstOwner creates the administrator "admin" of a new installation: an
// owner without a password, who gets in by a link. It gives nil when there are
// administrators already.
func (s *Service) EnsureFirstOwner(ctx context.Context) (a *ra.Admin, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		a = nil
		n, err := tx.CountAdmins()
		if err != nil || n > 0 {
			return err
		}
		a = &ra.Admin{ID: ra.NewID[ra.AdminID](ra.AdminPrefix, tx.Now), Name: "admin", DisplayName: "First owner", Grants: []ra.Grant{{Role: ra.RoleOwner}}}
		if err := tx.CreateAdmin(a); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.AdminCreated, Actor: ra.System("start"), Object: string(a.ID), Message: "First owner " + a.Name + " created.",
			Details: map[string]any{"grants": a.Grants}})
	})
	if ra.KindOf(err) == ra.Conflict {
		return nil, nil // another server of the installation was faster
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// owner: an enabled administrator who may do everything everywhere.
func owner(a *ra.Admin) bool {
	return !a.Disabled && slices.Contains(a.Grants, ra.Grant{Role: ra.RoleOwner})
}

// checkOwnerLeft sees to it that an owner other than this one stays. The one
// it finds is locked until the end, so that two owners cannot remove each
// other in the same moment.
func checkOwnerLeft(tx *store.Tx, without ra.AdminID) error {
	f := store.AdminFilter{Page: store.Page{Limit: store.MaxPage}}
	for {
		page, next, err := tx.FindAdmins(f)
		if err != nil {
			return err
		}
		for _, a := range page {
			if a.ID == without || !owner(a) {
				continue
			}
			other, err := tx.Admin(a.ID)
			if err == nil && owner(other) {
				return nil
			}
			if err != nil && ra.KindOf(err) != ra.NotFound {
				return err
			}
		}
		if next == "" {
			return ra.Errorf(ra.Conflict, "This is the last owner who can sign in.").
				WithRemedy("Make somebody else an owner of the whole installation first.")
		}
		f.After = next
	}
}
