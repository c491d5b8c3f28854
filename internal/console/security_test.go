package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"chancery/internal/ra"
)

// canary is what is typed into every secret field.
const canary = "canary-Zw83hQ-never-shown-again"

// TestSecretsAreNotShownAgain types a canary into every field that holds a
// secret, sends the form wrong and right, and looks for it on every page.
func TestSecretsAreNotShownAgain(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	filled := 0
	send := func(path string) {
		page := b.get(path)
		for _, f := range formsOf(page.body) {
			if !f.secret {
				continue
			}
			filled++
			a := b.post(f.action, f.values)
			if strings.Contains(a.body, canary) {
				t.Errorf("%s shows what was typed into a secret field", f.action)
			}
		}
	}
	for _, r := range routes {
		if method, path := w.addressOf(r); method == http.MethodGet && path != "/sign-in" {
			send(path)
		}
	}
	send("/authorities/new?kind=scripted")
	send("/authorities/new?kind=embedded")
	nobody := w.visit(nil)
	a := nobody.post("/sign-in", url.Values{"name": {"nobody-here"}, "password": {canary}})
	if a.status != http.StatusUnauthorized || strings.Contains(a.body, canary) || !strings.Contains(a.body, `value="nobody-here"`) {
		t.Errorf("a wrong password: status %d\n%s", a.status, a.body)
	}
	if filled < 5 {
		t.Errorf("only %d forms with a secret were found", filled)
	}
	// A secret that is stored stays out of every page, and an empty field keeps it.
	kept := b.done("/authorities/new?kind=scripted", url.Values{"name": {"Scripted"}, "group_id": {w.ids["groups"]}, "settings.server": {"https://ca.example.test"}, "settings.password": {canary}})
	id := strings.TrimPrefix(kept.to, "/authorities/")
	edited := b.done("/authorities/"+id+"/edit", url.Values{"name": {"Scripted too"}, "group_id": {w.ids["groups"]}, "settings.server": {"https://ca2.example.test"}, "settings.password": {""}})
	if !strings.Contains(edited.body, "https://ca2.example.test") || !strings.Contains(edited.body, "stored") {
		t.Errorf("after the edit:\n%s", visible(edited.body))
	}
	w.ids["authorities"] = id
	static := url.Values{"name": {"devices"}, "template_id": {w.ids["template-device"]}, "settings.static_on": {"true"}, "settings.static": {canary}, "settings.challenge_life": {"1h"}, "settings.clock_skew": {"24h"}}
	b.done("/endpoints/"+w.ids["endpoints"]+"/edit", static).want(t, http.StatusOK, "static challenge")
	b.get("/status").want(t, http.StatusOK, "SCEP endpoint devices", "static challenge")
	for _, r := range routes {
		if method, path := w.addressOf(r); method == http.MethodGet && strings.Contains(b.get(path).body, canary) {
			t.Errorf("%s shows a stored secret", r.pattern)
		}
	}
	if strings.Contains(w.log.String(), canary) {
		t.Error("the log holds a secret")
	}
}

// sent is a form of a page, filled.
type sent struct {
	action string
	values url.Values
	secret bool
}

// formsOf reads the forms of a page as a browser would send them, with the
// canary in every secret field.
func formsOf(page string) []sent {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return nil
	}
	var out []sent
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" || attr(n, "method") != "post" {
			continue
		}
		f := sent{action: attr(n, "action"), values: url.Values{}}
		for d := range n.Descendants() {
			name := attr(d, "name")
			switch {
			case d.Type != html.ElementNode || name == "" || d.Data == "button":
			case d.Data == "input" && attr(d, "type") == "password" || d.Data == "textarea" && attr(d, "autocomplete") == "off" || name == "password":
				f.secret = true
				f.values.Set(name, canary)
			case d.Data == "input" && attr(d, "type") == "checkbox" && !has(d, "checked"):
			case d.Data == "select":
				for o := range d.Descendants() {
					if o.Data == "option" && has(o, "selected") {
						f.values.Set(name, attr(o, "value"))
					}
				}
			default:
				f.values.Add(name, attr(d, "value"))
			}
		}
		out = append(out, f)
	}
	return out
}

