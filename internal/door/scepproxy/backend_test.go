package scepproxy_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/pass"
	"chancery/internal/pass/passtest"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// behave has the server do something else with messages.
func (w *world) behave(f func(ctx context.Context, message []byte) (ca.Forwarded, error, bool)) {
	w.server.Set(func(s *passServer) {
		s.Behave = nil
		if f != nil {
			s.Behave = func(ctx context.Context, op scepmsg.Operation, message []byte) (ca.Forwarded, error, bool) {
				if op != scepmsg.OpPKIOperation {
					return ca.Forwarded{}, nil, false
				}
				return f(ctx, message)
			}
		}
	})
}

// TestServerIsDown: nothing left, so nothing is spent, and the same message goes
// through later.
func TestServerIsDown(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		c := w.client()
		c.get("operation=GetCACert").want(t, "GetCACert", http.StatusOK)
		w.behave(func(context.Context, []byte) (ca.Forwarded, error, bool) {
			return ca.Forwarded{}, ra.Errorf(ra.Unreachable, "Nobody answers.").WithCause(&ca.NotSent{Err: errors.New("connection refused")}), true
		})
		message := c.Message(nil)
		c.post(message).want(t, "down", http.StatusServiceUnavailable)
		if n := w.asked(scepmsg.OpPKIOperation); n != 2 {
			t.Errorf("what did not leave was tried %d times", n)
		}
		p := c.is(ra.PassIssued)
		if p.Messages != 0 || p.SignerHash != "" || p.Failures != 0 || p.SealedToken == nil || p.Action != ra.ActionAwait {
			t.Errorf("the pass is not as it was: %+v", p)
		}
		c.last(pass.StepForwarded, "does not answer")
		w.behave(nil)
		c.post(message).certRep(t, "up again", scepmsg.Success)
		if n := len(w.server.Issued()); n != 1 {
			t.Errorf("%d certificates", n)
		}
	})
}

// TestLostAnswer: a message whose answer was lost may be sent once more, and no
// third time; another one of the same key is a retry, a few times.
func TestLostAnswer(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		lose := func(context.Context, []byte) (ca.Forwarded, error, bool) {
			return ca.Forwarded{}, ra.Errorf(ra.Unreachable, "The line was cut."), true
		}
		w.behave(lose)
		c := w.client()
		message := c.Message(nil)
		c.post(message).want(t, "lost", http.StatusGatewayTimeout)
		if p := c.is(ra.PassClaimed); p.PKIStatus != "lost" || p.Failures != 1 || p.Action != ra.ActionAwait {
			t.Errorf("the pass is %+v", p)
		}
		c.last(pass.StepReply, "no answer came back")
		w.behave(nil)
		c.post(message).certRep(t, "once more", scepmsg.Success)
		c.is(ra.PassDone)

		w.behave(lose)
		d := w.client()
		message = d.Message(nil)
		for range 2 {
			d.post(message).want(t, "lost", http.StatusGatewayTimeout)
		}
		d.post(message).want(t, "a third time", http.StatusForbidden)
		d.post(d.Message(nil)).want(t, "another message", http.StatusGatewayTimeout)
		d.post(d.Message(nil)).want(t, "another message", http.StatusGatewayTimeout)
		d.is(ra.PassFailed)
		d.post(d.Message(nil)).want(t, "one too many", http.StatusForbidden)
		if n := w.asked(scepmsg.OpPKIOperation); n != 6 {
			t.Errorf("the server was asked %d times", n)
		}
	})
}

// TestOddAnswers: what is no CertRep of this transaction, signed by the server,
// reaches no device.
func TestOddAnswers(t *testing.T) {
	w := one(t)
	other := passtest.New(w.clock.now)
	other.NewCA("Other CA")
	for name, tc := range map[string]struct {
		status int
		answer func(message []byte) ca.Forwarded
	}{
		"a web page": {http.StatusBadGateway, func([]byte) ca.Forwarded {
			return ca.Forwarded{Status: 200, Media: "text/html", Body: []byte("<html>Sign in to scep.example.test</html>")}
		}},
		"nothing": {http.StatusBadGateway, func([]byte) ca.Forwarded { return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage} }},
		"half an answer": {http.StatusBadGateway, func([]byte) ca.Forwarded {
			return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage, Body: []byte{0x30, 0x82, 9, 9, 1}}
		}},
		"an error": {http.StatusBadGateway, func([]byte) ca.Forwarded {
			return ca.Forwarded{Status: 500, Media: "text/plain", Body: []byte("stack trace of scep.example.test")}
		}},
		"too long for IIS":   {http.StatusBadGateway, func([]byte) ca.Forwarded { return ca.Forwarded{Status: 404, Media: "text/html"} }},
		"try later":          {http.StatusServiceUnavailable, func([]byte) ca.Forwarded { return ca.Forwarded{Status: 503, Media: "text/html"} }},
		"the request itself": {http.StatusBadGateway, func(m []byte) ca.Forwarded { return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage, Body: m} }},
		"signed by another": {http.StatusBadGateway, func(m []byte) ca.Forwarded {
			return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage, Body: other.Fail(m)}
		}},
		"of another transaction": {http.StatusBadGateway, func([]byte) ca.Forwarded {
			d := w.client()
			return ca.Forwarded{Status: 200, Media: scepmsg.MediaMessage, Body: w.server.Fail(d.Message(nil))}
		}},
	} {
		w.behave(nil)
		c := w.client()
		w.behave(func(_ context.Context, m []byte) (ca.Forwarded, error, bool) { return tc.answer(m), nil, true })
		c.post(c.Message(nil)).want(t, name, tc.status)
		c.last(pass.StepReply, "The server answered with")
		if p := c.is(ra.PassClaimed); p.PKIStatus != "refused" || p.Failures != 1 {
			t.Errorf("%s: the pass is %+v", name, p)
		}
	}
	// An answer that is right but named wrongly is still byte for byte.
	w.behave(nil)
	c := w.client()
	var said []byte
	w.behave(func(_ context.Context, m []byte) (ca.Forwarded, error, bool) {
		said = w.server.Fail(m)
		return ca.Forwarded{Status: 200, Media: "application/octet-stream", Body: said}, nil, true
	})
	if r := c.post(c.Message(nil)).want(t, "another media type", http.StatusOK); !bytes.Equal(r.body, said) || r.media != "application/octet-stream" {
		t.Errorf("it came as %q", r.media)
	}
}

