package console

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/audit"
	"chancery/internal/authority"
	caall "chancery/internal/ca/all"
	"chancery/internal/ca/scripted"
	"chancery/internal/caimport"
	"chancery/internal/directory"
	"chancery/internal/doctor"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/keydelivery"
	"chancery/internal/keyring"
	"chancery/internal/lifecycle"
	"chancery/internal/pass"
	"chancery/internal/posture"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/signin"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/trace"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// world is a console with all its parts on a database of its own, filled with
// two organizations. Its clock is moved by the tests that age things.
type world struct {
	t        testing.TB
	c        *Console
	site     *site
	url      string
	log      *lockedBuffer
	scripted *scripted.Authority
	owner    *ra.Admin
	ids      map[string]string // of the first organization, by noun
	foreign  ra.GroupID        // the second organization

	mu  sync.Mutex
	now time.Time
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) set(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// newWorld makes a console whose clock stands at the real time in the end.
func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, testpeer.SQLite(t))
}

// newWorldOn is newWorld on a database of the caller's.
func newWorldOn(t testing.TB, database string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, log: &lockedBuffer{}, ids: map[string]string{}, now: time.Now().UTC()}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	db, err := store.Open(ctx, database, w.clock)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	db.Rehearse()
	key := filepath.Join(t.TempDir(), "master.key")
	box, err := seal.Create(key)
	must(t, err)
	queue, err := job.Open(ctx, db, job.Options{Log: log})
	must(t, err)
	w.scripted, err = scripted.New(w.clock)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.url = fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	authorities := &authority.Service{DB: db, Box: box, Kinds: append(caall.Kinds(), w.scripted.Kind()), Now: w.clock, Log: log, PublicURL: w.url}
	enrolment := &enroll.Service{DB: db, Box: box, Authorities: authorities, Queue: queue, Now: w.clock, Log: log}
	life := &lifecycle.Service{DB: db, Box: box, Authorities: authorities, Enroll: enrolment, Queue: queue, Now: w.clock, Log: log}
	keys := &keyring.Service{DB: db, Box: box, Path: key, Node: "test", Queue: queue, Now: w.clock, Log: log}
	passes := &pass.Service{DB: db, Box: box, Authorities: authorities, Enroll: enrolment, Queue: queue, Now: w.clock, Log: log, PublicURL: w.url}
	imports := &caimport.Service{DB: db, Queue: queue, Authorities: authorities, Passes: passes, Now: w.clock, Log: log}
	enrolment.Handle()
	life.Handle()
	imports.Handle()
	keys.Handle()
	directories := &directory.Service{DB: db, Box: box, Queue: queue, Now: w.clock, Log: log, Dial: nowhere}
	w.c = &Console{Keys: &keydelivery.Service{DB: db, Box: box, Queue: queue, Directories: directories, Now: w.clock, Log: log, Dial: nowhere}, Directories: directories, Postures: &posture.Service{DB: db, Authorities: authorities, Directories: directories, Queue: queue, Now: w.clock, Log: log, Dial: nowhere}, Inventory: &inventory.Service{DB: db, Now: w.clock, Log: log}, Authorities: authorities, Enroll: enrolment, Lifecycle: life, Imports: imports, Passes: passes, Traces: &trace.Service{DB: db, Passes: passes},
		Signin: &signin.Service{DB: db, Now: w.clock, Log: log, PublicURL: w.url}, Audit: audit.Log{DB: db}, Keyring: keys, DB: db, Now: w.clock, Log: log, PublicURL: w.url, Version: "test",
		Doctor: &doctor.Service{DB: db, Authorities: authorities, Enroll: enrolment, Lifecycle: life, Audit: audit.Log{DB: db}, Now: w.clock, Log: log, MasterKey: key, Data: filepath.Dir(key)}}
	w.site = w.c.site()
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: w.site.handler}}
	server.Start()
	t.Cleanup(server.Close)
	w.owner, err = w.c.Signin.EnsureFirstOwner(ctx)
	must(t, err)
	return w
}

var system = ra.System("test")

// nowhere dials nobody.
func nowhere(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("nobody is there")
}

func p[T any](v T) *T { return &v }