func TestOtherSitesCannotAct(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	for _, r := range routes {
		method, path := w.addressOf(r)
		if method != http.MethodPost {
			continue
		}
		for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}}} {
			request, err := http.NewRequest(http.MethodPost, w.url+path, strings.NewReader(""))
			must(t, err)
			request.Header = header
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if a := b.do(request); a.status != http.StatusForbidden {
				t.Errorf("%s with %v: status %d, want 403", r.pattern, header, a.status)
			}
		}
	}
	if a := b.get("/"); a.status != http.StatusOK {
		t.Errorf("the session ended: %d", a.status)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	w := newWorld(t)
	b := w.visit(w.owner)
	for _, path := range []string{"/", "/nowhere", "/sign-in", "/search.json?q=x", "/certificates.csv", w.site.assets.url("console.css")} {
		h := b.get(path).header
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		cached := strings.HasPrefix(path, "/static/")
		if got := h.Get("Cache-Control"); cached != strings.Contains(got, "immutable") || !cached && !strings.Contains(got, "no-store") {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
}

// TestNothingComesFromElsewhere: no page, sheet or script names another host.
func TestNothingComesFromElsewhere(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	loads := regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`)
	for _, r := range routes {
		if method, path := w.addressOf(r); method == http.MethodGet && loads.MatchString(b.get(path).body) {
			t.Errorf("%s leads elsewhere", r.pattern)
		}
	}
	for name, file := range w.site.assets {
		if bytes.Contains(bytes.ReplaceAll(file.content, []byte("http://www.w3.org/2000/svg"), nil), []byte("//www")) || bytes.Contains(file.content, []byte("@import")) {
			t.Errorf("%s loads something from elsewhere", name)
		}
	}
}

func TestInternalErrorsShowAReferenceOnly(t *testing.T) {
	w := newWorld(t)
	const inner = "the disk burns at sector 7"
	for name, do := range map[string]func(*visit) error{
		"error": func(*visit) error { return errors.New(inner) },
		"panic": func(*visit) error { panic(inner) },
	} {
		t.Run(name, func(t *testing.T) {
			recorder := record(w.site.sessions.LoadAndSave(w.site.screen(&route{pattern: "GET /" + name, open: true, do: do})))
			if recorder.status != http.StatusInternalServerError || strings.Contains(recorder.body, inner) {
				t.Fatalf("status %d\n%s", recorder.status, recorder.body)
			}
			reference := regexp.MustCompile(`err_[0-9a-z]{26}`).FindString(recorder.body)
			if reference == "" || !strings.Contains(w.log.String(), reference) || !strings.Contains(w.log.String(), inner) {
				t.Errorf("reference %q\n%s", reference, w.log)
			}
		})
	}
}

func TestSearchShowsOnlyWhatMayBeSeen(t *testing.T) {
	w := newWorld(t)
	w.fill()
	var hits []hit
	must(t, json.Unmarshal([]byte(w.visit(w.owner).get("/search.json?q=ada").body), &hits))
	if !slices.ContainsFunc(hits, func(h hit) bool { return h.Kind == "Device" && h.Title == "ada-laptop" }) {
		t.Errorf("the owner finds %v", hits)
	}
	must(t, json.Unmarshal([]byte(w.visit(w.admin("boris", ra.Grant{Role: ra.RoleOwner, Group: w.foreign})).get("/search.json?q=ada").body), &hits))
	if len(hits) != 0 {
		t.Errorf("a stranger finds %v", hits)
	}
}

func TestLocalAddresses(t *testing.T) {
	for in, want := range map[string]string{"/devices?q=a": "/devices?q=a", "": "/", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "devices": "/", "/a//b": "/a/b"} {
		if got := local(in); got != want {
			t.Errorf("local(%q) = %q, want %q", in, got, want)
		}
	}
}

// upload sends a form with a file.
func (b *visitor) upload(path string, form url.Values, field, name, content string) answer {
	b.w.t.Helper()
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	for key, values := range form {
		for _, value := range values {
			must(b.w.t, m.WriteField(key, value))
		}
	}
	part, err := m.CreateFormFile(field, name)
	must(b.w.t, err)
	_, err = part.Write([]byte(content))
	must(b.w.t, err)
	must(b.w.t, m.Close())
	r, err := http.NewRequest(http.MethodPost, b.w.url+path, &body)
	must(b.w.t, err)
	r.Header.Set("Content-Type", m.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}
