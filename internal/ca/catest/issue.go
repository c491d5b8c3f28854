package catest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// count asks how many certificates there are for a request.
func (w *World) count(id string, want int) {
	w.T.Helper()
	if got := w.setup.Issued(w, id); got != want {
		w.T.Errorf("the authority issued %d certificates for %s; want %d", got, id, want)
	}
}

func issue(t *testing.T, w *World) {
	for _, keyType := range []pkixmsg.KeyType{pkixmsg.RSA2048, pkixmsg.P256} {
		id := "req_issue_" + map[bool]string{true: "rsa", false: "ec"}[keyType == pkixmsg.RSA2048]
		r := w.request(id, keyType)
		w.verify(r, w.issue(r))
		w.count(id, 1)
	}
}

func refuse(t *testing.T, w *World) {
	r := w.faulty("req_refused", w.setup.Refuse)
	reply, err := w.Connector.Issue(t.Context(), r)
	w.wantError(err, ra.RefusedByCA, ra.Invalid, ra.Denied)
	if len(reply.Chain) > 0 || reply.Handle != "" {
		t.Error("a refusal came with a certificate or a handle")
	}
	w.count(r.ID, 0)
}

func pend(t *testing.T, w *World) {
	r := w.faulty("req_pending", w.setup.Pend)
	reply, err := w.Connector.Issue(t.Context(), r)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	if !reply.Pending() || reply.Handle == "" || reply.Again <= 0 {
		t.Fatalf("want a pending reply with a handle and a time, got pending %v, handle %q, again %v", reply.Pending(), reply.Handle, reply.Again)
	}
	w.count(r.ID, 0)
	w.Reopen() // whoever fetches may be another process
	done := w.await(r, reply)
	w.verify(r, done)
	again, err := w.Connector.(ca.Fetcher).Fetch(t.Context(), r, reply.Handle)
	if err != nil || again.Pending() || !again.Chain[0].Equal(done.Chain[0]) {
		t.Errorf("fetching again does not give the same certificate: %v", err)
	}
	w.count(r.ID, 1)
	_, err = w.Connector.(ca.Fetcher).Fetch(t.Context(), r, "no-such-handle")
	w.wantError(err, ra.NotFound, ra.RefusedByCA)
}

func timeOut(t *testing.T, w *World) {
	r := w.faulty("req_time_out", w.setup.TimeOut)
	ctx, cancel := short(t)
	defer cancel()
	began := time.Now()
	_, err := w.Connector.Issue(ctx, r)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to notice that the time was up", took)
	}
	w.wantError(err, ra.Unreachable)
	w.settle(r, false)
}

func cutLine(t *testing.T, w *World) {
	r := w.faulty("req_cut", w.setup.CutLine)
	_, err := w.Connector.Issue(t.Context(), r)
	w.wantError(err, ra.Unreachable)
	w.count(r.ID, 0)
	w.settle(r, false)
}

func loseAnswer(t *testing.T, w *World) {
	r := w.faulty("req_lost", w.setup.LoseAnswer)
	_, err := w.Connector.Issue(t.Context(), r)
	w.wantError(err, ra.Unreachable)
	w.Reopen()
	w.settle(r, true)
}

// settle does what the product does with an unknown outcome: it asks Find, and
// asks for a certificate only when there certainly is none.
func (w *World) settle(r ca.Request, decided bool) {
	w.T.Helper()
	w.Journal.Before, w.Journal.After = nil, nil
	f, ok := w.Connector.(ca.Finder)
	if !ok {
		w.verify(r, w.issue(r))
		return
	}
	reply, found, err := f.Find(w.T.Context(), r)
	if wait := ra.AsError(err).Retry; ra.KindOf(err) == ra.Unreachable && wait > 0 {
		// The question is open for so long, as the contract allows.
		later := w.Env.Now().Add(wait + time.Second).Sub(time.Now())
		w.Env.Now = func() time.Time { return time.Now().Add(later) }
		w.Reopen()
		f = w.Connector.(ca.Finder)
		reply, found, err = f.Find(w.T.Context(), r)
	}
	if err != nil {
		w.T.Fatalf("Find: %v", err)
	}
	if found != decided {
		w.T.Fatalf("Find says found %v; want %v", found, decided)
	}
	if found {
		reply = w.await(r, reply)
	} else {
		reply = w.issue(r)
	}
	w.verify(r, reply)
	w.count(r.ID, 1)
	again, found, err := f.Find(w.T.Context(), r)
	if err != nil || !found || again.Pending() || !again.Chain[0].Equal(reply.Chain[0]) {
		w.T.Errorf("Find does not give the same certificate afterwards: found %v, %v", found, err)
	}
}

func twice(t *testing.T, w *World) {
	r := w.request("req_twice", pkixmsg.P256)
	first, second := w.issue(r), w.issue(r)
	if !bytes.Equal(first.Chain[0].Raw, second.Chain[0].Raw) {
		t.Error("the same request got two certificates")
	}
	w.count(r.ID, 1)
}

func restart(t *testing.T, w *World) {
	r := w.request("req_restart", pkixmsg.P256)
	first := w.issue(r)
	w.Reopen()
	if second := w.issue(r); !bytes.Equal(first.Chain[0].Raw, second.Chain[0].Raw) {
		t.Error("the same request got another certificate after a restart")
	}
	w.count(r.ID, 1)
}

func atOnce(t *testing.T, w *World) {
	r := w.request("req_at_once", pkixmsg.P256)
	replies := w.together(20, func(int) ca.Request { return r })
	for _, reply := range replies {
		if !bytes.Equal(reply.Chain[0].Raw, replies[0].Chain[0].Raw) {
			t.Fatal("the same request at the same time got two certificates")
		}
	}
	w.count(r.ID, 1)
}

func crowd(t *testing.T, w *World) {
	requests := make([]ca.Request, 50)
	for i := range requests {
		requests[i] = w.request(fmt.Sprintf("req_crowd_%02d", i), pkixmsg.P256)
	}
	serials := map[string]bool{}
	for i, reply := range w.together(len(requests), func(i int) ca.Request { return requests[i] }) {
		if !samePublicKey(reply.Chain[0].PublicKey, requests[i].PublicKey) {
			t.Fatal("a request got the certificate of another")
		}
		serials[reply.Chain[0].SerialNumber.String()] = true
		w.count(requests[i].ID, 1)
	}
	if len(serials) != len(requests) {
		t.Errorf("%d different serial numbers for %d certificates", len(serials), len(requests))
	}
}

// together issues n requests at the same time.
func (w *World) together(n int, request func(int) ca.Request) []ca.Reply {
	w.T.Helper()
	replies, errs := make([]ca.Reply, n), make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { replies[i], errs[i] = w.Connector.Issue(w.T.Context(), request(i)) })
	}
	wait.Wait()
	for i := range n {
		if errs[i] != nil {
			w.T.Fatalf("request %d of %d at once: %v", i, n, errs[i])
		}
		replies[i] = w.await(request(i), replies[i])
	}
	return replies
}

func cancelled(t *testing.T, w *World) {
	r := w.request("req_cancelled", pkixmsg.P256)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Connector.Issue(ctx, r)
	w.wantError(err, ra.Unreachable)
	w.count(r.ID, 0)
	w.verify(r, w.issue(r))
}
