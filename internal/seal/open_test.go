package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"chancery/internal/ra"
)

func TestCreateThenOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	made, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode: got %04o, want 0600", got)
	}
	sealed, err := made.Seal("t", "r", "f", []byte("correct-horse"))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(string) (*Box, error){"Open": Open, "Create again": Create} {
		b, err := open(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := b.Open("t", "r", "f", sealed); err != nil || string(got) != "correct-horse" {
			t.Errorf("%s: got %q and %v, want what was sealed", name, got, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the folder holds %d files, want the key alone", len(entries))
	}
}

func TestConcurrentFirstStartEndsWithOneKey(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		path := filepath.Join(dir, "master.key")
		boxes := make([]*Box, 8)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range boxes {
			wg.Go(func() {
				<-start
				b, err := Create(path)
				if err != nil {
					t.Error(err)
				}
				boxes[i] = b
			})
		}
		close(start)
		wg.Wait()
		if t.Failed() {
			return
		}
		sealed, err := boxes[0].Seal("t", "r", "f", []byte("correct-horse"))
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range boxes {
			if got, err := b.Open("t", "r", "f", sealed); err != nil || string(got) != "correct-horse" {
				t.Fatalf("creator %d has another key: %v", i, err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Fatalf("the folder holds %d files (error %v), want the key alone", len(entries), err)
		}
	}
}

// withSum replaces the checksum line by the right one for the rest.
func withSum(body string) []byte {
	return fmt.Appendf(nil, "%ssha256 %x\n", body, sha256.Sum256([]byte(body)))
}

func goodFile(t testing.TB) []byte {
	t.Helper()
	h, err := newKeyset()
	if err != nil {
		t.Fatal(err)
	}
	text, err := appendFile(h)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOpenRefusesFiles(t *testing.T) {
	good := string(goodFile(t))
	body := good[:strings.LastIndex(good, "sha256 ")]
	short, err := keyset.NewHandle(aead.AES128GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	shortText, err := appendFile(short)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := keyset.NewHandle(aead.AES256GCMNoPrefixKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	rawText, err := appendFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	id := body[strings.Index(body, "key-id ")+7:][:8]
	for _, c := range []struct {
		name string
		text []byte
		mode os.FileMode
		kind ra.Kind
		want string
	}{
		{"others can read", []byte(good), 0o604, ra.Denied, "other accounts (mode 0604)"},
		{"group can read", []byte(good), 0o640, ra.Denied, "other accounts (mode 0640)"},
		{"others can write", []byte(good), 0o602, ra.Denied, "other accounts"},
		{"empty", nil, 0o600, ra.Invalid, "damaged"},
		{"cut short", []byte(good[:len(good)-3]), 0o600, ra.Invalid, "damaged"},
		{"something after the end", []byte(good + "x\n"), 0o600, ra.Invalid, "damaged"},
		{"a changed letter", []byte(strings.Replace(good, "keyset {", "keyset  {", 1)), 0o600, ra.Invalid, "damaged"},
		{"no checksum", []byte(body), 0o600, ra.Invalid, "damaged"},
		{"another version", withSum(strings.Replace(body, "key v1", "key v2", 1)), 0o600, ra.Invalid, "damaged"},
		{"a further line", withSum(body + "more\n"), 0o600, ra.Invalid, "damaged"},
		{"comments only", withSum(comment), 0o600, ra.Invalid, "damaged"},
		{"a misnamed line", withSum(strings.Replace(body, "key-id", "key_id", 1)), 0o600, ra.Invalid, "damaged"},
		{"another key's id", withSum(strings.Replace(body, "key-id "+id, "key-id 00000000", 1)), 0o600, ra.Invalid, "damaged"},
		{"not JSON", withSum(body[:strings.Index(body, "keyset ")] + "keyset {\n"), 0o600, ra.Invalid, "damaged"},
		{"no keys", withSum(body[:strings.Index(body, "keyset ")] + "keyset {}\n"), 0o600, ra.Invalid, "damaged"},
		{"a key of the wrong length", shortText, 0o600, ra.Invalid, "damaged"},
		{"a key without prefix", rawText, 0o600, ra.Invalid, "damaged"},
		{"too long", bytes.Repeat([]byte("#\n"), maxFileSize), 0o600, ra.Invalid, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "master.key")
			if err := os.WriteFile(path, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			for name, open := range map[string]func(string) (*Box, error){"Open": Open, "Create": Create} {
				b, err := open(path)
				var e *ra.Error
				if b != nil || !errors.As(err, &e) {
					t.Fatalf("%s: got %v and %v, want an *ra.Error", name, b, err)
				}
				if e.Kind != c.kind || !strings.Contains(e.Message, c.want) || !strings.Contains(e.Message, path) || e.Remedy == "" {
					t.Errorf("%s: got %s %q with remedy %q, want %s %q", name, e.Kind, e.Message, e.Remedy, c.kind, c.want)
				}
				if strings.Contains(err.Error(), "primaryKeyId") || strings.Contains(err.Error(), "value") {
					t.Errorf("%s: the error shows the file: %v", name, err)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, c.text) {
				t.Errorf("the file was changed (error %v)", err)
			}
		})
	}
}

func TestMissingPlaces(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none.key")); !errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		t.Errorf("missing file: got %v, want ra.NotFound", err)
	}
	if _, err := Open(dir); !errors.Is(err, &ra.Error{Kind: ra.Invalid}) {
		t.Errorf("a folder: got %v, want ra.Invalid", err)
	}
	_, err := Create(filepath.Join(dir, "no", "master.key"))
	var e *ra.Error
	if !errors.As(err, &e) || e.Kind != ra.Denied || e.Remedy == "" {
		t.Errorf("missing folder: got %v, want ra.Denied with a remedy", err)
	}
}

func FuzzParseFile(f *testing.F) {
	good := goodFile(f)
	f.Add(good)
	f.Add([]byte(nil))
	f.Add(withSum(formatLine + "\nkey-id 00000000\nkeyset {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if b, err := parseFile(text); (b == nil) == (err == nil) {
			t.Errorf("got box %v and error %v, want one of them", b, err)
		}
		// With a right checksum the rest of the parser is reached.
		if b, err := parseFile(withSum(string(text) + "\n")); (b == nil) == (err == nil) {
			t.Errorf("got box %v and error %v, want one of them", b, err)
		}
	})
}