// TestStalledServer: a server that does not answer fills its own queue, and takes
// nothing from another. Devices that wait are told to come back.
func TestStalledServer(t *testing.T) {
	stalled := passtest.New(time.Now)
	stalled.SCEP.InFlight, stalled.SCEP.Queue = 2, 3
	w := one(t, stalled.KindNamed("stalled"))
	bad := w.newTemplate(w.newAuthority("stalled"))
	hold := make(chan struct{})
	begun := make(chan struct{}, 10)
	stalled.Set(func(s *passServer) {
		s.Slots = 100
		s.Behave = func(ctx context.Context, op scepmsg.Operation, _ []byte) (ca.Forwarded, error, bool) {
			if op == scepmsg.OpPKIOperation {
				begun <- struct{}{}
				<-hold
			}
			return ca.Forwarded{}, nil, false
		}
	})
	client := func() *client {
		d := w.device()
		p := must(w.passes.Create(t.Context(), admin, pass.CreateInput{Template: bad.ID, Device: d.ID, Model: ra.PassProxy}))(t)
		c := w.clientFor(d, p)
		_, c.RA = stalled.CA()
		return c
	}
	var waiting []*sender
	for range 5 {
		waiting = append(waiting, &sender{client(), nil})
	}
	waiting[0].get("operation=GetCACert").want(t, "GetCACert", http.StatusOK)
	var all sync.WaitGroup
	answers := make([]reply, len(waiting))
	for i, c := range waiting {
		c.message = c.Message(nil)
		all.Go(func() { answers[i] = c.post(c.message) })
	}
	<-begun
	<-begun
	late := client()
	message := late.Message(nil)
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // until all are at the server or in its queue
		claimed, _, err := w.passes.Find(t.Context(), admin, store.PassFilter{States: []ra.PassState{ra.PassClaimed}})
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d messages have arrived (%v)", len(claimed), err)
		}
		if len(claimed) == len(waiting) {
			break
		}
	}
	late.post(message).want(t, "beyond the queue", http.StatusServiceUnavailable)
	late.is(ra.PassIssued)
	late.last(pass.StepForwarded, "more work than its limits")

	c := w.client()
	c.post(c.Message(nil)).certRep(t, "the other server", scepmsg.Success)
	close(hold)
	all.Wait()
	for _, a := range answers {
		a.certRep(t, "in the queue", scepmsg.Success)
	}
	late.post(message).certRep(t, "later", scepmsg.Success)
}

type sender struct {
	*client
	message []byte
}

// TestBreaker: a server that fails again and again is left alone.
func TestBreaker(t *testing.T) {
	w := one(t)
	clients := make([]*client, 8)
	w.server.Set(func(s *passServer) { s.Slots = 100 })
	for i := range clients {
		clients[i] = w.client()
	}
	clients[0].get("operation=GetCACert").want(t, "GetCACert", http.StatusOK)
	w.behave(func(context.Context, []byte) (ca.Forwarded, error, bool) {
		return ca.Forwarded{}, ra.Errorf(ra.Unreachable, "The line was cut."), true
	})
	for i, c := range clients {
		want := http.StatusGatewayTimeout
		if i >= 5 {
			want = http.StatusServiceUnavailable
		}
		c.post(c.Message(nil)).want(t, "a failing server", want)
	}
	if n := w.asked(scepmsg.OpPKIOperation); n != 5 {
		t.Errorf("the server was asked %d times", n)
	}
	clients[7].is(ra.PassIssued)
	clients[7].last(pass.StepForwarded, "does not answer")
	clients[7].get("operation=GetCACert").want(t, "what it said before", http.StatusOK)
}

