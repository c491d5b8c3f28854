package observe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"chancery/internal/ra"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func scrape(t *testing.T, o *Observer) string {
	t.Helper()
	w := httptest.NewRecorder()
	o.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if !slices.Contains(strings.Split(page, "\n"), want) {
			t.Errorf("no line %q", want)
		}
	}
}

func TestTelling(t *testing.T) {
	o, err := New(t.Context(), Options{Version: "1.2.3", Log: quiet, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	o.SCEP("PKCSReq", "failure", "badRequest", 3*time.Millisecond)
	o.SCEPProxied("Main", "PKIOperation", "success", 3*time.Millisecond)
	o.Enrolled("scep", "issued", 20*time.Millisecond)
	o.Enrolled("renewal", "failed", 0)
	o.Renewed(20 * 24 * time.Hour)
	ended := o.Calling("Main", time.Second)
	wantLines(t, scrape(t, o), `chancery_authority_inflight{authority="Main"} 1`)
	ended(ra.Errorf(ra.Unreachable, "x"))
	o.Revoked("Main", "keyCompromise")
	o.CRL("Main", time.Second)
	o.OCSP("good")
	o.Job("enroll.plan", "done", time.Second)
	o.SignIn("password", "refused")
	wantLines(t, scrape(t, o),
		`chancery_build_info{version="1.2.3"} 1`,
		`chancery_scep_messages_total{fail_info="badRequest",result="failure",type="PKCSReq"} 1`,
		`chancery_scep_duration_seconds_bucket{type="PKCSReq",le="0.005"} 1`,
		`chancery_scep_proxy_messages_total{authority="Main",operation="PKIOperation",result="success"} 1`,
		`chancery_scep_proxy_duration_seconds_bucket{authority="Main",operation="PKIOperation",le="0.005"} 1`,
		`chancery_enrollments_total{door="scep",result="issued"} 1`,
		`chancery_enrollment_duration_seconds_count{door="scep"} 1`,
		`chancery_enrollments_total{door="renewal",result="failed"} 1`,
		`chancery_renewal_slack_seconds_bucket{le="2.592e+06"} 1`,
		`chancery_renewal_slack_seconds_bucket{le="1.2096e+06"} 0`,
		`chancery_authority_inflight{authority="Main"} 0`,
		`chancery_authority_calls_total{authority="Main",result="unreachable"} 1`,
		`chancery_authority_wait_seconds_sum{authority="Main"} 1`,
		`chancery_revocations_total{authority="Main",reason="keyCompromise"} 1`,
		`chancery_crl_duration_seconds_count{authority="Main"} 1`,
		`chancery_ocsp_responses_total{status="good"} 1`,
		`chancery_job_runs_total{kind="enroll.plan",result="done"} 1`,
		`chancery_signins_total{method="password",result="refused"} 1`)
}

// TestNobodyWatches: a part that is used alone tells nobody.
func TestNobodyWatches(t *testing.T) {
	var o *Observer
	o.SCEP("", "", "", 0)
	o.SCEPProxied("", "", "", 0)
	o.Enrolled("", "", 1)
	o.Renewed(0)
	o.Calling("", 0)(nil)
	o.Revoked("", "")
	o.CRL("", 0)
	o.OCSP("")
	o.Job("", "", 0)
	o.SignIn("", "")
	o.Register(nil)
	ctx, span := o.Start(t.Context(), "x", "a", "b")
	span.Note("a", "b")
	span.End(errors.New("x"))
	if ctx != t.Context() {
		t.Error("the context changed")
	}
	h := http.NewServeMux()
	if o.HTTP("x", h) != http.Handler(h) {
		t.Error("the handler changed")
	}
	if err := o.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHTTP(t *testing.T) {
	o, err := New(t.Context(), Options{Log: quiet, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/devices/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == "none" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write([]byte("ok"))
		http.NewResponseController(w).Flush()
	})
	h := o.HTTP("people", mux)
	for _, path := range []string{"/api/v1/devices/dev_1", "/api/v1/devices/dev_2", "/api/v1/devices/none", "/made/up"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	page := scrape(t, o)
	wantLines(t, page,
		`chancery_http_requests_total{code="2xx",listener="people",route="/api/v1/devices/{id}"} 2`,
		`chancery_http_requests_total{code="4xx",listener="people",route="/api/v1/devices/{id}"} 1`,
		`chancery_http_requests_total{code="4xx",listener="people",route="other"} 1`)
	if strings.Contains(page, "made") || strings.Contains(page, "dev_1") {
		t.Error("a path of a client became a label")
	}
}

func TestState(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	now := start
	asked := 0
	var fail error
	state := func(context.Context) (State, error) {
		asked++
		return State{
			Audit: 12, Late: map[string]int64{"request": 2},
			Authorities: []AuthorityState{{Name: "Main", Up: true, Certificates: map[string]int64{"valid": 7}, Expiring: map[int]int64{7: 1, 90: 3},
				Requests: map[string]int64{"pending_at_ca": 4}, Due: 5, Late: 1, Failing: 2, NotAfter: start.Add(time.Hour)}},
			CRLs: []CRLState{{Authority: "Main", Issuer: "00ff", Number: 9, NextUpdate: start, Stale: true}},
			Own:  []OwnState{{Authority: "Main", Purpose: "scep_ra", NotAfter: start}},
		}, fail
	}
	o, err := New(t.Context(), Options{Log: quiet, State: state, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`chancery_certificates{authority="Main",state="valid"} 7`,
		`chancery_certificates_expiring{authority="Main",within_days="7"} 1`,
		`chancery_certificates_expiring{authority="Main",within_days="14"} 0`,
		`chancery_requests_waiting{authority="Main",state="pending_at_ca"} 4`,
		`chancery_renewals_due{authority="Main"} 5`, `chancery_renewals_late{authority="Main"} 1`, `chancery_renewals_blocked{authority="Main"} 2`,
		`chancery_authority_up{authority="Main"} 1`, `chancery_authority_not_after_timestamp_seconds{authority="Main"} 1.8000036e+09`,
		`chancery_own_certificate_not_after_timestamp_seconds{authority="Main",purpose="scep_ra"} 1.8e+09`,
		`chancery_crl_number{authority="Main",issuer="00ff",shard=""} 9`, `chancery_crl_stale{authority="Main",issuer="00ff",shard=""} 1`,
		`chancery_obligations_late{kind="request"} 2`, `chancery_audit_entries 12`,
	}
	wantLines(t, scrape(t, o), append(want, "chancery_state_age_seconds 0", "chancery_state_errors_total 0")...)
	now = now.Add(stateFor - time.Second)
	wantLines(t, scrape(t, o), append(want, "chancery_state_age_seconds 29")...)
	if asked != 1 {
		t.Errorf("asked %d times within a moment", asked)
	}
	now, fail = now.Add(time.Second), errors.New("no database")
	page := scrape(t, o)
	wantLines(t, page, "chancery_state_errors_total 1")
	if strings.Contains(page, "chancery_certificates{") {
		t.Error("old values are told as if they were new")
	}
	fail = nil
	wantLines(t, scrape(t, o), append(want, "chancery_state_errors_total 1")...)
}

// TestSpans has a receiver of OTLP read what was sent.
func TestSpans(t *testing.T) {
	got := make(chan *collector.ExportTraceServiceRequest, 4)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		m := &collector.ExportTraceServiceRequest{}
		if err == nil {
			err = proto.Unmarshal(b, m)
		}
		if err != nil || r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got <- m
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer server.Close()
	o, err := New(t.Context(), Options{Version: "1.2.3", Node: "node-1", Log: quiet, Now: time.Now, TraceURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, outer := o.Start(t.Context(), "scep.message", "endpoint", "devices", "empty", "")
	_, inner := o.Start(ctx, "authority.issue")
	inner.End(ra.Errorf(ra.Unreachable, "The CA at 192.0.2.1 said: secret."))
	outer.Note("request", "req_1")
	outer.End(nil)
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := <-got
	text := m.String()
	for _, want := range []string{"scep.message", "authority.issue", "chancery.endpoint", "devices", "req_1", "unreachable", "node-1", "1.2.3"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "chancery.empty") {
		t.Errorf("told too much: %s", text)
	}
	spans := m.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 2 || string(spans[0].ParentSpanId) != string(spans[1].SpanId) || string(spans[0].TraceId) != string(spans[1].TraceId) {
		t.Errorf("the spans are not one trace: %v", spans)
	}
	for _, bad := range []string{"127.0.0.1:4318", "ftp://127.0.0.1", "http://", "::"} {
		if _, err := New(t.Context(), Options{Log: quiet, TraceURL: bad}); ra.KindOf(err) != ra.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestRulesAndDashboard: what is shipped to watch the server asks for metrics
// that exist.
func TestRulesAndDashboard(t *testing.T) {
	names := map[string]bool{}
	for _, d := range slices.Concat(happening, standing) {
		names[d.name] = true
		if d.kind == "histogram" {
			names[d.name+"_bucket"], names[d.name+"_count"], names[d.name+"_sum"] = true, true, true
		}
	}
	mention := regexp.MustCompile(`chancery_[a-z_]+`)
	for _, file := range []string{"prometheus/chancery.rules.yaml", "grafana/chancery.json"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		found := mention.FindAllString(string(b), -1)
		if len(found) < 10 {
			t.Errorf("%s mentions %d metrics", file, len(found))
		}
		for _, name := range found {
			if !names[name] {
				t.Errorf("%s asks for %s, which does not exist", file, name)
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(b) {
			t.Errorf("%s is not JSON", file)
		}
	}
}
