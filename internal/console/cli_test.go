package console

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"chancery/internal/cli"
	"chancery/internal/setting"
)

// nothing is a configuration without settings.
type nothing struct{}

func (nothing) Describe(*setting.Form) {}

// TestCommandLinesExist reads the command lines off every page and asks the
// command line itself whether it knows each command and flag.
func TestCommandLinesExist(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	where := map[string]string{}
	for _, r := range routes {
		method, path := w.addressOf(r)
		if method != http.MethodGet || strings.HasPrefix(path, "/sign-in") {
			continue
		}
		lines := commandLines(b.get(path).body)
		for _, line := range lines {
			where[line] = r.pattern
		}
		// A page about one object says how the command line does the same.
		if strings.HasSuffix(r.pattern, "/{id}") && len(lines) == 0 {
			t.Errorf("%s shows no command line", r.pattern)
		}
	}
	if len(where) < 40 {
		t.Errorf("only %d command lines were found", len(where))
	}
	for line, pattern := range where {
		args := strings.Fields(line)[1:]
		verb := strings.Join(slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })[:min(2, len(args))], " ")
		if len(args) == 1 {
			verb = args[0]
		}
		var out, complaint bytes.Buffer
		p := &cli.Program{Version: "test", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &complaint, LookupEnv: func(string) (string, bool) { return "", false },
			Contexts: filepath.Join(t.TempDir(), "contexts"), Now: time.Now, Config: nothing{}}
		if code := p.Run(context.Background(), append(args, "--help")); code != 0 || !strings.Contains(out.String(), "chancery "+verb) {
			t.Errorf("%s: %q is not understood: %d %s", pattern, line, code, complaint.String())
		}
	}
}

// commandLines gives what stands under "On the command line".
func commandLines(page string) []string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return nil
	}
	var out []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "aside" || attr(n, "class") != "cli" {
			continue
		}
		for d := range n.Descendants() {
			if d.Type == html.ElementNode && d.Data == "code" {
				out = append(out, text(d))
			}
		}
	}
	return out
}
