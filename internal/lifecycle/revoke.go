package lifecycle

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/directory"
	"chancery/internal/keydelivery"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// confirmLease is how long an inline call to the authority has before the
// sweep takes the confirmation up.
const confirmLease = 2 * time.Minute

// Revoke revokes a certificate for a reason of RFC 5280 §5.3.1, or puts it on
// hold with ra.CertificateHold, or takes it off hold with ra.RemoveFromCRL.
// The change counts at once here; the authority is told inline, and again
// until it confirms. Revoking what is revoked already changes nothing.
func (s *Service) Revoke(ctx context.Context, actor ra.Actor, id ra.CertificateID, reason ra.RevocationReason, comment string) (*ra.Certificate, error) {
	if reason != ra.RemoveFromCRL && !slices.Contains(ra.Reasons, reason) {
		return nil, ra.Errorf(ra.Invalid, "%d is not a revocation reason.", int(reason)).WithField("reason").WithRemedy("Use a reason of RFC 5280, such as superseded.")
	}
	if len(comment) > 512 {
		return nil, ra.Errorf(ra.Invalid, "The comment is longer than 512 characters.").WithField("comment").WithRemedy("Shorten it.")
	}
	var c *ra.Certificate
	var a *ra.Authority
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Certificate(id); err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.Revoke, c.GroupID); err != nil {
			return err
		}
		a, err = tx.Authority(c.AuthorityID)
		return err
	})
	if err != nil {
		return nil, err
	}
	here, err := s.revocable(ctx, a, c, reason)
	if err != nil {
		return nil, err
	}
	changed, unsure := false, false
	err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		s.step(StepRevokeRow)
		unsure = false // this function may run again
		after := func(tx *store.Tx, c *ra.Certificate) (ra.Obligation, error) {
			unsure = c.Action == ra.ActionRevoke // of an earlier change, whose call may still be on its way
			return telling(tx), nil
		}
		if here {
			after = afterwards
		}
		c, changed, err = revoke(tx, actor, id, reason, comment, after)
		return err
	})
	if err == nil && changed {
		s.Observer.Revoked(a.Name, reason.String())
	}
	if err == nil && changed && !here {
		c, err = s.confirm(ctx, c, unsure)
	}
	if err == nil {
		s.step(StepRevokeAnswer)
	}
	return c, err
}

// revocable asks whether the authority can be told. One that cannot be opened
// now is believed to be able to do what its kind can: a revocation does not
// wait for it. Where the revocations of the certificate's issuer are signed here
// there is nobody to be told: here is true then.
func (s *Service) revocable(ctx context.Context, a *ra.Authority, c *ra.Certificate, reason ra.RevocationReason) (here bool, err error) {
	kind, err := s.Authorities.Kind(a.Kind)
	if err != nil {
		return false, err
	}
	revokes, holds := kind.Traits.Revoke, kind.Traits.Hold
	if o, err := s.Authorities.Reach(ctx, c.AuthorityID); err == nil {
		switch _, revoker, err := s.revoker(ctx, o); {
		case err == nil:
			revokes = len(revoker.Reasons()) > 0
			holds = slices.Contains(revoker.Reasons(), ra.CertificateHold)
		case ra.KindOf(err) == ra.Invalid:
			revokes, holds = false, false
		}
		signer, ok := o.Connector.(ca.CRLSigner)
		here = ok && slices.ContainsFunc(signer.Issuers(), func(i *x509.Certificate) bool { return authority.Hash(i.RawSubjectPublicKeyInfo) == c.IssuerHash })
	}
	if !revokes {
		return false, ra.Errorf(ra.Invalid, "The authority %q cannot be told to revoke.", a.Name).
			WithRemedy("Revoke the certificate at the authority itself, or name another authority that reaches the same CA in its settings; until then it is watched until it expires.")
	}
	if (reason == ra.CertificateHold || reason == ra.RemoveFromCRL) && !holds {
		return false, ra.Errorf(ra.Invalid, "The authority %q knows no hold.", a.Name).WithField("reason").WithRemedy("Revoke the certificate with another reason.")
	}
	return here, nil
}

// revoke changes the row: state, time, reason, and what is to be done after it.
func revoke(tx *store.Tx, actor ra.Actor, id ra.CertificateID, reason ra.RevocationReason, comment string, after func(*store.Tx, *ra.Certificate) (ra.Obligation, error)) (c *ra.Certificate, changed bool, err error) {
	return alter(tx, actor, id, alteration{reason: reason, comment: comment, at: tx.Now}, after)
}

// alteration is a revocation, a hold or its end.
type alteration struct {
	reason  ra.RevocationReason
	comment string
	at      time.Time
	there   bool // it was decided at the authority
}

// title says in a line what became of a certificate.
func (a alteration) title(what string, c *ra.Certificate) string {
	if a.there {
		what += " at the authority"
	}
	return what + ": " + c.Subject
}

