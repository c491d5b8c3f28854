package pass

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/directory"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// issued looks for the new certificate in clear beside the signature of an
// answer, where some servers put it. It must be issued by what the server shows
// in GetCACert, and for this pass; nil otherwise.
func (s *Service) issued(p *ra.Pass, o *Outcome) *x509.Certificate {
	if o.Reply == nil {
		return nil
	}
	for _, raw := range o.Reply.Certificates {
		if raw.IsCA || shown(o.CA, raw.Raw) {
			continue
		}
		c, err := x509.ParseCertificate(raw.Raw)
		if err != nil || !belongs(p, c) || issuerAmong(o.CA, c) == nil {
			continue
		}
		return c
	}
	return nil
}

func shown(set []*x509.Certificate, der []byte) bool {
	for _, c := range set {
		if bytes.Equal(c.Raw, der) {
			return true
		}
	}
	return false
}

// issuerAmong gives the certificate whose key signed c.
func issuerAmong(set []*x509.Certificate, c *x509.Certificate) *x509.Certificate {
	for _, i := range set {
		if bytes.Equal(c.RawIssuer, i.RawSubject) && c.CheckSignatureFrom(i) == nil {
			return i
		}
	}
	return nil
}

// belongs reports whether a certificate is for the key that signed the pass's
// message, or has its marker or its very subject: a renewal is signed with the
// former key.
func belongs(p *ra.Pass, c *x509.Certificate) bool {
	if p.SignerHash != "" && authority.Hash(c.RawSubjectPublicKeyInfo) == p.SignerHash {
		return true
	}
	name, err := pkixmsg.ParseNameDER(c.RawSubject)
	if err != nil {
		return false
	}
	if p.Marker != "" {
		return markerOf(name) == p.Marker
	}
	return p.Subject != "" && name.String() == p.Subject
}

// markerOf gives the renewal marker in a subject.
func markerOf(name pkixmsg.Name) string {
	for _, rdn := range name {
		for _, a := range rdn {
			if strings.HasPrefix(a.Value, enroll.MarkerPrefix) {
				return a.Value
			}
		}
	}
	return ""
}

// store puts the certificate of a pass into the inventory, or finds it there,
// and notes it with the pass, which the caller stores.
func (s *Service) store(tx *store.Tx, p *ra.Pass, leaf *x509.Certificate, set []*x509.Certificate) (*ra.Certificate, error) {
	issuer := issuerAmong(set, leaf)
	if issuer == nil {
		return nil, ra.Errorf(ra.Invalid, "The certificate was not issued by this authority.").WithField("certificate").
			WithRemedy("Choose the authority that issued it; accept the certificates of its server first if they are not known.")
	}
	config, err := tx.Config()
	if err != nil {
		return nil, err
	}
	t, err := config.Template(p.TemplateID)
	if err != nil {
		return nil, err
	}
	c, err := tx.CertificateBySerial(authority.Hash(issuer.RawSubjectPublicKeyInfo), enroll.Serial(leaf))
	switch {
	case err == nil && c.DeviceID != p.DeviceID:
		return nil, &taken{ra.Errorf(ra.Conflict, "The certificate is in the inventory for another device.").WithRemedy("See whose it is before you do anything.")}
	case ra.KindOf(err) == ra.NotFound:
		c = enroll.Row(leaf, issuer, tx.Now)
		c.GroupID, c.AuthorityID, c.TemplateID, c.DeviceID, c.UserID, c.KeyPlace = p.GroupID, p.AuthorityID, p.TemplateID, p.DeviceID, p.UserID, ra.KeyOnDevice
		if c.Renews, err = renewable(tx, p); err != nil {
			return nil, err
		}
		if c.Obligation = enroll.Duty(c, &t.Spec); !c.NotAfter.After(tx.Now) {
			c.State, c.Obligation = ra.Expired, ra.Obligation{}
		}
		if err := tx.CreateCertificate(c); err != nil {
			return nil, err
		}
		if err := directory.Publish(tx, c, &t.Spec); err != nil {
			return nil, err
		}
		if err := enroll.Supersede(tx, c, &t.Spec); err != nil {
			return nil, err
		}
		if err := audit.Record(tx, audit.Entry{Code: audit.CertificateIssued, Actor: ra.System(door), Group: c.GroupID, Object: string(c.ID), Related: string(p.ID),
			Message: "Certificate issued: " + c.Subject, Details: map[string]any{"serial": c.Serial, "fingerprint": c.Fingerprint, "not_after": c.NotAfter,
				"device": c.DeviceID, "renews": c.Renews, "authority": c.AuthorityID, "source": "proxy"}}); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	}
	p.CertificateID = c.ID
	if t.Spec.AutoRenew && c.State == ra.Valid && p.RenewAt.IsZero() {
		p.RenewAt = c.At
	}
	return c, nil
}

