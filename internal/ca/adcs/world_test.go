package adcs_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	"chancery/internal/ca/catest"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/testpeer"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

const (
	host     = "ca1.corp.example"
	user     = `CORP\svc-ra`
	password = "Correct-horse 7"
	sid      = "S-1-5-21-3981832230-819177259-90020688-1105"
)

// double is Microsoft's CA played, on the ports that it has elsewhere. A manager
// approves what waits at the second look.
type double struct {
	*played.CA
	t *testing.T

	mu    sync.Mutex
	seen  map[uint32]bool
	still bool // nobody approves
	dials []string
}

func newDouble(t *testing.T, cfg played.Config) *double {
	t.Helper()
	if cfg.Accounts == nil {
		cfg.Accounts = []played.Account{
			{User: "svc-ra", Password: password, Rights: played.Everybody | played.Officer | played.ManageCA, UPN: "svc-ra@corp.example", SID: "S-1-5-21-1-2-3-500"},
			{User: "plain", Password: password, Rights: played.Everybody, UPN: "plain@corp.example"},
			{User: "blind", Password: password, Rights: played.Enroll},
			{User: "alice", UPN: "alice@corp.example", SID: sid, Mail: "alice@corp.example"},
		}
	}
	cfg.Templates = append(played.DefaultTemplates(), cfg.Templates...)
	for i := range cfg.Templates {
		cfg.Templates[i].KeyBits = 256 // elliptic curves are quick
	}
	return &double{CA: played.Start(t, cfg), t: t, seen: map[uint32]bool{}}
}

// dial leads to the double by the name and the ports of the real one.
func (d *double) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if name == "127.0.0.1" { // a KDC
		return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
	}
	if name != host {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	d.mu.Lock()
	d.dials = append(d.dials, port)
	d.mu.Unlock()
	to := net.JoinHostPort("127.0.0.1", port)
	if port == "135" {
		d.manage()
		to = d.MapperAddress()
	}
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, to)
}

// manage approves what was waiting the last time, too.
func (d *double) manage() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.Requests() {
		if r.Disposition != 9 || d.still {
			continue
		}
		if d.seen[r.ID] {
			if err := d.Approve(r.ID); err != nil {
				panic(err)
			}
		}
		d.seen[r.ID] = true
	}
}

// issued counts the certificates for a request of ours.
func (d *double) issued(id string) int {
	n := 0
	for _, r := range d.Requests() {
		if v, ok := adcsmsg.ParseAttributes(r.Attributes).Get("ChanceryRequest"); ok && v == id && r.Certificate != nil {
			n++
		}
	}
	return n
}

// settings lead to the double, with what is to be different.
func (d *double) settings(more map[string]any) map[string]any {
	var chain []byte
	for _, c := range d.Chain() {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	out := map[string]any{"server": host, "authority_name": d.Name(), "ca_certificates": string(chain), "login": "ntlm", "user": user, "password": password,
		"publish_crl": true, "poll_interval": "1m", "timeout": "20s"}
	maps.Copy(out, more)
	return out
}

// world is a connector to test without the suite.
type world struct {
	*adcs.Connector
	lister  *adcs.Lister // nil without DCOM
	t       *testing.T
	d       *double
	env     ca.Env
	journal *catest.Journal
	raw     []byte
	log     *bytes.Buffer
}

func newWorld(t *testing.T, d *double, more map[string]any) *world {
	t.Helper()
	raw, err := json.Marshal(d.settings(more))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, d: d, journal: &catest.Journal{}, raw: raw, log: &bytes.Buffer{}}
	w.env = ca.Env{Authority: "ca_test", Name: "Corp CA", Dial: d.dial, Now: time.Now, Journal: w.journal, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	w.reopen()
	return w
}

// reopen connects again, as after a restart.
func (w *world) reopen() {
	w.t.Helper()
	s, err := read(w.raw)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := s.Connect(w.t.Context(), w.env)
	if err != nil {
		w.t.Fatal(err)
	}
	switch c := c.(type) {
	case *adcs.Lister:
		w.Connector, w.lister = c.Connector, c
	case *adcs.Connector:
		w.Connector, w.lister = c, nil
	}
}

func read(raw []byte) (ca.Settings, error) {
	s := adcs.Kind().New()
	setting.Defaults(s)
	return s, setting.FromJSON(s, raw)
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := pkixmsg.GenerateKey(pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func dn(t testing.TB, text string) pkixmsg.Name {
	t.Helper()
	name, err := pkixmsg.ParseDN(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// request is an order of a template, with a key that is kept here, after functions
// have changed it.
func (w *world) request(id, template string, change ...func(*ca.Order)) ca.Request {
	w.t.Helper()
	key := newKey(w.t)
	o := ca.Order{ID: id, Template: template, Subject: dn(w.t, "CN="+id+",O=Example"), SANs: []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: strings.ReplaceAll(id, "_", "-") + ".example"}},
		Key: key, Options: adcs.Kind().NewOptions()}
	setting.Defaults(o.Options)
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: key})
	if err != nil {
		w.t.Fatal(err)
	}
	o.CSR = csr
	for _, f := range change {
		f(&o)
	}
	r, err := ca.NewRequest(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// byDevice has the device keep its key and ask for names.
func (w *world) byDevice(q pkixmsg.CSRRequest) func(*ca.Order) {
	return func(o *ca.Order) {
		w.t.Helper()
		q.Signer = o.Key
		der, err := pkixmsg.BuildCSR(q)
		if err != nil {
			w.t.Fatal(err)
		}
		o.CSR, o.Key = der, nil
	}
}

func (w *world) issue(r ca.Request) ca.Reply {
	w.t.Helper()
	reply, err := w.Issue(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply
}

func wantError(t *testing.T, err error, kind ra.Kind, words ...string) *ra.Error {
	t.Helper()
	var e *ra.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v", err)
	}
	if e.Kind != kind || e.Remedy == "" {
		t.Errorf("kind %s, remedy %q: %v; want %s", e.Kind, e.Remedy, err, kind)
	}
	for _, word := range words {
		if !strings.Contains(e.Message+" "+e.Remedy, word) {
			t.Errorf("%q is not in %q %q", word, e.Message, e.Remedy)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v %v", e, err), password) {
		t.Error("the password shows")
	}
	return e
}

// check runs the steps.
func (w *world) check() (names []string, steps map[string]ca.Step) {
	steps = map[string]ca.Step{}
	w.Check(w.t.Context(), func(s ca.Step) { names, steps[s.Name] = append(names, s.Name), s })
	return names, steps
}
