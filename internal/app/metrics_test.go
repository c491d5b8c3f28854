package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/signin"
	"chancery/internal/testpeer"
)

// TestMetrics has Debian's Prometheus read the metrics of a server in which
// something happened, and evaluate the rules that are shipped.
func TestMetrics(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, name, address string) {
		cfg := config(t, address)
		cfg.MetricsListen = "127.0.0.1:0"
		s := startSite(t, cfg)
		cert, err := s.scep(s.ask("ada-iphone", s.challenge("ada-iphone")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Signin.SignIn(t.Context(), "nobody", secret.New("wrong password, long enough"), "192.0.2.1"); ra.KindOf(err) != ra.Denied && ra.KindOf(err) != ra.Unsigned {
			t.Fatal(err)
		}
		_, _, page := fetch(t, "http://"+s.Config.MetricsListen+"/metrics", "")
		for _, want := range []string{
			`chancery_build_info{version="` + Version + `"} 1`,
			`chancery_scep_messages_total{fail_info="",result="success",type="PKCSReq"} 1`,
			`chancery_enrollments_total{door="scep",result="issued"} 1`,
			`chancery_authority_calls_total{authority="` + s.ca.Name + `",result="ok"} 2`, // the SCEP RA and the device
			`chancery_signins_total{method="password",result="refused"} 1`,
			`chancery_certificates{authority="` + s.ca.Name + `",state="valid"} 1`,
			`chancery_certificates_expiring{authority="` + s.ca.Name + `",within_days="7"} 0`,
			`chancery_authority_up{authority="` + s.ca.Name + `"} 1`,
			`chancery_renewals_late{authority="` + s.ca.Name + `"} 0`,
			`chancery_own_certificate_not_after_timestamp_seconds{authority="` + s.ca.Name + `",purpose="scep_ra"}`,
			`chancery_http_requests_total{code="2xx",listener="people",route="/scep/{endpoint}"}`,
			`go_sql_open_connections{db_name="write"}`,
		} {
			if !strings.Contains(page, "\n"+want) {
				t.Errorf("no %s", want)
			}
		}
		if strings.Contains(page, cert.Subject.CommonName) {
			t.Error("a subject became a label")
		}
		check := exec.Command("promtool", "check", "metrics")
		check.Stdin = strings.NewReader(page)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
		whoMayRead(t, s)
		if name == "sqlite" {
			readByPrometheus(t, s)
		}
	})
}

// whoMayRead: the console's address gives metrics to tokens that may see the
// whole installation, and devices' addresses to nobody.
func whoMayRead(t *testing.T, s *site) {
	token := func(grant ra.Grant) string {
		_, text, err := s.Signin.CreateToken(t.Context(), localActor(), signin.TokenInput{Name: string(grant.Role) + string(grant.Group), Grants: []ra.Grant{grant}, Life: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return text.Reveal()
	}
	for _, tc := range []struct {
		who, token string
		want       int
	}{
		{"nobody", "", 401},
		{"a wrong token", "chy_wrong", 401},
		{"a viewer of one group", token(ra.Grant{Role: ra.RoleViewer, Group: s.ca.GroupID}), 403},
		{"a viewer of everything", token(ra.Grant{Role: ra.RoleViewer}), 200},
	} {
		status, _, body := fetch(t, s.url("/metrics"), tc.token)
		if status != tc.want || strings.Contains(body, "chancery_build_info") != (tc.want == 200) {
			t.Errorf("%s gets %d", tc.who, status)
		}
	}
}

func readByPrometheus(t *testing.T, s *site) {
	p := testpeer.StartPrometheus(t, s.Config.MetricsListen, filepath.Join("..", "..", "deploy", "prometheus", "chancery.rules.yaml"))
	query := func(q string) (value string) {
		var a struct {
			Status string
			Data   struct {
				Result []struct{ Value [2]any }
			}
		}
		_, _, body := fetch(t, p.URL+"/api/v1/query?query="+url.QueryEscape(q), "")
		if err := json.Unmarshal([]byte(body), &a); err != nil || a.Status != "success" {
			t.Fatalf("%s: %v, %s", q, err, body)
		}
		if len(a.Data.Result) == 1 {
			value, _ = a.Data.Result[0].Value[1].(string)
		}
		return value
	}
	within := time.Now().Add(time.Minute)
	for query(`sum(chancery_certificates{state="valid"})`) != "1" {
		if time.Now().After(within) {
			t.Fatalf("Prometheus does not know the certificate; up is %q", query(`up{job="chancery"}`))
		}
		time.Sleep(200 * time.Millisecond)
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, Health, LastError, State, LastEvaluation string
				}
			}
		}
	}
	for evaluated := false; !evaluated; {
		if time.Now().After(within) {
			t.Fatalf("the rules are not evaluated: %+v", rules)
		}
		_, _, body := fetch(t, p.URL+"/api/v1/rules", "")
		if err := json.Unmarshal([]byte(body), &rules); err != nil || len(rules.Data.Groups) != 1 || len(rules.Data.Groups[0].Rules) < 10 {
			t.Fatalf("%v: %s", err, body)
		}
		evaluated = true
		for _, r := range rules.Data.Groups[0].Rules {
			evaluated = evaluated && r.Health != "unknown"
		}
	}
	for _, r := range rules.Data.Groups[0].Rules {
		if r.Health != "ok" || r.State == "firing" {
			t.Errorf("rule %s: %s, %s %s", r.Name, r.State, r.Health, r.LastError)
		}
	}
}

func fetch(t *testing.T, url, token string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header, string(b)
}
