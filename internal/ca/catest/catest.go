// Package catest is what every certificate authority owes, written as tests. A
// connector's own test calls Run with a Setup that leads to a double of its
// authority and says how to make the double fail; the suite walks the connector
// through refusing, issuing, answering late, time-outs, a line cut before and
// after the authority has decided, crashes, cancellation and a crowd, and
// through each ability it shows.
//
// What is asked: one certificate for one request however often it is asked for,
// errors with a kind, a sentence and a remedy, no secret in any of them or in
// the log, abilities as the kind's traits announce them, and certificates that
// crypto/x509 and openssl accept.
package catest

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// Fault makes the next request fail in one way: by telling the authority's
// double, by spoiling the order, or by breaking the world's journal.
type Fault func(w *World, o *ca.Order)

// Setup is a connector under test.
type Setup struct {
	Kind     ca.Kind
	Settings string // JSON the kind accepts, secrets included; empty: none
	// Env leads to the authority's double, by Dial or HTTP. May be nil.
	Env func(*ca.Env)
	// Order adapts an order to the authority: template, options, fields. May be nil.
	Order func(*ca.Order)
	// KeyHere has the requests' keys kept here: their orders carry them.
	KeyHere bool
	// Secrets are texts that must not turn up in errors and logs.
	Secrets []string
	// Issued counts the certificates the authority really made for a request ID.
	Issued func(w *World, requestID string) int

	Refuse     Fault // the authority says no
	Pend       Fault // the authority answers after a few fetches; nil unless Traits.Pending
	TimeOut    Fault // no answer until the caller gives up, and nothing is issued
	CutLine    Fault // the line breaks before the authority gets the request
	LoseAnswer Fault // the authority issues, and the answer does not arrive
}

// World is what one subtest has for itself.
type World struct {
	T         testing.TB
	Env       ca.Env
	Journal   *Journal
	Slots     *Slots
	Settings  ca.Settings
	Connector ca.Connector
	log       *logBuffer
	setup     Setup
}

// Run runs the suite as subtests of t.
func Run(t *testing.T, s Setup) {
	t.Helper()
	if s.Issued == nil || s.Refuse == nil || s.TimeOut == nil || s.CutLine == nil || s.LoseAnswer == nil {
		t.Fatal("catest: a Setup needs Issued and every fault but Pend")
	}
	if (s.Pend != nil) != s.Kind.Traits.Pending {
		t.Fatal("catest: a Setup has Pend exactly when the traits say Pending")
	}
	for _, c := range cases {
		if c.wanted == nil || c.wanted(s.Kind.Traits) {
			t.Run(c.name, func(t *testing.T) {
				w := s.open(t)
				c.run(t, w)
				w.searchSecrets(w.log.String())
			})
		}
	}
}

var cases = []struct {
	name   string
	wanted func(ca.Traits) bool // nil: always
	run    func(*testing.T, *World)
}{
	{"describes itself", nil, describes},
	{"traits are abilities", nil, traits},
	{"issue", nil, issue},
	{"refuse", nil, refuse},
	{"pend then fetch", func(t ca.Traits) bool { return t.Pending }, pend},
	{"time-out", nil, timeOut},
	{"cut line", nil, cutLine},
	{"answer lost after commit", nil, loseAnswer},
	{"same request twice", func(t ca.Traits) bool { return t.Sure }, twice},
	{"same request at once", func(t ca.Traits) bool { return t.Sure }, atOnce},
	{"after a restart", func(t ca.Traits) bool { return t.Sure }, restart},
	{"cancelled", nil, cancelled},
	{"fifty at once", nil, crowd},
	{"revoke", func(t ca.Traits) bool { return t.Revoke }, revoke},
	{"hold", func(t ca.Traits) bool { return t.Hold }, hold},
	{"key at the authority", func(t ca.Traits) bool { return slices.Contains(t.KeyPlaces, ra.KeyAtCA) }, keyAtCA},
	{"check", nil, check},
	{"catalogue", nil, catalogue},
	{"challenge", nil, challenge},
	{"chain", nil, chain},
	{"revocation list", nil, revocationList},
	{"list", nil, list},
}

