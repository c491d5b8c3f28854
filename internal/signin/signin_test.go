package signin

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/access"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// cheap keeps password checks from taking the time of the tests.
var cheap = cost{memory: 64, passes: 1, threads: 1}

// clock is a clock that moves when a test says so.
type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is an installation with two groups and an owner who may do anything.
type world struct {
	*Service
	t     *testing.T
	clock *clock
	log   *bytes.Buffer
	owner ra.Actor
	a, b  *ra.Group
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
		w := &world{t: t, clock: c, log: &bytes.Buffer{}, a: &ra.Group{ID: "og_a", Name: "A"}, b: &ra.Group{ID: "og_b", Name: "B"}}
		w.Service = &Service{DB: db, Now: c.Now, Log: slog.New(slog.NewTextHandler(w.log, nil)), PublicURL: "http://localhost:8080", cost: cheap}
		w.owner = ra.Actor{Kind: ra.ActorLocal, Name: "local", Grants: []ra.Grant{{Role: ra.RoleOwner}}}
		err = db.Write(t.Context(), func(tx *store.Tx) error { return errors.Join(tx.CreateGroup(w.a), tx.CreateGroup(w.b)) })
		if err != nil {
			t.Fatal(err)
		}
		test(w)
	})
}

const good = "four random words, once"

// admin makes an administrator with the password good.
func (w *world) admin(name string, grants ...ra.Grant) *ra.Admin {
	w.t.Helper()
	return must(w.CreateAdmin(w.t.Context(), w.owner, AdminInput{Name: &name, Password: ptr(secret.New(good)), Grants: &grants}))(w.t)
}

// actor is a signed-in administrator.
func (w *world) actor(a *ra.Admin) ra.Actor {
	w.t.Helper()
	return must(w.ActorFor(w.t.Context(), a.ID, "192.0.2.1"))(w.t)
}

// as gives an actor with a role in a group; nil is everywhere.
func as(role ra.Role, g *ra.Group) ra.Actor {
	grant := ra.Grant{Role: role}
	if g != nil {
		grant.Group, grant.Path = g.ID, g.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + string(role), Name: string(role), Grants: []ra.Grant{grant}}
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

// last gives the newest audit entry in short.
func (w *world) last() string {
	w.t.Helper()
	all := w.entries()
	if len(all) == 0 {
		return ""
	}
	e := all[len(all)-1]
	return fmt.Sprintf("%s %s %s", e.Code, e.Actor.Name, e.Result)
}

// silent sees to it that a secret is neither in the audit log nor in the log.
func (w *world) silent(secrets ...string) {
	w.t.Helper()
	text := w.log.String()
	for _, e := range w.entries() {
		text += fmt.Sprintf("%+v %s\n", e, e.Details)
	}
	for _, s := range secrets {
		if strings.Contains(text, s) {
			w.t.Errorf("a log holds a secret")
		}
	}
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
	} else if errors.As(err, &e) && len(e.Details) == 0 && (e.Message == "" || e.Remedy == "") {
		t.Errorf("%s: message %q and remedy %q must say something", what, e.Message, e.Remedy)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func TestActorForFollowsTheMoment(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a := w.admin("jane", ra.Grant{Role: ra.RoleOperator, Group: w.a.ID})
		actor := w.actor(a)
		if actor.Kind != ra.ActorAdmin || actor.ID != string(a.ID) || actor.Name != "jane" || actor.Remote != "192.0.2.1" || actor.Grants[0].Path != w.a.Path {
			w.t.Errorf("actor is %+v", actor)
		}
		must(w.UpdateAdmin(ctx, w.owner, a.ID, AdminInput{Grants: &[]ra.Grant{{Role: ra.RoleViewer, Group: w.b.ID}}}))(w.t)
		if actor = w.actor(a); access.Check(actor, access.See, w.b.Path) != nil || access.Check(actor, access.See, w.a.Path) == nil {
			w.t.Errorf("after the change the actor is %+v", actor)
		}
		must(w.UpdateAdmin(ctx, w.owner, a.ID, AdminInput{Disabled: ptr(true)}))(w.t)
		_, err := w.ActorFor(ctx, a.ID, "")
		wantKind(w.t, "disabled", err, ra.Unsigned)
		_, err = w.ActorFor(ctx, "adm_x", "")
		wantKind(w.t, "unknown", err, ra.Unsigned)
	})
}
