package lifecycle_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ca/scripted"
	"chancery/internal/door/pki"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// clock is a clock that moves when a test says so.
type clock struct {
	ms     atomic.Int64
	bubble bool // in a synctest bubble, whose time it shows
}

func (c *clock) Now() time.Time {
	if c.bubble {
		return time.Now().UTC()
	}
	return time.UnixMilli(c.ms.Load()).UTC()
}

func (c *clock) Advance(d time.Duration) {
	if c.bubble {
		time.Sleep(d)
	}
	c.ms.Add(d.Milliseconds())
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// node is one server on the database of a world.
type node struct {
	db          *store.DB
	queue       *job.Queue
	authorities *authority.Service
	enroll      *enroll.Service
	*lifecycle.Service
}

// world is an organization with a device, a user and three authorities.
type world struct {
	*node
	t       testing.TB
	address string
	clock   *clock
	log     *logBuffer
	box     *seal.Box
	script  *scripted.Authority
	kinds   []ca.Kind
	inv     *inventory.Service

	owner              ra.Actor
	acme, other        *ra.Group
	phone              *ra.Device
	inner, outer, bare ra.AuthorityID
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address)) })
}

func newWorld(t testing.TB, address string) *world {
	t.Helper()
	c := &clock{}
	c.ms.Store(start.UnixMilli())
	return newWorldAt(t, address, c)
}

func newWorldAt(t testing.TB, address string, c *clock) *world {
	t.Helper()
	w := &world{t: t, address: address, clock: c, log: &logBuffer{}, owner: actor("owner", ra.RoleOwner, nil)}
	w.box = must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	w.script = must(scripted.New(w.clock.Now))(t)
	w.kinds = []ca.Kind{embedded.Kind(), w.script.Kind(), w.script.BareKind()}
	w.node = w.start()
	w.inv = &inventory.Service{DB: w.db, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler), OnUnenrol: func(tx *store.Tx, a ra.Actor, d *ra.Device) error {
		return lifecycle.RevokeForDevice(tx, a, d.ID, "unenrolment")
	}}
	none, name, foreign := ra.GroupID(""), "Acme", "Other"
	w.acme = must(w.inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{ParentID: &none, Name: &name}))(t)
	w.other = must(w.inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{ParentID: &none, Name: &foreign}))(t)
	w.phone = w.device("phone")
	w.inner = w.authority("embedded", "Inner CA", `{}`)
	w.outer = w.authority("scripted", "Outer CA", scripted.SettingsJSON)
	w.bare = w.authority("scripted-bare", "Bare CA", scripted.SettingsJSON)
	return w
}

// start starts a server on the world's database, as after a restart or on
// another machine.
func (w *world) start() *node {
	w.t.Helper()
	db := must(store.Open(w.t.Context(), w.address, w.clock.Now))(w.t)
	w.t.Cleanup(func() { db.Close() })
	db.Rehearse()
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n := &node{db: db, queue: must(job.Open(w.t.Context(), db, job.Options{Log: log}))(w.t)}
	n.authorities = &authority.Service{DB: db, Box: w.box, Kinds: w.kinds, Now: w.clock.Now, Log: log, PublicURL: "http://pki.example.test"}
	n.enroll = &enroll.Service{DB: db, Box: w.box, Authorities: n.authorities, Queue: n.queue, Now: w.clock.Now, Log: log}
	n.Service = &lifecycle.Service{DB: db, Box: w.box, Authorities: n.authorities, Enroll: n.enroll, Queue: n.queue, Now: w.clock.Now, Log: log}
	return n
}

func actor(name string, role ra.Role, group *ra.Group) ra.Actor {
	g := ra.Grant{Role: role}
	if group != nil {
		g.Group, g.Path = group.ID, group.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + name, Name: name, Via: "api", Grants: []ra.Grant{g}}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return v
	}
}

func ptr[T any](v T) *T { return &v }

// wantError asks for an error of a kind that somebody can act on.
func wantError(t testing.TB, err error, kind ra.Kind) *ra.Error {
	t.Helper()
	if ra.KindOf(err) != kind {
		t.Fatalf("error of kind %q, want %q: %v", ra.KindOf(err), kind, err)
	}
	e := ra.AsError(err)
	if e.Message == "" || e.Remedy == "" {
		t.Errorf("the error lacks a message or a remedy: %+v", e)
	}
	return e
}

func (w *world) device(name string) *ra.Device {
	w.t.Helper()
	platform, id := ra.IOS, "UDID-"+name
	return must(w.inv.CreateDevice(w.t.Context(), w.owner, inventory.DeviceInput{GroupID: &w.acme.ID, Platform: &platform, PlatformID: &id, Name: &name}))(w.t)
}

func (w *world) authority(kind, name, settings string) ra.AuthorityID {
	w.t.Helper()
	return must(w.authorities.Create(w.t.Context(), w.owner, kind, authority.Input{GroupID: &w.acme.ID, Name: &name, Settings: []byte(settings)}))(w.t).ID
}

