package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const (
	ceremonyLife = 5 * time.Minute
	maxPasskeys  = 20       // of one administrator
	maxResponse  = 64 << 10 // bytes of a browser's answer
)

// ceremony is what the server remembers between the two steps of WebAuthn.
type ceremony struct {
	Step    string // "register" or "sign in"
	Expires time.Time
	Data    webauthn.SessionData
}

const (
	stepRegister = "register"
	stepSignIn   = "sign in"
)

// holder is an administrator as the library wants to see one.
type holder struct {
	*ra.Admin
	credentials []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.ID) }
func (h holder) WebAuthnName() string                       { return h.Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.credentials }

func (h holder) WebAuthnDisplayName() string {
	if h.DisplayName != "" {
		return h.DisplayName
	}
	return h.Name
}

// relyingParty knows this server the way browsers do: by the host of PublicURL.
func (s *Service) relyingParty() (*webauthn.WebAuthn, error) {
	u, err := url.Parse(s.PublicURL)
	if err != nil || u.Host == "" {
		return nil, noPasskeys("The server does not know the address browsers reach it at.").WithCause(err)
	}
	host := strings.ToLower(u.Hostname())
	if net.ParseIP(host) != nil {
		return nil, noPasskeys("Passkeys need a host name; this server is reached by a number.")
	}
	if u.Scheme != "https" && host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return nil, noPasskeys("Passkeys work over https only.")
	}
	origin := u.Scheme + "://" + strings.ToLower(u.Host)
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		origin = strings.TrimSuffix(origin, ":"+u.Port()) // browsers leave the usual port out
	}
	yes := true
	w, err := webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: "Chancery", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{RequireResidentKey: &yes, ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired},
		Timeouts: webauthn.TimeoutsConfig{Login: webauthn.TimeoutConfig{Timeout: ceremonyLife}, Registration: webauthn.TimeoutConfig{Timeout: ceremonyLife}},
	})
	if err != nil {
		return nil, noPasskeys("Passkeys cannot be used at this server's address.").WithCause(err)
	}
	return w, nil
}

func noPasskeys(message string) *ra.Error {
	return ra.Errorf(ra.Invalid, "%s", message).WithField("public_url").WithRemedy("Set the public URL to https:// and the server's name; http://localhost works for a trial.")
}

// own gives the acting administrator with their passkeys, of which there may be
// one more.
func own(tx *store.Tx, actor ra.Actor) (holder, error) {
	if actor.Kind != ra.ActorAdmin {
		return holder{}, ra.Errorf(ra.Denied, "Only a signed-in administrator can have passkeys.").WithRemedy("Sign in to the console.")
	}
	a, err := tx.Admin(ra.AdminID(actor.ID))
	if err != nil {
		return holder{}, err
	}
	h, passkeys, err := held(tx, a)
	if err == nil && len(passkeys) >= maxPasskeys {
		err = ra.Errorf(ra.Conflict, "There are %d passkeys already.", maxPasskeys).WithRemedy("Remove one that is no longer used.")
	}
	return h, err
}

// held gives an administrator with their passkeys, in the same order.
func held(tx *store.Tx, a *ra.Admin) (holder, []*ra.Passkey, error) {
	passkeys, err := tx.Passkeys(a.ID)
	if err != nil {
		return holder{}, nil, err
	}
	h := holder{Admin: a, credentials: make([]webauthn.Credential, len(passkeys))}
	for i, p := range passkeys {
		if err := json.Unmarshal(p.Credential, &h.credentials[i]); err != nil {
			return holder{}, nil, err
		}
	}
	return h, passkeys, nil
}

// begun packs the two halves of a ceremony.
func (s *Service) begun(step string, options any, data *webauthn.SessionData) (json.RawMessage, []byte, error) {
	out, err := json.Marshal(options)
	if err != nil {
		return nil, nil, err
	}
	state, err := json.Marshal(ceremony{step, s.Now().Add(ceremonyLife), *data})
	return out, state, err
}

// resume gives what a ceremony began with.
func (s *Service) resume(step string, state, response []byte) (webauthn.SessionData, error) {
	var c ceremony
	if len(response) > maxResponse {
		return c.Data, ra.Errorf(ra.TooLarge, "The browser's answer is too large.").WithRemedy("Begin again.")
	}
	if err := json.Unmarshal(state, &c); err != nil || c.Step != step || !c.Expires.After(s.Now()) {
		return c.Data, ra.Errorf(ra.Denied, "The time for this step is over.").WithRemedy("Begin again.").WithCause(err)
	}
	return c.Data, nil
}

// Passkeys lists an administrator's passkeys: one's own, or of somebody the
// actor may manage.
func (s *Service) Passkeys(ctx context.Context, actor ra.Actor, id ra.AdminID) (list []*ra.Passkey, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if _, err := load(tx, actor, id); err != nil {
			return err
		}
		list, err = tx.Passkeys(id)
		return err
	})
	return list, err
}

// RemovePasskey deletes a passkey of an administrator, whose sessions end: one
// of them may have begun with it.
func (s *Service) RemovePasskey(ctx context.Context, actor ra.Actor, admin ra.AdminID, id ra.PasskeyID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		a, err := load(tx, actor, admin)
		if err != nil {
			return err
		}
		list, err := tx.Passkeys(admin)
		if err != nil {
			return err
		}
		for _, p := range list {
			if p.ID != id {
				continue
			}
			if err := errors.Join(tx.DeletePasskey(id), signOut(tx, admin)); err != nil {
				return err
			}
			return audit.Record(tx, audit.Entry{Code: audit.PasskeyRemoved, Actor: actor, Object: string(admin), Related: string(id), Message: "Passkey " + p.Name + " of " + a.Name + " removed."})
		}
		return ra.Errorf(ra.NotFound, "There is no such passkey.").WithRemedy("Load the list of passkeys again.")
	})
}
