package enroll_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// asked is a first request of the phone, waited for.
func (w *world) asked(tpl *ra.Template) *ra.Request {
	w.t.Helper()
	return w.submit(deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Door: "scep", Wait: true})
}

func TestPendingIsFetched(t *testing.T) {
	each(t, func(w *world) {
		w.script.Again = 10 * time.Minute
		w.script.Plan(scripted.Pend(3))
		r := w.asked(w.template(w.outer, wifi()))
		if r.State != ra.PendingAtCA || r.Handle == "" || r.Action != ra.ActionFetch || r.At.Sub(w.clock.Now()) != 10*time.Minute || r.Attempts != 0 {
			w.t.Fatalf("%+v", r)
		}
		w.work(w.t) // not due
		for i := range 3 {
			if got := w.request(r.ID); got.State != ra.PendingAtCA {
				w.t.Fatalf("after %d fetches: %+v", i, got)
			}
			w.clock.Advance(10*time.Minute + time.Second)
			w.work(w.t)
		}
		if r = w.request(r.ID); r.State != ra.Issued || w.script.Asked(string(r.ID)) != 1 || len(w.script.Issued(string(r.ID))) != 1 {
			w.t.Errorf("%+v", r)
		}
		if n := w.audited("request.pending", string(r.ID)); n != 1 {
			w.t.Errorf("said to be pending %d times", n)
		}
	})
}

func TestUnreachableBacksOff(t *testing.T) {
	each(t, func(w *world) {
		w.script.Plan(scripted.CutBefore, scripted.CutBefore, scripted.CutBefore)
		r := w.asked(w.template(w.outer, wifi()))
		if r.State != ra.Submitted || r.Action != ra.ActionIssue || !strings.Contains(r.LastError, "line") || r.At.Sub(w.clock.Now()) != 10*time.Second {
			w.t.Fatalf("%+v", r)
		}
		last := r.At.Sub(w.clock.Now())
		for range 2 {
			w.clock.Advance(last)
			w.work(w.t)
			r = w.request(r.ID)
			if wait := r.At.Sub(w.clock.Now()); wait <= last {
				w.t.Errorf("waits %s after %s", wait, last)
			}
			last = r.At.Sub(w.clock.Now())
		}
		w.clock.Advance(last)
		w.work(w.t)
		if r = w.request(r.ID); r.State != ra.Issued || r.LastError != "" || r.Attempts != 4 || w.script.Asked(string(r.ID)) != 1 {
			w.t.Errorf("%+v", r)
		}
	})
}

// TestAnswerLost: the certificate was made and the answer did not arrive. The
// authority is asked what became of it, and nothing is made twice.
func TestAnswerLost(t *testing.T) {
	each(t, func(w *world) {
		w.script.Forgetful = true // would issue again
		w.script.Plan(scripted.LoseAnswer)
		r := w.asked(w.template(w.outer, wifi()))
		if r.State != ra.Submitted {
			w.t.Fatalf("%+v", r)
		}
		w.settle(w.node)
		r = w.request(r.ID)
		if r.State != ra.Issued || w.script.Asked(string(r.ID)) != 1 || len(w.script.Doubles()) != 0 || len(w.certificates(w.phone)) != 1 {
			w.t.Errorf("%+v, asked %d times, twice %v", r, w.script.Asked(string(r.ID)), w.script.Doubles())
		}
	})
}

func TestRefusalIsFinal(t *testing.T) {
	each(t, func(w *world) {
		w.script.Plan(scripted.Refuse)
		tpl := w.template(w.outer, vpn())
		ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Key: "once", Wait: true}
		r := w.submit(w.owner, ask)
		if r.State != ra.Failed || !strings.Contains(r.Reason, "refused the request. Give the account") || r.Action != ra.ActionNone {
			w.t.Fatalf("%+v", r)
		}
		if has := must(w.HasKey(w.t.Context(), r.ID))(w.t); has {
			w.t.Error("the key of a refused request is still here")
		}
		if w.audited("request.failed", string(r.ID)) != 1 {
			w.t.Error("not in the audit log")
		}
		w.clock.Advance(time.Hour)
		w.work(w.t)
		if w.script.Asked(string(r.ID)) != 1 {
			w.t.Error("asked again")
		}
		// The key is free: the same ask is a new request.
		if next := w.submit(w.owner, ask); next.ID == r.ID || next.State != ra.Issued {
			w.t.Errorf("%+v", next)
		}
	})
}

