package scepproxy_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// TestEnrolment goes the whole way: all nineteen steps are in the trace in
// order, the certificate is in the inventory, and the answer is the server's.
func TestEnrolment(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		c := w.client()
		if !strings.HasPrefix(c.url, w.url+pass.Path) {
			t.Errorf("the address is %s", c.url)
		}
		caps := c.get("operation=GetCACaps&message=whatever").want(t, "GetCACaps", http.StatusOK)
		if string(caps.body) != w.server.Caps || caps.media != "text/plain" {
			t.Errorf("the capabilities are %q as %q", caps.body, caps.media)
		}
		if got := c.get("operation=GetCACert&message=1").want(t, "GetCACert", http.StatusOK); got.media != scepmsg.MediaCARACert {
			t.Errorf("the certificates come as %q", got.media)
		}
		for _, op := range []scepmsg.Operation{scepmsg.OpGetCACaps, scepmsg.OpGetCACert} {
			if _, told := w.server.Asked(op); told != "main" {
				t.Errorf("%s was asked with %q", op, told)
			}
		}
		m := c.post(c.Message(nil)).certRep(t, "PKIOperation", scepmsg.Success)
		p, hops := c.now()
		if p.State != ra.PassDone || p.Action != ra.ActionNone || p.PKIStatus != "success" || p.TransactionID != m.TransactionID.Value || p.Messages != 1 || p.SealedToken != nil {
			t.Errorf("the pass is %+v", p)
		}
		for i, s := range pass.Steps(p, hops) {
			want := pass.StepDone
			switch s.Number {
			case 4, 5, 10:
				want = pass.StepInferred
			case 19:
				want = pass.StepWaits
			}
			if s.Number != i+1 || s.State != want {
				t.Errorf("step %d (%s) is %s, want %s", s.Number, s.Name, s.State, want)
			}
		}
		if slices.IsSortedFunc(hops, func(a, b ra.Hop) int { return a.At.Compare(b.At) }) != true {
			t.Error("the hops are not in order")
		}
		var row *ra.Certificate
		must(0, w.db.Read(t.Context(), func(tx *store.Tx) (err error) { row, err = tx.Certificate(p.CertificateID); return err }))(t)
		issued := w.server.Issued()[0]
		if row.Fingerprint != authority.Hash(issued.Raw) || row.DeviceID != c.device.ID || row.TemplateID != w.template.ID || row.State != ra.Valid || row.Action != ra.ActionAwait ||
			!strings.Contains(row.Subject, "OU=sceprenew-") || !p.RenewAt.Equal(row.At) || p.Confirmed {
			t.Errorf("in the inventory is %+v", row)
		}
		if got := w.codes(string(p.ID)); !slices.Equal(got, []string{audit.PassDone, audit.CertificateIssued, audit.PassClaimed, audit.PassRevealed, audit.PassCreated}) {
			t.Errorf("the audit log has %v", got)
		}
		if out, _, err := w.auth.Slots(w.authority.ID).Out(t.Context()); err != nil || out != 0 {
			t.Errorf("%d challenges are out (%v)", out, err)
		}
		// Seen on the device, it is confirmed.
		p, _, err := w.passes.Learn(t.Context(), admin, pass.LearnInput{Authority: w.authority.ID, DER: issued.Raw})
		if err != nil || !p.Confirmed || p.ID != c.pass.ID {
			t.Errorf("the pass after a report: %+v, %v", p, err)
		}
		if all := pass.Steps(c.now()); all[18].State != pass.StepDone {
			t.Errorf("step 19 is %s", all[18].State)
		}
		// Nothing secret is where it does not belong.
		token := strings.TrimPrefix(c.url, w.url+pass.Path)
		for what, secret := range map[string]string{"token": token, "challenge": c.Challenge, "message": base64.StdEncoding.EncodeToString(c.Sent.Message)[:60]} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the %s is in the log", what)
			}
			w.nowhere(what, secret)
		}
	})
}

