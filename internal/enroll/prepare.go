package enroll

import (
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Prepared is a checked Ask, ready to be submitted, or why it is refused. It is
// for one SubmitPrepared.
type Prepared struct {
	actor    ra.Actor
	ask      Ask
	refused  error
	request  ra.Request
	template *ra.Template
	fill     *Fill
	old      *ra.Certificate // the one to be renewed; nil otherwise
	key      crypto.Signer   // made here; nil otherwise
	csr      *pkixmsg.CSR    // nil while the authority makes the key
	open     *authority.Open // nil when it has to be opened first
	known    []store.Issuer  // the certificates of its authority as they are stored
	order    ca.Request      // of plan
	plan     *authority.Plan // what the authority decided on already; nil when it is asked later
	began    time.Time       // when it was acted on
	issued   *ra.Certificate
	user     ra.UserID // to be looked up in the directory first; empty: nobody is
}

// Certificate is what the submission led to at once; nil when it did not.
func (p *Prepared) Certificate() *ra.Certificate { return p.issued }

// Prepare is the first half of Submit, for a caller who has a view of the
// database open already and who looked in it for a request with the same key.
// It loads what the Ask names, checks every right and rule, and fills the
// template. It writes nothing; SubmitPrepared gives the refusal if there is one.
func (s *Service) Prepare(tx *store.Tx, actor ra.Actor, ask Ask) *Prepared {
	p := &Prepared{actor: actor, ask: ask}
	p.refused = s.prepare(tx, p)
	return p
}

func (s *Service) prepare(tx *store.Tx, p *Prepared) (err error) {
	ask := p.ask
	if p.csr = ask.Read; p.csr == nil && len(ask.CSR) > 0 {
		if p.csr, err = parseCSR(ask.CSR); err != nil {
			return err
		}
	}
	csr := p.csr
	if csr != nil {
		if err = checkCSR(csr); err != nil {
			return err
		}
	}
	config, err := tx.Config()
	if err != nil {
		return err
	}
	var subject lookup.Subject
	if p.template, p.old, subject, err = s.subject(tx, config, p.actor, ask); err != nil {
		return err
	}
	if subject.User != nil && subject.User.Directory != "" {
		p.user = subject.User.ID
	}
	if csr != nil {
		var user ra.UserID
		if subject.User != nil {
			user = subject.User.ID
		}
		if err := checkKeyReuse(tx, ask, user, p.template, hex.EncodeToString(csr.SPKIHash[:])); err != nil {
			return err
		}
	}
	t := p.template
	if p.fill, err = fill(t, subject); err != nil {
		return final(err)
	}
	now := s.Now()
	r := ra.Request{ID: ra.NewID[ra.RequestID](ra.RequestPrefix, now), GroupID: t.GroupID, AuthorityID: t.AuthorityID, TemplateID: t.ID,
		TemplateRev: t.Revision, Renews: ask.Renews, Door: ask.Door, EndpointID: ask.Endpoint, TransactionID: ask.Transaction,
		IdempotencyKey: ask.Key, KeyPlace: t.Spec.KeyPlace, Subject: p.fill.Subject, AskedBy: p.actor}
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
			return err
		}
		r.KeyPlace = ra.KeyOnDevice
		p.fill.KeyPlace, p.fill.KeyType = ra.KeyOnDevice, string(csr.Key.Type)
		r.SPKIHash = hex.EncodeToString(csr.SPKIHash[:])
	case t.Spec.KeyPlace == ra.KeyHere, t.Spec.KeyPlace == ra.KeyAtCA:
	default:
		return ra.Errorf(ra.Invalid, "Template %q leaves the key to the device, so a certificate request is needed.", t.Name).WithField("csr").
			WithRemedy("Send a PKCS#10, or use a template whose key is made here.")
	}
	if r.Fill, err = json.Marshal(p.fill); err != nil {
		return err
	}
	p.request = r
	if ask.Wait && !p.approval() {
		if p.known, err = config.Issuers(t.AuthorityID); err != nil {
			return err
		}
		p.open, err = s.Authorities.Opened(config, t.AuthorityID)
	}
	return err
}

// lookUp asks the directory about the user of the request. When it has something
// new to say, all is prepared once more.
func (s *Service) lookUp(ctx context.Context, p *Prepared) {
	if s.Directories == nil || p.user == "" {
		return
	}
	changed, err := s.Directories.Lookup(ctx, p.user)
	if err == nil && changed {
		err = s.DB.Read(ctx, func(tx *store.Tx) error {
			*p = *s.Prepare(tx, p.actor, p.ask)
			return nil
		})
	}
	if err != nil && p.refused == nil {
		p.refused = err
	}
}

