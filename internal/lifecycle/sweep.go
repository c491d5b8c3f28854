package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/enroll"
	"chancery/internal/job"
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
	sweepEvery = 15 * time.Second
	// sweepBatch is how many certificates of one authority without a rate
	// limit are handed out in one sweep.
	sweepBatch = 200
)

var sweepActions = []ra.Action{ra.ActionRenew, ra.ActionAwait, ra.ActionExpire, ra.ActionRetire, ra.ActionRevoke}

// Sweep hands out what is due, per authority and within its budget.
func (s *Service) Sweep(ctx context.Context, _ SweepJob) error {
	var all []*ra.Authority
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.AllAuthorities()
		return err
	}); err != nil {
		return err
	}
	for _, a := range all {
		if err := s.sweepOf(ctx, a.ID); err != nil {
			return err
		}
	}
	return s.PublishDue(ctx)
}

func (s *Service) sweepOf(ctx context.Context, id ra.AuthorityID) error {
	budget := sweepBatch
	if o, err := s.Authorities.Reach(ctx, id); err == nil {
		budget = min(budget, o.Budget(sweepEvery))
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		due, err := tx.DueCertificates(id, sweepActions, budget)
		if err != nil {
			return err
		}
		for _, c := range due {
			if err := s.escalate(tx, c); err != nil {
				return err
			}
			if err := job.Put(tx, s.Queue, ActJob{c.ID}, job.PutOptions{Unique: string(c.ID)}); err != nil {
				return err
			}
		}
		return nil
	})
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
			return s.put(ctx, c, s.renewOwn(ctx, ownKey{c.AuthorityID, c.Purpose}))
		}
		return s.renew(ctx, c)
	case ra.ActionAwait:
		return s.await(ctx, c)
	case ra.ActionExpire:
		return s.expire(ctx, c)
	case ra.ActionRetire:
		_, err := s.Revoke(ctx, ra.System("lifecycle"), c.ID, ra.SupersededReason, "replaced, grace period over")
		return s.put(ctx, c, err)
	case ra.ActionRevoke:
		_, err := s.confirm(ctx, c)
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
	_, err := s.Renew(ctx, ra.System("lifecycle"), c.ID, false)
	return s.put(ctx, c, err)
}

// put notes how an action ended that another transaction carried out: a
// failure is tried again later; a success that did not change the row yet
// (the renewal is under way) is looked at again in an hour.
func (s *Service) put(ctx context.Context, c *ra.Certificate, cause error) error {
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

// await: the device should have renewed by now. People hear of it at the
// deadline; the row is looked at once more then, and at the certificate's end.
func (s *Service) await(ctx context.Context, c *ra.Certificate) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Certificate(c.ID)
		if err != nil || fresh.Action != ra.ActionAwait {
			return err
		}
		fresh.LastError = "The device has not renewed yet."
		fresh.At = fresh.NotAfter
		if fresh.Deadline.After(tx.Now) {
			fresh.At = fresh.Deadline.Add(time.Second)
		}
		return tx.UpdateCertificate(fresh)
	})
}

// expire records the end of a certificate. One that was to be renewed and was
// not is loud.
func (s *Service) expire(ctx context.Context, c *ra.Certificate) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Certificate(c.ID)
		if err != nil {
			return err
		}
		if fresh.NotAfter.After(tx.Now) || fresh.State == ra.Revoked || fresh.State == ra.Expired {
			return nil
		}
		missed := fresh.State == ra.Valid && fresh.Action != ra.ActionExpire
		fresh.State, fresh.Obligation = ra.Expired, ra.Obligation{LastError: fresh.LastError, Attempts: fresh.Attempts}
		if err := tx.UpdateCertificate(fresh); err != nil {
			return err
		}
		if fresh.Purpose != ra.PurposeLeaf {
			if err := tx.DeleteSealed(string(fresh.ID), "key"); err != nil {
				return err
			}
		}
		e := audit.Entry{Code: audit.CertificateExpired, Actor: ra.System("lifecycle"), Group: fresh.GroupID, Object: string(fresh.ID), Related: string(fresh.DeviceID), Message: "Expired: " + fresh.Subject}
		if missed {
			e.Result, e.Message = "failed", "Expired without a successor: "+fresh.Subject
			s.Log.Error("certificate expired without a successor", "certificate", fresh.ID, "subject", fresh.Subject, "last_error", fresh.LastError)
		}
		return audit.Record(tx, e)
	})
}

// escalate tells people once that a certificate is past its deadline.
func (s *Service) escalate(tx *store.Tx, c *ra.Certificate) error {
	if !c.Late(tx.Now) || !c.Escalated.IsZero() {
		return nil
	}
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
