package signin

import (
	"context"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// TokenPrefix begins every API token, so that scanners for leaked secrets know
// one when they see it.
const TokenPrefix = "chy_"

// MaxTokenLife is the longest life of a token that ends.
const MaxTokenLife = 10 * 365 * 24 * time.Hour

const tokenLabel = "api token" // separates the hashes of tokens from all others

// TokenInput is what an API token is made for.
type TokenInput struct {
	Name   string
	Grants []ra.Grant
	Life   time.Duration // 0: until it is revoked
}

// CreateToken makes an API token and gives its text, which is shown once and
// never stored. Grants beyond those of the actor are Denied. A token stands on
// its own: it stays when its maker's rights change, until somebody revokes it.
func (s *Service) CreateToken(ctx context.Context, actor ra.Actor, in TokenInput) (*ra.Token, secret.Text, error) {
	if err := mayEdit(actor); err != nil {
		return nil, secret.Text{}, err
	}
	in.Name = strings.TrimSpace(in.Name)
	var p ra.Problems
	if in.Name == "" || !writable(in.Name) {
		p.Add("name", "A token needs a name of 1 to 200 characters.", "Say which program uses it.")
	}
	if len(in.Grants) == 0 {
		p.Add("grants", "A token without a role can do nothing.", "Grant it at least one role.")
	}
	if in.Life < 0 || (in.Life > 0 && in.Life < time.Minute) || in.Life > MaxTokenLife {
		p.Add("life", "The life of the token is out of range.", "Use 1 minute to 10 years, or 0 for a token that ends when it is revoked.")
	}
	if err := p.Err(); err != nil {
		return nil, secret.Text{}, err
	}
	text := secret.Token(TokenPrefix, 256)
	var t *ra.Token
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		t = &ra.Token{ID: ra.NewID[ra.TokenID](ra.TokenPrefix, tx.Now), Name: in.Name, Hash: secret.Hash(tokenLabel, text), Grants: bare(in.Grants), CreatedBy: actor.Name, Person: actor.Behind()}
		if in.Life > 0 {
			t.ExpiresAt = tx.Now.Add(in.Life)
		}
		if err := checkGrants(tx, actor, t.Grants); err != nil {
			return err
		}
		if err := tx.CreateToken(t); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.TokenCreated, Actor: actor, Object: string(t.ID), Message: "API token " + t.Name + " created.",
			Details: map[string]any{"grants": t.Grants, "expires_at": t.ExpiresAt}})
	})
	if err != nil {
		return nil, secret.Text{}, err
	}
	return t, text, nil
}

// RevokeToken deletes a token; it opens nothing from then on.
func (s *Service) RevokeToken(ctx context.Context, actor ra.Actor, id ra.TokenID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		t, err := loadToken(tx, actor, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteToken(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.TokenDeleted, Actor: actor, Object: string(id), Message: "API token " + t.Name + " revoked."})
	})
}

// Token gives one token the actor may manage.
func (s *Service) Token(ctx context.Context, actor ra.Actor, id ra.TokenID) (t *ra.Token, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		t, err = loadToken(tx, actor, id)
		return err
	})
	return t, err
}

// FindTokens lists the tokens the actor may manage, newest first.
func (s *Service) FindTokens(ctx context.Context, actor ra.Actor, p store.Page) (list []*ra.Token, next string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list, next, err = managed(tx, actor, p, tx.FindTokens, func(t *ra.Token) []ra.Grant { return t.Grants })
		return err
	})
	return list, next, err
}

func loadToken(tx *store.Tx, actor ra.Actor, id ra.TokenID) (*ra.Token, error) {
	if err := mayEdit(actor); err != nil {
		return nil, err
	}
	t, err := tx.Token(id)
	if err != nil {
		return nil, err
	}
	if err := manage(tx, actor, t.Grants); err != nil {
		if ra.KindOf(err) != ra.Denied {
			return nil, err
		}
		return nil, ra.Errorf(ra.NotFound, "There is no such API token.").WithRemedy("Check the ID; it may lie outside your organization groups.").WithCause(err)
	}
	return t, nil
}

// Authenticate gives the actor behind the text of an API token, with its
// grants as they are now. One that is unknown, revoked or past its end is
// Unsigned. The last use is noted, to the minute.
func (s *Service) Authenticate(ctx context.Context, text secret.Text, remote string) (ra.Actor, error) {
	refused := ra.Errorf(ra.Unsigned, "This API token is not known or has expired.").WithRemedy("Create a new token and use that one.")
	if !strings.HasPrefix(text.Reveal(), TokenPrefix) {
		return ra.Actor{}, refused
	}
	var t *ra.Token
	var actor ra.Actor
	stale := false
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		t, err = tx.TokenByHash(secret.Hash(tokenLabel, text))
		if ra.KindOf(err) == ra.NotFound || (err == nil && !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(tx.Now)) {
			return refused
		}
		if err != nil {
			return err
		}
		stale = tx.Now.Sub(t.LastUsedAt) >= time.Minute
		actor = ra.Actor{Kind: ra.ActorToken, ID: string(t.ID), Name: t.Name, Via: "api", Remote: remote, Person: t.Person}
		actor.Grants, err = access.Resolve(tx, t.Grants)
		return err
	})
	if err != nil {
		return ra.Actor{}, err
	}
	if stale {
		if err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.TouchToken(t.ID) }); err != nil {
			s.Log.Warn("the use of an API token was not noted", "token", t.ID, "error", err)
		}
	}
	return actor, nil
}
