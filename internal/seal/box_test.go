package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"chancery/internal/ra"
)

func testBox(t *testing.T) *Box {
	t.Helper()
	b, err := Create(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealedOpensInItsPlace(t *testing.T) {
	b := testBox(t)
	for _, plain := range []string{"", "x", "correct-horse", strings.Repeat("long ", 100_000)} {
		sealed, err := b.Seal("authority", "ca_1", "token", []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(plain)+33 {
			t.Errorf("%d bytes became %d, want 33 more", len(plain), len(sealed))
		}
		if len(plain) > 1 && bytes.Contains(sealed, []byte(plain)) {
			t.Error("the ciphertext holds the plaintext")
		}
		got, err := b.Open("authority", "ca_1", "token", sealed)
		if err != nil || string(got) != plain {
			t.Errorf("got %d bytes and error %v, want the %d bytes sealed", len(got), err, len(plain))
		}
		again, err := b.Seal("authority", "ca_1", "token", []byte(plain))
		if err != nil || bytes.Equal(sealed, again) {
			t.Errorf("sealing twice gave the same ciphertext (error %v)", err)
		}
	}
}

func TestMovedCiphertextDoesNotOpen(t *testing.T) {
	b := testBox(t)
	sealed, err := b.Seal("ab", "cd", "ef", []byte("correct-horse"))
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range [][3]string{
		{"ab", "cd", "eg"}, {"ab", "ce", "ef"}, {"ac", "cd", "ef"},
		{"abc", "d", "ef"}, {"ab", "cde", "f"}, {"a", "bcd", "ef"}, {"abcdef", "", ""}, {"", "", ""}, {"AB", "cd", "ef"},
	} {
		got, err := b.Open(place[0], place[1], place[2], sealed)
		if got != nil || !errors.Is(err, &ra.Error{Kind: ra.Internal}) {
			t.Errorf("%v: got %d bytes and error %v, want an ra.Internal refusal", place, len(got), err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	b, other := testBox(t), testBox(t)
	sealed, err := b.Seal("authority", "ca_1", "token", []byte("correct-horse"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for _, c := range []struct {
		name   string
		box    *Box
		sealed []byte
		want   string
	}{
		{"nothing", b, nil, "is damaged"},
		{"four bytes", b, sealed[:4], "is damaged"},
		{"unknown version", b, append([]byte{9}, sealed[1:]...), "is damaged"},
		{"prefix only", b, sealed[:5], "does not open"},
		{"cut short", b, sealed[:len(sealed)-1], "does not open"},
		{"one bit flipped", b, flipped, "does not open"},
		{"wrong key", other, sealed, "sealed with master key " + b.KeyID() + ", and the key in use is " + other.KeyID()},
	} {
		_, err := c.box.Open("authority", "ca_1", "token", c.sealed)
		var e *ra.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %v, want an *ra.Error", c.name, err)
			continue
		}
		if !strings.Contains(e.Message, c.want) || e.Remedy == "" || !strings.Contains(e.Message, `"token" of authority "ca_1"`) {
			t.Errorf("%s: got %q with remedy %q, want %q and the place", c.name, e.Message, e.Remedy, c.want)
		}
	}
}

// keysetOf makes a keyset of n keys, the last one primary.
func keysetOf(t *testing.T, n int) *keyset.Handle {
	t.Helper()
	m := keyset.NewManager()
	for range n {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SetPrimary(id); err != nil {
			t.Fatal(err)
		}
	}
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSeveralKeysOpenAndThePrimarySeals(t *testing.T) {
	h := keysetOf(t, 1)
	before, err := newBox(h)
	if err != nil {
		t.Fatal(err)
	}
	old, err := before.Seal("t", "r", "f", []byte("correct-horse"))
	if err != nil {
		t.Fatal(err)
	}
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	h, err = m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	text, err := appendFile(h)
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := after.Open("t", "r", "f", old); err != nil || string(got) != "correct-horse" {
		t.Errorf("the old key no longer opens: %v", err)
	}
	fresh, err := after.Seal("t", "r", "f", []byte("correct-horse"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Open("t", "r", "f", fresh); err == nil {
		t.Error("the new primary did not seal: the old key opens its ciphertext")
	}
	if after.KeyID() != fmt.Sprintf("%08x", id) {
		t.Errorf("got key %s, want %08x", after.KeyID(), id)
	}
}

func TestBoxShowsNoKey(t *testing.T) {
	h := keysetOf(t, 1)
	b, err := newBox(h)
	if err != nil {
		t.Fatal(err)
	}
	raw := insecurecleartextkeyset.KeysetMaterial(h).GetKey()[0].GetKeyData().GetValue()
	key := raw[len(raw)-32:]
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "box", b)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "box", b)
	holder := struct{ box *Box }{b}
	for _, verb := range "vsdqxXtT" {
		for _, flag := range []string{"", "+", "#"} {
			f := "%" + flag + string(verb)
			fmt.Fprintf(&log, f, b)
			fmt.Fprintf(&log, f, holder)
		}
	}
	for _, form := range []string{string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), strings.Trim(fmt.Sprint(key), "[]")} {
		if strings.Contains(strings.ToLower(log.String()), strings.ToLower(form)) {
			t.Errorf("the key is printed: %s", log.String())
		}
	}
}

func TestBoxIsSafeForConcurrentUse(t *testing.T) {
	b := testBox(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			row := fmt.Sprint(i)
			for range 50 {
				sealed, err := b.Seal("t", row, "f", []byte(row))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := b.Open("t", row, "f", sealed); err != nil || string(got) != row {
					t.Errorf("got %q and %v, want %q", got, err, row)
				}
			}
		})
	}
	wg.Wait()
}
