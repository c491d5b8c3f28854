package scep_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
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
	"chancery/internal/ca/embedded"
	"chancery/internal/ca/scripted"
	"chancery/internal/door/pki"
	"chancery/internal/door/scep"
	"chancery/internal/enroll"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// must gives v, or ends the test.
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

// world is a server with the door, the services behind it, an organization and
// an embedded CA.
type world struct {
	t         testing.TB
	clock     *clock
	log       *logbook
	db        *store.DB
	enroll    *enroll.Service
	lifecycle *lifecycle.Service
	auth      *authority.Service
	door      *scep.Door
	url       string
	group     ra.GroupID
	authority *ra.Authority
	scripted  *scripted.Authority
	devices   int
}

// newWorld starts a server on an empty database. The issuing key has a type,
// the root one of its own.
func newWorld(t testing.TB, database, issuing string) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, clock: &clock{}, log: &logbook{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.db = must(store.Open(ctx, database, w.clock.now))(t)
	w.db.Rehearse()
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	queue := must(job.Open(ctx, w.db, job.Options{Log: log}))(t)
	w.scripted = must(scripted.New(w.clock.now))(t)

	mux := http.NewServeMux()
	door := &scep.Door{Patience: 2 * time.Second}
	server := httptest.NewServer(door.Wrap(mux))
	t.Cleanup(server.Close)
	w.url = server.URL
	w.auth = &authority.Service{DB: w.db, Box: box, Kinds: []ca.Kind{embedded.Kind(), w.scripted.Kind()}, Now: w.clock.now, Log: log, PublicURL: server.URL}
	w.enroll = &enroll.Service{DB: w.db, Box: box, Authorities: w.auth, Queue: queue, Now: w.clock.now, Log: log}
	w.lifecycle = &lifecycle.Service{DB: w.db, Box: box, Authorities: w.auth, Enroll: w.enroll, Queue: queue, Now: w.clock.now, Log: log}
	w.enroll.Handle()
	w.lifecycle.Handle()
	door.Enroll, door.Lifecycle, door.Authorities, door.DB, door.Now, door.Log = w.enroll, w.lifecycle, w.auth, w.db, w.clock.now, log
	door.Register(mux)
	(&pki.Door{Lifecycle: w.lifecycle, Log: log, Now: w.clock.now}).Register(mux)
	w.door = door

	w.group = ra.NewID[ra.GroupID](ra.GroupPrefix, w.clock.now())
	w.write(func(tx *store.Tx) error { return tx.CreateGroup(&ra.Group{ID: w.group, Name: "Example"}) })
	w.authority = w.newAuthority("embedded", fmt.Sprintf(`{"key_type": %q, "root_key_type": %q}`, issuing, issuing))
	return w
}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func person(name string) ra.Actor {
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + name, Name: name, Via: "test", Grants: []ra.Grant{{Role: ra.RoleOwner}}}
}

var admin = person("admin")

func (w *world) newAuthority(kind, settings string) *ra.Authority {
	w.t.Helper()
	name := kind + " authority"
	return must(w.auth.Create(w.t.Context(), admin, kind, authority.Input{GroupID: &w.group, Name: &name, Settings: []byte(settings)}))(w.t)
}

// template makes a template that names a device by its platform ID; change
// makes it another one.
func (w *world) template(change func(*ra.Template)) *ra.Template {
	w.t.Helper()
	w.devices++
	t := &ra.Template{AuthorityID: w.authority.ID, Name: fmt.Sprintf("Template %d", w.devices), Spec: ra.TemplateSpec{
		Subject: "CN={DeviceUid},O=Example", SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceUid}.example.org"}},
		KeyType: "rsa-2048", KeyTypes: []string{"p-256"}, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 90,
	}}
	if change != nil {
		change(t)
	}
	return must(w.enroll.CreateTemplate(w.t.Context(), admin, enroll.TemplateInput{GroupID: &w.group, AuthorityID: &t.AuthorityID, Name: &t.Name, Spec: &t.Spec}))(w.t)
}

