package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/audit"
	"chancery/internal/authority"
	caall "chancery/internal/ca/all"
	"chancery/internal/caimport"
	"chancery/internal/directory"
	"chancery/internal/doctor"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/keydelivery"
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

// world is a server with all its parts on a database of its own.
type world struct {
	t      *testing.T
	server *Server
	url    string
	log    *bytes.Buffer
	owner  string // an owner's token
}

func newWorld(t *testing.T, database string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, nil))
	db, err := store.Open(ctx, database, nil)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	db.Rehearse()
	key := filepath.Join(t.TempDir(), "master.key")
	box, err := seal.Create(key)
	must(t, err)
	queue, err := job.Open(ctx, db, job.Options{Log: log})
	must(t, err)
	authorities := &authority.Service{DB: db, Box: box, Kinds: caall.Kinds(), Now: time.Now, Log: log, PublicURL: "http://pki.example.test"}
	enrolment := &enroll.Service{DB: db, Box: box, Authorities: authorities, Queue: queue, Now: time.Now, Log: log}
	life := &lifecycle.Service{DB: db, Box: box, Authorities: authorities, Enroll: enrolment, Queue: queue, Now: time.Now, Log: log}
	passes := &pass.Service{DB: db, Box: box, Authorities: authorities, Enroll: enrolment, Queue: queue, Now: time.Now, Log: log, PublicURL: "http://pki.example.test"}
	imports := &caimport.Service{DB: db, Queue: queue, Authorities: authorities, Passes: passes, Now: time.Now, Log: log}
	enrolment.Handle()
	life.Handle()
	imports.Handle()
	directories := &directory.Service{DB: db, Box: box, Queue: queue, Now: time.Now, Log: log}
	w.server = &Server{Keys: &keydelivery.Service{DB: db, Box: box, Queue: queue, Now: time.Now, Log: log}, Directories: directories, Postures: &posture.Service{DB: db, Authorities: authorities, Directories: directories, Queue: queue, Now: time.Now, Log: log}, Inventory: &inventory.Service{DB: db, Now: time.Now, Log: log}, Authorities: authorities, Enroll: enrolment, Lifecycle: life,
		Imports: imports, Passes: passes, Traces: &trace.Service{DB: db, Passes: passes},
		Signin: &signin.Service{DB: db, Now: time.Now, Log: log, PublicURL: "http://console.example.test"}, Audit: audit.Log{DB: db}, DB: db, Now: time.Now,
		Doctor: &doctor.Service{DB: db, Authorities: authorities, Enroll: enrolment, Lifecycle: life, Audit: audit.Log{DB: db}, Now: time.Now, Log: log, MasterKey: key, Data: filepath.Dir(key)},
		Log:    log, Version: "test"}
	ts := httptest.NewServer(w.server.Handler())
	t.Cleanup(ts.Close)
	w.url = ts.URL
	w.owner = w.token("owner", ra.Grant{Role: ra.RoleOwner})
	return w
}

// token makes an API token with grants.
func (w *world) token(name string, grants ...ra.Grant) string {
	w.t.Helper()
	_, text, err := w.server.Signin.CreateToken(context.Background(), ra.System("test"), signin.TokenInput{Name: name, Grants: grants})
	must(w.t, err)
	return text.Reveal()
}

