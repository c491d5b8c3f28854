package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// attempt is one call about things of another group.
type attempt struct {
	query string
	body  any
}

// TestForeignObjects walks the whole route table with the token of an owner of
// group B: everything of group A is not there, wherever it is named.
func TestForeignObjects(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.populate("alpha"), w.populate("beta")
		token := w.token("owner of beta", ra.Grant{Role: ra.RoleOwner, Group: ra.GroupID(b.Group)})
		before := w.dump(a)
		var ordered resource.Revocation
		var shown resource.Certificate
		w.do(http.StatusOK, get, "/certificates/"+a.Certificate, nil, &shown)
		w.do(http.StatusAccepted, post, "/revocations", map[string]any{"filter": map[string]any{"group_id": a.Group}}, &ordered) // nobody works on it here

		ids := map[string]string{"passes": a.Pass, "traces": a.Request, "directories": a.Directory, "key-services": a.KeyService, "syncs": a.Sync, "dangers": a.Danger, "imports": a.Import, "differences": a.Difference, "revocations": ordered.ID, "groups": a.Group, "users": a.User, "devices": a.Device, "authorities": a.Authority, "templates": a.Template, "endpoints": a.Endpoint,
			"challenges": a.Challenge, "requests": a.Waiting, "certificates": a.Certificate, "admins": a.Admin, "tokens": a.Token}
		spec := map[string]any{"subject": "CN={DeviceUid}", "key_type": "p-256"}
		viewer := []map[string]any{{"role": "viewer", "group": a.Group}}
		// What is sent to routes with an object in their path, where {} would
		// be refused before anything is looked at.
		bodies := map[string]attempt{
			"list-authority-catalog":        {query: "?lookup=profiles"},
			"show-authority-guard-script":   {query: "?template=x"},
			"sign-off-danger":               {body: map[string]any{"hash": "one", "why": "The network is closed."}},
			"settle-difference":             {body: map[string]any{"comment": "It is known."}},
			"install-authority-certificate": {body: map[string]any{"pem": "-----BEGIN CERTIFICATE-----"}},
			"accept-authority-certificates": {body: map[string]any{"fingerprints": []string{"x"}}},
			"set-admin-password":            {body: map[string]any{"password": "correct horse battery staple"}},
		}
		// Calls that name foreign objects in other places than the path. The
		// test fails for a route that is in none of the three lists.
		named := map[string][]attempt{
			"list-groups":               {{query: "?under=" + a.Group}},
			"create-group":              {{body: map[string]any{"name": "x", "parent_id": a.Group}}},
			"list-users":                {{query: "?group_id=" + a.Group}},
			"create-user":               {{body: map[string]any{"name": "x", "group_id": a.Group}}},
			"export-users":              {{query: "?group_id=" + a.Group}},
			"list-devices":              {{query: "?group_id=" + a.Group}},
			"create-device":             {{body: map[string]any{"platform": "ios", "platform_id": "x", "group_id": a.Group}}, {body: map[string]any{"platform": "ios", "platform_id": "x", "group_id": b.Group, "user_id": a.User}}},
			"export-devices":            {{query: "?group_id=" + a.Group}},
			"list-authorities":          {{query: "?group_id=" + a.Group}},
			"create-authority":          {{body: map[string]any{"kind": "embedded", "name": "x", "group_id": a.Group}}},
			"test-authority-settings":   {{body: map[string]any{"kind": "embedded", "group_id": a.Group}}, {body: map[string]any{"kind": "embedded", "id": a.Authority}}},
			"list-directories":          {{query: "?group_id=" + a.Group}},
			"create-directory":          {{body: map[string]any{"name": "x", "group_id": a.Group}}},
			"test-directory-settings":   {{body: map[string]any{"group_id": a.Group}}, {body: map[string]any{"id": a.Directory}}},
			"list-key-services":         {{query: "?group_id=" + a.Group}},
			"create-key-service":        {{body: map[string]any{"name": "x", "group_id": a.Group}}},
			"test-key-service-settings": {{body: map[string]any{"group_id": a.Group}}, {body: map[string]any{"id": a.KeyService}}},
			"list-templates":            {{query: "?group_id=" + a.Group}},
			"create-template": {{body: map[string]any{"name": "x", "group_id": a.Group, "authority_id": b.Authority, "spec": spec}},
				{body: map[string]any{"name": "x", "group_id": b.Group, "authority_id": a.Authority, "spec": spec}}},
			"preview-unsaved-template": {{body: map[string]any{"device_id": a.Device, "template": map[string]any{"name": "x", "group_id": b.Group, "authority_id": b.Authority, "spec": spec}}},
				{body: map[string]any{"device_id": b.Device, "template": map[string]any{"name": "x", "group_id": b.Group, "authority_id": a.Authority, "spec": spec}}}},
			"list-endpoints":     {{query: "?group_id=" + a.Group}},
			"create-endpoint":    {{body: map[string]any{"name": "x", "template_id": a.Template}}},
			"list-challenges":    {{query: "?device_id=" + a.Device}},
			"create-challenge":   {{body: map[string]any{"endpoint_id": a.Endpoint, "device_id": b.Device}}, {body: map[string]any{"endpoint_id": b.Endpoint, "device_id": a.Device}}},
			"list-differences":   {{query: "?group_id=" + a.Group}},
			"export-differences": {{query: "?group_id=" + a.Group}},
			"list-passes":        {{query: "?group_id=" + a.Group}},
			"export-passes":      {{query: "?group_id=" + a.Group}},
			"create-pass": {{body: map[string]any{"template_id": b.SCEPTemplate, "device_id": a.Device}}, {body: map[string]any{"template_id": b.SCEPTemplate, "device_id": b.Device, "user_id": a.User}},
				{body: map[string]any{"template_id": b.SCEPTemplate, "device_id": b.Device, "renews": a.Certificate}}},
			"learn-pass":    {{body: map[string]any{"certificate": shown.PEM}}, {body: map[string]any{"certificate": shown.PEM, "device_id": a.Device, "authority_id": a.SCEPAuthority}}},
			"list-requests": {{query: "?group_id=" + a.Group}},
			"create-request": {{body: map[string]any{"template_id": b.KeyTemplate, "device_id": a.Device}},
				{body: map[string]any{"template_id": b.KeyTemplate, "user_id": a.User}}, {body: map[string]any{"template_id": b.KeyTemplate, "device_id": b.Device, "renews": a.Certificate}}},
			"list-certificates":   {{query: "?group_id=" + a.Group}},
			"export-certificates": {{query: "?group_id=" + a.Group}},
			"revoke-certificates": {{body: map[string]any{"ids": []string{b.Certificate, a.Certificate}}}, {body: map[string]any{"ids": []string{a.Certificate}, "dry_run": true}},
				{body: map[string]any{"filter": map[string]any{"group_id": a.Group}}}},
			"order-revocation": {{body: map[string]any{"filter": map[string]any{"group_id": a.Group}}}, {body: map[string]any{"filter": map[string]any{"group_id": a.Group}, "dry_run": true}}},
			"list-obligations": {{query: "?group_id=" + a.Group}},
			"show-calendar":    {{query: "?group_id=" + a.Group}},
			"list-audit":       {{query: "?group_id=" + a.Group}},
			"create-admin":     {{body: map[string]any{"name": "x", "grants": viewer}}},
			"create-token":     {{body: map[string]any{"name": "x", "grants": viewer}}},
		}
		without := map[string]bool{"list-authority-kinds": true, "list-lookup-values": true, "show-endpoint-form": true, "show-directory-form": true, "show-key-service-form": true, "show-me": true, "show-status": true, "examine": true,
			"verify-audit": true, "list-admins": true, "list-tokens": true, "list-revocations": true, "import-users": true, "import-devices": true,
			"show-master-key": true, "rotate-master-key": true, "drop-master-key": true}

		for _, r := range w.server.routes() {
			path := prefix + r.Path
			var calls []attempt
			if strings.Contains(r.Path, "{id}") {
				path = strings.Replace(path, "{id}", ids[tag(r.Path)], 1)
				call := bodies[r.ID]
				if call.body == nil && r.Method != get && r.Method != remove {
					call.body = map[string]any{}
				}
				calls = []attempt{call}
			} else if calls = named[r.ID]; calls == nil && !without[r.ID] {
				t.Errorf("%s: say which foreign objects this route could name", r.ID)
			}
			for _, call := range calls {
				p := w.refused(token, http.StatusNotFound, r.Method, path+call.query, call.body)
				if leaks(p.Message+p.Remedy, "alpha") {
					t.Errorf("%s tells about a foreign object: %+v", r.ID, p)
				}
			}
		}

		// Moving one's own things into a foreign group, or onto foreign things.
		for path, body := range map[string]map[string]any{
			"/users/" + b.User: {"group_id": a.Group}, "/devices/" + b.Device: {"user_id": a.User},
			"/authorities/" + b.Authority: {"group_id": a.Group}, "/directories/" + b.Directory: {"group_id": a.Group}, "/key-services/" + b.KeyService: {"group_id": a.Group}, "/templates/" + b.Template: {"authority_id": a.Authority}, "/endpoints/" + b.Endpoint: {"template_id": a.Template},
			"/admins/" + b.Admin: {"grants": viewer},
		} {
			w.refused(token, http.StatusNotFound, patch, prefix+path, body)
		}
		w.do(http.StatusOK, post, "/imports/"+b.Import+"/cancel", nil, nil)
		for field, in := range map[string]map[string]any{"group_id": {"group_id": a.Group}, "adopt.x": {"adopt": map[string]any{"x": a.Template}}} {
			if p := w.refused(token, http.StatusUnprocessableEntity, put, prefix+"/authorities/"+b.Guarded+"/import", in); p.Field != field || leaks(p.Message+p.Remedy, "alpha") {
				t.Errorf("an import tells about a foreign object: %+v", p)
			}
		}
		below := struct{ ID string }{}
		w.do(http.StatusCreated, post, "/groups", map[string]any{"name": "below", "parent_id": b.Group}, &below)
		w.refused(token, http.StatusNotFound, patch, prefix+"/groups/"+below.ID, map[string]any{"parent_id": a.Group})
		w.refused(token, http.StatusNotFound, patch, prefix+"/devices/"+b.Device, map[string]any{"group_id": a.Group})
		w.refused(token, http.StatusNotFound, patch, prefix+"/templates/"+b.Template, map[string]any{"group_id": a.Group})
		w.refused(token, http.StatusNotFound, post, prefix+"/templates/"+b.Template+"/preview", map[string]any{"device_id": a.Device})

		// A template that is not for the device's group is refused without a word
		// about what it is.
		if p := w.refused(token, http.StatusForbidden, post, prefix+"/requests", map[string]any{"template_id": a.KeyTemplate, "device_id": b.Device}); leaks(p.Message+p.Remedy, "alpha") {
			t.Errorf("create-request tells about a foreign template: %+v", p)
		}

		// No list shows anything foreign.
		for _, r := range w.server.routes() {
			if r.Method != get || strings.Contains(r.Path, "{id}") || r.ID == "list-challenges" {
				continue
			}
			code, body, _ := w.send(token, get, prefix+r.Path, nil)
			want := http.StatusOK
			if r.ID == "show-master-key" { // of the whole installation, and of no group
				want = http.StatusForbidden
			}
			if code != want {
				t.Errorf("%s: %d %s", r.ID, code, body)
			}
			for kind, id := range ids {
				if strings.Contains(string(body), id) {
					t.Errorf("%s shows %s of the other group", r.ID, kind)
				}
			}
		}

		// An import cannot reach over either.
		for _, path := range []string{"/users/import", "/devices/import"} {
			_, body, _ := w.send(token, post, prefix+path+"?group_id="+a.Group, "name,platform_id,platform\nx,x,ios\n")
			if strings.Contains(string(body), `"created":1`) || strings.Contains(string(body), `"updated":1`) {
				t.Errorf("%s into a foreign group: %s", path, body)
			}
		}
		if after := w.dump(a); after != before {
			t.Errorf("something of group A changed:\n%s\n%s", before, after)
		}
	})
}

