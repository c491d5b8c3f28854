package api

import (
	"encoding/json"
	"net/http"
	"strings"
)

// parameter is one of an operation's in the document.
type parameter struct {
	Name   string `json:"name"`
	In     string `json:"in"`
	Schema struct {
		Type   any    `json:"type"`
		Format string `json:"format"`
		Enum   []any  `json:"enum"`
	} `json:"schema"`
}

// documented is what the document says of one operation.
type documented struct {
	Parameters  []parameter `json:"parameters"`
	RequestBody *struct {
		Content map[string]json.RawMessage `json:"content"`
	} `json:"requestBody"`
}

// document reads the OpenAPI document, by operation ID: the tests that walk all
// operations learn from it what each takes.
func (w *world) document() map[string]documented {
	w.t.Helper()
	code, b, _ := w.send("", get, "/api/openapi.json", nil)
	if code != http.StatusOK {
		w.t.Fatalf("document: %d %s", code, b)
	}
	var doc struct {
		Paths map[string]map[string]documented `json:"paths"`
	}
	must(w.t, json.Unmarshal(b, &doc))
	out := map[string]documented{}
	for _, r := range w.server.routes() {
		out[r.ID] = doc.Paths[prefix+r.Path][strings.ToLower(r.Method)]
	}
	return out
}

// lists gives the routes that answer with many things.
func (w *world) lists() []route {
	var out []route
	for _, r := range w.server.routes() {
		if r.Method == get && !strings.Contains(r.Path, "{id}") && (strings.HasPrefix(r.ID, "list-") || strings.HasPrefix(r.ID, "export-")) {
			out = append(out, r)
		}
	}
	return out
}

// needed are the parameters a list cannot do without.
func needed(r route, s set) string {
	if r.ID == "list-challenges" {
		return "device_id=" + s.Device + "&"
	}
	return ""
}