// send makes a call and gives status and body.
func (w *world) send(token, method, path string, in any, headers ...string) (int, []byte, http.Header) {
	w.t.Helper()
	var body io.Reader
	kind := "application/json"
	switch v := in.(type) {
	case nil:
	case string:
		body, kind = bytes.NewReader([]byte(v)), "text/csv"
	case []byte:
		body = bytes.NewReader(v)
	default:
		b, err := json.Marshal(v)
		must(w.t, err)
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, w.url+path, body)
	must(w.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if in != nil {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp.StatusCode, b, resp.Header
}

// do makes a call as the owner that must succeed with a status.
func (w *world) do(want int, method, path string, in, out any, headers ...string) http.Header {
	w.t.Helper()
	code, b, h := w.send(w.owner, method, prefix+path, in, headers...)
	if code != want {
		w.t.Fatalf("%s %s: status %d, want %d\n%s\nlog: %s", method, path, code, want, b, w.log)
	}
	if out != nil {
		reflect.ValueOf(out).Elem().SetZero() // what is left out must not stay from the call before
		must(w.t, json.Unmarshal(b, out))
	}
	return h
}

// refused makes a call that must fail, and gives the problem.
func (w *world) refused(token string, want int, method, path string, in any, headers ...string) resource.Problem {
	w.t.Helper()
	code, b, h := w.send(token, method, path, in, headers...)
	if code != want {
		w.t.Fatalf("%s %s: status %d, want %d\n%s\nlog: %s", method, path, code, want, b, w.log)
	}
	if got := h.Get("Content-Type"); got != problemType {
		w.t.Errorf("%s %s: content type %q, want %q", method, path, got, problemType)
	}
	var p resource.Problem
	must(w.t, json.Unmarshal(b, &p))
	if p.Status != want || p.Kind == "" || p.Message == "" || p.Remedy == "" || p.Title == "" {
		w.t.Errorf("%s %s: incomplete problem %s", method, path, b)
	}
	return p
}

// set is a group with one of everything in it.
type set struct {
	Group, User, Device, Authority, Template, KeyTemplate, ApprovalTemplate, Endpoint, Challenge, Request, Certificate, Waiting, Token, Admin, SCEPAuthority, SCEPTemplate, Pass, Directory, Sync, Guarded, Danger, KeyService, Import, Difference string
}

// serverChallenge is the static challenge of the SCEP server elsewhere.
const serverChallenge = "server-challenge-canary-1234"

// directoryPassword is that of the account at the directory.
const directoryPassword = "directory-canary-9012"

// keySecret is what messages to the key service are signed with.
const keySecret = "whsec_a2V5LXNlcnZpY2UtY2FuYXJ5LTEyMzQ1Njc4OTA="

// keyService gives the settings of a key service at which nobody answers.
func keyService(t *testing.T) map[string]any {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"url": "https://127.0.0.1:1/keys", "secret": keySecret, "recipient": resource.PEM("CERTIFICATE", der)}
}

// populate fills an organization group through the API.
func (w *world) populate(name string) set {
	w.t.Helper()
	var s set
	id := func(path string, in map[string]any) string {
		var out struct {
			ID string `json:"id"`
		}
		w.do(http.StatusCreated, post, path, in, &out)
		return out.ID
	}
	s.Group = id("/groups", map[string]any{"name": name})
	s.User = id("/users", map[string]any{"group_id": s.Group, "name": "ada", "email": "ada@" + name + ".example"})
	s.Device = id("/devices", map[string]any{"group_id": s.Group, "platform": "ios", "platform_id": "udid-" + name, "name": "phone", "user_id": s.User})
	s.Authority = id("/authorities", map[string]any{"kind": "embedded", "group_id": s.Group, "name": "CA " + name})
	spec := map[string]any{"subject": "CN={EnrollmentUser}", "key_type": "p-256", "ekus": []string{"1.3.6.1.5.5.7.3.2"}}
	s.Template = id("/templates", map[string]any{"group_id": s.Group, "authority_id": s.Authority, "name": "device " + name, "spec": spec})
	s.KeyTemplate = id("/templates", map[string]any{"group_id": s.Group, "authority_id": s.Authority, "name": "key " + name,
		"spec": map[string]any{"subject": "CN={EnrollmentUser}", "key_type": "p-256", "key_place": "server", "auto_renew": true}})
	s.ApprovalTemplate = id("/templates", map[string]any{"group_id": s.Group, "authority_id": s.Authority, "name": "approval " + name,
		"spec": map[string]any{"subject": "CN={EnrollmentUser}", "key_type": "p-256", "approvals": 1}})
	s.Endpoint = id("/endpoints", map[string]any{"group_id": s.Group, "template_id": s.Template, "name": "scep-" + name})
	s.Challenge = id("/challenges", map[string]any{"endpoint_id": s.Endpoint, "device_id": s.Device})
	var r resource.Request
	w.do(http.StatusCreated, post, "/requests", map[string]any{"template_id": s.KeyTemplate, "device_id": s.Device, "wait": true}, &r)
	if r.State != "issued" {
		w.t.Fatalf("the request is %s: %s %s\n%s", r.State, r.Reason, r.LastError, w.log)
	}
	s.Request, s.Certificate = r.ID, r.CertificateID
	w.do(http.StatusCreated, post, "/requests", map[string]any{"template_id": s.ApprovalTemplate, "device_id": s.Device, "csr": newCSR(w.t, "CN=ada")}, &r)
	s.Waiting = r.ID
	s.SCEPAuthority = id("/authorities", map[string]any{"kind": "scep", "group_id": s.Group, "name": "SCEP " + name, "settings": map[string]any{"url": "http://127.0.0.1:1/scep", "challenge_type": "static", "challenge": serverChallenge}})
	s.SCEPTemplate = id("/templates", map[string]any{"group_id": s.Group, "authority_id": s.SCEPAuthority, "name": "scep " + name, "spec": map[string]any{"subject": "CN={DeviceUid}", "key_type": "rsa-2048"}})
	s.Pass = id("/passes", map[string]any{"template_id": s.SCEPTemplate, "device_id": s.Device})
	s.Directory = id("/directories", map[string]any{"group_id": s.Group, "name": "directory of " + name,
		"settings": map[string]any{"servers": []string{"dc." + name + ".example"}, "user": "svc@" + name + ".example", "password": directoryPassword}})
	s.KeyService = id("/key-services", map[string]any{"group_id": s.Group, "name": "key service of " + name, "settings": keyService(w.t)})
	var run resource.Sync
	w.do(http.StatusAccepted, post, "/directories/"+s.Directory+"/syncs", map[string]any{"preview": true}, &run) // nobody works on it here
	s.Sync = run.ID
	s.Guarded = id("/authorities", map[string]any{"kind": "adcs", "group_id": s.Group, "name": "Corp CA of " + name,
		"settings": map[string]any{"server": "ca." + name + ".example", "authority_name": "CA", "user": `CORP\svc`, "password": directoryPassword, "directory": s.Directory}})
	s.Danger = w.danger(ra.AuthorityID(s.Guarded), name)
	w.do(http.StatusOK, put, "/authorities/"+s.Guarded+"/import", map[string]any{"group_id": s.Group}, nil)
	var in resource.CAImportRun
	w.do(http.StatusAccepted, post, "/authorities/"+s.Guarded+"/imports", map[string]any{"preview": true}, &in) // nobody works on it here
	s.Import, s.Difference = in.ID, w.difference(s, ra.DiffNotOurs, "CN=ada")
	grants := []map[string]any{{"role": "viewer", "group": s.Group}}
	s.Token = id("/tokens", map[string]any{"name": "reader of " + name, "grants": grants})
	s.Admin = id("/admins", map[string]any{"name": "viewer-" + name, "grants": grants})
	return s
}

func newCSR(t *testing.T, dn string) string {
	t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	must(t, err)
	return csrOf(t, dn, key)
}

func csrOf(t *testing.T, dn string, key crypto.Signer) string {
	t.Helper()
	name, err := pkixmsg.ParseDN(dn)
	must(t, err)
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, Signer: key})
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each runs a test on both engines.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(t, newWorld(t, address)) })
}

func sqlite(t *testing.T) *world {
	return newWorld(t, testpeer.SQLite(t))
}

// lockedWriter lets the log be read while the server writes.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
