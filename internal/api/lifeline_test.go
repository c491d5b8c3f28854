package api

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// TestCertificateLife takes a certificate through its whole life over the API.
func TestCertificateLife(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")

		var c resource.Certificate
		h := w.do(http.StatusOK, get, "/certificates/"+s.Certificate, nil, &c)
		if h.Get("ETag") == "" || c.State != "valid" || c.Subject != "CN=ada" || !c.KeyWaiting || c.Facts == nil || !strings.Contains(c.Facts.Issuer, "CN=") {
			t.Fatalf("shown certificate: etag %q, %+v", h.Get("ETag"), c)
		}
		if n := len(c.History); n < 2 || c.History[0].Code != "request.submitted" || c.History[n-1].Code != "certificate.issued" {
			t.Errorf("life line: %+v", c.History)
		}
		if c.Action != "renew" || c.At.IsZero() {
			t.Errorf("next action %q at %v, want a renewal", c.Action, c.At)
		}

		var key resource.KeyFile
		w.do(http.StatusOK, post, "/certificates/"+s.Certificate+"/key", map[string]any{}, &key)
		_, leaf, chain, err := pkcs12.DecodeChain(key.PKCS12, key.Password)
		must(t, err)
		if leaf.Subject.CommonName != "ada" || len(chain) != 2 {
			t.Errorf("PKCS #12 holds %q with %d above it", leaf.Subject, len(chain))
		}
		w.refused(w.owner, http.StatusNotFound, post, prefix+"/certificates/"+s.Certificate+"/key", map[string]any{})

		for format, kind := range map[string]string{"": "application/x-pem-file", "der": "application/pkix-cert", "chain": "application/x-pem-file", "p7b": "application/x-pkcs7-certificates"} {
			path := prefix + "/certificates/" + s.Certificate + "/download"
			if format != "" {
				path += "?format=" + format
			}
			code, b, h := w.send(w.owner, get, path, nil)
			if code != http.StatusOK || h.Get("Content-Type") != kind || len(b) == 0 || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") {
				t.Errorf("download %q: %d, %v", format, code, h)
			}
			if format == "chain" && strings.Count(string(b), "BEGIN CERTIFICATE") != 3 {
				t.Errorf("chain: %s", b)
			}
		}

		var renewal resource.Request
		w.do(http.StatusAccepted, post, "/certificates/"+s.Certificate+"/renew", map[string]any{"wait": true}, &renewal)
		if renewal.State != "issued" || renewal.Renews != s.Certificate {
			t.Fatalf("renewal: %+v", renewal)
		}
		w.do(http.StatusOK, get, "/certificates/"+s.Certificate, nil, &c)
		if c.State != "superseded" || c.RenewedBy != renewal.CertificateID {
			t.Errorf("the renewed certificate is %s, by %q", c.State, c.RenewedBy)
		}

		next := "/certificates/" + renewal.CertificateID
		w.do(http.StatusOK, post, next+"/hold", map[string]any{"comment": "lost"}, &c)
		if c.State != "on_hold" || c.Reason != "certificateHold" {
			t.Errorf("held: %s, %s", c.State, c.Reason)
		}
		w.do(http.StatusOK, post, next+"/unhold", map[string]any{}, &c)
		if c.State != "valid" {
			t.Errorf("off hold: %s", c.State)
		}
		w.do(http.StatusOK, post, next+"/revoke", map[string]any{"reason": "keyCompromise", "comment": "found in a repository"}, &c)
		if c.State != "revoked" || c.Reason != "keyCompromise" || c.RevokedAt.IsZero() {
			t.Errorf("revoked: %+v", c)
		}
		p := w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+next+"/revoke", map[string]any{"reason": "boredom"})
		if p.Field != "reason" {
			t.Errorf("bad reason: %+v", p)
		}
		w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+next+"/revoke", map[string]any{"reason": "certificateHold"})

		var audit resource.AuditReport
		w.do(http.StatusOK, post, "/audit/verify", nil, &audit)
		if !audit.OK || audit.Entries < 10 {
			t.Errorf("audit: %+v", audit)
		}
	})
}

