package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// TestNouns makes, shows, changes, lists and deletes one of each.
func TestNouns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		for _, c := range []struct {
			path   string
			make   map[string]any
			change map[string]any
			want   string // in the changed one
		}{
			{"/groups", map[string]any{"name": "Sales", "parent_id": s.Group, "country": "de"}, map[string]any{"contact": "pki@acme.example"}, `"country":"DE"`},
			{"/users", map[string]any{"name": "grace", "group_id": s.Group, "attributes": map[string]any{"department": "R&D"}}, map[string]any{"upn": "grace@acme.example"}, `"department":"R&D"`},
			{"/devices", map[string]any{"platform": "macos", "platform_id": "M1", "group_id": s.Group}, map[string]any{"model": "Mac"}, `"state":"enrolled"`},
			{"/authorities", map[string]any{"kind": "embedded", "name": "Second", "group_id": s.Group, "settings": map[string]any{"crl_validity": "72h"}},
				map[string]any{"max_in_flight": 3, "settings": map[string]any{"leaf_days": 100}}, `"crl_validity":"3d"`},
			{"/directories", map[string]any{"name": "Second", "group_id": s.Group, "settings": map[string]any{"servers": []string{"dc.acme.example"}, "user": "svc", "password": "x"}},
				map[string]any{"description": "for later", "settings": map[string]any{"interval": "2h"}}, `"interval":"2h"`},
			{"/key-services", map[string]any{"name": "Second", "group_id": s.Group, "settings": keyService(t)},
				map[string]any{"description": "for later", "settings": map[string]any{"timeout": "5s"}}, `"timeout":"5s"`},
			{"/templates", map[string]any{"name": "T2", "group_id": s.Group, "authority_id": s.Authority, "spec": map[string]any{"subject": "CN={DeviceUid}"}},
				map[string]any{"description": "for later"}, `"key_type":"rsa-2048"`},
			{"/endpoints", map[string]any{"name": "two", "template_id": s.Template, "settings": map[string]any{"challenge_life": "2h"}},
				map[string]any{"settings": map[string]any{"challenge_uses": 3}}, `"challenge_life":"2h"`},
			{"/admins", map[string]any{"name": "grace", "grants": []any{map[string]any{"role": "operator", "group": s.Group}}}, map[string]any{"email": "grace@acme.example"}, `"role":"operator"`},
		} {
			var made struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			}
			h := w.do(http.StatusCreated, post, c.path, c.make, &made)
			one := c.path + "/" + made.ID
			shown := w.do(http.StatusOK, get, one, nil, nil)
			if h.Get("ETag") == "" || shown.Get("ETag") != h.Get("ETag") {
				t.Errorf("%s: ETags %q and %q", c.path, h.Get("ETag"), shown.Get("ETag"))
			}
			stale := w.refused(w.owner, http.StatusPreconditionFailed, patch, prefix+one, c.change, "If-Match", `"abc"`)
			if stale.Kind != "conflict" {
				t.Errorf("%s: stale change: %+v", c.path, stale)
			}
			var changed json.RawMessage
			next := w.do(http.StatusOK, patch, one, c.change, &changed, "If-Match", h.Get("ETag"))
			if !strings.Contains(string(changed), c.want) {
				t.Errorf("%s: changed to %s, want %s in it", c.path, changed, c.want)
			}
			for field := range c.change {
				if !strings.Contains(string(changed), `"`+field+`"`) {
					t.Errorf("%s: %s is not in %s", c.path, field, changed)
				}
			}
			if next.Get("ETag") == h.Get("ETag") {
				t.Errorf("%s: the ETag stayed", c.path)
			}
			var page resource.Page[json.RawMessage]
			w.do(http.StatusOK, get, c.path+"?limit=1000", nil, &page)
			if all, _ := json.Marshal(page.Items); !strings.Contains(string(all), made.ID) {
				t.Errorf("%s: not in the list", c.path)
			}
			w.do(http.StatusNoContent, remove, one, nil, nil)
			w.refused(w.owner, http.StatusNotFound, get, prefix+one, nil)
		}
		w.do(http.StatusNoContent, remove, "/challenges/"+s.Challenge, nil, nil)
		w.do(http.StatusNoContent, remove, "/tokens/"+s.Token, nil, nil)
		w.refused(w.owner, http.StatusNotFound, remove, prefix+"/tokens/"+s.Token, nil)
		w.refused(w.owner, http.StatusUnprocessableEntity, patch, prefix+"/authorities/"+s.Authority, map[string]any{"kind": "other"})
		w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/authorities", map[string]any{"name": "x"})
	})
}

