package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

func TestStatusOfEveryKind(t *testing.T) {
	if len(status) != len(ra.Kinds) {
		t.Errorf("the table has %d kinds, there are %d", len(status), len(ra.Kinds))
	}
	for _, k := range ra.Kinds {
		code, ok := status[k]
		if !ok || code < 400 || code > 599 {
			t.Errorf("kind %q has the status %d", k, code)
		}
	}
}

// TestFrameworkErrors: what the framework refuses has the same shape as what a
// capability refuses, and repeats nothing of what was sent.
func TestFrameworkErrors(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	const canary = "canary-7f3a"
	for _, c := range []struct {
		name, method, path string
		body               any
		headers            []string
		status             int
		kind, field        string
	}{
		{"not JSON", post, "/groups", []byte("{" + canary), nil, 400, "invalid", ""},
		{"no body", post, "/groups", nil, nil, 400, "invalid", ""},
		{"unknown field", post, "/groups", map[string]any{"nam": canary}, nil, 422, "invalid", "nam"},
		{"wrong type", post, "/groups", map[string]any{"name": []string{canary}}, nil, 422, "invalid", "name"},
		{"not in the list", post, "/devices", map[string]any{"platform": canary}, nil, 422, "invalid", "platform"},
		{"unknown parameter", get, "/groups?colour=" + canary, nil, nil, 422, "invalid", "colour"},
		{"bad number", get, "/groups?limit=" + canary, nil, nil, 422, "invalid", "limit"},
		{"number out of range", get, "/groups?limit=1001", nil, nil, 422, "invalid", "limit"},
		{"bad time", get, "/certificates?expires_before=" + canary, nil, nil, 422, "invalid", "expires_before"},
		{"bad cursor", get, "/groups?after=" + canary, nil, nil, 422, "invalid", "after"},
		{"bad order", get, "/groups?sort=" + canary, nil, nil, 422, "invalid", "sort"},
		{"content type", post, "/groups", []byte("a: b"), []string{"Content-Type", "application/x-yaml"}, 415, "invalid", ""},
		{"password of a wrong type", post, "/admins/" + s.Admin + "/password", map[string]any{"password": map[string]any{"x": canary}}, nil, 422, "invalid", "password"},
		{"secret of a wrong type", patch, "/endpoints/" + s.Endpoint, map[string]any{"settings": map[string]any{"static": []string{canary}}}, nil, 422, "invalid", "settings.static"},
		{"too large", post, "/groups", map[string]any{"name": strings.Repeat("x", maxBody+1)}, nil, 413, "too_large", ""},
		{"no such address", get, "/elsewhere", nil, nil, 404, "not_found", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, b, h := w.send(w.owner, c.method, prefix+c.path, c.body, c.headers...)
			var p resource.Problem
			if err := json.Unmarshal(b, &p); err != nil {
				t.Fatalf("%d %s: %v", code, b, err)
			}
			if code != c.status || p.Kind != c.kind || p.Field != c.field || p.Message == "" || p.Remedy == "" || h.Get("Content-Type") != problemType {
				t.Errorf("got %d %s, want %d %s %q", code, b, c.status, c.kind, c.field)
			}
			if c.name != "bad order" && strings.Contains(string(b), canary) {
				t.Errorf("what was sent is repeated: %s", b)
			}
		})
	}
}

// TestSeveralFields: every bad field is named at once.
func TestSeveralFields(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	p := w.refused(w.owner, 422, post, prefix+"/templates", map[string]any{"group_id": s.Group, "authority_id": s.Authority, "name": "x",
		"spec": map[string]any{"subject": "CN={Nobody}", "key_type": "rsa-512", "usage": "fun"}})
	var fields []string
	for _, e := range p.Errors {
		if e.Message == "" || e.Remedy == "" {
			t.Errorf("incomplete: %+v", e)
		}
		fields = append(fields, e.Field)
	}
	if got := strings.Join(fields, " "); got != "spec.subject spec.key_type spec.usage" {
		t.Errorf("fields %q", got)
	}
}

