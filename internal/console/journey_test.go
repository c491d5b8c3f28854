package console

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/enroll"
	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/cms"
)

// record runs a handler without a server.
func record(h http.Handler) answer {
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/", nil))
	return answer{status: r.Code, body: r.Body.String(), header: r.Header()}
}

func (a answer) want(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d\n%s", a.status, status, visible(a.body))
	}
	seen := visible(a.body) + a.body
	for _, text := range texts {
		if !strings.Contains(seen, text) {
			t.Errorf("%q is not on the page:\n%s", text, visible(a.body))
		}
	}
	return a
}

func TestLinkWorksOnceAndNotByLooking(t *testing.T) {
	w := newWorld(t)
	text, err := w.c.Signin.CreateLink(context.Background(), system, w.owner.ID, 0)
	must(t, err)
	at := "/sign-in/link?t=" + text.Reveal()
	b := w.visit(nil)
	for range 3 {
		b.get(at).want(t, http.StatusOK, "works once")
	}
	if a := b.post("/sign-in/link", url.Values{"t": {text.Reveal()}}); a.status != http.StatusSeeOther || a.to != "/profile" {
		t.Fatalf("status %d to %q", a.status, a.to)
	}
	w.visit(nil).post("/sign-in/link", url.Values{"t": {text.Reveal()}}).want(t, http.StatusUnauthorized, "used already")
}

func TestPasswordSignInAndOut(t *testing.T) {
	w := newWorld(t)
	b := w.visit(w.owner)
	b.post("/profile/password", url.Values{"password": {"short"}, "again": {"short"}}).want(t, http.StatusUnprocessableEntity, "at least 12 characters")
	b.post("/profile/password", url.Values{"password": {"four random words"}, "again": {"four other words"}}).want(t, http.StatusUnprocessableEntity, "not the same")
	b.done("/profile/password", url.Values{"password": {"four random words"}, "again": {"four random words"}}).want(t, http.StatusOK, "password is changed")
	b.post("/profile/password", url.Values{"present": {"wrong wrong wrong"}, "password": {"five random words"}, "again": {"five random words"}}).want(t, http.StatusForbidden, "present password is wrong")
	next := w.visit(nil)
	if a := next.get("/devices?q=x"); a.to != "/sign-in?next=%2Fdevices%3Fq%3Dx" {
		t.Errorf("sent to %q", a.to)
	}
	if a := next.post("/sign-in", url.Values{"name": {"admin"}, "password": {"four random words"}, "next": {"/devices?q=x"}}); a.to != "/devices?q=x" {
		t.Errorf("status %d, back to %q", a.status, a.to)
	}
	next.get("/devices").want(t, http.StatusOK)
	next.post("/sign-out", nil)
	if a := next.get("/devices"); a.status != http.StatusSeeOther {
		t.Errorf("after signing out: status %d", a.status)
	}
}

func TestDeviceFormKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	typed := url.Values{"name": {"Emil's phone"}, "platform": {"ios"}, "platform_id": {"UDID-9"}, "group_id": {w.ids["site"]}, "user_id": {"nobody-here"}, "attributes": {"asset_number=1\nbroken"}}
	b.post("/devices/new", typed).want(t, http.StatusUnprocessableEntity, `value="Emil&#39;s phone"`, `value="UDID-9"`, "There is no user called", "asset_number=1\nbroken", `<option value="ios" selected>`)
	typed.Set("user_id", "ada")
	b.post("/devices/new", typed).want(t, http.StatusUnprocessableEntity, "is not an attribute", `aria-invalid="true"`)
	typed.Set("attributes", "asset_number=1")
	made := b.done("/devices/new", typed).want(t, http.StatusOK, "Emil's phone", "asset_number", "The device is added")
	b.post("/devices/new", typed).want(t, http.StatusConflict, "is known in this organization already")
	b.done(made.to+"/block", nil).want(t, http.StatusOK, "Blocked")
	b.done(made.to+"/enrol", nil).want(t, http.StatusOK, "Enrolled")
	b.done(made.to+"/unenrol", nil).want(t, http.StatusOK, "Unenrolled")
	b.done(made.to+"/delete", nil).want(t, http.StatusOK, "is deleted")
}

