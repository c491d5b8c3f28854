package keydelivery

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// PlanJob hands out what is due. It runs on one node at a time.
type PlanJob struct{}

// Kind is the stable name of the job.
func (PlanJob) Kind() string { return "keydelivery.plan" }

// DeliverJob does what is due of one receiver. It is unique per receiver.
type DeliverJob struct{ store.KeyReceiver }

// Kind is the stable name of the job.
func (DeliverJob) Kind() string { return "keydelivery.deliver" }

const (
	planEvery = 10 * time.Second
	// batch is how many deliveries are loaded, or told of, at a time.
	batch = 20
	// span is how long the job works before it lets others go first.
	span = time.Minute
)

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Plan)
	job.Handle(s.Queue, s.Work)
	job.Every(s.Queue, planEvery, PlanJob{})
}

// Plan looks what is due, and tells people of what is late.
func (s *Service) Plan(ctx context.Context, _ PlanJob) error {
	var due []store.KeyReceiver
	late := false
	if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if due, err = tx.KeyReceivers(); err != nil {
			return err
		}
		overdue, err := tx.OverdueKeyDeliveries(1)
		late = len(overdue) > 0
		return err
	}); err != nil {
		return err
	}
	if len(due) > 0 {
		if err := s.DB.Write(ctx, func(tx *store.Tx) error {
			for _, to := range due {
				if err := job.Put(tx, s.Queue, DeliverJob{to}, job.PutOptions{Unique: string(to.Directory) + string(to.Service)}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		s.Queue.Kick()
	}
	if !late {
		return nil
	}
	return s.DB.Write(ctx, s.alarm)
}

func (s *Service) alarm(tx *store.Tx) error {
	list, err := tx.OverdueKeyDeliveries(batch)
	if err != nil {
		return err
	}
	for _, d := range list {
		d.Escalated = tx.Now
		if err := tx.UpdateKeyDelivery(d); err != nil {
			return err
		}
		s.Log.Error("a key waits to be delivered", "certificate", d.Certificate, "action", d.Action, "last_error", d.LastError)
		if err := audit.Record(tx, audit.Entry{Code: audit.KeyOverdue, Actor: ra.System("keydelivery"), Group: d.GroupID, Object: string(d.Certificate), Related: receiverOf(d), Result: "failed",
			Message: "Overdue (" + string(d.Action) + "): " + d.Subject, Details: map[string]any{"last_error": d.LastError}}); err != nil {
			return err
		}
	}
	return nil
}

// receiver is a directory or key service that is open.
type receiver interface {
	// bring gives it a key. Bringing one that it has changes nothing there.
	bring(ctx context.Context, p *parcel) error
	// takeBack takes a key out of it. One that is not there is fine.
	takeBack(ctx context.Context, p *parcel) error
	closed() bool // nothing more can be done with it
	close()
}

// parcel is a delivery with all that belongs to it.
type parcel struct {
	*ra.KeyDelivery
	certificate *ra.Certificate
	chain       []*x509.Certificate
	key         crypto.Signer // nil when it is taken back
	template    string
	user        *ra.User
	device      *ra.Device
	former      []*ra.KeyDelivery // of the predecessors, in the same directory
}

// Work runs the job.
func (s *Service) Work(ctx context.Context, j DeliverJob) error {
	to, err := s.open(ctx, j.KeyReceiver)
	if err != nil {
		return s.postponeAll(ctx, j.KeyReceiver, err)
	}
	defer to.close()
	for began := time.Now(); time.Since(began) < span; {
		var due []*ra.KeyDelivery
		if err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
			due, err = tx.DueKeyDeliveries(j.KeyReceiver, batch)
			return err
		}); err != nil || len(due) == 0 {
			return err
		}
		for _, d := range due {
			if err := s.settle(ctx, to, d); err != nil {
				return err
			}
			if to.closed() {
				return nil // the row says why; what is left is handed out again
			}
		}
	}
	return ra.Errorf(ra.Conflict, "The deliveries go on in a moment.").WithRemedy("Wait.").WithRetry(time.Second)
}

func (s *Service) open(ctx context.Context, to store.KeyReceiver) (receiver, error) {
	if to.Service != "" {
		return s.openService(ctx, to.Service)
	}
	return s.openDirectory(ctx, to.Directory)
}

func (s *Service) postponeAll(ctx context.Context, to store.KeyReceiver, cause error) error {
	e := ra.AsError(cause)
	s.Log.Warn("keys are not delivered", "directory", to.Directory, "service", to.Service, "error", cause)
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.PostponeKeyDeliveries(to, tx.Now.Add(max(10*time.Minute, e.Retry)), e.Say())
	})
}

// settle does what one delivery is due for, and notes how it went. Doing it
// again after a crash changes nothing at the receiver.
func (s *Service) settle(ctx context.Context, to receiver, d *ra.KeyDelivery) error {
	p, idle, err := s.load(ctx, d)
	if err == nil && idle != "" {
		return s.DB.Write(ctx, func(tx *store.Tx) error {
			fresh, err := tx.KeyDeliveryOf(d.Certificate)
			if err != nil || fresh.Action != d.Action {
				return err
			}
			return drop(tx, fresh, idle)
		})
	}
	if err == nil && d.Action == ra.ActionHandOver {
		err = to.bring(ctx, p)
	} else if err == nil {
		err = to.takeBack(ctx, p)
	}
	s.step(StepNote)
	return s.note(ctx, d, p, err)
}