// TestPages walks lists page by page in both directions, and finds each thing
// once.
func TestPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var g resource.Group
		w.do(http.StatusCreated, post, "/groups", map[string]any{"name": "many"}, &g)
		var csv strings.Builder
		csv.WriteString("platform_id,platform,name\n")
		for i := range 25 {
			fmt.Fprintf(&csv, "P%02d,linux,host %02d\n", i, i)
		}
		var report resource.ImportReport
		w.do(http.StatusOK, post, "/devices/import?group_id="+g.ID+"&dry_run=true", csv.String(), &report)
		if report.Created != 25 || report.Failed != 0 {
			t.Fatalf("dry run: %+v", report)
		}
		w.do(http.StatusOK, post, "/devices/import?group_id="+g.ID, csv.String(), &report)
		for _, sort := range []string{"", "name", "-name", "created", "-created"} {
			seen, after := map[string]bool{}, ""
			for pages := 1; ; pages++ {
				var page resource.Page[resource.Device]
				w.do(http.StatusOK, get, "/devices?limit=10&sort="+sort+"&after="+after, nil, &page)
				for _, d := range page.Items {
					if seen[d.ID] {
						t.Errorf("sorted by %q: %s comes twice", sort, d.Name)
					}
					seen[d.ID] = true
				}
				if after = page.Next; after == "" {
					if pages != 3 {
						t.Errorf("sorted by %q: %d pages", sort, pages)
					}
					break
				}
			}
			if len(seen) != 25 {
				t.Errorf("sorted by %q: %d devices", sort, len(seen))
			}
		}
		p := w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/devices/import?group_id="+g.ID, "name\nx\n")
		if p.Kind != "invalid" {
			t.Errorf("a file without its column: %+v", p)
		}
	})
}

func TestImportExport(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var r resource.ImportReport
		w.do(http.StatusOK, post, "/users/import?group_id="+s.Group+"&column=Login:name,Colour:-", "Login,email,Colour\ngrace,grace@acme.example,red\nbroken,not an address,blue\n", &r)
		if r.Rows != 2 || r.Created != 1 || r.Failed != 1 || len(r.Faults) != 1 || r.Faults[0].Line != 3 || r.Faults[0].Field != "email" {
			t.Errorf("import: %+v", r)
		}
		for path, want := range map[string]string{"/users/export": "grace", "/devices/export?platform=ios": "udid-acme", "/certificates/export?state=valid": s.Certificate} {
			code, b, h := w.send(w.owner, get, prefix+path, nil)
			if code != http.StatusOK || h.Get("Content-Type") != "text/csv; charset=utf-8" {
				t.Fatalf("%s: %d %v %s", path, code, h, b)
			}
			rows, err := csv.NewReader(strings.NewReader(string(b))).ReadAll()
			if err != nil || len(rows) < 2 || !strings.Contains(string(b), want) {
				t.Errorf("%s: %v\n%s", path, err, b)
			}
		}
		w.do(http.StatusOK, post, "/users/import", exported(w, "/users/export"), &r)
		if r.Failed != 0 || r.Created != 0 || r.Updated != 0 || r.Unchanged == 0 {
			t.Errorf("what was exported comes back changed: %+v", r)
		}
	})
}

func exported(w *world, path string) string {
	_, b, _ := w.send(w.owner, get, prefix+path, nil)
	return string(b)
}

func TestCertificateRowIsHarmless(t *testing.T) {
	row := certificateRow(resource.Certificate{ID: "crt_1", Subject: "=cmd|' /C calc'!A0", SANs: []string{"@x"}})
	if row[2] != "'=cmd|' /C calc'!A0" || row[3] != "'@x" || row[0] != "crt_1" {
		t.Errorf("%q", row)
	}
}

