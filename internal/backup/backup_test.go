package backup

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
)

func some(t testing.TB) (database string, file []byte) {
	t.Helper()
	database = "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	db, err := store.Open(context.Background(), database, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, m, err := Create(context.Background(), Options{Database: database, Out: &out, By: "test", Now: time.Now})
	if err != nil || len(m.MasterKeys) != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	return database, out.Bytes()
}

func TestNames(t *testing.T) {
	database, _ := some(t)
	dir := t.TempDir()
	now := func() time.Time { return time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC) }
	path, _, err := Create(t.Context(), Options{Database: database, To: dir, Now: now})
	if want := filepath.Join(dir, "chancery-20270102T030405Z.backup"); err != nil || path != want {
		t.Fatalf("%s, %v; want %s", path, err, want)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Create(t.Context(), Options{Database: database, To: path, Now: now}); ra.KindOf(err) != ra.Conflict {
		t.Errorf("made over another: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("what was there is %q, %v", b, err)
	}
	if _, _, err := Create(t.Context(), Options{Database: database, To: path, Now: now, Force: true}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for to, want := range map[string]ra.Kind{filepath.Join(dir, "no", "such", "folder"): ra.Invalid} {
		if _, _, err := Create(t.Context(), Options{Database: database, To: to, Now: now}); ra.KindOf(err) != want || ra.AsError(err).Remedy == "" {
			t.Errorf("%s: %v", to, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAcceptIsAskedFirst: what the manifest says is known before anything is
// written.
func TestAcceptIsAskedFirst(t *testing.T) {
	_, file := some(t)
	to := filepath.Join(t.TempDir(), "x.db")
	no := ra.Errorf(ra.Conflict, "no")
	_, err := Read(t.Context(), bytes.NewReader(file), to, func(m Manifest) error {
		if m.Schema != store.NewestSchema() || m.By != "test" {
			t.Errorf("manifest: %+v", m)
		}
		return no
	})
	if err != no {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("something was written")
	}
}

// FuzzRead: no file makes Read panic, succeed with something else than was
// packed, or leave something behind.
func FuzzRead(f *testing.F) {
	_, file := some(f)
	f.Add(file[:4096])
	f.Add(file[:len(file)/2])
	f.Add([]byte("not a tar"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		to := filepath.Join(t.TempDir(), "x.db")
		m, err := Read(t.Context(), bytes.NewReader(b), to, func(Manifest) error { return nil })
		if err == nil {
			if m.Bytes <= 0 {
				t.Errorf("read %+v", m)
			}
			return
		}
		if ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" {
			t.Errorf("got %v", err)
		}
		if left, _ := filepath.Glob(to + "*"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}
