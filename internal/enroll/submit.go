package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Ask is one wish for a certificate.
type Ask struct {
	Template    ra.TemplateID
	Device      ra.DeviceID      // empty for a user's own certificate
	User        ra.UserID        // empty: the device's user
	CSR         []byte           // DER or PEM; empty when the key is not made by the asker
	Renews      ra.CertificateID // the certificate this one replaces
	Door        string           // "scep", "api", "console", "cli", "renewal"
	Endpoint    ra.EndpointID
	Transaction string         // the client's own name for this exchange
	Key         string         // asks with the same key are the same request; empty: always new
	Challenge   ra.ChallengeID // used up together with writing the intent
	Message     string         // SHA-256 of the SCEP message, kept against replay
	Wait        bool           // act now and give the outcome
}

// Submit writes the intent and, when Wait is set and nobody must approve, acts
// on it. The request comes back in whatever state it reached; a state other
// than issued is not an error. Errors are refusals before there was a request:
// Invalid, Denied, NotFound, Conflict. The same Ask.Key gives the same request.
func (s *Service) Submit(ctx context.Context, actor ra.Actor, ask Ask) (*ra.Request, error) {
	if ask.Key != "" {
		if r, err := s.known(ctx, ask); err != nil || r != nil {
			return r, err
		}
	}
	p, err := s.prepare(ctx, actor, ask)
	if err != nil {
		return nil, err
	}
	r := p.request
	s.step(StepIntent)
	existing := false
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if found, err := tx.RequestByKey(r.IdempotencyKey); err == nil {
			r, existing = found, true
			return nil
		} else if ra.KindOf(err) != ra.NotFound {
			return err
		}
		attempt, copied := *p, *p.request // this function may run again: leave what was prepared as it is
		attempt.request, r = &copied, &copied
		return s.intend(tx, actor, ask, &attempt)
	})
	if ra.KindOf(err) == ra.Conflict && ask.Key != "" {
		// Another node wrote the same ask between our look and our insert.
		if known, lookErr := s.known(ctx, ask); lookErr == nil && known != nil {
			return known, nil
		}
	}
	if err != nil || existing || !ask.Wait || r.State != ra.Submitted {
		return r, err
	}
	s.step(StepAsk)
	return s.act(ctx, r, false)
}

// known gives the request an earlier Ask with the same key led to, or nil.
func (s *Service) known(ctx context.Context, ask Ask) (r *ra.Request, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err = tx.RequestByKey(ask.Key)
		return err
	})
	if ra.KindOf(err) == ra.NotFound {
		return nil, nil
	}
	return r, err
}

// prepared is a checked Ask, ready to be written.
type prepared struct {
	request  *ra.Request
	template *ra.Template
	fill     *Fill
	key      crypto.Signer // made here; nil otherwise
}

