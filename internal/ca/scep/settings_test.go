package scep_test

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/scep"
	"chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// TestSettingsRefused: what cannot work is refused at its field.
func TestSettingsRefused(t *testing.T) {
	for field, c := range map[string]struct {
		value any
		word  string
	}{
		"url":             {"https://scep.example.test/scep?operation=GetCACert", "query"},
		"fingerprint":     {"12:34", "64"},
		"thumbprint":      {"zz", "32, 40 or 64"},
		"retry_timeout":   {"0s", "Windows"},
		"max_retries":     {0, "1"},
		"proxy_at_once":   {0, "1"},
		"marker":          {"dc", "ou"},
		"challenge_type":  {"dynamic", "static"},
		"legacy_accepted": {false, "Tick"},
	} {
		values := map[string]any{"url": "https://scep.example.test/scep", field: c.value}
		if field == "legacy_accepted" {
			values["floor"] = "legacy"
		}
		raw, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		s := &scep.Settings{}
		setting.Defaults(s)
		if e := wantError(t, setting.FromJSON(s, raw), ra.Invalid, c.word); e.Field != field {
			t.Errorf("%s: field %q", field, e.Field)
		}
	}
}

// TestSCEP: devices and the proxy are told what the settings say.
func TestSCEP(t *testing.T) {
	w := newWorld(t, map[string]any{"url": "https://scep.example.test/scep", "ca_identifier": "two", "floor": "compat", "retry_timeout": "2m", "max_retries": 7,
		"proxy_at_once": 3, "proxy_queue": 9, "marker": "ou"})
	want := ca.SCEPServer{URL: "https://scep.example.test/scep", CAIdentifier: "two", Floor: scepmsg.Compat, ByProxy: true, Retries: 7, RetryDelay: 2 * time.Minute,
		InFlight: 3, Queue: 9, Marker: "OU"}
	if got := w.SCEP(); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	got, err := w.Challenge(t.Context(), ca.ChallengeOrder{ID: "req_1", Subject: subject(t, "CN=pad")})
	if err != nil || got.Secret.IsSet() || got.URL != want.URL {
		t.Errorf("challenge %+v, %v", got, err)
	}
	_, err = w.Challenge(t.Context(), ca.ChallengeOrder{ID: "req_1", Subject: subject(t, "OU=sceprenew-"+strings.Repeat("x", 60)+",CN=pad")})
	if e := wantError(t, err, ra.Invalid, "64"); e.Field != "subject" {
		t.Errorf("field %q", e.Field)
	}
}

