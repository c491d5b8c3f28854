package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSortIsNoWayIn asks every list of the console to be sorted by what is
// secret, by SQL, and from a place somebody made up: a page says that this is
// not possible, or the list has no order to choose and keeps its own.
func TestSortIsNoWayIn(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	lists, refused := 0, 0
	for _, r := range routes {
		method, path := w.addressOf(r)
		if method != http.MethodGet || strings.Contains(r.pattern, "{") && r.pattern != "GET /{$}" || strings.HasSuffix(path, "/new") || r.open {
			continue
		}
		lists++
		usual := b.get(path)
		for _, by := range []string{"password_hash", "hash", "settings", "credential", "box", "search", "(SELECT password_hash FROM admins)", "id; DROP TABLE admins", "random()", "1", "'", "name\x00"} {
			a := b.get(path + "?sort=" + url.QueryEscape(by))
			switch {
			case a.status == http.StatusUnprocessableEntity && strings.Contains(a.body, "cannot be sorted"):
				refused++
			case a.status != usual.status:
				t.Errorf("%s sorted by %q: status %d\n%s", r.pattern, by, a.status, visible(a.body))
			case strings.HasSuffix(path, ".csv") && a.body != usual.body:
				t.Errorf("%s sorted by %q is another file", r.pattern, by)
			}
		}
		for _, after := range []string{"x", "eyJ2Ijp7fX0", "' OR 1=1", strings.Repeat("A", 5000)} {
			if a := b.get(path + "?after=" + url.QueryEscape(after)); a.status != usual.status && a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s after %.20q: status %d\n%s", r.pattern, after, a.status, visible(a.body))
			}
		}
	}
	if lists < 20 || refused < 12*7 {
		t.Errorf("%d lists were asked, and %d orders were refused", lists, refused)
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Error(w.log)
	}
}
