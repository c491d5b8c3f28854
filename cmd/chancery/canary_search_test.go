package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// canaries are marked secrets. Each is looked for in everything that comes out
// of the program, in every form it may have taken on the way.
type canaries struct {
	mu    sync.Mutex
	names []string
	forms map[string][][]byte // by name
	fold  map[string][]byte   // hex, looked for in any case
}

// add marks a secret. Short ones would be found by chance.
func (c *canaries) add(t *testing.T, name string, secret []byte) {
	t.Helper()
	if len(secret) < 8 {
		t.Fatalf("the canary %s is too short to be looked for", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forms == nil {
		c.forms, c.fold = map[string][][]byte{}, map[string][]byte{}
	}
	if c.forms[name] != nil {
		t.Fatalf("two canaries are called %s", name)
	}
	c.names = append(c.names, name)
	forms := [][]byte{secret, []byte(url.QueryEscape(string(secret))), []byte(url.PathEscape(string(secret)))}
	for shift := range 3 {
		// Base64 of the secret in the middle of something, without the
		// characters that its neighbours have a say in.
		padded := append(make([]byte, shift), secret...)
		skip := (shift*8 + 5) / 6
		whole := len(padded) * 8 / 6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, []byte(encoding.EncodeToString(padded)[skip:whole]))
		}
	}
	c.forms[name] = forms
	c.fold[name] = []byte(hex.EncodeToString(secret))
}

// notText takes out what breaks an encoded secret into lines: white space, and
// its escapes in JSON, logs and HTML.
var notText = regexp.MustCompile(`\\+[nrt]|&#1[03];|\s|:`)

// in names the canaries that a text holds.
func (c *canaries) in(text []byte) (found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	joined := notText.ReplaceAll(text, nil)
	lower := bytes.ToLower(joined)
	for _, name := range c.names {
		hit := bytes.Contains(lower, c.fold[name])
		for _, form := range c.forms[name] {
			hit = hit || bytes.Contains(text, form) || bytes.Contains(joined, form)
		}
		if hit {
			found = append(found, name)
		}
	}
	return found
}

// TestCanarySearch: a search that finds nothing proves nothing unless it finds
// what is there.
func TestCanarySearch(t *testing.T) {
	secret := []byte("cnry/Zm9v+YmFy?\x00\xff\x80bytes")
	c := &canaries{}
	c.add(t, "it", secret)
	std := base64.StdEncoding
	wrapped := func(s string) string {
		var b strings.Builder
		for i, r := range s {
			if i%10 == 9 {
				b.WriteByte('\n')
			}
			b.WriteRune(r)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"raw":            "a" + string(secret) + "b",
		"hex":            strings.ToUpper(hex.EncodeToString(secret)),
		"hex, colons":    regexp.MustCompile("..").ReplaceAllString(hex.EncodeToString(secret), "$0:"),
		"base64":         std.EncodeToString(secret),
		"base64, 1":      std.EncodeToString([]byte("x" + string(secret) + "tail")),
		"base64, 2":      std.EncodeToString([]byte("xy" + string(secret) + "t")),
		"base64 for URL": base64.URLEncoding.EncodeToString([]byte("abc" + string(secret))),
		"in lines":       wrapped(std.EncodeToString([]byte("xy" + string(secret)))),
		"JSON lines":     strings.ReplaceAll(wrapped(std.EncodeToString(secret)), "\n", `\n`),
		"query":          "?a=" + url.QueryEscape(string(secret)),
		"path":           "/" + url.PathEscape(string(secret)),
	} {
		if len(c.in([]byte(text))) != 1 {
			t.Errorf("%s: not found", name)
		}
	}
	if found := c.in([]byte("nothing of the sort")); len(found) != 0 {
		t.Errorf("found %v in nothing", found)
	}
}
