package store_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// each runs a test on an empty database of each engine.
func each(t *testing.T, test func(t *testing.T, db *store.DB, c *clock)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		c := newClock()
		test(t, open(t, address, c), c)
	})
}

func open(t *testing.T, address string, c *clock) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), address, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func write(t *testing.T, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Read(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// refused runs f in a Write of its own and wants it to fail with a kind, a
// message and a remedy.
func refused(t *testing.T, db *store.DB, what string, kind ra.Kind, f func(tx *store.Tx) error) {
	t.Helper()
	wantKind(t, what, db.Write(t.Context(), f), kind)
}

func wantKind(t *testing.T, what string, err error, kind ra.Kind) {
	t.Helper()
	var e *ra.Error
	if got := ra.KindOf(err); got != kind {
		t.Errorf("%s: got %q (%v), want %q", what, got, err, kind)
	} else if errors.As(err, &e) && (e.Message == "" || e.Remedy == "") {
		t.Errorf("%s: message %q and remedy %q must say something", what, e.Message, e.Remedy)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// execute runs a statement behind the store's back.
func execute(t *testing.T, db *store.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Pool().ExecContext(context.Background(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func id[T ~string](prefix string, now time.Time) T { return ra.NewID[T](prefix, now) }

// world is one of everything that others refer to.
type world struct {
	org, unit *ra.Group
	user      *ra.User
	device    *ra.Device
	authority *ra.Authority
	template  *ra.Template
	endpoint  *ra.Endpoint
}

func newWorld(t *testing.T, db *store.DB, c *clock) *world {
	t.Helper()
	now := c.Now()
	w := &world{}
	w.org = &ra.Group{ID: id[ra.GroupID](ra.GroupPrefix, now), Name: "Acme", Settings: ra.GroupSettings{Organization: "Acme Ltd", Country: "DE"}}
	w.unit = &ra.Group{ID: id[ra.GroupID](ra.GroupPrefix, now), ParentID: w.org.ID, Name: "Berlin", Settings: ra.GroupSettings{Contact: "pki@acme.example"}}
	w.user = &ra.User{ID: id[ra.UserID](ra.UserPrefix, now), GroupID: w.unit.ID, Name: "JDoe", Email: "jane@acme.example", UPN: "jdoe@acme.example",
		SID: "S-1-5-21-1-2-3-1104", FirstName: "Jane", LastName: "Doe", DisplayName: "Jane Doe", DN: "CN=Jane Doe,DC=acme",
		Attributes: map[string]string{"department": "R&D"}}
	w.device = newDevice(w.unit.ID, now)
	w.device.UserID = w.user.ID
	w.authority = &ra.Authority{ID: id[ra.AuthorityID](ra.AuthorityPrefix, now), GroupID: w.org.ID, Name: "Issuing CA", Description: "for devices",
		Kind: "embedded", Settings: []byte(`{"days":90}`), RatePerSecond: 2.5, MaxInFlight: 4}
	w.template = &ra.Template{ID: id[ra.TemplateID](ra.TemplatePrefix, now), GroupID: w.org.ID, AuthorityID: w.authority.ID, Name: "Wi-Fi", Revision: 1,
		Spec: ra.TemplateSpec{Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "signing", Validity: 90,
			SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceUid}.acme.example"}}, EKUs: []string{"1.3.6.1.5.5.7.3.2"}, AutoRenew: true}}
	w.endpoint = &ra.Endpoint{ID: id[ra.EndpointID](ra.EndpointPrefix, now), GroupID: w.org.ID, TemplateID: w.template.ID, Name: "wifi", Settings: []byte(`{}`)}
	write(t, db, func(tx *store.Tx) error {
		return errors.Join(tx.CreateGroup(w.org), tx.CreateGroup(w.unit), tx.CreateUser(w.user), tx.CreateDevice(w.device),
			tx.CreateAuthority(w.authority), tx.CreateTemplate(w.template), tx.CreateEndpoint(w.endpoint))
	})
	return w
}

func newDevice(group ra.GroupID, now time.Time) *ra.Device {
	d := &ra.Device{ID: id[ra.DeviceID](ra.DevicePrefix, now), GroupID: group, Platform: ra.IOS, Name: "Jane's iPhone", SerialNumber: "C02XK",
		Model: "iPhone17,1", OSVersion: "19.1", Ownership: "C", Attributes: map[string]string{"asset": "4711"}, State: ra.DeviceEnrolled}
	d.PlatformID = "udid-" + string(d.ID)
	return d
}

func (w *world) newRequest(now time.Time) *ra.Request {
	r := &ra.Request{
		ID: id[ra.RequestID](ra.RequestPrefix, now), GroupID: w.unit.ID, AuthorityID: w.authority.ID, TemplateID: w.template.ID, TemplateRev: 1,
		DeviceID: w.device.ID, UserID: w.user.ID, Door: "scep", EndpointID: w.endpoint.ID, TransactionID: "T-1", KeyPlace: ra.KeyOnDevice,
		SealedCSR: []byte{0x30, 0x00}, SPKIHash: "aa", Subject: "CN=Jürgen", Fill: []byte(`{"subject":"CN=x"}`), State: ra.Submitted, Handle: "h",
		Reason: "r", AskedBy: ra.Actor{Kind: ra.ActorDevice, ID: string(w.device.ID), Name: w.device.Name, Via: "scep", Remote: "192.0.2.1"},
		SubmittedAt: now, Obligation: ra.Obligation{Action: ra.ActionIssue, At: now, Deadline: now.Add(time.Hour), Attempts: 2, LastError: "no answer"},
	}
	r.IdempotencyKey = string(r.ID)
	return r
}

func (w *world) newCertificate(now time.Time) *ra.Certificate {
	c := &ra.Certificate{
		ID: id[ra.CertificateID](ra.CertificatePrefix, now), GroupID: w.unit.ID, AuthorityID: w.authority.ID, TemplateID: w.template.ID,
		DeviceID: w.device.ID, UserID: w.user.ID, IssuerHash: "issuer", Subject: "CN=ÄPFEL_100%", SANs: []string{"dns:host.acme.example"},
		KeyType: "p-256", KeyPlace: ra.KeyOnDevice, DER: []byte{0x30, 0x01, 0x00}, SPKIHash: "bb",
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(90 * 24 * time.Hour), State: ra.Valid,
		Obligation: ra.Obligation{Action: ra.ActionRenew, At: now.Add(60 * 24 * time.Hour), Deadline: now.Add(80 * 24 * time.Hour)},
	}
	c.Serial, c.Fingerprint = "5e"+string(c.ID), "f"+string(c.ID)
	return c
}