// complete does what needs no view of the database: it makes the key when it is
// made here, and lets an authority of this house decide on the certificate.
// Whatever keeps that one from it is met again, and recorded, when it is asked.
func (s *Service) complete(ctx context.Context, p *Prepared) error {
	if p.csr == nil && p.request.KeyPlace == ra.KeyHere {
		if err := p.makeKey(); err != nil {
			return err
		}
	}
	if p.open == nil {
		return nil
	}
	var err error
	if p.order, err = order(p.open.Kind, &p.request, p.template, p.fill, p.old, p.csr, func(*ca.Order) {}); err == nil {
		p.plan, err = s.Authorities.Plan(ctx, p.open, p.order)
	}
	if err != nil {
		s.Log.Debug("the certificate is not decided on before the request is written", "request", p.request.ID, "error", err)
	}
	return nil
}

// approval tells whether people have to agree first.
func (p *Prepared) approval() bool {
	return p.template.Spec.Approvals > 0 && p.ask.Door != "renewal"
}

// subject loads whom the certificate is for and checks that the actor may ask
// and that template, device and user go together. Rights come first: whoever
// has none learns nothing else.
func (s *Service) subject(tx *store.Tx, config *store.Config, actor ra.Actor, ask Ask) (*ra.Template, *ra.Certificate, lookup.Subject, error) {
	sub, group, err := s.holders(tx, actor, ask)
	if err != nil {
		return nil, nil, sub, err
	}
	t, err := config.Template(ask.Template)
	if err != nil {
		return nil, nil, sub, err
	}
	if sub.Group, err = config.Group(group); err != nil {
		return nil, nil, sub, err
	}
	home, err := config.Group(t.GroupID)
	if err != nil {
		return nil, nil, sub, err
	}
	if !strings.HasPrefix(sub.Group.Path, home.Path) {
		return nil, nil, sub, ra.Errorf(ra.Denied, "This template is not for the organization group %q.", sub.Group.Name).
			WithRemedy("Use a template of the device's own group or of one above it.").WithRetry(ra.Never)
	}
	if t.Disabled {
		return nil, nil, sub, ra.Errorf(ra.Conflict, "Template %q is switched off.", t.Name).WithRemedy("Switch it on, or use another template.").WithRetry(ra.Never)
	}
	if err := entitled(&sub); err != nil {
		return nil, nil, sub, err
	}
	if sub.Settings, err = config.EffectiveSettings(group); err != nil {
		return nil, nil, sub, err
	}
	var user ra.UserID
	if sub.User != nil {
		user = sub.User.ID
	}
	old, err := checkRenewal(tx, ask, user)
	return t, old, sub, err
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
		if sub.Device = ask.Loaded; sub.Device == nil {
			if sub.Device, err = tx.Device(ask.Device); err != nil {
				return sub, "", err
			}
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
func checkRenewal(tx *store.Tx, ask Ask, user ra.UserID) (*ra.Certificate, error) {
	if ask.Renews == "" {
		return nil, nil
	}
	old, err := tx.Certificate(ask.Renews)
	if err != nil {
		return nil, err
	}
	if old.TemplateID != ask.Template || old.DeviceID != ask.Device || (ask.Device == "" && old.UserID != user) || old.Purpose != ra.PurposeLeaf {
		return nil, ra.Errorf(ra.Denied, "The certificate to be renewed was issued to somebody else or with another template.").
			WithRemedy("Renew it with the template it came from, for the device it belongs to.").WithRetry(ra.Never)
	}
	state := old.State
	if !old.NotAfter.After(tx.Now) && state != ra.Revoked {
		state = ra.Expired
	}
	if state != ra.Valid && state != ra.Superseded {
		return nil, ra.Errorf(ra.Denied, "The certificate to be renewed is %s.", strings.ReplaceAll(string(state), "_", " ")).
			WithRemedy("Enrol the device again with a new challenge.").WithRetry(ra.Never)
	}
	if open, err := tx.RenewalRequest(ask.Renews); err == nil && (ask.Key == "" || open.IdempotencyKey != ask.Key) {
		return nil, ra.Errorf(ra.Conflict, "The certificate is being renewed already.").
			WithRemedy("Wait for request %s, or cancel it.", open.ID)
	} else if err != nil && ra.KindOf(err) != ra.NotFound {
		return nil, err
	}
	return old, nil
}

// checkKeyReuse: a key that is known for another device or user, or that was
// compromised, is refused always; for the same one only the template may allow
// it.
func checkKeyReuse(tx *store.Tx, ask Ask, user ra.UserID, t *ra.Template, spki string) error {
	if used, err := tx.KeyUsed(spki); err != nil || !used {
		return err
	}
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
func (p *Prepared) makeKey() error {
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
	p.key, p.csr, p.request.SPKIHash = key, csr, hex.EncodeToString(csr.SPKIHash[:])
	return nil
}
