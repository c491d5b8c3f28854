package directory_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/directory"
	"chancery/internal/inventory"
	"chancery/internal/job"
	"chancery/internal/job/jobtest"
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

const password = "Pa55-word"

// world is an organization with a part of the domain for itself.
type world struct {
	*directory.Service
	t      *testing.T
	clock  *clock
	samba  *testpeer.Samba
	owner  ra.Actor
	viewer ra.Actor
	group  *ra.Group
	other  *ra.Group
	inv    *inventory.Service
	unit   string // distinguished name of the part
	prefix string // of its users' names
}

var worlds atomic.Int64

// each runs a test on each database engine, beside one domain controller.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) { test(newWorld(t, address)) })
}

func newWorld(t *testing.T, address string) *world {
	t.Helper()
	samba := testpeer.SharedSamba(t)
	n := worlds.Add(1)
	w := &world{t: t, clock: &clock{}, samba: samba, unit: fmt.Sprintf("OU=World %d,%s", n, samba.BaseDN), prefix: fmt.Sprintf("w%d", n),
		owner:  ra.Actor{Kind: ra.ActorAdmin, ID: "adm_owner", Name: "owner", Grants: []ra.Grant{{Role: ra.RoleOwner}}},
		viewer: ra.Actor{Kind: ra.ActorAdmin, ID: "adm_viewer", Name: "viewer", Grants: []ra.Grant{{Role: ra.RoleViewer}}}}
	w.clock.ms.Store(time.Now().UnixMilli())
	db, err := store.Open(t.Context(), address, w.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.Rehearse()
	box, err := seal.Create(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	queue, err := job.Open(t.Context(), db, job.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = &directory.Service{DB: db, Box: box, Queue: queue, Now: w.clock.Now, Log: log, Dial: samba.Dial}
	t.Cleanup(w.Close)
	w.inv = &inventory.Service{DB: db, Now: w.clock.Now, Log: log}
	for name, to := range map[string]**ra.Group{"Acme": &w.group, "Other": &w.other} {
		if *to, err = w.inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	samba.Add(w.unit, "objectClass", "organizationalUnit")
	return w
}

// name gives a user's name in the domain, dn the entry.
func (w *world) name(short string) string { return w.prefix + short }
func (w *world) dn(short string) string   { return "CN=" + w.name(short) + "," + w.unit }

// add adds users to the domain.
func (w *world) add(shorts ...string) {
	w.t.Helper()
	text := ""
	for _, s := range shorts {
		n := w.name(s)
		text += fmt.Sprintf("dn: %s\nchangetype: add\nobjectClass: user\nsAMAccountName: %s\nuserPrincipalName: %s@corp.example\nmail: %s@corp.example\ngivenName: %s\nsn: Doe\ndisplayName: %s Doe\ndepartment: Sales\nuserAccountControl: 544\n\n",
			w.dn(s), n, n, n, s, s)
	}
	w.samba.Modify(text)
}

// define defines a directory over the world's part of the domain.
func (w *world) define(settings map[string]any) *ra.Directory {
	w.t.Helper()
	d, err := w.Create(w.t.Context(), w.owner, directory.Input{GroupID: &w.group.ID, Name: ptr("Corp"), Settings: w.settings(settings)})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) settings(more map[string]any) []byte {
	w.t.Helper()
	all := map[string]any{"servers": []string{w.samba.Host}, "roots": string(w.samba.CA), "user": "Administrator@corp.example", "password": w.samba.Password, "base": w.unit}
	for k, v := range more {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// sync orders a run and does it.
func (w *world) sync(d *ra.Directory, o directory.Order) *ra.Sync {
	w.t.Helper()
	run, err := w.Sync(w.t.Context(), w.owner, d.ID, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.work(run)
}

// work does a directory's runs and gives one of them.
func (w *world) work(run *ra.Sync) *ra.Sync {
	w.t.Helper()
	if err := w.WorkSync(w.t.Context(), directory.SyncJob{Directory: run.Directory}); err != nil {
		w.t.Fatal(err)
	}
	run, err := w.Run(w.t.Context(), w.viewer, run.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// done checks how a run ended.
func (w *world) done(run *ra.Sync, want string) {
	w.t.Helper()
	if got := fmt.Sprintf("%s: %d new, %d changed, %d disabled, %d enabled, %d skipped", run.State, run.Added, run.Changed, run.Disable, run.Enabled, run.Skipped); got != want {
		w.t.Errorf("the run ended %s\nwant %s\n%s %s %v", got, want, run.Message, run.Remedy, run.Problems)
	}
}

// user gives a user by name, nil when there is none.
func (w *world) user(short string) *ra.User {
	w.t.Helper()
	var u *ra.User
	if err := w.DB.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		u, err = tx.UserByName(w.group.ID, w.name(short))
		if ra.KindOf(err) == ra.NotFound {
			u, err = nil, nil
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// trail gives the codes of the audit log with a prefix, oldest first.
func (w *world) trail(prefix string) (codes []string) {
	w.t.Helper()
	if err := w.DB.Read(w.t.Context(), func(tx *store.Tx) error {
		codes = nil
		all, _, err := tx.Audit(store.AuditFilter{Page: store.Page{Sort: "-", Limit: store.MaxPage}})
		for _, e := range all {
			if strings.HasPrefix(e.Code, prefix) {
				codes = append(codes, e.Code)
			}
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return codes
}

func ptr[T any](v T) *T { return &v }

// refused checks that an error is of a kind.
func refused(t *testing.T, err error, kind ra.Kind) {
	t.Helper()
	if ra.KindOf(err) != kind {
		t.Errorf("got %v, want %s", err, kind)
	}
}