// odd adds an authority that answers strangely.
func (w *world) odd() (*oddCA, ra.AuthorityID) {
	w.t.Helper()
	o := newOddCA(w.clock.Now())
	w.kinds = append(w.kinds, o.kind())
	w.authorities.Kinds = w.kinds
	return o, w.authority("odd", "Odd CA", `{}`)
}

func TestStrangeAnswers(t *testing.T) {
	each(t, func(w *world) {
		o, id := w.odd()
		tpl := w.template(id, wifi())
		honest := o.answer
		good := w.asked(tpl)
		if good.State != ra.Issued {
			w.t.Fatalf("%+v", good)
		}
		stored := must(x509.ParseCertificate(w.certificate(good.CertificateID).DER))(w.t)

		o.answer = func(context.Context, ca.Request) (ca.Reply, error) {
			return ca.Reply{Chain: []*x509.Certificate{o.leaf(start, key(w.t).Public()), o.cert}}, nil
		}
		if r := w.asked(tpl); r.State != ra.Failed || !strings.Contains(r.Reason, "another key") || r.CertificateID != "" {
			w.t.Errorf("another key: %+v", r)
		}

		// The same certificate for a second request with the same key.
		o.answer = func(context.Context, ca.Request) (ca.Reply, error) {
			return ca.Reply{Chain: []*x509.Certificate{stored, o.cert}}, nil
		}
		spec := wifi()
		spec.ReuseKey = true
		k := key(w.t)
		lax := w.template(id, spec)
		o.answer = honest
		first := w.submit(w.owner, enroll.Ask{Template: lax.ID, Device: w.phone.ID, CSR: csr(w.t, k), Wait: true})
		same := must(x509.ParseCertificate(w.certificate(first.CertificateID).DER))(w.t)
		o.answer = func(context.Context, ca.Request) (ca.Reply, error) {
			return ca.Reply{Chain: []*x509.Certificate{same, o.cert}}, nil
		}
		if r := w.submit(w.owner, enroll.Ask{Template: lax.ID, Device: w.phone.ID, CSR: csr(w.t, k), Wait: true}); r.State != ra.Failed || !strings.Contains(r.Reason, "another request") {
			w.t.Errorf("known certificate: %+v", r)
		}

		// Without its issuer: what is stored of the authority is enough.
		o.answer = func(ctx context.Context, r ca.Request) (ca.Reply, error) {
			reply, err := honest(ctx, r)
			reply.Chain = reply.Chain[:1]
			return reply, err
		}
		if r := w.asked(tpl); r.State != ra.Issued {
			w.t.Errorf("without chain: %+v", r)
		}
		// From somebody nobody knows.
		alien := newOddCA(start)
		o.answer = func(ctx context.Context, r ca.Request) (ca.Reply, error) { return alien.answer(ctx, r) }
		r := w.asked(tpl)
		if r.State != ra.Issued { // a new issuing CA that proves itself with its chain
			w.t.Errorf("new issuer: %+v", r)
		}
		alien = newOddCA(start)
		o.answer = func(ctx context.Context, r ca.Request) (ca.Reply, error) {
			reply, err := alien.answer(ctx, r)
			reply.Chain = append(reply.Chain[:1:1], o.cert)
			return reply, err
		}
		if r := w.asked(tpl); r.State != ra.Submitted || !strings.Contains(r.LastError, "without the certificate that issued") || !r.At.After(w.clock.Now()) {
			w.t.Errorf("wrong chain: %+v", r)
		}
		// An error that is nobody's: kept away from people, and tried again.
		o.answer = func(context.Context, ca.Request) (ca.Reply, error) { return ca.Reply{}, errors.New("socket 7: canary") }
		if r := w.asked(tpl); r.State != ra.Submitted || strings.Contains(r.LastError, "canary") || !strings.Contains(w.log.String(), "canary") {
			w.t.Errorf("unknown error: %+v", r)
		}
	})
}

