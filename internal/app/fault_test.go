package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// crowd writes until the database takes no more, and gives what makes room
// again.
func crowd(t *testing.T, db *store.DB) (room func()) {
	t.Helper()
	n := 0
	for size := 64 << 10; size >= 64; size /= 4 {
		for err := error(nil); err == nil && n < 10_000; n++ {
			err = db.Write(context.Background(), func(tx *store.Tx) error {
				return tx.PutFact(fmt.Sprint("crowd.", n), strings.Repeat("x", size))
			})
			if err != nil && (ra.KindOf(err) != ra.Unreachable || !strings.Contains(err.Error(), "full")) {
				t.Fatalf("a full disk says %v", err)
			}
		}
	}
	return func() {
		_, err := db.Pool().Exec("DELETE FROM facts WHERE name LIKE 'crowd.%'")
		if err != nil {
			t.Error(err)
		}
	}
}

// full makes the disk of a server full, and gives what makes room again.
type full func(t *testing.T, s *site) (room func())

// fullPages lets the database not grow: what SQLite says is what it says of a
// full disk, on every machine.
func fullPages(t *testing.T, s *site) (room func()) {
	var n int
	if err := s.DB.Pool().QueryRow("PRAGMA page_count").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Pool().Exec(fmt.Sprintf("PRAGMA max_page_count = %d", n+60)); err != nil {
		t.Fatal(err)
	}
	free := crowd(t, s.DB)
	return func() {
		if _, err := s.DB.Pool().Exec("PRAGMA max_page_count = 1000000"); err != nil {
			t.Error(err)
		}
		free()
	}
}

