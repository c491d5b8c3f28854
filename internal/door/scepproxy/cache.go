package scepproxy

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

const (
	// freshFor is how long an answer is given again without asking, staleFor
	// how long while the server cannot be asked.
	freshFor = 10 * time.Minute
	staleFor = 24 * time.Hour
	// lookAgain is how soon a server is asked again after it could not be, or
	// because somebody doubts what it said.
	lookAgain = 5 * time.Second
	// lookWait is how long a device waits for a new answer while there is an old
	// one.
	lookWait = 3 * time.Second

	maxCaps = 16 << 10
)

// said is what a server answered to GetCACert or GetCACaps, and whether it is
// being asked again.
type said struct {
	answer answer // the last good one
	at     time.Time
	took   time.Duration
	certs  []*cms.Certificate
	x509   []*x509.Certificate // those of certs that can be read
	tried  time.Time
	err    error         // of the last try
	asking chan struct{} // closed when the answer is there; nil: nobody asks
}

// look answers GetCACert and GetCACaps, and has the first time of each noted in
// the trace. What a device sends as message means nothing.
func (x *visit) look(ctx context.Context, b *backend, op scepmsg.Operation) (answer, error) {
	s, err := b.say(ctx, x, op, freshFor)
	steps := [4]string{pass.StepCertAsked, pass.StepCertForwarded, pass.StepCertAnswered, pass.StepCertReturned}
	if op == scepmsg.OpGetCACaps {
		steps = [4]string{pass.StepCapsAsked, pass.StepCapsForwarded, pass.StepCapsAnswered, pass.StepCapsReturned}
	}
	if err != nil {
		e := ra.AsError(err)
		x.Passes.Looked(x.ticket.Pass, ra.Hop{Step: steps[0], Result: ra.HopOK, Fields: map[string]string{"remote": x.remote}},
			ra.Hop{Step: steps[2], Result: ra.HopFailed, Message: e.Message, Remedy: e.Remedy})
		return answer{}, err
	}
	if !x.Passes.LookedAlready(x.ticket.Pass, steps[0]) {
		x.Passes.Looked(x.ticket.Pass, ra.Hop{Step: steps[0], Result: ra.HopOK, Fields: map[string]string{"remote": x.remote}}, ra.Hop{Step: steps[1], Result: ra.HopOK},
			ra.Hop{Step: steps[2], Result: ra.HopOK, Took: s.took.Microseconds(), Message: remembered(x.Now().Sub(s.at)), Fields: s.fields()},
			ra.Hop{Step: steps[3], Result: ra.HopOK})
	}
	return s.answer, nil
}

// late refuses a device that comes to look when its pass has expired, and has the
// first time noted in the trace: few devices go on to send a message.
func (x *visit) late(op scepmsg.Operation) error {
	r := pass.Refuse(pass.Expired, "The pass expired at "+x.ticket.ExpiresAt.UTC().Format("2006-01-02 15:04 MST")+".", "Make a new pass, and bring it to the device sooner.")
	step := pass.StepCertAsked
	if op == scepmsg.OpGetCACaps {
		step = pass.StepCapsAsked
	}
	x.Passes.Looked(x.ticket.Pass, ra.Hop{Step: step, Result: ra.HopFailed, Message: r.Err.Message, Remedy: r.Err.Remedy, Fields: map[string]string{"remote": x.remote, "reason": string(r.Reason)}})
	return r
}

// remembered tells how old an answer is.
func remembered(age time.Duration) string {
	if age < time.Second {
		return ""
	}
	return fmt.Sprintf("The server said so %s ago.", age.Round(time.Second))
}

func (s *said) fields() map[string]string {
	f := map[string]string{"bytes": fmt.Sprint(len(s.answer.body))}
	if len(s.certs) == 0 {
		f["capabilities"] = fmt.Sprintf("%.300q", strings.Join(strings.Fields(string(s.answer.body)), " "))
		return f
	}
	f["certificates"] = fmt.Sprint(len(s.certs))
	if r := scepmsg.ChooseRA(s.certs); r != nil {
		f["recipient"] = serial(r)
		f["recipient_ends"] = r.NotAfter.UTC().Format(time.DateOnly)
	}
	return f
}

