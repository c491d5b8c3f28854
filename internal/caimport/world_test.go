package caimport_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/caimport"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/lifecycle"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ptr[T any](v T) *T { return &v }

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is two organizations, of which one has a CA that shows its records.
type world struct {
	*caimport.Service
	t         testing.TB
	clock     *clock
	script    *scripted.Authority
	book      *scripted.Book
	enroll    *enroll.Service
	lifecycle *lifecycle.Service
	inv       *inventory.Service

	owner, manager, stranger ra.Actor // of all, of the unit, of the other organization
	acme, unit, other        *ra.Group
	authority, bare          *ra.Authority
	key                      crypto.PublicKey
}

// each runs a test on each database engine.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address, true)) })
}

// alone runs a test on SQLite, where nothing depends on the engine.
func alone(t *testing.T, test func(w *world)) {
	t.Helper()
	test(newWorld(t, "sqlite:"+t.TempDir()+"/db", true))
}

// newWorld makes a world on a database. Rehearsed, every write runs twice.
func newWorld(t testing.TB, address string, rehearsed bool) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, owner: actor("owner", ra.RoleOwner, nil)}
	w.clock.ms.Store(time.Now().UnixMilli())
	db := must(store.Open(t.Context(), address, w.clock.Now))(t)
	t.Cleanup(func() { db.Close() })
	if rehearsed {
		db.Rehearse()
	}
	box := must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t)
	log := slog.New(slog.DiscardHandler)
	w.script = must(scripted.New(w.clock.Now))(t)
	w.book = w.script.Book()
	w.Service = w.node(db, box, log)
	w.enroll = w.Passes.Enroll
	w.lifecycle = &lifecycle.Service{DB: db, Box: box, Authorities: w.Authorities, Enroll: w.enroll, Queue: w.Queue, Now: w.clock.Now, Log: log}
	w.inv = &inventory.Service{DB: db, Now: w.clock.Now, Log: log}
	w.acme = w.group("Acme", "")
	w.unit = w.group("Unit", w.acme.ID)
	w.other = w.group("Other", "")
	w.manager, w.stranger = actor("manager", ra.RoleOwner, w.unit), actor("stranger", ra.RoleOwner, w.other)
	w.authority, w.bare = w.define("Corp CA", "scripted-listing"), w.define("Plain CA", "scripted-bare")
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	w.key = key.Public()
	return w
}

// node is the service on a database, as a process that starts has it.
func (w *world) node(db *store.DB, box *seal.Box, log *slog.Logger) *caimport.Service {
	queue := must(job.Open(w.t.Context(), db, job.Options{Log: log}))(w.t)
	authorities := &authority.Service{DB: db, Box: box, Kinds: []ca.Kind{w.script.ListingKind(), w.script.BareKind(), w.script.Kind()}, Now: w.clock.Now, Log: log}
	enrol := &enroll.Service{DB: db, Box: box, Authorities: authorities, Queue: queue, Now: w.clock.Now, Log: log}
	s := &caimport.Service{DB: db, Queue: queue, Authorities: authorities, Now: w.clock.Now, Log: log,
		Passes: &pass.Service{DB: db, Box: box, Authorities: authorities, Enroll: enrol, Queue: queue, Now: w.clock.Now, Log: log, PublicURL: "https://pki.example.test"}}
	s.Handle()
	return s
}

func actor(name string, role ra.Role, in *ra.Group) ra.Actor {
	g := ra.Grant{Role: role}
	if in != nil {
		g.Group, g.Path = in.ID, in.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + name, Name: name, Grants: []ra.Grant{g}}
}

func (w *world) group(name string, parent ra.GroupID) *ra.Group {
	w.t.Helper()
	in := inventory.GroupInput{Name: &name}
	if parent != "" {
		in.ParentID = &parent
	}
	return must(w.inv.CreateGroup(w.t.Context(), w.owner, in))(w.t)
}

func (w *world) define(name, kind string) *ra.Authority {
	w.t.Helper()
	return must(w.Authorities.Create(w.t.Context(), w.owner, kind, authority.Input{GroupID: &w.acme.ID, Name: &name, Settings: []byte(scripted.SettingsJSON)}))(w.t)
}

// template defines a template of the authority for keys from the device.
func (w *world) template(name string, change func(*ra.TemplateSpec)) *ra.Template {
	w.t.Helper()
	spec := ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", KeyPlace: ra.KeyOnDevice, Usage: "signing", EKUs: []string{"1.3.6.1.5.5.7.3.2"}, AutoRenew: true, RenewBefore: 40,
		Options: map[string]any{"profile": "device"}}
	if change != nil {
		change(&spec)
	}
	return must(w.enroll.CreateTemplate(w.t.Context(), w.owner, enroll.TemplateInput{GroupID: &w.acme.ID, AuthorityID: &w.authority.ID, Name: &name, Spec: &spec}))(w.t)
}

// setUp sets the import of the authority up.
func (w *world) setUp(change func(*caimport.Input)) *ra.CAImport {
	w.t.Helper()
	in := caimport.Input{GroupID: &w.acme.ID}
	if change != nil {
		change(&in)
	}
	return must(w.Set(w.t.Context(), w.owner, w.authority.ID, in))(w.t)
}

