package keydelivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/directory"
	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// rounds is how often a password is hashed in a PKCS #12: anybody in a domain
// may be able to read one.
const rounds = 100_000

// longest is how many predecessors of a certificate are looked at.
const longest = 50

// entry is a directory that is open.
type entry struct {
	s *Service
	*directory.KeyPlace
}

func (s *Service) openDirectory(ctx context.Context, id ra.DirectoryID) (receiver, error) {
	place, err := s.Directories.OpenForKeys(ctx, id)
	if err != nil {
		return nil, err
	}
	return &entry{s, place}, nil
}

func (e *entry) close()       { e.Conn.Close() }
func (e *entry) closed() bool { return e.Conn.Closed() }

// bring writes the key beside what others wrote, then takes out what was written
// for the predecessors.
func (e *entry) bring(ctx context.Context, p *parcel) error {
	if !e.Password.IsSet() {
		return ra.Errorf(ra.Conflict, "The directory has no password for keys.").WithRemedy("Set it: chancery directory update DIRECTORY --key-password-file FILE.")
	}
	dn := "<GUID=" + p.ObjectGUID + ">"
	names := []string{e.Attribute}
	for _, d := range slices.Concat(p.former, []*ra.KeyDelivery{p.KeyDelivery}) {
		if d.Attribute != "" && !slices.Contains(names, d.Attribute) {
			names = append(names, d.Attribute)
		}
	}
	there, err := e.Conn.Read(ctx, dn, names...)
	if err != nil {
		return err
	}
	if valueOf(there, p.KeyDelivery) == nil {
		pfx, err := pkcs12.Modern2023.WithIterations(rounds).Encode(p.key, p.chain[0], p.chain[1:], e.Password.Reveal())
		if err != nil {
			return err
		}
		e.s.step(StepMark)
		if err := e.s.mark(ctx, p.KeyDelivery, e.Attribute, digest(pfx)); err != nil {
			return err
		}
		e.s.step(StepTell)
		if err := e.Conn.AddValue(ctx, dn, e.Attribute, pfx); err != nil {
			return err
		}
	}
	for _, d := range p.former {
		if v := valueOf(there, d); v != nil {
			if err := e.Conn.RemoveValue(ctx, dn, d.Attribute, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *entry) takeBack(ctx context.Context, p *parcel) error {
	dn := "<GUID=" + p.ObjectGUID + ">"
	there, err := e.Conn.Read(ctx, dn, p.Attribute)
	if ra.KindOf(err) == ra.NotFound {
		return nil // nothing is left of the user there
	}
	if err != nil {
		return err
	}
	e.s.step(StepTell)
	v := valueOf(there, p.KeyDelivery)
	if v == nil {
		return nil
	}
	return e.Conn.RemoveValue(ctx, dn, p.Attribute, v)
}

// mark stores what is about to be written.
func (s *Service) mark(ctx context.Context, d *ra.KeyDelivery, attribute, sum string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.KeyDeliveryOf(d.Certificate)
		if err != nil {
			return err
		}
		if fresh.Action != d.Action {
			return ra.Errorf(ra.Conflict, "The key is not wanted there any more.").WithRemedy("Nothing needs to be done.")
		}
		fresh.Attribute, fresh.Digest = attribute, sum
		return tx.UpdateKeyDelivery(fresh)
	})
}

// valueOf finds what was written for a delivery; nil when it is not there.
func valueOf(e *ldapdir.Entry, d *ra.KeyDelivery) []byte {
	if d.Digest == "" {
		return nil
	}
	for _, v := range e.All(d.Attribute) {
		if digest(v) == d.Digest {
			return v
		}
	}
	return nil
}

func digest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

// keepsFormer reports whether the template of a certificate leaves the keys of its
// predecessors in the directory.
func keepsFormer(tx *store.Tx, c *ra.Certificate) (bool, error) {
	t, err := tx.Template(c.TemplateID)
	if ra.KindOf(err) == ra.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return t.Spec.Publish.KeepFormer, nil
}

// predecessors gives the deliveries of the certificates that c has replaced, one
// after the other, as far as they are in the same directory.
func predecessors(tx *store.Tx, c *ra.Certificate, in ra.DirectoryID) (list []*ra.KeyDelivery, err error) {
	for n := 0; c.Renews != "" && n < longest; n++ {
		d, err := tx.KeyDeliveryOf(c.Renews)
		if err == nil && d.Directory == in && d.Digest != "" {
			list = append(list, d)
		} else if err != nil && ra.KindOf(err) != ra.NotFound {
			return nil, err
		}
		if c, err = tx.Certificate(c.Renews); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// overtaken tells why the key of a certificate does not belong into its entry
// any more: a successor is there.
func overtaken(tx *store.Tx, c *ra.Certificate) (string, error) {
	for n := 0; c.RenewedBy != "" && n < longest; n++ {
		d, err := tx.KeyDeliveryOf(c.RenewedBy)
		if err == nil && d.Delivered {
			return "the key of its successor is there", nil
		}
		if err != nil && ra.KindOf(err) != ra.NotFound {
			return "", err
		}
		if c, err = tx.Certificate(c.RenewedBy); err != nil {
			return "", err
		}
	}
	return "", nil
}

// replaced notes that a successor has taken the place of these.
func replaced(tx *store.Tx, former []*ra.KeyDelivery) error {
	for _, d := range former {
		fresh, err := tx.KeyDeliveryOf(d.Certificate)
		if err != nil {
			return err
		}
		if fresh.Digest != d.Digest {
			continue
		}
		fresh.Delivered, fresh.Digest = false, ""
		if err := tx.UpdateKeyDelivery(fresh); err != nil {
			return err
		}
	}
	return nil
}
