package enroll_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

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
	*enroll.Service
}

// world is an organization with two branches beside a foreign one, a user with
// a device in each, and two authorities.
type world struct {
	*node
	t       *testing.T
	address string
	clock   *clock
	log     *logBuffer
	box     *seal.Box
	kinds   []ca.Kind
	script  *scripted.Authority
	inv     *inventory.Service

	owner                 ra.Actor
	acme, berlin, paris   *ra.Group
	other                 *ra.Group
	ada, pia, eve         *ra.User   // of Berlin, Paris and the other organization
	phone, tablet, stolen *ra.Device // likewise
	inner, outer, bare    ra.AuthorityID
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// each runs a test on each database engine.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address)) })
}

func newWorld(t *testing.T, address string) *world {
	t.Helper()
	w := &world{t: t, address: address, clock: &clock{}, log: &logBuffer{}, owner: actor("owner", ra.RoleOwner, nil)}
	w.clock.ms.Store(start.UnixMilli())
	var err error
	if w.box, err = seal.Create(filepath.Join(t.TempDir(), "master.key")); err != nil {
		t.Fatal(err)
	}
	if w.script, err = scripted.New(w.clock.Now); err != nil {
		t.Fatal(err)
	}
	w.kinds = []ca.Kind{embedded.Kind(), w.script.Kind(), w.script.BareKind()}
	w.node = w.start()
	w.inv = &inventory.Service{DB: w.db, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler)}
	w.acme, w.other = w.group("", "Acme"), w.group("", "Other")
	w.berlin, w.paris = w.group(w.acme.ID, "Berlin"), w.group(w.acme.ID, "Paris")
	w.ada, w.pia, w.eve = w.user(w.berlin, "ada", "1104"), w.user(w.paris, "pia", "1105"), w.user(w.other, "eve", "1106")
	w.phone, w.tablet, w.stolen = w.device(w.berlin, w.ada, "phone"), w.device(w.paris, w.pia, "tablet"), w.device(w.other, w.eve, "stolen")
	w.inner = w.authority("embedded", "Inner CA", `{}`)
	w.outer = w.authority("scripted", "Outer CA", scripted.SettingsJSON)
	w.bare = w.authority("scripted-bare", "Bare CA", scripted.SettingsJSON)
	return w
}

// open starts a server on the world's database, as after a restart or on
// another machine.
func (w *world) start() *node {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), w.address, w.clock.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	db.Rehearse()
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n := &node{db: db}
	if n.queue, err = job.Open(w.t.Context(), db, job.Options{Log: log}); err != nil {
		w.t.Fatal(err)
	}
	n.authorities = &authority.Service{DB: db, Box: w.box, Kinds: w.kinds, Now: w.clock.Now, Log: log, PublicURL: "http://pki.example.test"}
	n.Service = &enroll.Service{DB: db, Box: w.box, Authorities: n.authorities, Queue: n.queue, Now: w.clock.Now, Log: log}
	return n
}

func actor(name string, role ra.Role, group *ra.Group) ra.Actor {
	g := ra.Grant{Role: role}
	if group != nil {
		g.Group, g.Path = group.ID, group.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + name, Name: name, Via: "api", Grants: []ra.Grant{g}}
}

func deviceActor(d *ra.Device) ra.Actor {
	return ra.Actor{Kind: ra.ActorDevice, ID: string(d.ID), Name: d.Name, Via: "scep"}
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

func (w *world) group(parent ra.GroupID, name string) *ra.Group {
	w.t.Helper()
	country, organization := "DE", name
	return must(w.inv.CreateGroup(w.t.Context(), w.owner, inventory.GroupInput{ParentID: &parent, Name: &name, Country: &country, Organization: &organization}))(w.t)
}

func (w *world) user(g *ra.Group, name, rid string) *ra.User {
	w.t.Helper()
	mail, upn, sid := name+"@example.org", name+"@corp.example.org", "S-1-5-21-1004336348-1177238915-682003330-"+rid
	return must(w.inv.CreateUser(w.t.Context(), w.owner, inventory.UserInput{GroupID: &g.ID, Name: &name, Email: &mail, UPN: &upn, SID: &sid}))(w.t)
}

func (w *world) device(g *ra.Group, u *ra.User, name string) *ra.Device {
	w.t.Helper()
	platform, id := ra.IOS, "UDID-"+name
	return must(w.inv.CreateDevice(w.t.Context(), w.owner, inventory.DeviceInput{GroupID: &g.ID, UserID: &u.ID, Platform: &platform, PlatformID: &id, Name: &name, SerialNumber: &id}))(w.t)
}

func (w *world) authority(kind, name, settings string) ra.AuthorityID {
	w.t.Helper()
	return must(w.authorities.Create(w.t.Context(), w.owner, kind, authority.Input{GroupID: &w.acme.ID, Name: &name, Settings: []byte(settings)}))(w.t).ID
}

// wifi is a template whose key the device makes.
func wifi() ra.TemplateSpec {
	return ra.TemplateSpec{Subject: "CN={DeviceUid},O={Organization},C={Country}", SANs: []ra.SANSpec{{Type: "upn", Value: "{UserPrincipalName}"}},
		KeyType: "p-256", EKUs: []string{"clientAuth"}, Validity: 90, AutoRenew: true, RenewBefore: 30}
}

// vpn is one whose key is made here.
func vpn() ra.TemplateSpec {
	s := wifi()
	s.Subject, s.KeyPlace = "CN={EnrollmentUser},O={Organization}", ra.KeyHere
	return s
}

func (w *world) template(id ra.AuthorityID, spec ra.TemplateSpec) *ra.Template {
	w.t.Helper()
	name := "T " + string(ra.NewID[ra.TemplateID]("x", time.Now()))
	return must(w.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &id, Name: &name, Spec: &spec}))(w.t)
}

