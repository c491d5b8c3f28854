package console

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

func TestTimesInWords(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{0: "now", 44 * time.Second: "now", -90 * time.Second: "2 minutes ago", 61 * time.Minute: "in 61 minutes", 3 * time.Hour: "in 3 hours", -47 * time.Hour: "47 hours ago",
		2 * day: "in 2 days", 89 * day: "in 89 days", 91 * day: "in 3 months", -365 * day: "12 months ago", 800 * day: "in 2 years"} {
		if got := relative(d); got != want {
			t.Errorf("relative(%v) = %q, want %q", d, got, want)
		}
	}
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	want := `<time datetime="2026-11-21T12:00:00Z" title="2026-11-21 12:00:00 UTC">in 3 hours</time>`
	if got := string(when(now.Add(3*time.Hour).In(time.FixedZone("", 7200)), now)); got != want {
		t.Errorf("when: %s, want %s", got, want)
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{plural(1, "day"): "1 day", plural(2, "day"): "2 days", plural(2, "entry"): "2 entries", plural(2, "authority"): "2 authorities", plural(1234567, "row"): "1,234,567 rows",
		string(colons("abc")): "0a:<wbr>bc", string(colons("<b>")): "&lt;b&gt;", badgeOf("awaiting_approval").Word: "Awaiting approval", badgeOf("ok").Word: "OK", clip("äöü", 2): "ä…", fileName(`../a "b"`): "a--b"} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := cells("=1+1", "a", ""); !reflect.DeepEqual(got, []string{"'=1+1", "a", ""}) {
		t.Errorf("cells: %q", got)
	}
}

// TestEveryStateHasATone: no state of anything is drawn as unknown.
func TestEveryStateHasATone(t *testing.T) {
	var all []string
	for _, s := range ra.CertificateStates {
		all = append(all, string(s))
	}
	for _, s := range ra.RequestStates {
		all = append(all, string(s))
	}
	for _, s := range deviceStates {
		all = append(all, string(s))
	}
	for _, s := range all {
		if tones[s] == "" {
			t.Errorf("the state %q has no tone", s)
		}
	}
	for _, r := range ra.Reasons {
		if reasonWords[r] == "" {
			t.Errorf("the reason %v has no words", r)
		}
	}
}

// TestSettingsJSON: what a form sends becomes what the capability reads.
func TestSettingsJSON(t *testing.T) {
	posted := url.Values{"settings.floor": {"legacy"}, "settings.legacy_until": {"2027-01-01"}, "settings.legacy_accepted": {"true"}, "settings.challenge_uses": {""}, "settings.challenge_length": {"many"},
		"settings.challenge_life": {"2h"}, "settings.static_on": {"true"}, "settings.static": {""}, "other": {"x"}}
	var got map[string]any
	must(t, json.Unmarshal(settingsJSON(&sceppolicy.Endpoint{}, posted, "settings."), &got))
	want := map[string]any{"floor": "legacy", "challenge_in_address": false, "issuers_too": false, "legacy_until": "2027-01-01", "legacy_accepted": true, "challenge_uses": nil, "challenge_length": "many", "challenge_life": "2h", "static_on": true,
		"renewal": false, "chain_in_reply": false, "subject_key_may_differ": false}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	posted.Set("settings.static.clear", "true")
	posted.Set("settings.floor", "modern")
	got = nil
	must(t, json.Unmarshal(settingsJSON(&sceppolicy.Endpoint{}, posted, "settings."), &got))
	if value, there := got["static"]; !there || value != nil {
		t.Errorf("a cleared secret is %v", got)
	}
	if _, there := got["legacy_until"]; there {
		t.Errorf("a field that does not matter is sent: %v", got)
	}
}

// TestFormsRoundTrip: what a form draws and sends back unchanged is the same.
func TestFormsRoundTrip(t *testing.T) {
	s := &sceppolicy.Endpoint{}
	setting.Defaults(s)
	values := prefixed(setting.FormValues(s), "settings.")
	back := &sceppolicy.Endpoint{}
	setting.Defaults(back)
	must(t, setting.FromJSON(back, settingsJSON(back, values, "settings.")))
	if changes := setting.Diff(s, back); len(changes) != 0 {
		t.Errorf("changed: %v", changes)
	}
}

func TestProblemsFindTheirInputs(t *testing.T) {
	known := map[string]bool{"name": true, "spec.ekus": true, "spec.sans[1]": true, "attributes": true}
	for field, want := range map[string]string{"name": "name", "spec.ekus[3]": "spec.ekus", "spec.sans[1]": "spec.sans[1]", "spec.sans[2]": "", "attributes.asset": "attributes", "": "", "unknown": ""} {
		if got := nearest(field, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", field, got, want)
		}
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	b.post("/devices/new", url.Values{"name": {strings.Repeat("x", maxForm+1)}}).want(t, http.StatusRequestEntityTooLarge, "larger than 2 MiB")
}

func FuzzLocal(f *testing.F) {
	for _, s := range []string{"/a?b=c", "//x", `/\x`, "https://x", "/%2f/x", "/\t/x", "/a b", "%2f", "/%2f ", "/%5cx", "/?//x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := local(s)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t") {
			t.Errorf("local(%q) = %q", s, got)
		}
	})
}

// TestChoiceNotPosted: a choice that the posted form did not have yet, because
// it belongs to what was chosen just now, is drawn as what is held.
func TestChoiceNotPosted(t *testing.T) {
	spec := &ra.TemplateSpec{}
	setting.Defaults(&specForm{spec})
	for _, c := range []struct {
		posted url.Values
		want   string
	}{{nil, "match"}, {url.Values{"subject": {"CN=x"}}, "match"}, {url.Values{"csr_policy": {"overwrite"}}, "overwrite"}, {url.Values{"csr_policy": {""}}, ""}} {
		for _, set := range draw(&specForm{spec}, drawing{values: c.posted}) {
			for _, in := range append(set.Inputs, set.Advanced...) {
				for _, o := range in.Options {
					if in.Name == "csr_policy" && o.Selected != (o.Value == c.want) {
						t.Errorf("after %v the choice %q is selected: %v", c.posted, o.Value, o.Selected)
					}
				}
			}
		}
	}
}

// TestMicrosoftExtensions: what Windows CAs add is shown in words.
func TestMicrosoftExtensions(t *testing.T) {
	for _, c := range []struct{ oid, der, want string }{
		{pkixmsg.OIDTemplateName, "1e08 0055 0073 0065 0072", "User"},
		{pkixmsg.OIDTemplateInfo, "3014 060c 2b060104018237150801 0203 020164 020103", "1.3.6.1.4.1.311.21.8.1.2.3, version 100.3"},
		{pkixmsg.OIDTemplateInfo, "3004 0602 2a03", "1.2.3"},
		{pkixmsg.OIDApplicationPolicies, "300c 300a 0608 2b06010505070302", "clientAuth"},
		{pkixmsg.OIDTemplateInfo, "3000", "3000"},
	} {
		der, err := hex.DecodeString(strings.ReplaceAll(c.der, " ", ""))
		must(t, err)
		if got := strings.Join(extensionWords(&x509.Certificate{}, c.oid, der), ", "); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.oid, c.der, got, c.want)
		}
	}
}