// nowhere looks for a text in everything that is stored in clear.
func (w *world) nowhere(what, text string) {
	w.t.Helper()
	must(0, w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		for _, q := range []string{"SELECT details FROM audit", "SELECT message FROM audit", "SELECT fields FROM hops", "SELECT message FROM hops", "SELECT last_error FROM passes", "SELECT created_by FROM passes", "SELECT box FROM passes", "SELECT box FROM scep_slots"} {
			rows, err := tx.SQL().Query(q)
			if err != nil {
				return err
			}
			for rows.Next() {
				var b []byte
				if err := rows.Scan(&b); err != nil {
					return err
				}
				if bytes.Contains(b, []byte(text)) {
					w.t.Errorf("the %s comes with %s", what, q)
				}
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	}))(w.t)
}

// TestRepetition: the same message gets the same answer, and the server hears of
// it once; another one with a used pass is refused.
func TestRepetition(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		c := w.client()
		message := c.Message(nil)
		first := c.post(message)
		first.certRep(t, "first", scepmsg.Success)
		for range 3 {
			if again := c.post(message).want(t, "again", http.StatusOK); !bytes.Equal(again.body, first.body) || again.media != first.media {
				t.Error("the same message got another answer")
			}
		}
		c.post(c.Message(nil)).want(t, "another message", http.StatusForbidden)
		c.last(pass.StepForwarded, "was used")
		if n := w.asked(scepmsg.OpPKIOperation); n != 1 || len(w.server.Issued()) != 1 {
			t.Errorf("the server was asked %d times", n)
		}
		c.is(ra.PassDone)
	})
}

// TestTogether: the same message many times at once is one at the server, on two
// nodes as well.
func TestTogether(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		c := w.client()
		message := c.Message(nil)
		hold, begun := make(chan struct{}), make(chan struct{}, 10)
		w.server.Set(func(s *passServer) {
			s.Behave = func(_ context.Context, op scepmsg.Operation, _ []byte) (a ca.Forwarded, err error, done bool) {
				if op == scepmsg.OpPKIOperation {
					begun <- struct{}{}
					<-hold
				}
				return a, nil, false
			}
		})
		nodes := []string{c.url, c.url, c.url}
		if w.db.Engine() == "postgres" {
			nodes = append(nodes, w.secondNode()+strings.TrimPrefix(c.url, w.url))
		}
		answers := make([]reply, len(nodes))
		var all sync.WaitGroup
		for i, address := range nodes {
			all.Go(func() { answers[i] = w.do(http.MethodPost, address+"?operation=PKIOperation", message) })
		}
		<-begun
		close(hold)
		all.Wait()
		for _, a := range answers {
			a.certRep(t, "together", scepmsg.Success)
			if !bytes.Equal(a.body, answers[0].body) {
				t.Error("not all got the same answer")
			}
		}
		if n := w.asked(scepmsg.OpPKIOperation); n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
	})
}

// secondNode opens the door of another node on the same database.
func (w *world) secondNode() (url string) {
	w.t.Helper()
	auth := &authority.Service{DB: w.db, Box: w.auth.Box, Kinds: w.auth.Kinds, Now: w.clock.now, Log: w.auth.Log}
	passes := &pass.Service{DB: w.db, Box: w.auth.Box, Authorities: auth, Enroll: w.enroll, Now: w.clock.now, Log: w.auth.Log}
	front := httptest.NewServer(w.newDoor(passes, auth))
	w.t.Cleanup(front.Close)
	return front.URL
}

// TestPending: the device polls until the server decides, with polls or with the
// very same request.
func TestPending(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		w.server.Set(func(s *passServer) { s.Wait = true })
		c := w.client()
		message := c.Message(nil)
		c.post(message).certRep(t, "request", scepmsg.Pending)
		p := c.is(ra.PassPending)
		if p.Action != ra.ActionAwait || !p.At.After(w.clock.now()) {
			t.Errorf("a pending pass waits for %+v", p.Obligation)
		}
		c.post(message).certRep(t, "at once again", scepmsg.Pending)
		if n := w.asked(scepmsg.OpPKIOperation); n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
		issuer, _ := w.server.CA()
		poll := *c
		c.post(poll.Poll(issuer)).certRep(t, "poll", scepmsg.Pending)
		w.server.Set(func(s *passServer) { s.Wait = false })
		w.clock.advance(30 * time.Second) // a request that is sent again later wants to know how things stand
		c.post(message).certRep(t, "request again", scepmsg.Success)
		if n := w.asked(scepmsg.OpPKIOperation); n != 3 {
			t.Errorf("the server was asked %d times", n)
		}
		c.is(ra.PassDone)
		c.post(poll.Poll(issuer)).want(t, "poll of a used pass", http.StatusForbidden)
	})
}