func leaks(text, name string) bool { return strings.Contains(text, name) }

// dump is how the things of a set are now.
func (w *world) dump(s set) string {
	w.t.Helper()
	var out strings.Builder
	for _, path := range []string{"/groups/" + s.Group, "/users/" + s.User, "/devices/" + s.Device, "/authorities/" + s.Authority, "/directories/" + s.Directory, "/key-services/" + s.KeyService, "/templates/" + s.Template, "/endpoints/" + s.Endpoint,
		"/requests/" + s.Waiting, "/certificates/" + s.Certificate, "/admins/" + s.Admin, "/tokens/" + s.Token, "/challenges?device_id=" + s.Device, "/authorities/" + s.Guarded + "/import", "/imports/" + s.Import, "/differences/" + s.Difference} {
		var v json.RawMessage
		w.do(http.StatusOK, get, path, nil, &v)
		out.Write(v)
	}
	return out.String()
}

// TestRoles holds every route against what a role may do: a viewer changes
// nothing and is told so.
func TestRoles(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	viewer := w.token("viewer", ra.Grant{Role: ra.RoleViewer, Group: ra.GroupID(s.Group)})
	for path, body := range map[string]any{
		"/groups": map[string]any{"name": "x", "parent_id": s.Group}, "/users": map[string]any{"name": "x", "group_id": s.Group},
		"/devices":     map[string]any{"platform": "ios", "platform_id": "x", "group_id": s.Group},
		"/authorities": map[string]any{"kind": "embedded", "name": "x", "group_id": s.Group},
		"/challenges":  map[string]any{"endpoint_id": s.Endpoint, "device_id": s.Device}, "/requests": map[string]any{"template_id": s.KeyTemplate, "device_id": s.Device},
		"/certificates/revoke": map[string]any{"ids": []string{s.Certificate}, "dry_run": true}, "/certificates/" + s.Certificate + "/revoke": map[string]any{},
		"/certificates/" + s.Certificate + "/key": map[string]any{}, "/certificates/" + s.Certificate + "/renew": map[string]any{}, "/requests/" + s.Waiting + "/approve": map[string]any{},
		"/devices/" + s.Device + "/unenrol": nil, "/authorities/" + s.Authority + "/test": nil, "/doctor": nil, "/audit/verify": nil,
		"/tokens": map[string]any{"name": "x", "grants": []any{map[string]any{"role": "viewer", "group": s.Group}}}, "/admins/" + s.Admin + "/link": map[string]any{},
	} {
		code, b, _ := w.send(viewer, post, prefix+path, body)
		if code != http.StatusForbidden && code != http.StatusNotFound {
			t.Errorf("POST %s as a viewer: %d %s", path, code, b)
		}
	}
	w.refused(viewer, http.StatusForbidden, get, prefix+"/audit", nil)
	code, b, _ := w.send(viewer, get, prefix+"/certificates/"+s.Certificate, nil)
	if code != http.StatusOK || !strings.Contains(string(b), `"history"`) || strings.Contains(string(b), "127.0.0.1") {
		t.Errorf("a viewer sees the certificate: %d %s", code, b)
	}
}