// TestMemory: what the server said is remembered for a while, and longer while it
// cannot be asked; certificates nobody has seen before are not passed on until a
// person accepts them.
func TestMemory(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		c := w.client()
		first := c.get("operation=GetCACert").want(t, "first", http.StatusOK)
		w.clock.advance(9 * time.Minute)
		c.get("operation=GetCACert").want(t, "soon after", http.StatusOK)
		if n := w.asked(scepmsg.OpGetCACert); n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
		// A new RA certificate of the same CA needs nobody's word.
		w.server.Set(func(s *passServer) { s.NewRA() })
		w.clock.advance(2 * time.Minute)
		second := c.get("operation=GetCACert").want(t, "a new RA", http.StatusOK)
		if bytes.Equal(first.body, second.body) || w.asked(scepmsg.OpGetCACert) != 2 {
			t.Error("the new RA certificate is not shown")
		}
		down := true
		w.server.Set(func(s *passServer) {
			s.Behave = func(context.Context, scepmsg.Operation, []byte) (ca.Forwarded, error, bool) {
				return ca.Forwarded{}, ra.Errorf(ra.Unreachable, "Nobody answers."), down
			}
		})
		w.clock.advance(3 * time.Hour)
		if r := c.get("operation=GetCACert").want(t, "while it is down", http.StatusOK); !bytes.Equal(r.body, second.body) {
			t.Error("another answer")
		}
		w.clock.advance(22 * time.Hour)
		c.get("operation=GetCACert").want(t, "for too long", http.StatusServiceUnavailable)
		w.server.Set(func(s *passServer) { s.Behave = nil })
		w.clock.advance(time.Minute)
		c.get("operation=GetCACert").want(t, "up again", http.StatusOK)

		w.server.Set(func(s *passServer) { s.NewCA("Evil CA") })
		w.clock.advance(11 * time.Minute)
		if r := c.get("operation=GetCACert").want(t, "another CA", http.StatusOK); !bytes.Equal(r.body, second.body) {
			t.Error("certificates nobody has seen before were passed on")
		}
		fresh := w.client()
		fresh.post(fresh.Message(nil)).want(t, "for another CA", http.StatusConflict)
		viewer := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_2", Name: "viewer", Grants: []ra.Grant{{Role: ra.RoleViewer}}}
		if err := w.passes.AcceptCA(t.Context(), viewer, w.authority.ID); ra.KindOf(err) != ra.Denied {
			t.Errorf("anybody may accept a CA: %v", err)
		}
		if err := w.passes.AcceptCA(t.Context(), admin, w.authority.ID); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(time.Minute)
		if r := c.get("operation=GetCACert").want(t, "accepted", http.StatusOK); bytes.Equal(r.body, second.body) {
			t.Error("the accepted CA is not shown")
		}
		fresh.post(fresh.Message(nil)).certRep(t, "accepted", scepmsg.Success)
	})
}

// TestStaleRecipient: a device with an outdated RA certificate is told so, and one
// with a newer certificate than we know gets through.
func TestStaleRecipient(t *testing.T) {
	w := one(t)
	c := w.client()
	c.get("operation=GetCACert").want(t, "GetCACert", http.StatusOK)
	w.server.Set(func(s *passServer) { s.NewRA() })
	w.clock.advance(6 * time.Second)
	newer := w.client()
	newer.post(newer.Message(nil)).certRep(t, "newer than we know", scepmsg.Success)
	c.post(c.Message(nil)).want(t, "outdated", http.StatusConflict)
	c.last(pass.StepForwarded, "does not show")
	_, c.RA = w.server.CA()
	c.Sent = nil
	c.post(c.Message(nil)).certRep(t, "fetched again", scepmsg.Success)
}

// TestLooksInTrace: a server that did not answer at first and then did is both in
// the trace, each once, however often the device asks.
func TestLooksInTrace(t *testing.T) {
	w := one(t)
	c := w.client()
	w.server.Set(func(s *passServer) {
		s.Behave = func(context.Context, scepmsg.Operation, []byte) (ca.Forwarded, error, bool) {
			return ca.Forwarded{}, ra.Errorf(ra.Unreachable, "Nobody answers."), true
		}
	})
	step := func(n int) pass.StepView { return pass.Steps(c.now())[n-1] }
	for range 3 {
		c.get("operation=GetCACert").want(t, "down", http.StatusServiceUnavailable)
	}
	if s := step(8); s.State != pass.StepFails || s.Times != 1 || s.Remedy == "" {
		t.Errorf("step 8 is %+v", s)
	}
	w.server.Set(func(s *passServer) { s.Behave = nil })
	w.clock.advance(time.Minute)
	for range 3 {
		c.get("operation=GetCACert").want(t, "up", http.StatusOK)
	}
	if s := step(8); s.State != pass.StepDone || s.Times != 2 || s.Fields["certificates"] != "2" {
		t.Errorf("step 8 is %+v", s)
	}
	if s := step(11); s.State != pass.StepNotReached {
		t.Errorf("step 11 is %s", s.State)
	}
}
