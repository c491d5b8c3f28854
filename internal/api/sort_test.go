package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestSortIsNoWayIn asks every list to be sorted by what is secret, by what is
// no column, and by SQL: all of it is refused with the names that would do, and
// those do. What a list is sorted by can be read from its order, so a column
// that is not shown must not be one of them.
func TestSortIsNoWayIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		doc := w.document()
		sorted := 0
		for _, r := range w.lists() {
			if !slices.ContainsFunc(doc[r.ID].Parameters, func(p parameter) bool { return p.Name == "sort" }) {
				continue
			}
			sorted++
			path := prefix + r.Path + "?" + needed(r, s) + "sort="
			var known []string
			for _, by := range []string{"hash", "password_hash", "box", "credential", "settings", "grants", "csr", "der", "spec", "fill", "handle", "value", "data", "details", "attributes", "search",
				"endpoints.settings", "(SELECT password_hash FROM admins)", "id; DROP TABLE admins", "id, hash", "random()", "1", "NULL", "name\x00", "NAME", "name desc", "--name", "'", `"id"`} {
				p := w.refused(w.owner, http.StatusUnprocessableEntity, get, path+url.QueryEscape(by), nil)
				if p.Field != "sort" || p.Kind != "invalid" {
					t.Errorf("%s sorted by %q: %+v", r.ID, by, p)
				}
				if names, ok := strings.CutPrefix(p.Remedy, "Use one of: "); ok {
					known = strings.Split(strings.TrimSuffix(names, "."), ", ")
				}
			}
			for _, by := range append(known, "") {
				for _, dir := range []string{"", "-"} {
					if code, b, _ := w.send(w.owner, get, path+dir+by, nil); code != http.StatusOK {
						t.Errorf("%s sorted by %q: %d %s", r.ID, dir+by, code, b)
					}
				}
			}
			if extra := slices.DeleteFunc(slices.Clone(known), func(n string) bool { return slices.Contains([]string{"name", "created", "expires", "subject"}, n) }); len(extra) > 0 {
				t.Errorf("%s may be sorted by %v; look whether they are secret, then say so here", r.ID, extra)
			}
		}
		if sorted < 12 {
			t.Errorf("only %d lists with an order were found", sorted)
		}
	})
}

// TestCursorIsNoWayIn brings every list cursors that somebody else made.
func TestCursorIsNoWayIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		doc := w.document()
		for _, r := range w.lists() {
			if !slices.ContainsFunc(doc[r.ID].Parameters, func(p parameter) bool { return p.Name == "after" }) || strings.HasPrefix(r.ID, "export-") {
				continue
			}
			for _, forged := range []string{`{"i":"x","v":{"a":1},"s":""}`, `{"i":"x","v":["x"],"s":""}`, `{"i":"x","v":null,"s":""}`, `{"i":"x","v":true,"s":""}`, `{"i":"x","v":1e400,"s":""}`,
				`{"i":"x","v":"x","s":"password_hash"}`, `{"i":1,"v":"x","s":""}`, `[]`, `{"v":"' OR 1=1 --","i":"' OR 1=1 --","s":""}`} {
				path := prefix + r.Path + "?" + needed(r, s) + "after=" + base64.RawURLEncoding.EncodeToString([]byte(forged))
				code, b, _ := w.send(w.owner, get, path, nil)
				var page resource.Page[json.RawMessage]
				// A text is a place in a list that is sorted by texts.
				if code == http.StatusOK && strings.Contains(forged, "OR 1=1") && json.Unmarshal(b, &page) == nil {
					continue
				}
				if code != http.StatusUnprocessableEntity || !strings.Contains(string(b), `"after"`) {
					t.Errorf("%s after %s: %d %s", r.ID, forged, code, b)
				}
			}
		}
	})
}

// TestFiltersAreNoOracle: no list takes a parameter it does not name, and none
// of those it names finds anything by a secret or by the hash of one.
func TestFiltersAreNoOracle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		const static = "static-challenge-canary-1234"
		w.do(http.StatusOK, patch, "/endpoints/"+s.Endpoint, map[string]any{"settings": map[string]any{"static_on": true, "static": static}}, nil)
		const password = "password canary 5678"
		w.do(http.StatusOK, post, "/admins/"+s.Admin+"/password", map[string]any{"password": password}, nil)
		var c resource.Challenge
		w.do(http.StatusCreated, post, "/challenges", map[string]any{"endpoint_id": s.Endpoint, "device_id": s.Device}, &c)
		var link resource.Link
		w.do(http.StatusCreated, post, "/admins/"+s.Admin+"/link", map[string]any{}, &link)
		var admin *ra.Admin
		var token *ra.Token
		var challenge *ra.Challenge
		var pass *ra.Pass
		must(t, w.server.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
			if admin, err = tx.Admin(ra.AdminID(s.Admin)); err != nil {
				return err
			}
			if token, err = tx.Token(ra.TokenID(s.Token)); err != nil {
				return err
			}
			if pass, err = tx.Pass(ra.PassID(s.Pass)); err != nil {
				return err
			}
			challenge, err = tx.Challenge(ra.ChallengeID(c.ID))
			return err
		}))
		secrets := []string{static, password, c.Challenge, w.owner, link.Link[strings.LastIndex(link.Link, "=")+1:], admin.PasswordHash, token.Hash, challenge.Hash, pass.Hash, serverChallenge}
		doc := w.document()
		for _, r := range w.lists() {
			path := prefix + r.Path + "?" + needed(r, s)
			for _, name := range []string{"hash", "password_hash", "password", "secret", "static", "settings.static", "grants", "box", "challenge", "token", "q", "where", "order", "fields"} {
				if slices.ContainsFunc(doc[r.ID].Parameters, func(p parameter) bool { return p.Name == name }) {
					t.Errorf("%s has the parameter %s; look whether it is secret, then say so here", r.ID, name)
					continue
				}
				if p := w.refused(w.owner, http.StatusUnprocessableEntity, get, path+name+"=x", nil); p.Field != name {
					t.Errorf("%s with %s: %+v", r.ID, name, p)
				}
			}
			for _, p := range doc[r.ID].Parameters {
				if p.In != "query" || p.Schema.Type != "string" || p.Schema.Format != "" || len(p.Schema.Enum) > 0 || p.Name == "after" || p.Name == "sort" || p.Name == "device_id" && r.ID == "list-challenges" {
					continue
				}
				for i, secret := range secrets {
					for _, part := range []string{secret, secret[:8], secret[len(secret)-8:]} {
						code, b, _ := w.send(w.owner, get, path+p.Name+"="+url.QueryEscape(part), nil)
						var page resource.Page[json.RawMessage]
						found := code == http.StatusOK && !strings.HasPrefix(r.ID, "export-") && (json.Unmarshal(b, &page) != nil || len(page.Items) > 0)
						if found || code >= http.StatusInternalServerError {
							t.Errorf("%s finds something by %s and secret %d: %d %.300s", r.ID, p.Name, i, code, b)
						}
						if strings.HasPrefix(r.ID, "export-") && code == http.StatusOK && strings.Count(string(b), "\n") > 1 {
							t.Errorf("%s exports something by %s and secret %d: %.300s", r.ID, p.Name, i, b)
						}
					}
				}
			}
		}
		if t.Failed() {
			t.Log(fmt.Sprint(len(secrets)) + " secrets: static challenge, password, challenge, token, link, and the hashes of password, token and challenge")
		}
	})
}
