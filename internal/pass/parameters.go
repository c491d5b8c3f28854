package pass

import (
	"context"
	"crypto/sha1" // thumbprints are made with it
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// Parameters is what a SCEP client must be told.
type Parameters struct {
	Pass           *ra.Pass
	URL            string
	Challenge      secret.Text // not set where the server wants none
	ChallengeUntil time.Time   // zero: it does not run out
	Subject        string      // RFC 4514
	SANs           []pkixmsg.GeneralName
	KeyType        string // "rsa-2048"
	KeyUsage       x509.KeyUsage
	EKUs           []string
	Retries        int           // while the request is pending
	RetryDelay     time.Duration // between them
	CAFingerprint  string        // as the server shows it, or the SHA-256 of the issuing certificate; empty while unknown
	CAThumbprint   string        // SHA-1 of the topmost certificate, which Windows wants; empty while unknown
	CAIdentifier   string        // what GetCACert is to be asked with; empty: nothing
}

// Parameters gives what the device of a pass needs now, with a challenge: it is
// to be called when the device is about to enrol, and waits for its turn where
// the server knows few challenges at once. As long as nothing was sent it can be
// called again: the same challenge comes while it lives, a new one afterwards.
// Errors are those of ca.Challenger, and Conflict for a pass that was used.
func (s *Service) Parameters(ctx context.Context, actor ra.Actor, id ra.PassID) (*Parameters, error) {
	var p *ra.Pass
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if p, err = visible(tx, actor, access.EditDevices, id); err != nil {
			return err
		}
		if err := s.unused(tx, p); err != nil {
			return err
		}
		if p.Challenges > 0 && (p.ChallengeUntil.IsZero() || p.ChallengeUntil.After(tx.Now)) {
			return nil
		}
		// The new number is stored before anything is fetched under it, and
		// whoever else asks at the same time gets the same.
		p.Challenges, p.ChallengeUntil = p.Challenges+1, time.Time{}
		return tx.UpdatePass(p)
	})
	if err != nil {
		return nil, err
	}
	o, server, err := s.forwarder(ctx, p.AuthorityID)
	if err != nil {
		return nil, err
	}
	f := &enroll.Fill{}
	if err := json.Unmarshal(p.Fill, f); err != nil {
		return nil, err
	}
	out := &Parameters{URL: server.URL, Subject: f.Subject, SANs: f.SANs, KeyType: f.KeyType, KeyUsage: f.KeyUsage(), EKUs: f.EKUs, Retries: server.Retries,
		RetryDelay: server.RetryDelay, CAIdentifier: server.CAIdentifier}
	began := time.Now()
	c, err := s.challenge(ctx, o, p, f)
	took := time.Since(began)
	if err != nil {
		return nil, errors.Join(err, s.noChallenge(ctx, p, took, err))
	}
	if out.Challenge, out.CAFingerprint = c.Secret, c.Fingerprint; c.URL != "" {
		out.URL = c.URL
	}
	if err := s.thumbprints(ctx, p.AuthorityID, out); err != nil {
		return nil, err
	}
	if p.Model == ra.PassProxy {
		token, err := s.Box.Open(table, string(p.ID), tokenField, p.SealedToken)
		if err != nil {
			return nil, err
		}
		out.URL = strings.TrimSuffix(s.PublicURL, "/") + Path + string(token)
	}
	if !c.ExpiresAt.IsZero() { // it has to arrive and be used in time, too
		out.ChallengeUntil = c.ExpiresAt.Add(-min(3*time.Minute, c.ExpiresAt.Sub(s.Now())/10))
	}
	out.Pass, err = s.reveal(ctx, actor, p, out, c, took)
	return out, err
}

// unused wants a pass with which nothing was sent, whose device may enrol.
func (s *Service) unused(tx *store.Tx, p *ra.Pass) error {
	if p.State != ra.PassIssued {
		return ra.Errorf(ra.Conflict, "The pass is %s.", p.State).WithRemedy("Make a new pass for the device.")
	}
	if !p.ExpiresAt.After(tx.Now) {
		return ra.Errorf(ra.Conflict, "The pass has expired.").WithRemedy("Make a new pass for the device.")
	}
	return offline(tx, p)
}

// offline says why nobody may enrol with a pass at the moment, if so: its device
// has left, or somebody switched off what it leads to.
func offline(tx *store.Tx, p *ra.Pass) error {
	g, err := tx.PassGround(p)
	switch {
	case err != nil:
		return err
	case g.DeviceState != ra.DeviceEnrolled:
		return ra.Errorf(ra.Conflict, "Device %q is %s.", g.Device, g.DeviceState).WithRemedy("Enrol the device again first.")
	case g.TemplateDisabled:
		return ra.Errorf(ra.Conflict, "Template %q is switched off.", g.Template).WithRemedy("Switch it on, and make a new pass.")
	case g.AuthorityDisabled:
		return ra.Errorf(ra.Conflict, "The authority %q is switched off.", g.Authority).WithRemedy("Switch it on, and make a new pass.")
	}
	return nil
}

