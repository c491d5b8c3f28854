package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"chancery/internal/access"
	"chancery/internal/ra"
)

// addressOf fills the variables of a route from what the world holds.
func (w *world) addressOf(r route) (method, path string) {
	method, path, _ = strings.Cut(r.pattern, " ")
	path = strings.TrimSuffix(path, "{$}")
	noun := strings.Split(strings.TrimPrefix(path, "/"), "/")[0]
	if strings.HasPrefix(path, "/profile/passkeys") {
		return method, strings.Replace(path, "{id}", "pky_00000000000000000000000000", 1)
	}
	if strings.HasSuffix(path, "/guard") || strings.HasPrefix(path, "/authorities/{id}/import") {
		noun = "guard"
	}
	return method, strings.NewReplacer("{id}", w.ids[noun], "{challenge}", w.ids["challenges"]).Replace(path)
}

// elsewhere are routes that lead away, or that need what the world lacks: their
// status for the owner.
var elsewhere = map[string]int{
	"GET /sign-in":                      http.StatusSeeOther,
	"GET /dangers/{id}/show":            http.StatusSeeOther,
	"GET /profile/passkeys/{id}/remove": http.StatusNotFound,
}

func TestEveryPageForTheOwner(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	seen := map[string]bool{}
	for _, r := range routes {
		method, path := w.addressOf(r)
		if method != http.MethodGet {
			continue
		}
		a := b.get(path)
		want := http.StatusOK
		if s := elsewhere[r.pattern]; s != 0 {
			want = s
		}
		if a.status != want {
			t.Errorf("%s: status %d, want %d\n%s\nlog: %s", r.pattern, a.status, want, visible(a.body), w.log)
			continue
		}
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && a.status == http.StatusOK {
			seen[viewOf(a.body)] = true
			for _, f := range flaws(a.body) {
				t.Errorf("%s: %s", r.pattern, f)
			}
		}
	}
	// Views that only an action shows.
	for _, a := range []answer{
		b.get("/nowhere"), w.visit(nil).get("/sign-in"),
		b.get("/authorities/new?kind=embedded"), b.get("/authorities/new?kind=scripted"),
		b.post("/devices/"+w.ids["devices"]+"/challenge", url.Values{"endpoint": {w.ids["endpoints"]}}),
		b.post("/passes/"+w.ids["passes"]+"/parameters", nil),
		b.post("/tokens/new", url.Values{"name": {"script"}, "life": {"90d"}, "grant.0.role": {"viewer"}, "grant.0.group": {""}}),
		b.post("/certificates/revoke", url.Values{"id": {w.ids["certificates"]}, "which": {"chosen"}}),
	} {
		seen[viewOf(a.body)] = true
		for _, f := range flaws(a.body) {
			t.Errorf("view %s: %s", viewOf(a.body), f)
		}
	}
	for name := range w.site.views {
		if !seen[name] {
			t.Errorf("nobody shows the view %q", name)
		}
	}
}

// TestEveryActionStaysWhole sends every form empty: nothing may break, and
// whatever comes back is a page or leads to one.
func TestEveryActionStaysWhole(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	for _, r := range routes {
		method, path := w.addressOf(r)
		if method != http.MethodPost {
			continue
		}
		a := b.post(path, url.Values{})
		if a.status >= 500 || a.status == http.StatusForbidden {
			t.Errorf("%s: status %d\n%s", r.pattern, a.status, visible(a.body))
		}
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			for _, f := range flaws(a.body) {
				t.Errorf("%s: %s", r.pattern, f)
			}
		}
		if r.pattern == "POST /sign-out" {
			b = w.visit(w.owner)
		}
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Error(w.log)
	}
}

