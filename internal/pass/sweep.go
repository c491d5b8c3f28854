package pass

import (
	"context"
	"time"

	"chancery/internal/audit"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// SweepJob looks after passes somebody waits for, makes passes for certificates
// that are to be enrolled anew, and forgets what has served its time.
type SweepJob struct{}

// Kind is the stable name of the job.
func (SweepJob) Kind() string { return "pass.sweep" }

const (
	sweepEvery = time.Minute
	sweepBatch = 200
	sweepMost  = 5000 // of each sort, in one run
	// keepAnswers is longer than any client sends the same message again.
	keepAnswers = 7 * 24 * time.Hour
	keepHops    = 180 * 24 * time.Hour
	// renewAgain is when a renewal is tried again that could not begin.
	renewAgain = 6 * time.Hour
)

// Sweep runs the job.
func (s *Service) Sweep(ctx context.Context, _ SweepJob) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := s.reenrol(ctx); err != nil {
		return err
	}
	for _, forget := range []func(*store.Tx) (int64, error){
		func(tx *store.Tx) (int64, error) { return tx.SweepSent(tx.Now.Add(-keepAnswers), sweepMost) },
		func(tx *store.Tx) (int64, error) { return tx.SweepHops(tx.Now.Add(-keepHops), sweepMost) },
		func(tx *store.Tx) (int64, error) {
			now, err := tx.Instant()
			if err != nil {
				return 0, err
			}
			return tx.SweepSCEPSlots(now)
		},
	} {
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			_, err := forget(tx)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// settle does what is due for passes that wait.
func (s *Service) settle(ctx context.Context) error {
	for done := 0; done < sweepMost; done += sweepBatch {
		var ids []ra.PassID
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			ids, err = tx.DuePasses(sweepBatch)
			return err
		}); err != nil || len(ids) == 0 {
			return err
		}
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			for _, id := range ids {
				if err := s.settleOne(tx, id); err != nil {
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

func (s *Service) settleOne(tx *store.Tx, id ra.PassID) error {
	p, err := tx.Pass(id)
	if err != nil || p.Action == ra.ActionNone || p.At.After(tx.Now) {
		return err
	}
	switch {
	case p.State == ra.PassIssued && !p.ExpiresAt.After(tx.Now):
		return expire(tx, p)
	case p.State == ra.PassIssued:
		why := offline(tx, p)
		switch k := ra.KindOf(why); {
		case k == ra.Conflict || k == ra.NotFound:
			return revoke(tx, ra.System("pass"), p, ra.AsError(why).Message)
		case why != nil:
			return why
		}
		if p.Action == ra.ActionAwait { // the challenge ran out, and the device has not come
			p.LastError = "The challenge ran out before the device came. Give it the parameters again."
			p.Action = ra.ActionDeliver
		}
		p.At = p.ExpiresAt
		if p.Deadline.After(tx.Now) && p.Deadline.Before(p.At) {
			p.At = p.Deadline
		}
		if !p.Deadline.After(tx.Now) && p.Escalated.IsZero() {
			return s.escalate(tx, p)
		}
		return tx.UpdatePass(p)
	case p.State == ra.PassPending:
		p.LastError = "The server has not decided in time."
	case p.PKIStatus == statusSent:
		p.LastError = "Nobody knows what the server answered: this server was stopped before it did."
		if err := unanswered(tx, p, nil); err != nil {
			return err
		}
	}
	if p.LastError == "" {
		p.LastError = "The server gave no answer, and the device has not tried again."
	}
	return end(tx, p, ra.PassFailed, audit.Entry{Code: audit.PassFailed, Actor: ra.System("pass"), Result: "failed", Message: "Nothing came of a pass for " + p.Subject + ".",
		Details: map[string]any{"reason": p.LastError}}, p.LastError+" Make a new pass.")
}

// escalate tells people that a pass is past its deadline.
func (s *Service) escalate(tx *store.Tx, p *ra.Pass) error {
	p.Escalated = tx.Now
	s.Log.Error("a pass is past its deadline", "pass", p.ID, "device", p.DeviceID, "renews", p.Renews, "last_error", p.LastError)
	if err := tx.UpdatePass(p); err != nil {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.PassOverdue, Actor: ra.System("pass"), Group: p.GroupID, Object: string(p.ID), Related: string(p.DeviceID), Result: "failed",
		Message: "A device has not enrolled in time for " + p.Subject + ".", Details: map[string]any{"last_error": p.LastError, "renews": p.Renews}})
}

// expire ends a pass whose token is too old.
func expire(tx *store.Tx, p *ra.Pass) error {
	return end(tx, p, ra.PassExpired, audit.Entry{Code: audit.PassExpired, Actor: ra.System("pass"), Result: "failed", Message: "A pass was not used in time for " + p.Subject + "."},
		"The device did not come in time. Make a new pass.")
}

// reenrol makes passes for the certificates whose time has come. Who brings
// their parameters to the devices is not decided here: the passes wait for that.
func (s *Service) reenrol(ctx context.Context) error {
	for done := 0; done < sweepMost; done += sweepBatch {
		var ids []ra.PassID
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			ids, err = tx.DueEnrolments(sweepBatch)
			return err
		}); err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err := s.reenrolOne(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// reenrolOne makes a further pass and takes the duty from the former one. What
// cannot be done now is tried again later, until the certificate ends.
func (s *Service) reenrolOne(ctx context.Context, id ra.PassID) error {
	var p *ra.Pass
	var c *ra.Certificate
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if p, err = tx.Pass(id); err != nil {
			return err
		}
		c, err = tx.Certificate(p.CertificateID)
		return err
	})
	if err != nil && ra.KindOf(err) != ra.NotFound {
		return err
	}
	next := time.Time{}
	if err == nil && c.State == ra.Valid && c.RenewedBy == "" && c.NotAfter.After(s.Now()) {
		_, why := s.Renew(ctx, ra.System("pass"), c.ID)
		switch ra.KindOf(why) {
		case "":
		case ra.Internal:
			return why
		default:
			s.Log.Warn("a certificate that came through a SCEP server is not enrolled anew yet", "certificate", c.ID, "device", c.DeviceID, "error", why)
			if next = s.Now().Add(renewAgain); !next.Before(c.NotAfter) {
				next = time.Time{}
			}
		}
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		p, err := tx.Pass(id)
		if err != nil {
			return err
		}
		p.RenewAt = next
		return tx.UpdatePass(p)
	})
}

// Renew makes a pass by which a device replaces a certificate that came through
// a pass. It waits for a person or a delivery to bring the parameters to the
// device, until people have to hear of it. While such a pass is open there is no
// other: Conflict. Errors are those of Create.
func (s *Service) Renew(ctx context.Context, actor ra.Actor, id ra.CertificateID) (*ra.Pass, error) {
	var former *ra.Pass
	var c *ra.Certificate
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.Certificate(id); err != nil {
			return err
		}
		if former, err = tx.PassByCertificate(id); ra.KindOf(err) == ra.NotFound {
			return ra.Errorf(ra.Invalid, "This certificate did not come through a pass.").WithRemedy("Make a pass for its device and template.")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	left := c.NotAfter.Sub(s.Now())
	p, err := s.Create(ctx, actor, CreateInput{Template: c.TemplateID, Device: c.DeviceID, User: former.UserID, Model: former.Model, Renews: c.ID,
		Life: min(max(left, shortest), longest)})
	if err != nil {
		return nil, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if p, err = tx.Pass(p.ID); err != nil || p.State != ra.PassIssued {
			return err
		}
		if p.Deadline = c.NotAfter.Add(-enroll.Notice(c.Lifetime())); !p.Deadline.After(tx.Now) || p.Deadline.After(p.ExpiresAt) {
			p.Deadline = p.ExpiresAt
		}
		p.At = p.Deadline
		return tx.UpdatePass(p)
	})
	return p, err
}
