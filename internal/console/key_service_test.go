package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/keydelivery"
	"chancery/internal/ra"
	"chancery/internal/store"
)

const keyServiceSecret = "whsec_b2YgdGhlIGtleSBzZXJ2aWNlIGhlcmUgYW5kIG5vdw=="

// keyService defines a key service at which nobody answers.
func (w *world) keyService(group ra.GroupID) *ra.KeyService {
	w.t.Helper()
	settings, err := json.Marshal(map[string]string{"url": "https://keys.example.com/chancery", "recipient": recipient(w.t), "secret": keyServiceSecret})
	must(w.t, err)
	k, err := w.c.Keys.Create(context.Background(), system, keydelivery.Input{GroupID: &group, Name: p("Mail gateway"), Settings: settings})
	must(w.t, err)
	return k
}

func recipient(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestKeyServicePages: a key service from its form to its end, and nothing of its
// secret on a page.
func TestKeyServicePages(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	form := url.Values{"name": {"Escrow"}, "group_id": {w.ids["groups"]}, "settings.url": {"http://keys.example.com"}, "settings.recipient": {recipient(t)}, "settings.secret": {keyServiceSecret}}
	if a := b.post("/key-services/new", form); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest || !strings.Contains(visible(a.body), "must begin with https://") || strings.Contains(a.body, keyServiceSecret) {
		t.Errorf("an address without TLS: %d\n%s", a.status, visible(a.body))
	}
	form.Set("settings.url", "https://keys.example.com")
	at := b.post("/key-services/new", form).header.Get("Location")
	page := b.get(at)
	if page.status != http.StatusOK || !strings.Contains(visible(page.body), "https://keys.example.com") || strings.Contains(page.body, keyServiceSecret) {
		t.Errorf("%s: %d\n%s", at, page.status, visible(page.body))
	}
	if a := b.post(at+"/test", url.Values{}); !strings.Contains(visible(a.body), "does not answer") || !strings.Contains(visible(a.body), "Signed message") {
		t.Errorf("the test says\n%s", visible(a.body))
	}
	form.Del("settings.secret") // left empty it stays
	form.Set("disabled", "true")
	form.Set("settings.timeout", "5s")
	if a := b.post(at+"/edit", form); a.status != http.StatusSeeOther {
		t.Errorf("the change: %d\n%s", a.status, visible(a.body))
	}
	if page := visible(b.get(at).body); !strings.Contains(page, "It is switched off") || !strings.Contains(page, "5s") {
		t.Errorf("the page says\n%s", page)
	}
	viewer := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	if page := viewer.get(at); page.status != http.StatusOK || strings.Contains(page.body, at+"/edit") {
		t.Errorf("a viewer sees %d\n%s", page.status, visible(page.body))
	}
	if a := viewer.post(at+"/test", url.Values{}); a.status != http.StatusForbidden {
		t.Errorf("a viewer tests: %d", a.status)
	}
	if a := b.post(at+"/delete", url.Values{}); a.status != http.StatusSeeOther || b.get(at).status != http.StatusNotFound {
		t.Errorf("it is not deleted: %d", a.status)
	}
}

// TestTemplateSendsKeys: the editor of a template says where keys go, and the
// page of a certificate how far its key has come.
func TestTemplateSendsKeys(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	form := url.Values{"name": {"Escrowed"}, "group_id": {w.ids["groups"]}, "authority_id": {w.ids["authorities"]}, "spec.subject": {"CN={EnrollmentUser}"}, "spec.key_type": {"p-256"}, "spec.key_place": {"server"},
		"spec.usage": {"both"}, "spec.csr_policy": {"match"}, "spec.validity_days": {"30"}, "spec.publish_key": {"service"}}
	if a := b.post("/templates/new", form); !strings.Contains(a.body, `id="`+inputID("spec.publish_key_service")+`"`) || !strings.Contains(visible(a.body), "It is not said which key service gets the key.") {
		t.Errorf("without a key service: %d\n%s", a.status, visible(a.body))
	}
	form.Set("spec.publish_key", "directory")
	if a := b.post("/templates/new", form); !strings.Contains(visible(a.body), "No directory of this organization group takes keys.") {
		t.Errorf("without a password for keys: %d\n%s", a.status, visible(a.body))
	}
	form.Set("spec.publish_key", "service")
	form.Set("spec.publish_key_service", w.ids["key-services"])
	at := b.post("/templates/new", form).header.Get("Location")
	if page := visible(b.get(at).body); !strings.Contains(page, "the key service Mail gateway") {
		t.Errorf("the page of the template says\n%s", page)
	}
	if page := b.get(at + "/edit"); !strings.Contains(page.body, `value="`+w.ids["key-services"]+`" selected`) {
		t.Errorf("the editor has lost the key service\n%s", page.body)
	}
	id := ra.TemplateID(strings.TrimPrefix(at, "/templates/"))
	c := w.submit(system, enroll.Ask{Template: id, User: ra.UserID(w.ids["users"])}).CertificateID
	if page := visible(b.get("/certificates/" + string(c)).body); !strings.Contains(page, "Mail gateway does not have it. Next: Bring the key where it goes") {
		t.Errorf("the page of the certificate says\n%s", page)
	}
	if waiting := b.get("/obligations?action=hand_over"); !strings.Contains(waiting.body, `href="/certificates/`+string(c)+`"`) {
		t.Errorf("what waits does not lead to the certificate\n%s", visible(waiting.body))
	}

	// Another choice forgets what belonged to the former.
	form.Del("spec.publish_key")
	form.Set("spec.publish_key", "")
	if a := b.post(at+"/edit", form); a.status != http.StatusSeeOther {
		t.Errorf("the change: %d\n%s", a.status, visible(a.body))
	}
	must(t, w.c.DB.Read(context.Background(), func(tx *store.Tx) error {
		tpl, err := tx.Template(id)
		if err == nil && tpl.Spec.Publish != (ra.PublishSpec{}) {
			t.Errorf("it still publishes %+v", tpl.Spec.Publish)
		}
		return err
	}))
}
