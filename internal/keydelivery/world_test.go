package keydelivery_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
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
	"chancery/internal/directory"
	"chancery/internal/egress"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/keydelivery"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is an organization that issues certificates with keys made here.
type world struct {
	*keydelivery.Service
	t         *testing.T
	clock     *clock
	log       *strings.Builder
	owner     ra.Actor
	viewer    ra.Actor
	group     *ra.Group
	below     *ra.Group
	other     *ra.Group
	user      *ra.User
	authority *ra.Authority
	outer     *ra.Authority // makes keys, too
	inv       *inventory.Service
	enroll    *enroll.Service
	lifecycle *lifecycle.Service
}

// each runs a test on each database engine.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address)) })
}

func newWorld(t *testing.T, address string) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, log: &strings.Builder{}, owner: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_owner", Name: "owner", Grants: []ra.Grant{{Role: ra.RoleOwner}}},
		viewer: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_viewer", Name: "viewer", Grants: []ra.Grant{{Role: ra.RoleViewer}}}}
	w.clock.ms.Store(time.Now().UnixMilli())
	db := must(store.Open(t.Context(), address, w.clock.Now))(t)
	t.Cleanup(func() { db.Close() })
	db.Rehearse()
	box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	queue := must(job.Open(t.Context(), db, job.Options{Log: slog.New(slog.DiscardHandler)}))(t)
	directories := &directory.Service{DB: db, Box: box, Queue: queue, Now: w.clock.Now, Log: log}
	t.Cleanup(directories.Close)
	w.Service = &keydelivery.Service{DB: db, Box: box, Queue: queue, Directories: directories, Now: w.clock.Now, Log: log, Dial: loopback(t)}
	script := must(scripted.New(w.clock.Now))(t)
	authorities := &authority.Service{DB: db, Box: box, Kinds: []ca.Kind{embedded.Kind(), script.Kind()}, Now: w.clock.Now, Log: log, PublicURL: "http://pki.example.test"}
	w.enroll = &enroll.Service{DB: db, Box: box, Authorities: authorities, Queue: queue, Now: w.clock.Now, Log: log, Directories: directories}
	w.lifecycle = &lifecycle.Service{DB: db, Box: box, Authorities: authorities, Enroll: w.enroll, Queue: queue, Now: w.clock.Now, Log: log}
	w.inv = &inventory.Service{DB: db, Now: w.clock.Now, Log: log}
	group := func(name string, parent *ra.GroupID) *ra.Group {
		return must(w.inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{Name: &name, ParentID: parent}))(t)
	}
	w.group, w.other = group("Acme", nil), group("Other", nil)
	w.below = group("Sales", &w.group.ID)
	w.user = must(w.inv.CreateUser(t.Context(), w.owner, inventory.UserInput{GroupID: &w.group.ID, Name: ptr("ann"), Email: ptr("ann@acme.example")}))(t)
	w.authority = must(authorities.Create(t.Context(), w.owner, "embedded", authority.Input{GroupID: &w.group.ID, Name: ptr("CA"), Settings: []byte(`{}`)}))(t)
	w.outer = must(authorities.Create(t.Context(), w.owner, "scripted", authority.Input{GroupID: &w.group.ID, Name: ptr("Outer CA"), Settings: []byte(scripted.SettingsJSON)}))(t)
	return w
}

// loopback dials this machine only.
func loopback(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return must(egress.Parse([]string{"127.0.0.0/8"}))(t).Dial
}

func spec(publish ra.PublishSpec) *ra.TemplateSpec {
	return &ra.TemplateSpec{Subject: "CN={EnrollmentUser}", KeyType: "p-256", KeyPlace: ra.KeyHere, Usage: "both", EKUs: []string{"emailProtection"}, Validity: 90, AutoRenew: true, RenewBefore: 30, Publish: publish}
}

func (w *world) template(publish ra.PublishSpec) *ra.Template {
	w.t.Helper()
	name := "Mail " + rand.Text()
	return must(w.enroll.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.group.ID, AuthorityID: &w.authority.ID, Name: &name, Spec: spec(publish)}))(w.t)
}

// issue asks for a certificate of a user.
func (w *world) issue(t *ra.Template, user ra.UserID) *ra.Certificate {
	w.t.Helper()
	r := must(w.enroll.Submit(w.t.Context(), w.owner, enroll.Ask{Template: t.ID, User: user, Door: "api", Wait: true}))(w.t)
	return w.certificate(r.CertificateID)
}

func (w *world) renew(id ra.CertificateID) *ra.Certificate {
	w.t.Helper()
	return w.certificate(must(w.lifecycle.Renew(w.t.Context(), w.owner, id, true))(w.t).CertificateID)
}

func (w *world) revoke(id ra.CertificateID, reason ra.RevocationReason) {
	w.t.Helper()
	must(w.lifecycle.Revoke(w.t.Context(), w.owner, id, reason, ""))(w.t)
}

func (w *world) certificate(id ra.CertificateID) (c *ra.Certificate) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		c, err = tx.Certificate(id)
		return err
	})
	return c
}

func (w *world) read(do func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Read(w.t.Context(), do); err != nil {
		w.t.Fatal(err)
	}
}

