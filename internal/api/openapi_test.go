package api

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata")

// TestOpenAPI keeps the document as a file, so that a change of the API is read
// like code.
func TestOpenAPI(t *testing.T) {
	w := sqlite(t)
	code, b, h := w.send("", get, "/api/openapi.json", nil)
	if code != http.StatusOK || h.Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("%d %v", code, h)
	}
	path := filepath.Join("testdata", "openapi.json")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, append(b, '\n'), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if string(want) != string(b)+"\n" {
		t.Error("the OpenAPI document changed: look at what go test ./internal/api -run OpenAPI -update does to testdata/openapi.json")
	}

	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string         `json:"operationId"`
			Responses   map[string]any `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	must(t, json.Unmarshal(b, &doc))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for _, r := range w.server.routes() {
		op := doc.Paths[prefix+r.Path][strings.ToLower(r.Method)]
		if op.OperationID != r.ID || op.Responses["default"] == nil {
			t.Errorf("%s is not described: %+v", r.ID, op)
		}
	}
	for _, m := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
		if doc.Components.Schemas[m[1]] == nil {
			t.Errorf("there is no schema %s", m[1])
		}
	}
	for _, name := range []string{"SettingsEmbedded", "SettingsEndpoint", "Problem", "TemplateSpec"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
}

// TestRoutes: every operation has its own ID, address and line of help.
func TestRoutes(t *testing.T) {
	ids, addresses := map[string]bool{}, map[string]bool{}
	for _, r := range (&Server{}).routes() {
		address := r.Method + " " + r.Path
		if ids[r.ID] || addresses[address] || r.About == "" || r.bind == nil {
			t.Errorf("%s %s is there twice or says nothing", r.ID, address)
		}
		ids[r.ID], addresses[address] = true, true
	}
}

func TestReferencePage(t *testing.T) {
	w := sqlite(t)
	code, b, h := w.send("", get, "/api/docs", nil)
	page := string(b)
	if code != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), "text/html") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("%d %v", code, h)
	}
	for _, r := range w.server.routes() {
		if !strings.Contains(page, `id="`+r.ID+`"`) {
			t.Errorf("%s is not on the page", r.ID)
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("the link to %s leads nowhere", m[1])
		}
	}
	if regexp.MustCompile(`(?i)<script|src=|https?://|@import`).MatchString(page) {
		t.Error("the page loads something from elsewhere")
	}
}
