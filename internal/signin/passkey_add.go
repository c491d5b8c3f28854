package signin

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// BeginRegistration starts adding a passkey to the acting administrator. It
// gives the options for navigator.credentials.create as JSON, and the state,
// which the caller keeps in the server-side session for FinishRegistration and
// nothing else.
func (s *Service) BeginRegistration(ctx context.Context, actor ra.Actor) (options json.RawMessage, state []byte, err error) {
	rp, err := s.relyingParty()
	if err != nil {
		return nil, nil, err
	}
	var h holder
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		h, err = own(tx, actor)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	known := make([]protocol.CredentialDescriptor, len(h.credentials))
	for i, c := range h.credentials {
		known[i] = c.Descriptor()
	}
	creation, data, err := rp.BeginRegistration(h, webauthn.WithExclusions(known))
	if err != nil {
		return nil, nil, err
	}
	return s.begun(stepRegister, creation, data)
}

// FinishRegistration checks the browser's answer and stores the passkey under a
// name. An answer that does not fit the state is Denied.
func (s *Service) FinishRegistration(ctx context.Context, actor ra.Actor, state []byte, name string, response []byte) (*ra.Passkey, error) {
	rp, err := s.relyingParty()
	if err != nil {
		return nil, err
	}
	data, err := s.resume(stepRegister, state, response)
	if err != nil {
		return nil, err
	}
	if name = strings.TrimSpace(name); name == "" || !writable(name) {
		return nil, ra.Errorf(ra.Invalid, "A passkey needs a name of 1 to 200 characters.").WithField("name").WithRemedy("Name the device or key that holds it.")
	}
	refused := ra.Errorf(ra.Denied, "The passkey was not accepted.").WithRemedy("Begin again, and use the browser that shows this page.")
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return nil, refused.WithCause(err)
	}
	var p *ra.Passkey
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		h, err := own(tx, actor)
		if err != nil {
			return err
		}
		credential, err := rp.CreateCredential(h, data, parsed)
		if err != nil {
			return refused.WithCause(err)
		}
		for _, c := range h.credentials {
			if string(c.ID) == string(credential.ID) {
				return ra.Errorf(ra.Conflict, "This passkey is registered already.").WithRemedy("Use another device or security key.")
			}
		}
		raw, err := json.Marshal(credential)
		if err != nil {
			return err
		}
		p = &ra.Passkey{ID: ra.NewID[ra.PasskeyID](ra.PasskeyPrefix, tx.Now), AdminID: h.ID, Name: name, Credential: raw}
		if err := tx.CreatePasskey(p); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.PasskeyAdded, Actor: actor, Object: string(h.ID), Related: string(p.ID), Message: h.Name + " added the passkey " + name + "."})
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}