// TestKeyLostOnTheWay: the authority made the key and cannot hand it out a
// second time. The certificate is recorded and revoked, and asked for anew.
func TestKeyLostOnTheWay(t *testing.T) {
	each(t, func(w *world) {
		o, id := w.odd()
		o.answer = func(context.Context, ca.Request) (ca.Reply, error) {
			return ca.Reply{Chain: []*x509.Certificate{o.leaf(start, key(w.t).Public()), o.cert}}, nil
		}
		spec := wifi()
		spec.KeyPlace = ra.KeyAtCA
		ask := enroll.Ask{Template: w.template(id, spec).ID, Device: w.phone.ID, Key: "once", Wait: true}
		r := w.submit(w.owner, ask)
		if r.State != ra.Failed || !strings.Contains(r.Reason, "without its key") || r.CertificateID == "" {
			w.t.Fatalf("%+v", r)
		}
		if c := w.certificate(r.CertificateID); c.State != ra.Revoked || c.Action != ra.ActionRevoke {
			w.t.Errorf("%+v", c)
		}
		o.answer = func(context.Context, ca.Request) (ca.Reply, error) {
			k := key(w.t)
			return ca.Reply{Chain: []*x509.Certificate{o.leaf(start, k.Public()), o.cert}, Key: k}, nil
		}
		if next := w.submit(w.owner, ask); next.ID == r.ID || next.State != ra.Issued || !must(w.HasKey(w.t.Context(), next.ID))(w.t) {
			w.t.Errorf("%+v", next)
		}
	})
}

// TestChainIsAskedFor: an authority that answers with the certificate alone and
// cannot tell its chain now does not lose it.
func TestChainIsAskedFor(t *testing.T) {
	each(t, func(w *world) {
		o := newOddCA(w.clock.Now())
		alone := func(ctx context.Context, r ca.Request) (ca.Reply, error) {
			return ca.Reply{Chain: []*x509.Certificate{o.leaf(start, r.PublicKey)}}, nil
		}
		o.answer = alone
		o.chain = func() ([]*x509.Certificate, error) { return []*x509.Certificate{o.cert}, nil }
		w.kinds = append(w.kinds, o.kind())
		w.authorities.Kinds = w.kinds
		tpl := w.template(w.authority("odd", "Odd CA", `{}`), wifi())
		if r := w.asked(tpl); r.State != ra.Issued {
			w.t.Fatalf("%+v", r)
		}
		o.chain = func() ([]*x509.Certificate, error) { return nil, errors.New("down") }
		if r := w.asked(tpl); r.State != ra.Issued || o.asked != 2 {
			w.t.Errorf("asked %d times, %+v", o.asked, r)
		}
	})
}

func TestOptionsReachTheAuthority(t *testing.T) {
	each(t, func(w *world) {
		o, id := w.odd()
		spec := wifi()
		spec.Options = map[string]any{"profile": "vpn"}
		w.asked(w.template(id, spec))
		w.asked(w.template(id, wifi()))
		if len(o.options) != 2 || o.options[0].Profile != "vpn" || o.options[1].Profile != "standard" {
			w.t.Errorf("options %+v", o.options)
		}
		spec.Options = map[string]any{"profiel": "vpn"}
		_, err := w.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &id, Name: ptr("x"), Spec: &spec})
		if e := wantError(w.t, err, ra.Invalid); e.Field != "spec.options.profiel" {
			w.t.Errorf("%+v", e)
		}
		spec.Options = map[string]any{"x": 1}
		_, err = w.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &w.inner, Name: ptr("x"), Spec: &spec})
		if e := wantError(w.t, err, ra.Invalid); e.Field != "spec.options" {
			w.t.Errorf("%+v", e)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func TestLimits(t *testing.T) {
	w := newWorld(t, "sqlite:"+t.TempDir()+"/chancery.db")
	o, id := w.odd()
	honest := o.answer
	o.answer = func(ctx context.Context, r ca.Request) (ca.Reply, error) {
		time.Sleep(20 * time.Millisecond)
		return honest(ctx, r)
	}
	must(w.authorities.Update(t.Context(), w.owner, id, authority.Input{MaxInFlight: ptr(3)}))(t)
	tpl := w.template(id, wifi())
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			if r := w.asked(tpl); r.State != ra.Issued {
				t.Errorf("%+v", r)
			}
		})
	}
	wg.Wait()
	if o.most > 3 || o.most < 2 {
		t.Errorf("%d were inside at once, the limit is 3", o.most)
	}
	// One a second, and a caller who does not wait so long: busy, nothing asked,
	// and the obligation stays.
	must(w.authorities.Update(t.Context(), w.owner, id, authority.Input{RatePerSecond: ptr(0.01)}))(t)
	o.asked = 0
	if r := w.asked(tpl); r.State != ra.Issued {
		t.Errorf("%+v", r)
	}
	r := w.asked(tpl)
	if r.State != ra.Submitted || !strings.Contains(r.LastError, "more work than its limits") || r.At.Sub(w.clock.Now()) != 5*time.Second || o.asked != 1 {
		t.Errorf("asked %d times, %+v", o.asked, r)
	}
}

