package posture_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/adpki"
	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	"chancery/internal/ca/embedded"
	"chancery/internal/directory"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
	"chancery/internal/ldapdir"
	"chancery/internal/posture"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/secdesc"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

const (
	password = "Pa55-of-svc"
	host     = "ca1.corp.example"
	year     = "\x00\x40\x39\x87\x2e\xe1\xfe\xff"
)

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is an organization with a Microsoft CA, played, and a real directory with
// templates of its own.
type world struct {
	*posture.Service
	t             *testing.T
	clock         *clock
	ca            *played.CA
	owner, viewer ra.Actor
	group         *ra.Group
	directory     *ra.Directory
	authority     *ra.Authority
	enroll        *enroll.Service
	*forest

	mu   sync.Mutex
	away bool              // neither the CA nor the directory answers
	web  map[string]string // where the ports of the host lead to
}

// forest is what all worlds have in the directory: everybody may enrol from Supply,
// the service account alone from Ours, and Archive wants the key.
type forest struct {
	samba                  *testpeer.Samba
	admins, users, account string // SIDs
}

const service = "svc-guard"

var grow struct {
	sync.Mutex
	forest *forest
}

// each runs a test on each database engine, beside one domain controller.
func each(t *testing.T, cfg played.Config, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address, cfg)) })
}

func newWorld(t *testing.T, address string, cfg played.Config) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, forest: theForest(t), web: map[string]string{},
		owner:  ra.Actor{Kind: ra.ActorAdmin, ID: "adm_owner", Name: "Olga Owner", Grants: []ra.Grant{{Role: ra.RoleOwner}}},
		viewer: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_viewer", Name: "Vera Viewer", Grants: []ra.Grant{{Role: ra.RoleViewer}}}}
	w.clock.ms.Store(time.Now().UnixMilli())
	if cfg.Accounts == nil {
		cfg.Accounts = []played.Account{{User: service, Password: password, Rights: played.Everybody | played.Officer, SID: w.account}}
	}
	cfg.Templates = []played.Template{{Name: "Supply"}, {Name: "Ours"}, {Name: "Archive"}}
	w.ca = played.Start(t, cfg)

	db := must(store.Open(t.Context(), address, w.clock.Now))(t)
	t.Cleanup(func() { db.Close() })
	db.Rehearse()
	box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	log := slog.New(slog.DiscardHandler)
	queue := must(job.Open(t.Context(), db, job.Options{Log: log}))(t)
	w.Service = &posture.Service{DB: db, Queue: queue, Now: w.clock.Now, Log: log, Dial: w.dial,
		Authorities: &authority.Service{DB: db, Box: box, Kinds: []ca.Kind{embedded.Kind(), adcs.Kind()}, Now: w.clock.Now, Log: log, Dial: w.dial, PublicURL: "http://pki.example.test"},
		Directories: &directory.Service{DB: db, Box: box, Queue: queue, Now: w.clock.Now, Log: log, Dial: w.dial}}
	w.Authorities.Guard = w.Step
	w.enroll = &enroll.Service{DB: db, Box: box, Authorities: w.Authorities, Queue: queue, Now: w.clock.Now, Log: log}
	w.Handle()
	inv := &inventory.Service{DB: db, Now: w.clock.Now, Log: log}
	w.group = must(inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{Name: ptr("Acme")}))(t)
	w.directory = must(w.Directories.Create(t.Context(), w.owner, directory.Input{GroupID: &w.group.ID, Name: ptr("Corp"),
		Settings: text(map[string]any{"servers": []string{w.samba.Host}, "roots": string(w.samba.CA), "user": service + "@corp.example", "password": password})}))(t)
	w.authority = w.define("Corp CA", map[string]any{"directory": w.directory.ID})
	return w
}

