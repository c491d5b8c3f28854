package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/directory"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/keydelivery"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// SweepJob takes the certificates whose next action is due and hands out one
// ActJob for each. It runs on one node at a time.
type SweepJob struct{}

// Kind is the stable name of the job.
func (SweepJob) Kind() string { return "lifecycle.sweep" }

// ActJob does the next action of one certificate. It is unique per certificate.
type ActJob struct {
	Certificate ra.CertificateID `json:"certificate"`
}

// Kind is the stable name of the job.
func (ActJob) Kind() string { return "lifecycle.act" }

const (
	sweepEvery = 5 * time.Second
	// sweepBatch is how many rows one transaction of the sweep changes or puts
	// jobs for: it must not keep those waiting who write beside it.
	sweepBatch = 50
	// sweepAtOnce bounds what one sweep does itself of one kind; the next one
	// goes on.
	sweepAtOnce = 5000
)

// calls are the actions that ask something of the authority, those that cannot
// wait first. The sweep hands them out; the others it does itself.
var calls = []ra.Action{ra.ActionRevoke, ra.ActionRenew, ra.ActionRetire}

// Sweep tells people of what is late, does what needs nobody else, and hands
// out what an authority is asked for, within its budget.
func (s *Service) Sweep(ctx context.Context, _ SweepJob) error {
	var all []*ra.Authority
	var next time.Time
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if next, err = tx.NextDue(); err != nil {
			return err
		}
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return err
	}
	if err := s.alarm(ctx); err != nil {
		return err
	}
	for _, a := range all {
		if next.IsZero() || next.After(s.Now()) {
			break
		}
		if err := s.sweepOf(ctx, a.ID); err != nil {
			return err
		}
	}
	return s.PublishDue(ctx)
}

// alarm tells people of every certificate that is past its deadline, whether
// or not its turn comes.
func (s *Service) alarm(ctx context.Context) error {
	for done := 0; done < sweepAtOnce; done += sweepBatch {
		var late []*ra.Certificate
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			late, err = tx.OverdueCertificates(1)
			return err
		}); err != nil || len(late) == 0 {
			return err
		}
		if err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			if late, err = tx.OverdueCertificates(sweepBatch); err != nil {
				return err
			}
			for _, c := range late {
				if err := s.escalate(tx, c); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// here are the actions that the sweep does itself.
var here = []ra.Action{ra.ActionAwait, ra.ActionExpire}

// sweepOf looks once at what is due of an authority, and does something only
// where something is.
func (s *Service) sweepOf(ctx context.Context, id ra.AuthorityID) error {
	due := map[ra.Action][]authority.Due[ra.CertificateID]{}
	var now time.Time
	pace := 0.0
	if err := s.DB.Read(ctx, func(tx *store.Tx) error {
		now = tx.Now
		for _, action := range slices.Concat(here, calls) {
			list, err := tx.DueCertificates(id, action, s.handout.Look(lineOf(id, action)))
			if err != nil {
				return err
			}
			due[action] = nil
			for _, d := range list {
				due[action] = append(due[action], authority.Due[ra.CertificateID]{ID: d.ID, At: d.At})
			}
		}
		if len(due[ra.ActionRenew]) == 0 {
			return nil
		}
		f := Forecast{}
		_, err := tx.Forecast(id, &f)
		pace = f.Pace
		return err
	}); err != nil {
		return err
	}
	for _, action := range here {
		if len(due[action]) > 0 {
			if err := s.settle(ctx, id, action); err != nil {
				return err
			}
		}
	}
	if len(due[ra.ActionRevoke])+len(due[ra.ActionRenew])+len(due[ra.ActionRetire]) == 0 {
		return nil
	}
	budget := authority.Budget{Calls: sweepBatch} // one that cannot be opened says so at each certificate
	if o, err := s.Authorities.Reach(ctx, id); err == nil {
		if budget, err = o.Budget(ctx, sweepEvery); err != nil {
			return err
		}
	}
	out := 0
	for _, action := range calls {
		room := budget.Calls - out
		if action == ra.ActionRenew && pace > 0 { // a storm goes at the pace of the forecast
			room = min(room, s.storms.room(id, pace, now))
		}
		next := s.handout.Next(lineOf(id, action), due[action], room, now)
		if action == ra.ActionRenew {
			s.storms.gave(id, pace, len(next))
		}
		refused, err := job.OfferAll(ctx, s.DB, s.Queue, next, func(id ra.CertificateID) job.Args { return ActJob{id} },
			job.Spaced{Batch: sweepBatch, Out: out, Gap: budget.Gap, Later: action != ra.ActionRevoke})
		s.handout.Refused(lineOf(id, action), refused)
		if err != nil {
			return err
		}
		out += len(next)
	}
	return nil
}

// lineOf names a line of work for the memory of what is handed out.
func lineOf(id ra.AuthorityID, action ra.Action) string { return string(id) + "/" + string(action) }

// settle does what needs no authority, for what is due of one action.
func (s *Service) settle(ctx context.Context, id ra.AuthorityID, action ra.Action) error {
	for done := 0; done < sweepAtOnce; done += sweepBatch {
		var list []store.Due
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			list, err = tx.DueCertificates(id, action, sweepBatch)
			return err
		}); err != nil || len(list) == 0 {
			return err
		}
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			for _, d := range list {
				do := s.expireIn
				if action == ra.ActionAwait {
					do = s.awaitIn
				}
				if err := do(tx, d.ID); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Act does what is due for one certificate.
func (s *Service) Act(ctx context.Context, j ActJob) error {
	var c *ra.Certificate
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		c, err = tx.Certificate(j.Certificate)
		return err
	}); err != nil {
		return err
	}
	if c.Action == ra.ActionNone || c.At.After(s.Now()) {
		return nil
	}
	if c.Action != ra.ActionRevoke && !c.NotAfter.After(s.Now()) {
		return s.expire(ctx, c) // whatever else was to happen to it
	}
	switch c.Action {
	case ra.ActionRenew:
		if c.Purpose != ra.PurposeLeaf {
			return s.note(ctx, c, s.renewOwn(ctx, ownKey{c.AuthorityID, c.Purpose}))
		}
		return s.renew(ctx, c)
	case ra.ActionAwait:
		return s.await(ctx, c)
	case ra.ActionExpire:
		return s.expire(ctx, c)
	case ra.ActionRetire:
		_, err := s.Revoke(ctx, ra.System("lifecycle"), c.ID, ra.SupersededReason, "replaced, grace period over")
		return s.note(ctx, c, err)
	case ra.ActionRevoke:
		_, err := s.confirm(ctx, c, false)
		return err
	}
	return ra.Errorf(ra.Internal, "There is no action %q.", c.Action).WithRetry(ra.Never)
}