// TestCheck: each way for the server to be wrong is told at its step, and what
// follows is skipped.
func TestCheck(t *testing.T) {
	good, w := open(t, ndes.Config{TLS: true})
	if err := good.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { good.Close() })
	plain := newDouble(t, ndes.Config{})
	expired := newDouble(t, ndes.Config{RALife: -time.Hour})
	base := map[string]any{"url": good.SCEPURL(), "floor": "compat", "fingerprint": fingerprint(good.Root().Raw), "roots": pemOf(good.TLSRoot())}
	for name, c := range map[string]struct {
		change map[string]any
		at     *double
		fault  ndes.Fault
		step   string
		state  ca.StepState
		word   string
	}{
		"all well":        {step: "certificates", state: ca.StepOK, word: "RA signing"},
		"nobody there":    {change: map[string]any{"url": "http://127.0.0.1:1/scep"}, step: "connect", state: ca.StepFailed, word: "firewall"},
		"no TLS":          {change: map[string]any{"url": strings.Replace(plain.url, "http:", "https:", 1)}, step: "tls", state: ca.StepFailed, word: "no TLS"},
		"unknown issuer":  {change: map[string]any{"roots": pemOf(good.Root())}, step: "tls", state: ca.StepFailed, word: "not trusted"},
		"no capabilities": {fault: ndes.Fault{At: ndes.Caps, Act: ndes.Status(500)}, at: good, step: "capabilities", state: ca.StepWarning, word: "3DES"},
		"a page for caps": {fault: ndes.Fault{At: ndes.Caps, Act: ndes.HTML}, at: good, step: "capabilities", state: ca.StepWarning, word: "for people"},
		"login wanted":    {fault: ndes.Fault{At: ndes.CACert, Act: ndes.Status(401)}, at: good, step: "certificates", state: ca.StepFailed, word: "anonymous"},
		"forbidden":       {fault: ndes.Fault{At: ndes.CACert, Act: ndes.Status(403)}, at: good, step: "certificates", state: ca.StepFailed, word: "let this address"},
		"not found":       {change: map[string]any{"url": good.URL() + "/certsrv/other"}, step: "certificates", state: ca.StepFailed, word: "Nothing is at"},
		"redirect":        {fault: ndes.Fault{At: ndes.CACert, Act: ndes.Redirect("/x")}, at: good, step: "certificates", state: ca.StepFailed, word: "leads to"},
		"stopped":         {fault: ndes.Fault{At: ndes.CACert, Act: ndes.Status(503)}, at: good, step: "certificates", state: ca.StepFailed, word: "RA certificate"},
		"RA expired":      {change: map[string]any{"url": expired.url, "fingerprint": ""}, step: "certificates", state: ca.StepFailed, word: "HTTP 500"},
		"a page":          {fault: ndes.Fault{At: ndes.CACert, Act: ndes.HTML}, at: good, step: "certificates", state: ca.StepFailed, word: "address"},
		"other CA":        {change: map[string]any{"fingerprint": fingerprint(plain.Root().Raw)}, step: "certificates", state: ca.StepFailed, word: "fingerprint"},
		"other thumb":     {change: map[string]any{"thumbprint": strings.Repeat("0", 32)}, step: "certificates", state: ca.StepFailed, word: "thumbprint"},
		"nothing pinned":  {change: map[string]any{"fingerprint": ""}, step: "identity", state: ca.StepWarning, word: fingerprint(good.Issuer().Raw)},
		"too old":         {change: map[string]any{"floor": "modern"}, step: "algorithms", state: ca.StepFailed, word: "compat"},
		"legacy":          {change: map[string]any{"floor": "legacy", "legacy_accepted": true}, step: "algorithms", state: ca.StepWarning, word: "Raise"},
		"vouched":         {change: map[string]any{"vouched": true, "challenge_type": "static", "challenge": static}, step: "requests", state: ca.StepWarning, word: "vouches"},
	} {
		t.Run(name, func(t *testing.T) {
			w.settings = maps.Clone(base)
			maps.Copy(w.settings, c.change)
			w.reopen()
			if c.at != nil {
				c.at.Fail(c.fault)
				defer c.at.Heal()
			}
			failed := false
			w.Check(t.Context(), func(s ca.Step) {
				switch {
				case failed:
					if s.State != ca.StepSkipped {
						t.Errorf("step %s is %s after a failed one", s.Name, s.State)
					}
				case s.Name == c.step:
					if s.State != c.state || !strings.Contains(s.Detail+" "+s.Remedy, c.word) {
						t.Errorf("step %s is %s: %s / %s; want %s with %q", s.Name, s.State, s.Detail, s.Remedy, c.state, c.word)
					}
				case s.State == ca.StepFailed:
					t.Errorf("step %s failed: %s", s.Name, s.Detail)
				}
				failed = failed || s.State == ca.StepFailed
				if (s.State == ca.StepFailed || s.State == ca.StepWarning) && s.Remedy == "" {
					t.Errorf("step %s has no remedy", s.Name)
				}
			})
			if len(w.journal.Keys()) > 0 || good.count("PKIOperation") > 0 {
				t.Error("a check left traces")
			}
		})
	}
	w.settings = base
	w.env.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	}
	w.reopen()
	if s := steps(w, t.Context())["connect"]; s.State != ca.StepFailed || !strings.Contains(s.Detail, "DNS") {
		t.Errorf("an unknown name: %s %s", s.State, s.Detail)
	}
}

// TestModernFloor: nothing weaker is sent to a server that knows nothing better,
// and it hears of nothing.
func TestModernFloor(t *testing.T) {
	d, w := open(t, ndes.Config{})
	w.settings["floor"] = "modern"
	w.reopen()
	_, err := w.Issue(t.Context(), w.request("strict", pkixmsg.P256, false))
	wantError(t, err, ra.RefusedByCA, "compat")
	if d.count("PKIOperation") != 0 || len(w.journal.Keys()) != 0 {
		t.Error("something was sent or written down")
	}
	aes, w := open(t, ndes.Config{Caps: []string{"AES", "SHA-256", "POSTPKIOperation"}, OnlyCaps: true})
	w.settings["floor"] = "modern"
	w.reopen()
	r := w.request("strict", pkixmsg.P256, false)
	certified(t, r, issue(t, w, r))
	if aes.issued("strict") != 1 {
		t.Error("no certificate")
	}
}
