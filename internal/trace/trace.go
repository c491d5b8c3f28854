// Package trace tells how an enrolment went, hop by hop: what happened, who did
// it, how long it took and, where it failed, why and what to do about it.
//
// Show takes whatever a person has in hand: the ID of a pass, a request, a
// certificate or a device, or a transaction ID of SCEP. A pass is told by the
// nineteen steps of package pass, with what else happened behind them (pass.go
// here). A request has no steps: its lines are composed from what is kept about
// it, which is its row, its challenge, the decisions, the audit record and its
// certificate (request.go). Nothing is written here, and nothing that is told is
// secret: challenges and tokens are in none of the sources.
package trace

import (
	"context"
	"time"

	"chancery/internal/access"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// Service is the capability. Fill the fields, then use it; it is safe for
// concurrent use.
type Service struct {
	DB     *store.DB
	Passes *pass.Service
}

// Who takes a step.
const (
	Device    = "device"
	Chancery  = "chancery"  // this program
	Authority = "authority" // or its SCEP server
	Person    = "person"    // or a program with a token
)

// Result is how an enrolment stands.
type Result string

// The results.
const (
	Done    Result = "done"
	Failed  Result = "failed"
	Waiting Result = "waiting" // for the device, the authority or people
)

// Line is one hop of a trace.
type Line struct {
	Number  int    // of the nineteen steps; 0: none of them
	Step    string // its stable name
	Title   string
	Who     string
	State   pass.StepState
	At      time.Time     // zero while it did not happen, or nobody saw when
	Took    time.Duration // 0 when nothing was measured
	Times   int           // how often it happened, when more than once
	Message string
	Remedy  string
	Fields  map[string]string // decoded, without secrets
}

// Trace is the way of one pass or request.
type Trace struct {
	Pass    *ra.Pass    // one of the two
	Request *ra.Request // is set
	Result  Result
	Problem *Line // the line that fails, or was the last to, or waits for what somebody can do; nil: none
	Lines   []Line
}

// ID gives the ID of what the trace is of.
func (t *Trace) ID() string {
	if t.Pass != nil {
		return string(t.Pass.ID)
	}
	return string(t.Request.ID)
}

// Show gives the trace of a pass, a request, a certificate, the newest pass or
// request of a device, or of a SCEP transaction. Errors are NotFound and Denied.
func (s *Service) Show(ctx context.Context, actor ra.Actor, id string) (*Trace, error) {
	passID, requestID, err := s.origin(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	if passID != "" {
		p, hops, err := s.Passes.Trace(ctx, actor, passID)
		if err != nil {
			return nil, err
		}
		return ofPass(p, hops), nil
	}
	var t *Trace
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err := tx.Request(requestID)
		if err != nil {
			return err
		}
		if err := access.CheckGroup(tx, actor, access.See, r.GroupID); err != nil {
			return err
		}
		t, err = ofRequest(tx, r)
		return err
	})
	return t, err
}

// origin finds the pass or request that an ID leads to.
func (s *Service) origin(ctx context.Context, actor ra.Actor, id string) (p ra.PassID, r ra.RequestID, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		p, r = "", ""
		switch {
		case isID(id, ra.PassPrefix):
			p = ra.PassID(id)
			return nil
		case isID(id, ra.RequestPrefix):
			r = ra.RequestID(id)
			return nil
		case isID(id, ra.CertificatePrefix):
			p, r, err = ofCertificate(tx, actor, ra.CertificateID(id))
			return err
		case isID(id, ra.DevicePrefix):
			p, r, err = ofDevice(tx, actor, ra.DeviceID(id))
			return err
		}
		p, r, err = ofTransaction(tx, actor, id)
		return err
	})
	return p, r, err
}

// isID reports whether a text has the form of an ID of a kind.
func isID(text, prefix string) bool {
	return len(text) == len(prefix)+27 && text[:len(prefix)] == prefix && text[len(prefix)] == '_'
}

func ofCertificate(tx *store.Tx, actor ra.Actor, id ra.CertificateID) (ra.PassID, ra.RequestID, error) {
	c, err := tx.Certificate(id)
	if err != nil {
		return "", "", err
	}
	if err := access.CheckGroup(tx, actor, access.See, c.GroupID); err != nil {
		return "", "", err
	}
	if c.RequestID != "" {
		return "", c.RequestID, nil
	}
	p, err := tx.PassByCertificate(id)
	if ra.KindOf(err) == ra.NotFound {
		return "", "", ra.Errorf(ra.NotFound, "Nothing is known of the way of this certificate.").WithRemedy("It was imported, or its pass or request is gone.")
	}
	if err != nil {
		return "", "", err
	}
	return p.ID, "", nil
}

func ofDevice(tx *store.Tx, actor ra.Actor, id ra.DeviceID) (ra.PassID, ra.RequestID, error) {
	d, err := tx.Device(id)
	if err != nil {
		return "", "", err
	}
	if err := access.CheckGroup(tx, actor, access.See, d.GroupID); err != nil {
		return "", "", err
	}
	p, r, err := newest(tx, actor, func(p *store.PassSearch, r *store.RequestFilter) { p.Device, r.Device = id, id }, nil)
	if ra.KindOf(err) == ra.NotFound {
		return "", "", ra.Errorf(ra.NotFound, "Device %q has never asked for a certificate.", d.Name).WithRemedy("Make a pass or a challenge for it, or ask for a certificate in its place.")
	}
	return p, r, err
}

func ofTransaction(tx *store.Tx, actor ra.Actor, id string) (ra.PassID, ra.RequestID, error) {
	nothing := ra.Errorf(ra.NotFound, "There is no trace of %.80q.", id).
		WithRemedy("Give the ID of a pass, request, certificate or device, or the whole transaction ID of SCEP.")
	if id == "" {
		return "", "", nothing
	}
	p, r, err := newest(tx, actor, func(p *store.PassSearch, r *store.RequestFilter) { p.Transaction, r.Text = id, id }, func(transaction string) bool { return transaction == id })
	if ra.KindOf(err) == ra.NotFound {
		return "", "", nothing
	}
	return p, r, err
}

// newest gives the newest pass or request that a filter finds for an actor and
// whose transaction fits.
func newest(tx *store.Tx, actor ra.Actor, narrow func(*store.PassSearch, *store.RequestFilter), fits func(transaction string) bool) (ra.PassID, ra.RequestID, error) {
	groups, err := access.Scope(tx, actor, access.See)
	if err != nil {
		return "", "", err
	}
	limit := 1
	if fits != nil {
		limit = 50 // a text may stand in others, too
	}
	ps := store.PassSearch{PassFilter: store.PassFilter{Groups: groups, Page: store.Page{Limit: limit}}}
	rf := store.RequestFilter{Groups: groups, Page: store.Page{Limit: limit}}
	narrow(&ps, &rf)
	passes, _, err := tx.SearchPasses(ps)
	if err != nil {
		return "", "", err
	}
	requests, _, err := tx.FindRequests(rf)
	if err != nil {
		return "", "", err
	}
	var found ra.PassID
	var at time.Time
	for _, p := range passes {
		if fits == nil || fits(p.TransactionID) {
			found, at = p.ID, p.CreatedAt
			break
		}
	}
	for _, r := range requests {
		if fits != nil && !fits(r.TransactionID) {
			continue
		}
		if found == "" || r.CreatedAt.After(at) {
			return "", r.ID, nil
		}
		break
	}
	if found == "" {
		return "", "", ra.Errorf(ra.NotFound, "There is no pass or request.").WithRemedy("Make one.")
	}
	return found, "", nil
}