// onDevice and here are templates by where the key is made.
func onDevice() ra.TemplateSpec {
	return ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", EKUs: []string{"clientAuth"}, Validity: 90, AutoRenew: true, RenewBefore: 30}
}

func here() ra.TemplateSpec {
	s := onDevice()
	s.KeyPlace = ra.KeyHere
	return s
}

func (w *world) template(id ra.AuthorityID, spec ra.TemplateSpec) *ra.Template {
	w.t.Helper()
	name := string(ra.NewID[ra.TemplateID]("T", time.Now()))
	return must(w.enroll.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &id, Name: &name, Spec: &spec}))(w.t)
}

// issue gives a certificate of the phone.
func (w *world) issue(tpl *ra.Template) *ra.Certificate {
	w.t.Helper()
	ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Wait: true}
	if tpl.Spec.KeyPlace == ra.KeyOnDevice {
		ask.CSR = must(pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: w.key()}))(w.t)
	}
	r := must(w.enroll.Submit(w.t.Context(), w.owner, ask))(w.t)
	if r.State != ra.Issued {
		w.t.Fatalf("not issued: %s, %s", r.State, r.LastError)
	}
	return w.certificate(r.CertificateID)
}

func (w *world) key() crypto.Signer { return must(pkixmsg.GenerateKey(pkixmsg.P256))(w.t) }

func (w *world) certificate(id ra.CertificateID) (c *ra.Certificate) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) { c, err = tx.Certificate(id); return err })
	return c
}

func (w *world) read(f func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) audited(code, object string) int {
	w.t.Helper()
	n := 0
	w.read(func(tx *store.Tx) error {
		list, _, err := tx.Audit(store.AuditFilter{Code: code, Object: object, Page: store.Page{Limit: 1000}})
		n = len(list)
		return err
	})
	return n
}

// work sweeps and plans and does what is due, as the queue would.
func (w *world) work() {
	w.t.Helper()
	ctx := context.Background()
	if err := w.Sweep(ctx, lifecycle.SweepJob{}); err != nil {
		w.t.Fatalf("Sweep: %v", err)
	}
	if err := w.enroll.Plan(ctx, enroll.PlanJob{}); err != nil {
		w.t.Fatalf("Plan: %v", err)
	}
	var rows []ra.ObligationRow
	w.read(func(tx *store.Tx) (err error) {
		rows, _, err = tx.FindObligations(store.ObligationFilter{DueBefore: tx.Now.Add(time.Millisecond), Page: store.Page{Limit: 1000}})
		return err
	})
	for _, r := range rows {
		var err error
		if r.Kind == "certificate" {
			err = w.Act(ctx, lifecycle.ActJob{Certificate: ra.CertificateID(r.ID)})
		} else if r.Action != ra.ActionApprove {
			err = w.enroll.Work(ctx, enroll.IssueJob{Request: ra.RequestID(r.ID)})
		}
		if err != nil {
			w.t.Fatalf("%s of %s: %v", r.Action, r.ID, err)
		}
	}
	w.promised()
}

// pass lets time pass in steps, working at each.
func (w *world) pass(span, step time.Duration) {
	w.t.Helper()
	for ; span > 0; span -= step {
		w.clock.Advance(min(step, span))
		w.work()
	}
}

// promised: every certificate in use has a next action with a time.
func (w *world) promised() {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		list, _, err := tx.FindCertificates(store.CertificateFilter{OwnToo: true, Page: store.Page{Limit: 1000}})
		for _, c := range list {
			over := c.State == ra.Revoked || c.State == ra.Expired
			if !over && (c.Action == ra.ActionNone || c.At.IsZero() || c.Deadline.IsZero()) {
				w.t.Errorf("certificate %s is %s without a next action in time: %+v", c.ID, c.State, c.Obligation)
			}
		}
		return err
	})
}

// serve opens the public door and gives its address.
func (w *world) serve() string {
	w.t.Helper()
	door := &pki.Door{Lifecycle: w.Service, Log: slog.New(slog.DiscardHandler), Now: w.clock.Now}
	mux := http.NewServeMux()
	door.Register(mux)
	server := httptest.NewServer(door.Wrap(mux))
	w.t.Cleanup(server.Close)
	return server.URL
}

// files writes DER files as PEM into a folder, for openssl.
func (w *world) files(kind string, files map[string][]byte) string {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, der := range files {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

func (w *world) openssl(dir string, args ...string) (string, error) {
	w.t.Helper()
	out, err := testpeer.OpenSSL(w.t, dir, nil, args...)
	return string(out), err
}

// chain gives the certificate with those above it.
func (w *world) chain(c *ra.Certificate) []*x509.Certificate {
	w.t.Helper()
	var out []*x509.Certificate
	for _, der := range must(w.Chain(w.t.Context(), c))(w.t) {
		out = append(out, must(x509.ParseCertificate(der))(w.t))
	}
	if len(out) < 2 {
		w.t.Fatalf("the chain has %d certificates", len(out))
	}
	return out
}

func has(text, part string) bool { return strings.Contains(text, part) }

func csrOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	return must(pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: key}))(t)
}
