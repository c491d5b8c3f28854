package chancery_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chancery/internal/app"
	caall "chancery/internal/ca/all"
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