// taken is the refusal of a certificate that another device has.
type taken struct{ err *ra.Error }

func (t *taken) Error() string { return t.err.Error() }
func (t *taken) Unwrap() error { return t.err }

// renewable gives the certificate that the pass renews, unless it is gone.
func renewable(tx *store.Tx, p *ra.Pass) (ra.CertificateID, error) {
	if p.Renews == "" {
		return "", nil
	}
	old, err := tx.Certificate(p.Renews)
	if ra.KindOf(err) == ra.NotFound || err == nil && old.State != ra.Valid && old.State != ra.Superseded {
		return "", nil
	}
	return p.Renews, err
}

// LearnInput is a certificate that was seen outside of the proxy: in the
// authority's database, or on the device.
type LearnInput struct {
	Authority   ra.AuthorityID
	DER         []byte
	Device      ra.DeviceID // where it was seen; empty: unknown
	Transaction string      // of SCEP, where the authority keeps it; empty: unknown
}

// Learn finds the pass that a certificate came from, by its key, its marker or
// its transaction, notes it there as confirmed, and has it in the inventory.
// Errors are Invalid, NotFound when no pass fits, and Denied.
func (s *Service) Learn(ctx context.Context, actor ra.Actor, in LearnInput) (p *ra.Pass, c *ra.Certificate, err error) {
	leaf, err := x509.ParseCertificate(in.DER)
	if err != nil {
		return nil, nil, ra.Errorf(ra.Invalid, "This is no certificate.").WithField("certificate").WithRemedy("Give one certificate in DER.").WithCause(err)
	}
	freed := func() {}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		p, c, freed, err = s.LearnIn(tx, actor, in, leaf)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	freed()
	return p, c, nil
}

// LearnIn is Learn in the caller's transaction, for a certificate that was read.
// freed is to be called once that was committed. A refusal, which is Invalid,
// Denied, NotFound or a Conflict, comes before anything is changed.
func (s *Service) LearnIn(tx *store.Tx, actor ra.Actor, in LearnInput, leaf *x509.Certificate) (p *ra.Pass, c *ra.Certificate, freed func(), err error) {
	freed = func() {}
	if p, err = s.origin(tx, actor, in, leaf); err != nil {
		return nil, nil, nil, err
	}
	chain, err := tx.Issuers(p.AuthorityID)
	if err != nil {
		return nil, nil, nil, err
	}
	set := []*x509.Certificate{}
	for _, i := range chain {
		if c, err := x509.ParseCertificate(i.DER); err == nil {
			set = append(set, c)
		}
	}
	if c, err = s.store(tx, p, leaf, set); err != nil || p.Confirmed {
		return p, c, freed, err
	}
	if err := hop(tx, p, ra.Hop{Step: StepInstalled, Result: ra.HopOK, Message: "The certificate was seen by " + actor.Name + ".",
		Fields: map[string]string{"certificate": string(c.ID), "serial": c.Serial}}); err != nil {
		return nil, nil, nil, err
	}
	if p.Model == ra.PassDelegate && p.Renews == "" && !p.ChallengeUntil.IsZero() {
		// With a first enrolment at the server itself the challenge was used.
		if freed, err = s.Authorities.FreeSlot(tx, p.AuthorityID, challengeID(p)); err != nil {
			return nil, nil, nil, err
		}
	}
	p.Confirmed, p.LastError = true, ""
	state := ra.PassDone
	if p.State == ra.PassRevoked {
		state = ra.PassRevoked // the device has the certificate all the same
	}
	return p, c, freed, end(tx, p, state, audit.Entry{Code: audit.PassConfirmed, Actor: actor, Message: "The certificate of a pass is confirmed.",
		Details: map[string]any{"certificate": c.ID, "serial": c.Serial}}, "")
}