func TestImportTellsFirst(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	const file = "platform_id,platform,name\nA1,ios,One\nA2,toaster,Two\n"
	form := url.Values{"group": {w.ids["site"]}, "do": {"check"}}
	b.upload("/devices/import", form, "file", "devices.csv", file).want(t, http.StatusOK, "What would happen", "Nothing was changed", "is not a platform")
	if strings.Contains(b.get("/devices").body, "One") {
		t.Fatal("the dry run stored a device")
	}
	form.Set("do", "import")
	b.upload("/devices/import", form, "file", "devices.csv", file).want(t, http.StatusOK, "What happened")
	b.get("/devices?q=A1").want(t, http.StatusOK, "One")
	if csv := b.get("/devices.csv?q=A1"); !strings.Contains(csv.body, "A1,ios,One") || csv.header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("export:\n%s", csv.body)
	}
	b.post("/users/import", form).want(t, http.StatusUnprocessableEntity, "No file was chosen")
	b.upload("/users/import", url.Values{"group": {w.ids["site"]}, "do": {"import"}}, "file", "u.csv", "name,email\nzoe,zoe@example.com\n")
	b.get("/users?q=zoe").want(t, http.StatusOK, "zoe@example.com")
}

func TestCertificateByCSRAndItsFiles(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	form := url.Values{"template": {w.ids["template-device"]}, "device": {"ada-laptop"}}
	b.post("/requests/new", form).want(t, http.StatusUnprocessableEntity, "a certificate request is needed", "ada-laptop")
	preview := url.Values{"template": form["template"], "device": form["device"], "do": {"preview"}}
	b.post("/requests/new", preview).want(t, http.StatusOK, "CN=7E1B6C1A-52D1-4B0E-9D2C-0A5C3F1E2D4B,O=Example Works,C=SE", "urn:device:5CG1234ABC")
	a := b.upload("/requests/new", form, "file", "device.csr", newCSR(t, "CN=7E1B6C1A-52D1-4B0E-9D2C-0A5C3F1E2D4B"))
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.to, "/certificates/") {
		t.Fatalf("status %d to %q\n%s", a.status, a.to, visible(a.body))
	}
	b.get(a.to).want(t, http.StatusOK, "Extended key usage", "Revocation list", "On record", "Requested", "Issued", "Expires")
	leaf := b.get(a.to + "/download?format=der").body
	x, err := x509.ParseCertificate([]byte(leaf))
	must(t, err)
	if block, _ := pem.Decode([]byte(b.get(a.to + "/download").body)); block == nil || string(block.Bytes) != leaf {
		t.Error("PEM and DER differ")
	}
	if n := strings.Count(b.get(a.to+"/download?format=chain").body, "BEGIN CERTIFICATE"); n != 3 {
		t.Errorf("the chain has %d certificates", n)
	}
	inside, _, err := cms.ParseDegenerate([]byte(b.get(a.to+"/download?format=p7b").body), cms.Limits{})
	if err != nil || len(inside) != 3 {
		t.Errorf("P7B: %d certificates, %v", len(inside), err)
	}
	b.get(a.to+"/download?format=odd").want(t, http.StatusUnprocessableEntity)
	b.get("/certificates?q="+x.SerialNumber.Text(16)).want(t, http.StatusOK, a.to)
	b.post(a.to+"/renew", nil).want(t, http.StatusUnprocessableEntity, "only the device can renew")
}

