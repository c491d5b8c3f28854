package chancery_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chancery/internal/app"
	caall "chancery/internal/ca/all"
	"chancery/internal/dirpolicy"
	"chancery/internal/keypolicy"
	"chancery/internal/observe"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
)

var update = flag.Bool("update", false, "write the pages of the settings anew")

// TestMetricsPage keeps docs/metrics.md in step with the metrics.
func TestMetricsPage(t *testing.T) {
	path := filepath.Join("docs", "metrics.md")
	want := observe.Markdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the metrics say (%v); run go test . -update and read the difference", path, err)
	}
}

// TestSettingsPages keeps docs/settings in step with the descriptions of the
// settings: a change of one is a change of its page, read like code.
func TestSettingsPages(t *testing.T) {
	pages := map[string]string{
		"server.md":        setting.Markdown(&app.Config{}, "Server configuration"),
		"scep-endpoint.md": setting.Markdown(&sceppolicy.Endpoint{}, "SCEP endpoint"),
		"directory.md":     setting.Markdown(&dirpolicy.Settings{}, "Directory"),
		"key-service.md":   setting.Markdown(&keypolicy.Settings{}, "Key service"),
	}
	for _, k := range caall.Kinds() {
		pages["authority-"+k.ID+".md"] = setting.Markdown(k.New(), k.Title)
		if k.NewOptions != nil {
			pages["template-"+k.ID+".md"] = setting.Markdown(k.NewOptions(), k.Title+" in a template")
		}
	}
	dir := filepath.Join("docs", "settings")
	for name, want := range pages {
		path := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what the settings say; run go test . -update and read the difference", path)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := pages[f.Name()]; !ok && strings.HasSuffix(f.Name(), ".md") {
			t.Errorf("docs/settings/%s describes no settings any more", f.Name())
		}
	}
}

// TestSecurityPage: every lesson in docs/security.md has a test, and every test
// it names is there.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)\\w+)`")
	_, lessons, found := strings.Cut(string(page), "\n## Lessons\n")
	lessons, _, ended := strings.Cut(lessons, "\n## ")
	rows := 0
	for _, line := range strings.Split(lessons, "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 5 && !strings.Contains(line, "---") && !strings.HasPrefix(line, "| lesson") {
			if rows++; !named.MatchString(cells[3]) {
				t.Errorf("no test stands behind %s", strings.TrimSpace(cells[1]))
			}
		}
	}
	if !found || !ended || rows < 30 {
		t.Errorf("only %d lessons were found", rows)
	}
	tests := map[string]map[string]bool{} // by package
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		if tests[m[1]] == nil {
			tests[m[1]] = testsOf(t, m[1])
		}
		if !tests[m[1]][m[2]] {
			t.Errorf("there is no test %s in %s", m[2], m[1])
		}
	}
}

// testsOf lists the tests of a package: "chancery" is this one, the others are
// at their path, with or without internal/ before it.
func testsOf(t *testing.T, name string) map[string]bool {
	dir := filepath.Join("internal", name)
	if name == "chancery" {
		dir = "."
	} else if _, err := os.Stat(dir); err != nil {
		dir = name
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no tests (%v)", name, err)
	}
	out := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				out[f.Name.Name] = true
			}
		}
	}
	return out
}