func key(t testing.TB) crypto.Signer {
	t.Helper()
	return must(pkixmsg.GenerateKey(pkixmsg.P256))(t)
}

func csr(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	return must(pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: key}))(t)
}

// submit asks, and fails the test when that is refused.
func (w *world) submit(a ra.Actor, ask enroll.Ask) *ra.Request {
	w.t.Helper()
	return must(w.Submit(w.t.Context(), a, ask))(w.t)
}

func (w *world) request(id ra.RequestID) *ra.Request {
	w.t.Helper()
	r, _, err := w.Request(w.t.Context(), w.owner, id)
	return must(r, err)(w.t)
}

func (w *world) read(f func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(f func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) certificate(id ra.CertificateID) (c *ra.Certificate) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) { c, err = tx.Certificate(id); return err })
	return c
}

// certificates are those of a device, oldest first.
func (w *world) certificates(d *ra.Device) (list []*ra.Certificate) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		list, _, err = tx.FindCertificates(store.CertificateFilter{Device: d.ID, Page: store.Page{Sort: "created", Limit: 1000}})
		return err
	})
	return list
}

// audited counts the entries of a code about an object.
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

// work plans and then does what is due, as the queue would, until nothing is.
func (n *node) work(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	if err := n.Plan(ctx, enroll.PlanJob{}); err != nil {
		t.Fatalf("Plan: %v", err)
	}
	for _, r := range n.open(t) {
		if r.Action == ra.ActionApprove || r.At.After(n.Now()) {
			continue
		}
		if err := n.Work(ctx, enroll.IssueJob{Request: r.ID}); err != nil {
			t.Fatalf("Work: %v", err)
		}
	}
}

// open lists the requests that are not at an end.
func (n *node) open(t testing.TB) []*ra.Request {
	t.Helper()
	var list []*ra.Request
	err := n.db.Read(context.Background(), func(tx *store.Tx) (err error) {
		list, _, err = tx.FindRequests(store.RequestFilter{Page: store.Page{Limit: 1000},
			States: []ra.RequestState{ra.Requested, ra.AwaitingApproval, ra.Approved, ra.Submitted, ra.PendingAtCA}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Action == ra.ActionNone || r.At.IsZero() || r.Deadline.IsZero() {
			t.Errorf("request %s is %s and has no next action, or none in time: %+v", r.ID, r.State, r.Obligation)
		}
	}
	return list
}

// settle lets time pass until no request is open.
func (w *world) settle(n *node) {
	w.t.Helper()
	for range 40 {
		n.work(w.t)
		if len(n.open(w.t)) == 0 {
			return
		}
		w.clock.Advance(3 * time.Minute)
	}
	for _, r := range n.open(w.t) {
		w.t.Errorf("request %s is stuck: %s, %s at %s, %s", r.ID, r.State, r.Action, r.At, r.LastError)
	}
	w.t.FailNow()
}

// verify checks a certificate row against its issuer and its request.
func (w *world) verify(c *ra.Certificate) *x509.Certificate {
	w.t.Helper()
	leaf := must(x509.ParseCertificate(c.DER))(w.t)
	var chain []*x509.Certificate
	w.read(func(tx *store.Tx) error {
		issuers, err := tx.Issuers(c.AuthorityID)
		if err == nil {
			chain, err = authority.ChainOf(leaf, issuers)
		}
		return err
	})
	if len(chain) < 2 || authority.Hash(chain[1].RawSubjectPublicKeyInfo) != c.IssuerHash || leaf.CheckSignatureFrom(chain[1]) != nil {
		w.t.Errorf("the chain of %s has %d certificates, or the wrong issuer", c.ID, len(chain))
	}
	return leaf
}

var errCrash = errors.New("crash")

// crash runs f and stops the server at the n-th time a step is taken, or after
// f. It reports whether that step was reached.
func (n *node) crash(label string, nth int, goexit bool, f func()) (crashed bool) {
	count := atomic.Int32{}
	n.Step = func(step string) {
		if step == label && int(count.Add(1)) == nth {
			crashed = true
			if goexit {
				runtime.Goexit()
			}
			panic(errCrash)
		}
	}
	defer func() { n.Step = nil }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil && v != errCrash {
				panic(v)
			}
		}()
		f()
	}()
	<-done
	n.db.Close()
	return crashed
}