func TestKeyIsTakenOnceThenRenewed(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	at := "/certificates/" + w.ids["certificates"]
	b.get(at).want(t, http.StatusOK, at+"/key")
	b.post(at+"/key", url.Values{"password": {"short"}}).want(t, http.StatusUnprocessableEntity, "8 to 256 characters")
	file := b.post(at+"/key", url.Values{"password": {"a long password"}, "encoding": {enroll.PKCS12Legacy}})
	file.want(t, http.StatusOK)
	key, leaf, chain, err := pkcs12.DecodeChain([]byte(file.body), "a long password")
	if err != nil || key == nil || leaf.Subject.CommonName != "ada" || len(chain) != 2 {
		t.Fatalf("PKCS#12: %v", err)
	}
	b.post(at+"/key", url.Values{"password": {"a long password"}}).want(t, http.StatusNotFound, "no key here")
	if strings.Contains(b.get(at).body, at+"/key") {
		t.Error("the key is still offered")
	}
	next := b.done(at+"/renew", nil).want(t, http.StatusOK, "This is the new one", "Replaces")
	b.get(at).want(t, http.StatusOK, "Superseded", "Renewed", next.to)
}

func TestRevokeHoldAndBulk(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	at := "/certificates/" + w.ids["certificates"]
	b.done(at+"/hold", url.Values{"comment": {"lost, perhaps"}}).want(t, http.StatusOK, "On hold", "Lift hold")
	b.done(at+"/unhold", nil).want(t, http.StatusOK, "Valid")
	b.post(at+"/revoke", url.Values{"reason": {"boredom"}}).want(t, http.StatusUnprocessableEntity)
	other := w.submit(system, enroll.Ask{Template: ra.TemplateID(w.ids["templates"]), Device: ra.DeviceID(w.ids["devices"])})
	b.done(at+"/revoke", url.Values{"reason": {"keyCompromise"}, "comment": {"stolen"}}).want(t, http.StatusOK, "Revoked", "The key is known to others", "admin over console")
	both := url.Values{"id": {w.ids["certificates"], string(other.CertificateID)}}
	b.post("/certificates/revoke", both).want(t, http.StatusOK, "Revoke 1 certificate?", "revoked already", "Nothing has happened yet")
	if c, err := w.c.Lifecycle.Certificate(context.Background(), system, other.CertificateID); err != nil || c.State != ra.Valid {
		t.Fatalf("the dry run changed it: %v %v", c.State, err)
	}
	both.Set("reason", "superseded")
	b.post("/certificates/revoke/confirm", both).want(t, http.StatusOK, "1 certificate revoked", "left alone")
	b.post("/certificates/revoke", url.Values{"which": {"all"}, "filter": {"state=valid"}}).want(t, http.StatusSeeOther)
	if csv := b.get("/certificates.csv?state=revoked").body; strings.Count(csv, "\n") != 3 || !strings.Contains(csv, "keyCompromise") {
		t.Errorf("export:\n%s", csv)
	}
}

// TestRevokeEverything: more than one page can take are counted, confirmed, and
// revoked in the background, with a page that tells how far it is.
func TestRevokeEverything(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	one, err := w.c.Lifecycle.Certificate(context.Background(), system, ra.CertificateID(w.ids["certificates"]))
	must(t, err)
	const more = 520
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		for i := range more {
			c := *one
			c.ID, c.RequestID, c.Serial, c.Fingerprint = ra.NewID[ra.CertificateID](ra.CertificatePrefix, tx.Now), "", fmt.Sprintf("%x", 0x1000+i), fmt.Sprintf("f%d", i)
			if err := tx.CreateCertificate(&c); err != nil {
				return err
			}
		}
		return nil
	}))
	filter := url.Values{"which": {"all"}, "filter": {"device=" + w.ids["devices"]}}
	total := fmt.Sprintf("%d certificates", more+1)
	b.post("/certificates/revoke", filter).want(t, http.StatusOK, "Revoke "+total+"?", "Nothing has happened yet", "in the background")
	b.post("/certificates/revoke/all", url.Values{"filter": filter["filter"], "reason": {"boredom"}}).want(t, http.StatusUnprocessableEntity, "Revoke "+total+"?")
	filter.Set("reason", "superseded")
	running := b.done("/certificates/revoke/all", filter).want(t, http.StatusOK, "Revoking "+total, total+" to go")
	id := store.BulkID(strings.TrimPrefix(running.to, "/revocations/"))
	must(t, w.c.Lifecycle.WorkBulk(context.Background(), lifecycle.BulkJob{Bulk: id}))
	b.get(running.to).want(t, http.StatusOK, total+" revoked", "All is done.")
	b.done("/certificates/revoke/all", url.Values{}).want(t, http.StatusOK)
	w.visit(w.admin("otto", ra.Grant{Role: ra.RoleOperator, Group: ra.GroupID(w.ids["site"])})).get(running.to).want(t, http.StatusNotFound)
}