// say gives what the server said, no older than age if it can be asked, and the
// last it said if not. Whoever comes while it is being asked waits for the same
// answer.
func (b *backend) say(ctx context.Context, x *visit, op scepmsg.Operation, age time.Duration) (said, error) {
	b.mu.Lock()
	s := b.asked[op]
	if s == nil {
		s = &said{}
		b.asked[op] = s
	}
	now := x.Now()
	have := s.answer.body != nil && now.Sub(s.at).Abs() < staleFor
	if have && now.Sub(s.at).Abs() < age || s.asking == nil && now.Sub(s.tried).Abs() < lookAgain && (have || s.err != nil) {
		defer b.mu.Unlock()
		if !have {
			return said{}, s.err
		}
		return *s, nil
	}
	if s.asking == nil {
		s.asking = make(chan struct{})
		go b.renew(context.WithoutCancel(ctx), x.Door, x.ticket.Authority, op, s)
	}
	asking := s.asking
	b.mu.Unlock()
	patience := forwardLimit + time.Second
	if have {
		patience = lookWait
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-asking:
	case <-t.C:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.answer.body != nil && x.Now().Sub(s.at).Abs() < staleFor:
		return *s, nil
	case s.err != nil:
		return said{}, s.err
	}
	return said{}, b.away(ctx.Err())
}

// renew asks the server.
func (b *backend) renew(ctx context.Context, d *Door, id ra.AuthorityID, op scepmsg.Operation, s *said) {
	fresh, err := b.fetch(ctx, d, id, op)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := d.Now()
	s.tried, s.err = now, err
	if err == nil {
		if s.answer.body != nil && !bytes.Equal(s.answer.body, fresh.answer.body) {
			d.Log.Warn("a SCEP server says something else than before", "authority", b.open.Authority.Name, "operation", op)
		}
		s.answer, s.at, s.took, s.certs, s.x509 = fresh.answer, now, fresh.took, fresh.certs, fresh.x509
	} else {
		d.Log.Warn("a SCEP server cannot be asked", "authority", b.open.Authority.Name, "operation", op, "error", err)
	}
	close(s.asking)
	s.asking = nil
}

// fetch gets and checks an answer. Certificates nobody has seen before are not
// passed on.
func (b *backend) fetch(ctx context.Context, d *Door, id ra.AuthorityID, op scepmsg.Operation) (*said, error) {
	leave, err := b.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	got, err := b.ask(ctx, op, []byte(b.server.CAIdentifier))
	if err != nil {
		return nil, b.away(err)
	}
	s := &said{answer: answer{http.StatusOK, got.Media, got.Body, "passed"}, took: got.Took}
	if op == scepmsg.OpGetCACaps {
		if got.Status != http.StatusOK || len(got.Body) > maxCaps {
			return nil, unusual(got)
		}
		if s.answer.media == "" {
			s.answer.media = scepmsg.MediaCaps
		}
		if got.Body == nil {
			s.answer.body = []byte{}
		}
		return s, nil
	}
	if got.Status != http.StatusOK || len(got.Body) > pass.MaxCACert {
		return nil, unusual(got)
	}
	if s.certs, err = scepmsg.ParseCACert(got.Body, cms.Limits{MaxBytes: pass.MaxCACert}); err != nil {
		return nil, unusual(got).WithCause(err)
	}
	for _, c := range s.certs {
		if read, err := x509.ParseCertificate(c.Raw); err == nil {
			s.x509 = append(s.x509, read)
		}
	}
	if err := d.Passes.Trust(ctx, id, s.certs); err != nil {
		return nil, err
	}
	return s, nil
}

// nextCACert passes GetNextCACert on. What it answers is signed by the CA for
// the device to verify.
func (x *visit) nextCACert(ctx context.Context, b *backend) (answer, error) {
	leave, err := b.enter()
	if err != nil {
		return answer{}, err
	}
	defer leave()
	got, err := b.ask(ctx, scepmsg.OpGetNextCACert, []byte(b.server.CAIdentifier))
	if err != nil {
		return answer{}, b.away(err)
	}
	if got.Status != http.StatusOK || len(got.Body) > pass.MaxCACert || got.Media != scepmsg.MediaNextCACert {
		return answer{}, unusual(got)
	}
	return answer{http.StatusOK, got.Media, got.Body, "passed"}, nil
}