// open makes a world: settings read, provisioned and connected as the product
// does it.
func (s Setup) open(t testing.TB) *World {
	t.Helper()
	w := &World{T: t, Journal: &Journal{}, Slots: &Slots{}, log: &logBuffer{}, setup: s}
	dial := (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	w.Env = ca.Env{
		Authority: "ca_test", Name: "Test authority", Dial: dial, Now: time.Now, Journal: w.Journal, Slots: w.Slots,
		HTTP:      &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial}},
		Log:       slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		PublicURL: "http://pki.example.test",
	}
	if s.Env != nil {
		s.Env(&w.Env)
	}
	w.Settings = s.Kind.New()
	setting.Defaults(w.Settings)
	raw := s.Settings
	if raw == "" {
		raw = "{}"
	}
	if err := setting.FromJSON(w.Settings, []byte(raw)); err != nil {
		t.Fatalf("the settings are refused: %v", err)
	}
	if p, ok := w.Settings.(ca.Provisioner); ok {
		if err := p.Provision(t.Context(), w.Env); err != nil {
			t.Fatalf("Provision: %v", err)
		}
	}
	w.Reopen()
	return w
}

// Reopen connects again, as after a restart: nothing is left of the connector
// before but the settings and the journal.
func (w *World) Reopen() {
	w.T.Helper()
	c, err := w.Settings.Connect(w.T.Context(), w.Env)
	if err != nil {
		w.T.Fatalf("Connect: %v", err)
	}
	w.Connector = c
}

// request makes a checked request for a fresh key, after the setup and the
// given functions have adapted its order.
func (w *World) request(id string, keyType pkixmsg.KeyType, adapt ...func(*ca.Order)) ca.Request {
	w.T.Helper()
	o := w.order(id, keyType)
	for _, f := range adapt {
		f(&o)
	}
	r, err := ca.NewRequest(o)
	if err != nil {
		w.T.Fatalf("NewRequest: %v", err)
	}
	return r
}

func (w *World) order(id string, keyType pkixmsg.KeyType) ca.Order {
	w.T.Helper()
	key, err := pkixmsg.GenerateKey(keyType)
	if err != nil {
		w.T.Fatal(err)
	}
	subject, err := pkixmsg.ParseDN("CN=" + id + ",OU=Devices,O=Example")
	if err != nil {
		w.T.Fatal(err)
	}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: subject, Signer: key})
	if err != nil {
		w.T.Fatal(err)
	}
	usage := x509.KeyUsageDigitalSignature
	if strings.HasPrefix(string(keyType), "rsa") {
		usage |= x509.KeyUsageKeyEncipherment
	}
	o := ca.Order{
		ID: id, CSR: csr, Subject: subject, KeyUsage: usage, Holder: "dev_" + id,
		SANs:     []pkixmsg.GeneralName{{Type: pkixmsg.DNS, Value: "pad-0042.example.test"}, {Type: pkixmsg.UPN, Value: "ada@corp.example.test"}},
		EKUs:     []string{"1.3.6.1.5.5.7.3.2"},
		Validity: 90 * 24 * time.Hour,
	}
	if w.setup.KeyHere {
		o.Key = key
	}
	if w.setup.Kind.NewOptions != nil {
		o.Options = w.setup.Kind.NewOptions()
		setting.Defaults(o.Options)
	}
	if w.setup.Order != nil {
		w.setup.Order(&o)
	}
	return o
}

// faulty is a request whose order a fault has prepared.
func (w *World) faulty(id string, f Fault) ca.Request {
	w.T.Helper()
	return w.request(id, pkixmsg.P256, func(o *ca.Order) { f(w, o) })
}

