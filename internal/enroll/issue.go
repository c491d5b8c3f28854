package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/job"
	"chancery/internal/lookup"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// maxIssue is how long an approved request may take before people are told.
const maxIssue = 24 * time.Hour

// IssueJob asks the authority about one request. It is unique per request.
type IssueJob struct {
	Request ra.RequestID `json:"request"`
}

// Kind is the stable name of the job.
func (IssueJob) Kind() string { return "enroll.issue" }

// Work runs the job: it takes the request if nobody else holds its lease.
func (s *Service) Work(ctx context.Context, j IssueJob) error {
	r, resumed, err := s.claim(ctx, j.Request)
	if err != nil || r == nil {
		return err
	}
	if r.Renews != "" {
		ctx = authority.InBackground(ctx)
	}
	_, err = s.act(ctx, r, resumed)
	return err // a failed call is on the obligation; the planner comes back to it
}

func (s *Service) enqueue(tx *store.Tx, id ra.RequestID) error {
	return job.Put(tx, s.Queue, IssueJob{id}, job.PutOptions{Unique: string(id)})
}

// claim takes a request whose next action is due and renews its lease. It
// gives nil when there is nothing to do. resumed says that the authority may
// have been asked before.
func (s *Service) claim(ctx context.Context, id ra.RequestID) (r *ra.Request, resumed bool, err error) {
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		r, resumed = nil, false
		found, err := tx.Request(id)
		if err != nil {
			return err
		}
		if found.At.After(tx.Now) {
			return nil
		}
		switch found.State {
		case ra.Approved:
			if refused, err := s.recheck(tx, found); err != nil || refused {
				return err
			}
			if err := s.submitted(tx, found); err != nil {
				return err
			}
		case ra.Submitted, ra.PendingAtCA:
			resumed = true
			found.At, found.Attempts = tx.Now.Add(lease), found.Attempts+1
		default:
			return nil
		}
		r = found
		return tx.UpdateRequest(r)
	})
	return r, resumed, err
}

// recheck ends a request that waited, for people or for its turn, when its
// device, its user or its key may not be certified any more.
func (s *Service) recheck(tx *store.Tx, r *ra.Request) (refused bool, err error) {
	t, err := tx.Template(r.TemplateID)
	if err != nil {
		return false, err
	}
	var sub lookup.Subject
	if r.DeviceID != "" {
		if sub.Device, err = tx.Device(r.DeviceID); err != nil {
			return false, err
		}
	}
	if r.UserID != "" {
		sub.User, err = tx.User(r.UserID)
		if ra.KindOf(err) == ra.NotFound {
			sub.User, err = nil, nil // the user has left, and the device was given to nobody
		}
		if err != nil {
			return false, err
		}
	}
	no := entitled(&sub)
	if no == nil && r.KeyPlace == ra.KeyOnDevice {
		no = checkKeyReuse(tx, Ask{Device: r.DeviceID, Renews: r.Renews}, r.UserID, t, r.SPKIHash)
	}
	if no == nil {
		return false, nil
	}
	if e := ra.AsError(no); e.Retry == ra.Never {
		r.LastError = e.Say()
		return true, s.fail(tx, r)
	}
	return false, no
}

// submitted marks a request as being asked for, under a lease.
func (s *Service) submitted(tx *store.Tx, r *ra.Request) error {
	if err := move(r, ra.Submitted); err != nil {
		return err
	}
	r.SubmittedAt, r.At, r.Attempts = tx.Now, tx.Now.Add(lease), r.Attempts+1
	return nil
}

// act asks the authority about a claimed request and records what it says. An
// answer that was given is recorded even if the caller has gone away.
func (s *Service) act(ctx context.Context, r *ra.Request, resumed bool) (*ra.Request, error) {
	ctx = context.WithoutCancel(ctx)
	reply, chain, err := s.call(ctx, r, resumed)
	r, _, err = s.settle(ctx, r, nil, reply, chain, err)
	return r, err
}

// actOn is act for a request that was submitted just now: what the authority has
// decided on already is only to be made.
func (s *Service) actOn(ctx context.Context, r *ra.Request, p *Prepared) (*ra.Request, error) {
	if p.plan == nil {
		return s.act(ctx, r, false)
	}
	ctx = context.WithoutCancel(ctx)
	reply, err := s.make(ctx, p)
	r, p.issued, err = s.settle(ctx, r, p, reply, reply.Chain, err)
	return r, err
}

// make has the authority make what it decided on.
func (s *Service) make(ctx context.Context, p *Prepared) (reply ca.Reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = p.open.Do(ctx, func(ca.Connector) error {
		reply, err = p.plan.Make(ctx, p.order)
		return err
	})
	return reply, err
}

