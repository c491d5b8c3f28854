package scepproxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"chancery/internal/ca"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// flight is a message that is being passed on, for those who send the same.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
}

const (
	// deviceLimit is how long a device is kept waiting in all.
	deviceLimit = 28 * time.Second
	// otherNode is how often it is looked for an answer that another node gets.
	otherNode = 400 * time.Millisecond
)

// pkiOperation passes a message on and its answer back. The same message twice
// at once is passed on once.
func (x *visit) pkiOperation(ctx context.Context, b *backend, raw []byte, method string) (answer, error) {
	sum := sha256.Sum256(raw)
	hash := hex.EncodeToString(sum[:])
	key := string(x.ticket.Pass) + hash
	x.mu.Lock()
	f, ok := x.flights[key]
	if !ok {
		f = &flight{done: make(chan struct{})}
		if x.flights == nil {
			x.flights = map[string]*flight{}
		}
		x.flights[key] = f
	}
	x.mu.Unlock()
	if !ok {
		// What began goes on when the device hangs up: it will come again for
		// the answer.
		own := *x
		go own.fly(context.WithoutCancel(ctx), b, raw, hash, method, key, f)
	}
	wait := x.Patience
	if wait == 0 {
		wait = deviceLimit
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-f.done:
		return f.answer, f.err
	case <-t.C:
	case <-ctx.Done():
	}
	return answer{}, &httpError{Status: http.StatusGatewayTimeout, Text: "The enrolment server did not answer in time. Try again later."}
}

func (x *visit) fly(ctx context.Context, b *backend, raw []byte, hash, method, key string, f *flight) {
	defer func() {
		x.mu.Lock()
		delete(x.flights, key)
		x.mu.Unlock()
		close(f.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, queueLimit+forwardLimit+10*time.Second)
	defer cancel()
	f.answer, f.err = x.pass(ctx, b, raw, hash, method)
}

// pass is the way of one message: read, claim, forward, record.
func (x *visit) pass(ctx context.Context, b *backend, raw []byte, hash, method string) (answer, error) {
	if err := x.tooHasty(); err != nil {
		return answer{}, err
	}
	m, refused, err := x.read(ctx, b, raw, hash, method)
	leave := func() {}
	if refused == nil && err == nil {
		leave, err = b.enter()
	}
	if err != nil { // the server cannot be asked
		e := ra.AsError(err)
		refused = pass.Refuse(pass.Away, e.Message, e.Remedy)
	}
	if refused != nil {
		var hops []ra.Hop
		if m.parsed != nil {
			hops = []ra.Hop{{Step: pass.StepMessage, Result: ra.HopOK, Fields: x.fields(m, method, nil)}}
		}
		if err := x.Passes.Refused(ctx, x.ticket.Pass, pass.StepForwarded, hops, refused); err != nil {
			return answer{}, err
		}
		return answer{}, refused
	}
	defer leave()
	c, err := x.claim(ctx, m)
	if err != nil {
		return answer{}, err
	}
	if c.Answer != nil {
		return replay(c.Answer), nil
	}
	return x.exchange(ctx, b, m, c)
}

// claim asks for leave to pass a message on, and waits while another node does.
func (x *visit) claim(ctx context.Context, m *message) (*pass.Claim, error) {
	for {
		c, err := x.Passes.Claim(ctx, x.ticket.Pass, m.arrival)
		if err != nil || !c.Wait {
			return c, err
		}
		select {
		case <-time.After(otherNode):
		case <-ctx.Done():
			return nil, ra.Errorf(ra.Busy, "Another server of this installation still waits for the answer.").WithRemedy("The device tries again by itself.").WithCause(ctx.Err())
		}
	}
}

func replay(s *store.Sent) answer {
	return answer{http.StatusOK, s.Media, s.Body, "repeated"}
}

// exchange sends a claimed message and writes down what came of it before the
// device hears of it.
func (x *visit) exchange(ctx context.Context, b *backend, m *message, c *pass.Claim) (answer, error) {
	began := time.Now()
	got, err := b.ask(ctx, scepmsg.OpPKIOperation, m.raw)
	o := pass.Outcome{Took: got.Took, Remote: x.remote, CA: m.ca.x509}
	if o.Took == 0 {
		o.Took = time.Since(began)
	}
	var unsent *ca.NotSent
	if errors.As(err, &unsent) {
		away := b.away(err)
		return answer{}, errors.Join(away, x.Passes.Undo(ctx, c, away))
	}
	var problem error
	switch {
	case err != nil:
		problem = ra.Errorf(ra.Unreachable, "The message went out, and no answer came back.").
			WithRemedy("The device may send the same message once more; see whether the server issued a certificate.").WithCause(err)
	case got.Status != http.StatusOK:
		problem, o.Status = unusual(got), got.Status
	default:
		if o.Reply, m.ca = x.reply(ctx, b, m, got); o.Reply == nil {
			problem, o.Status = unusual(got), got.Status
		}
		o.CA = m.ca.x509
	}
	o.Lost, o.Media, o.Body = problem, got.Media, got.Body
	if err := x.Passes.Result(ctx, c, o); err != nil {
		return answer{}, err // the server has acted: the same message again finds out how
	}
	switch {
	case problem == nil:
		x.doubt(ctx, b, o.Reply)
		return answer{http.StatusOK, got.Media, got.Body, pass.StatusWord(o.Reply.Status)}, nil
	case got.Status == 0:
		x.Log.Warn("a SCEP server did not answer a message", "pass", x.ticket.Pass, "authority", x.authority, "error", err)
		return answer{}, &httpError{Status: http.StatusGatewayTimeout, Text: "The enrolment server did not answer in time. Try again later."}
	}
	return answer{}, problem
}

// reply reads an answer: a CertRep of this transaction, signed with a
// certificate that the server shows now.
func (x *visit) reply(ctx context.Context, b *backend, m *message, got ca.Forwarded) (*scepmsg.Message, said) {
	shows := m.ca
	for range 2 {
		r, err := scepmsg.Parse(got.Body, scepmsg.Options{Floor: scepmsg.Legacy, Limits: cms.Limits{MaxBytes: pass.MaxCACert}, Signers: shows.certs})
		if err == nil && r.Type == scepmsg.CertRep && r.TransactionID.Value == m.parsed.TransactionID.Value {
			return r, shows
		}
		if !errors.Is(err, cms.ErrNoCertificate) {
			return nil, shows
		}
		fresh, err := b.say(ctx, x, scepmsg.OpGetCACert, 0) // it may have a new one
		if err != nil {
			return nil, shows
		}
		shows = fresh
	}
	return nil, shows
}

// doubt has the server's certificates looked at again when it could not open a
// message: it may have new ones.
func (x *visit) doubt(ctx context.Context, b *backend, reply *scepmsg.Message) {
	if reply.Status == scepmsg.Failure && reply.FailInfo == scepmsg.BadMessageCheck {
		_, _ = b.say(ctx, x, scepmsg.OpGetCACert, 0) // whoever needs it hears of an error
	}
}
