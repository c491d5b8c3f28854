package authority_test

import (
	"bytes"
	"context"
	"log/slog"
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
	"chancery/internal/inventory"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/seal"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

type clock struct{ ms atomic.Int64 }

func (c *clock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is two organizations and the kinds of authorities.
type world struct {
	*authority.Service
	t           *testing.T
	address     string
	clock       *clock
	log         *logBuffer
	script      *scripted.Authority
	owner       ra.Actor
	acme, other *ra.Group
	branch      *ra.Group
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		w := &world{t: t, address: address, clock: &clock{}, log: &logBuffer{}, owner: actor("owner", ra.RoleOwner, nil)}
		w.clock.ms.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
		db := must(store.Open(t.Context(), address, w.clock.Now))(t)
		t.Cleanup(func() { db.Close() })
		db.Rehearse()
		w.script = must(scripted.New(w.clock.Now))(t)
		w.Service = &authority.Service{DB: db, Box: must(seal.Create(filepath.Join(t.TempDir(), "master.key")))(t), Now: w.clock.Now, PublicURL: "http://pki.example.test",
			Kinds: []ca.Kind{embedded.Kind(), w.script.Kind(), w.script.BareKind()}, Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		inv := &inventory.Service{DB: db, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler)}
		for name, g := range map[string]**ra.Group{"Acme": &w.acme, "Other": &w.other} {
			*g = must(inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{Name: &name}))(t)
		}
		w.branch = must(inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{ParentID: &w.acme.ID, Name: ptr("Berlin")}))(t)
		test(w)
	})
}

func actor(name string, role ra.Role, group *ra.Group) ra.Actor {
	g := ra.Grant{Role: role}
	if group != nil {
		g.Group, g.Path = group.ID, group.Path
	}
	return ra.Actor{Kind: ra.ActorAdmin, ID: "adm_" + name, Name: name, Via: "api", Grants: []ra.Grant{g}}
}

func ptr[T any](v T) *T { return &v }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return v
	}
}

// wantError asks for an error of a kind that somebody can act on.
func wantError(t testing.TB, err error, kind ra.Kind) *ra.Error {
	t.Helper()
	if ra.KindOf(err) != kind {
		t.Fatalf("error of kind %q, want %q: %v", ra.KindOf(err), kind, err)
	}
	e := ra.AsError(err)
	if e.Message == "" || e.Remedy == "" {
		t.Errorf("the error lacks a message or a remedy: %+v", e)
	}
	return e
}

func (w *world) create(kind, name, settings string) *ra.Authority {
	w.t.Helper()
	return must(w.Create(w.t.Context(), w.owner, kind, authority.Input{GroupID: &w.acme.ID, Name: &name, Settings: []byte(settings)}))(w.t)
}

func (w *world) read(f func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.DB.Read(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

// nowhere looks for texts in every table that could hold them, and in the log.
func (w *world) nowhere(texts ...string) {
	w.t.Helper()
	var dump strings.Builder
	w.read(func(tx *store.Tx) error {
		for _, q := range []string{"SELECT settings FROM authorities", "SELECT details FROM audit", "SELECT message FROM audit", "SELECT box FROM sealed", "SELECT value FROM journal"} {
			rows, err := tx.SQL().Query(q)
			if err != nil {
				return err
			}
			for rows.Next() {
				var b []byte
				if err := rows.Scan(&b); err != nil {
					return err
				}
				dump.Write(b)
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	for _, text := range texts {
		if strings.Contains(dump.String(), text) {
			w.t.Errorf("a secret of %d characters is stored in clear", len(text))
		}
		if strings.Contains(w.log.String(), text) {
			w.t.Errorf("a secret of %d characters is in the log", len(text))
		}
	}
}

func (w *world) audited(code, object string) (list []*ra.AuditEntry) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		list, _, err = tx.Audit(store.AuditFilter{Code: code, Object: object})
		return err
	})
	return list
}
