// Package pass lets devices enrol at SCEP servers that are not ours. A pass is
// for one device, one template and one enrolment; it comes in two models.
//
// As a delegate we only fetch the challenge: Create fills the template,
// Parameters gives the device the server's own address, the challenge and what
// to ask for, and what became of it is learnt later (Learn).
//
// As a proxy we stand in between. The address has a token of ours in it, and
// every message comes through the door (package door/scepproxy), which reads
// what is in clear and asks here: Claim decides and binds the pass to the
// transaction and key of its first message, before anything leaves; Result
// writes down what the server said and keeps its answer, so that the same
// message again gets the same answer; Undo takes a Claim back when nothing left.
// The door cannot open a message: it has no key of that authority. What a device
// may obtain with a stolen challenge is for the server to limit.
//
// There are two clocks. The token lives for days, because devices are offline;
// the challenge lives for minutes, so it is fetched only by Parameters, when the
// device is about to use it. A pass whose challenge ran out waits for a new
// delivery, it does not fail.
//
// Everything that happens to a pass is a hop of its trace; step.go names the
// nineteen steps of an enrolment through the proxy and tells how far one got. A
// pass somebody waits for carries an obligation, which Sweep looks after. The
// certificates that passes led to are enrolled anew by further passes.
package pass

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"chancery/internal/access"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB          *store.DB
	Box         *seal.Box
	Authorities *authority.Service
	Enroll      *enroll.Service
	Queue       *job.Queue
	Now         func() time.Time
	Log         *slog.Logger
	PublicURL   string // where devices reach this server

	flushing sync.Mutex // held while hops are being stored by themselves

	mu      sync.Mutex
	early   map[ra.PassID]unsaved  // hops that are not stored yet
	watched bool                   // somebody will look after those
	storing map[ra.PassID][]ra.Hop // hops that are being stored by themselves
	known   map[ra.PassID]steps    // the first looks at a server that a pass has had
}

// Handle registers the package's jobs.
func (s *Service) Handle() {
	job.Handle(s.Queue, s.Sweep)
	job.Every(s.Queue, sweepEvery, SweepJob{})
}

// Path is where the proxy's addresses begin; the token follows.
const Path = "/scep-proxy/"

const (
	tokenBits  = 190 // 32 characters
	tokenLabel = "scep proxy token"
	table      = "passes"
	tokenField = "token"

	defaultLife = 7 * 24 * time.Hour
	shortest    = 10 * time.Minute
	longest     = 30 * 24 * time.Hour

	// maxMessages bounds what is passed on with one pass: a device that polls
	// every minute for some hours.
	maxMessages = 300
	// maxFailures is how many refusals and lost answers a device may follow
	// with another try: the challenge may not have been used up by them.
	maxFailures = 3
	// maxHops bounds a trace; what comes beyond is not told.
	maxHops = 400
)

// TokenHash is how a pass is found without its token being compared.
func TokenHash(t secret.Text) string { return secret.Hash(tokenLabel, t) }

// forwarder opens an authority that devices can enrol at by SCEP.
func (s *Service) forwarder(ctx context.Context, id ra.AuthorityID) (*authority.Open, ca.SCEPServer, error) {
	o, err := s.Authorities.Open(ctx, id)
	if err != nil {
		return nil, ca.SCEPServer{}, err
	}
	f, ok := o.Connector.(ca.Forwarder)
	if !ok {
		return nil, ca.SCEPServer{}, ra.Errorf(ra.Invalid, "The authority %q has no SCEP server of its own.", o.Authority.Name).WithField("template_id").
			WithRemedy("Choose a template of an authority of kind NDES or SCEP; for others, use a SCEP endpoint.")
	}
	return o, f.SCEP(), nil
}

// Get gives one pass.
func (s *Service) Get(ctx context.Context, actor ra.Actor, id ra.PassID) (p *ra.Pass, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		p, err = visible(tx, actor, access.See, id)
		return err
	})
	return p, err
}

// Find lists the passes the actor may see, newest first.
func (s *Service) Find(ctx context.Context, actor ra.Actor, f store.PassFilter) (list []*ra.Pass, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindPasses(f)
		return err
	})
	return list, next, err
}

// Trace gives a pass with all that happened to it.
func (s *Service) Trace(ctx context.Context, actor ra.Actor, id ra.PassID) (p *ra.Pass, hops []ra.Hop, err error) {
	s.flush(ctx, func(unsaved) bool { return true })
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if p, err = visible(tx, actor, access.See, id); err != nil {
			return err
		}
		hops, err = tx.Hops(string(id))
		return err
	})
	return p, hops, err
}

// visible loads a pass for somebody who may do something with it.
func visible(tx *store.Tx, actor ra.Actor, p access.Permission, id ra.PassID) (*ra.Pass, error) {
	pass, err := tx.Pass(id)
	if err != nil {
		return nil, err
	}
	return pass, access.CheckGroup(tx, actor, p, pass.GroupID)
}

// hop adds to a trace what p is then to be stored with.
func hop(tx *store.Tx, p *ra.Pass, hops ...ra.Hop) error {
	hops = append([]ra.Hop{}, hops...) // the transaction may run again
	hops = hops[:max(0, min(len(hops), maxHops-p.Hops))]
	for i := range hops {
		p.Hops++
		hops[i].Owner, hops[i].Position = string(p.ID), p.Hops
		if hops[i].At.IsZero() {
			hops[i].At = tx.Now
		}
	}
	return tx.AddHops(hops...)
}

// failed makes the hop of an error.
func failed(step string, err error) ra.Hop {
	e := ra.AsError(err)
	return ra.Hop{Step: step, Result: ra.HopFailed, Message: e.Message, Remedy: e.Remedy}
}
