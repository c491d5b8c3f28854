package scep_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

func degenerate(t *testing.T, certs ...[]byte) []byte {
	t.Helper()
	b, err := cms.Degenerate(certs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// forwarder is a transport of a SCEP client through Forward, as the proxy is one.
type forwarder struct {
	t *testing.T
	w *world
}

func (f forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	op, err := scepmsg.DecodeOperation(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	var message []byte
	if op == scepmsg.OpPKIOperation {
		if r.Method == http.MethodPost {
			message, err = io.ReadAll(r.Body)
		} else {
			message, err = scepmsg.DecodeQuery(r.URL.RawQuery)
		}
		if err != nil {
			return nil, err
		}
	}
	got, err := f.w.Forward(r.Context(), op, message)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: got.Status, Header: http.Header{"Content-Type": {got.Media}}, Body: io.NopCloser(bytes.NewReader(got.Body)), Request: r}, nil
}

// TestForward: a client enrols through it, by POST where the server takes that and
// by GET where it does not, with nothing of its own added.
func TestForward(t *testing.T) {
	for name, cfg := range map[string]ndes.Config{
		"post": {}, "get": {Caps: []string{"SHA-256", "DES3"}, MaxQuery: 16384, MaxURL: 16500, MaxHeaders: 20000}, "no capabilities": {NoCaps: true, MaxQuery: 16384, MaxURL: 16500, MaxHeaders: 20000},
	} {
		t.Run(name, func(t *testing.T) {
			d, w := open(t, cfg)
			w.settings["ca_identifier"] = "a CA+1"
			w.reopen()
			d.gate(func(_ http.ResponseWriter, r *http.Request) bool {
				wantMethod := http.MethodGet
				if r.URL.Query().Get("operation") == "PKIOperation" && name == "post" {
					wantMethod = http.MethodPost
				}
				if r.Method != wantMethod || r.Header.Get("Cookie") != "" || r.UserAgent() != "" || r.TransferEncoding != nil || r.Method == http.MethodPost && r.ContentLength <= 0 {
					t.Errorf("%s %s with headers %v, length %d", r.Method, r.URL.Query().Get("operation"), r.Header, r.ContentLength)
				}
				if id := r.URL.Query().Get("message"); r.URL.Query().Get("operation") == "GetCACert" && id != "a CA+1" {
					t.Errorf("message %q of GetCACert", id)
				}
				return false
			})
			client := &scepclient.Client{URL: "http://chancery.example.test/scep-proxy/token", HTTP: &http.Client{Transport: forwarder{t, w}}, Now: w.env.Now}
			s, err := client.Ask(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			key, err := pkixmsg.GenerateKey(pkixmsg.RSA2048)
			if err != nil {
				t.Fatal(err)
			}
			csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: subject(t, "CN=through"), Signer: key})
			if err != nil {
				t.Fatal(err)
			}
			out, err := client.Enrol(t.Context(), s, scepclient.Order{CSR: csr, Key: key})
			if err != nil {
				t.Fatal(err)
			}
			if out.Certificate.CheckSignatureFrom(d.Issuer()) != nil || d.issued("through") != 1 {
				t.Error("no certificate of the CA")
			}
		})
	}
}

// TestForwardNeverRepeats: a message whose line breaks is not sent again, also not
// by the HTTP library, which repeats a GET on a connection that was kept.
func TestForwardNeverRepeats(t *testing.T) {
	for name, caps := range map[string][]string{"post": nil, "get": {"SHA-256", "DES3"}} {
		t.Run(name, func(t *testing.T) {
			d, w := open(t, ndes.Config{Caps: caps})
			if _, err := w.Forward(t.Context(), scepmsg.OpGetCACert, nil); err != nil { // so that a connection is kept
				t.Fatal(err)
			}
			d.gate(func(http.ResponseWriter, *http.Request) bool {
				if d.count("PKIOperation") > 0 {
					panic(http.ErrAbortHandler)
				}
				return false
			})
			_, err := w.Forward(t.Context(), scepmsg.OpPKIOperation, bytes.Repeat([]byte{0x30}, 900))
			wantError(t, err, ra.Unreachable, "does not answer")
			var not *ca.NotSent
			if errors.As(err, &not) {
				t.Error("the error says that nothing was sent")
			}
			if got := d.count("PKIOperation"); got != 1 {
				t.Errorf("the message was sent %d times", got)
			}
		})
	}
}

// TestForwardAnswers: an answer is passed back whatever it says, redirects are not
// followed, and what is too large is none.
func TestForwardAnswers(t *testing.T) {
	d, w := open(t, ndes.Config{})
	d.Fail(ndes.Fault{At: ndes.CACert, Act: ndes.Redirect("http://127.0.0.1:1/elsewhere")})
	got, err := w.Forward(t.Context(), scepmsg.OpGetCACert, nil)
	if err != nil || got.Status < 300 || got.Status > 399 {
		t.Errorf("a redirect gave %d, %v", got.Status, err)
	}
	d.Fail(ndes.Fault{At: ndes.CACert, Act: ndes.HTML})
	got, err = w.Forward(t.Context(), scepmsg.OpGetCACert, nil)
	if err != nil || got.Status != 200 || !strings.HasPrefix(got.Media, "text/html") || len(got.Body) == 0 {
		t.Errorf("a page gave %d %s, %v", got.Status, got.Media, err)
	}
	d.Fail(ndes.Fault{At: ndes.CACert, Act: ndes.Body("text/plain", make([]byte, 2<<20))})
	_, err = w.Forward(t.Context(), scepmsg.OpGetCACert, nil)
	wantError(t, err, ra.Unreachable, "does not answer")
	if _, err = w.Forward(t.Context(), "GetNothing", nil); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("an unknown operation gave %v", err)
	}
	var not *ca.NotSent
	w.env.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, ra.Errorf(ra.Denied, "This server may not connect to 192.0.2.1.").WithRemedy("Allow it.")
	}
	w.reopen()
	_, err = w.Forward(t.Context(), scepmsg.OpPKIOperation, []byte{0x30, 0})
	if e := wantError(t, err, ra.Unreachable, "may not connect"); !errors.As(e, &not) {
		t.Errorf("%v does not say that nothing was sent", err)
	}
}

