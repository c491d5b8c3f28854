package enroll

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// record writes the answer: the certificate with its obligation, the request's
// end, the replaced certificate's grace and the audit entry, in one
// transaction. Recording the same answer twice changes nothing.
func (s *Service) record(ctx context.Context, r *ra.Request, reply ca.Reply, chain []*x509.Certificate) (*ra.Request, error) {
	leaf := reply.Chain[0]
	if err := s.matches(r, leaf, reply.Key); err != nil {
		return s.postpone(ctx, r, err)
	}
	issuer, err := issuerIn(leaf, chain)
	if err != nil {
		return s.postpone(ctx, r, err)
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		s.step(StepRecord)
		fresh, err := tx.Request(r.ID)
		if err != nil {
			return err
		}
		if r = fresh; Ended(r.State) {
			return nil
		}
		t, err := tx.Template(r.TemplateID)
		if err != nil {
			return err
		}
		c := Row(leaf, issuer, tx.Now)
		c.GroupID, c.AuthorityID, c.TemplateID, c.DeviceID, c.UserID = r.GroupID, r.AuthorityID, r.TemplateID, r.DeviceID, r.UserID
		c.RequestID, c.KeyPlace, c.Renews = r.ID, r.KeyPlace, r.Renews
		c.Obligation = Duty(c, &t.Spec)
		if err := tx.CreateCertificate(c); err != nil {
			return err
		}
		if len(chain) > 1 {
			if err := authority.PutChain(tx, r.AuthorityID, chain[1:]); err != nil {
				return err
			}
		}
		if reply.Key != nil {
			if err := s.sealKey(tx, r.ID, reply.Key); err != nil {
				return err
			}
		}
		if r.Renews != "" {
			if err := supersede(tx, r.Renews, c, &t.Spec); err != nil {
				return err
			}
		}
		r.CertificateID, r.LastError = c.ID, ""
		if reply.Handle != "" {
			r.Handle = reply.Handle
		}
		if err := move(r, ra.Issued); err != nil {
			return err
		}
		if err := tx.UpdateRequest(r); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.CertificateIssued, Actor: ra.System("enroll"), Group: c.GroupID, Object: string(c.ID), Related: string(r.ID),
			Message: "Certificate issued: " + c.Subject, Details: map[string]any{"serial": c.Serial, "fingerprint": c.Fingerprint, "not_after": c.NotAfter,
				"device": c.DeviceID, "renews": c.Renews, "authority": c.AuthorityID}})
	})
	return r, err
}

// matches checks that the certificate is for the key that was asked about, and
// for nobody else's.
func (s *Service) matches(r *ra.Request, leaf *x509.Certificate, key crypto.Signer) error {
	got := authority.Hash(leaf.RawSubjectPublicKeyInfo)
	want := r.SPKIHash
	if key != nil {
		spki, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return err
		}
		want = authority.Hash(spki)
	}
	if got != want {
		return ra.Errorf(ra.RefusedByCA, "The authority answered with a certificate for another key.").
			WithRemedy("Look at the authority's own record of this request; nothing was stored.").WithRetry(ra.Never)
	}
	return nil
}

// issuerIn finds who signed leaf among the chain: its key is half of the
// certificate's identity.
func issuerIn(leaf *x509.Certificate, chain []*x509.Certificate) (*x509.Certificate, error) {
	for _, c := range chain[1:] {
		if leaf.CheckSignatureFrom(c) == nil {
			return c, nil
		}
	}
	return nil, ra.Errorf(ra.RefusedByCA, "The authority answered without the certificate that issued this one.").
		WithRemedy("Test the connection of the authority: its chain must be readable.").WithRetry(10 * time.Minute)
}

// Row describes an issued certificate as a row, without whom it is for.
func Row(leaf, issuer *x509.Certificate, now time.Time) *ra.Certificate {
	c := &ra.Certificate{
		ID: ra.NewID[ra.CertificateID](ra.CertificatePrefix, now), IssuerHash: authority.Hash(issuer.RawSubjectPublicKeyInfo),
		Serial: Serial(leaf), DER: leaf.Raw, Fingerprint: authority.Hash(leaf.Raw), SPKIHash: authority.Hash(leaf.RawSubjectPublicKeyInfo),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, State: ra.Valid, KeyType: string(pkixmsg.DescribeKey(leaf.PublicKey).Type),
	}
	if name, err := pkixmsg.ParseNameDER(leaf.RawSubject); err == nil {
		c.Subject = name.String()
	} else {
		c.Subject = leaf.Subject.String()
	}
	c.SANs = sansOf(leaf)
	return c
}

// Serial is a certificate's serial number as rows keep it.
func Serial(c *x509.Certificate) string { return strings.ToLower(c.SerialNumber.Text(16)) }

func sansOf(c *x509.Certificate) []string {
	for _, e := range c.Extensions {
		if e.Id.String() != pkixmsg.OIDSubjectAltName {
			continue
		}
		names, err := pkixmsg.ParseSubjectAltName(e.Value)
		if err != nil {
			return []string{"unreadable"}
		}
		return sanTexts(names)
	}
	return []string{}
}

// Duty is what happens next to a fresh certificate. Renewals due on the same
// day are spread over a twentieth of the time before expiry.
func Duty(c *ra.Certificate, spec *ra.TemplateSpec) ra.Obligation {
	if !spec.AutoRenew {
		return ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter, Deadline: c.NotAfter.Add(24 * time.Hour)}
	}
	before := spec.RenewBefore.Duration()
	if before <= 0 || before >= c.Lifetime() {
		before = c.Lifetime() / 3
	}
	at := c.NotAfter.Add(-before).Add(spread(before / 20))
	action := ra.ActionRenew
	if c.KeyPlace == ra.KeyOnDevice {
		action = ra.ActionAwait
	}
	return ra.Obligation{Action: action, At: at, Deadline: c.NotAfter.Add(-before / 2)}
}

// spread is a random part of span: it keeps renewals from falling on one
// minute.
func spread(span time.Duration) time.Duration {
	if span <= 0 {
		return 0
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(span)))
	if err != nil {
		return 0 // crypto/rand does not fail
	}
	return time.Duration(n.Int64())
}

// supersede puts the replaced certificate into its grace period. One that was
// replaced before (the successor never reached the device) gives its former
// successor up too.
func supersede(tx *store.Tx, id ra.CertificateID, by *ra.Certificate, spec *ra.TemplateSpec) error {
	old, err := tx.Certificate(id)
	if err != nil {
		return err
	}
	if lost := old.RenewedBy; lost != "" && lost != by.ID {
		former, err := tx.Certificate(lost)
		if err != nil {
			return err
		}
		if former.State == ra.Valid {
			retire(former, by.ID, tx.Now, spec)
			if err := tx.UpdateCertificate(former); err != nil {
				return err
			}
		}
	}
	retire(old, by.ID, tx.Now, spec)
	return tx.UpdateCertificate(old)
}

func retire(c *ra.Certificate, by ra.CertificateID, now time.Time, spec *ra.TemplateSpec) {
	c.RenewedBy = by
	if c.State == ra.Valid {
		c.State = ra.Superseded
	}
	if c.State != ra.Superseded {
		return
	}
	c.Obligation = ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter, Deadline: c.NotAfter.Add(24 * time.Hour)}
	if end := now.Add(spec.Grace.Duration()); spec.RevokeReplaced && end.Before(c.NotAfter) {
		c.Obligation = ra.Obligation{Action: ra.ActionRetire, At: end, Deadline: end.Add(24 * time.Hour)}
	}
}