// Expected tells which certificates may be those of passes that lack theirs: a
// pass has their key or their renewal marker. It is one look for all of them.
func Expected(tx *store.Tx, leaves []*x509.Certificate) ([]bool, error) {
	keys, markers := make([]string, len(leaves)), make([]string, len(leaves))
	var some []string
	for i, leaf := range leaves {
		keys[i] = authority.Hash(leaf.RawSubjectPublicKeyInfo)
		if name, err := pkixmsg.ParseNameDER(leaf.RawSubject); err == nil {
			if markers[i] = markerOf(name); markers[i] != "" {
				some = append(some, markers[i])
			}
		}
	}
	traces, err := tx.PassTraces(keys, some)
	out := make([]bool, len(leaves))
	for i := range leaves {
		out[i] = traces[keys[i]] || traces[markers[i]]
	}
	return out, err
}

// origin finds the newest pass that a certificate can have come from, among
// those the actor may change.
func (s *Service) origin(tx *store.Tx, actor ra.Actor, in LearnInput, leaf *x509.Certificate) (*ra.Pass, error) {
	name, err := pkixmsg.ParseNameDER(leaf.RawSubject)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The subject of the certificate cannot be read.").WithField("certificate").WithRemedy("See whether the file is damaged.").WithCause(err)
	}
	scope, err := access.Scope(tx, actor, access.EditDevices)
	if err != nil {
		return nil, err
	}
	if known, err := tx.CertificateByFingerprint(authority.Hash(leaf.Raw)); err == nil {
		if p, err := tx.PassByCertificate(known.ID); err == nil && (in.Authority == "" || in.Authority == p.AuthorityID) {
			return p, access.CheckGroup(tx, actor, access.EditDevices, p.GroupID)
		}
	} else if ra.KindOf(err) != ra.NotFound {
		return nil, err
	}
	filters := []store.PassFilter{{Signer: authority.Hash(leaf.RawSubjectPublicKeyInfo)}}
	if marker := markerOf(name); marker != "" {
		filters = append(filters, store.PassFilter{Marker: marker})
	}
	if in.Device != "" {
		filters = append(filters, store.PassFilter{Device: in.Device})
	}
	for _, f := range filters {
		f.Groups, f.Authority, f.Page = scope, in.Authority, store.Page{Limit: 100}
		list, _, err := tx.FindPasses(f)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if s.possible(p, in, leaf, f.Device != "") {
				return p, nil
			}
		}
	}
	return nil, ra.Errorf(ra.NotFound, "No pass fits this certificate.").WithRemedy("See whether it was issued for another authority, or without a pass. What a delegate got is known again by its renewal marker, or by the transaction it was asked with: switch the marker on in the authority's settings.")
}

// possible reports whether a certificate can be that of a pass. One found by
// nothing but its device must have the transaction, too.
func (s *Service) possible(p *ra.Pass, in LearnInput, leaf *x509.Certificate, byDevice bool) bool {
	switch {
	case p.CertificateID != "", // of another certificate, or it would be known
		in.Device != "" && p.DeviceID != in.Device,
		byDevice && (in.Transaction == "" || p.TransactionID != in.Transaction),
		leaf.NotBefore.Before(p.CreatedAt.Add(-48 * time.Hour)), // clocks differ, and authorities date back
		p.State == ra.PassIssued && p.Model == ra.PassProxy,
		p.State == ra.PassRevoked && p.Messages == 0 && p.Model == ra.PassProxy:
		return false
	}
	return true
}
