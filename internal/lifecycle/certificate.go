package lifecycle

import (
	"context"

	"chancery/internal/access"
	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Certificate gives one certificate.
func (s *Service) Certificate(ctx context.Context, actor ra.Actor, id ra.CertificateID) (c *ra.Certificate, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if c, err = tx.Certificate(id); err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.See, c.GroupID)
	})
	return c, err
}

// FindCertificates lists the certificates the actor may see.
func (s *Service) FindCertificates(ctx context.Context, actor ra.Actor, f store.CertificateFilter) (list []*ra.Certificate, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindCertificates(f)
		return err
	})
	return list, next, err
}

// CountCertificates counts what a filter finds among them, by state.
func (s *Service) CountCertificates(ctx context.Context, actor ra.Actor, f store.CertificateFilter) (counts []store.Count, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		counts, err = tx.CountCertificates(f)
		return err
	})
	return counts, err
}

// FindObligations lists what waits, among what the actor may see.
func (s *Service) FindObligations(ctx context.Context, actor ra.Actor, f store.ObligationFilter) (list []ra.ObligationRow, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindObligations(f)
		return err
	})
	return list, next, err
}

// Calendar counts, per authority and day of the coming days, the certificates
// that end then.
func (s *Service) Calendar(ctx context.Context, actor ra.Actor, days int) (buckets []store.ExpiryBucket, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		groups, err := access.Scope(tx, actor, access.See)
		if err != nil {
			return err
		}
		buckets, err = tx.ExpiryCalendar(groups, days)
		return err
	})
	return buckets, err
}

// Chain gives DER of a certificate and of those above it, as far as known.
func (s *Service) Chain(ctx context.Context, c *ra.Certificate) (chain [][]byte, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		issuers, err := tx.Issuers(c.AuthorityID)
		if err != nil {
			return err
		}
		certs, err := authority.ParseChain(c.DER, issuers)
		for _, x := range certs {
			chain = append(chain, x.Raw)
		}
		return err
	})
	return chain, err
}
