package api

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chancery/internal/access"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// TestRoleTable keeps in a file which role may do what, and proves it: what a
// role may not is refused although the call is whole and about things the role
// may see; what it may read is answered, and holds no secret.
func TestRoleTable(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	const static = "static-challenge-canary-1234"
	w.do(http.StatusOK, patch, "/endpoints/"+s.Endpoint, map[string]any{"settings": map[string]any{"static_on": true, "static": static}}, nil)
	const password = "password canary 5678"
	w.do(http.StatusOK, post, "/admins/"+s.Admin+"/password", map[string]any{"password": password}, nil)
	secrets := []string{static, serverChallenge, directoryPassword, keySecret, password, "PRIVATE KEY", "argon2", w.owner}

	var chain resource.Chain
	w.do(http.StatusOK, get, "/authorities/"+s.Authority+"/chain", nil, &chain)
	var shown resource.Certificate
	w.do(http.StatusOK, get, "/certificates/"+s.Certificate, nil, &shown)
	var ordered resource.Revocation
	w.do(http.StatusAccepted, post, "/revocations", map[string]any{"filter": map[string]any{"device_id": s.Device}}, &ordered) // nobody works on it here

	ids := map[string]string{"passes": s.Pass, "traces": s.Waiting, "directories": s.Directory, "key-services": s.KeyService, "syncs": s.Sync, "dangers": s.Danger, "imports": s.Import, "differences": s.Difference, "revocations": ordered.ID, "groups": s.Group, "users": s.User, "devices": s.Device, "authorities": s.Authority, "templates": s.Template, "endpoints": s.Endpoint,
		"challenges": s.Challenge, "requests": s.Waiting, "certificates": s.Certificate, "admins": s.Admin, "tokens": s.Token}
	viewer := []map[string]any{{"role": "viewer", "group": s.Group}}
	spec := map[string]any{"subject": "CN={DeviceUid}", "key_type": "p-256"}
	bodies := map[string]any{
		"create-group": map[string]any{"name": "x", "parent_id": s.Group}, "update-group": map[string]any{"country": "SE"},
		"create-user": map[string]any{"name": "x", "group_id": s.Group}, "update-user": map[string]any{"display_name": "x"}, "import-users": "name\nx\n",
		"create-device": map[string]any{"platform": "ios", "platform_id": "x", "group_id": s.Group}, "update-device": map[string]any{"model": "x"}, "import-devices": "platform_id,platform\nx,ios\n",
		"create-authority": map[string]any{"kind": "embedded", "name": "x", "group_id": s.Group}, "test-authority-settings": map[string]any{"kind": "embedded", "group_id": s.Group},
		"update-authority": map[string]any{"description": "x"}, "install-authority-certificate": map[string]any{"pem": chain.PEM},
		"create-template": map[string]any{"name": "x", "group_id": s.Group, "authority_id": s.Authority, "spec": spec}, "update-template": map[string]any{"description": "x"},
		"create-directory":        map[string]any{"name": "x", "group_id": s.Group, "settings": map[string]any{"servers": []string{"dc.acme.example"}, "user": "x", "password": "x"}},
		"test-directory-settings": map[string]any{"group_id": s.Group}, "update-directory": map[string]any{"description": "x"}, "order-sync": map[string]any{"full": true},
		"set-authority-import": map[string]any{"group_id": s.Group}, "order-import": map[string]any{"full": true}, "settle-difference": map[string]any{"comment": "It is known."},
		"sign-off-danger":    map[string]any{"hash": "one", "why": "The network is closed."},
		"create-key-service": map[string]any{"name": "x", "group_id": s.Group, "settings": keyService(t)}, "test-key-service-settings": map[string]any{"group_id": s.Group, "settings": keyService(t)},
		"update-key-service": map[string]any{"description": "x"},
		"create-endpoint":    map[string]any{"name": "x", "template_id": s.Template}, "update-endpoint": map[string]any{"disabled": true},
		"create-challenge": map[string]any{"endpoint_id": s.Endpoint, "device_id": s.Device},
		"create-pass":      map[string]any{"template_id": s.SCEPTemplate, "device_id": s.Device}, "learn-pass": map[string]any{"certificate": shown.PEM}, "revoke-pass": map[string]any{},
		"accept-authority-certificates": map[string]any{"fingerprints": []string{"x"}},
		"create-request":                map[string]any{"template_id": s.KeyTemplate, "device_id": s.Device}, "approve-request": map[string]any{}, "deny-request": map[string]any{},
		"revoke-certificates": map[string]any{"ids": []string{s.Certificate}}, "order-revocation": map[string]any{"filter": map[string]any{"device_id": s.Device}},
		"renew-certificate": map[string]any{}, "revoke-certificate": map[string]any{}, "hold-certificate": map[string]any{}, "unhold-certificate": map[string]any{}, "take-certificate-key": map[string]any{},
		"create-admin": map[string]any{"name": "x", "grants": viewer}, "update-admin": map[string]any{"display_name": "x"}, "set-admin-password": map[string]any{"password": "correct horse battery staple"},
		"create-admin-link": map[string]any{}, "create-token": map[string]any{"name": "x", "grants": viewer},
	}
	doc := w.document()
	roles := slices.DeleteFunc(slices.Clone(ra.Roles), func(r ra.Role) bool { return r == ra.RoleOwner })
	tokens := map[ra.Role]string{}
	for _, role := range roles {
		tokens[role] = w.token(string(role), ra.Grant{Role: role, Group: ra.GroupID(s.Group)})
	}
	before := w.dump(s)
	var table strings.Builder
	table.WriteString("Which role may call what in its organization groups; an owner may call everything.\n\n")
	for _, r := range w.server.routes() {
		if r.Method != get && doc[r.ID].RequestBody != nil && bodies[r.ID] == nil && r.Needs != access.See {
			t.Errorf("%s: say what a whole call of it sends", r.ID)
			continue
		}
		path := prefix + strings.Replace(r.Path, "{id}", ids[tag(r.Path)], 1)
		if strings.Contains(r.Path, "/guard") || strings.HasPrefix(r.Path, "/authorities/{id}/import") {
			path = prefix + strings.Replace(r.Path, "{id}", s.Guarded, 1)
		}
		switch r.ID {
		case "show-authority-guard-script":
			path += "?template=x"
		case "list-challenges":
			path += "?device_id=" + s.Device
		case "list-authority-catalog":
			path += "?lookup=profiles"
		case "import-users", "import-devices":
			path += "?group_id=" + s.Group
		}
		var may []string
		for _, role := range roles {
			if r.Needs == "" || slices.Contains(access.Permissions(role), r.Needs) {
				may = append(may, string(role))
				if r.Method != get {
					continue
				}
				code, b, _ := w.send(tokens[role], get, path, nil)
				if code != http.StatusOK && !(r.ID == "show-revocation" && code == http.StatusNotFound) { // it is its orderer's
					t.Errorf("%s by a %s: %d %s", r.ID, role, code, b)
				}
				for _, secret := range secrets {
					if strings.Contains(string(b), secret) {
						t.Errorf("%s shows a %s the secret %.12s", r.ID, role, secret)
					}
				}
				continue
			}
			code, b, _ := w.send(tokens[role], r.Method, path, bodies[r.ID])
			refused := code == http.StatusForbidden
			switch r.ID {
			case "order-revocation": // of what one may revoke, which is nothing
				refused = code == http.StatusUnprocessableEntity && strings.Contains(string(b), "that you may revoke")
			case "learn-pass": // of what one may change, which is nothing
				refused = code == http.StatusNotFound
			case "list-revocations":
				refused = code == http.StatusOK && string(b) == `{"items":[]}`+"\n"
			case "show-revocation":
				refused = code == http.StatusNotFound || refused
			}
			if !refused {
				t.Errorf("%s by a %s: %d %s", r.ID, role, code, b)
			}
		}
		fmt.Fprintf(&table, "%-30s %s\n", r.ID, strings.Join(may, " "))
	}
	if after := w.dump(s); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	path := filepath.Join("testdata", "roles.txt")
	if *update {
		must(t, os.WriteFile(path, []byte(table.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if string(want) != table.String() {
		t.Errorf("what roles may do changed: look at what go test ./internal/api -run RoleTable -update does to %s", path)
	}
}
