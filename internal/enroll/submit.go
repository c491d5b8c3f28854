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
	Bearer      string         // by which mark the door will know the asker again, when no row tells
	Wait        bool           // act now and give the outcome
}

// Submit writes the intent and, when Wait is set and nobody must approve, acts
// on it. The request comes back in whatever state it reached; a state other
// than issued is not an error. Errors are refusals before there was a request:
// Invalid, Denied, NotFound, Conflict. The same Ask.Key gives the same request;
// a key that was used for something else, or by somebody whose requests the
// actor may not make, is a Conflict.
func (s *Service) Submit(ctx context.Context, actor ra.Actor, ask Ask) (*ra.Request, error) {
	if ask.Key != "" {
		if r, err := s.known(ctx, actor, ask); err != nil || r != nil {
			return r, err
		}
	}
	p, err := s.prepare(ctx, actor, ask)
	if err != nil {
		return s.orKnown(ctx, actor, ask, err)
	}
	var r *ra.Request
	var existing bool
	s.step(StepIntent)
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh := p.request // a copy: this function may run again
		r, existing = &fresh, false
		if ask.Key != "" {
			found, err := knownIn(tx, actor, ask)
			if err != nil {
				return err
			}
			if found != nil {
				r, existing = found, true
				return nil
			}
		}
		return s.intend(tx, actor, ask, p, r)
	})
	if err != nil {
		return s.orKnown(ctx, actor, ask, err)
	}
	if existing || !ask.Wait || r.State != ra.Submitted {
		return r, nil
	}
	s.step(StepAsk)
	return s.act(ctx, r, false)
}

// known gives the request an earlier Ask with the same key led to, or nil.
func (s *Service) known(ctx context.Context, actor ra.Actor, ask Ask) (r *ra.Request, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err = knownIn(tx, actor, ask)
		return err
	})
	return r, err
}

// orKnown is err, unless the same ask has gone through since we looked: its
// key, its challenge or its renewal is what this one was refused for then.
func (s *Service) orKnown(ctx context.Context, actor ra.Actor, ask Ask, err error) (*ra.Request, error) {
	if ask.Key != "" {
		if known, lookErr := s.known(ctx, actor, ask); lookErr == nil && known != nil {
			return known, nil
		}
	}
	return nil, err
}

func knownIn(tx *store.Tx, actor ra.Actor, ask Ask) (*ra.Request, error) {
	r, err := tx.RequestByKey(ask.Key)
	if ra.KindOf(err) == ra.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	same := r.TemplateID == ask.Template && r.DeviceID == ask.Device && r.Renews == ask.Renews && (ask.User == "" || r.UserID == ask.User)
	if actor.Kind == ra.ActorDevice {
		same = same && actor.ID == string(r.DeviceID)
	} else if same {
		same = access.CheckGroup(tx, actor, access.Request, r.GroupID) == nil
	}
	if !same {
		return nil, ra.Errorf(ra.Conflict, "Another request was made with this idempotency key.").WithField("idempotency_key").
			WithRemedy("Use a new key for a new request.").WithRetry(ra.Never)
	}
	return r, nil
}

// prepared is a checked Ask, ready to be written.
type prepared struct {
	request  ra.Request
	template *ra.Template
	fill     *Fill
	key      crypto.Signer // made here; nil otherwise
	csr      []byte        // DER; nil while the authority makes the key
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
			var user ra.UserID
			if subject.User != nil {
				user = subject.User.ID
			}
			return checkKeyReuse(tx, ask, user, p.template, hex.EncodeToString(csr.SPKIHash[:]))
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
	r := ra.Request{ID: ra.NewID[ra.RequestID](ra.RequestPrefix, now), GroupID: t.GroupID, AuthorityID: t.AuthorityID, TemplateID: t.ID,
		TemplateRev: t.Revision, Renews: ask.Renews, Door: ask.Door, EndpointID: ask.Endpoint, TransactionID: ask.Transaction,
		IdempotencyKey: ask.Key, KeyPlace: t.Spec.KeyPlace, Subject: p.fill.Subject, AskedBy: actor}
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
		p.csr, r.SPKIHash = csr.Raw, hex.EncodeToString(csr.SPKIHash[:])
	case t.Spec.KeyPlace == ra.KeyHere:
		if err := p.makeKey(&r); err != nil {
			return nil, err
		}
	case t.Spec.KeyPlace == ra.KeyAtCA:
	default:
		return nil, ra.Errorf(ra.Invalid, "Template %q leaves the key to the device, so a certificate request is needed.", t.Name).WithField("csr").
			WithRemedy("Send a PKCS#10, or use a template whose key is made here.")
	}
	r.Fill, err = json.Marshal(p.fill)
	p.request = r
	return p, err
}

