package directory

import (
	"context"

	"chancery/internal/dirpolicy"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// keyPassword is the setting without which a directory takes no keys.
const keyPassword = "key_password"

// KeyPlace is where keys made here go in a directory, with a connection to it.
type KeyPlace struct {
	Conn      *ldapdir.Conn
	Attribute string
	Password  secret.Text // unset: the directory takes no keys, and only gives them back
}

// OpenForKeys logs in to a directory to write keys. The caller closes the
// connection, and has asked whether anybody may. A directory that is switched
// off is a Conflict.
func (s *Service) OpenForKeys(ctx context.Context, id ra.DirectoryID) (*KeyPlace, error) {
	var d *ra.Directory
	var v *dirpolicy.Settings
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if d, err = tx.Directory(id); err != nil {
			return err
		}
		v, err = s.settings(tx, d)
		return err
	}); err != nil {
		return nil, err
	}
	if d.Disabled {
		return nil, ra.Errorf(ra.Conflict, "The directory %q is switched off.", d.Name).WithRemedy("Switch it on: keys are waiting to be brought there.")
	}
	o, err := s.options(v)
	if err != nil {
		return nil, err
	}
	conn, err := ldapdir.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &KeyPlace{conn, v.KeyAttribute, v.KeyPassword}, nil
}

// TakesKeys reports whether a directory that is switched on, and whose users may
// be in a group, has a password for keys: one of the group itself, of a group
// above or of one below.
func TakesKeys(tx *store.Tx, group ra.GroupID) (bool, error) {
	g, err := tx.Group(group)
	if err != nil {
		return false, err
	}
	groups, err := tx.GroupsUnder(g.Path)
	if err != nil {
		return false, err
	}
	above, err := tx.Ancestors(group)
	if err != nil {
		return false, err
	}
	for _, a := range above {
		groups = append(groups, a.ID)
	}
	for page := (store.Page{Limit: store.MaxPage}); ; {
		list, next, err := tx.FindDirectories(store.DirectoryFilter{Groups: groups, Page: page})
		if err != nil {
			return false, err
		}
		for _, d := range list {
			boxes, err := tx.Sealed(string(d.ID))
			if err != nil {
				return false, err
			}
			if _, ok := boxes[keyPassword]; ok && !d.Disabled {
				return true, nil
			}
		}
		if page.After = next; next == "" {
			return false, nil
		}
	}
}

// keysWait refuses to give up a directory that keys wait for.
func keysWait(tx *store.Tx, d *ra.Directory) error {
	wait, err := tx.KeysWait(store.KeyReceiver{Directory: d.ID})
	if err == nil && wait {
		return ra.Errorf(ra.Conflict, "Keys wait to be brought to the directory %q, or to be taken out of it.", d.Name).
			WithRemedy("See what is in the way (chancery obligation list), revoke the certificates, or switch the directory off instead.")
	}
	return err
}