// load gathers what belongs to a delivery. idle says why it is not needed any
// more; empty when it is.
func (s *Service) load(ctx context.Context, d *ra.KeyDelivery) (p *parcel, idle string, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		p, idle = &parcel{KeyDelivery: d}, ""
		if p.certificate, err = tx.Certificate(d.Certificate); err != nil || d.Action != ra.ActionHandOver {
			return err
		}
		switch c := p.certificate; c.State {
		case ra.Valid, ra.Superseded:
		case ra.OnHold:
			return ra.Errorf(ra.Conflict, "The certificate is on hold.").WithRemedy("Take it off hold, or revoke it.").WithRetry(time.Hour)
		default:
			idle = "its certificate is " + string(c.State)
			return nil
		}
		if d.Directory != "" {
			if idle, err = succession(tx, p); err != nil || idle != "" {
				return err
			}
		}
		return s.fill(tx, p)
	})
	return p, idle, err
}

// succession finds what a key takes the place of in a directory, and why it does
// not belong there itself any more.
func succession(tx *store.Tx, p *parcel) (idle string, err error) {
	if keep, err := keepsFormer(tx, p.certificate); err != nil || keep {
		return "", err
	}
	if idle, err = overtaken(tx, p.certificate); err != nil || idle != "" {
		return idle, err
	}
	p.former, err = predecessors(tx, p.certificate, p.Directory)
	return "", err
}

// fill adds key, chain and whom they are for.
func (s *Service) fill(tx *store.Tx, p *parcel) error {
	boxes, err := tx.Sealed(string(p.ID))
	if err != nil {
		return err
	}
	der, err := s.Box.Open(deliveries, string(p.ID), keyField, boxes[keyField])
	if err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	p.key = key.(crypto.Signer)
	issuers, err := tx.Issuers(p.AuthorityID)
	if err != nil {
		return err
	}
	if p.chain, err = authority.ParseChain(p.certificate.DER, issuers); err != nil {
		return err
	}
	if t, err := tx.Template(p.certificate.TemplateID); err == nil {
		p.template = t.Name
	} else if ra.KindOf(err) != ra.NotFound {
		return err
	}
	if p.UserID != "" {
		if p.user, err = tx.User(p.UserID); err != nil && ra.KindOf(err) != ra.NotFound {
			return err
		}
	}
	if p.DeviceID != "" {
		if p.device, err = tx.Device(p.DeviceID); err != nil && ra.KindOf(err) != ra.NotFound {
			return err
		}
	}
	return nil
}

// note writes down how it went.
func (s *Service) note(ctx context.Context, d *ra.KeyDelivery, p *parcel, cause error) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.KeyDeliveryOf(d.Certificate)
		if err != nil {
			return err
		}
		if cause != nil {
			if fresh.Action != d.Action {
				return nil // something else is wanted by now
			}
			e := ra.AsError(cause)
			s.Log.Warn("a key is not delivered", "delivery", d.ID, "action", d.Action, "error", cause)
			fresh.Attempts, fresh.LastError, fresh.At = fresh.Attempts+1, e.Say(), tx.Now.Add(max(again(fresh.Attempts+1), e.Retry))
			return tx.UpdateKeyDelivery(fresh)
		}
		fresh.Delivered = d.Action == ra.ActionHandOver
		if fresh.Action == d.Action {
			fresh.Obligation = ra.Obligation{}
		}
		if !fresh.Delivered {
			fresh.Digest = ""
		}
		if err := tx.UpdateKeyDelivery(fresh); err != nil {
			return err
		}
		if err := tx.DeleteSealed(string(fresh.ID), keyField); err != nil {
			return err
		}
		if err := replaced(tx, p.former); err != nil {
			return err
		}
		code, words := audit.KeyDelivered, "Key brought to the user's directory entry: "
		if fresh.Service != "" {
			words = "Key brought to the key service: "
		} else if d.Action == ra.ActionTakeBack {
			code, words = audit.KeyWithdrawn, "Key taken out of the user's directory entry: "
		}
		if err := audit.Record(tx, audit.Entry{Code: code, Actor: ra.System("keydelivery"), Group: fresh.GroupID, Object: string(fresh.Certificate), Related: receiverOf(fresh),
			Message: words + fresh.Subject, Details: map[string]any{"delivery": fresh.ID}}); err != nil {
			return err
		}
		c, err := tx.Certificate(fresh.Certificate)
		if err != nil {
			return err
		}
		return withdraw(tx, c, fresh) // it may have been revoked in between
	})
}

// again is the wait after the n-th failed attempt: a minute doubling up to six
// hours.
func again(n int) time.Duration { return min(time.Minute<<min(max(n-1, 0), 10), 6*time.Hour) }