func TestApprovalWithAComparison(t *testing.T) {
	w := newWorld(t)
	w.fill()
	asker := w.visit(w.admin("anna", ra.Grant{Role: ra.RoleManager}))
	made := asker.done("/requests/new", url.Values{"template": {w.templateOf("Mail encryption")}, "device": {"ada-laptop"}}).want(t, http.StatusOK, "Awaiting approval", "somebody else has to decide")
	b := w.visit(w.owner)
	b.get(made.to).want(t, http.StatusOK, "What would be issued", "CN=Ada Lind", "email: ada@example.com", "Approve")
	b.get("/").want(t, http.StatusOK, made.to)
	b.post(made.to+"/decide", url.Values{}).want(t, http.StatusUnprocessableEntity, "There was no decision")
	asker.post(made.to+"/decide", url.Values{"decision": {"approve"}}).want(t, http.StatusForbidden)
	b.done(made.to+"/decide", url.Values{"decision": {"deny"}, "comment": {"ask your manager"}}).want(t, http.StatusOK, "Denied", "ask your manager")
	again := asker.done("/requests/new", url.Values{"template": {w.templateOf("Mail encryption")}, "device": {"ada-laptop"}})
	asker.done(again.to+"/cancel", nil).want(t, http.StatusOK, "Cancelled")
}

func TestTemplateEditorWithoutScript(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	form := url.Values{"name": {"Lab"}, "group_id": {w.ids["groups"]}, "authority_id": {w.ids["authorities"]}, "spec.subject": {"CN={DeviceUid}"}, "spec.key_type": {"p-256"}, "spec.key_place": {"server"}, "spec.usage": {"signing"},
		"spec.ekus": {"1.3.6.1.5.5.7.3.2", "documentSigning"}, "spec.csr_policy": {"match"}, "spec.validity_days": {"90"}, "spec.auto_renew": {"true"}, "spec.renew_before_days": {"20"}, "spec.revoke_on": {"deletion"},
		"san.0.type": {"dns"}, "san.0.value": {"{NoSuchValue}"}, "san.1.type": {"uri"}, "san.1.value": {"urn:x:{DeviceSerialNumber}"}, "preview_device": {"ada-laptop"}}
	form.Set("do", "preview")
	b.post("/templates/new", form).want(t, http.StatusOK, "{NoSuchValue} is not a lookup value", `value="{NoSuchValue}"`)
	form.Set("san.0.value", "")
	b.post("/templates/new", form).want(t, http.StatusOK, "CN=7E1B6C1A-52D1-4B0E-9D2C-0A5C3F1E2D4B", "urn:x:5CG1234ABC", "DER structure")
	form.Set("do", "add-test")
	b.post("/templates/new", form).want(t, http.StatusOK, `name="test.0.name"`, "urn:x:{DeviceSerialNumber}")
	form.Set("do", "save")
	form.Set("test.0.name", "a lab machine")
	form.Set("test.0.values", "DeviceUid=U1\nDeviceSerialNumber=S1")
	form.Set("test.0.subject", "CN=other")
	form.Set("test.0.sans", "uri:urn:x:S1")
	b.post("/templates/new", form).want(t, http.StatusUnprocessableEntity, "a lab machine", "fails", "Correct the template or the test")
	form.Set("test.0.subject", "CN=U1")
	made := b.done("/templates/new", form).want(t, http.StatusOK, "The template is defined", "documentSigning", "by itself, 20 days before the end", "Passed", "deletion")
	edit := b.get(made.to+"/edit").want(t, http.StatusOK, `value="CN={DeviceUid}"`, "a lab machine", "documentSigning")
	stored, err := w.c.Enroll.Template(context.Background(), system, ra.TemplateID(strings.TrimPrefix(made.to, "/templates/")))
	must(t, err)
	for _, f := range formsOf(edit.body) {
		if f.action == made.to+"/edit" {
			f.values.Set("spec.fields", "")
			f.values.Set("test.0.values", form.Get("test.0.values"))
			f.values.Set("test.0.sans", form.Get("test.0.sans"))
			f.values["spec.ekus"] = form["spec.ekus"]
			b.done(f.action, f.values)
		}
	}
	again, err := w.c.Enroll.Template(context.Background(), system, stored.ID)
	must(t, err)
	if again.Revision != stored.Revision {
		t.Errorf("sending the form back unchanged made revision %d of %+v\n%+v", again.Revision, stored.Spec, again.Spec)
	}
	b.done(made.to+"/disable", nil).want(t, http.StatusOK, "Disabled")
	b.done(made.to+"/enable", nil).want(t, http.StatusOK, "switched on")
	b.done(made.to+"/delete", nil).want(t, http.StatusOK, "is deleted")
	b.post("/templates/"+w.ids["templates"]+"/delete", nil).want(t, http.StatusConflict, "stays in the record")
}

