package directory

import (
	"context"

	"chancery/internal/dirpolicy"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Connect logs in to a directory, for those who read more of it than users. The
// caller closes the connection, and has asked whether anybody may. A directory
// that is switched off is a Conflict.
func (s *Service) Connect(ctx context.Context, id ra.DirectoryID) (*ldapdir.Conn, error) {
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
		return nil, ra.Errorf(ra.Conflict, "The directory %q is switched off.", d.Name).WithRemedy("Switch it on, or choose another one.")
	}
	o, err := s.options(v)
	if err != nil {
		return nil, err
	}
	return ldapdir.Open(ctx, o)
}
