package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"chancery/internal/ra"
	"chancery/internal/setting"
)

func TestExitCodeOfEveryKind(t *testing.T) {
	if len(codes) != len(ra.Kinds) {
		t.Errorf("the table has %d kinds, there are %d", len(codes), len(ra.Kinds))
	}
	for _, k := range ra.Kinds {
		code, ok := codes[k]
		if !ok || code == codeOK || code == codeUsage || code == codeFindings {
			t.Errorf("kind %q has the exit code %d", k, code)
		}
		if got := codeOf(ra.Errorf(k, "x")); got != code {
			t.Errorf("an error of kind %q ends with %d, want %d", k, got, code)
		}
	}
	if got := codeOf(errors.New("x")); got != codeInternal {
		t.Errorf("an unknown error ends with %d", got)
	}
	if got := codeOf(usage(errors.New("x"))); got != codeUsage {
		t.Errorf("a wrong call ends with %d", got)
	}
}

type noConfig struct{ data string }

func (c *noConfig) Describe(f *setting.Form) { f.Text(&c.data, "data", "Data folder").Default("d") }

func program(t *testing.T) (*Program, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	var out, errs bytes.Buffer
	return &Program{Version: "test", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, LookupEnv: func(string) (string, bool) { return "", false },
		Contexts: filepath.Join(t.TempDir(), "contexts.json"), Now: time.Now, Config: &noConfig{},
		Local: func(context.Context) (*http.Client, string, func() error, error) {
			return nil, "", nil, ra.Errorf(ra.Unreachable, "The data is elsewhere.").WithRemedy("Look there.").WithCause(errors.New("secret cause"))
		}}, &out, &errs
}

// TestEveryCommand: each has a line of help, and its help can be shown.
func TestEveryCommand(t *testing.T) {
	p, out, _ := program(t)
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%v: the line of help is %q", path, c.Short)
		}
		out.Reset()
		if code := p.Run(t.Context(), append(path, "--help")); code != codeOK || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v --help: %d\n%s", path, code, out)
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				walk(sub, append(path[:len(path):len(path)], sub.Name()))
			}
		}
	}
	walk(p.command(), nil)
}

func TestErrorsTakeTwoLines(t *testing.T) {
	p, out, errs := program(t)
	if code := p.Run(t.Context(), []string{"status"}); code != codeNoAnswer {
		t.Errorf("exit code %d", code)
	}
	if got, want := errs.String(), "error: The data is elsewhere.\nhint: Look there.\n"; got != want || out.Len() > 0 {
		t.Errorf("got %q and %q, want %q", got, out, want)
	}
	errs.Reset()
	p.complain(&ra.Error{Kind: ra.Invalid, Message: "2 fields need attention.", Remedy: "Correct them.", Details: []*ra.Error{{Field: "a", Message: "A."}, {Field: "b", Message: "B.", Remedy: "Do."}}})
	if got, want := errs.String(), "error: 2 fields need attention.\n  a: A.\n  b: B. Do.\nhint: Correct them.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	if code := p.Run(t.Context(), []string{"doctor"}); code != codeFindings || !strings.Contains(out.String(), "failed   server") {
		t.Errorf("doctor without a server: %d %s", code, out)
	}
}

