package scep_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

// open is a double without passwords, and a connector of it.
func open(t *testing.T, cfg ndes.Config) (*double, *world) {
	t.Helper()
	cfg.NoPassword = true
	d := newDouble(t, cfg)
	return d, newWorld(t, map[string]any{"url": d.url, "floor": "compat", "fingerprint": fingerprint(d.Root().Raw)})
}

// TestLostAnswer: a server that knows nothing of the transaction gets the same
// octets once more; one that still says no leaves the question open for ever.
func TestLostAnswer(t *testing.T) {
	d, w := open(t, ndes.Config{})
	r := w.request("lost", pkixmsg.P256, false)

	d.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.LoseAnswer})
	_, err := w.Issue(t.Context(), r)
	wantError(t, err, ra.Unreachable, "asked again")
	d.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.Status(503)})
	if _, _, err := w.Find(t.Context(), r); ra.KindOf(err) != ra.Unreachable {
		t.Fatalf("with the service stopped: %v", err)
	}
	reply, found, err := w.Find(t.Context(), r)
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	certified(t, r, reply)
	if got := d.issued("lost"); got != 1 {
		t.Errorf("%d certificates", got)
	}

	// The poll finds nothing, because the server has restarted; the repeated
	// message is refused.
	r = w.request("forgotten", pkixmsg.P256, false)
	d.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.LoseAnswer})
	if _, err := w.Issue(t.Context(), r); ra.KindOf(err) != ra.Unreachable {
		t.Fatal(err)
	}
	d.Reset()
	d.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.Status(500)}, ndes.Fault{At: ndes.PKI, Act: ndes.Status(404)})
	_, found, err = w.Find(t.Context(), r)
	if e := wantError(t, err, ra.RefusedByCA, "revoke it there"); found || e.Retry != ra.Never {
		t.Errorf("found %v, retry %v", found, e.Retry)
	}
	before := d.count("PKIOperation")
	d.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.Status(500)})
	_, err = w.Issue(t.Context(), r)
	wantError(t, err, ra.RefusedByCA, "revoke it there")
	if got := d.count("PKIOperation") - before; got != 1 {
		t.Errorf("%d messages after the question was left open; want one poll and nothing new", got)
	}
}

// TestUnsent: when there was no connection to send on, the request certainly is
// new, and it is made anew.
func TestUnsent(t *testing.T) {
	d, w := open(t, ndes.Config{})
	d.gate(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("Connection", "close")
		return false
	})
	var cut atomic.Bool
	dial := w.env.Dial
	w.env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if cut.Load() && d.count("GetCACert") > 0 {
			return nil, errors.New("no route")
		}
		return dial(ctx, network, address)
	}
	w.reopen()
	cut.Store(true)
	r := w.request("unsent", pkixmsg.P256, false)
	_, err := w.Issue(t.Context(), r)
	wantError(t, err, ra.Unreachable, "does not answer")
	var not *ca.NotSent
	if !errors.As(err, &not) {
		t.Errorf("%v does not say that nothing was sent", err)
	}
	cut.Store(false)
	if _, found, err := w.Find(t.Context(), r); err != nil || found {
		t.Fatalf("found %v, %v; want certainly not", found, err)
	}
	if d.count("PKIOperation") != 0 {
		t.Error("a question was asked about what was not sent")
	}
	certified(t, r, issue(t, w, r))
	if keys := w.journal.Keys(); len(keys) != 4 {
		t.Errorf("the journal holds %q; want two attempts and their ends", keys)
	}
}

// TestRefusedThenAsked: a refusal is final for the attempt, not for the request.
func TestRefusedThenAsked(t *testing.T) {
	d, w := open(t, ndes.Config{Encryption: ndes.Template{Deny: 0x80094012}})
	r := w.request("refused", pkixmsg.P256, true, func(o *ca.Order) { o.KeyUsage = 1 << 2 }) // keyEncipherment
	for n := range 2 {
		_, err := w.Issue(t.Context(), r)
		wantError(t, err, ra.RefusedByCA, "badRequest")
		if _, found, err := w.Find(t.Context(), r); err != nil || found {
			t.Errorf("found %v, %v after a refusal", found, err)
		}
		if got := len(d.Refused()); got != n+1 {
			t.Errorf("%d refusals; want %d", got, n+1)
		}
	}
}

// TestTwiceAtOnce: one request asked for twice at the same time, and again after a
// restart, is one certificate.
func TestTwiceAtOnce(t *testing.T) {
	d, w := open(t, ndes.Config{})
	r := w.request("twice", pkixmsg.P256, false)
	replies := make(chan ca.Reply, 8)
	for range cap(replies) {
		go func() {
			reply, err := w.Issue(t.Context(), r)
			if err != nil {
				t.Error(err)
			}
			replies <- reply
		}()
	}
	first := <-replies
	for range cap(replies) - 1 {
		if reply := <-replies; !reply.Chain[0].Equal(first.Chain[0]) {
			t.Error("two certificates")
		}
	}
	w.reopen()
	if again := issue(t, w, r); !again.Chain[0].Equal(first.Chain[0]) || !again.Issuer.Equal(first.Issuer) {
		t.Error("another certificate after a restart")
	}
	if got := d.issued("twice"); got != 1 {
		t.Errorf("%d certificates", got)
	}
}

