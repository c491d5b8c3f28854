package signin

import (
	"context"
	"encoding/json"
	"regexp"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// BeginPasskey starts a sign-in with a passkey. It gives the options for
// navigator.credentials.get as JSON, and the state, which the caller keeps in
// the server-side session for one FinishPasskey.
func (s *Service) BeginPasskey() (options json.RawMessage, state []byte, err error) {
	rp, err := s.relyingParty()
	if err != nil {
		return nil, nil, err
	}
	assertion, data, err := rp.BeginDiscoverableLogin()
	if err != nil {
		return nil, nil, err
	}
	return s.begun(stepSignIn, assertion, data)
}

var handleForm = regexp.MustCompile(`^` + ra.AdminPrefix + `_[0-9a-z]{26}$`)

// FinishPasskey checks the browser's answer and gives the administrator the
// passkey belongs to. Whatever does not fit is Unsigned; so is a passkey whose
// counter does not advance, because then there may be a copy of it.
func (s *Service) FinishPasskey(ctx context.Context, state, response []byte, remote string) (*ra.Admin, error) {
	rp, err := s.relyingParty()
	if err != nil {
		return nil, err
	}
	data, err := s.resume(stepSignIn, state, response)
	if err != nil {
		return nil, err
	}
	from := byRemote(remote)
	if err := s.throttle.admit(s.Now(), from); err != nil {
		return nil, err
	}
	refused := ra.Errorf(ra.Unsigned, "The passkey was not accepted.").WithRemedy("Try another passkey, sign in with a password, or ask an owner for a sign-in link.")
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, refused.WithCause(err)
	}
	if !handleForm.Match(parsed.Response.UserHandle) {
		return nil, refused
	}
	var in *ra.Admin
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		in = nil
		a, err := tx.Admin(ra.AdminID(parsed.Response.UserHandle))
		if ra.KindOf(err) == ra.NotFound {
			return refused
		}
		if err != nil {
			return err
		}
		why, err := s.passkey(tx, rp, a, data, parsed, remote)
		if err != nil || why == "" {
			in = a
			return err
		}
		refused.Err = ra.Errorf(ra.Unsigned, "%s", why)
		return s.turnedAway(tx, a, remote, "passkey", why)
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

// passkey checks an assertion for one administrator and stores the new state of
// the passkey. It gives the reason of a refusal, empty when somebody is in.
func (s *Service) passkey(tx *store.Tx, rp *webauthn.WebAuthn, a *ra.Admin, data webauthn.SessionData, parsed *protocol.ParsedCredentialAssertionData, remote string) (why string, err error) {
	if a.Disabled {
		return "the administrator is disabled", nil
	}
	h, passkeys, err := held(tx, a)
	if err != nil {
		return "", err
	}
	_, used, err := rp.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return h, nil }, data, parsed)
	if err != nil {
		return "the signature or what it covers does not fit", nil
	}
	for i, p := range passkeys {
		if string(h.credentials[i].ID) != string(used.ID) {
			continue
		}
		if p.Credential, err = json.Marshal(used); err != nil {
			return "", err
		}
		if err := tx.UpdatePasskey(p); err != nil {
			return "", err
		}
		if used.Authenticator.CloneWarning {
			s.Log.Warn("a passkey's counter did not advance; there may be a copy of it", "administrator", a.Name, "passkey", p.Name)
			return "the counter of the passkey " + p.Name + " did not advance", nil
		}
		return "", s.entered(tx, a, remote, "passkey", p)
	}
	return "the passkey is not known", nil
}
