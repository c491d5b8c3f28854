package doctor

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ca/scripted"
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

// world is a sound installation with two organizations, of which each test
// breaks something.
type world struct {
	*Service
	t      *testing.T
	ms     atomic.Int64
	log    bytes.Buffer
	script *scripted.Authority
	inv    *inventory.Service

	owner              ra.Actor
	acme, other        *ra.Group
	inner, outer, away *ra.Authority // of acme, of acme, of the other
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func (w *world) now() time.Time          { return time.UnixMilli(w.ms.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.ms.Add(d.Milliseconds()) }

func each(t *testing.T, test func(t *testing.T, w *world)) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(t, newWorld(t, address)) })
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWorld(t *testing.T, address string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, owner: actor("owner", ra.RoleOwner, nil)}
	w.ms.Store(start.UnixMilli())
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	db := must(store.Open(ctx, address, w.now))(t)
	t.Cleanup(func() { db.Close() })
	key := filepath.Join(t.TempDir(), "master.key")
	box := must(seal.Create(key))(t)
	queue := must(job.Open(ctx, db, job.Options{Log: slog.New(slog.DiscardHandler)}))(t)
	w.script = must(scripted.New(w.now))(t)
	authorities := &authority.Service{DB: db, Box: box, Kinds: []ca.Kind{embedded.Kind(), w.script.Kind(), muteKind(w.script.Kind())}, Now: w.now, Log: log, PublicURL: "http://pki.example.test"}
	enrolment := &enroll.Service{DB: db, Box: box, Authorities: authorities, Queue: queue, Now: w.now, Log: log}
	life := &lifecycle.Service{DB: db, Box: box, Authorities: authorities, Enroll: enrolment, Queue: queue, Now: w.now, Log: log}
	enrolment.Handle()
	life.Handle()
	w.Service = &Service{DB: db, Authorities: authorities, Enroll: enrolment, Lifecycle: life, Audit: audit.Log{DB: db}, Now: w.now, Log: log,
		MasterKey: key, Data: filepath.Dir(key)}
	w.inv = &inventory.Service{DB: db, Now: w.now, Log: log}
	w.acme, w.other = w.group("Acme"), w.group("Other")
	w.inner = w.authority("embedded", "Inner CA", `{}`, w.acme)
	w.outer = w.authority("scripted", "Outer CA", scripted.SettingsJSON, w.acme)
	w.away = w.authority("embedded", "Away CA", `{}`, w.other)
	return w
}

func actor(name string, role ra.Role, group *ra.Group) ra.Actor {
	g := ra.Grant{Role: role}
	if group != nil {
		g.Group, g.Path = group.ID, group.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + name, Name: name, Via: "api", Grants: []ra.Grant{g}}
}

// muteKind is a kind of authority whose test gets no answer.
func muteKind(k ca.Kind) ca.Kind {
	made := k.New
	k.ID, k.New = "mute", func() ca.Settings { return &mute{made()} }
	return k
}

type mute struct{ ca.Settings }

func (m *mute) Connect(ctx context.Context, env ca.Env) (ca.Connector, error) {
	c, err := m.Settings.Connect(ctx, env)
	return muteConnector{c}, err
}

type muteConnector struct{ ca.Connector }

func (muteConnector) Check(ctx context.Context, report func(ca.Step)) {
	report(ca.Step{Name: "Line", State: ca.StepOK})
	<-ctx.Done()
}

func (w *world) group(name string) *ra.Group {
	none := ra.GroupID("")
	return must(w.inv.CreateGroup(context.Background(), w.owner, inventory.GroupInput{ParentID: &none, Name: &name}))(w.t)
}

func (w *world) authority(kind, name, settings string, group *ra.Group) *ra.Authority {
	return must(w.Authorities.Create(context.Background(), w.owner, kind, authority.Input{GroupID: &group.ID, Name: &name, Settings: []byte(settings)}))(w.t)
}

func (w *world) template(a *ra.Authority, spec ra.TemplateSpec) *ra.Template {
	name := "for " + a.Name
	return must(w.Enroll.CreateTemplate(context.Background(), w.owner, enroll.TemplateInput{GroupID: &a.GroupID, AuthorityID: &a.ID, Name: &name, Spec: &spec}))(w.t)
}

var spec = ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", EKUs: []string{"clientAuth"}, Validity: 90, AutoRenew: true, RenewBefore: 30}

// issue has a certificate issued to a new device.
func (w *world) issue(a *ra.Authority) *ra.Request {
	w.t.Helper()
	ctx := context.Background()
	platform, id := ra.IOS, "UDID-"+a.Name
	device := must(w.inv.CreateDevice(ctx, w.owner, inventory.DeviceInput{GroupID: &a.GroupID, Platform: &platform, PlatformID: &id, Name: &id}))(w.t)
	csr := must(pkixmsg.BuildCSR(pkixmsg.CSRRequest{Signer: must(pkixmsg.GenerateKey(pkixmsg.P256))(w.t)}))(w.t)
	return must(w.Enroll.Submit(ctx, w.owner, enroll.Ask{Template: w.template(a, spec).ID, Device: device.ID, CSR: csr, Wait: true}))(w.t)
}

// execute changes the database behind the program's back.
func (w *world) execute(statement string) {
	w.t.Helper()
	if _, err := w.DB.Pool().ExecContext(context.Background(), statement); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) examine() []Finding {
	w.t.Helper()
	return must(w.Examine(context.Background(), w.owner))(w.t)
}

func (w *world) glance(a ra.Actor) []Finding {
	w.t.Helper()
	return must(w.Glance(context.Background(), a))(w.t)
}

// want asks for a finding of a name and state whose detail has a part, and
// which says what to do when something is wrong.
func want(t *testing.T, found []Finding, name string, state ca.StepState, part string) Finding {
	t.Helper()
	for _, f := range found {
		if f.Name == name && f.State == state && strings.Contains(f.Detail, part) {
			if (f.State == ca.StepFailed || f.State == ca.StepWarning) && f.Remedy == "" {
				t.Errorf("%s has no remedy: %+v", name, f)
			}
			return f
		}
	}
	t.Errorf("no finding %q is %s with %q among\n%s", name, state, part, text(found))
	return Finding{}
}

func text(found []Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "  %+v\n", f)
	}
	return b.String()
}

func has(found []Finding, name string) bool {
	for _, f := range found {
		if f.Name == name {
			return true
		}
	}
	return false
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