// TestOptionsOfAnAuthority: the kind's own settings in a template, with the
// choices the authority offers.
func TestOptionsOfAnAuthority(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	made := b.done("/authorities/new?kind=scripted", url.Values{"name": {"Scripted"}, "group_id": {w.ids["groups"]}, "settings.server": {"https://ca.example.test"}, "settings.password": {"correct-horse-battery-staple"}})
	a := strings.TrimPrefix(made.to, "/authorities/")
	form := url.Values{"name": {"Lab"}, "group_id": {w.ids["groups"]}, "authority_id": {a}, "spec.subject": {"CN={DeviceUid}"}, "spec.key_type": {"rsa-2048"}, "spec.key_place": {"server"}, "spec.usage": {"both"}, "spec.csr_policy": {"match"}, "do": {"authority"}}
	b.post("/templates/new", form).want(t, http.StatusOK, "Certificate profile", `name="spec.options.profile"`)
	form.Set("do", "save")
	form.Set("spec.options.profile", "server")
	b.done("/templates/new", form)
	b.post(made.to+"/test", nil).want(t, http.StatusOK, "Test of the connection", "OK")
	b.post(made.to+"/csr", nil).want(t, http.StatusUnprocessableEntity, "is not made here")
	b.done(made.to+"/edit", url.Values{"name": {"Scripted"}, "group_id": {w.ids["groups"]}, "disabled": {"true"}, "settings.server": {"https://ca.example.test"}}).want(t, http.StatusOK, "It is switched off")
}

func TestSubordinateAuthority(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	form := url.Values{"name": {"Below the root"}, "group_id": {w.ids["groups"]}, "settings.setup": {"subordinate"}, "settings.issuing_subject": {"CN=Below"}, "settings.key_type": {"p-256"}, "settings.key_source": {"here"},
		"settings.leaf_days": {"100"}, "settings.backdate": {"1h"}, "settings.crl_validity": {"7d"}, "settings.crl_overlap": {"1d"}}
	form.Set("settings.leaf_days", "many")
	b.post("/authorities/new?kind=embedded", form).want(t, http.StatusUnprocessableEntity, "whole number", `value="Below the root"`, `value="CN=Below"`)
	form.Set("settings.leaf_days", "100")
	made := b.done("/authorities/new?kind=embedded", form).want(t, http.StatusOK, "waits for a certificate from a superior CA")
	b.post(made.to+"/csr", nil).want(t, http.StatusOK, "BEGIN CERTIFICATE REQUEST")
	b.post(made.to+"/install", url.Values{"chain": {"nothing"}}).want(t, http.StatusUnprocessableEntity, "There is no certificate in it")
	b.get(made.to+"/chain.pem").want(t, http.StatusNotFound)
	if chain := b.get("/authorities/" + w.ids["authorities"] + "/chain.pem").body; strings.Count(chain, "BEGIN CERTIFICATE") != 2 {
		t.Errorf("chain:\n%s", chain)
	}
	b.done(made.to+"/delete", nil).want(t, http.StatusOK, "is deleted")
}

