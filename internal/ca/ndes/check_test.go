package ndes_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	played "chancery/internal/doubles/ndes"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/scepmsg"

	"github.com/jcmturner/gokrb5/v8/keytab"
)

// TestCheckSpendsNothing: the page is not opened, whatever the login, unless the
// settings ask for it; then the challenge is in the account, and is taken again.
func TestCheckSpendsNothing(t *testing.T) {
	d := newDouble(t, played.Config{Schemes: []played.Scheme{played.NTLM, played.Basic}})
	for _, login := range []string{"auto", "ntlm", "basic", "none"} {
		w := newWorld(t, d.settings(map[string]any{"login": login}))
		for name, s := range w.check() {
			if s.State != ca.StepOK {
				t.Errorf("%s: step %s is %s: %s", login, name, s.State, s.Detail)
			}
		}
		if login == "ntlm" {
			wantStep(t, w.check()["login"], ca.StepOK, "not proven")
			wantStep(t, w.check()["cache"], ca.StepOK, "0 of 4")
		}
	}
	if c := d.Counts(); c.Pages != 0 || c.Minted != 0 {
		t.Errorf("%d pages shown, %d challenges made", c.Pages, c.Minted)
	}
	w := newWorld(t, d.settings(map[string]any{"test_challenge": true}))
	wantStep(t, w.check()["challenge"], ca.StepOK, "thumbprint on the page is that of the CA")
	wantStep(t, w.check()["challenge"], ca.StepOK, "earlier test")
	if d.Counts().Minted != 1 || w.out() != 1 {
		t.Errorf("%d challenges made, %d out", d.Counts().Minted, w.out())
	}
}

// TestCheckFinds: what is wrong with the page is told at its step.
func TestCheckFinds(t *testing.T) {
	other := newDouble(t, played.Config{})
	for name, c := range map[string]struct {
		cfg    played.Config
		change map[string]any
		step   string
		state  ca.StepState
		word   string
	}{
		"nobody there":      {change: map[string]any{"challenge_url": "http://127.0.0.1:1/x/"}, step: "challenge page", state: ca.StepFailed, word: "does not answer"},
		"not the page":      {change: map[string]any{"challenge_url": "/elsewhere/"}, step: "challenge page", state: ca.StepFailed, word: "PasswordVDir"},
		"shown to all":      {cfg: played.Config{Anonymous: true}, step: "challenge page", state: ca.StepWarning, word: "anonymous"},
		"not offered":       {change: map[string]any{"login": "basic"}, step: "challenge page", state: ca.StepFailed, word: "Negotiate"},
		"wrong password":    {change: map[string]any{"password": "wrong", "test_challenge": true}, step: "challenge", state: ca.StepFailed, word: "password"},
		"wrong length":      {change: map[string]any{"challenge_length": 8, "test_challenge": true}, step: "challenge", state: ca.StepFailed, word: "16 characters"},
		"single password":   {cfg: played.Config{SinglePassword: true}, change: map[string]any{"test_challenge": true}, step: "challenge", state: ca.StepWarning, word: "static"},
		"other life":        {cfg: played.Config{PasswordValidity: 30 * time.Minute}, change: map[string]any{"test_challenge": true}, step: "challenge", state: ca.StepWarning, word: "30m"},
		"page of another":   {change: map[string]any{"challenge_url": other.base + "/certsrv/mscep_admin/", "test_challenge": true}, step: "challenge", state: ca.StepFailed, word: "different servers"},
		"kerberos, no KDC":  {change: map[string]any{"login": "kerberos", "realm": "CORP.EXAMPLE", "kdcs": []string{"127.0.0.1:1"}}, step: "login", state: ca.StepFailed, word: "KDC"},
		"RA expired":        {cfg: played.Config{RALife: -time.Hour}, step: "certificates", state: ca.StepFailed, word: "expired RA certificate"},
		"RA about to":       {cfg: played.Config{RALife: 10 * 24 * time.Hour}, step: "certificates", state: ca.StepWarning, word: "ends soon"},
		"no challenge here": {change: map[string]any{"challenge_type": "none"}, step: "requests", state: ca.StepOK, word: "without a challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, c.cfg)
			settings := d.settings(c.change)
			if u, ok := c.change["challenge_url"].(string); ok && u[0] == '/' {
				settings["challenge_url"] = d.base + u
			}
			w := newWorld(t, settings)
			steps := w.check()
			wantStep(t, steps[c.step], c.state, c.word)
			for name, s := range steps {
				if s.State == ca.StepFailed && name != c.step {
					t.Errorf("step %s failed: %s", name, s.Detail)
				}
				if strings.Contains(s.Detail+s.Remedy, password) {
					t.Errorf("step %s shows the password", name)
				}
			}
			if c.change["challenge_type"] == "none" && d.opened() > 0 {
				t.Error("the page was opened")
			}
		})
	}
	// A full account with somebody waiting.
	d := newDouble(t, played.Config{})
	w := newWorld(t, d.settings(map[string]any{"cache_size": 1, "cache_reserve": 0}))
	if _, err := w.challenge(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	wantStep(t, w.check()["cache"], ca.StepOK, "1 of 1")
}

var kdcLine = regexp.MustCompile(`\n\s+kdc = (\S+)`)