func alter(tx *store.Tx, actor ra.Actor, id ra.CertificateID, a alteration, after func(*store.Tx, *ra.Certificate) (ra.Obligation, error)) (c *ra.Certificate, changed bool, err error) {
	if c, err = tx.Certificate(id); err != nil {
		return nil, false, err
	}
	reason := a.reason
	code, message := audit.CertificateRevoked, a.title("Revoked", c)
	switch {
	case c.State == ra.Expired:
		return nil, false, ra.Errorf(ra.Conflict, "The certificate has expired; there is nothing left to revoke.").WithRemedy("Leave it.")
	case c.State == ra.Revoked:
		if reason == ra.RemoveFromCRL || reason == ra.CertificateHold {
			return nil, false, ra.Errorf(ra.Conflict, "The certificate is revoked for good.").WithRemedy("Issue a new one.")
		}
		return c, false, nil
	case reason == ra.RemoveFromCRL && c.State != ra.OnHold:
		return nil, false, ra.Errorf(ra.Conflict, "The certificate is not on hold.").WithRemedy("Only a hold can be lifted.")
	case reason == ra.RemoveFromCRL:
		code, message = audit.CertificateUnheld, a.title("Taken off hold", c)
		c.State, c.RevokedAt = ra.Valid, time.Time{}
		if c.RenewedBy != "" {
			c.State = ra.Superseded
		}
	case reason == ra.CertificateHold && c.State == ra.OnHold:
		return c, false, nil
	case reason == ra.CertificateHold:
		code, message = audit.CertificateHeld, a.title("Put on hold", c)
		c.State, c.RevokedAt = ra.OnHold, a.at
	default:
		if c.State != ra.OnHold {
			c.RevokedAt = a.at
		}
		c.State = ra.Revoked
	}
	c.Reason = reason
	if reason == ra.RemoveFromCRL {
		c.Reason = ra.Unspecified
	}
	if c.Obligation, err = after(tx, c); err != nil {
		return nil, false, err
	}
	if err := tx.UpdateCertificateState(c); err != nil {
		return nil, false, err
	}
	if err := tx.MarkCRLStale(c.IssuerHash, c.Serial); err != nil {
		return nil, false, err
	}
	if err := directory.Follow(tx, c); err != nil {
		return nil, false, err
	}
	if err := keydelivery.Follow(tx, c); err != nil {
		return nil, false, err
	}
	return c, true, audit.Record(tx, audit.Entry{Code: code, Actor: actor, Group: c.GroupID, Object: string(c.ID), Related: string(c.DeviceID),
		Message: message, Details: map[string]any{"reason": reason.String(), "comment": a.comment, "serial": c.Serial}})
}

// Learned takes over what a certificate's authority says of it, in the caller's
// transaction: Revoked or OnHold, since when and why, or Valid after a hold. There
// is nobody to be told. Errors are Conflict where the one cannot follow the other,
// as after the certificate's end; nothing is changed then.
func Learned(tx *store.Tx, actor ra.Actor, id ra.CertificateID, state ra.CertificateState, at time.Time, reason ra.RevocationReason) (*ra.Certificate, error) {
	switch state {
	case ra.OnHold:
		reason = ra.CertificateHold
	case ra.Valid:
		reason = ra.RemoveFromCRL
	}
	c, _, err := alter(tx, actor, id, alteration{reason: reason, at: at, there: true}, afterwards)
	return c, err
}

// confirm tells the authority what the row says and, when it agrees, gives the
// certificate its next obligation.
//
// Calls are not sure to arrive in the order in which they were made: one may be
// slow, or be cut off and carried out all the same. So whoever told something
// else than the row says by now, or is unsure whether an earlier call is still on
// its way, has the authority told once more.
func (s *Service) confirm(ctx context.Context, c *ra.Certificate, unsure bool) (*ra.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var callErr error
	if c.NotAfter.After(s.Now()) { // afterwards nobody lists it any more
		s.step(StepRevokeTell)
		callErr = s.tell(ctx, c)
		s.step(StepRevokeConfirm)
	}
	told := c.State
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Certificate(c.ID)
		if err != nil {
			return err
		}
		c = fresh
		switch {
		case c.State == ra.Expired && c.Action != ra.ActionRevoke:
			return nil
		case c.State != told && c.State != ra.Expired:
			c.Obligation = telling(tx)
		case callErr != nil && c.Action == ra.ActionRevoke:
			e := ra.AsError(callErr)
			c.Attempts, c.LastError = c.Attempts+1, strings.TrimSpace(e.Message+" "+e.Remedy)
			c.At = tx.Now.Add(retry(c.Attempts))
		case unsure:
			c.Obligation = telling(tx)
		case c.Action != ra.ActionRevoke:
			return nil
		default:
			if c.Obligation, err = afterwards(tx, c); err != nil {
				return err
			}
		}
		return tx.UpdateCertificateState(c)
	})
	if callErr != nil {
		s.Log.Warn("the authority has not confirmed a revocation yet", "certificate", c.ID, "error", callErr)
	}
	return c, err
}

