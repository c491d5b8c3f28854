package mscepmsg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// The bytes of a page in several encodings.
func utf16le(s string) []byte { return wideBytes(s, false) }
func utf16be(s string) []byte { return wideBytes(s, true) }

func wideBytes(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func latin(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func page(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestParse reads the pages of testdata, in every encoding that can write them.
func TestParse(t *testing.T) {
	const thumb = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	hour := func(heuristic bool) Page {
		return Page{Thumbprint: thumb, Challenge: "9C3E7A10B4D25F68", Lifetime: time.Hour, Heuristic: heuristic}
	}
	for _, c := range []struct {
		file string
		want Page
		err  error
		wide bool // has letters that windows-1252 has not
	}{
		{file: "english.html", want: hour(false)},
		{file: "single.html", want: Page{Thumbprint: thumb, Challenge: "9C3E7A10B4D25F68", NeverExpires: true}},
		{file: "emulation.html", want: Page{Challenge: "x9_~Q-secret.of/somebody+else=", Lifetime: 30 * time.Minute}},
		{file: "sha1.html", want: Page{Thumbprint: "da39a3ee5e6b4b0d3255bfef95601890afd80709", Challenge: "9C3E7A10B4D25F68", Lifetime: time.Hour}},
		{file: "german.html", want: hour(true)},
		{file: "french.html", want: hour(true)},
		{file: "japanese.html", want: hour(true), wide: true},
		{file: "japanese-single.html", want: Page{Thumbprint: thumb, Challenge: "9C3E7A10B4D25F68", NeverExpires: true, Heuristic: true}, wide: true},
		{file: "full.html", err: ErrCacheFull},
		{file: "denied.html", err: ErrNoPermission},
		{file: "template.html", err: ErrNoTemplate},
		{file: "nopassword.html", err: ErrNoPassword},
		{file: "german-full.html", err: ErrUnsaid},
		{file: "signin.html", err: ErrNotPage},
		{file: "plain.txt", err: ErrNotPage},
	} {
		text := page(t, c.file)
		encodings := map[string][]byte{"utf-8": []byte(text), "utf-8 with BOM": []byte("\ufeff" + text),
			"utf-16le": utf16le(text), "utf-16be": utf16be(text), "utf-16le with BOM": utf16le("\ufeff" + text), "utf-16be with BOM": utf16be("\ufeff" + text)}
		if !c.wide {
			encodings["windows-1252"] = latin(text)
		}
		for encoding, b := range encodings {
			t.Run(c.file+" "+encoding, func(t *testing.T) {
				got, err := Parse(b)
				if !errors.Is(err, c.err) {
					t.Fatalf("error %v; want %v", err, c.err)
				}
				if err == nil && *got != c.want {
					t.Errorf("got %v with challenge %q; want %v", got, got.Challenge, c.want)
				}
			})
		}
	}
}

// TestParseLimits: what is too large is not read, and what is cut off gives an
// error and no half challenge.
func TestParseLimits(t *testing.T) {
	if _, err := Parse(make([]byte, MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	text := page(t, "english.html")
	cut := strings.Index(text, "9C3E7A10")
	if p, err := Parse([]byte(text[:cut])); err == nil {
		t.Errorf("a page without its challenge gave %v", p)
	}
	b := utf16le(text)
	if p, err := Parse(b[:len(b)-1]); err != nil || p.Challenge != "9C3E7A10B4D25F68" {
		t.Errorf("an odd octet at the end: %v", err)
	}
	if got := decode([]byte("caf\xe9 \x80 \x93")); got != "café € “" {
		t.Errorf("windows-1252 is read as %q", got)
	}
}

// TestPageIsSecret: no verb prints the challenge.
func TestPageIsSecret(t *testing.T) {
	p := &Page{Challenge: "9C3E7A10B4D25F68"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, it := range []any{p, *p, []*Page{p}} {
			if out := fmt.Sprintf(verb, it); strings.Contains(strings.ToUpper(out), "9C3E7A10") {
				t.Errorf("%s prints %q", verb, out)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no pages: %v", err)
	}
	for _, name := range files {
		text := page(f, filepath.Base(name))
		f.Add([]byte(text))
		f.Add(utf16le(text))
		f.Add(utf16be("\ufeff" + text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if (p == nil) == (err == nil) {
			t.Fatalf("page %v and error %v", p, err)
		}
		if p == nil {
			return
		}
		if p.Challenge == "" || len(p.Challenge) > 256 || strings.ContainsAny(p.Challenge, " <\r\n\x00") {
			t.Errorf("a challenge of %d characters", len(p.Challenge))
		}
		if n := len(p.Thumbprint); n != 0 && n != 32 && n != 40 && n != 64 {
			t.Errorf("a thumbprint of %d digits", n)
		}
		if p.Lifetime < 0 {
			t.Errorf("a lifetime of %s", p.Lifetime)
		}
	})
}