// TestKerberos: a challenge and a certificate by tickets of a real KDC, and a check
// that proves the account without opening the page.
func TestKerberos(t *testing.T) {
	kdc := testpeer.StartKDC(t)
	kdc.AddUser("enroller", password)
	keys := keytab.New()
	if err := keys.Unmarshal(kdc.AddService("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	own := base64.StdEncoding.EncodeToString(kdc.AddService("robot"))
	d := newDouble(t, played.Config{Host: "localhost", Keytab: keys, Accounts: []played.Account{{User: "enroller"}, {User: "robot"}}})
	for name, change := range map[string]map[string]any{
		"by_password": {}, "by_keytab": {"user": "robot", "password": nil, "keytab": own}, "automatic": {"login": "auto"},
	} {
		settings := d.settings(map[string]any{"login": "kerberos", "realm": kdc.Realm, "kdcs": []string{kdcLine.FindStringSubmatch(kdc.Config())[1]}})
		for k, v := range change {
			if settings[k] = v; v == nil {
				delete(settings, k)
			}
		}
		w := newWorld(t, settings)
		before := d.Counts().Minted
		wantStep(t, w.check()["login"], ca.StepOK, "KDC accepted")
		if d.Counts().Minted != before {
			t.Error("the check opened the page")
		}
		if _, err := w.Issue(t.Context(), w.request(name)); err != nil || d.issued(name) != 1 {
			t.Errorf("%s: %v, %d certificates", name, err, d.issued(name))
		}
	}
	w := newWorld(t, d.settings(map[string]any{"login": "kerberos", "realm": kdc.Realm, "kdcs": []string{kdcLine.FindStringSubmatch(kdc.Config())[1]}, "password": "wrong"}))
	wantStep(t, w.check()["login"], ca.StepFailed, "password")
	_, err := w.challenge(t.Context(), "req_1")
	wantError(t, err, ra.RefusedByCA, "password")
	if w.out() != 0 {
		t.Error("a challenge is counted though nobody had logged in")
	}
}

// TestSettings: addresses are derived, and what cannot work is refused at its field.
func TestSettings(t *testing.T) {
	const url = "https://ndes.example.test/certsrv/mscep/mscep.dll"
	base := map[string]any{"url": url, "user": user, "password": password}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{}
		for k, v := range base {
			out[k] = v
		}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	if _, err := read(base); err != nil {
		t.Fatal(err)
	}
	for field, c := range map[string]struct {
		change map[string]any
		word   string
	}{
		"challenge_url":      {map[string]any{"url": "https://ndes.example.test/scep"}, "mscep_admin"},
		"cache_reserve":      {map[string]any{"cache_size": 2, "cache_reserve": 2}, "at least one"},
		"user":               {map[string]any{"user": ""}, "user"},
		"realm":              {map[string]any{"login": "kerberos"}, "realm"},
		"keytab":             {map[string]any{"keytab": "AAAA"}, "base64"},
		"client_certificate": {map[string]any{"client_certificate": "x"}, "PKCS#12"},
		"floor":              {map[string]any{"version": "2003", "floor": "modern"}, "compat"},
		"retry_timeout":      {map[string]any{"retry_timeout": "0s"}, "Windows"},
		"challenge":          {map[string]any{"challenge_type": "static"}, "challenge"},
	} {
		_, err := read(with(c.change))
		e := ra.AsError(err)
		if e.Kind != ra.Invalid || e.Field != field || !strings.Contains(strings.ToLower(e.Message+e.Remedy), strings.ToLower(c.word)) {
			t.Errorf("%s: %v on field %q", field, err, e.Field)
		}
	}
	w := newWorld(t, with(map[string]any{"marker": "cn", "proxy": false, "max_retries": 3, "challenge_length": 12}))
	want := ca.SCEPServer{URL: url, Floor: scepmsg.Compat, Retries: 3, RetryDelay: time.Minute, ChallengeLife: time.Hour, ChallengeLength: 12, InFlight: 16, Queue: 200, Carried: true, Marker: "CN"}
	if got := w.SCEP(); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if vouched := newWorld(t, with(map[string]any{"vouched": true})).SCEP(); vouched.Carried {
		t.Error("devices are given challenges of a server that takes what is vouched for")
	}
	// The add-on of 2003 shows challenges where SCEP is.
	d := newDouble(t, played.Config{})
	s, err := read(d.settings(map[string]any{"version": "2003", "url": d.base + "/certsrv/mscep_admin/"}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Connect(t.Context(), w.env)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.(ca.Challenger).Challenge(t.Context(), ca.ChallengeOrder{ID: "req_1", Subject: subject(t, "CN=x")}); err != nil || len(got.Secret.Reveal()) != 16 {
		t.Errorf("by the page of 2003: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, *s); strings.Contains(text, password) {
		t.Error("the settings print the password")
	}
}

// TestOverTLS: the page and SCEP over HTTPS with a pinned root.
func TestOverTLS(t *testing.T) {
	d := newDouble(t, played.Config{TLS: true, Schemes: []played.Scheme{played.Basic}})
	w := newWorld(t, d.settings(map[string]any{"login": "auto", "roots": pemOf(d.TLSRoot().Raw)}))
	for name, s := range w.check() {
		if s.State != ca.StepOK {
			t.Errorf("step %s is %s: %s", name, s.State, s.Detail)
		}
	}
	if _, err := w.Issue(t.Context(), w.request("secure")); err != nil || d.issued("secure") != 1 {
		t.Errorf("%v", err)
	}
	w.settings["roots"] = ""
	w.reopen()
	_, err := w.Issue(t.Context(), w.request("unpinned"))
	wantError(t, err, ra.Unreachable, "asked again")
}