// TestForwardWhileStalled: those who come while a server stalls wait for one
// question together; afterwards its last word about itself is good enough.
func TestForwardWhileStalled(t *testing.T) {
	d, w := open(t, ndes.Config{})
	w.settings["timeout"] = "1s"
	w.reopen()
	d.Fail(ndes.Fault{At: ndes.Caps, Times: -1, Act: ndes.Stall})
	began := time.Now()
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			_, err := w.Forward(t.Context(), scepmsg.OpPKIOperation, []byte{0x30, 0})
			var not *ca.NotSent
			if ra.KindOf(err) != ra.Unreachable || !errors.As(err, &not) {
				t.Errorf("got %v", err)
			}
		})
	}
	wait.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 callers waited %s in turn", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Forward(ctx, scepmsg.OpPKIOperation, []byte{0x30, 0}); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("given up: %v", err)
	}

	now := time.Now()
	d, w = open(t, ndes.Config{})
	w.env.Now = func() time.Time { return now }
	w.reopen()
	if _, err := w.Forward(t.Context(), scepmsg.OpPKIOperation, []byte{0x30, 0}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	d.Fail(ndes.Fault{At: ndes.Caps, Times: -1, Act: ndes.CutBefore})
	if got, err := w.Forward(t.Context(), scepmsg.OpPKIOperation, []byte{0x30, 0}); err != nil || d.count("PKIOperation") != 2 {
		t.Errorf("%+v, %v; want the message passed on as before", got, err)
	}
}