// prepare loads what an Ask names, checks every right and rule, fills the
// template and makes the key when it is made here. It writes nothing.
func (s *Service) prepare(ctx context.Context, actor ra.Actor, ask Ask) (*prepared, error) {
	p := &prepared{}
	var subject lookup.Subject
	var csr *pkixmsg.CSR
	var err error
	if len(ask.CSR) > 0 {
		if csr, err = readCSR(ask.CSR); err != nil {
			return nil, err
		}
	}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if p.template, subject, err = s.subject(tx, actor, ask); err != nil {
			return err
		}
		if csr != nil {
			return s.checkKeyReuse(tx, ask, p.template, hex.EncodeToString(csr.SPKIHash[:]))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := p.template
	if p.fill, err = fill(t, subject); err != nil {
		return nil, final(err)
	}
	now := s.Now()
	r := &ra.Request{ID: ra.NewID[ra.RequestID](ra.RequestPrefix, now), GroupID: t.GroupID, AuthorityID: t.AuthorityID, TemplateID: t.ID,
		TemplateRev: t.Revision, Renews: ask.Renews, Door: ask.Door, EndpointID: ask.Endpoint, TransactionID: ask.Transaction,
		IdempotencyKey: ask.Key, KeyPlace: t.Spec.KeyPlace, Subject: p.fill.Subject, AskedBy: actor}
	p.request = r
	if r.IdempotencyKey == "" {
		r.IdempotencyKey = string(r.ID)
	}
	if subject.Device != nil {
		r.DeviceID, r.GroupID = subject.Device.ID, subject.Device.GroupID
	}
	if subject.User != nil {
		r.UserID = subject.User.ID
		if subject.Device == nil {
			r.GroupID = subject.User.GroupID
		}
	}
	switch {
	case csr != nil:
		if err := judge(t, p.fill, csr); err != nil {
			return nil, err
		}
		r.KeyPlace = ra.KeyOnDevice
		p.fill.KeyPlace, p.fill.KeyType = ra.KeyOnDevice, string(csr.Key.Type)
		r.CSR, r.SPKIHash = csr.Raw, hex.EncodeToString(csr.SPKIHash[:])
	case t.Spec.KeyPlace == ra.KeyHere:
		if err := p.makeKey(); err != nil {
			return nil, err
		}
	case t.Spec.KeyPlace == ra.KeyAtCA:
	default:
		return nil, ra.Errorf(ra.Invalid, "Template %q leaves the key to the device, so a certificate request is needed.", t.Name).WithField("csr").
			WithRemedy("Send a PKCS#10, or use a template whose key is made here.")
	}
	if r.Fill, err = json.Marshal(p.fill); err != nil {
		return nil, err
	}
	return p, nil
}

// subject loads whom the certificate is for and checks that the actor may ask
// and that template, device and user go together.
func (s *Service) subject(tx *store.Tx, actor ra.Actor, ask Ask) (*ra.Template, lookup.Subject, error) {
	var sub lookup.Subject
	t, err := tx.Template(ask.Template)
	if err != nil {
		return nil, sub, err
	}
	if t.Disabled {
		return nil, sub, ra.Errorf(ra.Conflict, "Template %q is switched off.", t.Name).WithRemedy("Switch it on, or use another template.").WithRetry(ra.Never)
	}
	group := t.GroupID
	user := ask.User
	if ask.Device != "" {
		if sub.Device, err = tx.Device(ask.Device); err != nil {
			return nil, sub, err
		}
		if sub.Device.State != ra.DeviceEnrolled {
			return nil, sub, ra.Errorf(ra.Denied, "Device %q is %s and gets no certificates.", sub.Device.Name, sub.Device.State).
				WithRemedy("Enrol the device again first.").WithRetry(ra.Never)
		}
		group = sub.Device.GroupID
		if user == "" {
			user = sub.Device.UserID
		}
	}
	if user != "" {
		if sub.User, err = tx.User(user); err != nil {
			return nil, sub, err
		}
		if sub.User.Disabled {
			return nil, sub, ra.Errorf(ra.Denied, "User %q is disabled and gets no certificates.", sub.User.Name).
				WithRemedy("Enable the user, or assign the device to another one.").WithRetry(ra.Never)
		}
		if sub.Device == nil {
			group = sub.User.GroupID
		}
	}
	if actor.Kind == ra.ActorDevice {
		if ask.Device == "" || actor.ID != string(ask.Device) {
			return nil, sub, ra.Errorf(ra.Denied, "A device may ask for itself only.").WithRemedy("Use the challenge made for this device.").WithRetry(ra.Never)
		}
	} else if err := access.CheckGroup(tx, actor, access.Request, group); err != nil {
		return nil, sub, err
	}
	if sub.Group, err = tx.Group(group); err != nil {
		return nil, sub, err
	}
	home, err := tx.Group(t.GroupID)
	if err != nil {
		return nil, sub, err
	}
	if !strings.HasPrefix(sub.Group.Path, home.Path) {
		return nil, sub, ra.Errorf(ra.Denied, "Template %q belongs to the organization group %q and is not for %q.", t.Name, home.Name, sub.Group.Name).
			WithRemedy("Use a template of the device's own group or of one above it.").WithRetry(ra.Never)
	}
	if sub.Settings, err = tx.EffectiveSettings(group); err != nil {
		return nil, sub, err
	}
	return t, sub, s.checkRenewal(tx, ask, sub)
}

// checkRenewal: the certificate to be replaced belongs to the same device or
// user and template, and is still one that may vouch for its successor.
func (s *Service) checkRenewal(tx *store.Tx, ask Ask, sub lookup.Subject) error {
	if ask.Renews == "" {
		return nil
	}
	old, err := tx.Certificate(ask.Renews)
	if err != nil {
		return err
	}
	sameUser := sub.User != nil && old.UserID == sub.User.ID
	if old.TemplateID != ask.Template || old.DeviceID != ask.Device || (ask.Device == "" && old.UserID != "" && !sameUser) {
		return ra.Errorf(ra.Denied, "The certificate to be renewed was issued to somebody else or with another template.").
			WithRemedy("Renew it with the template it came from, for the device it belongs to.").WithRetry(ra.Never)
	}
	if old.State != ra.Valid && old.State != ra.Superseded {
		return ra.Errorf(ra.Denied, "The certificate to be renewed is %s.", strings.ReplaceAll(string(old.State), "_", " ")).
			WithRemedy("Enrol the device again with a new challenge.").WithRetry(ra.Never)
	}
	if open, err := tx.RenewalRequest(ask.Renews); err == nil && (ask.Key == "" || open.IdempotencyKey != ask.Key) {
		return ra.Errorf(ra.Conflict, "The certificate is being renewed already.").
			WithRemedy("Wait for request %s, or cancel it.", open.ID)
	} else if err != nil && ra.KindOf(err) != ra.NotFound {
		return err
	}
	return nil
}

// checkKeyReuse: a key that is known for another device is refused always; for
// the same device only the template may allow it.
func (s *Service) checkKeyReuse(tx *store.Tx, ask Ask, t *ra.Template, spki string) error {
	known, _, err := tx.FindCertificates(store.CertificateFilter{SPKIHash: spki, OwnToo: true, Page: store.Page{Limit: 20}})
	if err != nil {
		return err
	}
	for _, c := range known {
		if c.DeviceID != ask.Device || c.Purpose != ra.PurposeLeaf {
			return refusal("The key belongs to another device already.", "Make a new key on this device; if nobody copied the old one, two devices made the same: look at their random number generators.")
		}
		if !t.Spec.ReuseKey && ask.Renews == "" {
			return refusal("The device has a certificate for this key already.", "Make a new key, renew the certificate, or allow key re-use in the template.")
		}
		if !t.Spec.ReuseKey {
			return refusal("The renewal keeps the old key.", "Make a new key, or allow key re-use in the template.")
		}
	}
	return nil
}

// makeKey makes the key pair and its CSR here.
func (p *prepared) makeKey() error {
	key, err := pkixmsg.GenerateKey(pkixmsg.KeyType(p.fill.KeyType))
	if err != nil {
		return err
	}
	name, err := pkixmsg.ParseDN(p.fill.Subject)
	if err != nil {
		return fieldError("subject", err)
	}
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, SANs: p.fill.SANs, Signer: key})
	if err != nil {
		return fieldError("csr", err)
	}
	csr, err := pkixmsg.ParseCSR(der)
	if err != nil {
		return fieldError("csr", err)
	}
	p.key, p.request.CSR, p.request.SPKIHash = key, der, hex.EncodeToString(csr.SPKIHash[:])
	return nil
}