// TestBulkRevoke looks before it acts, acts on all, and says how each went.
func TestBulkRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var more resource.Request
		w.do(http.StatusCreated, post, "/requests", map[string]any{"template_id": s.Template, "device_id": s.Device, "csr": newCSR(t, "CN=ada"), "wait": true}, &more)
		filter := map[string]any{"device_id": s.Device, "state": []string{"valid"}}
		var r resource.BulkResult
		w.do(http.StatusOK, post, "/certificates/revoke", map[string]any{"filter": filter, "dry_run": true}, &r)
		if !r.DryRun || r.Changed != 2 || r.Items[0].Outcome != "would_change" || r.Items[0].Title != "CN=ada" {
			t.Errorf("dry run: %+v", r)
		}
		w.do(http.StatusOK, post, "/certificates/revoke", map[string]any{"ids": []string{s.Certificate, more.CertificateID}, "reason": "cessationOfOperation"}, &r)
		if r.DryRun || r.Changed != 2 || r.Failed != 0 {
			t.Errorf("revoked: %+v", r)
		}
		w.do(http.StatusOK, post, "/certificates/revoke", map[string]any{"ids": []string{s.Certificate}}, &r)
		if r.Changed != 0 || r.Items[0].Outcome != "unchanged" {
			t.Errorf("revoked again: %+v", r)
		}
		var page resource.Page[resource.Certificate]
		w.do(http.StatusOK, get, "/certificates?state=revoked&device_id="+s.Device, nil, &page)
		if len(page.Items) != 2 || page.Items[0].Reason != "cessationOfOperation" {
			t.Errorf("revoked certificates: %+v", page)
		}
		for _, bad := range []map[string]any{{}, {"ids": []string{s.Certificate}, "filter": filter}, {"ids": []string{s.Certificate}, "reason": "certificateHold"}, {"filter": map[string]any{"state": []string{"odd"}}}} {
			w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/certificates/revoke", bad)
		}
		p := w.refused(w.owner, http.StatusNotFound, post, prefix+"/certificates/revoke", map[string]any{"ids": []string{s.Certificate, "crt_none"}})
		if p.Field != "ids[1]" {
			t.Errorf("unknown ID: %+v", p)
		}
	})
}

// TestRevocations: everything a filter finds is counted, ordered, done in the
// background, and told about.
func TestRevocations(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		order := map[string]any{"filter": map[string]any{"device_id": s.Device}, "reason": "keyCompromise", "comment": "stolen"}
		var r resource.Revocation
		order["dry_run"] = true
		w.do(http.StatusAccepted, post, "/revocations", order, &r)
		if r.ID != "" || r.State != "planned" || r.Total != 1 {
			t.Errorf("dry run: %+v", r)
		}
		delete(order, "dry_run")
		w.do(http.StatusAccepted, post, "/revocations", order, &r)
		if r.ID == "" || r.State != "running" || r.Total != 1 || r.Revoked != 0 {
			t.Errorf("ordered: %+v", r)
		}
		must(t, w.server.Lifecycle.WorkBulk(t.Context(), lifecycle.BulkJob{Bulk: store.BulkID(r.ID)}))
		w.do(http.StatusOK, get, "/revocations/"+r.ID, nil, &r)
		if r.State != "done" || r.Revoked != 1 || r.Failed != 0 || r.Reason != "keyCompromise" || r.Comment != "stolen" || r.Ended.IsZero() || r.OrderBy == "" {
			t.Errorf("done: %+v", r)
		}
		var list resource.Page[resource.Revocation]
		w.do(http.StatusOK, get, "/revocations", nil, &list)
		if len(list.Items) != 1 || list.Items[0].ID != r.ID {
			t.Errorf("list: %+v", list)
		}
		for _, bad := range []map[string]any{order, {"filter": map[string]any{"device_id": s.Device}, "reason": "certificateHold"}, {"filter": map[string]any{"state": []string{"odd"}}}} {
			w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/revocations", bad)
		}
	})
}

