package trace_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ca/ndes"
	"chancery/internal/door/scepproxy"
	double "chancery/internal/doubles/ndes"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/trace"
	"chancery/internal/wire/pkixmsg"
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

// world is a registration authority with the proxy's door.
type world struct {
	t      *testing.T
	clock  *clock
	db     *store.DB
	auth   *authority.Service
	enroll *enroll.Service
	passes *pass.Service
	traces *trace.Service
	group  ra.GroupID
	device *ra.Device
}

func newWorld(t *testing.T, database string) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, clock: &clock{}}
	log := slog.New(slog.DiscardHandler)
	w.db = must(store.Open(ctx, database, w.clock.now))(t)
	w.db.Rehearse()
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	queue := must(job.Open(ctx, w.db, job.Options{Log: log}))(t)
	door := &scepproxy.Door{Now: w.clock.now, Log: log}
	front := httptest.NewServer(door.Wrap(http.NotFoundHandler()))
	t.Cleanup(front.Close)
	w.auth = &authority.Service{DB: w.db, Box: box, Kinds: []ca.Kind{ndes.Kind(), embedded.Kind()}, Now: w.clock.now, Log: log, PublicURL: front.URL, Dial: (&net.Dialer{}).DialContext}
	w.enroll = &enroll.Service{DB: w.db, Box: box, Authorities: w.auth, Queue: queue, Now: w.clock.now, Log: log}
	w.passes = &pass.Service{DB: w.db, Box: box, Authorities: w.auth, Enroll: w.enroll, Queue: queue, Now: w.clock.now, Log: log, PublicURL: front.URL}
	w.enroll.Handle()
	w.passes.Handle()
	w.traces = &trace.Service{DB: w.db, Passes: w.passes}
	door.Passes, door.Authorities = w.passes, w.auth
	w.group = ra.NewID[ra.GroupID](ra.GroupPrefix, w.clock.now())
	w.device = &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, w.clock.now()), GroupID: w.group, Platform: ra.Linux, PlatformID: "box-1", Name: "box", State: ra.DeviceEnrolled, Attributes: map[string]string{}}
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateGroup(&ra.Group{ID: w.group, Name: "Example"}); err != nil {
			return err
		}
		return tx.CreateDevice(w.device)
	})
	return w
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address)) })
}

var admin = ra.Actor{Kind: ra.ActorAdmin, ID: "adm_1", Name: "admin", Via: "test", Grants: []ra.Grant{{Role: ra.RoleOwner}}}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) show(id string) *trace.Trace {
	w.t.Helper()
	return must(w.traces.Show(w.t.Context(), admin, id))(w.t)
}

func (w *world) template(kind, settings string, spec ra.TemplateSpec) *ra.Template {
	w.t.Helper()
	name := "The " + kind
	a := must(w.auth.Create(w.t.Context(), admin, kind, authority.Input{GroupID: &w.group, Name: &name, Settings: []byte(settings)}))(w.t)
	return must(w.enroll.CreateTemplate(w.t.Context(), admin, enroll.TemplateInput{GroupID: &w.group, AuthorityID: &a.ID, Name: &name, Spec: &spec}))(w.t)
}

// enrolment is a device before a Microsoft NDES, through the proxy.
type enrolment struct {
	*world
	server *double.Server
	pass   *ra.Pass
	client *scepclient.Client
	shown  *scepclient.Server
	order  scepclient.Order
}

var deviceKey = sync.OnceValue(func() crypto.Signer {
	k, err := pkixmsg.GenerateKey(pkixmsg.RSA2048)
	if err != nil {
		panic(err)
	}
	return k
})

// begin starts a server and makes a pass for the device.
func begin(t *testing.T, cfg double.Config) *enrolment {
	t.Helper()
	e := &enrolment{world: newWorld(t, testpeer.SQLite(t))}
	cfg.Anonymous, cfg.Now = true, e.clock.now
	e.server = must(double.New(cfg))(t)
	if err := e.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.server.Close() })
	settings := `{"url": "` + e.server.SCEPURL() + `", "challenge_url": "` + e.server.AdminURL() + `", "login": "none"}`
	template := e.template("ndes", settings, ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}})
	e.pass = must(e.passes.Create(t.Context(), admin, pass.CreateInput{Template: template.ID, Device: e.device.ID, Model: ra.PassProxy, Life: 30 * time.Minute}))(t)
	return e
}

// look gives the device its parameters and has it ask for the CA.
func (e *enrolment) look() *enrolment {
	e.t.Helper()
	v := must(e.passes.Parameters(e.t.Context(), admin, e.pass.ID))(e.t)
	name := must(pkixmsg.ParseDN(v.Subject))(e.t)
	csr := must(pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, ChallengePassword: v.Challenge.Reveal(), Signer: deviceKey()}))(e.t)
	e.client = &scepclient.Client{URL: v.URL, HTTP: &http.Client{Timeout: time.Minute}, Now: e.clock.now}
	e.shown = must(e.client.Ask(e.t.Context()))(e.t)
	e.order = scepclient.Order{CSR: csr, Key: deviceKey()}
	return e
}

// send has the device send its message.
func (e *enrolment) send() (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := e.client.Enrol(ctx, e.shown, e.order)
	if err != nil {
		return nil, err
	}
	return out.Certificate, nil
}
