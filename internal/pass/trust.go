package pass

import (
	"bytes"
	"context"
	"crypto/x509"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// Trust looks at the certificates that a server shows in GetCACert. The CA
// certificates among the first ones ever seen are kept as the authority's. From
// then on others are a Conflict: a certificate counts as known when it is kept,
// or was signed by one that is, so that a renewed RA certificate needs nobody's
// word. GetCACert is not authenticated: whoever sits in between could have
// devices encrypt to another key.
func (s *Service) Trust(ctx context.Context, id ra.AuthorityID, certs []*cms.Certificate) error {
	var stored []store.Issuer
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		config, err := tx.Config()
		if err == nil {
			stored, err = config.Issuers(id)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(stored) == 0 {
		return s.keepCA(ctx, id, certs, nil)
	}
	var known []*x509.Certificate
	for _, i := range stored {
		if c, err := x509.ParseCertificate(i.DER); err == nil {
			known = append(known, c)
		}
	}
	left := readable(certs)
	if len(left) < len(certs) {
		return changed()
	}
	for progress := true; progress; {
		progress = false
		for i, c := range left {
			if shown(known, c.Raw) || issuerAmong(known, c) != nil {
				known, left, progress = append(known, c), append(left[:i:i], left[i+1:]...), true
				break
			}
		}
	}
	for _, c := range left {
		if !signs(c, known) { // a root above what is known is no surprise
			return changed()
		}
	}
	return nil
}

// signs reports whether c issued one of the others.
func signs(c *x509.Certificate, others []*x509.Certificate) bool {
	for _, o := range others {
		if bytes.Equal(o.RawIssuer, c.RawSubject) && o.CheckSignatureFrom(c) == nil {
			return true
		}
	}
	return false
}

func readable(certs []*cms.Certificate) (out []*x509.Certificate) {
	for _, c := range certs {
		if x, err := x509.ParseCertificate(c.Raw); err == nil {
			out = append(out, x)
		}
	}
	return out
}

func changed() error {
	return ra.Errorf(ra.Conflict, "The server shows CA certificates that nobody has seen before.").
		WithRemedy("Ask the owner of the server. If the CA was replaced, accept its certificates at the authority; if not, somebody sits in between.")
}

// keepCA stores the CA certificates of a server as its authority's, the issuing
// one first. audited, unless nil, takes part.
func (s *Service) keepCA(ctx context.Context, id ra.AuthorityID, certs []*cms.Certificate, audited func(*store.Tx) error) error {
	var cas []*x509.Certificate
	for _, c := range readable(certs) {
		if c.IsCA {
			cas = append(cas, c)
		}
	}
	chain := []*x509.Certificate{}
	for _, c := range cas { // who signed none of the others issues
		if others := without(cas, c); !signs(c, others) {
			chain = append(chain, c)
		}
	}
	for i := 0; i < len(chain); i++ {
		if above := issuerAmong(cas, chain[i]); above != nil && !shown(chain, above.Raw) {
			chain = append(chain, above)
		}
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := authority.PutChain(tx, id, chain); err != nil || audited == nil {
			return err
		}
		return audited(tx)
	})
}

func without(set []*x509.Certificate, c *x509.Certificate) (out []*x509.Certificate) {
	for _, o := range set {
		if !o.Equal(c) {
			out = append(out, o)
		}
	}
	return out
}

// AcceptCA asks the server of an authority for its certificates and keeps them
// as they are now: the word of a person that a change is right.
func (s *Service) AcceptCA(ctx context.Context, actor ra.Actor, id ra.AuthorityID) error {
	var a *ra.Authority
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if a, err = tx.Authority(id); err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID)
	}); err != nil {
		return err
	}
	o, server, err := s.forwarder(ctx, id)
	if err != nil {
		return err
	}
	answer, err := o.Connector.(ca.Forwarder).Forward(ctx, scepmsg.OpGetCACert, []byte(server.CAIdentifier))
	if err != nil {
		return err
	}
	certs, err := scepmsg.ParseCACert(answer.Body, cms.Limits{MaxBytes: MaxCACert})
	if err != nil {
		return ra.Errorf(ra.Unreachable, "The server's answer to GetCACert cannot be read.").WithRemedy("Test the connection of the authority.").WithCause(err)
	}
	prints := []string{}
	for _, c := range certs {
		prints = append(prints, authority.Hash(c.Raw))
	}
	return s.keepCA(ctx, id, certs, func(tx *store.Tx) error {
		return audit.Record(tx, audit.Entry{Code: audit.AuthorityChanged, Actor: actor, Group: a.GroupID, Object: string(id),
			Message: "The certificates that the SCEP server of " + a.Name + " shows were accepted.", Details: map[string]any{"fingerprints": prints}})
	})
}

// MaxCACert is the largest answer to GetCACert that is read, in bytes.
const MaxCACert = 256 << 10
