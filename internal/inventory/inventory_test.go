package inventory_test

import (
	"errors"
	"log/slog"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/inventory"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is two organizations, of which one has two branches.
type world struct {
	*inventory.Service
	t                          *testing.T
	clock                      *clock
	owner                      ra.Actor
	acme, berlin, paris, other *ra.Group
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		c := &clock{}
		c.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
		db, err := store.Open(t.Context(), address, c.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.Rehearse()
		w := &world{Service: &inventory.Service{DB: db, Now: c.Now, Log: slog.New(slog.DiscardHandler)}, t: t, clock: c,
			owner: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_owner", Name: "owner", Grants: []ra.Grant{{Role: ra.RoleOwner}}}}
		w.acme = w.group("", "Acme")
		w.berlin = w.group(w.acme.ID, "Berlin")
		w.paris = w.group(w.acme.ID, "Paris")
		w.other = w.group("", "Other")
		test(w)
	})
}

func (w *world) group(parent ra.GroupID, name string) *ra.Group {
	w.t.Helper()
	return must(w.CreateGroup(w.t.Context(), w.owner, inventory.GroupInput{ParentID: &parent, Name: &name}))(w.t)
}

func (w *world) user(group *ra.Group, name string) *ra.User {
	w.t.Helper()
	return must(w.CreateUser(w.t.Context(), w.owner, inventory.UserInput{GroupID: &group.ID, Name: &name}))(w.t)
}

func (w *world) device(group *ra.Group, platformID string) *ra.Device {
	w.t.Helper()
	return must(w.CreateDevice(w.t.Context(), w.owner, inventory.DeviceInput{GroupID: &group.ID, PlatformID: &platformID, Platform: ptr(ra.IOS)}))(w.t)
}

// as gives an actor with a role in a group and below; nil is everywhere.
func as(role ra.Role, g *ra.Group) ra.Actor {
	grant := ra.Grant{Role: role}
	if g != nil {
		grant.Group, grant.Path = g.ID, g.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + string(role), Name: string(role), Grants: []ra.Grant{grant}}
}

// certificate stores a certificate of a device or a user until an instant.
func (w *world) certificate(g *ra.Group, d ra.DeviceID, u ra.UserID, state ra.CertificateState, until time.Time) *ra.Certificate {
	w.t.Helper()
	now := w.clock.Now()
	a := &ra.Authority{ID: "ca_1", GroupID: w.acme.ID, Name: "CA", Kind: "embedded", Settings: []byte("{}")}
	tpl := &ra.Template{ID: "tpl_1", GroupID: w.acme.ID, AuthorityID: a.ID, Name: "Wi-Fi", Revision: 1}
	c := &ra.Certificate{ID: ra.NewID[ra.CertificateID](ra.CertificatePrefix, now), GroupID: g.ID, AuthorityID: a.ID, TemplateID: tpl.ID, DeviceID: d, UserID: u,
		IssuerHash: "aa", Subject: "CN=x", NotBefore: now, NotAfter: until, State: state, DER: []byte{0x30, 0},
		Obligation: ra.Obligation{Action: ra.ActionExpire, At: until, Deadline: until}}
	if state == ra.Revoked || state == ra.OnHold {
		c.RevokedAt = now
	}
	c.Serial, c.Fingerprint, c.RequestID = string(c.ID), string(c.ID), ra.RequestID("req_"+string(c.ID))
	w.write(func(tx *store.Tx) error {
		if _, err := tx.Authority(a.ID); ra.KindOf(err) == ra.NotFound {
			return errors.Join(tx.CreateAuthority(a), tx.CreateTemplate(tpl), tx.CreateCertificate(c))
		}
		return tx.CreateCertificate(c)
	})
	return c
}

func (w *world) write(f func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

// trail gives the codes of the audit log, oldest first.
func (w *world) trail() (codes []string) {
	w.t.Helper()
	for _, e := range w.entries() {
		codes = append(codes, e.Code)
	}
	return codes
}

func (w *world) entries() (all []*ra.AuditEntry) {
	w.t.Helper()
	err := w.DB.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		all, _, err = tx.Audit(store.AuditFilter{Page: store.Page{Sort: "-", Limit: store.MaxPage}})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

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

// wantKind asks for an error of a kind, with a message and a remedy.
func wantKind(t *testing.T, what string, err error, kind ra.Kind) {
	t.Helper()
	var e *ra.Error
	if got := ra.KindOf(err); got != kind {
		t.Errorf("%s: got %q (%v), want %q", what, got, err, kind)
	} else if errors.As(err, &e) {
		for _, d := range append([]*ra.Error{e}, e.Details...) {
			if d.Message == "" || d.Remedy == "" {
				t.Errorf("%s: message %q and remedy %q must say something", what, d.Message, d.Remedy)
			}
		}
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