type settings = map[string]any

// endpoint opens a SCEP address.
func (w *world) endpoint(name string, t *ra.Template, s settings) *ra.Endpoint {
	w.t.Helper()
	if s == nil {
		s = settings{}
	}
	raw := must(json.Marshal(s))(w.t)
	return must(w.enroll.CreateEndpoint(w.t.Context(), admin, enroll.EndpointInput{GroupID: &w.group, TemplateID: &t.ID, Name: &name, Settings: raw}))(w.t)
}

// device adds a device under a platform ID nobody has yet.
func (w *world) device() *ra.Device {
	w.t.Helper()
	w.devices++
	id := fmt.Sprintf("device-%d", w.devices)
	d := &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, w.clock.now()), GroupID: w.group, Platform: ra.Linux, PlatformID: id,
		Name: id, State: ra.DeviceEnrolled, Attributes: map[string]string{}}
	w.write(func(tx *store.Tx) error { return tx.CreateDevice(d) })
	return d
}

// challenge makes a challenge for a device.
func (w *world) challenge(e *ra.Endpoint, d *ra.Device) string {
	w.t.Helper()
	_, text, err := w.enroll.CreateChallenge(w.t.Context(), admin, enroll.ChallengeInput{Endpoint: e.ID, Device: d.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return text.Reveal()
}

func (w *world) requests(d *ra.Device) (list []*ra.Request) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		list, _, err = tx.FindRequests(store.RequestFilter{Device: d.ID})
		return err
	})
	return list
}

func (w *world) certificates(d *ra.Device) (list []*ra.Certificate) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		list, _, err = tx.FindCertificates(store.CertificateFilter{Device: d.ID})
		return err
	})
	return list
}

// row is the inventory's view of a certificate.
func (w *world) row(c *cms.Certificate) (row *ra.Certificate) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		row, err = tx.CertificateByFingerprint(authority.Hash(c.Raw))
		return err
	})
	return row
}

// refusals lists the refusals on record, newest first, as their details.
func (w *world) refusals() (list []map[string]any) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		entries, _, err := tx.Audit(store.AuditFilter{Code: "request.refused", Page: store.Page{Limit: 200}})
		for _, e := range entries {
			var d map[string]any
			if err := json.Unmarshal(e.Details, &d); err != nil {
				return err
			}
			d["actor"], d["remote"], d["related"] = e.Actor.Name, e.Actor.Remote, e.Related
			list = append(list, d)
		}
		return err
	})
	return list
}

// refusedFor wants the newest refusal on record to have a reason.
func (w *world) refusedFor(t testing.TB, reason string) {
	t.Helper()
	all := w.refusals()
	if len(all) == 0 {
		t.Error("no refusal is on record")
		return
	}
	if got := fmt.Sprint(all[0]["reason"]); !strings.Contains(got, reason) {
		t.Errorf("the record gives the reason %q, want %q", got, reason)
	}
	if all[0]["remedy"] == "" || all[0]["remote"] != "127.0.0.1" {
		t.Errorf("the record lacks a remedy or the address: %v", all[0])
	}
}

// decide approves or denies the newest request of a device and does the work
// that follows, as the queue would.
func (w *world) decide(d *ra.Device, approve bool) {
	w.t.Helper()
	r := w.requests(d)[0]
	must(w.enroll.Decide(w.t.Context(), person("approver"), r.ID, approve, ""))(w.t)
	if !approve {
		return
	}
	if err := w.enroll.Work(w.t.Context(), enroll.IssueJob{Request: r.ID}); err != nil {
		w.t.Fatal(err)
	}
}

// keys are RSA keys made once per test process.
var keys = make([]func() *rsa.PrivateKey, 6)

func init() {
	for i := range keys {
		keys[i] = sync.OnceValue(func() *rsa.PrivateKey {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			return key
		})
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}
