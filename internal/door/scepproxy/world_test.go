package scepproxy_test

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/door/scepproxy"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/pass"
	"chancery/internal/pass/passtest"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// clock is the time everything in a world goes by.
type clock struct {
	mu   sync.Mutex
	skip time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.skip)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skip += d
}

// logbook keeps what was logged.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is this server with the door, and a SCEP server behind it.
type world struct {
	t         testing.TB
	clock     *clock
	log       *logbook
	db        *store.DB
	auth      *authority.Service
	enroll    *enroll.Service
	passes    *pass.Service
	door      *scepproxy.Door
	url       string
	group     ra.GroupID
	server    *passtest.Server
	authority *ra.Authority
	template  *ra.Template
	n         int
}

func newWorld(t testing.TB, database string, kinds ...ca.Kind) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, clock: &clock{}, log: &logbook{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.db = must(store.Open(ctx, database, w.clock.now))(t)
	if _, bench := t.(*testing.B); !bench {
		w.db.Rehearse()
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	queue := must(job.Open(ctx, w.db, job.Options{Log: log}))(t)
	w.server = passtest.New(w.clock.now)
	w.door = &scepproxy.Door{Now: w.clock.now, Log: log}
	mux := http.NewServeMux()
	front := httptest.NewServer(w.door.Wrap(mux))
	t.Cleanup(front.Close)
	w.url = front.URL
	w.auth = &authority.Service{DB: w.db, Box: box, Kinds: append(kinds, w.server.Kind()), Now: w.clock.now, Log: log, PublicURL: front.URL}
	w.enroll = &enroll.Service{DB: w.db, Box: box, Authorities: w.auth, Queue: queue, Now: w.clock.now, Log: log}
	w.passes = &pass.Service{DB: w.db, Box: box, Authorities: w.auth, Enroll: w.enroll, Queue: queue, Now: w.clock.now, Log: log, PublicURL: front.URL}
	w.passes.Handle()
	w.door.Passes, w.door.Authorities = w.passes, w.auth
	w.door.Register(mux)
	w.group = ra.NewID[ra.GroupID](ra.GroupPrefix, w.clock.now())
	w.write(func(tx *store.Tx) error { return tx.CreateGroup(&ra.Group{ID: w.group, Name: "Example"}) })
	w.authority = w.newAuthority("test-scep")
	w.template = w.newTemplate(w.authority)
	return w
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address)) })
}

// one is a world on SQLite, for what is the same on every engine.
func one(t testing.TB, kinds ...ca.Kind) *world {
	t.Helper()
	return newWorld(t, testpeer.SQLite(t), kinds...)
}

func (w *world) newAuthority(kind string) *ra.Authority {
	w.t.Helper()
	w.n++
	name := fmt.Sprintf("Authority %d", w.n)
	return must(w.auth.Create(w.t.Context(), admin, kind, authority.Input{GroupID: &w.group, Name: &name, Settings: []byte("{}")}))(w.t)
}

func (w *world) newTemplate(a *ra.Authority) *ra.Template {
	w.t.Helper()
	w.n++
	name := fmt.Sprintf("Template %d", w.n)
	spec := ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 90,
		AutoRenew: true, RenewalMarker: "ou"}
	return must(w.enroll.CreateTemplate(w.t.Context(), admin, enroll.TemplateInput{GroupID: &w.group, AuthorityID: &a.ID, Name: &name, Spec: &spec}))(w.t)
}

var admin = ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "admin", Via: "test", Grants: []ra.Grant{{Role: ra.RoleOwner}}}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) device() *ra.Device {
	w.t.Helper()
	w.n++
	uid := fmt.Sprintf("device-%d", w.n)
	d := &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, w.clock.now()), GroupID: w.group, Platform: ra.Linux, PlatformID: uid, Name: uid, State: ra.DeviceEnrolled, Attributes: map[string]string{}}
	w.write(func(tx *store.Tx) error { return tx.CreateDevice(d) })
	return d
}

var deviceKeys = make([]func() crypto.Signer, 3)

func init() {
	for i := range deviceKeys {
		deviceKeys[i] = sync.OnceValue(func() crypto.Signer { return passtest.Key() })
	}
}

// client is a device with a pass and its parameters.
type client struct {
	*passtest.Device
	w      *world
	pass   *ra.Pass
	device *ra.Device
	url    string
}

// client makes a pass for a new device and gives it the parameters.
func (w *world) client() *client {
	w.t.Helper()
	d := w.device()
	return w.clientFor(d, must(w.passes.Create(w.t.Context(), admin, pass.CreateInput{Template: w.template.ID, Device: d.ID, Model: ra.PassProxy}))(w.t))
}

