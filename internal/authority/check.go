package authority

import (
	"bytes"
	"context"
	"crypto/x509"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// Test runs the steps of Test connection on a stored authority and reports
// each as it ends. Whether it worked is in the steps, not in the error.
func (s *Service) Test(ctx context.Context, actor ra.Actor, id ra.AuthorityID, report func(ca.Step)) error {
	a, err := s.Get(ctx, actor, id)
	if err != nil {
		return err
	}
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		return access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID)
	}); err != nil {
		return err
	}
	o, err := s.Reach(ctx, id)
	if err != nil {
		return err
	}
	failed := 0
	check(ctx, o.Connector, func(step ca.Step) {
		if step.State == ca.StepFailed {
			failed++
		}
		report(step)
	})
	if s.Guard != nil && o.Guard != nil {
		step := ca.Step{Name: "guard", State: ca.StepSkipped}
		if failed == 0 {
			step = s.Guard(ctx, actor, id)
		}
		report(step)
	}
	result := "ok"
	if failed > 0 {
		result = "failed"
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		return audit.Record(tx, audit.Entry{Code: audit.AuthorityTested, Actor: actor, Group: a.GroupID, Object: string(id), Result: result,
			Message: "Connection to authority " + a.Name + " tested."})
	})
}

// TestSettings runs the same steps on settings that are not stored yet. For a
// change of a stored authority, id names whose secrets are kept.
func (s *Service) TestSettings(ctx context.Context, actor ra.Actor, kindID string, id ra.AuthorityID, group ra.GroupID, raw []byte, report func(ca.Step)) error {
	kind, err := s.Kind(kindID)
	if err != nil {
		return err
	}
	a := &ra.Authority{ID: id, GroupID: group, Name: "new authority", Kind: kind.ID}
	settings := kind.New()
	setting.Defaults(settings)
	var old ca.Settings
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if id != "" {
			if a, err = s.editable(tx, actor, id); err != nil {
				return err
			}
			if old, err = s.settings(tx, a); err != nil {
				return err
			}
			settings, err = s.settings(tx, a)
			return err
		}
		return access.CheckGroup(tx, actor, access.EditAuthorities, group)
	})
	if err != nil {
		return err
	}
	if err := setting.FromJSON(settings, orEmpty(raw)); err != nil {
		return prefixed("settings", err)
	}
	if err := checkHost(actor, old, settings); err != nil {
		return err
	}
	if p, ok := settings.(ca.Provisioner); ok && id == "" {
		if err := p.Provision(ctx, s.env(a)); err != nil {
			return err
		}
	}
	c, err := settings.Connect(ctx, s.env(a))
	if err != nil {
		return prefixed("settings", err)
	}
	check(ctx, c, report)
	return nil
}

func check(ctx context.Context, c ca.Connector, report func(ca.Step)) {
	checker, ok := c.(ca.Checker)
	if !ok {
		report(ca.Step{Name: "settings", State: ca.StepOK, Detail: "This kind of authority has nothing to test beyond its settings."})
		return
	}
	checker.Check(ctx, report)
}

// Catalog asks the authority for the choices of one of its form's look-ups.
func (s *Service) Catalog(ctx context.Context, actor ra.Actor, id ra.AuthorityID, lookup string, chosen map[string]string) (list []ca.Profile, err error) {
	if _, err := s.Get(ctx, actor, id); err != nil {
		return nil, err
	}
	o, err := s.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	c, ok := o.Connector.(ca.Cataloger)
	if !ok {
		return []ca.Profile{}, nil
	}
	err = o.Do(ctx, func(ca.Connector) error {
		list, err = c.Catalog(ctx, lookup, chosen)
		return err
	})
	return list, err
}