// issue asks until the certificate is there, and fails the test otherwise.
func (w *World) issue(r ca.Request) ca.Reply {
	w.T.Helper()
	reply, err := w.Connector.Issue(w.T.Context(), r)
	if err != nil {
		w.T.Fatalf("Issue: %v", err)
	}
	return w.await(r, reply)
}

// await fetches a pending reply until it is answered.
func (w *World) await(r ca.Request, reply ca.Reply) ca.Reply {
	w.T.Helper()
	for tries := 0; reply.Pending(); tries++ {
		f, ok := w.Connector.(ca.Fetcher)
		if !ok || reply.Handle == "" || tries == 20 {
			w.T.Fatalf("a pending reply cannot be fetched: handle %q, Fetcher %v, %d tries", reply.Handle, ok, tries)
		}
		var err error
		if reply, err = f.Fetch(w.T.Context(), r, reply.Handle); err != nil {
			w.T.Fatalf("Fetch: %v", err)
		}
	}
	return reply
}

// wantError asks of an error what a person who meets it needs.
func (w *World) wantError(err error, kinds ...ra.Kind) *ra.Error {
	w.T.Helper()
	if err == nil {
		w.T.Fatalf("no error; want one of the kinds %v", kinds)
	}
	var e *ra.Error
	if !errors.As(err, &e) {
		w.T.Fatalf("the error is %T, not *ra.Error: %v", err, err)
	}
	if !slices.Contains(kinds, e.Kind) {
		w.T.Errorf("kind %q; want one of %v (%v)", e.Kind, kinds, err)
	}
	if e.Message == "" || e.Remedy == "" {
		w.T.Errorf("the error lacks a message or a remedy: %+v", e)
	}
	w.searchSecrets(fmt.Sprintf("%s %s %s %+v", e.Message, e.Remedy, err.Error(), err))
	return e
}

// searchSecrets fails the test when a secret shows.
func (w *World) searchSecrets(text string) {
	w.T.Helper()
	for i, s := range w.setup.Secrets {
		if s != "" && strings.Contains(text, s) {
			w.T.Errorf("secret number %d shows in an error or in the log", i)
		}
	}
}

var validKindID = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func describes(t *testing.T, w *World) {
	k := w.setup.Kind
	if !validKindID.MatchString(k.ID) || k.Title == "" || k.Help == "" || len(k.Traits.KeyPlaces) == 0 {
		t.Errorf("the kind lacks an ID in small letters, a title, a help text or key places: %+v", k)
	}
	for _, f := range setting.Fields(w.Settings) {
		if f.Label == "" {
			t.Errorf("field %s has no label", f.Name)
		}
	}
	var shown bytes.Buffer
	fmt.Fprintf(&shown, "%v %+v %#v", w.Settings, w.Settings, w.Settings)
	w.searchSecrets(shown.String())
}

// traits: what the kind announces is what the open connector shows.
func traits(t *testing.T, w *World) {
	has := func(a ca.Ability) bool { return slices.Contains(ca.Abilities(w.Connector), a) }
	tr := w.setup.Kind.Traits
	for _, c := range []struct {
		name      string
		announced bool
		ability   ca.Ability
	}{
		{"Revoke", tr.Revoke, ca.CanRevoke},
		{"Hold", tr.Hold, ca.CanHold},
		{"Pending", tr.Pending, ca.CanFetch},
		{"KeyAtCA", slices.Contains(tr.KeyPlaces, ra.KeyAtCA), ca.CanMakeKey},
	} {
		if c.announced != has(c.ability) {
			t.Errorf("trait %s is %v, ability %s is %v", c.name, c.announced, c.ability, has(c.ability))
		}
	}
	if tr.Sure && !has(ca.CanFind) {
		t.Error("the traits say Sure, but the connector cannot be asked what became of a request")
	}
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// short is a context that ends soon.
func short(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 150*time.Millisecond)
}
