package adcs_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
)

// lose has the answer to a request get lost after the CA has committed.
func (w *world) lose(r ca.Request) {
	w.t.Helper()
	w.d.SetFault(played.Fault{At: played.Request, Act: played.CutAfter})
	_, err := w.Issue(w.t.Context(), r)
	wantError(w.t, err, ra.Unreachable)
}

// later has the server's clock show so much more than the machine's, and starts it
// anew.
func (w *world) later(d time.Duration) {
	w.env.Now = func() time.Time { return time.Now().Add(d) }
	w.reopen()
}

// TestLostPending: a request that waits is found again with its number, and one that
// a manager denied meanwhile was not issued.
func TestLostPending(t *testing.T) {
	d := newDouble(t, played.Config{})
	d.still = true
	w := newWorld(t, d, nil)
	r := w.request("waits", "Manual")
	w.lose(r)
	w.reopen()
	reply, found, err := w.Find(t.Context(), r)
	if err != nil || !found || !reply.Pending() || reply.Handle == "" || reply.Again != time.Minute {
		t.Fatalf("%+v %v %v", reply, found, err)
	}
	if again, err := w.Issue(t.Context(), r); err != nil || again.Handle != reply.Handle || len(d.Requests()) != 1 {
		t.Errorf("asking again: %+v, %v, %d requests", again, err, len(d.Requests()))
	}
	denied := w.request("denied", "Manual")
	w.lose(denied)
	if err := d.Deny(d.Requests()[1].ID); err != nil {
		t.Fatal(err)
	}
	if _, found, err := w.Find(t.Context(), denied); found || err != nil {
		t.Errorf("denied: %v %v", found, err)
	}
}

// TestLostRefusal: nothing was issued, so it is asked for again.
func TestLostRefusal(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	r := w.request("refused", "NoSuchTemplate")
	w.lose(r)
	_, err := w.Issue(t.Context(), r)
	wantError(t, err, ra.RefusedByCA, "0x80094800", "request 2")
	if _, found, err := w.Find(t.Context(), r); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
}

// TestLostBlind: who may not look into the database gets the question kept open, with
// the right that is missing; nothing is asked for twice. So it is without DCOM.
func TestLostBlind(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, map[string]any{"user": `CORP\blind`})
	r := w.request("blind", "WebServer")
	w.lose(r)
	for range 2 {
		_, err := w.Issue(t.Context(), r)
		if e := wantError(t, err, ra.Unreachable, "Read", "ChanceryRequest:blind"); e.Retry <= 0 {
			t.Errorf("retry %v", e.Retry)
		}
	}
	d.Account(played.Account{User: "blind", Password: password, Rights: played.Enroll | played.Read})
	if reply := w.issue(r); len(d.Requests()) != 1 || !reply.Chain[0].Equal(d.Issued()[0]) {
		t.Errorf("%d requests", len(d.Requests()))
	}

	w = newWorld(t, d, map[string]any{"protocols": []string{"rpc"}})
	r = w.request("narrow", "WebServer")
	d.SetFault(played.Fault{At: played.Passage, Act: played.HalfPDU})
	_, err := w.Issue(t.Context(), r)
	wantError(t, err, ra.Unreachable)
	_, found, err := w.Find(t.Context(), r)
	if e := wantError(t, err, ra.Unreachable, "DCOM", "ChanceryRequest:narrow"); found || e.Retry <= 0 {
		t.Errorf("%v %v", found, e.Retry)
	}
	if n := d.issued("narrow"); n != 1 {
		t.Errorf("%d issued", n)
	}
}

// TestLostForged: a request of somebody else with our attribute is not ours.
func TestLostForged(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	r := w.request("ours", "WebServer")
	d.SetFault(played.Fault{At: played.Request, Act: played.CutBefore})
	_, err := w.Issue(t.Context(), r)
	wantError(t, err, ra.Unreachable)
	other := newWorld(t, d, map[string]any{"user": `CORP\plain`, "publish_crl": false})
	other.issue(other.request("ours", "WebServer"))
	_, err = w.Issue(t.Context(), r)
	if e := wantError(t, err, ra.Unreachable, "not in its database yet"); e.Retry <= 0 || e.Retry > time.Minute {
		t.Errorf("looked for again after %v", e.Retry)
	}
	w.later(2 * time.Minute)
	if _, found, err := w.Find(t.Context(), r); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
	if !strings.Contains(w.log.String(), "another key") {
		t.Errorf("log: %s", w.log)
	}
	if reply := w.issue(r); d.issued("ours") != 2 || reply.Chain[0].Equal(d.Issued()[0]) {
		t.Error("the certificate of somebody else came")
	}
}