// Renew replaces a certificate whose key is made here, now. A device's own
// certificate can be renewed by the device only. While a renewal is under way,
// and after it succeeded, asking again gives the same request; one that was
// denied is followed by another.
func (s *Service) Renew(ctx context.Context, actor ra.Actor, id ra.CertificateID, wait bool) (*ra.Request, error) {
	var c *ra.Certificate
	var open *ra.Request
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Certificate(id); err != nil {
			return err
		}
		if err = access.CheckGroup(tx, actor, access.Request, c.GroupID); err != nil {
			return err
		}
		open, err = tx.RenewalRequest(id)
		if ra.KindOf(err) == ra.NotFound {
			return nil
		}
		return err
	}); err != nil || open != nil {
		return open, err
	}
	if c.Purpose != ra.PurposeLeaf {
		return nil, ra.Errorf(ra.Invalid, "The server renews its own certificates by itself.").WithRemedy("Leave it; chancery doctor tells if one is late.")
	}
	if c.KeyPlace == ra.KeyOnDevice {
		return nil, ra.Errorf(ra.Invalid, "The key of this certificate is on the device, so only the device can renew it.").
			WithRemedy("Let the device renew over SCEP, or revoke the certificate and enrol the device again.")
	}
	door := "renewal"
	if actor.Kind != ra.ActorSystem {
		door = actor.Via
	}
	ask := enroll.Ask{Template: c.TemplateID, Device: c.DeviceID, User: c.UserID, Renews: c.ID, Door: door, Key: "renew/" + string(c.ID), Wait: wait}
	for {
		r, err := s.Enroll.Submit(ctx, actor, ask)
		if err != nil || r.State != ra.DeniedState {
			return r, err
		}
		ask.Key = fmt.Sprintf("renew/%s/%s", c.ID, r.ID) // a request that failed or was cancelled has given its key up itself
	}
}

func (s *Service) renew(ctx context.Context, c *ra.Certificate) error {
	_, err := s.Renew(authority.InBackground(ctx), ra.System("lifecycle"), c.ID, true)
	return s.note(ctx, c, err)
}