// intend writes the request, its sealed key, the used-up challenge, the replay
// memory and the audit entry: all or nothing.
func (s *Service) intend(tx *store.Tx, actor ra.Actor, ask Ask, p *prepared) error {
	r := p.request
	if err := move(r, ra.Requested); err != nil {
		return err
	}
	if n := p.template.Spec.Approvals; n > 0 && ask.Door != "renewal" {
		if err := move(r, ra.AwaitingApproval); err != nil {
			return err
		}
		until := tx.Now.Add(p.template.Spec.ApprovalExpiry.Duration())
		r.Obligation = ra.Obligation{Action: ra.ActionApprove, At: until, Deadline: until}
	} else {
		if err := move(r, ra.Approved); err != nil {
			return err
		}
		s.due(tx, r)
		if ask.Wait {
			if err := s.submitted(tx, r); err != nil {
				return err
			}
		}
	}
	if err := tx.CreateRequest(r); err != nil {
		return err
	}
	if ask.Challenge != "" {
		if err := tx.UseChallenge(ask.Challenge, r.ID); err != nil {
			return err
		}
	}
	if ask.Message != "" {
		if err := tx.PutMessage(ask.Endpoint, ask.Message, r.ID); err != nil {
			return err
		}
	}
	if p.key != nil {
		if err := s.sealKey(tx, r.ID, p.key); err != nil {
			return err
		}
	}
	if !ask.Wait && r.State == ra.Approved {
		if err := s.enqueue(tx, r.ID); err != nil {
			return err
		}
	}
	details := map[string]any{"template": p.template.Name, "door": ask.Door, "subject": r.Subject}
	if len(p.fill.Stripped) > 0 {
		details["stripped"] = p.fill.Stripped
	}
	return audit.Record(tx, audit.Entry{Code: audit.RequestSubmitted, Actor: actor, Group: r.GroupID, Object: string(r.ID),
		Related: string(r.DeviceID), Message: "Certificate asked for: " + r.Subject, Details: details})
}

// due gives an approved request its obligation: at once, late after a day.
func (s *Service) due(tx *store.Tx, r *ra.Request) {
	r.Obligation = ra.Obligation{Action: ra.ActionIssue, At: tx.Now, Deadline: tx.Now.Add(maxIssue)}
}

func (s *Service) sealKey(tx *store.Tx, id ra.RequestID, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	box, err := s.Box.Seal("requests", string(id), "key", der)
	if err != nil {
		return err
	}
	return tx.PutSealed(string(id), "key", box)
}