// TestRefusedByServer: the device may try a few times more with the same key.
func TestRefusedByServer(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		w.server.Set(func(s *passServer) { s.Refuse = true })
		c := w.client()
		c.post(c.Message(nil)).certRep(t, "refused", scepmsg.Failure)
		p := c.is(ra.PassFailed)
		if p.FailInfo != "badRequest" || p.Action != ra.ActionNone || !strings.Contains(p.Reason, "challenge") {
			t.Errorf("the pass is %+v", p)
		}
		c.last(pass.StepReply, "badRequest")
		other := *c.Device
		other.Key = deviceKeys[1]()
		other.Cert = transport(t, other.Key, c.Subject)
		c.post(other.Message(nil)).want(t, "another key", http.StatusForbidden)
		for range 3 {
			c.post(c.Message(nil)).certRep(t, "again", scepmsg.Failure)
		}
		c.post(c.Message(nil)).want(t, "once too often", http.StatusForbidden)
		if n := w.asked(scepmsg.OpPKIOperation); n != 4 {
			t.Errorf("the server was asked %d times", n)
		}
		// One that goes well in between is good.
		d := w.client()
		d.post(d.Message(nil)).certRep(t, "refused", scepmsg.Failure)
		w.server.Set(func(s *passServer) { s.Refuse = false })
		d.post(d.Message(nil)).certRep(t, "granted", scepmsg.Success)
		d.is(ra.PassDone)
	})
}

// TestRenewal: a device renews with a pass of its own, signed with the
// certificate it has, and nobody else does.
func TestRenewal(t *testing.T) {
	each(t, func(w *world) {
		t := w.t
		c := w.client()
		c.post(c.Message(nil)).certRep(t, "first", scepmsg.Success)
		old := must(parse(w.server.Issued()[0].Raw))(t)
		first := c.is(ra.PassDone)
		renewal := must(w.passes.Renew(t.Context(), admin, first.CertificateID))(t)
		if renewal.Renews != first.CertificateID || renewal.Action != ra.ActionDeliver || renewal.Deadline.After(renewal.ExpiresAt) {
			t.Errorf("the renewal is %+v", renewal)
		}
		stranger := w.client()
		stranger.Key, stranger.Cert = c.Key, old
		stranger.post(stranger.Message(func(r *scepmsg.Request) { r.Type = scepmsg.RenewalReq })).want(t, "the certificate of another device", http.StatusForbidden)

		d := w.clientFor(c.device, renewal)
		self := *d.Device
		d.post(self.Message(func(r *scepmsg.Request) { r.Type = scepmsg.RenewalReq })).want(t, "a renewal signed by nothing", http.StatusForbidden)
		d.Key, d.Cert = c.Key, old
		d.post(d.Message(func(r *scepmsg.Request) { r.Type = scepmsg.RenewalReq })).certRep(t, "renewal", scepmsg.Success)
		done := d.is(ra.PassDone)
		must(0, w.db.Read(t.Context(), func(tx *store.Tx) error {
			was, err := tx.Certificate(first.CertificateID)
			if err != nil {
				return err
			}
			is, err := tx.Certificate(done.CertificateID)
			if err == nil && (was.State != ra.Superseded || was.RenewedBy != is.ID || is.Renews != was.ID) {
				t.Errorf("the old certificate is %s, renewed by %q; the new one renews %q", was.State, was.RenewedBy, is.Renews)
			}
			return err
		}))(t)
	})
}