func TestWhatAViewerSees(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	menu := b.get("/").body
	for _, r := range routes {
		method, path := w.addressOf(r)
		allowed := r.open || r.needs == "" || slices.Contains(access.Permissions(ra.RoleViewer), r.needs)
		if allowed {
			if method == http.MethodGet && elsewhere[r.pattern] == 0 {
				if a := b.get(path); a.status != http.StatusOK {
					t.Errorf("%s: status %d, want 200\n%s", r.pattern, a.status, visible(a.body))
				}
			}
			continue
		}
		a := b.get(path)
		if method == http.MethodPost {
			a = b.post(path, url.Values{})
		}
		if a.status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403\n%s", r.pattern, a.status, visible(a.body))
		}
		if method == http.MethodGet && strings.Contains(menu, `<a href="`+path+`"`) {
			t.Errorf("%s is refused and stands in the menu", r.pattern)
		}
	}
	for _, page := range []string{"/certificates/" + w.ids["certificates"], "/devices/" + w.ids["devices"], "/templates/" + w.ids["templates"], "/authorities/" + w.ids["authorities"], "/groups/" + w.ids["groups"],
		"/users/" + w.ids["users"], "/endpoints/" + w.ids["endpoints"], "/requests/" + w.ids["requests"], "/passes/" + w.ids["passes"], "/authorities/" + w.ids["server"], "/passes", "/certificates", "/devices", "/users", "/groups", "/templates", "/endpoints", "/authorities", "/requests"} {
		body := b.get(page).body
		for _, word := range []string{"/edit", "/delete", "/revoke", "/new", "/import", "/unenrol", "/key", "/cancel", "/decide"} {
			if strings.Contains(body, word+`"`) {
				t.Errorf("%s offers a viewer %s", page, word)
			}
		}
	}
}

func TestNobodyIsSentToSignIn(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(nil)
	for _, r := range routes {
		if r.open {
			continue
		}
		method, path := w.addressOf(r)
		if method == http.MethodGet {
			if a := b.get(path); a.status != http.StatusSeeOther || !strings.HasPrefix(a.to, "/sign-in?next=") {
				t.Errorf("%s: status %d, to %q", r.pattern, a.status, a.to)
			}
		} else if a := b.post(path, url.Values{}); a.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", r.pattern, a.status)
		}
	}
}

// TestForeignObjectsAreNotFound: who manages one organization learns nothing of
// another, on any page or action about an object.
func TestForeignObjectsAreNotFound(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.admin("boris", ra.Grant{Role: ra.RoleOwner, Group: w.foreign}))
	for _, r := range routes {
		if !strings.Contains(r.pattern, "{id}") || strings.HasPrefix(r.pattern, "GET /profile") || strings.HasPrefix(r.pattern, "POST /profile") {
			continue
		}
		method, path := w.addressOf(r)
		a := b.get(path)
		if method == http.MethodPost {
			a = b.post(path, url.Values{})
		}
		if a.status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404\n%s", r.pattern, a.status, visible(a.body))
		}
	}
	for _, list := range []string{"/certificates", "/certificates.csv", "/requests", "/passes", "/passes.csv", "/passes/new", "/devices", "/devices.csv", "/users", "/users.csv", "/groups", "/templates", "/endpoints", "/authorities", "/obligations", "/differences", "/differences.csv", "/revocations", "/audit",
		"/administrators", "/tokens", "/search?q=ada", "/search.json?q=ada", "/status", "/", "/requests/new", "/templates/new"} {
		a := b.get(list)
		for noun, id := range w.ids {
			if strings.Contains(a.body, id) {
				t.Errorf("%s shows the foreign %s %s", list, noun, id)
			}
		}
		if strings.Contains(a.body, "Example Works") {
			t.Errorf("%s shows a foreign name", list)
		}
	}
}

func TestEveryKindHasAnAnswer(t *testing.T) {
	for _, k := range ra.Kinds {
		if statuses[k] == 0 || faultTitles[k] == "" {
			t.Errorf("the kind %q has no status or no heading", k)
		}
	}
	for k := range statuses {
		if !slices.Contains(ra.Kinds, k) {
			t.Errorf("%q is not a kind", k)
		}
	}
}