// telling is the obligation to tell the authority when every call that is
// under way has ended.
func telling(tx *store.Tx) ra.Obligation {
	return ra.Obligation{Action: ra.ActionRevoke, At: tx.Now.Add(confirmLease), Deadline: tx.Now.Add(time.Hour)}
}

// afterwards is the obligation of a certificate whose state is known at the
// authority.
func afterwards(tx *store.Tx, c *ra.Certificate) (ra.Obligation, error) {
	switch c.State {
	case ra.Revoked, ra.Expired:
		return ra.Obligation{}, nil
	case ra.Valid, ra.Superseded:
		return dutyOf(tx, c)
	}
	return ra.Obligation{Action: ra.ActionExpire, At: c.NotAfter, Deadline: c.NotAfter.Add(24 * time.Hour)}, nil
}

func (s *Service) tell(ctx context.Context, c *ra.Certificate) error {
	o, err := s.Authorities.Reach(ctx, c.AuthorityID)
	if err != nil {
		return err
	}
	o, revoker, err := s.revoker(ctx, o)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return err
	}
	reason := c.Reason
	switch c.State {
	case ra.Valid, ra.Superseded:
		reason = ra.RemoveFromCRL
	case ra.OnHold:
		reason = ra.CertificateHold
	}
	if reason != ra.RemoveFromCRL && !slices.Contains(revoker.Reasons(), reason) {
		reason = ra.Unspecified
	}
	at := c.RevokedAt
	if at.IsZero() {
		at = s.Now()
	}
	handle := ""
	if o.Authority.ID == c.AuthorityID { // a deputy has never heard of the request
		handle = s.handleOf(ctx, c)
	}
	return o.Do(ctx, func(ca.Connector) error {
		return revoker.Revoke(ctx, ca.Revocation{Certificate: cert, Handle: handle, Reason: reason, At: at})
	})
}

// revoker gives who is told of the revocations of an authority: itself, or the
// one it is deputed to, which may be switched off for new certificates.
func (s *Service) revoker(ctx context.Context, o *authority.Open) (*authority.Open, ca.Revoker, error) {
	if r, ok := o.Connector.(ca.Revoker); ok {
		return o, r, nil
	}
	if o.Deputy != "" {
		deputy, err := s.Authorities.Reach(ctx, o.Deputy)
		if err != nil {
			return nil, nil, err
		}
		if r, ok := deputy.Connector.(ca.Revoker); ok {
			return deputy, r, nil
		}
		return nil, nil, ra.Errorf(ra.Invalid, "The authority %q revokes through %q, which cannot revoke.", o.Authority.Name, deputy.Authority.Name).
			WithRemedy("Choose another authority for it, one that reaches the same CA.")
	}
	return nil, nil, ra.Errorf(ra.Invalid, "The authority %q cannot be told to revoke.", o.Authority.Name).WithRemedy("Revoke the certificate at the authority itself.")
}

// handleOf gives the authority's own name for the request that issued c.
func (s *Service) handleOf(ctx context.Context, c *ra.Certificate) (handle string) {
	if c.RequestID == "" {
		return ""
	}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err := tx.Request(c.RequestID)
		if err == nil {
			handle = r.Handle
		}
		return err
	})
	if err != nil {
		s.Log.Warn("request of a certificate cannot be read", "certificate", c.ID, "error", err)
	}
	return handle
}

// RevokeForDevice revokes what a device holds because of an event that its
// templates name ("unenrolment", "deletion"), in the caller's transaction; the
// sweep tells the authorities.
func RevokeForDevice(tx *store.Tx, actor ra.Actor, device ra.DeviceID, event string) error {
	templates := map[ra.TemplateID]*ra.Template{}
	f := store.CertificateFilter{Device: device, States: []ra.CertificateState{ra.Valid, ra.Superseded, ra.OnHold}, Page: store.Page{Limit: store.MaxPage}}
	for {
		held, next, err := tx.FindCertificates(f)
		if err != nil {
			return err
		}
		for _, c := range held {
			if c.TemplateID == "" {
				continue // it was taken over, and nothing says when to revoke it
			}
			t := templates[c.TemplateID]
			if t == nil {
				if t, err = tx.Template(c.TemplateID); err != nil {
					return err
				}
				templates[c.TemplateID] = t
			}
			if !slices.Contains(t.Spec.RevokeOn, event) {
				continue
			}
			if _, _, err := revoke(tx, actor, c.ID, ra.CessationOfOperation, strings.ReplaceAll(event, "_", " "), toldLater); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		f.After = next
	}
}

// toldLater is the obligation of a certificate whose authority the sweep tells.
func toldLater(tx *store.Tx, _ *ra.Certificate) (ra.Obligation, error) {
	o := telling(tx)
	o.At = tx.Now
	return o, nil
}

// retry is the wait after the n-th failed attempt: a minute doubling up to six
// hours.
func retry(n int) time.Duration { return min(time.Minute<<min(max(n-1, 0), 10), 6*time.Hour) }