// fill makes the two organizations with everything a page can be about.
func (w *world) fill() {
	w.t.Helper()
	ctx := context.Background()
	t, inv := w.t, w.c.Inventory
	org, err := inv.CreateGroup(ctx, system, inventory.GroupInput{Name: p("Example Works"), Organization: p("Example Works"), Country: p("SE"), Realm: p("CORP.EXAMPLE.COM"), EmailDomain: p("example.com")})
	must(t, err)
	site, err := inv.CreateGroup(ctx, system, inventory.GroupInput{ParentID: &org.ID, Name: p("Uppsala")})
	must(t, err)
	other, err := inv.CreateGroup(ctx, system, inventory.GroupInput{Name: p("Another Company"), Organization: p("Another Company"), Country: p("FI")})
	must(t, err)
	w.foreign = other.ID
	a, err := w.c.Authorities.Create(ctx, system, "embedded", authority.Input{GroupID: &org.ID, Name: p("Example issuing CA"), Description: p("For devices and people")})
	must(t, err)
	user, err := inv.CreateUser(ctx, system, inventory.UserInput{GroupID: &site.ID, Name: p("ada"), Email: p("ada@example.com"), UPN: p("ada@corp.example.com"), FirstName: p("Ada"), LastName: p("Lind"),
		DisplayName: p("Ada Lind"), SID: p("S-1-5-21-1004336348-1177238915-682003330-1104")})
	must(t, err)
	device, err := inv.CreateDevice(ctx, system, inventory.DeviceInput{GroupID: &site.ID, UserID: &user.ID, Platform: p(ra.Windows), PlatformID: p("7E1B6C1A-52D1-4B0E-9D2C-0A5C3F1E2D4B"), Name: p("ada-laptop"),
		SerialNumber: p("5CG1234ABC"), Model: p("EliteBook 840"), OSVersion: p("10.0.26100"), Ownership: p("C"), Attributes: map[string]string{"asset_number": "4711"}})
	must(t, err)
	onDevice := w.template(org.ID, a.ID, "Device authentication", ra.TemplateSpec{Subject: "CN={DeviceUid},O={Organization},C={Country}", SANs: []ra.SANSpec{{Type: "uri", Value: "urn:device:{DeviceSerialNumber}"}},
		KeyType: "rsa-2048", KeyTypes: []string{"p-256"}, KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 365, AutoRenew: true, RenewBefore: 30, RevokeOn: []string{"unenrolment"},
		Tests: []ra.TemplateTest{{Name: "a laptop", Values: map[string]string{"DeviceUid": "U1", "Organization": "O", "Country": "SE", "DeviceSerialNumber": "S1"}, Want: ra.TemplateWant{Subject: "CN=U1,O=O,C=SE", SANs: []string{"uri:urn:device:S1"}}}}})
	here := w.template(org.ID, a.ID, "User VPN", ra.TemplateSpec{Subject: "CN={EnrollmentUser},O={Organization},C={Country}", SANs: []ra.SANSpec{{Type: "email", Value: "{EmailAddress}"}, {Type: "upn", Value: "{UserPrincipalName}", Optional: true}},
		SID: true, KeyType: "p-256", KeyPlace: ra.KeyHere, Usage: "signing", EKUs: []string{"clientAuth", "smartcardLogon"}, Validity: 365, AutoRenew: true, RenewBefore: 30, RevokeReplaced: true, Grace: 72})
	mail := w.template(org.ID, a.ID, "Mail encryption", ra.TemplateSpec{Subject: "CN={DisplayName},O={Organization},C={Country}", SANs: []ra.SANSpec{{Type: "email", Value: "{EmailAddress}"}},
		KeyType: "rsa-2048", KeyPlace: ra.KeyHere, Usage: "encryption", EKUs: []string{"emailProtection"}, Validity: 730, Approvals: 1})
	endpoint, err := w.c.Enroll.CreateEndpoint(ctx, system, enroll.EndpointInput{TemplateID: &onDevice.ID, Name: p("devices")})
	must(t, err)
	challenge, _, err := w.c.Enroll.CreateChallenge(ctx, system, enroll.ChallengeInput{Endpoint: endpoint.ID, Device: device.ID})
	must(t, err)
	issued := w.submit(system, enroll.Ask{Template: here.ID, Device: device.ID})
	waiting := w.submit(system, enroll.Ask{Template: mail.ID, Device: device.ID})
	server, err := w.c.Authorities.Create(ctx, system, "scep", authority.Input{GroupID: &org.ID, Name: p("Network devices CA"), Settings: []byte(`{"url": "http://127.0.0.1:1/scep", "challenge_type": "static", "challenge": "of the server"}`)})
	must(t, err)
	network := w.template(org.ID, server.ID, "Network devices", ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice})
	made, err := w.c.Passes.Create(ctx, system, pass.CreateInput{Template: network.ID, Device: device.ID, Model: ra.PassProxy})
	must(t, err)
	w.ids["passes"], w.ids["traces"], w.ids["server"], w.ids["template-network"] = string(made.ID), string(waiting.ID), string(server.ID), string(network.ID)
	token, _, err := w.c.Signin.CreateToken(ctx, system, signin.TokenInput{Name: "pipeline", Grants: []ra.Grant{{Role: ra.RoleViewer, Group: org.ID}}})
	must(t, err)
	for noun, id := range map[string]string{"groups": string(org.ID), "site": string(site.ID), "users": string(user.ID), "devices": string(device.ID), "authorities": string(a.ID), "templates": string(here.ID),
		"template-device": string(onDevice.ID), "endpoints": string(endpoint.ID), "challenges": string(challenge.ID), "certificates": string(issued.CertificateID), "requests": string(waiting.ID),
		"tokens": string(token.ID), "administrators": string(w.owner.ID)} {
		w.ids[noun] = id
	}
	dir, err := w.c.Directories.Create(ctx, system, directory.Input{GroupID: &org.ID, Name: p("corp.example.com"), Settings: []byte(`{"servers": ["dc1.corp.example.com"], "user": "svc@corp.example.com", "password": "of the directory"}`)})
	must(t, err)
	w.ids["key-services"] = string(w.keyService(org.ID).ID)
	run, err := w.c.Directories.Sync(ctx, system, dir.ID, directory.Order{})
	must(t, err)
	must(t, w.c.Directories.WorkSync(ctx, directory.SyncJob{Directory: dir.ID})) // which leads nowhere
	w.ids["directories"], w.ids["syncs"] = string(dir.ID), string(run.ID)
	bulk, err := w.c.Lifecycle.RevokeAll(ctx, system, store.CertificateFilter{Device: ra.DeviceID(w.ids["devices"])}, ra.SupersededReason, "") // nobody works on it here
	must(t, err)
	w.ids["revocations"] = string(bulk.ID)
	w.fillGuard(org.ID, dir.ID)
	w.fillImport(org.ID)
}

