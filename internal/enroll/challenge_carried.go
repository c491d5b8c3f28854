package enroll

import (
	"context"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// An authority elsewhere may want a challenge of its own in each request, as a
// Microsoft NDES does. A device that keeps its key has to sign it into its
// request, so the challenge that lets it enrol here is the authority's own then:
// fetched when it is made, of as short a life as the authority gives it.

// fetched is a challenge of an authority's own.
type fetched struct {
	text    secret.Text
	expires time.Time // zero: it does not
}

// Carried tells whether devices have to be given an authority's own challenges to
// enrol here.
func Carried(o *authority.Open) bool {
	f, ok := o.Connector.(ca.Forwarder)
	return ok && f.SCEP().Carried
}

// fetchCarried gets the authority's own challenge for a device, where it has to
// be that; nil otherwise. What may be refused is refused before: the authority
// has few to give.
func (s *Service) fetchCarried(ctx context.Context, actor ra.Actor, id ra.ChallengeID, in ChallengeInput) (*fetched, error) {
	var t *ra.Template
	var d *ra.Device
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		e, err := tx.Endpoint(in.Endpoint)
		if err != nil {
			return err
		}
		if d, err = s.mayChallenge(tx, actor, e, in.Device); err != nil {
			return err
		}
		t, err = tx.Template(e.TemplateID)
		return err
	})
	if err != nil {
		return nil, err
	}
	o, err := s.Authorities.Reach(ctx, t.AuthorityID)
	if err != nil || !Carried(o) {
		return nil, nil // what is wrong with it shows when it is asked for a certificate
	}
	if o, err = s.Authorities.Open(ctx, t.AuthorityID); err != nil {
		return nil, err
	}
	// Not within the authority's limits: whoever waits for a challenge waits for
	// others to enrol, which the limits would keep from it.
	c, err := o.Connector.(ca.Challenger).Challenge(ctx, ca.ChallengeOrder{ID: string(id), Template: t.Spec.IssuingTemplate, Holder: string(d.ID)})
	return &fetched{c.Secret, c.ExpiresAt}, err
}

// carried gives the ID of the authority's own challenge that a device signed into
// its request; empty when there is none.
func carried(tx *store.Tx, o *authority.Open, r *ra.Request) (ra.ChallengeID, error) {
	if r.Renews != "" || !Carried(o) {
		return "", nil
	}
	c, err := tx.ChallengeOf(r.ID)
	if ra.KindOf(err) == ra.NotFound {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return c.ID, nil
}