// define defines an authority that leads to the world's CA.
func (w *world) define(name string, more map[string]any) *ra.Authority {
	w.t.Helper()
	var chain []byte
	for _, c := range w.ca.Chain() {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	settings := map[string]any{"server": host, "authority_name": w.ca.Name(), "ca_certificates": string(chain), "login": "ntlm", "user": `CORP\` + service, "password": password, "timeout": "20s"}
	maps.Copy(settings, more)
	return must(w.Authorities.Create(w.t.Context(), w.owner, "adcs", authority.Input{GroupID: &w.group.ID, Name: &name, Settings: text(settings)}))(w.t)
}

// dial leads to the double, the controller and the web pages by their names.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	away, to := w.away, w.web[port]
	w.mu.Unlock()
	if name != host && !away {
		return w.samba.Dial(ctx, network, address)
	}
	switch {
	case port == "135":
		to = w.ca.MapperAddress()
	case to == "" && (port == "80" || port == "443"):
		to = "127.0.0.1:1" // nobody listens there
	case to == "":
		to = net.JoinHostPort("127.0.0.1", port)
	}
	if away && port != "80" && port != "443" {
		return nil, errors.New("no route")
	}
	return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, to)
}

// set changes how the network is.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// theForest plants it once.
func theForest(t *testing.T) *forest {
	t.Helper()
	grow.Lock()
	defer grow.Unlock()
	samba := testpeer.SharedSamba(t)
	if grow.forest != nil {
		f := *grow.forest
		f.samba = samba
		return &f
	}
	f := &forest{samba: samba}
	samba.AddUser(service, password)
	f.account = f.sid(t, service)
	domain := f.account[:strings.LastIndex(f.account, "-")]
	f.admins, f.users = domain+"-512", domain+"-513"
	f.template(t, "Supply", f.access(t, f.users, f.account))
	f.template(t, "Ours", f.access(t, f.account))
	f.template(t, "Archive", f.access(t), "msPKI-Private-Key-Flag", "1")
	samba.Add(f.pki("CN=CORP-CA,CN=Enrollment Services"), "objectClass", "pKIEnrollmentService", "displayName", "CORP-CA", "dNSHostName", host, "cACertificateDN", "CN=CORP-CA", "flags", "10",
		"nTSecurityDescriptor", f.access(t), "cACertificate", "not a certificate", "certificateTemplates", "Supply", "certificateTemplates", "Ours", "certificateTemplates", "Archive", "certificateTemplates", "Own")
	grow.forest = f
	return f
}

func (f *forest) pki(rdn string) string {
	return rdn + ",CN=Public Key Services,CN=Services,CN=Configuration," + f.samba.BaseDN
}

// sid asks the controller for a SID.
func (f *forest) sid(t *testing.T, name string) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(f.samba.CA)
	c := must(ldapdir.Open(t.Context(), ldapdir.Options{Servers: []string{f.samba.Host}, Roots: roots, User: "Administrator@corp.example", Password: secret.New(f.samba.Password), Dial: f.samba.Dial}))(t)
	defer c.Close()
	e := must(c.Read(t.Context(), f.samba.DN(name), "objectSid"))(t)
	return must(secdesc.ParseSID(e.Bytes("objectSid")))(t)
}

// access is an access list of administrators, and of those who may enrol.
func (f *forest) access(t *testing.T, enroll ...string) string {
	t.Helper()
	d := secdesc.Descriptor{Owner: f.admins, Group: f.admins, Control: secdesc.ControlProtected, Access: []secdesc.Entry{{Mask: 0xF01FF, SID: f.admins}, {Mask: 0x20094, SID: "S-1-5-11"}}}
	for _, sid := range enroll {
		d.Access = append(d.Access, secdesc.Entry{Kind: secdesc.AllowObject, Mask: 0x130, SID: sid, Object: adpki.RightEnroll})
	}
	return string(must(d.Append(nil))(t))
}

func (f *forest) templateDN(name string) string {
	return f.pki("CN=" + name + ",CN=Certificate Templates")
}

// template adds a template that takes names from the request and logs on.
func (f *forest) template(t *testing.T, name, access string, attributes ...string) {
	t.Helper()
	f.samba.Add(f.templateDN(name), append([]string{"objectClass", "pKICertificateTemplate", "displayName", name + " shown", "pKIExpirationPeriod", year,
		"revision", "100", "msPKI-Minimal-Key-Size", "2048", "msPKI-Template-Schema-Version", "2", "msPKI-Certificate-Name-Flag", "1",
		"pKIExtendedKeyUsage", adpki.PurposeClientAuth, "nTSecurityDescriptor", access}, attributes...)...)
}

// evaluate has the guard look now.
func (w *world) evaluate() *posture.View {
	w.t.Helper()
	return must(w.Evaluate(w.t.Context(), w.owner, w.authority.ID))(w.t)
}

// dangers lists those of a view, the open ones first marked with a star.
func dangers(v *posture.View) (list []string) {
	for _, d := range v.Dangers {
		mark := ""
		if d.Open() {
			mark = "*"
		}
		list = append(list, d.Finding.Condition+" "+d.Finding.Object+mark)
	}
	slices.Sort(list)
	return list
}

func (w *world) same(what string, got []string, want ...string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: %q\nwant %q", what, got, want)
	}
}

// input is a template that asks for one of the CA's.
func (w *world) input(name, issuing string) enroll.TemplateInput {
	spec := ra.TemplateSpec{Subject: "CN={EnrollmentUser}", KeyType: "rsa-2048", KeyPlace: ra.KeyHere, Validity: 90, IssuingTemplate: issuing}
	return enroll.TemplateInput{GroupID: &w.group.ID, AuthorityID: &w.authority.ID, Name: &name, Spec: &spec}
}

// waiting lists the dangers among the obligations.
func (w *world) waiting() (list []ra.ObligationRow) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		list = nil
		all, _, err := tx.FindObligations(store.ObligationFilter{Authority: w.authority.ID})
		for _, o := range all {
			if o.Kind == "danger" {
				list = append(list, o)
			}
		}
		return err
	})
	return list
}

// trail gives the codes of the audit log with a prefix, oldest first.
func (w *world) trail(prefix string) (codes []string) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		codes = nil
		all, _, err := tx.Audit(store.AuditFilter{Page: store.Page{Sort: "-", Limit: store.MaxPage}})
		for _, e := range all {
			if strings.HasPrefix(e.Code, prefix) {
				codes = append(codes, e.Code)
			}
		}
		return err
	})
	return codes
}

func (w *world) read(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Read(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
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

// refused checks that an error is of a kind, says what it should and how to go on.
func refused(t *testing.T, err error, kind ra.Kind, words ...string) {
	t.Helper()
	var e *ra.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Remedy == "" {
		t.Errorf("got %v, want %s with a remedy", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(e.Field+": "+e.Message+" "+e.Remedy, word) {
			t.Errorf("%q is not in %q %q", word, e.Message, e.Remedy)
		}
	}
}