// note notes how an action ended that another transaction carried out: a
// failure is tried again later; a success that did not change the row yet
// (the renewal is under way) is looked at again in an hour.
func (s *Service) note(ctx context.Context, c *ra.Certificate, cause error) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Certificate(c.ID)
		if err != nil {
			return err
		}
		if fresh.Action != c.Action || fresh.State != c.State || !fresh.At.Equal(c.At) {
			return nil
		}
		fresh.At = tx.Now.Add(time.Hour)
		if cause != nil {
			e := ra.AsError(cause)
			s.Log.Warn("action on a certificate failed", "certificate", c.ID, "action", c.Action, "error", cause)
			fresh.Attempts, fresh.LastError = fresh.Attempts+1, strings.TrimSpace(e.Message+" "+e.Remedy)
			fresh.At = tx.Now.Add(retry(fresh.Attempts))
		}
		return tx.UpdateCertificate(fresh)
	})
}

func (s *Service) await(ctx context.Context, c *ra.Certificate) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error { return s.awaitIn(tx, c.ID) })
}

// awaitIn: the device should have renewed by now. People hear of it at the
// deadline; the row is looked at once more then, and at the certificate's end.
func (s *Service) awaitIn(tx *store.Tx, id ra.CertificateID) error {
	c, err := tx.Certificate(id)
	if err != nil || c.Action != ra.ActionAwait || c.At.After(tx.Now) {
		return err
	}
	if !c.NotAfter.After(tx.Now) {
		return s.expireIn(tx, id)
	}
	c.LastError = "The device has not renewed yet."
	c.At = c.NotAfter
	if c.Deadline.After(tx.Now) {
		c.At = c.Deadline.Add(time.Second)
	}
	return tx.UpdateCertificate(c)
}

func (s *Service) expire(ctx context.Context, c *ra.Certificate) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error { return s.expireIn(tx, c.ID) })
}

// expireIn records the end of a certificate. One that was to be renewed and
// was not is loud. Before the end there is only a notice that it comes.
func (s *Service) expireIn(tx *store.Tx, id ra.CertificateID) error {
	c, err := tx.Certificate(id)
	if err != nil || c.State == ra.Revoked || c.State == ra.Expired {
		return err
	}
	if c.NotAfter.After(tx.Now) {
		if c.Action == ra.ActionExpire && !c.At.After(tx.Now) {
			c.At, c.LastError = c.NotAfter, "Nothing renews this certificate."
			return tx.UpdateCertificate(c)
		}
		return nil
	}
	missed := c.State == ra.Valid && c.Action != ra.ActionExpire
	c.State, c.Obligation = ra.Expired, ra.Obligation{LastError: c.LastError, Attempts: c.Attempts, Escalated: c.Escalated}
	if err := tx.UpdateCertificate(c); err != nil {
		return err
	}
	if err := directory.Follow(tx, c); err != nil {
		return err
	}
	if err := keydelivery.Follow(tx, c); err != nil {
		return err
	}
	if c.Purpose != ra.PurposeLeaf {
		if err := tx.DeleteSealed(string(c.ID), "key"); err != nil {
			return err
		}
	}
	e := audit.Entry{Code: audit.CertificateExpired, Actor: ra.System("lifecycle"), Group: c.GroupID, Object: string(c.ID), Related: string(c.DeviceID), Message: "Expired: " + c.Subject}
	if missed {
		e.Result, e.Message = "failed", "Expired without a successor: "+c.Subject
		s.Log.Error("certificate expired without a successor", "certificate", c.ID, "subject", c.Subject, "last_error", c.LastError)
	}
	return audit.Record(tx, e)
}

// escalate tells people that a certificate is past its deadline.
func (s *Service) escalate(tx *store.Tx, c *ra.Certificate) error {
	c.Escalated = tx.Now
	if err := tx.UpdateCertificate(c); err != nil {
		return err
	}
	s.Log.Error("certificate is past its deadline", "certificate", c.ID, "action", c.Action, "subject", c.Subject, "not_after", c.NotAfter, "last_error", c.LastError)
	return audit.Record(tx, audit.Entry{Code: audit.CertificateOverdue, Actor: ra.System("lifecycle"), Group: c.GroupID, Object: string(c.ID), Related: string(c.DeviceID), Result: "failed",
		Message: "Overdue (" + string(c.Action) + "): " + c.Subject, Details: map[string]any{"last_error": c.LastError, "not_after": c.NotAfter}})
}

// dutyOf gives the obligation, by its template, of a certificate that is valid
// or was replaced.
func dutyOf(tx *store.Tx, c *ra.Certificate) (ra.Obligation, error) {
	spec := &ra.TemplateSpec{}
	if c.TemplateID != "" {
		t, err := tx.Template(c.TemplateID)
		if err != nil {
			return ra.Obligation{}, err
		}
		spec = &t.Spec
	}
	if c.State == ra.Superseded {
		return enroll.Ending(c, tx.Now, spec), nil
	}
	return enroll.Duty(c, spec), nil
}