func TestServerAddress(t *testing.T) {
	for in, want := range map[string]string{"pki.example.org": "https://pki.example.org", "https://pki.example.org:8443/": "https://pki.example.org:8443",
		"http://127.0.0.1:8600": "http://127.0.0.1:8600", "http://localhost": "http://localhost", "http://[::1]:1": "http://[::1]:1",
		"http://pki.example.org": "", "ftp://x": "", "https://x/api": "", "https://user:pw@x": "", "": "", "https://x?y": "", "://": ""} {
		got, err := serverAddress(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[31mb\nc\u202e"); got != "a?[31mb c?" {
		t.Errorf("%q", got)
	}
}

func TestConfirm(t *testing.T) {
	p, _, errs := program(t)
	s := &session{Program: p}
	if err := s.confirm("Delete %s?", "it"); codeOf(err) != codeUsage {
		t.Errorf("without a terminal: %v", err)
	}
	p.Terminal = true
	for answer, want := range map[string]int{"y\n": 0, "yes\n": 0, "n\n": codeConflict, "\n": codeConflict, "": codeConflict} {
		p.Stdin = strings.NewReader(answer)
		err := s.confirm("Delete %s?", "it")
		if (err == nil) != (want == 0) || err != nil && codeOf(err) != want {
			t.Errorf("%q: %v", answer, err)
		}
	}
	if !strings.HasPrefix(errs.String(), "Delete it? [y/N] ") {
		t.Errorf("asked %q", errs)
	}
	p.flags.yes = true
	p.Stdin = nil
	if err := s.confirm("x"); err != nil {
		t.Error(err)
	}
}

func TestPromptForSecrets(t *testing.T) {
	p, _, _ := program(t)
	p.Terminal = true
	p.ReadPassword = func(prompt string) (string, error) { return " typed ", nil }
	if s, err := p.askSecret("", "token"); err != nil || s.Reveal() != "typed" {
		t.Errorf("%v", err)
	}
	p.ReadPassword = func(string) (string, error) { return "", nil }
	if _, err := p.askSecret("", "token"); codeOf(err) != codeUsage {
		t.Errorf("nothing typed: %v", err)
	}
	p.Terminal, p.Stdin = false, strings.NewReader("piped\n")
	if s, err := p.askSecret("", "token"); err != nil || s.Reveal() != "piped" {
		t.Errorf("%v", err)
	}
	if _, err := p.askSecret("-", "password"); codeOf(err) != codeUsage {
		t.Errorf("standard input twice: %v", err)
	}
}

func TestToYAML(t *testing.T) {
	in := `{"b":"yes","a":{"list":["1","x: y","<\n>"],"empty":[],"none":{}},"n":1,"t":true,"s":"","d":"2027-01-31"}`
	out, err := toYAML([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	docs, err := readDocuments(out)
	if err != nil {
		t.Fatal(err)
	}
	var want document
	if err := json.Unmarshal([]byte(in), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(docs[0], want) {
		t.Errorf("there and back: %s\n%v", out, docs[0])
	}
	if !strings.HasPrefix(string(out), "b: ") {
		t.Errorf("the order is lost: %s", out)
	}
}

func TestPaths(t *testing.T) {
	for _, name := range []string{"a", "a/b", `a\b`, "a/b/c", `\`} {
		path := joinPath(joinPath("", name), "child")
		if got := organizationOf(path); got != ra.Fold(escapeName(name)) {
			t.Errorf("%q: the first step of %q is %q", name, path, got)
		}
	}
	a := document{"kind": "group", "name": "B", "parent": "A"}
	b := document{"kind": "group", "name": "a/b"}
	if a.key() == b.key() {
		t.Errorf("%q and %q are one", a, b)
	}
}

func TestDifferences(t *testing.T) {
	s := &session{}
	there := document{"kind": "endpoint", "name": "x", "template": "T", "settings": map[string]any{"challenge_life": "2h", "static": map[string]any{"set": true}, "challenge_uses": 1.0},
		"spec": map[string]any{"ekus": []any{"1.3.6.1.5.5.7.3.2"}}}
	for _, c := range []struct {
		name   string
		wanted document
		want   []string
	}{
		{"the same", there, nil},
		{"less", document{"kind": "endpoint", "name": "x"}, nil},
		{"another way to write it", document{"kind": "endpoint", "name": "x", "settings": map[string]any{"challenge_life": "120m"}}, nil},
		{"another value", document{"kind": "endpoint", "name": "x", "settings": map[string]any{"challenge_life": "3h"}}, []string{"settings.challenge_life"}},
		{"a secret kept", document{"kind": "endpoint", "name": "x", "settings": map[string]any{"static": map[string]any{"set": true}}}, nil},
		{"a new secret", document{"kind": "endpoint", "name": "x", "settings": map[string]any{"static": "abcdefghijklmnop"}}, []string{"settings.static"}},
		{"empty and absent", document{"kind": "endpoint", "name": "x", "group": "", "disabled": false}, nil},
		{"another template", document{"kind": "endpoint", "name": "x", "template": "U"}, []string{"template"}},
		{"a purpose by name", document{"kind": "template", "name": "x", "spec": map[string]any{"ekus": []any{"clientAuth"}}}, nil},
		{"another purpose", document{"kind": "template", "name": "x", "spec": map[string]any{"ekus": []any{"serverAuth"}}}, []string{"spec.ekus"}},
	} {
		var got []string
		for _, d := range s.differences(there, c.wanted) {
			got = append(got, d.field)
			if d.field == "settings.static" && d.show(d.after) != "(secret)" {
				t.Errorf("%s: the secret is shown: %s", c.name, d.show(d.after))
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestOrderOfDocuments(t *testing.T) {
	docs := inOrder([]document{{"kind": "device", "platform_id": "1"}, {"kind": "group", "name": "c", "parent": "a/b"}, {"kind": "template", "name": "t"}, {"kind": "group", "name": "b", "parent": "a"},
		{"kind": "authority", "name": "w", "settings": map[string]any{"revoke_through": "x"}}, {"kind": "authority", "name": "x"}, {"kind": "key-service", "name": "k"}, {"kind": "group", "name": "a"}})
	var got []string
	for _, d := range docs {
		got = append(got, d.title())
	}
	if want := "group a, group a/b, group a/b/c, key-service k, authority x, authority w, template t, device 1"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func FuzzReadDocuments(f *testing.F) {
	for _, s := range []string{"", "kind: group\nname: a\n", "---\nkind: group\n---\n{\"kind\":\"user\"}", "a: &a [*a]", "a: &a [x]\nb: [*a,*a]", "- 1", "? [x]\n: y", "\x00", "kind: 1\nname: [", "!!binary aaa"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		docs, err := readDocuments(raw)
		if err != nil {
			if ra.KindOf(err) != ra.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		for _, d := range docs {
			_, _, _ = checkDocuments([]document{d})
			_, _ = d.key(), d.title()
		}
	})
}

func TestReadLineTakesOneLine(t *testing.T) {
	r := strings.NewReader("first\nsecond")
	line, err := readLine(r)
	rest, _ := io.ReadAll(r)
	if err != nil || line != "first" || string(rest) != "second" {
		t.Errorf("%q %q %v", line, rest, err)
	}
}
