package scep_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/scep"
	"chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// double is Microsoft's server played, behind a gate that counts what passes and
// approves what waits at the second time of asking.
type double struct {
	*ndes.Server
	url string

	mu     sync.Mutex
	asked  map[string]int // by operation
	polls  int
	before func(http.ResponseWriter, *http.Request) bool // true: it has answered
}

func newDouble(t *testing.T, cfg ndes.Config) *double {
	t.Helper()
	s, err := ndes.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := &double{Server: s, asked: map[string]int{}}
	line := httptest.NewUnstartedServer(d)
	line.Config.ConnContext = s.ConnContext
	line.Start()
	t.Cleanup(line.Close)
	d.url = line.URL + "/certsrv/mscep/mscep.dll"
	return d
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := r.URL.Query().Get("operation")
	d.mu.Lock()
	d.asked[operation]++
	before := d.before
	if operation == "PKIOperation" && len(d.Waiting()) > 0 {
		if d.polls++; d.polls%2 == 0 {
			for _, x := range d.Waiting() {
				if err := d.Approve(x.Transaction); err != nil {
					panic(err)
				}
			}
		}
	}
	d.mu.Unlock()
	if before == nil || !before(w, r) {
		d.Server.ServeHTTP(w, r)
	}
}

func (d *double) gate(f func(http.ResponseWriter, *http.Request) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

func (d *double) count(operation string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[operation]
}

// issued counts the certificates for a common name.
func (d *double) issued(cn string) int {
	n := 0
	for _, x := range d.Issued() {
		if x.Certificate.Subject.CommonName == cn {
			n++
		}
	}
	return n
}

func fingerprint(der []byte) string { return fmt.Sprintf("%x", sha256.Sum256(der)) }

// world is a connector to test without the suite.
type world struct {
	t       *testing.T
	env     ca.Env
	journal *catest.Journal
	*scep.Connector
	settings map[string]any
}

func newWorld(t *testing.T, settings map[string]any) *world {
	t.Helper()
	w := &world{t: t, journal: &catest.Journal{}, settings: settings}
	w.env = ca.Env{Authority: "ca_test", Name: "Test authority", Dial: (&net.Dialer{}).DialContext, Now: time.Now, Journal: w.journal, Slots: &catest.Slots{},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	w.reopen()
	return w
}

// reopen connects again, as after a restart.
func (w *world) reopen() {
	w.t.Helper()
	s := &scep.Settings{}
	setting.Defaults(s)
	raw, err := json.Marshal(w.settings)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := setting.FromJSON(s, raw); err != nil {
		w.t.Fatalf("the settings are refused: %v", err)
	}
	c, err := s.Connect(w.t.Context(), w.env)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Connector = c.(*scep.Connector)
}

// request is for a fresh key, which is kept here where here says so.
func (w *world) request(id string, kind pkixmsg.KeyType, here bool, more ...func(*ca.Order)) ca.Request {
	w.t.Helper()
	key, err := pkixmsg.GenerateKey(kind)
	if err != nil {
		w.t.Fatal(err)
	}
	o := ca.Order{ID: id, Subject: subject(w.t, "CN="+id+",O=Example"), SANs: []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: strings.ReplaceAll(id, "_", "-") + ".example.test"}}}
	if o.CSR, err = pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: o.Subject, SANs: o.SANs, Signer: key}); err != nil {
		w.t.Fatal(err)
	}
	if here {
		o.Key = key
	}
	for _, f := range more {
		f(&o)
	}
	r, err := ca.NewRequest(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func subject(t testing.TB, text string) pkixmsg.Name {
	t.Helper()
	name, err := pkixmsg.ParseDN(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// certified asks of a reply that it is for the request's key and chains up.
func certified(t *testing.T, r ca.Request, reply ca.Reply) {
	t.Helper()
	if reply.Pending() || len(reply.Chain) < 2 {
		t.Fatalf("a chain of %d certificates", len(reply.Chain))
	}
	leaf := reply.Chain[0]
	if key, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(r.PublicKey) {
		t.Error("the certificate is for another key")
	}
	for i, c := range reply.Chain[1:] {
		if err := reply.Chain[i].CheckSignatureFrom(c); err != nil {
			t.Errorf("certificate %d of the chain is not signed by the next: %v", i, err)
		}
	}
	if want := r.Subject.Values(pkixmsg.OIDCommonName)[0]; leaf.Subject.CommonName != want {
		t.Errorf("the certificate is for %q; want %q", leaf.Subject.CommonName, want)
	}
	if reply.Issuer == nil || !reply.Issuer.Equal(reply.Chain[1]) || reply.Handle == "" {
		t.Errorf("issuer %v, handle %q", reply.Issuer != nil, reply.Handle)
	}
}

// wantError asks of an error its kind, a word of its message, and a remedy.
func wantError(t *testing.T, err error, kind ra.Kind, word string) *ra.Error {
	t.Helper()
	var e *ra.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Message+" "+e.Remedy, word) || e.Remedy == "" {
		t.Fatalf("error %v (%s); want %s with %q and a remedy", err, ra.KindOf(err), kind, word)
	}
	return e
}

func issue(t *testing.T, w *world, r ca.Request) ca.Reply {
	t.Helper()
	reply, err := w.Issue(t.Context(), r)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return reply
}

func steps(c ca.Checker, ctx context.Context) map[string]ca.Step {
	out := map[string]ca.Step{}
	c.Check(ctx, func(s ca.Step) { out[s.Name] = s })
	return out
}
