package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"slices"
	"strings"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/directory"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// record writes the answer: the certificate with its obligation, the request's
// end, the replaced certificate's grace and the audit entry, in one
// transaction. Recording the same answer twice changes nothing.
func (s *Service) record(ctx context.Context, r *ra.Request, reply ca.Reply, chain []*x509.Certificate) (*ra.Request, error) {
	r, _, err := s.keep(ctx, r, nil, reply, chain)
	return r, err
}

// keep is record, and gives the certificate when this call stored it. p spares a
// look at the template and the chain; nil when there is none.
func (s *Service) keep(ctx context.Context, r *ra.Request, p *Prepared, reply ca.Reply, chain []*x509.Certificate) (*ra.Request, *ra.Certificate, error) {
	ctx, span := s.Observer.Start(ctx, "enroll.record", "request", string(r.ID))
	r, c, err := s.write(ctx, r, p, reply, chain)
	span.End(err)
	return r, c, err
}

// write is keep without those who watch.
func (s *Service) write(ctx context.Context, r *ra.Request, p *Prepared, reply ca.Reply, chain []*x509.Certificate) (*ra.Request, *ra.Certificate, error) {
	leaf := reply.Chain[0]
	keyLost := r.KeyPlace == ra.KeyAtCA && reply.Key == nil
	if err := s.matches(r, leaf, reply.Key); err != nil && !keyLost {
		r, err = s.postpone(ctx, r, err)
		return r, nil, err
	}
	issuer, err := reply.Issuer, error(nil)
	if issuer == nil {
		issuer, err = s.issuerOf(ctx, r.AuthorityID, leaf, chain)
	}
	if err != nil {
		r, err = s.postpone(ctx, r, err)
		return r, nil, err
	}
	row := Row(leaf, issuer, s.Now())
	var stored, replaced *ra.Certificate
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		s.step(StepRecord)
		fresh, err := tx.Request(r.ID)
		if err != nil {
			return err
		}
		stored = nil // this function may run again
		if r = fresh; r.CertificateID != "" {
			return nil
		}
		t, known, err := settings(tx, r, p)
		if err != nil {
			return err
		}
		copied := *row
		c := &copied
		c.GroupID, c.AuthorityID, c.TemplateID, c.DeviceID, c.UserID = r.GroupID, r.AuthorityID, r.TemplateID, r.DeviceID, r.UserID
		c.RequestID, c.KeyPlace, c.Renews = r.ID, r.KeyPlace, r.Renews
		unwanted, err := s.unwanted(tx, r, t)
		if err != nil {
			return err
		}
		if keyLost {
			unwanted = "its key was lost on the way from the authority"
		}
		if c.Obligation = Duty(c, &t.Spec); unwanted != "" {
			c.State, c.RevokedAt, c.Reason = ra.Revoked, tx.Now, ra.CessationOfOperation
			c.Obligation = ra.Obligation{Action: ra.ActionRevoke, At: tx.Now, Deadline: tx.Now.Add(time.Hour)}
		}
		if err := tx.CreateCertificate(c); err != nil {
			return err
		}
		if err := directory.Publish(tx, c, &t.Spec); err != nil {
			return err
		}
		if err := s.promiseKey(tx, c, &t.Spec, reply.Key); err != nil {
			return err
		}
		if len(chain) > 1 && chain[1].Equal(issuer) {
			if err := putChain(tx, known, r.AuthorityID, chain[1:]); err != nil {
				return err
			}
		}
		if reply.Key != nil && unwanted == "" {
			if err := s.sealKey(tx, r.ID, reply.Key); err != nil {
				return err
			}
		}
		if r.Renews != "" && unwanted == "" {
			if replaced, err = supersede(tx, r.Renews, c, &t.Spec); err != nil {
				return err
			}
		}
		r.CertificateID = c.ID
		if reply.Handle != "" {
			r.Handle = reply.Handle
		}
		if err := s.answered(tx, r, keyLost); err != nil {
			return err
		}
		if err := audit.Record(tx, audit.Entry{Code: audit.CertificateIssued, Actor: ra.System("enroll"), Group: c.GroupID, Object: string(c.ID), Related: string(r.ID),
			Message: "Certificate issued: " + c.Subject, Details: map[string]any{"serial": c.Serial, "fingerprint": c.Fingerprint, "not_after": c.NotAfter,
				"device": c.DeviceID, "renews": c.Renews, "authority": c.AuthorityID}}); err != nil || unwanted == "" {
			stored = c
			return err
		}
		if err := tx.MarkCRLStale(c.IssuerHash, c.Serial); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.CertificateRevoked, Actor: ra.System("enroll"), Group: c.GroupID, Object: string(c.ID), Related: string(c.DeviceID),
			Message: "Revoked at once: " + c.Subject, Details: map[string]any{"reason": c.Reason.String(), "comment": unwanted, "serial": c.Serial}})
	})
	if ra.KindOf(err) == ra.Conflict && s.taken(ctx, r, leaf, issuer) {
		r, err = s.postpone(ctx, r, ra.Errorf(ra.RefusedByCA, "The authority answered with the certificate of another request.").
			WithRemedy("Look at the authority's own record of this request; nothing was stored.").WithRetry(ra.Never).WithCause(err))
	}
	if err != nil {
		stored = nil
	}
	if stored != nil && replaced != nil {
		s.Observer.Renewed(replaced.NotAfter.Sub(stored.CreatedAt))
	}
	return r, stored, err
}