func (w *world) clientFor(d *ra.Device, p *ra.Pass) *client {
	w.t.Helper()
	v := must(w.passes.Parameters(w.t.Context(), admin, p.ID))(w.t)
	_, recipient := w.server.CA()
	return &client{passtest.NewDevice(w.clock.now(), deviceKeys[0](), recipient, v.Subject, v.Challenge.Reveal()), w, v.Pass, d, v.URL}
}

// reply is what a client got.
type reply struct {
	status int
	media  string
	retry  string
	body   []byte
}

// plain does not follow redirects, as most SCEP clients.
var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (w *world) do(method, address string, body []byte) reply {
	w.t.Helper()
	req := must(http.NewRequestWithContext(w.t.Context(), method, address, bytes.NewReader(body)))(w.t)
	resp := must(plain.Do(req))(w.t)
	defer resp.Body.Close()
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Retry-After"), must(io.ReadAll(resp.Body))(w.t)}
}

func (c *client) post(message []byte) reply {
	c.w.t.Helper()
	return c.w.do(http.MethodPost, c.url+"?operation=PKIOperation", message)
}

func (c *client) get(query string) reply {
	c.w.t.Helper()
	return c.w.do(http.MethodGet, c.url+"?"+query, nil)
}

// want asks for a status, and for a body that names nothing it should not.
func (r reply) want(t testing.TB, what string, status int) reply {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: HTTP %d (%.120q), want %d", what, r.status, r.body, status)
	}
	if status != http.StatusOK {
		if len(r.body) > 150 || strings.Contains(string(r.body), "example.test") || r.media != "text/plain; charset=utf-8" {
			t.Errorf("%s: the refusal says %q as %q", what, r.body, r.media)
		}
		if status >= 500 != (r.retry != "") && status != http.StatusTooManyRequests {
			t.Errorf("%s: Retry-After is %q for %d", what, r.retry, status)
		}
	}
	return r
}

// certRep reads a reply as a CertRep with a status.
func (r reply) certRep(t testing.TB, what string, status scepmsg.Status) *scepmsg.Message {
	t.Helper()
	r.want(t, what, http.StatusOK)
	m, err := scepmsg.Parse(r.body, scepmsg.Options{Limits: cms.Limits{}})
	if err != nil || m.Type != scepmsg.CertRep || m.Status != status || r.media != scepmsg.MediaMessage {
		t.Fatalf("%s: no CertRep with status %d came: %v %+v as %q", what, status, err, m, r.media)
	}
	return m
}

// now gives the pass as it is stored, and its trace.
func (c *client) now() (*ra.Pass, []ra.Hop) {
	c.w.t.Helper()
	p, hops, err := c.w.passes.Trace(c.w.t.Context(), admin, c.pass.ID)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return p, hops
}

// is wants the pass in a state, and gives it.
func (c *client) is(state ra.PassState) *ra.Pass {
	c.w.t.Helper()
	p, hops := c.now()
	if p.State != state {
		c.w.t.Errorf("the pass is %s, want %s: %+v", p.State, state, hops[max(0, len(hops)-2):])
	}
	return p
}

// last wants the trace to end with a failure at a step, with a remedy.
func (c *client) last(step, message string) {
	c.w.t.Helper()
	_, hops := c.now()
	for i := len(hops) - 1; i >= 0; i-- {
		h := hops[i]
		if h.Result == ra.HopOK && h.Step == pass.StepReturned {
			continue
		}
		if h.Step != step && h.Result == ra.HopFailed && h.Step == pass.StepReturned {
			continue
		}
		if h.Step != step || h.Result == ra.HopOK || !strings.Contains(h.Message, message) || h.Remedy == "" {
			c.w.t.Errorf("the trace ends with %+v, want %s at %s", h, message, step)
		}
		return
	}
	c.w.t.Error("the trace is empty")
}

func (w *world) asked(op scepmsg.Operation) int {
	n, _ := w.server.Asked(op)
	return n
}

func (w *world) codes(object string) (out []string) {
	w.t.Helper()
	must(0, w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		list, _, err := tx.Audit(store.AuditFilter{Object: object, Page: store.Page{Limit: 100}})
		for _, e := range list {
			out = append(out, e.Code)
		}
		return err
	}))(w.t)
	return out
}

type passServer = passtest.Server

func (w *world) newDoor(passes *pass.Service, auth *authority.Service) *scepproxy.Door {
	return &scepproxy.Door{Passes: passes, Authorities: auth, Now: w.clock.now, Log: w.door.Log}
}

func transport(t testing.TB, key crypto.Signer, subject string) *cms.Certificate {
	t.Helper()
	return passtest.NewDevice(time.Now(), key, nil, subject, "").Cert
}

func parse(der []byte) (*cms.Certificate, error) { return cms.ParseCertificate(der) }
