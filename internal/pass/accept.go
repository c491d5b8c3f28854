package pass

import (
	"bytes"
	"context"
	"crypto/x509"
	"slices"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// ShownCertificate is a certificate that a server shows in GetCACert, or that is
// kept as its authority's.
type ShownCertificate struct {
	Subject     string // RFC 4514
	Fingerprint string // SHA-256, hex
	NotAfter    time.Time
	CA          bool
	Kept, Shown bool
}

// CompareCA asks the server of an authority for its certificates and sets them
// beside those that are kept. changed tells that devices are not given them,
// because nobody has accepted them yet. Errors are NotFound, Denied, Invalid for
// an authority without a SCEP server, and Unreachable.
func (s *Service) CompareCA(ctx context.Context, actor ra.Actor, id ra.AuthorityID) (list []ShownCertificate, changed bool, err error) {
	certs, _, err := s.shownBy(ctx, actor, id)
	if err != nil {
		return nil, false, err
	}
	var kept []store.Issuer
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		kept, err = tx.Issuers(id)
		return err
	}); err != nil {
		return nil, false, err
	}
	if changed = len(kept) == 0; !changed {
		err := s.Trust(ctx, id, certs)
		if changed = ra.KindOf(err) == ra.Conflict; err != nil && !changed {
			return nil, false, err
		}
	}
	for _, c := range readable(certs) {
		v := shownCertificate(c)
		v.Shown = true
		v.Kept = slices.ContainsFunc(kept, func(i store.Issuer) bool { return bytes.Equal(i.DER, c.Raw) })
		list = append(list, v)
	}
	for _, i := range kept {
		c, err := x509.ParseCertificate(i.DER)
		if err != nil || slices.ContainsFunc(list, func(v ShownCertificate) bool { return v.Fingerprint == i.Fingerprint }) {
			continue // nothing to show of one that cannot be read
		}
		v := shownCertificate(c)
		v.Kept = true
		list = append(list, v)
	}
	return list, changed, nil
}

func shownCertificate(c *x509.Certificate) ShownCertificate {
	v := ShownCertificate{Subject: c.Subject.String(), Fingerprint: authority.Hash(c.Raw), NotAfter: c.NotAfter, CA: c.IsCA}
	if name, err := pkixmsg.ParseNameDER(c.RawSubject); err == nil {
		v.Subject = name.String()
	}
	return v
}

// AcceptSeen keeps the certificates that the server of an authority shows, as
// long as they are those that a person has seen: fingerprints are theirs, in any
// order. Others are a Conflict, and nothing is kept.
func (s *Service) AcceptSeen(ctx context.Context, actor ra.Actor, id ra.AuthorityID, fingerprints []string) error {
	certs, a, err := s.shownBy(ctx, actor, id)
	if err != nil {
		return err
	}
	prints := []string{}
	for _, c := range certs {
		prints = append(prints, authority.Hash(c.Raw))
	}
	seen := slices.Clone(fingerprints)
	slices.Sort(seen)
	sorted := slices.Clone(prints)
	slices.Sort(sorted)
	if !slices.Equal(slices.Compact(seen), slices.Compact(sorted)) {
		return ra.Errorf(ra.Conflict, "The server shows other certificates than those that were looked at.").WithField("fingerprints").
			WithRemedy("Compare them again, and ask the owner of the server if they keep changing.")
	}
	return s.keepCA(ctx, id, certs, func(tx *store.Tx) error {
		return audit.Record(tx, audit.Entry{Code: audit.AuthorityChanged, Actor: actor, Group: a.GroupID, Object: string(id),
			Message: "The certificates that the SCEP server of " + a.Name + " shows were accepted.", Details: map[string]any{"fingerprints": prints}})
	})
}

// shownBy asks the server of an authority that the actor may change.
func (s *Service) shownBy(ctx context.Context, actor ra.Actor, id ra.AuthorityID) ([]*cms.Certificate, *ra.Authority, error) {
	var a *ra.Authority
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if a, err = tx.Authority(id); err != nil {
			return err
		}
		return access.CheckGroup(tx, actor, access.EditAuthorities, a.GroupID)
	}); err != nil {
		return nil, nil, err
	}
	o, server, err := s.forwarder(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	answer, err := o.Connector.(ca.Forwarder).Forward(ctx, scepmsg.OpGetCACert, []byte(server.CAIdentifier))
	if err != nil {
		return nil, nil, err
	}
	certs, err := scepmsg.ParseCACert(answer.Body, cms.Limits{MaxBytes: MaxCACert})
	if err != nil {
		return nil, nil, ra.Errorf(ra.Unreachable, "The server's answer to GetCACert cannot be read.").WithRemedy("Test the connection of the authority.").WithCause(err)
	}
	return certs, a, nil
}