func TestChallengeAndTokenAreShownOnce(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	at := "/devices/" + w.ids["devices"]
	b.post(at+"/challenge", url.Values{"endpoint": {w.ids["endpoints"]}, "life": {"1s"}}).want(t, http.StatusUnprocessableEntity, "must be between")
	page := b.post(at+"/challenge", url.Values{"endpoint": {w.ids["endpoints"]}, "life": {"2h"}, "uses": {"2"}}).want(t, http.StatusOK, "Shown only now", w.url+"/scep/devices", "getcert", "pki --scep", "curl")
	_, rest, _ := strings.Cut(page.body, `<code id="challenge-text">`)
	text, _, _ := strings.Cut(rest, "<")
	if len(text) < 22 || strings.Contains(b.get(at).body, text) {
		t.Errorf("challenge %q", text)
	}
	b.done(at+"/challenges/"+w.ids["challenges"]+"/delete", nil).want(t, http.StatusOK, "void")
	b.post("/tokens/new", url.Values{"name": {"ci"}, "life": {"90d"}}).want(t, http.StatusUnprocessableEntity, "without a role")
	made := b.post("/tokens/new", url.Values{"name": {"ci"}, "life": {"90d"}, "grant.0.role": {"operator"}, "grant.0.group": {w.ids["groups"]}}).want(t, http.StatusOK, "Shown only now", "chy_")
	_, rest, _ = strings.Cut(made.body, `<code id="token-text">`)
	secretText, _, _ := strings.Cut(rest, "<")
	list := b.get("/tokens").want(t, http.StatusOK, "ci", "operator", "Example Works")
	if strings.Contains(list.body, secretText) {
		t.Error("the token is shown again")
	}
	b.done("/tokens/"+w.ids["tokens"]+"/revoke", nil).want(t, http.StatusOK, "is revoked")
}

func TestAdministratorsAndTheirRoles(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	form := url.Values{"name": {"grace"}, "display_name": {"Grace"}, "email": {"not an address"}, "grant.0.role": {"manager"}, "grant.0.group": {w.ids["groups"]}, "grant.1.role": {""}}
	b.post("/administrators/new", form).want(t, http.StatusUnprocessableEntity, "not a mail address", `<option value="manager" selected>`)
	form.Set("email", "grace@example.com")
	made := b.done("/administrators/new", form).want(t, http.StatusOK, "manager", "Example Works")
	link := b.post(made.to+"/link", nil).want(t, http.StatusOK, "/sign-in/link?t=", "Shown only now")
	_, rest, _ := strings.Cut(link.body, `<code id="sign-in-link">`)
	at, _, _ := strings.Cut(rest, "<")
	at = strings.ReplaceAll(strings.TrimPrefix(at, w.url), "&#43;", "+")
	grace := w.visit(nil)
	_, token, _ := strings.Cut(at, "t=")
	if a := grace.post("/sign-in/link", url.Values{"t": {token}}); a.status != http.StatusSeeOther {
		t.Fatalf("the link: status %d", a.status)
	}
	grace.get("/templates/new").want(t, http.StatusOK)
	grace.get("/administrators").want(t, http.StatusForbidden, "edit_admins")
	form.Set("disabled", "true")
	b.done(made.to+"/edit", form).want(t, http.StatusOK, "Disabled")
	if a := grace.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("a disabled administrator still gets in: %d", a.status)
	}
	b.done(made.to+"/reset", nil).want(t, http.StatusOK, "is reset")
	b.done(made.to+"/delete", nil).want(t, http.StatusOK, "is deleted")
	b.post("/administrators/"+string(w.owner.ID)+"/delete", nil).want(t, http.StatusConflict, "last owner")
	b.done("/profile", url.Values{"display_name": {"The Owner"}, "email": {""}}).want(t, http.StatusOK, "The Owner")
}