// TestLostAtEveryStep cuts the line after each so many octets of the whole
// conversation: whatever was lost, there is one certificate in the end.
func TestLostAtEveryStep(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	for i, cut := range []int{0, 100, 600, 1200, 2000, 2600, 3200, 3800, 4400, 5000, 6000, 7000, 8000, 10000, 12000} {
		id := "cut_" + string(rune('a'+i))
		r := w.request(id, "WebServer")
		left := cut
		w.env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := d.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &frail{c, &left}, nil
		}
		w.later(0)
		first, err := w.Issue(t.Context(), r)
		w.env.Dial = d.dial
		w.later(2 * time.Minute)
		if err != nil {
			wantError(t, err, ra.Unreachable)
			reply, found, err := w.Find(t.Context(), r)
			if err != nil {
				t.Fatalf("%d: Find: %v", cut, err)
			}
			if first = reply; !found {
				first = w.issue(r)
			}
		}
		if d.issued(id) != 1 || first.Pending() {
			t.Errorf("after %d octets: %d issued", cut, d.issued(id))
		}
	}
}

// frail is a connection that breaks after so many octets, both ways and with others
// together.
type frail struct {
	net.Conn
	left *int
}

func (f *frail) spend(n int) error {
	if *f.left -= n; *f.left < 0 {
		f.Close()
		return net.ErrClosed
	}
	return nil
}

func (f *frail) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if err == nil {
		err = f.spend(n)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (f *frail) Write(b []byte) (int, error) {
	n, err := f.Conn.Write(b)
	if err == nil {
		err = f.spend(n)
	}
	return n, err
}

// TestFallback: the next protocol is tried when the CA cannot have done anything,
// and only then.
func TestFallback(t *testing.T) {
	d := newDouble(t, played.Config{Accounts: []played.Account{{User: "svc-ra", Password: password, NoDCOM: true}}})
	w := newWorld(t, d, map[string]any{"publish_crl": false})
	w.issue(w.request("one", "WebServer"))
	d.SetFault(played.Fault{At: played.Passage, Act: played.CutAfter})
	_, err := w.Issue(t.Context(), w.request("two", "WebServer"))
	wantError(t, err, ra.Unreachable)
	if d.issued("one") != 1 || d.issued("two") != 1 {
		t.Error("not one of each")
	}
	d.dials = nil
	_, err = newWorld(t, d, map[string]any{"password": "wrong"}).Issue(t.Context(), w.request("wrong", "WebServer"))
	if wantError(t, err, ra.Unreachable, "password"); len(d.dials) != 1 {
		t.Errorf("a wrong password was shown on connections to %q", d.dials)
	}
	w.env.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	w.reopen()
	_, err = w.Issue(t.Context(), w.request("three", "WebServer"))
	wantError(t, err, ra.Unreachable, "By the next protocol:")
}

// TestSwallowed: a port that swallows packets does not keep the next protocol from
// being tried.
func TestSwallowed(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, map[string]any{"timeout": "3s"})
	first := true
	w.env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if first {
			first = false
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return d.dial(ctx, network, address)
	}
	w.reopen()
	w.issue(w.request("one", "WebServer"))
	if n := d.issued("one"); n != 1 {
		t.Errorf("%d issued", n)
	}
}

// TestAttributes: what goes along with a request.
func TestAttributes(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	w.issue(w.request("one", "WebServer"))
	a := adcsmsg.ParseAttributes(d.Requests()[0].Attributes)
	if len(a) != 2 || a[0] != (adcsmsg.Attribute{Name: "CertificateTemplate", Value: "WebServer"}) || a[1] != (adcsmsg.Attribute{Name: "ChanceryRequest", Value: "one"}) {
		t.Errorf("%q", a)
	}
	_, err := w.Issue(t.Context(), w.request("two", "WebServer\nSAN:upn=admin@corp.example"))
	wantError(t, err, ra.Invalid)
	if bytes.Contains([]byte(d.Requests()[0].Attributes), []byte("SAN")) || len(d.Requests()) != 1 {
		t.Error("an attribute was smuggled in")
	}
	_, err = w.Issue(t.Context(), w.request("three", ""))
	wantError(t, err, ra.RefusedByCA, "CERTSRV_E_NO_CERT_TYPE")
}