// TestSecretsStay: no answer shows a secret that was sent, and those made here
// are shown once.
func TestSecretsStay(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	const static = "static-challenge-canary-1234"
	w.do(http.StatusOK, patch, "/endpoints/"+s.Endpoint, map[string]any{"settings": map[string]any{"static_on": true, "static": static}}, nil)
	const password = "password canary 5678"
	w.do(http.StatusOK, post, "/admins/"+s.Admin+"/password", map[string]any{"password": password}, nil)
	var c resource.Challenge
	w.do(http.StatusCreated, post, "/challenges", map[string]any{"endpoint_id": s.Endpoint, "device_id": s.Device, "life": "90m", "uses": 2}, &c)
	if c.Challenge == "" || c.MaxUses != 2 {
		t.Errorf("challenge: %+v", c)
	}
	var tok resource.Token
	w.do(http.StatusCreated, post, "/tokens", map[string]any{"name": "x", "grants": []any{map[string]any{"role": "viewer"}}, "life": "30d"}, &tok)
	if tok.Token == "" || tok.ExpiresAt.IsZero() {
		t.Errorf("token: %+v", tok)
	}
	var link resource.Link
	w.do(http.StatusCreated, post, "/admins/"+s.Admin+"/link", map[string]any{"life": "1h"}, &link)
	at, err := url.Parse(link.Link)
	if err != nil || !strings.HasPrefix(link.Link, "http://console.example.test/sign-in/link?t=") || time.Until(link.ExpiresAt) < 30*time.Minute || time.Until(link.ExpiresAt) > time.Hour {
		t.Errorf("link: %+v, %v", link, err)
	}
	token := at.Query().Get("t")
	w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/admins/"+s.Admin+"/link", map[string]any{"life": "long"})
	for _, path := range []string{"/endpoints", "/endpoints/" + s.Endpoint, "/admins", "/admins/" + s.Admin, "/tokens", "/tokens/" + tok.ID, "/challenges?device_id=" + s.Device,
		"/authorities", "/authorities/" + s.Authority, "/audit?limit=1000", "/requests", "/certificates/" + s.Certificate} {
		var raw json.RawMessage
		w.do(http.StatusOK, get, path, nil, &raw)
		for _, secret := range []string{static, password, c.Challenge, tok.Token, token, "PRIVATE KEY", w.owner} {
			if strings.Contains(string(raw), secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	if log := w.log.String(); strings.Contains(log, "canary") || strings.Contains(log, w.owner) || strings.Contains(log, token) {
		t.Errorf("the log shows a secret: %s", log)
	}
	if in, err := w.server.Signin.UseLink(t.Context(), secret.New(token), "192.0.2.1:1"); err != nil || string(in.ID) != s.Admin {
		t.Errorf("the link lets in %+v, %v", in, err)
	}
}

func TestAuthority(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	one := "/authorities/" + s.Authority
	var a resource.Authority
	w.do(http.StatusOK, get, one, nil, &a)
	if len(a.Abilities) == 0 || !strings.Contains(string(a.Settings), `"key":{"set":true}`) {
		t.Errorf("authority: %+v %s", a, a.Settings)
	}
	var r resource.TestReport
	w.do(http.StatusOK, post, one+"/test", nil, &r)
	if !r.OK || len(r.Steps) == 0 {
		t.Errorf("test: %+v", r)
	}
	w.do(http.StatusOK, post, "/authorities/test", map[string]any{"kind": "embedded", "group_id": s.Group}, &r)
	if !r.OK {
		t.Errorf("test of settings: %+v", r)
	}
	p := w.refused(w.owner, 422, post, prefix+"/authorities/test", map[string]any{"kind": "embedded", "group_id": s.Group, "settings": map[string]any{"leaf_days": -1, "colour": "red"}})
	if len(p.Errors) != 2 || p.Errors[0].Field != "settings.colour" && p.Errors[1].Field != "settings.colour" {
		t.Errorf("bad settings: %+v", p)
	}
	var chain resource.Chain
	w.do(http.StatusOK, get, one+"/chain", nil, &chain)
	if strings.Count(chain.PEM, "BEGIN CERTIFICATE") != 2 {
		t.Errorf("chain: %s", chain.PEM)
	}
	var kinds resource.Page[resource.Kind]
	w.do(http.StatusOK, get, "/authorities/kinds", nil, &kinds)
	if len(kinds.Items) == 0 || len(kinds.Items[0].Settings) == 0 || kinds.Items[0].Schema["type"] != "object" {
		t.Errorf("kinds: %+v", kinds)
	}
	var catalog resource.Page[resource.CatalogEntry]
	w.do(http.StatusOK, get, one+"/catalog?lookup=profiles&chosen=a:b", nil, &catalog)

	// A subordinate CA: request, a wrong answer, the right one.
	w.do(http.StatusCreated, post, "/authorities", map[string]any{"kind": "embedded", "name": "Sub", "group_id": s.Group, "settings": map[string]any{"setup": "subordinate"}}, &a)
	var csr resource.CSR
	w.do(http.StatusOK, post, "/authorities/"+a.ID+"/csr", nil, &csr)
	if !strings.Contains(csr.PEM, "CERTIFICATE REQUEST") {
		t.Errorf("CSR: %s", csr.PEM)
	}
	for _, bad := range []string{"", "rubbish", chain.PEM, strings.Repeat(chain.PEM, 6), csr.PEM} {
		p := w.refused(w.owner, 422, post, prefix+"/authorities/"+a.ID+"/certificate", map[string]any{"pem": bad})
		if p.Kind != string(ra.Invalid) {
			t.Errorf("installed %.30q: %+v", bad, p)
		}
	}
}

func TestTemplatePreview(t *testing.T) {
	w := sqlite(t)
	s := w.populate("acme")
	var p resource.Preview
	w.do(http.StatusOK, post, "/templates/"+s.Template+"/preview", map[string]any{"device_id": s.Device}, &p)
	if !strings.Contains(string(p.Fill), `"CN=ada"`) || len(p.Extensions) == 0 || !strings.Contains(string(p.Tree), "SEQUENCE") || !strings.Contains(p.CSR, "CERTIFICATE REQUEST") {
		t.Errorf("preview: %+v", p)
	}
	spec := map[string]any{"subject": "CN={DeviceUid}", "tests": []any{map[string]any{"name": "one", "values": map[string]any{"DeviceUid": "U"}, "want": map[string]any{"subject": "CN=U"}}}}
	unsaved := map[string]any{"device_id": s.Device, "template": map[string]any{"group_id": s.Group, "authority_id": s.Authority, "name": "new", "spec": spec}}
	w.do(http.StatusOK, post, "/templates/preview", unsaved, &p)
	if !strings.Contains(string(p.Fill), "udid-acme") || len(p.Tests) != 1 || !p.Tests[0].Passed {
		t.Errorf("unsaved: %s %+v", p.Fill, p.Tests)
	}
	w.refused(w.owner, 422, post, prefix+"/templates/preview", map[string]any{"device_id": s.Device})
	w.do(http.StatusOK, patch, "/templates/"+s.Template, map[string]any{"spec": spec}, nil)
	var tests resource.Page[resource.TestResult]
	w.do(http.StatusOK, post, "/templates/"+s.Template+"/run-tests", nil, &tests)
	if len(tests.Items) != 1 || !tests.Items[0].Passed {
		t.Errorf("tests: %+v", tests)
	}
	var values resource.Page[resource.LookupValue]
	w.do(http.StatusOK, get, "/lookup-values", nil, &values)
	if len(values.Items) < 30 || values.Items[0].Name != "EnrollmentUser" {
		t.Errorf("lookup values: %+v", values)
	}
}

func TestStatusAndDoctor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var st resource.Status
		w.do(http.StatusOK, get, "/status", nil, &st)
		if !st.Healthy || st.Version != "test" || st.Certificates["valid"] != 1 || st.Devices["ios"] != 1 || st.Requests["issued"] != 1 {
			t.Errorf("status: %+v", st)
		}
		var h resource.Health
		w.do(http.StatusOK, post, "/doctor", nil, &h)
		seen := map[string]string{}
		for _, c := range h.Checks {
			seen[c.Name] = c.State
		}
		for _, name := range []string{"database", "master key", "audit log", "revocation lists", "authority CA acme", "obligations", "own certificates", "SCEP endpoints", "clock"} {
			if seen[name] != "ok" {
				t.Errorf("doctor: %s is %q", name, seen[name])
			}
		}
		w.server.Doctor.MasterKey += ".lost"
		w.do(http.StatusOK, post, "/doctor", nil, &h)
		if h.OK || h.Checks[1].State != "failed" || h.Checks[1].Remedy == "" {
			t.Errorf("doctor without a master key: %+v", h)
		}
		var waiting resource.Page[resource.Waiting]
		w.do(http.StatusOK, get, "/obligations?group_id="+s.Group+"&action=renew", nil, &waiting)
		if len(waiting.Items) != 1 || waiting.Items[0].ID != s.Certificate || waiting.Items[0].Late {
			t.Errorf("obligations: %+v", waiting)
		}
		var cal resource.Calendar
		w.do(http.StatusOK, get, "/calendar?days=3660", nil, &cal)
		if len(cal.Days) != 1 || cal.Days[0].Count != 1 || cal.Days[0].AuthorityID != s.Authority || len(cal.Days[0].Date) != 10 {
			t.Errorf("calendar: %+v", cal)
		}
		var events resource.Page[resource.Event]
		w.do(http.StatusOK, get, "/audit?code=certificate.&group_id="+s.Group, nil, &events)
		if len(events.Items) != 1 || events.Items[0].Object != s.Certificate || events.Items[0].Hash == "" {
			t.Errorf("audit: %+v", events)
		}
	})
}
