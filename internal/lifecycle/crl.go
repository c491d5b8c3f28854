package lifecycle

import (
	"context"
	"crypto/x509"
	"math/big"
	"slices"
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
	if ra.KindOf(err) == ra.NotFound {
		err = nil
	}
	if err != nil || current(crl, s.Now()) {
		return crl, err
	}
	o, signer, err := s.signerOf(ctx, i.AuthorityID)
	if err != nil {
		return store.CRL{}, err
	}
	return s.publish(ctx, o, signer, i.SPKIHash, 0)
}

// current reports whether a CRL holds everything and lasts.
func current(crl store.CRL, now time.Time) bool { return !crl.Stale && crl.NextUpdate.After(now) }

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

// PublishDue makes the CRLs that are stale or near their end. One authority
// that cannot sign does not keep the others from it; a switched-off one still
// publishes, because what it issued is still in use.
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
		o, signer, err := s.signerOf(ctx, a.ID)
		if err != nil {
			continue // publishes itself, or cannot be opened; its own page says so
		}
		_, overlap := signer.CRLTimes()
		for _, i := range signer.Issuers() {
			if _, err := s.publish(ctx, o, signer, authority.Hash(i.RawSubjectPublicKeyInfo), overlap); err != nil {
				s.Log.Error("CRL cannot be published", "authority", a.Name, "issuer", i.Subject.String(), "error", err)
			}
		}
	}
	return nil
}

// signerOf opens an authority whose CRLs are signed here.
func (s *Service) signerOf(ctx context.Context, id ra.AuthorityID) (*authority.Open, ca.CRLSigner, error) {
	o, err := s.Authorities.Reach(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := o.Connector.(ca.CRLSigner)
	if !ok {
		return nil, nil, ra.Errorf(ra.NotFound, "The CRL of %q is published by the authority itself.", o.Authority.Name).WithRemedy("Use the address the certificate names.")
	}
	return o, signer, nil
}

// publish gives the CRL of an issuer whose key is here. One that is stale, or
// ends within the overlap, is made anew first: the revoked certificates are
// gathered from their rows and signed under the next number. Of many that want
// a new CRL at once, on any node, one makes it.
func (s *Service) publish(ctx context.Context, o *authority.Open, signer ca.CRLSigner, hash string, overlap time.Duration) (store.CRL, error) {
	if !slices.ContainsFunc(signer.Issuers(), func(i *x509.Certificate) bool { return authority.Hash(i.RawSubjectPublicKeyInfo) == hash }) {
		return store.CRL{}, ra.Errorf(ra.NotFound, "The key of this issuer is not here.").WithRemedy("Use the address the certificate names.")
	}
	s.publishing.Lock()
	defer s.publishing.Unlock()
	id := o.Authority.ID
	var crl store.CRL
	find := func(tx *store.Tx) (err error) {
		crl, err = tx.CRL(id, hash)
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		return err
	}
	if err := s.DB.Read(ctx, find); err != nil || current(crl, s.Now().Add(overlap)) {
		return crl, err
	}
	// One transaction reads the rows and stores the CRL: what is revoked later
	// marks it stale again.
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := find(tx); err != nil || current(crl, tx.Now.Add(overlap)) {
			return err
		}
		entries, err := tx.RevokedBy(hash)
		if err != nil {
			return err
		}
		list, err := revocationList(entries)
		if err != nil {
			return err
		}
		validity, _ := signer.CRLTimes()
		this := tx.Now.Truncate(time.Second)
		crl = store.CRL{AuthorityID: id, IssuerHash: hash, Number: crl.Number + 1, ThisUpdate: this, NextUpdate: this.Add(validity)}
		if crl.DER, err = signer.SignCRLFor(ctx, hash, ca.CRLOrder{Number: crl.Number, ThisUpdate: crl.ThisUpdate, NextUpdate: crl.NextUpdate, Entries: list}); err != nil {
			return err
		}
		if err := tx.PutCRL(crl); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.CRLPublished, Actor: ra.System("lifecycle"), Group: o.Authority.GroupID, Object: string(id), Message: "CRL published by " + o.Authority.Name,
			Details: map[string]any{"number": crl.Number, "entries": len(entries), "next_update": crl.NextUpdate, "issuer": hash[:16]}})
	})
	if ra.KindOf(err) == ra.Conflict {
		err = s.DB.Read(ctx, find) // another node made the very first one
	}
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
