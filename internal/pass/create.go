package pass

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// CreateInput is what a pass is made for.
type CreateInput struct {
	Template ra.TemplateID
	Device   ra.DeviceID
	User     ra.UserID // empty: the device's user
	Model    ra.PassModel
	Life     time.Duration    // of the token; 0: 7 days
	Renews   ra.CertificateID // the certificate the new one replaces
}

// Create makes a pass: it fills the template for the device as it is now and
// fetches nothing. Errors are NotFound, Denied, Invalid and Conflict.
func (s *Service) Create(ctx context.Context, actor ra.Actor, in CreateInput) (*ra.Pass, error) {
	if in.Life == 0 {
		in.Life = defaultLife
	}
	if in.Device == "" {
		return nil, ra.Errorf(ra.Invalid, "A pass is for a device.").WithField("device_id").WithRemedy("Name the device.")
	}
	if in.Life < shortest || in.Life > longest {
		return nil, ra.Errorf(ra.Invalid, "The life of a pass is out of range.").WithField("life").WithRemedy("Use 10 minutes to 30 days.")
	}
	if in.Model != ra.PassProxy && in.Model != ra.PassDelegate {
		return nil, ra.Errorf(ra.Invalid, "%q is no way to use a SCEP server.", in.Model).WithField("model").WithRemedy("Use proxy or delegate.")
	}
	var f *enroll.Filled
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		f, err = s.Enroll.Filled(tx, actor, enroll.Ask{Template: in.Template, Device: in.Device, User: in.User, Renews: in.Renews, Door: door})
		return err
	}); err != nil {
		return nil, err
	}
	_, server, err := s.forwarder(ctx, f.Template.AuthorityID)
	if err != nil {
		return nil, err
	}
	if err := fits(f.Template, server, in.Model); err != nil {
		return nil, err
	}
	marker, err := f.Fill.Mark(server.Marker)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	p := &ra.Pass{ID: ra.NewID[ra.PassID](ra.PassPrefix, now), GroupID: f.Device.GroupID, AuthorityID: f.Template.AuthorityID, TemplateID: f.Template.ID,
		TemplateRev: f.Template.Revision, DeviceID: f.Device.ID, Model: in.Model, State: ra.PassIssued, Subject: f.Fill.Subject, Marker: marker,
		MaxMessages: maxMessages, Renews: in.Renews, ExpiresAt: now.Add(in.Life), CreatedBy: actor}
	if f.User != nil {
		p.UserID = f.User.ID
	}
	if p.Fill, err = json.Marshal(f.Fill); err != nil {
		return nil, err
	}
	if in.Model == ra.PassProxy {
		token := secret.Token("", tokenBits)
		p.Hash = TokenHash(token)
		if p.SealedToken, err = s.Box.Seal(table, string(p.ID), tokenField, []byte(token.Reveal())); err != nil {
			return nil, err
		}
	}
	p.Obligation = ra.Obligation{Action: ra.ActionDeliver, At: p.ExpiresAt, Deadline: p.ExpiresAt}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if in.Renews != "" {
			if open, err := tx.RenewalPass(in.Renews); ra.KindOf(err) != ra.NotFound {
				return orConflict(open, err)
			}
		}
		if err := tx.CreatePass(p); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.PassCreated, Actor: actor, Group: p.GroupID, Object: string(p.ID), Related: string(p.DeviceID),
			Message: "Pass made for " + f.Device.Name + ".", Details: map[string]any{"template": f.Template.Name, "model": p.Model, "subject": p.Subject,
				"expires_at": p.ExpiresAt, "renews": p.Renews}})
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// door is where certificates of passes come through.
const door = "scep-proxy"

func orConflict(open *ra.Pass, err error) error {
	if err != nil {
		return err
	}
	return ra.Errorf(ra.Conflict, "The certificate is being renewed already.").WithRemedy("Use pass %s, or revoke it.", open.ID)
}

// fits checks that a template can be used with a pass.
func fits(t *ra.Template, server ca.SCEPServer, model ra.PassModel) error {
	switch {
	case t.Spec.KeyPlace != ra.KeyOnDevice:
		return ra.Errorf(ra.Invalid, "The key of template %q is not made on the device.", t.Name).WithField("template_id").
			WithRemedy("Set the place of the key to the device, or ask for the certificate here.")
	case !strings.HasPrefix(t.Spec.KeyType, "rsa"):
		return ra.Errorf(ra.Invalid, "SCEP needs RSA keys, and template %q wants %s.", t.Name, t.Spec.KeyType).WithField("template_id").
			WithRemedy("Use a template with RSA keys.")
	case t.Spec.Approvals > 0:
		return ra.Errorf(ra.Conflict, "Template %q wants approvals, which a server of somebody else does not wait for.", t.Name).WithField("template_id").
			WithRemedy("Use a template without approvals, and have the server hold requests for approval.")
	case model == ra.PassProxy && !server.ByProxy:
		return ra.Errorf(ra.Conflict, "The authority of template %q is not to be reached through the proxy.", t.Name).WithField("model").
			WithRemedy("Switch the proxy on in the settings of the authority, or use the model delegate.")
	}
	return nil
}

// Revoke voids a pass. One that has ended stays as it is.
func (s *Service) Revoke(ctx context.Context, actor ra.Actor, id ra.PassID, reason string) (p *ra.Pass, err error) {
	if len(reason) > maxReason {
		return nil, ra.Errorf(ra.Invalid, "The reason is too long.").WithField("reason").WithRemedy("Use up to %d characters.", maxReason)
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if p, err = visible(tx, actor, access.EditDevices, id); err != nil || p.State.Ended() {
			return err
		}
		return revoke(tx, actor, p, reason)
	})
	return p, err
}

const maxReason = 1000

// RevokeForDevice voids the passes of a device that leaves.
func RevokeForDevice(tx *store.Tx, actor ra.Actor, device ra.DeviceID, reason string) error {
	f := store.PassFilter{Device: device, States: []ra.PassState{ra.PassIssued, ra.PassClaimed, ra.PassPending}, Page: store.Page{Limit: store.MaxPage}}
	for {
		list, next, err := tx.FindPasses(f)
		if err != nil {
			return err
		}
		for _, p := range list {
			if err := revoke(tx, actor, p, reason); err != nil {
				return err
			}
		}
		if f.After = next; next == "" {
			return nil
		}
	}
}

func revoke(tx *store.Tx, actor ra.Actor, p *ra.Pass, reason string) error {
	return end(tx, p, ra.PassRevoked, audit.Entry{Code: audit.PassRevoked, Actor: actor, Message: "Pass revoked.", Details: map[string]any{"reason": reason}}, reason)
}

// end gives a pass its last state. The entry gets what belongs to every pass.
func end(tx *store.Tx, p *ra.Pass, state ra.PassState, e audit.Entry, reason string) error {
	p.State, p.Reason, p.SealedToken = state, reason, nil
	p.Obligation = ra.Obligation{LastError: p.LastError, Attempts: p.Attempts, Escalated: p.Escalated}
	if err := tx.UpdatePass(p); err != nil {
		return err
	}
	e.Group, e.Object, e.Related = p.GroupID, string(p.ID), string(p.DeviceID)
	return audit.Record(tx, e)
}
