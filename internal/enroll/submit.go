package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Ask is one wish for a certificate.
type Ask struct {
	Template    ra.TemplateID
	Device      ra.DeviceID      // empty for a user's own certificate
	Loaded      *ra.Device       // Device, by a door that loaded it in the view given to Prepare; nil otherwise
	User        ra.UserID        // empty: the device's user
	CSR         []byte           // DER or PEM; empty when the key is not made by the asker
	Read        *pkixmsg.CSR     // CSR, by a door that has read it; nil otherwise
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
	r, _, err := s.Issue(ctx, actor, ask)
	return r, err
}

// Issue is Submit, and gives the certificate when this very call had it issued.
func (s *Service) Issue(ctx context.Context, actor ra.Actor, ask Ask) (*ra.Request, *ra.Certificate, error) {
	if ask.Key != "" {
		if r, err := s.known(ctx, actor, ask); err != nil || r != nil {
			return r, nil, err
		}
	}
	if ask.Read == nil && len(ask.CSR) > 0 { // outside of the view: it takes a while
		csr, err := readCSR(ask.CSR)
		if err != nil {
			r, err := s.orKnown(ctx, actor, ask, err)
			return r, nil, err
		}
		ask.Read = csr
	}
	var p *Prepared
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		p = s.Prepare(tx, actor, ask)
		return nil
	})
	if err != nil {
		r, err := s.orKnown(ctx, actor, ask, err)
		return r, nil, err
	}
	r, err := s.SubmitPrepared(ctx, p)
	return r, p.issued, err
}

// SubmitPrepared is the second half of Submit: it writes the intent, acts on it,
// and gives what Submit gives.
func (s *Service) SubmitPrepared(ctx context.Context, p *Prepared) (r *ra.Request, err error) {
	p.began = time.Now()
	ctx, span := s.Observer.Start(ctx, "enroll.submit", "door", p.ask.Door)
	defer func() {
		if r != nil {
			span.Note("request", string(r.ID), "state", string(r.State))
		}
		span.End(err)
	}()
	s.lookUp(ctx, p)
	if p.refused != nil {
		s.Observer.Enrolled(p.ask.Door, "refused", 0)
		return s.orKnown(ctx, p.actor, p.ask, p.refused)
	}
	if err := s.complete(ctx, p); err != nil {
		return s.orKnown(ctx, p.actor, p.ask, err)
	}
	var existing bool
	s.step(StepIntent)
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh := p.request // a copy: this function may run again
		r, existing = &fresh, false
		if p.ask.Key != "" { // again: whoever was faster may share this transaction, which no other sees yet
			found, err := knownIn(tx, p.actor, p.ask)
			if err != nil {
				return err
			}
			if found != nil {
				r, existing = found, true
				return nil
			}
		}
		return s.intend(tx, p, r)
	})
	if err != nil {
		return s.orKnown(ctx, p.actor, p.ask, err)
	}
	if existing || !p.ask.Wait || r.State != ra.Submitted {
		return r, nil
	}
	s.step(StepAsk)
	return s.actOn(ctx, r, p)
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

// intend writes the request, its sealed key, the used-up challenge, the
// mark of its bearer and the audit entry: all or nothing.
func (s *Service) intend(tx *store.Tx, p *Prepared, r *ra.Request) error {
	ask := p.ask
	// Again, now with the old certificate locked: of two renewals one gets here
	// first, whatever their keys.
	if _, err := checkRenewal(tx, ask, r.UserID); err != nil {
		return err
	}
	if err := move(r, ra.Requested); err != nil {
		return err
	}
	if p.approval() {
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
	if p.csr != nil {
		if err := s.sealCSR(r, p.csr.Raw); err != nil {
			return err
		}
	}
	if err := tx.CreateRequest(r); err != nil {
		return err
	}
	if p.plan != nil {
		if err := p.plan.Keep(tx); err != nil {
			return err
		}
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
	return audit.Record(tx, audit.Entry{Code: audit.RequestSubmitted, Actor: p.actor, Group: r.GroupID, Object: string(r.ID),
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
