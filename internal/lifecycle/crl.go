package lifecycle

import (
	"context"
	"crypto/x509"
	"math/big"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// CRL gives the current DER CRL of an issuer (the SHA-256 of its public key,
// hex, or the first 16 digits of it). A revocation since the last one makes a
// new one first, so that what was revoked is in the next answer.
func (s *Service) CRL(ctx context.Context, issuerHash string) (store.CRL, error) {
	i, err := s.issuer(ctx, issuerHash)
	if err != nil {
		return store.CRL{}, err
	}
	var crl store.CRL
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		crl, err = tx.CRL(i.AuthorityID, i.SPKIHash)
		return err
	})
	if err == nil && !crl.Stale && crl.NextUpdate.After(s.Now()) {
		return crl, nil
	}
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return store.CRL{}, err
	}
	return s.publish(ctx, i.AuthorityID, i.SPKIHash)
}

// Issuer gives an authority certificate by the SHA-256 of its public key, hex,
// or the first 16 digits of it.
func (s *Service) Issuer(ctx context.Context, issuerHash string) (*x509.Certificate, error) {
	i, err := s.issuer(ctx, issuerHash)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(i.DER)
}

func (s *Service) issuer(ctx context.Context, issuerHash string) (found store.Issuer, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		found, err = tx.IssuerByPrefix(issuerHash)
		return err
	})
	return found, err
}

// PublishDue makes the CRLs that are stale or near their end.
func (s *Service) PublishDue(ctx context.Context) error {
	var all []*ra.Authority
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		o, err := s.Authorities.Open(ctx, a.ID)
		if err != nil {
			continue // switched off or unusable; its own page says so
		}
		signer, ok := o.Connector.(ca.CRLSigner)
		if !ok {
			continue
		}
		for _, i := range signer.Issuers() {
			if err := s.publishIfDue(ctx, a.ID, authority.Hash(i.RawSubjectPublicKeyInfo), signer); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) publishIfDue(ctx context.Context, id ra.AuthorityID, hash string, signer ca.CRLSigner) error {
	_, overlap := signer.CRLTimes()
	var crl store.CRL
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		crl, err = tx.CRL(id, hash)
		return err
	})
	switch {
	case err == nil && !crl.Stale && crl.NextUpdate.Add(-overlap).After(s.Now()):
		return nil
	case err != nil && ra.KindOf(err) != ra.NotFound:
		return err
	}
	_, err = s.publish(ctx, id, hash)
	return err
}

// publish gathers the revoked certificates of an issuer from their rows, has
// the CRL signed under the next number, and stores it.
func (s *Service) publish(ctx context.Context, id ra.AuthorityID, hash string) (store.CRL, error) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	o, err := s.Authorities.Open(ctx, id)
	if err != nil {
		return store.CRL{}, err
	}
	signer, ok := o.Connector.(ca.CRLSigner)
	if !ok {
		return store.CRL{}, ra.Errorf(ra.NotFound, "The CRL of %q is published by the authority itself.", o.Authority.Name).WithRemedy("Use the address the certificate names.")
	}
	crl := store.CRL{AuthorityID: id, IssuerHash: hash, Number: 1}
	var entries []store.RevokedEntry
	// One transaction reads the rows and stores the CRL: what is revoked later
	// marks it stale again.
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		former, err := tx.CRL(id, hash)
		if err == nil {
			crl.Number = former.Number + 1
		} else if ra.KindOf(err) != ra.NotFound {
			return err
		}
		entries, err = tx.RevokedBy(hash)
		if err != nil {
			return err
		}
		validity, _ := signer.CRLTimes()
		crl.ThisUpdate, crl.NextUpdate = tx.Now.Truncate(time.Second), tx.Now.Truncate(time.Second).Add(validity)
		list, err := revocationList(entries)
		if err != nil {
			return err
		}
		if crl.DER, err = signer.SignCRLFor(ctx, hash, ca.CRLOrder{Number: crl.Number, ThisUpdate: crl.ThisUpdate, NextUpdate: crl.NextUpdate, Entries: list}); err != nil {
			return err
		}
		if err := tx.PutCRL(crl); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.CRLPublished, Actor: ra.System("lifecycle"), Group: o.Authority.GroupID, Object: string(id), Message: "CRL published by " + o.Authority.Name,
			Details: map[string]any{"number": crl.Number, "entries": len(entries), "next_update": crl.NextUpdate, "issuer": hash[:16]}})
	})
	return crl, err
}

func revocationList(entries []store.RevokedEntry) ([]x509.RevocationListEntry, error) {
	out := make([]x509.RevocationListEntry, len(entries))
	for i, e := range entries {
		serial, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok {
			return nil, ra.Errorf(ra.Internal, "A stored serial number is not a number.").WithRemedy("Run chancery doctor.")
		}
		out[i] = x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.RevokedAt, ReasonCode: int(e.Reason)}
	}
	return out, nil
}