// settle records what came of asking the authority, and gives the certificate
// when there is one. p is what the request was prepared as, if it was just now.
func (s *Service) settle(ctx context.Context, r *ra.Request, p *Prepared, reply ca.Reply, chain []*x509.Certificate, err error) (*ra.Request, *ra.Certificate, error) {
	var c *ra.Certificate
	s.step(StepAnswer)
	switch {
	case err != nil:
		r, err = s.postpone(ctx, r, err)
	case reply.Pending():
		r, err = s.pending(ctx, r, reply)
	default:
		r, c, err = s.keep(ctx, r, p, reply, chain)
	}
	s.observe(r, p, err)
	s.step(StepDeliver)
	return r, c, err
}

// observe tells those who watch what came of asking the authority.
func (s *Service) observe(r *ra.Request, p *Prepared, err error) {
	if err != nil || r == nil {
		return
	}
	result := string(r.State)
	switch r.State {
	case ra.Submitted:
		result = "postponed"
	case ra.PendingAtCA:
		result = "pending"
	}
	var waited time.Duration
	if p != nil {
		waited = time.Since(p.began)
	}
	s.Observer.Enrolled(r.Door, result, waited)
}

// call asks the authority: for the answer it promised, for an answer that may
// have been lost, or for a certificate.
func (s *Service) call(ctx context.Context, r *ra.Request, resumed bool) (reply ca.Reply, chain []*x509.Certificate, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	o, err := s.Authorities.Open(ctx, r.AuthorityID)
	if err != nil {
		return reply, nil, err
	}
	request, err := s.order(ctx, o, r)
	if err != nil {
		return reply, nil, err
	}
	err = o.Do(ctx, func(c ca.Connector) error {
		reply, err = ask(ctx, c, request, r, resumed)
		return err
	})
	if err != nil || reply.Pending() {
		return reply, nil, err
	}
	chain = reply.Chain
	if c, ok := o.Connector.(ca.Chainer); ok && len(chain) == 1 {
		issuers, err := c.Chain(ctx)
		if err != nil { // the certificate is there: what is known of its issuers must do
			s.Log.Warn("the authority does not tell its chain", "authority", o.Authority.Name, "error", err)
		}
		chain = append(chain[:1:1], issuers...)
	}
	return reply, chain, nil
}

func ask(ctx context.Context, c ca.Connector, request ca.Request, r *ra.Request, resumed bool) (ca.Reply, error) {
	if r.Handle != "" {
		if f, ok := c.(ca.Fetcher); ok {
			return f.Fetch(ctx, request, r.Handle)
		}
	}
	if resumed {
		if f, ok := c.(ca.Finder); ok {
			reply, found, err := f.Find(ctx, request)
			if err != nil || found {
				return reply, err
			}
		}
	}
	return c.Issue(ctx, request)
}

// order rebuilds the checked request for the authority from the row alone, so
// that it is the same after a restart.
func (s *Service) order(ctx context.Context, o *authority.Open, r *ra.Request) (ca.Request, error) {
	var t *ra.Template
	var old *ra.Certificate
	var key, oldKey crypto.Signer
	var carries ra.ChallengeID
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		config, err := tx.Config()
		if err != nil {
			return err
		}
		if t, err = config.Template(r.TemplateID); err != nil {
			return err
		}
		if r.Renews != "" {
			if old, err = tx.Certificate(r.Renews); err != nil {
				return err
			}
		}
		if r.KeyPlace != ra.KeyHere {
			carries, err = carried(tx, o, r)
			return err
		}
		// A key that was handed out is here no more, nor that of a request that was
		// given up: the authority is asked about it all the same.
		if key, err = s.keyIfHere(tx, r.ID); err == nil && old != nil {
			oldKey, err = s.keyIfHere(tx, old.RequestID)
		}
		return err
	})
	if err != nil {
		return ca.Request{}, err
	}
	f, err := fillOf(r)
	if err != nil {
		return ca.Request{}, err
	}
	der, err := s.CSR(r)
	if err != nil {
		return ca.Request{}, err
	}
	var csr *pkixmsg.CSR
	if der != nil {
		if csr, err = parseCSR(der); err != nil {
			return ca.Request{}, err
		}
	}
	return order(o.Kind, r, t, f, old, csr, func(o *ca.Order) { o.Key, o.RenewsKey, o.Carries = key, oldKey, string(carries) })
}

// order makes the checked request for an authority of a kind. old is the
// certificate to be renewed, csr is nil when the authority makes the key, and
// more adds what only authorities elsewhere ask for.
func order(kind ca.Kind, r *ra.Request, t *ra.Template, f *Fill, old *ra.Certificate, csr *pkixmsg.CSR, more func(*ca.Order)) (ca.Request, error) {
	o, err := f.Order(r.ID, t)
	if err != nil {
		return ca.Request{}, err
	}
	if o.Options, err = templateOptions(kind, &t.Spec); err != nil {
		return ca.Request{}, err
	}
	if old != nil {
		if o.Renews, err = x509.ParseCertificate(old.DER); err != nil {
			return ca.Request{}, err
		}
	}
	if csr != nil {
		o.CSR, o.Read = csr.Raw, csr
	}
	if r.KeyPlace == ra.KeyAtCA {
		o.KeyAtCA = f.KeyType
	}
	more(&o)
	return ca.NewRequest(o)
}