// settings gives the template of a request and the certificates of its authority
// as they are stored.
func settings(tx *store.Tx, r *ra.Request, p *Prepared) (*ra.Template, []store.Issuer, error) {
	if p != nil {
		return p.template, p.known, nil
	}
	config, err := tx.Config()
	if err != nil {
		return nil, nil, err
	}
	t, err := config.Template(r.TemplateID)
	if err != nil {
		return nil, nil, err
	}
	known, err := config.Issuers(r.AuthorityID)
	return t, known, err
}

// putChain stores an authority's certificates unless they are known as they are.
func putChain(tx *store.Tx, known []store.Issuer, id ra.AuthorityID, chain []*x509.Certificate) error {
	same := func(i store.Issuer, c *x509.Certificate) bool { return bytes.Equal(i.DER, c.Raw) }
	if len(known) >= len(chain) && slices.EqualFunc(known[:len(chain)], chain, same) {
		return nil
	}
	return authority.PutChain(tx, id, chain)
}

// answered ends a request with the certificate that was recorded for it. One
// whose key was lost fails, so that it is asked for anew.
func (s *Service) answered(tx *store.Tx, r *ra.Request, keyLost bool) error {
	switch {
	case Ended(r.State):
		return tx.UpdateRequest(r)
	case keyLost:
		r.LastError = "The certificate arrived without its key and was revoked. Ask for it again."
		return s.fail(tx, r)
	}
	r.LastError = ""
	if err := move(r, ra.Issued); err != nil {
		return err
	}
	return tx.MoveRequest(r)
}

// unwanted says why a certificate that arrives is revoked at once: its request
// was cancelled while the authority worked on it, or its device has left
// meanwhile and the template revokes then. It is empty when all is well.
func (s *Service) unwanted(tx *store.Tx, r *ra.Request, t *ra.Template) (string, error) {
	if Ended(r.State) {
		return "the request was " + words(r.State) + " before the authority answered", nil
	}
	if r.DeviceID == "" || !slices.Contains(t.Spec.RevokeOn, "unenrolment") {
		return "", nil
	}
	d, err := tx.Device(r.DeviceID)
	if err != nil {
		return "", err
	}
	if d.State == ra.DeviceUnenrolled {
		return "the device was unenrolled before the authority answered", nil
	}
	return "", nil
}

// taken reports whether a certificate is in the inventory for another request.
func (s *Service) taken(ctx context.Context, r *ra.Request, leaf, issuer *x509.Certificate) bool {
	var known *ra.Certificate
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		known, err = tx.CertificateBySerial(authority.Hash(issuer.RawSubjectPublicKeyInfo), Serial(leaf))
		return err
	})
	return err == nil && known.RequestID != r.ID
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

