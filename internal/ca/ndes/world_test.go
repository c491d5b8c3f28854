package ndes_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/ndes"
	played "chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

const (
	user     = `CORP\enroller`
	password = "Correct-horse 7"
)

// double is Microsoft's server played, behind a gate that approves what waits at
// the second time of asking.
type double struct {
	*played.Server
	base string

	mu     sync.Mutex
	pages  int // requests for the challenge page, with every leg of a login
	polls  int
	before func(http.ResponseWriter, *http.Request) bool // true: it has answered
}

func newDouble(t *testing.T, cfg played.Config) *double {
	t.Helper()
	if cfg.Accounts == nil {
		cfg.Accounts = []played.Account{{User: "enroller", Password: password}, {User: "stranger", Password: password, NoEnroll: true}}
	}
	s, err := played.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := &double{Server: s}
	if cfg.TLS || cfg.Host != "" {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		d.base = s.URL()
		return d
	}
	line := httptest.NewUnstartedServer(d)
	line.Config.ConnContext = s.ConnContext
	line.Start()
	t.Cleanup(line.Close)
	d.base = line.URL
	return d
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if strings.Contains(r.URL.Path, "mscep_admin") {
		d.pages++
	}
	if r.URL.Query().Get("operation") == "PKIOperation" && len(d.Waiting()) > 0 {
		if d.polls++; d.polls%2 == 0 {
			for _, x := range d.Waiting() {
				if err := d.Approve(x.Transaction); err != nil {
					panic(err)
				}
			}
		}
	}
	before := d.before
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

func (d *double) opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pages
}

func (d *double) issued(cn string) int {
	n := 0
	for _, x := range d.Issued() {
		if x.Certificate.Subject.CommonName == cn {
			n++
		}
	}
	return n
}

// settings lead to the double, with what is to be different.
func (d *double) settings(more map[string]any) map[string]any {
	out := map[string]any{"url": d.base + "/certsrv/mscep/mscep.dll", "fingerprint": fmt.Sprintf("%x", sha256.Sum256(d.Root().Raw)), "user": user, "password": password, "login": "ntlm"}
	maps.Copy(out, more)
	return out
}

// world is a connector to test without the suite.
type world struct {
	*ndes.Connector
	t        *testing.T
	env      ca.Env
	slots    *catest.Slots
	settings map[string]any
}

func newWorld(t *testing.T, settings map[string]any) *world {
	t.Helper()
	w := &world{t: t, slots: &catest.Slots{}, settings: settings}
	w.env = ca.Env{Authority: "ca_test", Name: "Test authority", Dial: (&net.Dialer{}).DialContext, Now: time.Now, Journal: &catest.Journal{}, Slots: w.slots,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	w.reopen()
	return w
}

func (w *world) reopen() {
	w.t.Helper()
	s, err := read(w.settings)
	if err != nil {
		w.t.Fatalf("the settings are refused: %v", err)
	}
	c, err := s.Connect(w.t.Context(), w.env)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Connector = c.(*ndes.Connector)
}

func read(values map[string]any) (*ndes.Settings, error) {
	s := &ndes.Settings{}
	setting.Defaults(s)
	raw, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return s, setting.FromJSON(s, raw)
}

func (w *world) request(id string) ca.Request {
	w.t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		w.t.Fatal(err)
	}
	o := ca.Order{ID: id, Subject: subject(w.t, "CN="+id+",O=Example"), Key: key}
	if o.CSR, err = pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: o.Subject, Signer: key}); err != nil {
		w.t.Fatal(err)
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

func (w *world) challenge(ctx context.Context, id string) (ca.SCEPChallenge, error) {
	return w.Challenge(ctx, ca.ChallengeOrder{ID: id, Subject: pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: "pad"}}}})
}

func (w *world) out() int {
	w.t.Helper()
	out, _, err := w.slots.Out(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) check() map[string]ca.Step {
	out := map[string]ca.Step{}
	w.Check(w.t.Context(), func(s ca.Step) { out[s.Name] = s })
	return out
}

// wantError asks of an error its kind, a word, a remedy, and that it shows no
// password.
func wantError(t *testing.T, err error, kind ra.Kind, word string) *ra.Error {
	t.Helper()
	var e *ra.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Message+" "+e.Remedy, word) || e.Remedy == "" {
		t.Fatalf("error %v (%s); want %s with %q and a remedy", err, ra.KindOf(err), kind, word)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", err, e), password) {
		t.Error("the password shows in the error")
	}
	return e
}

func wantStep(t *testing.T, got ca.Step, state ca.StepState, word string) {
	t.Helper()
	if got.State != state || !strings.Contains(got.Detail+" "+got.Remedy, word) {
		t.Errorf("step %s is %s: %s / %s; want %s with %q", got.Name, got.State, got.Detail, got.Remedy, state, word)
	}
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