// CSR gives a DER PKCS#10 for the authority's own signing certificate, when a
// superior CA signs it.
func (s *Service) CSR(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (csr []byte, err error) {
	a, err := s.Get(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	err = s.changeSettings(ctx, actor, id, "A request for the signing certificate of %s was made.", func(v ca.Settings) error {
		sub, ok := v.(ca.Subordinate)
		if !ok {
			return notOurs(a)
		}
		csr, err = sub.CSR()
		return err
	})
	return csr, err
}

// Install takes the superior CA's answer: the signing certificate and its
// chain.
func (s *Service) Install(ctx context.Context, actor ra.Actor, id ra.AuthorityID, chain []*x509.Certificate) error {
	a, err := s.Get(ctx, actor, id)
	if err != nil {
		return err
	}
	err = s.changeSettings(ctx, actor, id, "A new signing certificate of %s was installed.", func(v ca.Settings) error {
		sub, ok := v.(ca.Subordinate)
		if !ok {
			return notOurs(a)
		}
		return sub.Install(chain, s.Now())
	})
	if err != nil {
		return err
	}
	s.remember(ctx, a)
	return nil
}

// Renew replaces the authority's signing certificate and key, where both are
// made here. The former one is kept for what it signed.
func (s *Service) Renew(ctx context.Context, actor ra.Actor, id ra.AuthorityID) error {
	a, err := s.Get(ctx, actor, id)
	if err != nil {
		return err
	}
	env := s.env(a)
	err = s.changeSettings(ctx, actor, id, "The signing certificate of %s was renewed.", func(v ca.Settings) error {
		r, ok := v.(ca.Renewer)
		if !ok {
			return notOurs(a)
		}
		return r.Renew(ctx, env)
	})
	if err != nil {
		return err
	}
	s.remember(ctx, a)
	return nil
}

func notOurs(a *ra.Authority) error {
	return ra.Errorf(ra.Invalid, "The certificate of %q is not made here.", a.Name).
		WithRemedy("Only an embedded CA has its own certificate renewed or signed through Chancery.")
}

// Chain gives the authority's certificates, the issuing one first, as stored.
func (s *Service) Chain(ctx context.Context, id ra.AuthorityID) (chain []*x509.Certificate, err error) {
	var issuers []store.Issuer
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		issuers, err = tx.Issuers(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return Current(issuers)
}

// Ask is Chain, and asks an authority elsewhere for its certificates when none
// are stored yet.
func (s *Service) Ask(ctx context.Context, id ra.AuthorityID) ([]*x509.Certificate, error) {
	chain, err := s.Chain(ctx, id)
	if err != nil || len(chain) > 0 {
		return chain, err
	}
	o, err := s.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := o.Do(ctx, func(ca.Connector) error { return s.putChain(ctx, o) }); err != nil {
		return nil, err
	}
	return s.Chain(ctx, id)
}

// Current gives the chain in use among an authority's stored certificates: the
// issuing one, which is stored first, and what is above it.
func Current(issuers []store.Issuer) ([]*x509.Certificate, error) {
	if len(issuers) == 0 {
		return nil, nil
	}
	issuing, err := x509.ParseCertificate(issuers[0].DER)
	if err != nil {
		return nil, err
	}
	return ChainOf(issuing, issuers)
}

// ChainOf gives leaf and, by signature, the stored certificates above it.
func ChainOf(leaf *x509.Certificate, issuers []store.Issuer) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, i := range issuers {
		c, err := x509.ParseCertificate(i.DER)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	chain := []*x509.Certificate{leaf}
	for next := leaf; !bytes.Equal(next.RawIssuer, next.RawSubject) && len(chain) <= len(certs); {
		if next = issuerOf(next, certs); next == nil {
			break
		}
		chain = append(chain, next)
	}
	return chain, nil
}

func issuerOf(c *x509.Certificate, certs []*x509.Certificate) *x509.Certificate {
	for _, i := range certs {
		if bytes.Equal(c.RawIssuer, i.RawSubject) && c.CheckSignatureFrom(i) == nil {
			return i
		}
	}
	return nil
}

// ParseChain is ChainOf for a DER certificate.
func ParseChain(der []byte, issuers []store.Issuer) ([]*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return ChainOf(leaf, issuers)
}