// TestInternalError: the outside gets a reference, the log gets the cause.
func TestInternalError(t *testing.T) {
	w := sqlite(t)
	for _, err := range []error{errors.New("secret table is broken"), ra.Errorf(ra.Internal, "secret table %q is broken", "x").WithCause(errors.New("cause"))} {
		r := httptest.NewRecorder()
		w.server.fail(r, httptest.NewRequest(get, "/api/x", nil), err)
		var p resource.Problem
		must(t, json.Unmarshal(r.Body.Bytes(), &p))
		if p.Status != 500 || p.Reference == "" || strings.Contains(r.Body.String(), "secret") {
			t.Errorf("%s", r.Body)
		}
		if log := w.log.String(); !strings.Contains(log, p.Reference) || !strings.Contains(log, "secret table") {
			t.Errorf("log without reference or cause: %s", log)
		}
	}
	p := w.server.problemOf(context.Background(), "x", context.DeadlineExceeded)
	if p.Kind != string(ra.Busy) || p.headers.Get("Retry-After") == "" {
		t.Errorf("a timeout: %+v", p)
	}
	h := w.server.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }))
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(get, "/api/x", nil))
	if r.Code != 500 || strings.Contains(r.Body.String(), "secret") {
		t.Errorf("a panic: %d %s", r.Code, r.Body)
	}
}

func TestCredentials(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.refused("", http.StatusUnauthorized, get, prefix+"/me", nil)
		if p.Kind != string(ra.Unsigned) {
			t.Errorf("without a token: %+v", p)
		}
		_, _, h := w.send("", get, prefix+"/me", nil)
		if !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("no challenge: %v", h)
		}
		w.refused("", http.StatusUnauthorized, get, prefix+"/me", nil, "Cookie", "__Host-session="+w.owner)
		w.refused("", http.StatusUnauthorized, get, prefix+"/me", nil, "Authorization", "Basic "+w.owner)
		w.refused("", http.StatusUnauthorized, get, prefix+"/me", nil, "Authorization", "Bearer")
		w.refused("", http.StatusUnauthorized, get, prefix+"/me?token="+w.owner, nil)
		w.refused(strings.Repeat("x", 5000), http.StatusUnauthorized, get, prefix+"/me", nil)

		var me resource.Me
		w.do(http.StatusOK, get, "/me", nil, &me)
		if me.Kind != "token" || me.Name != "owner" || me.Via != "api" || len(me.Grants) != 1 || me.Grants[0].Role != "owner" {
			t.Errorf("me: %+v", me)
		}

		// A trusted listener names the actor; a token that comes along counts.
		local := httptest.NewServer(Trusted(w.server.Handler(), ra.Actor{Kind: ra.ActorLocal, Name: "local", Via: "cli", Grants: []ra.Grant{{Role: ra.RoleOwner}}}))
		defer local.Close()
		there := *w
		there.url = local.URL
		code, b, _ := there.send("", get, prefix+"/me", nil)
		if code != http.StatusOK || !strings.Contains(string(b), `"kind":"local"`) {
			t.Errorf("trusted: %d %s", code, b)
		}
		there.refused("wrong", http.StatusUnauthorized, get, prefix+"/me", nil)
	})
}

// TestGuessing: wrong tokens from one address become too many, whatever
// address a header claims, and only for a while.
func TestGuessing(t *testing.T) {
	w := sqlite(t)
	now := time.Now()
	w.server.Now = func() time.Time { return now }
	for i := range failBurst {
		code, b, _ := w.send("chy_wrong", get, prefix+"/me", nil, "X-Forwarded-For", strings.Repeat("1", i%3+1)+".1.1.1")
		if code != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d %s", i, code, b)
		}
	}
	w.refused("chy_wrong", http.StatusTooManyRequests, get, prefix+"/me", nil, "X-Forwarded-For", "9.9.9.9")
	_, _, h := w.send("chy_wrong", get, prefix+"/me", nil)
	if h.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", h.Get("Retry-After"))
	}
	now = now.Add(time.Minute)
	w.do(http.StatusOK, get, "/me", nil, nil)
}

func TestLimiterForgets(t *testing.T) {
	var l limiter
	now := time.Now()
	for i := range maxHosts + 10 {
		l.failed(string(rune('a'+i%26))+strings.Repeat("x", i/26), now)
	}
	if len(l.hosts) > maxHosts {
		t.Errorf("%d addresses are remembered", len(l.hosts))
	}
	l.failed("quiet", now)
	l.forget(now.Add(time.Hour))
	if len(l.hosts) != 0 {
		t.Errorf("%d quiet addresses are remembered", len(l.hosts))
	}
}
