package caimport

import (
	"cmp"
	"slices"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// replaced notes which of the certificates in use were obviously replaced: a newer
// one for the same names, owner and template of the authority's was taken over.
// Nobody is told of the end of the older one, and it is not revoked by that.
func (b *storing) replaced() error {
	var like []*ra.Certificate
	for _, a := range b.added {
		if a.Certificate.State == ra.Valid {
			like = append(like, a.Certificate)
		}
	}
	if len(like) == 0 {
		return nil
	}
	found, err := b.tx.ImportedLike(b.authority.ID, like)
	if err != nil {
		return err
	}
	alike := map[[6]string][]*store.Likeness{}
	for _, l := range found {
		key := [6]string{l.Subject, l.SANs, l.Template, string(l.DeviceID), string(l.UserID)}
		if l.Subject == "" {
			key[5] = l.Requester
		}
		alike[key] = append(alike[key], l)
	}
	for _, list := range alike {
		slices.SortFunc(list, func(a, c *store.Likeness) int {
			return cmp.Or(cmp.Compare(a.NotBefore, c.NotBefore), cmp.Compare(a.Number, c.Number), cmp.Compare(a.ID, c.ID))
		})
		for i, older := range list[:len(list)-1] {
			if older.State != ra.Valid || older.RenewedBy != "" {
				continue
			}
			if err := b.retire(older.ID, list[i+1].ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// retire leaves a certificate to its end.
func (b *storing) retire(id, by ra.CertificateID) error {
	c, err := b.tx.Certificate(id)
	if err != nil || c.State != ra.Valid {
		return err
	}
	c.RenewedBy, c.State = by, ra.Superseded
	if c.Action != ra.ActionRevoke { // else the authority has to hear of a lifted hold first
		c.Obligation = ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter}
	}
	return b.tx.UpdateCertificate(c)
}