// fullDisk fills the disk with another file.
func fullDisk(t *testing.T, s *site) (room func()) {
	filler := filepath.Join(s.Config.Data, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	free := crowd(t, s.DB)
	return func() {
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
		free()
	}
}

// TestDiskFull: devices are told to come back, what can be read is still
// served, nothing is half done, and it goes on by itself when there is room.
func TestDiskFull(t *testing.T) {
	t.Run("no more pages", func(t *testing.T) { diskFull(t, t.TempDir(), fullPages) })
	// Where this account may mount, the same on a real disk that is full.
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=24m"); err != nil {
		t.Logf("no small disk here: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("a full disk", func(t *testing.T) { diskFull(t, small, fullDisk) })
}

func diskFull(t *testing.T, disk string, fill full) {
	cfg := config(t, "")
	cfg.Data = filepath.Join(disk, "data")
	s := startSite(t, cfg)
	kept := s.enrol("ada-iphone")
	s.crl()
	s.ocsp(kept)
	ask := s.ask("ada-macbook", s.challenge("ada-macbook"))
	room := fill(t, s)

	s.refusedForNow(ask)
	if r, err := s.issue("ada", "while full"); err == nil && r.State == ra.Issued {
		t.Error("a certificate was issued without a record")
	}
	var err error
	for i := 0; i < 500 && err == nil; i++ { // a small row may still find a place
		_, err = s.Inventory.CreateGroup(t.Context(), localActor(), inventory.GroupInput{ParentID: ptr(s.d.groups["Berlin"]), Name: ptr(fmt.Sprint("nowhere ", i))})
	}
	if ra.KindOf(err) != ra.Unreachable || !strings.Contains(ra.AsError(err).Remedy, "Make room") {
		t.Errorf("people are told %v", err)
	}
	s.notReady("full")
	if got := s.ocsp(kept); got != "good" {
		t.Errorf("OCSP says %q", got)
	}
	s.crl()
	s.sound()

	room()
	s.isReady()
	cert, err := s.scep(ask) // the same key, challenge and transaction
	if err != nil {
		t.Fatal(err)
	}
	s.verifies(cert)
	if r, err := s.issue("ada", "while full"); err != nil || r.State != ra.Issued {
		t.Errorf("%+v, %v", r, err)
	}
	s.sound()
}

func ptr[T any](v T) *T { return &v }

// refusedForNow has a device ask, which must be told to come back later.
func (s *site) refusedForNow(ask deviceAsk) {
	s.t.Helper()
	s.last = 0
	if _, err := s.scep(ask); err == nil {
		s.t.Error("a device was given a certificate")
	}
	if s.last != http.StatusServiceUnavailable {
		s.t.Errorf("the device was answered %d, want 503", s.last)
	}
}

// notReady has the watch look, and the server say that it is not ready and why,
// while it says that it is alive.
func (s *site) notReady(why string) {
	s.t.Helper()
	s.watch.Look(s.t.Context())
	status, header, body := s.get("/readyz")
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(string(body), why) {
		s.t.Errorf("/readyz: %d %s", status, body)
	}
	if status, _, body := s.get("/healthz"); status != http.StatusOK {
		s.t.Errorf("/healthz: %d %s", status, body)
	}
}

func (s *site) isReady() {
	s.t.Helper()
	s.watch.Look(s.t.Context())
	if status, _, body := s.get("/readyz"); status != http.StatusOK {
		s.t.Errorf("/readyz: %d %s", status, body)
	}
}

// TestReadOnly: the same for a database that takes nothing more.
func TestReadOnly(t *testing.T) {
	s := startSite(t, config(t, ""))
	kept := s.enrol("ada-iphone")
	s.crl()
	s.ocsp(kept) // the first answer makes a certificate to sign it with
	ask := s.ask("ada-macbook", s.challenge("ada-macbook"))
	if _, err := s.DB.Pool().Exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	s.refusedForNow(ask)
	s.notReady("cannot be written to")
	if got := s.ocsp(kept); got != "good" {
		t.Errorf("OCSP says %q", got)
	}
	s.crl()
	// A list that lacks something is still served while it lasts.
	if _, err := s.DB.Pool().Exec("PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lifecycle.Revoke(t.Context(), localActor(), s.row(kept).ID, ra.KeyCompromise, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Pool().Exec("UPDATE crl_lists SET wanted = wanted + 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Pool().Exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	s.crl()
	if got := s.ocsp(kept); got != "revoked" {
		t.Errorf("OCSP says %q of a revoked certificate", got)
	}
	if _, err := s.DB.Pool().Exec("PRAGMA query_only = 0"); err != nil {
		t.Fatal(err)
	}
	s.isReady()
	if _, err := s.scep(ask); err != nil {
		t.Error(err)
	}
	s.sound()
}

// TestStartFaults: what cannot work says why and what to do, before anything is
// listened to.
func TestStartFaults(t *testing.T) {
	made := config(t, "")
	a, err := Open(t.Context(), made)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.closeParts(); err != nil {
		t.Fatal(err)
	}
	whole := must(os.ReadFile(filepath.Join(made.Data, "chancery.db")))
	key := filepath.Join(made.Data, "master.key")
	for name, c := range map[string]struct {
		spoil func([]byte) []byte
		want  string
	}{
		"header":   {func(b []byte) []byte { b[3] ^= 0xff; return b }, "not a database"},
		"not ours": {func(b []byte) []byte { return []byte(strings.Repeat("hello ", 2000)) }, "not a database"},
		"schema":   {func(b []byte) []byte { clear(b[100:4096]); return b }, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, "")
			cfg.MasterKey = key
			if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cfg.Data, "chancery.db"), c.spoil(append([]byte(nil), whole...)), 0o600); err != nil {
				t.Fatal(err)
			}
			startRefused(t, cfg, c.want)
		})
	}
	t.Run("a server that is away", func(t *testing.T) {
		cfg := config(t, "postgres://nobody@127.0.0.1:1/none?sslmode=disable&connect_timeout=2")
		startRefused(t, cfg, "does not answer")
	})
	t.Run("no such database", func(t *testing.T) {
		cfg := config(t, testpeer.Postgres(t)+"&database=missing_one")
		startRefused(t, cfg, "does not exist")
	})
	t.Run("a read-only server", func(t *testing.T) {
		cfg := config(t, testpeer.Postgres(t)+"&options=-c%20default_transaction_read_only%3Don")
		startRefused(t, cfg, "cannot be written to")
	})
	t.Run("a folder that cannot be written to", func(t *testing.T) {
		cfg := config(t, "sqlite:/proc/chancery/chancery.db")
		if _, err := Start(t.Context(), cfg); err == nil || ra.AsError(err).Remedy == "" || ra.KindOf(err) == ra.Internal {
			t.Errorf("got %v", err)
		}
	})
}

