package signin

import (
	"context"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// Lives of a sign-in link.
const (
	LinkLife    = 15 * time.Minute // when nothing is said
	MaxLinkLife = 7 * 24 * time.Hour
)

const (
	linkPurpose = "sign-in"
	linkLabel   = "sign-in link" // separates the hashes of links from all others
)

// CreateLink makes a link by which an administrator signs in once, and gives
// its secret part, which is shown once and never stored. life 0 is LinkLife.
// The actor must be allowed to manage the administrator.
func (s *Service) CreateLink(ctx context.Context, actor ra.Actor, id ra.AdminID, life time.Duration) (secret.Text, error) {
	if life == 0 {
		life = LinkLife
	}
	if life < time.Minute || life > MaxLinkLife {
		return secret.Text{}, ra.Errorf(ra.Invalid, "The life of a link is out of range.").WithField("life").WithRemedy("Use 1 minute to 7 days.")
	}
	text := secret.Token("", 256)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := load(tx, actor, id)
		if err != nil {
			return err
		}
		if err := manage(tx, actor, a.Grants); err != nil {
			return err
		}
		if a.Disabled {
			return ra.Errorf(ra.Conflict, "Administrator %q is disabled.", a.Name).WithRemedy("Enable the administrator first.")
		}
		if err := tx.CreateLink(store.Link{Hash: secret.Hash(linkLabel, text), Purpose: linkPurpose, Subject: string(id), ExpiresAt: tx.Now.Add(life)}); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.LinkCreated, Actor: actor, Object: string(id), Message: "Sign-in link made for " + a.Name + ".",
			Details: map[string]any{"expires_at": tx.Now.Add(life)}})
	})
	if err != nil {
		return secret.Text{}, err
	}
	return text, nil
}

// UseLink spends a link and gives the administrator it was made for. However
// many try at once, one gets in; all else is Unsigned.
func (s *Service) UseLink(ctx context.Context, text secret.Text, remote string) (*ra.Admin, error) {
	from := byRemote(remote)
	if err := s.throttle.admit(s.Now(), from); err != nil {
		return nil, err
	}
	refused := ra.Errorf(ra.Unsigned, "This link is not valid: it was used already or has expired.").WithRemedy("Ask for a new link.")
	var in *ra.Admin
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		in = nil
		id, err := tx.UseLink(secret.Hash(linkLabel, text), linkPurpose)
		if ra.KindOf(err) == ra.NotFound {
			return refused
		}
		if err != nil {
			return err
		}
		a, err := tx.Admin(ra.AdminID(id))
		if ra.KindOf(err) == ra.NotFound {
			return refused
		}
		if err != nil {
			return err
		}
		if a.Disabled {
			return s.turnedAway(tx, a, remote, "link", "the administrator is disabled")
		}
		in = a
		return s.entered(tx, a, remote, "link", nil)
	})
	if err != nil {
		return nil, err
	}
	if in == nil {
		return nil, refused
	}
	s.throttle.forgive(key{}, from)
	return in, nil
}

// dropLinks takes an administrator's unused links away. A link was made for the
// administrator as they were: whoever holds it must not become what they are
// now, nor get in past a password that was changed because of a thief.
func dropLinks(tx *store.Tx, id ra.AdminID) error {
	_, err := tx.DeleteLinks(linkPurpose, string(id))
	return err
}

// LinkURL is the address that carries a link's secret part to the console.
func (s *Service) LinkURL(link secret.Text) string {
	return strings.TrimSuffix(s.PublicURL, "/") + "/sign-in/link?t=" + link.Reveal()
}