// subject loads whom the certificate is for and checks that the actor may ask
// and that template, device and user go together. Rights come first: whoever
// has none learns nothing else.
func (s *Service) subject(tx *store.Tx, actor ra.Actor, ask Ask) (*ra.Template, lookup.Subject, error) {
	sub, group, err := s.holders(tx, actor, ask)
	if err != nil {
		return nil, sub, err
	}
	t, err := tx.Template(ask.Template)
	if err != nil {
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
		return nil, sub, ra.Errorf(ra.Denied, "This template is not for the organization group %q.", sub.Group.Name).
			WithRemedy("Use a template of the device's own group or of one above it.").WithRetry(ra.Never)
	}
	if t.Disabled {
		return nil, sub, ra.Errorf(ra.Conflict, "Template %q is switched off.", t.Name).WithRemedy("Switch it on, or use another template.").WithRetry(ra.Never)
	}
	if err := entitled(&sub); err != nil {
		return nil, sub, err
	}
	if sub.Settings, err = tx.EffectiveSettings(group); err != nil {
		return nil, sub, err
	}
	var user ra.UserID
	if sub.User != nil {
		user = sub.User.ID
	}
	return t, sub, checkRenewal(tx, ask, user)
}

// holders loads the device and user of an Ask, with the group that decides
// about rights: the device's, or the user's without a device. A user named
// beside a device who is not the device's own is somebody else's name, which
// takes the right there too; it never crosses organizations.
func (s *Service) holders(tx *store.Tx, actor ra.Actor, ask Ask) (sub lookup.Subject, group ra.GroupID, err error) {
	if actor.Kind == ra.ActorDevice && (ask.Device == "" || actor.ID != string(ask.Device)) {
		return sub, "", ra.Errorf(ra.Denied, "A device may ask for itself only.").WithRemedy("Use the challenge made for this device.").WithRetry(ra.Never)
	}
	if ask.Device == "" && ask.User == "" {
		return sub, "", ra.Errorf(ra.Invalid, "A certificate is for a device or a user.").WithField("device_id").WithRemedy("Name one of them.").WithRetry(ra.Never)
	}
	user := ask.User
	if ask.Device != "" {
		if sub.Device, err = tx.Device(ask.Device); err != nil {
			return sub, "", err
		}
		group = sub.Device.GroupID
		if actor.Kind != ra.ActorDevice {
			if err := access.CheckGroup(tx, actor, access.Request, group); err != nil {
				return sub, "", err
			}
		}
		if user == "" {
			user = sub.Device.UserID
		}
	}
	if user == "" {
		return sub, group, nil
	}
	if sub.User, err = tx.User(user); err != nil {
		return sub, "", err
	}
	if sub.Device == nil {
		group = sub.User.GroupID
		return sub, group, access.CheckGroup(tx, actor, access.Request, group)
	}
	return sub, group, otherUser(tx, actor, access.Request, &sub)
}

// otherUser checks the right to use a user's name for a device of somebody
// else.
func otherUser(tx *store.Tx, actor ra.Actor, p access.Permission, sub *lookup.Subject) error {
	if sub.User.ID == sub.Device.UserID {
		return nil
	}
	if actor.Kind == ra.ActorDevice {
		return ra.Errorf(ra.Denied, "A device may name its own user only.").WithRemedy("Assign the user to the device first.").WithRetry(ra.Never)
	}
	if err := access.CheckGroup(tx, actor, p, sub.User.GroupID); err != nil {
		return err
	}
	home, err := tx.Organization(sub.User.GroupID)
	if err != nil {
		return err
	}
	if home.ID != sub.Device.OrganizationID {
		return ra.Errorf(ra.Invalid, "User %q belongs to another organization than the device.", sub.User.Name).WithField("user_id").
			WithRemedy("Choose a user of the device's organization.").WithRetry(ra.Never)
	}
	return nil
}

