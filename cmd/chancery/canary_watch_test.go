package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// page fetches a page and keeps it; a session cookie may be set in a header.
func (s *site) page(c *http.Client, method, path string, form url.Values, header http.Header) []byte {
	s.t.Helper()
	if c == nil {
		c = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(form.Encode()))
	s.must(err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := c.Do(r)
	s.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	s.must(err)
	if s.name == "" || form.Get("name") != s.name {
		s.keep(method+" "+path, b)
	}
	s.keep("Location of "+method+" "+path, []byte(res.Header.Get("Location")))
	return b
}

var links = regexp.MustCompile(`(?:href|src|action)="(/[^"#]*)`)

// walk follows every link of the console, one of each sort of page.
func (s *site) walk(browser *http.Client) {
	seen, queue := map[string]bool{}, []string{"/"}
	kinds := map[string]int{}
	ids := regexp.MustCompile(`[a-z]+_[0-9a-z]{26}|[?].*`)
	for len(queue) > 0 && len(seen) < 300 {
		path := strings.ReplaceAll(queue[0], "&amp;", "&")
		queue = queue[1:]
		kind := ids.ReplaceAllString(path, "*")
		if seen[path] || strings.HasPrefix(path, "/assets") || kinds[kind] > 5 {
			continue
		}
		seen[path] = true
		kinds[kind]++
		for _, m := range links.FindAllStringSubmatch(string(s.page(browser, "GET", path, nil, nil)), -1) {
			queue = append(queue, m[1])
		}
	}
	if len(kinds) < 25 {
		s.t.Errorf("the console showed %d sorts of pages only", len(kinds))
	}
}

// programs runs command lines that show or give out things.
func (s *site) programs() {
	dir := s.t.TempDir()
	for _, line := range []string{
		"status", "doctor", "doctor -o json", "serve --check", "export", "authority list -o yaml", "authority show own -o json", "endpoint list -o json", "token list -o json", "admin list -o yaml",
		"audit list --limit 0 -o json", "audit verify", "audit list --limit 0", "certificate list -o json", "request list -o json", "key status", "key status -o json", "context list", "version",
	} {
		s.run(strings.Fields(line)...)
	}
	backup := filepath.Join(dir, "one.backup")
	s.run("backup", backup)
	if b, err := os.ReadFile(backup); err == nil {
		s.keep("the backup", b)
	} else if s.backend == "" || strings.HasPrefix(s.backend, "sqlite") {
		s.t.Errorf("no backup: %v", err)
	}
	s.page(nil, "GET", "/metrics", nil, nil)
	s.page(nil, "GET", "/readyz", nil, nil)
	s.page(nil, "GET", "/debug/pprof/", nil, nil)
	s.page(nil, "GET", "/debug/vars", nil, nil)
}

// rotate replaces the master key while the server works, drops the former one,
// and marks both.
func (s *site) rotate() {
	s.masterKey("former master key")
	s.done("POST", "/master-key/rotate", nil)
	for end := time.Now().Add(2 * time.Minute); text(s.done("GET", "/master-key", nil), "state") != "alone"; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("the rotation of the master key does not end")
		}
	}
	if left := s.done("POST", "/master-key/drop", nil)["left"]; left != 0.0 {
		s.t.Errorf("%v secrets are left behind", left)
	}
	s.masterKey("master key")
}

// masterKey marks the one key in the master key file.
func (s *site) masterKey(name string) {
	file, err := os.ReadFile(filepath.Join(s.data, "master.key"))
	s.must(err)
	values := regexp.MustCompile(`"value": ?"([^"]+)"`).FindAllStringSubmatch(string(file), -1)
	if len(values) != 1 {
		s.t.Fatalf("the master key file holds %d keys", len(values))
	}
	raw, err := base64.StdEncoding.DecodeString(values[0][1])
	s.must(err)
	s.birds.add(s.t, name, raw[len(raw)-32:])
}

// crawl reads everything the API can tell.
func (s *site) crawl() {
	for _, path := range []string{"/groups", "/users", "/devices", "/authorities", "/templates", "/endpoints", "/requests", "/certificates", "/obligations", "/admins", "/tokens"} {
		for _, it := range s.list(path + "?limit=100") {
			s.ask("GET", path+"/"+text(it, "id"), nil)
		}
	}
	for _, path := range []string{"/users/export", "/devices/export", "/certificates/export", "/audit?limit=1000", "/calendar", "/me", "/status", "/master-key", "/endpoints/form", "/authorities/kinds", "/lookup-values"} {
		s.ask("GET", path, nil)
	}
	s.ask("POST", "/doctor", nil)
	s.ask("POST", "/audit/verify", nil)
	s.page(nil, "GET", "/api/openapi.json", nil, nil)
}

// process looks at the running process as others on the machine can.
func (s *site) process() {
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.server.Process.Pid, name))
		s.must(err)
		s.keep("/proc/"+name, b)
	}
}

// crash ends the server as a crash does, with every goroutine's stack.
func (s *site) crash() {
	s.must(s.server.Process.Signal(syscall.SIGQUIT))
	_ = s.server.Wait()
	b, err := os.ReadFile(s.log)
	s.must(err)
	if !bytes.Contains(b, []byte("goroutine ")) || !bytes.Contains(b, []byte("level=")) {
		s.t.Errorf("the log holds no crash: %.500s", b)
	}
	s.keep("the log with the crash", b)
}

// files reads what lies on disk: all of the data folder but the master key,
// and a dump of the database.
func (s *site) files() {
	read := 0
	s.must(filepath.WalkDir(s.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "master.key" || strings.Contains(path, "demo") {
			return err
		}
		b, err := os.ReadFile(path)
		s.keep("file "+d.Name(), b)
		read++
		return err
	}))
	if !strings.HasPrefix(s.backend, "postgres") {
		if read < 2 {
			s.t.Errorf("%d files only in the data folder", read)
		}
		return
	}
	dump := exec.Command("pg_dump", "--dbname="+s.backend)
	b, err := dump.CombinedOutput()
	if err != nil {
		s.t.Fatalf("pg_dump: %v %s", err, b)
	}
	s.keep("pg_dump", b)
}