func (w *world) template(group ra.GroupID, a ra.AuthorityID, name string, spec ra.TemplateSpec) *ra.Template {
	w.t.Helper()
	t, err := w.c.Enroll.CreateTemplate(context.Background(), system, enroll.TemplateInput{GroupID: &group, AuthorityID: &a, Name: &name, Spec: &spec})
	must(w.t, err)
	return t
}

func (w *world) submit(actor ra.Actor, ask enroll.Ask) *ra.Request {
	w.t.Helper()
	ask.Door, ask.Wait = "console", true
	r, err := w.c.Enroll.Submit(context.Background(), actor, ask)
	must(w.t, err)
	return r
}

// newCSR gives a PEM PKCS#10 with a fresh key.
func newCSR(t testing.TB, subject string) string {
	t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	must(t, err)
	name, err := pkixmsg.ParseDN(subject)
	must(t, err)
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key.(crypto.Signer)})
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// visitor is a browser without script.
type visitor struct {
	w      *world
	client *http.Client
}

// admin makes an administrator with grants.
func (w *world) admin(name string, grants ...ra.Grant) *ra.Admin {
	w.t.Helper()
	a, err := w.c.Signin.CreateAdmin(context.Background(), system, signin.AdminInput{Name: &name, Grants: &grants})
	must(w.t, err)
	return a
}

// visit signs an administrator in by a link, as people do.
func (w *world) visit(a *ra.Admin) *visitor {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	b := &visitor{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if a == nil {
		return b
	}
	text, err := w.c.Signin.CreateLink(context.Background(), system, a.ID, 0)
	must(w.t, err)
	page := b.get("/sign-in/link?t=" + url.QueryEscape(text.Reveal()))
	if page.status != http.StatusOK || !strings.Contains(page.body, `action="/sign-in/link"`) {
		w.t.Fatalf("link page: status %d\n%s", page.status, page.body)
	}
	if done := b.post("/sign-in/link", url.Values{"t": {text.Reveal()}}); done.status != http.StatusSeeOther {
		w.t.Fatalf("link used: status %d\n%s", done.status, done.body)
	}
	return b
}

// answer is what came back.
type answer struct {
	status int
	body   string
	header http.Header
	to     string // where a redirect leads
}

func (b *visitor) get(path string) answer {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.w.url+path, nil)
	must(b.w.t, err)
	return b.do(r)
}

func (b *visitor) post(path string, form url.Values) answer {
	b.w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.w.url+path, strings.NewReader(form.Encode()))
	must(b.w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

func (b *visitor) do(r *http.Request) answer {
	b.w.t.Helper()
	resp, err := b.client.Do(r)
	must(b.w.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(b.w.t, err)
	return answer{resp.StatusCode, string(body), resp.Header, resp.Header.Get("Location")}
}

// done expects a POST that worked, and gives the page it led to.
func (b *visitor) done(path string, form url.Values) answer {
	b.w.t.Helper()
	a := b.post(path, form)
	if a.status != http.StatusSeeOther {
		b.w.t.Fatalf("POST %s: status %d\n%s\nlog: %s", path, a.status, visible(a.body), b.w.log)
	}
	next := b.get(a.to)
	if next.status != http.StatusOK {
		b.w.t.Fatalf("GET %s: status %d\n%s", a.to, next.status, visible(next.body))
	}
	next.to = a.to
	return next
}