// entitled: a device that is enrolled, a user who is not disabled.
func entitled(sub *lookup.Subject) error {
	if d := sub.Device; d != nil && d.State != ra.DeviceEnrolled {
		return ra.Errorf(ra.Denied, "Device %q is %s and gets no certificates.", d.Name, d.State).
			WithRemedy("Enrol the device again first.").WithRetry(ra.Never)
	}
	if u := sub.User; u != nil && u.Disabled {
		return ra.Errorf(ra.Denied, "User %q is disabled and gets no certificates.", u.Name).
			WithRemedy("Enable the user, or assign the device to another one.").WithRetry(ra.Never)
	}
	return nil
}

// checkRenewal: the certificate to be replaced belongs to the same device or
// user and template, is still one that may vouch for its successor, and is not
// being renewed by another request.
func checkRenewal(tx *store.Tx, ask Ask, user ra.UserID) error {
	if ask.Renews == "" {
		return nil
	}
	old, err := tx.Certificate(ask.Renews)
	if err != nil {
		return err
	}
	if old.TemplateID != ask.Template || old.DeviceID != ask.Device || (ask.Device == "" && old.UserID != user) || old.Purpose != ra.PurposeLeaf {
		return ra.Errorf(ra.Denied, "The certificate to be renewed was issued to somebody else or with another template.").
			WithRemedy("Renew it with the template it came from, for the device it belongs to.").WithRetry(ra.Never)
	}
	state := old.State
	if !old.NotAfter.After(tx.Now) && state != ra.Revoked {
		state = ra.Expired
	}
	if state != ra.Valid && state != ra.Superseded {
		return ra.Errorf(ra.Denied, "The certificate to be renewed is %s.", strings.ReplaceAll(string(state), "_", " ")).
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

// checkKeyReuse: a key that is known for another device or user, or that was
// compromised, is refused always; for the same one only the template may allow
// it.
func checkKeyReuse(tx *store.Tx, ask Ask, user ra.UserID, t *ra.Template, spki string) error {
	known, _, err := tx.FindCertificates(store.CertificateFilter{SPKIHash: spki, OwnToo: true, Page: store.Page{Limit: store.MaxPage}})
	if err != nil {
		return err
	}
	for _, c := range known {
		if c.DeviceID != ask.Device || (ask.Device == "" && c.UserID != user) || c.Purpose != ra.PurposeLeaf {
			return keyOfAnother()
		}
		if c.State == ra.Revoked && c.Reason == ra.KeyCompromise {
			return refusal("The key is known to be compromised.", "Make a new key on the device.")
		}
		if !t.Spec.ReuseKey && ask.Renews == "" {
			return refusal("The device has a certificate for this key already.", "Make a new key, renew the certificate, or allow key re-use in the template.")
		}
		if !t.Spec.ReuseKey {
			return refusal("The renewal keeps the old key.", "Make a new key, or allow key re-use in the template.")
		}
	}
	open, _, err := tx.FindRequests(store.RequestFilter{SPKIHash: spki, States: waiting, Page: store.Page{Limit: store.MaxPage}})
	if err != nil {
		return err
	}
	for _, r := range open {
		if r.DeviceID != ask.Device || (ask.Device == "" && r.UserID != user) {
			return keyOfAnother()
		}
	}
	return nil
}

// waiting lists the states of requests that may still lead to a certificate.
var waiting = []ra.RequestState{ra.Requested, ra.AwaitingApproval, ra.Approved, ra.Submitted, ra.PendingAtCA}

func keyOfAnother() error {
	return refusal("The key belongs to another device already.", "Make a new key on this device; if nobody copied the old one, two devices made the same: look at their random number generators.")
}

// makeKey makes the key pair and its CSR here.
func (p *prepared) makeKey(r *ra.Request) error {
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
	p.key, p.csr, r.SPKIHash = key, der, hex.EncodeToString(csr.SPKIHash[:])
	return nil
}

// intend writes the request, its sealed key, the used-up challenge, the
// mark of its bearer and the audit entry: all or nothing.
func (s *Service) intend(tx *store.Tx, actor ra.Actor, ask Ask, p *prepared, r *ra.Request) error {
	// Again, now with the old certificate locked: of two renewals one gets here
	// first, whatever their keys.
	if err := checkRenewal(tx, ask, r.UserID); err != nil {
		return err
	}
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
	if err := s.sealCSR(r, p.csr); err != nil {
		return err
	}
	if err := tx.CreateRequest(r); err != nil {
		return err
	}
	if ask.Challenge != "" {
		if err := tx.UseChallenge(ask.Challenge, r.ID); err != nil {
			return err
		}
	}
	if ask.Bearer != "" {
		if err := tx.PutBearer(ask.Endpoint, ask.Bearer, r.ID); err != nil {
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
