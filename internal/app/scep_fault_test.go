package app

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

// fillCache has somebody else open the challenge page until it shows no more
// challenges.
func fillCache(t *testing.T, double *ndes.Server) {
	t.Helper()
	u, err := url.Parse(double.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	web := http.Client{Transport: &httpauth.Transport{Host: u.Host, Way: httpauth.Way{Dial: (&net.Dialer{}).DialContext},
		Login: httpauth.Login{Scheme: httpauth.NTLM, User: `CORP\enroller`, Password: secret.New("a-service-password")}}}
	for double.Counts().Outstanding < 5 {
		r, err := web.Get(double.AdminURL())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("the challenge page: HTTP %d, %v", r.StatusCode, err)
		}
		r.Body.Close()
	}
}

// TestSCEPFaults: whatever is broken, "chancery trace show" names the hop that
// failed, says why in words, and what to do.
func TestSCEPFaults(t *testing.T) {
	clock := &clock{}
	front := startFront(t, clock.now)
	refused := func(t *testing.T, v *traveller) {
		t.Helper()
		if _, err := v.office.PassParameters(t.Context(), v.pass.ID); err == nil {
			t.Error("there was a challenge all the same")
		}
	}
	failed := func(t *testing.T, v *traveller, between func()) {
		t.Helper()
		v.fetch()
		c, err := v.simple(0)
		if err == nil {
			err = c.look(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		between()
		if _, err := c.send(t.Context()); err == nil {
			t.Error("the device got a certificate all the same")
		}
	}
	for _, f := range []struct {
		name   string
		server ndes.Config
		seed   func(t *testing.T, v *traveller, double *ndes.Server)
		hop    string // the number and the name of the step, and who takes it
		why    string
		remedy string
	}{
		{"cache full", ndes.Config{}, func(t *testing.T, v *traveller, double *ndes.Server) {
			fillCache(t, double)
			refused(t, v)
		}, "step 2, Answer with a challenge (SCEP server)", "password cache is full", "raise PasswordMax on the server, or wait an hour"},
		{"wrong length", ndes.Config{PasswordLength: 4}, func(t *testing.T, v *traveller, _ *ndes.Server) { refused(t, v) },
			"step 2, Answer with a challenge (SCEP server)", "challenges have 8 characters, and 16 are set", "Set the SCEP challenge length to 8"},
		{"backend down", ndes.Config{}, func(t *testing.T, v *traveller, double *ndes.Server) {
			failed(t, v, func() {
				if err := double.Close(); err != nil {
					t.Error(err)
				}
			})
		}, "step 16, Check the token and pass the message on (Chancery)", `The server of "backend down" does not answer`, "Test the connection of the authority"},
		{"query too long", ndes.Config{Caps: []string{"SHA-256", "DES3"}}, func(t *testing.T, v *traveller, _ *ndes.Server) { failed(t, v, func() {}) },
			"step 17, Answer with the certificate (SCEP server)", "HTTP status 404", "a query that is too long"},
		{"RA certificate expired", ndes.Config{RALife: 10 * time.Minute}, func(t *testing.T, v *traveller, _ *ndes.Server) {
			failed(t, v, func() { clock.skip(11 * time.Minute) })
		}, "step 17, Answer with the certificate (SCEP server)", "HTTP status 500", "RA certificates"},
		{"expired token", ndes.Config{}, func(t *testing.T, v *traveller, _ *ndes.Server) {
			failed(t, v, func() { clock.skip(16 * time.Minute) })
		}, "step 16, Check the token and pass the message on (Chancery)", "The pass expired at", "Make a new pass, and bring it to the device sooner"},
		{"expired token at the first look", ndes.Config{}, func(t *testing.T, v *traveller, _ *ndes.Server) {
			v.fetch()
			clock.skip(16 * time.Minute)
			c, err := v.simple(0)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.look(t.Context()); err == nil {
				t.Error("an expired token shows certificates")
			}
		}, "step 6, Ask for the CA certificates (GetCACert) (device)", "The pass expired at", "Make a new pass, and bring it to the device sooner"},
	} {
		t.Run(f.name, func(t *testing.T) {
			f.server.Now = clock.now
			double, settings := startNDES(t, f.server)
			world := *front
			world.t = t
			v := world.behind(f.name, "ndes", double.Issuer(), settings).announceFor(t, strings.ReplaceAll(f.name, " ", "-"), ra.PassProxy, "15m")
			f.seed(t, v, double)
			said := v.chancery("trace", "show", v.pass.ID)
			want := fmt.Sprintf(`(?s)(Failed|Held up): %s\n +Why: +[^\n]*%s[^\n]*\n +Do: +[^\n]*%s`, regexp.QuoteMeta(f.hop), regexp.QuoteMeta(f.why), regexp.QuoteMeta(f.remedy))
			if !regexp.MustCompile(want).MatchString(said) {
				t.Errorf("want %s in\n%s", want, said)
			}
			trace, err := v.office.Trace(t.Context(), v.pass.ID)
			if err != nil || trace.Problem == nil || !strings.HasPrefix(f.hop, fmt.Sprintf("step %d, %s", trace.Problem.Number, trace.Problem.Title)) {
				t.Errorf("the API has it that the problem is %+v, %v", trace.Problem, err)
			}
		})
	}
}