// challenge asks the authority for the challenge of a pass.
func (s *Service) challenge(ctx context.Context, o *authority.Open, p *ra.Pass, f *enroll.Fill) (c ca.SCEPChallenge, err error) {
	if _, ok := o.Connector.(ca.Challenger); !ok {
		return c, nil
	}
	name, err := pkixmsg.ParseDN(f.Subject)
	if err != nil {
		return c, err
	}
	order := ca.ChallengeOrder{ID: challengeID(p), Subject: name, SANs: f.SANs, Validity: f.Validity.Duration(), Holder: f.Holder, Fields: f.Fields}
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		t, err := tx.Template(p.TemplateID)
		if err != nil {
			return err
		}
		order.Template = t.Spec.IssuingTemplate
		order.Options, err = enroll.TemplateOptions(o.Kind, &t.Spec)
		return err
	})
	if err != nil {
		return c, err
	}
	// Waiting for a turn is not a call: the account of challenges holds its own
	// limits, and whoever waits there must not keep others from calling.
	return o.Connector.(ca.Challenger).Challenge(ctx, order)
}

// challengeID names the challenge of a pass for the authority's account.
func challengeID(p *ra.Pass) string { return fmt.Sprintf("%s/%d", p.ID, p.Challenges) }

// noChallenge notes that there is no challenge yet.
func (s *Service) noChallenge(ctx context.Context, p *ra.Pass, took time.Duration, cause error) error {
	return s.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		fresh, err := tx.Pass(p.ID)
		if err != nil {
			return err
		}
		h := failed(StepChallengeGiven, cause)
		h.Took, h.Fields = took.Microseconds(), map[string]string{"kind": string(ra.KindOf(cause))}
		if ra.AsError(cause).Retry > 0 {
			h.Result = ra.HopWaiting
		}
		if err := hop(tx, fresh, ra.Hop{Step: StepChallengeAsked, Result: ra.HopOK}, h); err != nil {
			return err
		}
		fresh.Attempts, fresh.LastError = fresh.Attempts+1, strings.TrimSpace(h.Message+" "+h.Remedy)
		return tx.UpdatePass(fresh)
	})
}

// thumbprints fills in what is known of the authority's certificates.
func (s *Service) thumbprints(ctx context.Context, id ra.AuthorityID, out *Parameters) error {
	return s.DB.Read(ctx, func(tx *store.Tx) error {
		config, err := tx.Config()
		if err != nil {
			return err
		}
		chain, err := config.Issuers(id)
		if err != nil || len(chain) == 0 {
			return err
		}
		if out.CAFingerprint == "" {
			out.CAFingerprint = chain[0].Fingerprint
		}
		leaf, err := x509.ParseCertificate(chain[0].DER)
		if err != nil {
			return nil // no thumbprint then
		}
		path, err := authority.ChainOf(leaf, chain)
		if err != nil {
			return nil
		}
		sum := sha1.Sum(path[len(path)-1].Raw)
		out.CAThumbprint = hex.EncodeToString(sum[:])
		return nil
	})
}

// reveal notes that the parameters were given away.
func (s *Service) reveal(ctx context.Context, actor ra.Actor, p *ra.Pass, out *Parameters, c ca.SCEPChallenge, took time.Duration) (fresh *ra.Pass, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if fresh, err = tx.Pass(p.ID); err != nil {
			return err
		}
		if err := s.unused(tx, fresh); err != nil {
			return err
		}
		if fresh.Challenges != p.Challenges {
			return ra.Errorf(ra.Conflict, "The challenge ran out meanwhile.").WithRemedy("Ask for the parameters again.")
		}
		fresh.RevealedAt, fresh.ChallengeUntil, fresh.LastError = tx.Now, out.ChallengeUntil, ""
		fresh.Obligation = ra.Obligation{Action: ra.ActionAwait, At: fresh.ExpiresAt, Deadline: fresh.ExpiresAt, Attempts: fresh.Attempts}
		if until := fresh.ChallengeUntil; !until.IsZero() && until.Before(fresh.At) {
			fresh.At = until
		}
		hops := []ra.Hop{{Step: StepPayload, Result: ra.HopOK, Message: "The parameters were given to " + actor.Name + ".", Fields: map[string]string{"subject": fresh.Subject, "model": string(fresh.Model)}}}
		if c.Secret.IsSet() {
			given := ra.Hop{Step: StepChallengeGiven, Result: ra.HopOK, Took: took.Microseconds(), Fields: map[string]string{"length": fmt.Sprint(len(c.Secret.Reveal())), "number": fmt.Sprint(fresh.Challenges)}}
			if !c.ExpiresAt.IsZero() {
				given.Fields["until"] = out.ChallengeUntil.UTC().Format(time.RFC3339)
			}
			hops = append([]ra.Hop{{Step: StepChallengeAsked, Result: ra.HopOK}, given}, hops...)
		}
		if err := hop(tx, fresh, hops...); err != nil {
			return err
		}
		if err := tx.UpdatePass(fresh); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.PassRevealed, Actor: actor, Group: fresh.GroupID, Object: string(fresh.ID), Related: string(fresh.DeviceID),
			Message: "Parameters of a pass given away.", Details: map[string]any{"challenge": c.Secret.IsSet(), "challenge_until": out.ChallengeUntil, "number": fresh.Challenges}})
	})
	return fresh, err
}
