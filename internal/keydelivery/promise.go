package keydelivery

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/directory"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
)

const (
	deliveries = "key_deliveries"
	keyField   = "key"
	// within is after how long people hear of a key that waits.
	within = 24 * time.Hour
)

// Promise has the key of a certificate that is stored in the caller's
// transaction delivered, if its template wants that. A key that belongs into a
// directory is not delivered when its user comes from none.
func Promise(tx *store.Tx, box *seal.Box, c *ra.Certificate, spec *ra.TemplateSpec, key crypto.Signer) error {
	if spec.Publish.Key == "" || c.State != ra.Valid {
		return nil
	}
	d := &ra.KeyDelivery{ID: ra.NewID[ra.KeyDeliveryID](ra.KeyDeliveryPrefix, tx.Now), Certificate: c.ID, GroupID: c.GroupID, AuthorityID: c.AuthorityID,
		DeviceID: c.DeviceID, UserID: c.UserID, Subject: c.Subject, Obligation: owed(tx, ra.ActionHandOver)}
	switch spec.Publish.Key {
	case ra.KeyToService:
		d.Service = spec.Publish.KeyService
	case ra.KeyToDirectory:
		if c.UserID == "" {
			return nil
		}
		u, err := tx.User(c.UserID)
		if ra.KindOf(err) == ra.NotFound || err == nil && u.Directory == "" {
			return nil
		}
		if err != nil {
			return err
		}
		d.Directory, d.ObjectGUID = u.Directory, u.ObjectGUID
	default:
		return fmt.Errorf("keys cannot be published to %q", spec.Publish.Key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	sealed, err := box.Seal(deliveries, string(d.ID), keyField, der)
	if err != nil {
		return err
	}
	if err := tx.PutSealed(string(d.ID), keyField, sealed); err != nil {
		return err
	}
	return tx.CreateKeyDelivery(d)
}

func owed(tx *store.Tx, a ra.Action) ra.Obligation {
	return ra.Obligation{Action: a, At: tx.Now, Deadline: tx.Now.Add(within)}
}

// Follow has a delivery follow the state of a certificate that changed in the
// caller's transaction. A key that has not arrived when its certificate is
// revoked or has ended is not brought any more. One that is in a directory is
// taken out of it on revocation if the template says so.
func Follow(tx *store.Tx, c *ra.Certificate) error {
	if c.State != ra.Revoked && c.State != ra.Expired {
		return nil
	}
	d, err := tx.KeyDeliveryOf(c.ID)
	if ra.KindOf(err) == ra.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if d.Action == ra.ActionHandOver {
		if err := drop(tx, d, "its certificate is "+string(c.State)); err != nil {
			return err
		}
	}
	return withdraw(tx, c, d)
}

// withdraw has a key taken out of a directory again if that is wanted.
func withdraw(tx *store.Tx, c *ra.Certificate, d *ra.KeyDelivery) error {
	if c.State != ra.Revoked || d.Directory == "" || d.Digest == "" || d.Action == ra.ActionTakeBack {
		return nil
	}
	t, err := tx.Template(c.TemplateID)
	if ra.KindOf(err) == ra.NotFound || err == nil && !t.Spec.Publish.WithdrawKey {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.Directory(d.Directory); ra.KindOf(err) == ra.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	d.Obligation = owed(tx, ra.ActionTakeBack)
	return tx.UpdateKeyDelivery(d)
}

// drop ends a delivery that is not needed any more, and destroys the copy of the
// key.
func drop(tx *store.Tx, d *ra.KeyDelivery, why string) error {
	d.Obligation = ra.Obligation{}
	if err := tx.UpdateKeyDelivery(d); err != nil {
		return err
	}
	if err := tx.DeleteSealed(string(d.ID), keyField); err != nil {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.KeyDropped, Actor: ra.System("keydelivery"), Group: d.GroupID, Object: string(d.Certificate), Related: receiverOf(d),
		Message: "Key not brought there any more, " + why + ": " + d.Subject})
}

// receiverOf gives the ID of the directory or key service.
func receiverOf(d *ra.KeyDelivery) string {
	if d.Service != "" {
		return string(d.Service)
	}
	return string(d.Directory)
}

// Delivery gives how far the key of a certificate is delivered; NotFound when it
// goes nowhere.
func (s *Service) Delivery(ctx context.Context, actor ra.Actor, id ra.CertificateID) (d *ra.KeyDelivery, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if d, err = tx.KeyDeliveryOf(id); err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.See, d.GroupID)
	})
	return d, err
}

// Admit judges what a template of a group wants done with keys, and whether the
// actor may see the key service it names.
func Admit(tx *store.Tx, actor ra.Actor, group ra.GroupID, spec *ra.TemplateSpec) error {
	switch spec.Publish.Key {
	case ra.KeyToDirectory:
		ok, err := directory.TakesKeys(tx, group)
		if err == nil && !ok {
			return ra.Errorf(ra.Invalid, "No directory of this organization group takes keys.").WithField("publish.key").
				WithRemedy("Give its directory a password for keys first: chancery directory update DIRECTORY --key-password-file FILE.")
		}
		return err
	case ra.KeyToService:
		return admitService(tx, actor, group, spec.Publish.KeyService)
	}
	return nil
}

func admitService(tx *store.Tx, actor ra.Actor, group ra.GroupID, id ra.KeyServiceID) error {
	const field = "publish.key_service"
	k, err := tx.KeyService(id)
	if err == nil {
		err = access.CheckLent(tx, actor, k.GroupID)
	}
	if ra.KindOf(err) == ra.NotFound {
		return ra.Errorf(ra.Invalid, "There is no key service %q.", id).WithField(field).WithRemedy("Name one by its ID: chancery key-service list.")
	}
	if err != nil {
		return err
	}
	if ok, err := lends(tx, k.GroupID, group); err != nil || ok {
		return err
	}
	return ra.Errorf(ra.Invalid, "The key service %q is not for this organization group.", k.Name).WithField(field).
		WithRemedy("Use one of the template's own group or of a group above it.")
}

// lends reports whether what belongs to a group may be used in another.
func lends(tx *store.Tx, owner, user ra.GroupID) (bool, error) {
	above, err := tx.Ancestors(user)
	for _, g := range above {
		if g.ID == owner {
			return true, err
		}
	}
	return false, err
}