func startRefused(t *testing.T, cfg Config, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := Start(ctx, cfg)
	if ra.KindOf(err) != ra.Unreachable || !strings.Contains(err.Error(), want) || ra.AsError(err).Remedy == "" || ra.AsError(err).Field != "database" {
		t.Errorf("got %v (remedy %q), want %q", err, ra.AsError(err).Remedy, want)
	}
}

// TestLocked: another process that holds the database is named as the cause,
// and everything goes on when it lets go.
func TestLocked(t *testing.T) {
	t.Parallel()
	s := startSite(t, config(t, ""))
	ask := s.ask("ada-iphone", s.challenge("ada-iphone"))
	path, _ := store.SQLitePath(s.Config.Database)
	other, err := store.Open(t.Context(), "sqlite:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Pool().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = s.DB.Write(t.Context(), func(tx *store.Tx) error { return tx.PutFact("x", "y") })
	if ra.KindOf(err) != ra.Unreachable || !strings.Contains(err.Error(), "Another process holds") {
		t.Errorf("got %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.scep(ask); err != nil {
		t.Error(err)
	}
	s.isReady()
	s.sound()
}

// TestDamagedPage: a page that was changed on the disk is found by the doctor
// before somebody needs it, and by a backup, which is not made of it.
func TestDamagedPage(t *testing.T) {
	cfg := config(t, "")
	s := startSite(t, cfg)
	s.enrol("ada-iphone")
	s.stop()
	path := filepath.Join(cfg.Data, "chancery.db")
	b := must(os.ReadFile(path))
	// The root page of a table of data, not of the schema.
	db, err := store.Open(t.Context(), "sqlite:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var page int
	err = db.Pool().QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'approvals'").Scan(&page)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		b[(page-1)*4096+i] ^= 0xa5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "x.backup")
	if _, _, err := Backup(t.Context(), cfg, BackupOptions{To: to}); ra.KindOf(err) != ra.Invalid || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a backup of a damaged database: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	a, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.closeParts()
	found, err := a.doctor().Examine(t.Context(), localActor())
	if err != nil {
		t.Fatal(err)
	}
	if !has(found, "database file", "failed") {
		t.Errorf("the doctor finds %+v", found)
	}
}

// TestTruncatedWAL: what was committed before the tear is there and whole.
func TestTruncatedWAL(t *testing.T) {
	cfg := config(t, "")
	s := startSite(t, cfg)
	s.enrol("ada-iphone")
	there := config(t, "")
	there.MasterKey = filepath.Join(cfg.Data, "master.key")
	if err := os.MkdirAll(there.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	// The writer is held while its files are copied, as a crash would leave them.
	err := s.DB.Write(t.Context(), func(*store.Tx) error {
		for _, end := range []string{"", "-wal"} {
			b, err := os.ReadFile(filepath.Join(cfg.Data, "chancery.db"+end))
			if err != nil {
				return err
			}
			if end != "" {
				b = b[:len(b)*2/3-100]
			}
			if err := os.WriteFile(filepath.Join(there.Data, "chancery.db"+end), b, 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	again := startSite(t, there)
	again.sound()
	again.verifies(again.enrol("bela-ipad"))
	again.isReady()
}

// TestPostgresAway: a database server that goes away and comes back.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	server := testpeer.PostgresServer(t)
	s := startSite(t, config(t, server.Database()))
	s.enrol("ada-iphone")
	ask := s.ask("ada-macbook", s.challenge("ada-macbook"))
	s.isReady()
	server.Kill()
	s.notReady("database: ")
	s.refusedForNow(ask)
	server.Start()
	s.isReady()
	cert, err := s.scep(ask)
	if err != nil {
		t.Fatal(err)
	}
	s.verifies(cert)
	s.sound()
}