// issuerOf finds who signed leaf, among the chain or the certificates known of
// the authority: its key is half of the certificate's identity.
func (s *Service) issuerOf(ctx context.Context, id ra.AuthorityID, leaf *x509.Certificate, chain []*x509.Certificate) (*x509.Certificate, error) {
	for _, c := range chain[1:] {
		if leaf.CheckSignatureFrom(c) == nil {
			return c, nil
		}
	}
	var stored []store.Issuer
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.Issuers(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	known, err := authority.ChainOf(leaf, stored)
	if err != nil {
		return nil, err
	}
	if len(known) > 1 {
		return known[1], nil
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

// Notice is how long before the end of a certificate people are told that
// nothing has replaced it: two weeks and a day for a server that was down, or a
// third of a shorter life.
func Notice(lifetime time.Duration) time.Duration { return min(15*24*time.Hour, lifetime/3) }

// Duty is what happens next to a fresh certificate. Renewals due on the same
// day are spread over a twentieth of the time before expiry. Where the template
// renews so late that there were no time left before the notice, it is renewed
// earlier.
func Duty(c *ra.Certificate, spec *ra.TemplateSpec) ra.Obligation {
	notice := Notice(c.Lifetime())
	if !spec.AutoRenew {
		at := c.NotAfter.Add(-notice)
		return ra.Obligation{Action: ra.ActionExpire, At: at, Deadline: at}
	}
	before := spec.RenewBefore.Duration()
	if before <= 0 || before >= c.Lifetime() {
		before = c.Lifetime() / 3
	}
	before = max(before, notice+notice/2)
	at := c.NotAfter.Add(-before).Add(spread(before / 20))
	action := ra.ActionRenew
	if c.KeyPlace == ra.KeyOnDevice {
		action = ra.ActionAwait
	}
	return ra.Obligation{Action: action, At: at, Deadline: c.NotAfter.Add(-max(before/2, notice))}
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
// successor up too. It gives the replaced one.
func supersede(tx *store.Tx, id ra.CertificateID, by *ra.Certificate, spec *ra.TemplateSpec) (*ra.Certificate, error) {
	old, err := tx.Certificate(id)
	if err != nil {
		return nil, err
	}
	if lost := old.RenewedBy; lost != "" && lost != by.ID {
		former, err := tx.Certificate(lost)
		if err != nil {
			return nil, err
		}
		if former.State == ra.Valid {
			retire(former, by.ID, tx.Now, spec)
			if err := tx.UpdateCertificate(former); err != nil {
				return nil, err
			}
			if err := directory.Follow(tx, former); err != nil {
				return nil, err
			}
		}
	}
	retire(old, by.ID, tx.Now, spec)
	if err := tx.UpdateCertificate(old); err != nil {
		return nil, err
	}
	return old, directory.Follow(tx, old)
}

func retire(c *ra.Certificate, by ra.CertificateID, now time.Time, spec *ra.TemplateSpec) {
	c.RenewedBy = by
	if c.State == ra.Valid {
		c.State = ra.Superseded
	}
	if c.State != ra.Superseded {
		return
	}
	if c.Action != ra.ActionRevoke { // else the authority has to hear of a lifted hold first
		c.Obligation = Ending(c, now, spec)
	}
}

// Ending is what happens next to a certificate that was replaced: it is revoked
// after the template's grace period, or left to expire.
func Ending(c *ra.Certificate, now time.Time, spec *ra.TemplateSpec) ra.Obligation {
	if end := now.Add(spec.Grace.Duration()); spec.RevokeReplaced && end.Before(c.NotAfter) {
		return ra.Obligation{Action: ra.ActionRetire, At: end, Deadline: end.Add(24 * time.Hour)}
	}
	return ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter, Deadline: c.NotAfter.Add(24 * time.Hour)}
}