// TestPlanAndQueue runs the real queue from end to end: what was left waiting,
// pending and unreachable ends as certificates, nothing twice.
func TestPlanAndQueue(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		t.Parallel() // it waits most of the time
		w := newWorld(t, address)
		w.script.Again = time.Second
		ids := []ra.RequestID{}
		tpl, here := w.template(w.outer, wifi()), w.template(w.inner, vpn())
		w.script.Plan(scripted.Pend(1), scripted.CutBefore, scripted.LoseAnswer)
		for range 6 {
			ids = append(ids, w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t))}).ID)
			ids = append(ids, w.submit(w.owner, enroll.Ask{Template: here.ID, Device: w.tablet.ID}).ID)
		}
		w.Handle()
		if err := w.queue.Start(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		deadline := time.Now().Add(30 * time.Second)
		for len(w.open(w.t)) > 0 && time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond)
			w.clock.Advance(2 * time.Second)
			if err := w.Plan(w.t.Context(), enroll.PlanJob{}); err != nil { // it is also put every five seconds
				w.t.Fatal(err)
			}
			w.queue.Kick()
		}
		if err := w.queue.Stop(context.Background()); err != nil {
			w.t.Error(err)
		}
		for _, id := range ids {
			if r := w.request(id); r.State != ra.Issued {
				w.t.Errorf("%+v", r)
			}
		}
		if n := len(w.script.Doubles()); n != 0 || w.script.Total() != 6 {
			w.t.Errorf("issued %d, %d of them twice", w.script.Total(), n)
		}
	})
}

// TestPlanIsFairAndBounded: a planner run hands out no more than the budget,
// three new enrolments for a renewal, however many renewals were there before.
func TestPlanIsFairAndBounded(t *testing.T) {
	each(t, func(w *world) {
		must(w.authorities.Update(w.t.Context(), w.owner, w.outer, authority.Input{RatePerSecond: ptr(1.0), MaxInFlight: ptr(50)}))(w.t)
		tpl := w.template(w.outer, wifi())
		old := w.asked(tpl).CertificateID
		w.write(func(tx *store.Tx) error {
			for i := range 310 {
				r := &ra.Request{ID: ra.RequestID(fmt.Sprintf("req_%03d", i)), GroupID: w.berlin.ID, AuthorityID: w.outer, TemplateID: tpl.ID, DeviceID: w.phone.ID,
					IdempotencyKey: fmt.Sprint("k", i), KeyPlace: ra.KeyOnDevice, Fill: []byte("{}"), State: ra.Submitted, AskedBy: w.owner,
					Obligation: ra.Obligation{Action: ra.ActionIssue, At: tx.Now.Add(-time.Hour), Deadline: tx.Now.Add(time.Hour)}}
				if i < 300 {
					r.Renews, r.At = old, tx.Now.Add(-2*time.Hour)
				}
				if err := tx.CreateRequest(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err := w.Plan(w.t.Context(), enroll.PlanJob{}); err != nil {
			w.t.Fatal(err)
		}
		kinds := map[bool]int{}
		for _, id := range w.jobs() {
			kinds[w.request(id).Renews != ""]++
		}
		if kinds[true] != 1 || kinds[false] != 4 {
			w.t.Errorf("%d renewals and %d enrolments were handed out; want 1 and 4", kinds[true], kinds[false])
		}
	})
}

// jobs lists the requests a job was put for.
func (w *world) jobs() (ids []ra.RequestID) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		rows, err := tx.SQL().Query("SELECT args FROM river_job WHERE kind = 'enroll.issue'")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var args string
			if err := rows.Scan(&args); err != nil {
				return err
			}
			_, after, _ := strings.Cut(args, "req_")
			id, _, _ := strings.Cut(after, `"`)
			ids = append(ids, ra.RequestID("req_"+id))
		}
		return rows.Err()
	})
	return ids
}