func TestGroupsInherit(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	made := b.done("/groups/new", url.Values{"name": {"Lab"}, "parent_id": {w.ids["site"]}, "country": {"NO"}})
	b.get(made.to).want(t, http.StatusOK, "this group", "NO", "Example Works", "/groups/"+w.ids["groups"])
	b.post(made.to+"/edit", url.Values{"name": {"Lab"}, "parent_id": {w.ids["site"]}, "country": {"xyz"}}).want(t, http.StatusUnprocessableEntity, `value="xyz"`)
	b.done(made.to+"/edit", url.Values{"name": {"Lab"}, "parent_id": {w.ids["groups"]}})
	b.post("/groups/"+w.ids["site"]+"/delete", nil).want(t, http.StatusConflict, "still holds")
	b.done(made.to+"/delete", nil)
}

func TestListsPageAndSort(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	var rows strings.Builder
	rows.WriteString("name,email\n")
	for i := range 120 {
		fmt.Fprintf(&rows, "user%03d,user%03d@example.com\n", i, i)
	}
	b.upload("/users/import", url.Values{"group": {w.ids["site"]}, "do": {"import"}}, "file", "u.csv", rows.String())
	seen := 0
	for at := "/users?q=user"; at != ""; {
		page := b.get(at).want(t, http.StatusOK)
		seen += strings.Count(page.body, `<th scope="row">`)
		_, rest, more := strings.Cut(page.body, `rel="next" href="`)
		at = ""
		if more {
			at, _, _ = strings.Cut(rest, `"`)
			at = strings.ReplaceAll(at, "&amp;", "&")
		}
	}
	if seen != 120 {
		t.Errorf("the pages show %d users", seen)
	}
	down := b.get("/users?q=user&sort=-name").want(t, http.StatusOK, `aria-sort="descending"`)
	if !strings.Contains(down.body, "user119") || strings.Contains(down.body, "user000") {
		t.Error("the order did not turn")
	}
	b.get("/users?sort=size").want(t, http.StatusUnprocessableEntity, "cannot be sorted by")
	b.get("/users?after=x").want(t, http.StatusUnprocessableEntity, "cursor")
}

func TestAuditFilterAndVerify(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	b.get("/audit?code=template").want(t, http.StatusOK, "Template User VPN defined")
	if a := b.get("/audit?code=template"); strings.Contains(a.body, "device.created") {
		t.Error("the filter shows other events")
	}
	b.get("/audit?since=2999-01-01").want(t, http.StatusOK, "No entry matches")
	b.post("/audit/verify", nil).want(t, http.StatusOK, "The chain is unbroken")
	b.get("/status").want(t, http.StatusOK, "Database", "sqlite answered", "Master key", "Authority Example issuing CA")
	b.get("/obligations?action=renew").want(t, http.StatusOK, "CN=ada")
}

func TestNowShowsWhatEnds(t *testing.T) {
	w := newWorld(t)
	b := w.visit(w.owner)
	b.get("/").want(t, http.StatusOK, "Begin here", "Define a template")
	now := w.clock()
	w.set(now.AddDate(0, 0, -340))
	w.fill()
	w.set(now)
	page := b.get("/").want(t, http.StatusOK, "<svg", "1 certificate renewed automatically")
	_, rest, _ := strings.Cut(page.body, `<a href="/certificates?authority=`)
	at, _, _ := strings.Cut(rest, `"`)
	b.get("/certificates?authority="+strings.ReplaceAll(at, "&amp;", "&")).want(t, http.StatusOK, "CN=ada", "Certificates that end between")
}