// TestRenewal: with the old key here the old certificate asks; without it the
// request is a new one.
func TestRenewal(t *testing.T) {
	d, w := open(t, ndes.Config{})
	old := w.request("renewed", pkixmsg.RSA2048, true)
	cert := issue(t, w, old).Chain[0]
	for name, key := range map[string]crypto.Signer{"key_here": old.Key, "key_gone": nil} {
		again := w.request("renewed", pkixmsg.RSA2048, true, func(o *ca.Order) {
			o.ID, o.Renews, o.RenewsKey = name, cert, key
		})
		certified(t, again, issue(t, w, again))
		if last := d.Issued()[len(d.Issued())-1]; last.Renewal != (key != nil) {
			t.Errorf("%s: authorised by the old certificate: %v", name, last.Renewal)
		}
	}
}

// TestMissingIssuer: a certificate whose CA is not among those that are known is
// kept, and delivered once it is.
func TestMissingIssuer(t *testing.T) {
	d, w := open(t, ndes.Config{})
	other, _ := open(t, ndes.Config{})
	d.gate(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("operation") != "GetCACert" {
			return false
		}
		signing, encryption := d.RA() // and no CA
		rw.Header().Set("Content-Type", "application/x-x509-ca-ra-cert")
		_, _ = rw.Write(degenerate(t, signing.Raw, encryption.Raw)) // a client that has gone needs none
		return true
	})
	w.settings = map[string]any{"url": d.url, "floor": "compat", "ca_certificates": pemOf(other.Root())}
	w.reopen()
	r := w.request("orphan", pkixmsg.P256, false)
	_, err := w.Issue(t.Context(), r)
	wantError(t, err, ra.RefusedByCA, "add missing CA certificates")
	asked := d.count("PKIOperation")
	w.settings["ca_certificates"] = pemOf(d.Issuer(), d.Root())
	w.reopen()
	certified(t, r, issue(t, w, r))
	if d.count("PKIOperation") != asked || d.issued("orphan") != 1 {
		t.Errorf("%d messages more, %d certificates", d.count("PKIOperation")-asked, d.issued("orphan"))
	}
}

// TestForgedServer: certificates that the pinned one did not sign are not believed,
// even beside it.
func TestForgedServer(t *testing.T) {
	d, _ := open(t, ndes.Config{})
	mallory, _ := open(t, ndes.Config{})
	d.gate(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("operation") != "GetCACert" {
			mallory.Server.ServeHTTP(rw, r)
			return true
		}
		signing, encryption := mallory.RA()
		_, _ = rw.Write(degenerate(t, encryption.Raw, signing.Raw, d.Root().Raw, d.Issuer().Raw)) // a client that has gone needs none
		return true
	})
	for _, pin := range []string{fingerprint(d.Root().Raw), fingerprint(d.Issuer().Raw)} {
		w := newWorld(t, map[string]any{"url": d.url, "floor": "compat", "fingerprint": pin})
		if reply, err := w.Issue(t.Context(), w.request("forged", pkixmsg.P256, false)); err == nil {
			t.Errorf("a forged server was believed: %v", reply.Chain[0].Issuer)
		}
	}
	if got := len(mallory.Issued()); got != 0 {
		t.Errorf("the forged server got %d requests it could read", got)
	}
	w := newWorld(t, map[string]any{"url": d.url, "floor": "compat", "thumbprint": fmt.Sprintf("%064x", 1)})
	_, err := w.Issue(t.Context(), w.request("thumb", pkixmsg.P256, false))
	if e := wantError(t, err, ra.RefusedByCA, "thumbprint"); e.Field != "thumbprint" {
		t.Errorf("field %q", e.Field)
	}
}

// TestPendingIsFetched: the device's patience is the settings', and a denial is an
// end.
func TestPendingIsFetched(t *testing.T) {
	d, w := open(t, ndes.Config{General: ndes.Template{Pending: true}})
	w.settings["retry_timeout"] = "90s"
	w.reopen()
	r := w.request("pending", pkixmsg.P256, false)
	reply, err := w.Issue(t.Context(), r)
	if err != nil || !reply.Pending() || reply.Again != 90*time.Second {
		t.Fatalf("pending %v, again %v, %v", reply.Pending(), reply.Again, err)
	}
	if err := d.Deny(reply.Handle); err != nil {
		t.Fatal(err)
	}
	_, err = w.Fetch(t.Context(), r, reply.Handle)
	wantError(t, err, ra.RefusedByCA, "badRequest")
}
