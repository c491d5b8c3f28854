package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"chancery/internal/ca"
	"chancery/internal/observe"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Open is an authority with its connector, ready for work.
type Open struct {
	Authority *ra.Authority
	Kind      ca.Kind
	Connector ca.Connector
	Deputy    ra.AuthorityID // is told of its revocations in its place; empty: none
	Guard     *ca.Guard      // what its guard needs to know; nil: it has none
	limits    *limits
	pulse     *pulse
	observer  *observe.Observer
}

// Open gives an authority's connector for asking it for certificates. It is
// kept open until the authority changes. A disabled authority is a Conflict.
func (s *Service) Open(ctx context.Context, id ra.AuthorityID) (*Open, error) {
	o, err := s.Reach(ctx, id)
	if err == nil && o.Authority.Disabled {
		return nil, ra.Errorf(ra.Conflict, "The authority %q is switched off.", o.Authority.Name).
			WithRemedy("Switch it on again, or choose another authority in the template.").WithRetry(10 * time.Minute)
	}
	if err == nil && s.Hold != nil {
		if err := s.Hold(); err != nil {
			return nil, err
		}
	}
	return o, err
}

// Reach is Open for an authority that may be switched off: it issues nothing
// then, but what it issued is still revoked, listed in CRLs and asked about,
// and its connection can be tested.
func (s *Service) Reach(ctx context.Context, id ra.AuthorityID) (*Open, error) {
	var a *ra.Authority
	var known *Open
	var settings ca.Settings
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		config, err := tx.Config()
		if err != nil {
			return err
		}
		if a, err = config.Authority(id); err != nil {
			return err
		}
		if known = s.cached(a); known != nil {
			return nil
		}
		settings, err = s.settings(tx, a)
		return err
	})
	if err != nil || known != nil {
		return known, err
	}
	kind, err := s.Kind(a.Kind)
	if err != nil {
		return nil, err
	}
	c, err := settings.Connect(ctx, s.env(a))
	if err != nil {
		return nil, err
	}
	o := &Open{Authority: a, Kind: kind, Connector: c, limits: s.limitsOf(a, kind), pulse: s.pulseOf(id), observer: s.Observer}
	if d, ok := settings.(ca.Deputed); ok {
		o.Deputy = d.RevokesThrough()
	}
	if g, ok := settings.(ca.Guarded); ok {
		guard := g.Guard()
		o.Guard = &guard
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[ra.AuthorityID]*Open{}
	}
	s.open[id] = o
	return o, nil
}

// Opened is Open where that needs nothing but a view of the configuration: it
// gives nil when the authority has to be opened first, or is switched off.
func (s *Service) Opened(c *store.Config, id ra.AuthorityID) (*Open, error) {
	a, err := c.Authority(id)
	if err != nil || a.Disabled || s.Hold != nil && s.Hold() != nil {
		return nil, err
	}
	return s.cached(a), nil
}

// cached gives the open connector if it was made from the row as it is now.
func (s *Service) cached(a *ra.Authority) *Open {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.open[a.ID]
	if o == nil || !o.Authority.UpdatedAt.Equal(a.UpdatedAt) {
		return nil
	}
	return o
}

func (s *Service) forget(id ra.AuthorityID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

// settings reads an authority's settings with its secrets unsealed.
func (s *Service) settings(tx *store.Tx, a *ra.Authority) (ca.Settings, error) {
	kind, err := s.Kind(a.Kind)
	if err != nil {
		return nil, err
	}
	v := kind.New()
	setting.Defaults(v)
	if err := setting.Load(v, a.Settings); err != nil {
		return nil, err
	}
	boxes, err := tx.Sealed(string(a.ID))
	if err != nil {
		return nil, err
	}
	for _, f := range setting.Secrets(v) {
		box, ok := boxes[f.Name]
		if !ok {
			continue
		}
		plain, err := s.Box.Open(table, string(a.ID), f.Name, box)
		if err != nil {
			return nil, err
		}
		*f.Value = secret.New(string(plain))
	}
	return v, nil
}

// put stores settings into the row's JSON and the sealed table. The row itself
// is stored by the caller.
func (s *Service) put(tx *store.Tx, a *ra.Authority, v ca.Settings) (err error) {
	if a.Settings, err = setting.ToJSON(v); err != nil {
		return err
	}
	for _, f := range setting.Secrets(v) {
		if !f.Value.IsSet() {
			if err := tx.DeleteSealed(string(a.ID), f.Name); err != nil {
				return err
			}
			continue
		}
		box, err := s.Box.Seal(table, string(a.ID), f.Name, []byte(f.Value.Reveal()))
		if err != nil {
			return err
		}
		if err := tx.PutSealed(string(a.ID), f.Name, box); err != nil {
			return err
		}
	}
	return nil
}

// PutChain stores an authority's certificates, the issuing one first.
func PutChain(tx *store.Tx, id ra.AuthorityID, chain []*x509.Certificate) error {
	certs := make([]store.Issuer, len(chain))
	for i, c := range chain {
		certs[i] = store.Issuer{AuthorityID: id, Fingerprint: Hash(c.Raw), SPKIHash: Hash(c.RawSubjectPublicKeyInfo), Position: i, DER: c.Raw}
	}
	return tx.PutIssuers(id, certs)
}

// Hash is SHA-256 in lower-case hex: fingerprints and key identities.
func Hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