// imported orders a run and has it done.
func (w *world) imported(o caimport.Order) *ra.CAImportRun {
	w.t.Helper()
	run := must(w.Import(w.t.Context(), w.owner, w.authority.ID, o))(w.t)
	w.work()
	run = must(w.Run(w.t.Context(), w.owner, run.ID))(w.t)
	if run.State != ra.ImportDone {
		w.t.Fatalf("the run ended %s: %s %s", run.State, run.Message, run.Remedy)
	}
	if run.Read != run.Known+run.Added+run.Skipped {
		w.t.Errorf("%d read, and %d known, %d added, %d skipped", run.Read, run.Known, run.Added, run.Skipped)
	}
	return run
}

func (w *world) work() {
	w.t.Helper()
	if err := w.Work(w.t.Context(), caimport.RunJob{Authority: w.authority.ID}); err != nil {
		w.t.Fatal(err)
	}
}

// cert makes a certificate of the CA for a subject and its names.
func (w *world) cert(cn string, change func(*x509.Certificate)) []byte {
	w.t.Helper()
	c := x509.Certificate{Subject: pkix.Name{CommonName: cn}, KeyUsage: x509.KeyUsageDigitalSignature}
	if change != nil {
		change(&c)
	}
	return must(w.script.Certify(c, w.key))(w.t)
}

// names adds alternative names.
func names(t testing.TB, names ...pkixmsg.GeneralName) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, extension(t, names...)) }
}

func extension(t testing.TB, names ...pkixmsg.GeneralName) (out pkix.Extension) {
	e := must(pkixmsg.SubjectAltName(nil, names))(t)
	return plain(t, e)
}

func plain(t testing.TB, e pkixmsg.Extension) (out pkix.Extension) {
	if _, err := asn1.Unmarshal(must(e.DER())(t), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// row gives what the inventory has of a certificate.
func (w *world) row(der []byte) *ra.Certificate {
	w.t.Helper()
	var c *ra.Certificate
	w.read(func(tx *store.Tx) (err error) {
		c, err = tx.CertificateByFingerprint(authority.Hash(der))
		return err
	})
	return c
}

// count counts the certificates in the inventory.
func (w *world) count() (n int64) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		list, err := tx.CountCertificates(store.CertificateFilter{})
		n = 0
		for _, c := range list {
			n += c.N
		}
		return err
	})
	return n
}

func (w *world) read(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Read(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) device(name, uid string, group *ra.Group, user ra.UserID) *ra.Device {
	w.t.Helper()
	d := &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, w.clock.Now()), GroupID: group.ID, UserID: user, Platform: ra.Windows, Name: name, PlatformID: uid, SerialNumber: "SN-" + uid, State: ra.DeviceEnrolled}
	w.write(func(tx *store.Tx) error { return tx.CreateDevice(d) })
	return d
}

func (w *world) user(name, upn, sid string, group *ra.Group) *ra.User {
	w.t.Helper()
	u := &ra.User{ID: ra.NewID[ra.UserID](ra.UserPrefix, w.clock.Now()), GroupID: group.ID, Name: name, UPN: upn, SID: sid, Email: upn, DisplayName: name + " Doe", Attributes: map[string]string{}}
	w.write(func(tx *store.Tx) error { return tx.CreateUser(u) })
	return u
}

// open lists the open differences by kind and subject.
func (w *world) open() (list []string) {
	w.t.Helper()
	found, _, err := w.Differences(context.Background(), w.owner, store.DifferenceFilter{Open: ptr(true), Page: store.Page{Sort: "created"}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range found {
		list = append(list, string(d.Kind)+" "+d.Subject)
	}
	return list
}

func (w *world) same(what string, got, want any) {
	w.t.Helper()
	if !reflect.DeepEqual(got, want) {
		w.t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func (w *world) kind(what string, err error, want ra.Kind) {
	w.t.Helper()
	if got := ra.KindOf(err); got != want {
		w.t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}

// told gives the codes and results of the audit log's entries of a code.
func (w *world) told(code string) (list []string) {
	w.t.Helper()
	w.read(func(tx *store.Tx) error {
		entries, _, err := tx.Audit(store.AuditFilter{Code: code, Page: store.Page{Limit: store.MaxPage}})
		list = nil
		for _, e := range entries {
			list = append(list, e.Message)
		}
		return err
	})
	return list
}

// signer is a key of a device.
type signer = crypto.Signer

func newKey(t testing.TB) signer {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

// csr is a request for a certificate that says nothing.
func csr(t testing.TB, k signer) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k))(t)
}

func pkixName(cn string) pkix.Name { return pkix.Name{CommonName: cn} }

// templateInput is a template of an authority, in a group other than Acme if one is
// named.
func templateInput(w *world, id ra.AuthorityID, in ...ra.GroupID) enroll.TemplateInput {
	group, name := append(in, w.acme.ID)[0], fmt.Sprint("Template of ", id, in)
	spec := ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "p-256", KeyPlace: ra.KeyOnDevice, Usage: "signing"}
	if id == w.authority.ID {
		spec.Options = map[string]any{"profile": "device"}
	}
	return enroll.TemplateInput{GroupID: &group, AuthorityID: &id, Name: &name, Spec: &spec}
}

func disabled(yes bool) authority.Input { return authority.Input{Disabled: &yes} }

// root is what the CA signs with.
func (w *world) root() *x509.Certificate {
	w.t.Helper()
	o := must(w.Authorities.Reach(w.t.Context(), w.authority.ID))(w.t)
	return must(o.Connector.(ca.Lister).Issuers(w.t.Context()))(w.t)[0]
}
