package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &Client{HTTP: s.Client(), Base: s.URL + "/", Token: secret.New("tok")}
}

// TestErrors: what the server says comes back as it was there.
func TestErrors(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" || r.URL.Path != "/api/v1/groups/og_1%2F" && r.URL.EscapedPath() != "/api/v1/groups/og_1%2F" {
			t.Errorf("asked %s with %q", r.URL.EscapedPath(), r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(422)
		w.Write([]byte(`{"title":"x","status":422,"kind":"invalid","message":"M.","remedy":"R.","field":"f","errors":[{"field":"a","message":"A.","remedy":"B."}],"reference":"r1"}`))
	})
	_, err := c.Group(context.Background(), "og_1/")
	var e *ra.Error
	if !errors.As(err, &e) || e.Kind != ra.Invalid || e.Message != "M. (reference r1)" || e.Remedy != "R." || e.Field != "f" || len(e.Details) != 1 || e.Details[0].Remedy != "B." {
		t.Errorf("%#v", err)
	}
}

func TestNotTheAPI(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page":        func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"a proxy error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", 502) },
		"half a problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
			w.Write([]byte("{"))
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
		},
	} {
		if _, err := serve(t, h).Me(context.Background()); ra.KindOf(err) != ra.Unreachable || ra.AsError(err).Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone := &Client{HTTP: http.DefaultClient, Base: "http://127.0.0.1:1"}
	if _, err := gone.Me(context.Background()); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := gone.Me(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestValues(t *testing.T) {
	q := resource.CertificateQuery{CertificateFilter: resource.CertificateFilter{States: []string{"valid", "revoked"}, OwnToo: true,
		ExpiresBefore: time.Date(2027, 1, 31, 12, 0, 0, 0, time.FixedZone("", 3600))}, PageQuery: resource.PageQuery{Limit: 7, Sort: "-expires"}}
	if got, want := values(q).Encode(), "expires_before=2027-01-31T11%3A00%3A00Z&limit=7&own=true&sort=-expires&state=valid%2Crevoked"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Every query can be written, whatever is in it.
	for _, q := range []any{resource.GroupQuery{}, resource.UserQuery{}, resource.DeviceQuery{}, resource.AuthorityQuery{}, resource.TemplateQuery{}, resource.EndpointQuery{},
		resource.ChallengeQuery{}, resource.RequestQuery{}, resource.PassQuery{}, resource.CertificateQuery{}, resource.ObligationQuery{}, resource.AuditQuery{}, resource.AdminQuery{}, resource.DifferenceQuery{}, Import{}} {
		v := reflect.New(reflect.TypeOf(q)).Elem()
		fields := 0
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.Anonymous {
				continue
			}
			fields++
			x := v.FieldByIndex(f.Index)
			switch x.Interface().(type) {
			case string:
				x.SetString("x")
			case int:
				x.SetInt(1)
			case bool:
				x.SetBool(true)
			case time.Time:
				x.Set(reflect.ValueOf(time.Unix(1, 0)))
			case []string:
				x.Set(reflect.ValueOf([]string{"x"}))
			}
		}
		if got := len(values(v.Interface())); got != fields {
			t.Errorf("%T: %d of %d fields are written", q, got, fields)
		}
	}
}

func TestAll(t *testing.T) {
	pages := map[string]resource.Page[string]{"": {Items: []string{"a", "b"}, Next: "2"}, "2": {Items: []string{"c"}}}
	list := func(after string) (resource.Page[string], error) { return pages[after], nil }
	if got, err := Collect(list); err != nil || strings.Join(got, "") != "abc" {
		t.Errorf("%v %v", got, err)
	}
	for item := range All(list) {
		if item != "a" {
			t.Errorf("went on to %q", item)
		}
		break
	}
	broken := func(after string) (resource.Page[string], error) {
		if after == "2" {
			return resource.Page[string]{}, errors.New("x")
		}
		return pages[after], nil
	}
	if _, err := Collect(broken); err == nil {
		t.Error("an error was lost")
	}
}
