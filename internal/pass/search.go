package pass

import (
	"context"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Search is Find for people, who also look for texts.
func (s *Service) Search(ctx context.Context, actor ra.Actor, f store.PassSearch) (list []*ra.Pass, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.SearchPasses(f)
		return err
	})
	return list, next, err
}

// RenewAsked is Renew on somebody's behalf: who may not ask for certificates in
// the group of this one learns nothing about it.
func (s *Service) RenewAsked(ctx context.Context, actor ra.Actor, id ra.CertificateID) (*ra.Pass, error) {
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		c, err := tx.Certificate(id)
		if err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.Request, c.GroupID)
	}); err != nil {
		return nil, err
	}
	return s.Renew(ctx, actor, id)
}
