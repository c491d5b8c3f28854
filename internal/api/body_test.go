package api

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// endless is a body of any length that begins as one would.
type endless struct {
	start string
	taken int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.taken > 96<<20 {
		return 0, io.EOF // it was taken to be of any length
	}
	n := copy(p, e.start)
	e.start = e.start[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	e.taken += len(p)
	return len(p), nil
}

// TestEveryBodyIsBounded sends every operation a body without an end. Those that
// take one say that it is too large; nobody reads on.
func TestEveryBodyIsBounded(t *testing.T) {
	w := sqlite(t)
	doc := w.document()
	const slack = 12 << 20 // what the system holds between the two
	for _, r := range w.server.routes() {
		if r.Method == get {
			continue
		}
		most, kind, body := maxBody, "application/json", &endless{start: `{"name":"`}
		takes := doc[r.ID].RequestBody
		if takes != nil && takes.Content["text/csv"] != nil {
			most, kind, body = maxImport, "text/csv", &endless{start: "name\n"}
		}
		request, err := http.NewRequest(r.Method, w.url+prefix+strings.Replace(r.Path, "{id}", "none_0", 1), io.NopCloser(body))
		must(t, err)
		request.Header.Set("Authorization", "Bearer "+w.owner)
		request.Header.Set("Content-Type", kind)
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body) // the server reads no further and may cut the line
			answer.Body.Close()
			if takes != nil && answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %d", r.ID, answer.StatusCode)
			}
		} else if takes != nil {
			t.Errorf("%s: no answer: %v", r.ID, err)
		}
		if body.taken > most+slack {
			t.Errorf("%s: %d bytes were taken", r.ID, body.taken)
		}
	}
}

// TestBodyInVain: a large body is not read for somebody who may not bring it.
func TestBodyInVain(t *testing.T) {
	w := sqlite(t)
	var viewer struct{ Token string }
	w.do(http.StatusCreated, post, "/tokens", map[string]any{"name": "looker", "grants": []any{map[string]any{"role": "viewer"}}, "life": "30d"}, &viewer)
	doc, looked := w.document(), 0
	for _, r := range w.server.routes() {
		takes := doc[r.ID].RequestBody
		if takes == nil || takes.Content["text/csv"] == nil {
			continue
		}
		looked++
		body := &endless{start: "name\n"}
		request, err := http.NewRequest(r.Method, w.url+prefix+r.Path, io.NopCloser(body))
		must(t, err)
		request.Header.Set("Authorization", "Bearer "+viewer.Token)
		request.Header.Set("Content-Type", "text/csv")
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %d", r.ID, answer.StatusCode)
			}
		}
		if body.taken > 12<<20 {
			t.Errorf("%s: %d bytes were taken", r.ID, body.taken)
		}
	}
	if looked < 2 {
		t.Errorf("%d operations take a file", looked)
	}
}