// TestRequest covers asking with a CSR, repeating with a key, approving.
func TestRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		csr := newCSR(t, "CN=ada")
		ask := map[string]any{"template_id": s.Template, "device_id": s.Device, "csr": csr, "wait": true}
		var first, second resource.Request
		w.do(http.StatusCreated, post, "/requests", ask, &first, "Idempotency-Key", "k1")
		w.do(http.StatusCreated, post, "/requests", ask, &second, "Idempotency-Key", "k1")
		if first.ID != second.ID || first.State != "issued" || first.Door != "api" || first.AskedBy.Name != "owner" {
			t.Errorf("repeated: %+v\n%+v", first, second)
		}
		ask["template_id"] = s.KeyTemplate
		w.refused(w.owner, http.StatusConflict, post, prefix+"/requests", ask, "Idempotency-Key", "k1")

		// The same key of another caller is another request.
		other := w.token("other", ra.Grant{Role: ra.RoleOwner})
		ask["template_id"], ask["csr"] = s.Template, newCSR(t, "CN=ada")
		code, b, _ := w.send(other, post, prefix+"/requests", ask, "Idempotency-Key", "k1")
		if code != http.StatusCreated || strings.Contains(string(b), first.ID) {
			t.Errorf("another caller's key: %d %s", code, b)
		}

		p := w.refused(w.owner, http.StatusForbidden, post, prefix+"/requests/"+s.Waiting+"/approve", map[string]any{})
		if p.Kind != "denied" {
			t.Errorf("own request approved: %+v", p)
		}
		var done resource.Request
		code, b, _ = w.send(other, post, prefix+"/requests/"+s.Waiting+"/approve", map[string]any{"comment": "fine"})
		if code != http.StatusOK || !strings.Contains(string(b), `"approve":true`) || !strings.Contains(string(b), `"comment":"fine"`) {
			t.Fatalf("approve: %d %s", code, b)
		}
		w.do(http.StatusOK, get, "/requests/"+s.Waiting, nil, &done)
		if done.State != "issued" || len(done.Fill) == 0 {
			t.Errorf("approved: %+v", done)
		}
		if block, _ := pem.Decode([]byte(done.Certificate)); block == nil {
			t.Errorf("no certificate in %+v", done)
		} else if c, err := x509.ParseCertificate(block.Bytes); err != nil || !strings.Contains(done.Subject, c.Subject.CommonName) {
			t.Errorf("%v, the certificate of %v for %s", err, c, done.Subject)
		}
		if block, _ := pem.Decode([]byte(done.CSR)); block == nil {
			t.Errorf("no CSR in %+v", done)
		} else if _, err := x509.ParseCertificateRequest(block.Bytes); err != nil {
			t.Error(err)
		}
		w.refused(w.owner, http.StatusConflict, post, prefix+"/requests/"+s.Waiting+"/cancel", nil)
		var next resource.Request
		w.do(http.StatusCreated, post, "/requests", map[string]any{"template_id": done.TemplateID, "device_id": s.Device, "csr": newCSR(t, "CN=ada")}, &next)
		w.do(http.StatusOK, post, "/requests/"+next.ID+"/cancel", nil, &done)
		if done.State != "cancelled" {
			t.Errorf("cancelled: %+v", done)
		}
		w.refused(other, http.StatusConflict, post, prefix+"/requests/"+next.ID+"/deny", map[string]any{})

		var page resource.Page[resource.Request]
		w.do(http.StatusOK, get, "/requests?state=cancelled,denied&group_id="+s.Group, nil, &page)
		if len(page.Items) != 1 || page.Items[0].ID != next.ID {
			t.Errorf("cancelled requests: %+v", page)
		}
		p = w.refused(w.owner, http.StatusUnprocessableEntity, get, prefix+"/requests?state=canceled", nil)
		if p.Field != "state" {
			t.Errorf("unknown state: %+v", p)
		}
	})
}