// work does what is due of a receiver.
func (w *world) work(to store.KeyReceiver) {
	w.t.Helper()
	if err := w.Work(w.t.Context(), keydelivery.DeliverJob{KeyReceiver: to}); err != nil {
		w.t.Fatal(err)
	}
}

// cut does what is due and stops it before a step.
func (w *world) cut(label string, to store.KeyReceiver) {
	w.t.Helper()
	w.Step = func(l string) {
		if l == label {
			panic(label)
		}
	}
	defer func() {
		if w.Step = nil; recover() != label {
			w.t.Errorf("%s is no step of this delivery", label)
		}
	}()
	w.Work(w.t.Context(), keydelivery.DeliverJob{KeyReceiver: to})
}

// stands checks how far the key of a certificate is delivered, and that a sealed
// copy is here exactly as long as it waits.
func (w *world) stands(c *ra.Certificate, delivered bool, action ra.Action) *ra.KeyDelivery {
	w.t.Helper()
	d := must(w.Delivery(w.t.Context(), w.viewer, c.ID))(w.t)
	if d.Delivered != delivered || d.Action != action {
		w.t.Errorf("the delivery: %+v; want delivered %v, then %q", d, delivered, action)
	}
	w.read(func(tx *store.Tx) error {
		boxes, err := tx.Sealed(string(d.ID))
		if (len(boxes) == 1) != (action == ra.ActionHandOver) {
			w.t.Errorf("%d sealed copies of a key that is %q", len(boxes), action)
		}
		return err
	})
	return d
}

// trail gives the entries of the audit log whose codes have a prefix, oldest
// first.
func (w *world) trail(prefix string) (list []*ra.AuditEntry) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		list = nil
		all, _, err := tx.Audit(store.AuditFilter{Page: store.Page{Sort: "-", Limit: store.MaxPage}})
		for _, e := range all {
			if strings.HasPrefix(e.Code, prefix) {
				list = append(list, e)
			}
		}
		return err
	})
	return list
}

// receiver is a web service that takes keys, with the key of its certificate.
type keyReceiver struct {
	*httptest.Server
	t      *testing.T
	roots  string // PEM
	cert   string // PEM
	key    string // PEM
	mu     sync.Mutex
	got    []arrived
	status int
	header http.Header
}

type arrived struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T, key crypto.Signer) *keyReceiver {
	t.Helper()
	r := &keyReceiver{t: t, status: http.StatusNoContent}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	r.StartTLS()
	t.Cleanup(r.Close)
	r.roots = certPEM(r.Certificate().Raw)
	r.cert, r.key = recipient(t, key, time.Now().AddDate(1, 0, 0))
	return r
}

// recipient gives a certificate for key that keys are encrypted for, and the
// key.
func recipient(t *testing.T, key crypto.Signer, until time.Time) (certificate, keyText string) {
	t.Helper()
	usage := x509.KeyUsageKeyEncipherment
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		usage = x509.KeyUsageKeyAgreement
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "keys"}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: until, KeyUsage: usage}
	der := must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))(t)
	return certPEM(der), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)}))
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (r *keyReceiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil || q.Method != http.MethodPost || q.URL.Path != "/keys" || q.Header.Get("content-type") != "application/json" {
		r.t.Errorf("%s %s with %s: %v", q.Method, q.URL, q.Header.Get("content-type"), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, arrived{q.Header, body})
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(r.status)
}

// answer says what is answered from now on.
func (r *keyReceiver) answer(status int, header http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.header = status, header
}

// take gives what has arrived since the last time.
func (r *keyReceiver) take() []arrived {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// settings are those of a key service at the receiver.
func (r *keyReceiver) settings(more map[string]any) []byte {
	all := map[string]any{"url": r.URL + "/keys", "recipient": r.cert, "secret": firstSecret, "roots": r.roots}
	for k, v := range more {
		all[k] = v
	}
	return must(json.Marshal(all))(r.t)
}

const (
	firstSecret  = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	secondSecret = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

func (w *world) define(settings []byte) *ra.KeyService {
	w.t.Helper()
	name := "Gateway " + rand.Text()
	return must(w.Create(w.t.Context(), w.owner, keydelivery.Input{GroupID: &w.group.ID, Name: &name, Settings: settings}))(w.t)
}

func (w *world) update(id ra.KeyServiceID, in keydelivery.Input) {
	w.t.Helper()
	must(w.Update(w.t.Context(), w.owner, id, in))(w.t)
}

func ecKey(t *testing.T) crypto.Signer {
	return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
}
func rsaKey(t *testing.T) crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048))(t) }

func ptr[T any](v T) *T { return &v }

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused checks that an error is of a kind, and that it says words.
func refused(t *testing.T, err error, kind ra.Kind, words string) {
	t.Helper()
	if e := ra.AsError(err); ra.KindOf(err) != kind || err != nil && !strings.Contains(say(e), words) {
		t.Errorf("got %v, want %s ...%s...", err, kind, words)
	}
}

// say gives all that an error tells people.
func say(e *ra.Error) string {
	text := e.Field + " " + e.Message + " " + e.Remedy
	for _, d := range e.Details {
		text += " " + say(d)
	}
	return text
}

func edKey(t *testing.T) crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)(t)
}
