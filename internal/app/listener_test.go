package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// reached is one listener as a client meets it.
type reached struct {
	name   string
	base   string
	client *http.Client
}

func (r *reached) do(t *testing.T, method, path string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return answer.StatusCode, ""
	}
	return answer.StatusCode, string(b)
}

// apart starts a server as production does, with every listener of its own.
func apart(t *testing.T) (people, devices, metrics, socket *reached) {
	t.Helper()
	cfg := config(t, "")
	cfg.DeviceListen, cfg.MetricsListen = "127.0.0.1:0", "127.0.0.1:0"
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	plain := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	local := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(a.Config.Data, socketName))
	}}}
	return &reached{"people", "http://" + a.Config.Listen, plain}, &reached{"devices", "http://" + a.Config.DeviceListen, plain},
		&reached{"metrics", "http://" + a.Config.MetricsListen, plain}, &reached{"socket", "http://local", local}
}

// TestListenersAreApart: devices reach no page and no operation meant for
// people, whatever they ask for, and people's address serves no device; the one
// for metrics has nothing else. The walk learns all addresses from the OpenAPI
// document and from the route table of the console.
func TestListenersAreApart(t *testing.T) {
	people, devices, metrics, _ := apart(t)
	status, text := people.do(t, http.MethodGet, "/api/openapi.json", nil)
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); status != http.StatusOK || err != nil || len(doc.Paths) < 40 {
		t.Fatalf("the document: %d %v", status, err)
	}
	addresses := map[string]bool{"GET /metrics": true, "GET /repair": true, "GET /api/docs": true, "GET /api/openapi.json": true, "GET /static/console.js": true, "GET /nowhere": true}
	for path, methods := range doc.Paths {
		for method := range methods {
			addresses[strings.ToUpper(method)+" "+path] = true
		}
	}
	source, err := os.ReadFile(filepath.Join("..", "console", "routes.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`pattern: "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		addresses[strings.TrimSuffix(m[1], "{$}")] = true
	}
	if len(addresses) < 180 {
		t.Errorf("only %d addresses are known", len(addresses))
	}
	for address := range addresses {
		method, path, _ := strings.Cut(address, " ")
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
		for _, l := range []*reached{devices, metrics} {
			if l == metrics && path == "/metrics" {
				continue
			}
			if status, text := l.do(t, method, path, nil); status != http.StatusNotFound && status != http.StatusMethodNotAllowed || len(text) > 100 {
				t.Errorf("%s on the listener for %s: %d %.200s", address, l.name, status, text)
			}
		}
	}
	for _, path := range []string{"/scep/devices?operation=GetCACaps", "/scep/x", "/pki/0123456789abcdef.crl", "/pki/0123456789abcdef.cer", "/ocsp/MEMw"} {
		if status, text := people.do(t, http.MethodGet, path, nil); status != http.StatusSeeOther && status != http.StatusNotFound || strings.Contains(text, "SCEP") {
			t.Errorf("%s on the listener for people: %d %.200s", path, status, text)
		}
	}
	if status, _ := people.do(t, http.MethodPost, "/ocsp", strings.NewReader("x")); status == http.StatusOK {
		t.Error("people's listener answers OCSP")
	}
	if status, _ := devices.do(t, http.MethodPost, "/ocsp", strings.NewReader("x")); status != http.StatusOK {
		t.Errorf("the devices' listener answers OCSP with %d", status)
	}
}

// TestNoDebugPages: no listener shows the inside of the process, not even to the
// owner of the machine.
func TestNoDebugPages(t *testing.T) {
	people, devices, metrics, socket := apart(t)
	for _, l := range []*reached{people, devices, metrics, socket} {
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/goroutine?debug=2", "/debug/vars", "/debug/requests", "/debug/", "/pprof/", "/vars", "/config", "/env"} {
			status, text := l.do(t, http.MethodGet, path, nil)
			if status == http.StatusOK || strings.Contains(text, "goroutine 1 [") || strings.Contains(text, "memstats") {
				t.Errorf("%s on the listener for %s: %d %.200s", path, l.name, status, text)
			}
		}
	}
}

// TestDeviceBodiesAreBounded: what is sent to the doors of devices without an
// end, in body or header, is cut off.
func TestDeviceBodiesAreBounded(t *testing.T) {
	_, devices, _, _ := apart(t)
	for path, want := range map[string]int{"/ocsp": http.StatusRequestEntityTooLarge, "/scep/x?operation=PKIOperation": http.StatusNotFound, "/pki/x.crl": http.StatusMethodNotAllowed} {
		if status, text := devices.do(t, http.MethodPost, path, bytes.NewReader(make([]byte, 1<<20))); status != want && status != 0 {
			t.Errorf("%s: %d %.200s, want %d", path, status, text, want)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, devices.base+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X", strings.Repeat("x", 1<<20))
	if answer, err := devices.client.Do(request); err == nil {
		answer.Body.Close()
		if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a megabyte of headers: %d", answer.StatusCode)
		}
	}
}
