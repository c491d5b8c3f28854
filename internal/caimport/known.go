package caimport

import (
	"time"

	"chancery/internal/audit"
	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// met compares a certificate that is in the inventory with what the authority
// says of it.
func (b *storing) met(it *item, k *store.KnownCertificate) error {
	if k.Fingerprint != it.print {
		b.skip(it, skip("See which of the two the authority issued.", "Another certificate of this issuer and serial number is in the inventory."))
		return nil
	}
	if !b.reach[k.GroupID] {
		b.skip(it, skip("Take it over through the authority that is defined there.", "It is in the inventory outside of the authority's organization group."))
		return nil
	}
	b.run.Known++
	changed, err := b.follow(it, k)
	if err == nil && !changed && k.Imported {
		changed, err = b.improve(it, k)
	}
	if changed {
		b.run.Changed++
	}
	return err
}

// follow takes over the state that the authority gives a known certificate. What
// was changed here a moment ago is left alone: the authority may not have heard of
// it when it was asked.
func (b *storing) follow(it *item, k *store.KnownCertificate) (changed bool, err error) {
	here := k.State == ra.Revoked || k.State == ra.OnHold
	there := it.State == ra.Revoked || it.State == ra.OnHold
	fresh := k.Action == ra.ActionRevoke || k.UpdatedAt().After(b.run.StartedAt.Add(-time.Minute))
	if k.Different && here == there {
		if err := b.agree(k.ID); err != nil {
			return false, err
		}
	}
	switch {
	case k.State == ra.Expired, k.Purpose != ra.PurposeLeaf && it.State == ra.OnHold, !it.leaf.NotAfter.After(b.tx.Now):
		return false, nil
	case it.State == ra.Revoked && k.State != ra.Revoked:
		return true, b.learn(it, k.ID)
	case it.State == ra.OnHold && !here && fresh:
		if it.RevokedAt.Before(b.run.Next) {
			b.run.Next = it.RevokedAt
		}
		return false, nil
	case it.State == ra.OnHold && !here:
		return true, b.learn(it, k.ID)
	case there || !here || fresh || k.Purpose != ra.PurposeLeaf:
		return false, nil
	}
	c, err := b.tx.Certificate(k.ID)
	if err != nil {
		return false, err
	}
	held, err := b.tx.HeldByAuthority(c)
	if err != nil {
		return false, err
	}
	if held {
		return true, b.learn(it, k.ID)
	}
	if !k.Different {
		return false, b.unrevoked(it, c)
	}
	return false, nil
}

// learn has the inventory follow the authority.
func (b *storing) learn(it *item, id ra.CertificateID) error {
	if b.run.Preview {
		return nil
	}
	c, err := lifecycle.Learned(b.tx, b.actor, id, it.State, it.RevokedAt, it.Reason)
	if err != nil || it.State != ra.OnHold {
		return err
	}
	return b.tx.HoldAtAuthority(c)
}

// improve gives a certificate that was taken over before what it could not have
// then: a template that adopts it, and the user or device it is for.
func (b *storing) improve(it *item, k *store.KnownCertificate) (changed bool, err error) {
	t := b.adopt[it.Template]
	if k.TemplateID != "" {
		t = nil
	}
	ownerless := k.Ownerless() && it.owner.known()
	if t == nil && !ownerless || k.State != ra.Valid {
		return false, nil
	}
	if b.run.Preview {
		return true, nil
	}
	c, err := b.tx.Certificate(k.ID)
	if err != nil {
		return false, err
	}
	if ownerless {
		c.GroupID, c.DeviceID, c.UserID = it.owner.group, it.owner.device, it.owner.user
	}
	if t != nil {
		c.TemplateID = t.ID
		c.Obligation = enroll.Duty(c, &t.Spec)
	}
	if err := b.tx.UpdateCertificate(c); err != nil {
		return false, err
	}
	return true, audit.Record(b.tx, audit.Entry{Code: audit.ImportAdopted, Actor: b.run.By, Group: c.GroupID, Object: string(c.ID), Related: string(b.run.ID), Message: "Taken over anew: " + c.Subject,
		Details: map[string]any{"template": c.TemplateID, "device": c.DeviceID, "user": c.UserID}})
}
