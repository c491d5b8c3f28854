package enroll

import (
	"context"
	"math"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// challengeLabel separates the hashes of challenges from all others.
const challengeLabel = "scep challenge"

// ChallengeHash is how a challenge is found without being stored.
func ChallengeHash(c secret.Text) string { return secret.Hash(challengeLabel, c) }

// ChallengeInput is what a challenge is made for.
type ChallengeInput struct {
	Endpoint ra.EndpointID
	Device   ra.DeviceID
	Life     time.Duration // 0: the endpoint's
	Uses     int           // 0: the endpoint's
}

// CreateChallenge makes a one-time challenge for one device at one endpoint
// and gives its text, which is shown once and never stored. In front of an
// authority that wants its own challenges in requests it is one of those, which
// may take a while: the error is Unreachable when none is to be had yet.
func (s *Service) CreateChallenge(ctx context.Context, actor ra.Actor, in ChallengeInput) (c *ra.Challenge, text secret.Text, err error) {
	id := ra.NewID[ra.ChallengeID](ra.ChallengePrefix, s.Now())
	theirs, err := s.fetchCarried(ctx, actor, id, in)
	if err != nil {
		return nil, text, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		e, err := tx.Endpoint(in.Endpoint)
		if err != nil {
			return err
		}
		d, err := s.mayChallenge(tx, actor, e, in.Device)
		if err != nil {
			return err
		}
		v, err := s.endpointSettings(tx, e)
		if err != nil {
			return err
		}
		life, uses := in.Life, in.Uses
		if life == 0 {
			life = v.ChallengeLife
		}
		if uses == 0 {
			uses = v.ChallengeUses
		}
		if life < time.Minute || life > 90*24*time.Hour || uses < 1 || uses > 10 {
			return ra.Errorf(ra.Invalid, "The challenge's life or number of uses is out of range.").WithRemedy("Use 1 minute to 90 days, and 1 to 10 uses.")
		}
		ends := tx.Now.Add(life)
		if theirs == nil {
			text = secret.Token("", bitsFor(v.ChallengeLength))
		} else {
			text, uses = theirs.text, 1
			if !theirs.expires.IsZero() && theirs.expires.Before(ends) {
				ends = theirs.expires
			}
		}
		c = &ra.Challenge{ID: id, Hash: ChallengeHash(text), EndpointID: e.ID, TemplateID: e.TemplateID,
			DeviceID: d.ID, MaxUses: uses, ExpiresAt: ends, CreatedBy: actor.Name}
		if err := tx.CreateChallenge(c); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.ChallengeCreated, Actor: actor, Group: d.GroupID, Object: string(c.ID), Related: string(d.ID),
			Message: "Challenge made for " + d.Name + ".", Details: map[string]any{"endpoint": e.Name, "expires_at": c.ExpiresAt, "uses": c.MaxUses}})
	})
	return c, text, err
}

// ChallengePath is the path at which a device enrols with a challenge that was
// just made. It holds the challenge where the endpoint takes it from there.
func (s *Service) ChallengePath(ctx context.Context, id ra.EndpointID, text secret.Text) (path secret.Text, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		e, err := tx.Endpoint(id)
		if err != nil {
			return err
		}
		v, err := s.endpointSettings(tx, e)
		if err != nil {
			return err
		}
		path = secret.New("/scep/" + e.Name)
		if v.ByAddress {
			path = secret.New("/scep/" + e.Name + "/" + text.Reveal())
		}
		return nil
	})
	return path, err
}

// mayChallenge checks that the actor may have a challenge made for a device at an
// endpoint, and that the device may enrol.
func (s *Service) mayChallenge(tx *store.Tx, actor ra.Actor, e *ra.Endpoint, device ra.DeviceID) (*ra.Device, error) {
	d, err := tx.Device(device)
	if err != nil {
		return nil, err
	}
	if err := access.CheckGroup(tx, actor, access.EditDevices, d.GroupID); err != nil {
		return nil, err
	}
	if err := access.CheckLent(tx, actor, e.GroupID); err != nil {
		return nil, err
	}
	if d.State != ra.DeviceEnrolled {
		return nil, ra.Errorf(ra.Conflict, "Device %q is %s.", d.Name, d.State).WithRemedy("Enrol the device again first.")
	}
	return d, nil
}

// bitsFor is how many random bits fill a number of alphanumeric characters.
func bitsFor(length int) int { return int(float64(length) * math.Log2(62)) }

// DeleteChallenge voids a challenge.
func (s *Service) DeleteChallenge(ctx context.Context, actor ra.Actor, id ra.ChallengeID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		c, err := tx.Challenge(id)
		if err != nil {
			return err
		}
		d, err := tx.Device(c.DeviceID)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.EditDevices, d.GroupID); err != nil {
			return err
		}
		if err := tx.DeleteChallenge(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.ChallengeDeleted, Actor: actor, Group: d.GroupID, Object: string(id), Related: string(d.ID), Message: "Challenge voided."})
	})
}

// FindChallenges lists a device's challenges.
func (s *Service) FindChallenges(ctx context.Context, actor ra.Actor, f store.ChallengeFilter) (list []*ra.Challenge, next string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		d, err := tx.Device(f.Device)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, d.GroupID); err != nil {
			return err
		}
		list, next, err = tx.FindChallenges(f)
		return err
	})
	return list, next, err
}

// Challenge looks a challenge up by its text, for the door that got it. One
// that is unknown, spent, expired or for another endpoint is Denied; the
// message tells which, for the log only. One that is known comes back with the
// refusal: whoever sent it did not guess. Nothing is used up yet.
func Challenge(tx *store.Tx, e *ra.Endpoint, text secret.Text) (*ra.Challenge, error) {
	refuse := func(why string) error {
		return ra.Errorf(ra.Denied, "The challenge is refused: %s.", why).WithField("challenge").
			WithRemedy("Make a new challenge for this device and endpoint.").WithRetry(ra.Never)
	}
	c, err := tx.ChallengeByHash(ChallengeHash(text))
	switch {
	case ra.KindOf(err) == ra.NotFound:
		return nil, refuse("it is not known here")
	case err != nil:
		return nil, err
	case c.EndpointID != e.ID || c.TemplateID != e.TemplateID:
		return c, refuse("it was made for another endpoint or template")
	case c.Uses >= c.MaxUses:
		return c, refuse("it has been used")
	case !c.ExpiresAt.After(tx.Now):
		return c, refuse("it has expired")
	}
	return c, nil
}