// pending notes that the authority will answer later.
func (s *Service) pending(ctx context.Context, r *ra.Request, reply ca.Reply) (*ra.Request, error) {
	again := max(reply.Again, time.Second)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Request(r.ID)
		if err != nil {
			return err
		}
		if r = fresh; Ended(r.State) {
			return nil
		}
		first := r.State != ra.PendingAtCA
		if first {
			if err := move(r, ra.PendingAtCA); err != nil {
				return err
			}
		}
		r.Handle, r.LastError, r.Attempts = reply.Handle, "", 0
		r.Action, r.At = ra.ActionFetch, tx.Now.Add(again)
		if err := tx.UpdateRequest(r); err != nil || !first {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.RequestPending, Actor: ra.System("enroll"), Group: r.GroupID, Object: string(r.ID),
			Message: "The authority will answer later.", Details: map[string]any{"again_seconds": int(again.Seconds())}})
	})
	return r, err
}

// postpone records a failed call: a final refusal ends the request, anything
// else is tried again, later and later.
func (s *Service) postpone(ctx context.Context, r *ra.Request, cause error) (*ra.Request, error) {
	e := ra.AsError(cause)
	s.Log.Warn("certificate request not answered", "request", r.ID, "kind", e.Kind, "attempt", r.Attempts, "error", cause)
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.Request(r.ID)
		if err != nil {
			return err
		}
		if r = fresh; Ended(r.State) {
			return nil
		}
		r.LastError = e.Say()
		if finalRefusal(e) {
			return s.fail(tx, r)
		}
		wait := e.Retry
		if wait <= 0 {
			wait = backoff(r.Attempts)
		}
		r.At = tx.Now.Add(wait)
		return tx.UpdateRequest(r)
	})
	return r, err
}

// fail ends a request that nobody answered with a certificate. A challenge it
// used is given back: the device did nothing wrong.
func (s *Service) fail(tx *store.Tx, r *ra.Request) error {
	r.Reason = r.LastError
	if err := s.giveUp(tx, r, ra.Failed); err != nil {
		return err
	}
	if err := tx.ReleaseChallenge(r.ID); err != nil {
		return err
	}
	if err := s.noteRenewal(tx, r); err != nil {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.RequestFailed, Actor: ra.System("enroll"), Group: r.GroupID, Object: string(r.ID),
		Related: string(r.DeviceID), Result: "failed", Message: "No certificate for " + r.Subject, Details: map[string]any{"reason": r.Reason}})
}

// noteRenewal tells the certificate that a failed request was to replace: its
// renewal is tried again after an hour, then later and later, and whoever hears
// that it is late hears why.
func (s *Service) noteRenewal(tx *store.Tx, r *ra.Request) error {
	if r.Renews == "" {
		return nil
	}
	old, err := tx.Certificate(r.Renews)
	if err != nil {
		return err
	}
	if old.Action != ra.ActionRenew && old.Action != ra.ActionAwait {
		return nil
	}
	old.LastError = r.LastError
	if old.Action == ra.ActionRenew {
		old.Attempts++
		old.At = tx.Now.Add(min(time.Hour<<min(old.Attempts-1, 3), 6*time.Hour))
	}
	return tx.UpdateCertificate(old)
}

// giveUp ends a request without a certificate and without a denial: its
// idempotency key is freed, so that the same may be asked for again.
func (s *Service) giveUp(tx *store.Tx, r *ra.Request, to ra.RequestState) error {
	if err := move(r, to); err != nil {
		return err
	}
	r.IdempotencyKey = string(r.ID)
	if err := tx.UpdateRequest(r); err != nil {
		return err
	}
	return tx.DeleteSealed(string(r.ID), "")
}

func finalRefusal(e *ra.Error) bool {
	if e.Retry == ra.Never {
		return true
	}
	return e.Retry == 0 && (e.Kind == ra.RefusedByCA || e.Kind == ra.Invalid || e.Kind == ra.Denied)
}

// backoff is the wait after the n-th failed attempt: 10 s doubling up to an
// hour.
func backoff(n int) time.Duration {
	return min(10*time.Second<<min(max(n-1, 0), 10), time.Hour)
}

func fillOf(r *ra.Request) (*Fill, error) {
	f := &Fill{}
	return f, json.Unmarshal(r.Fill, f)
}
