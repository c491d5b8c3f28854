package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// run runs one command line and keeps what it prints; it may fail.
func (s *site) run(args ...string) []byte {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.bin, args...)
	c.Env = s.env
	out, _ := c.CombinedOutput()
	s.keep("chancery "+strings.Join(args, " "), out)
	return out
}

func (s *site) start() {
	s.t.Helper()
	s.log = filepath.Join(s.t.TempDir(), "log")
	f, err := os.Create(s.log)
	s.must(err)
	defer f.Close()
	s.server = exec.Command(s.bin, "serve")
	s.server.Env, s.server.Stdout, s.server.Stderr = s.env, f, f
	s.must(s.server.Start())
	s.t.Cleanup(func() { _ = s.server.Process.Kill(); _ = s.server.Wait() })
	s.local = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(s.data, "chancery.sock"))
	}}}
	for _, v := range s.env {
		if listen, ok := strings.CutPrefix(v, "CHANCERY_LISTEN="); ok {
			s.base = "http://" + listen
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		res, err := s.local.Get("http://local/api/v1/me") // the socket opens last
		if err == nil {
			res.Body.Close()
			return
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(s.log)
			s.t.Fatalf("the server does not answer: %v\n%s", err, log)
		}
	}
}

// ask calls the API as the owner of the machine and keeps the answer.
func (s *site) ask(method, path string, body any) []byte {
	s.t.Helper()
	_, b := s.call(method, path, body)
	s.keep(method+" "+path, b)
	return b
}

// call is ask without keeping: for the one answer that shows a secret.
func (s *site) call(method, path string, body any) (int, []byte) {
	s.t.Helper()
	var in io.Reader
	if text, ok := body.(string); ok {
		in = strings.NewReader(text)
	} else if body != nil {
		b, err := json.Marshal(body)
		s.must(err)
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://local/api/v1"+path, in)
	s.must(err)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := s.local.Do(r)
	s.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	s.must(err)
	for name, values := range res.Header {
		s.keep("header of "+method+" "+path, []byte(name+": "+strings.Join(values, "\n")))
	}
	return res.StatusCode, b
}

type object = map[string]any

// done asks and wants a success, whose answer it reads.
func (s *site) done(method, path string, body any) object {
	s.t.Helper()
	code, b := s.call(method, path, body)
	s.keep(method+" "+path, b)
	var out object
	if code >= 300 || len(b) > 0 && json.Unmarshal(b, &out) != nil {
		s.t.Fatalf("%s %s: %d %s", method, path, code, b)
	}
	return out
}

// once is done for an answer that shows a secret, the only one that may.
func (s *site) once(method, path string, body any) object {
	s.t.Helper()
	code, b := s.call(method, path, body)
	var out object
	if code >= 300 || json.Unmarshal(b, &out) != nil {
		s.t.Fatalf("%s %s: %d", method, path, code)
	}
	return out
}

func (s *site) list(path string) (items []object) {
	s.t.Helper()
	for _, it := range s.done("GET", path, nil)["items"].([]any) {
		items = append(items, it.(object))
	}
	if len(items) == 0 {
		s.t.Fatalf("%s lists nothing", path)
	}
	return items
}

func text(o object, name string) string { v, _ := o[name].(string); return v }
