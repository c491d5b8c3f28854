package api

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/api/resource"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// TestPasses makes a pass, gives its parameters away, voids it and reads its
// trace at each step. The challenge is in one answer and nowhere else.
func TestPasses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		ask := map[string]any{"template_id": s.SCEPTemplate, "device_id": s.Device}
		var p resource.Pass
		w.do(http.StatusCreated, post, "/passes", map[string]any{"template_id": s.SCEPTemplate, "device_id": s.Device, "model": "delegate", "life": "2h"}, &p)
		if p.Model != "delegate" || p.State != "issued" || p.Action != "deliver" || p.Subject != "CN=udid-acme" || p.ExpiresAt.Sub(p.CreatedAt).Round(time.Minute) != 2*time.Hour || len(p.Fill) == 0 {
			t.Errorf("%+v", p)
		}
		var direct resource.PassParameters
		w.do(http.StatusOK, post, "/passes/"+p.ID+"/parameters", nil, &direct)
		if direct.URL != "http://127.0.0.1:1/scep" || direct.Challenge != serverChallenge || direct.KeyType != "rsa-2048" || direct.RetrySeconds != 60 {
			t.Errorf("%+v", direct)
		}

		var given resource.PassParameters
		h := w.do(http.StatusOK, post, "/passes/"+s.Pass+"/parameters", nil, &given)
		token, ok := strings.CutPrefix(given.URL, "http://pki.example.test/scep-proxy/")
		if !ok || len(token) < 30 || given.Challenge != serverChallenge || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%+v %v", given, h)
		}
		var trace resource.Trace
		w.do(http.StatusOK, get, "/passes/"+s.Pass+"/trace", nil, &trace)
		if trace.Kind != "pass" || trace.Result != "waiting" || len(trace.Lines) < len(pass.AllSteps) || trace.Lines[2].Number != 3 || trace.Lines[2].State != "done" || trace.Lines[14].State != "not_reached" || trace.Problem != nil {
			t.Errorf("%+v", trace)
		}
		for _, path := range []string{"/passes", "/passes/" + s.Pass, "/passes/" + s.Pass + "/trace", "/traces/" + s.Device, "/passes/export", "/audit?text=pass"} {
			if b := exported(w, path); strings.Contains(b, serverChallenge) || strings.Contains(b, token) || !strings.Contains(b, s.Pass) && !strings.HasPrefix(path, "/audit") && path != "/traces/"+s.Device {
				t.Errorf("%s: %s", path, b)
			}
		}
		if strings.Contains(w.log.String(), serverChallenge) || strings.Contains(w.log.String(), token) {
			t.Errorf("the log has a secret: %s", w.log)
		}

		for query, want := range map[string]int{"": 2, "model=proxy": 1, "model=delegate": 1, "state=issued": 2, "state=done,failed": 0, "text=" + strings.ToUpper("udid-acme"): 2, "text=" + s.Pass: 1,
			"device_id=" + s.Device: 2, "template_id=" + s.Template: 0, "authority_id=" + s.SCEPAuthority: 2, "late=true": 0, "group_id=" + s.Group: 2} {
			var page resource.Page[resource.Pass]
			w.do(http.StatusOK, get, "/passes?"+query, nil, &page)
			if len(page.Items) != want {
				t.Errorf("%s finds %d passes, want %d", query, len(page.Items), want)
			}
			if rows := strings.Count(exported(w, "/passes/export?"+query), "\n") - 1; rows != want {
				t.Errorf("%s exports %d passes, want %d", query, rows, want)
			}
		}
		w.refused(w.owner, http.StatusUnprocessableEntity, get, prefix+"/passes?state=odd", nil)

		w.do(http.StatusOK, post, "/passes/"+s.Pass+"/revoke", map[string]any{"reason": "The wrong device."}, &p)
		if p.State != "revoked" || p.Reason != "The wrong device." {
			t.Errorf("%+v", p)
		}
		w.refused(w.owner, http.StatusConflict, post, prefix+"/passes/"+s.Pass+"/parameters", nil)
		w.do(http.StatusOK, get, "/traces/"+s.Pass, nil, &trace)
		if trace.Result != "failed" || trace.Problem == nil || trace.Problem.Message != "The wrong device." || trace.Problem.Remedy == "" {
			t.Errorf("%+v", trace)
		}

		// What cannot become a pass.
		for _, bad := range []struct {
			change map[string]any
			field  string
			status int
		}{{map[string]any{"template_id": s.KeyTemplate}, "template_id", 422}, {map[string]any{"life": "1m"}, "life", 422}, {map[string]any{"life": "x"}, "life", 422}, {map[string]any{"device_id": ""}, "device_id", 422},
			{map[string]any{"model": "odd"}, "", 422}, {map[string]any{"renews": "crt_none"}, "", 404}} {
			in := map[string]any{}
			for k, v := range ask {
				in[k] = v
			}
			for k, v := range bad.change {
				in[k] = v
			}
			if p := w.refused(w.owner, bad.status, post, prefix+"/passes", in); bad.field != "" && p.Field != bad.field {
				t.Errorf("%v: %+v", bad.change, p)
			}
		}
		w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/certificates/"+s.Certificate+"/pass", nil)
		w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/passes/learn", map[string]any{"certificate": "x"})
		w.refused(w.owner, http.StatusNotFound, get, prefix+"/traces/nothing-at-all", nil)

		// Transaction IDs are what clients make of them.
		const transaction = "T/1 ÄÖ%"
		must(t, w.server.DB.Write(t.Context(), func(tx *store.Tx) error {
			p, err := tx.Pass(ra.PassID(s.Pass))
			if err != nil {
				return err
			}
			p.TransactionID = transaction
			return tx.UpdatePass(p)
		}))
		w.do(http.StatusOK, get, "/traces/"+url.PathEscape(transaction), nil, &trace)
		if trace.ID != s.Pass {
			t.Errorf("%q leads to %q", transaction, trace.ID)
		}
	})
}

// TestTraceOfRequests finds requests by everything that leads to them.
func TestTraceOfRequests(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.populate("acme")
		var trace resource.Trace
		for _, id := range []string{s.Request, s.Certificate} {
			w.do(http.StatusOK, get, "/traces/"+id, nil, &trace)
			if trace.ID != s.Request || trace.Kind != "request" || trace.Result != "done" || trace.Problem != nil {
				t.Errorf("%s: %+v", id, trace)
			}
			var steps []string
			for _, l := range trace.Lines {
				steps = append(steps, l.Step+" "+l.Who+" "+l.State)
			}
			if got, want := strings.Join(steps, ", "), "request.submitted person done, request.sent chancery done, certificate.issued authority done"; got != want {
				t.Errorf("%s: %s, want %s", id, got, want)
			}
		}
		w.do(http.StatusOK, post, "/certificates/"+s.Certificate+"/revoke", map[string]any{"reason": "keyCompromise"}, nil)
		w.do(http.StatusOK, get, "/traces/"+s.Request, nil, &trace)
		if last := trace.Lines[len(trace.Lines)-1]; last.Step != "certificate.revoked" || last.Message != "keyCompromise" {
			t.Errorf("%+v", trace.Lines)
		}
		w.do(http.StatusOK, get, "/traces/"+s.Waiting, nil, &trace)
		if trace.Result != "waiting" || trace.Lines[1].State != "waiting" || trace.Lines[1].Who != "person" || trace.Lines[2].State != "not_reached" {
			t.Errorf("%+v", trace)
		}
		w.do(http.StatusOK, post, "/requests/"+s.Waiting+"/cancel", nil, nil)
		w.do(http.StatusOK, get, "/traces/"+s.Waiting, nil, &trace)
		if trace.Result != "failed" || trace.Problem == nil || trace.Problem.Step != "request.cancelled" || trace.Problem.Remedy == "" {
			t.Errorf("%+v", trace)
		}
		w.do(http.StatusOK, get, "/traces/"+s.Device, nil, &trace)
		if trace.ID != s.Pass {
			t.Errorf("the newest of the device is %s, want the pass %s", trace.ID, s.Pass)
		}
		w.do(http.StatusCreated, post, "/requests", map[string]any{"template_id": s.KeyTemplate, "device_id": s.Device}, nil)
		w.do(http.StatusOK, get, "/traces/"+s.Device, nil, &trace)
		if trace.Kind != "request" {
			t.Errorf("the newest of the device is %s, want the request", trace.ID)
		}
	})
}

// TestServerCertificates compares what a SCEP server shows with what is kept,
// and accepts only what was looked at.
func TestServerCertificates(t *testing.T) {
	w := sqlite(t)
	w.server.Authorities.Dial = (&net.Dialer{}).DialContext
	s := w.populate("acme")
	key, err := pkixmsg.GenerateKey(pkixmsg.P256)
	must(t, err)
	template := func(name string) []byte {
		c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, c, c, key.(crypto.Signer).Public(), key)
		must(t, err)
		return der
	}
	var shows atomic.Pointer[[]byte]
	show := func(der []byte) { shows.Store(&der) }
	show(template("first"))
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/x-x509-ca-cert")
		rw.Write(*shows.Load())
	}))
	defer server.Close()
	var a resource.Authority
	w.do(http.StatusCreated, post, "/authorities", map[string]any{"kind": "scep", "name": "live", "group_id": s.Group, "settings": map[string]any{"url": server.URL}}, &a)
	var got resource.ServerCertificates
	compare := func(changed bool, want ...string) []string {
		t.Helper()
		w.do(http.StatusOK, post, "/authorities/"+a.ID+"/scep-certificates/compare", nil, &got)
		var rows, prints []string
		for _, c := range got.Certificates {
			row := c.Subject
			if c.Kept {
				row += " kept"
			}
			if c.Shown {
				row, prints = row+" shown", append(prints, c.Fingerprint)
			}
			rows = append(rows, row)
		}
		if strings.Join(rows, ", ") != strings.Join(want, ", ") || got.Changed != changed {
			t.Errorf("changed %v, %q; want %v, %q", got.Changed, rows, changed, want)
		}
		return prints
	}
	accept := prefix + "/authorities/" + a.ID + "/scep-certificates/accept"
	first := compare(true, "CN=first shown")
	w.do(http.StatusNoContent, post, strings.TrimPrefix(accept, prefix), map[string]any{"fingerprints": first}, nil)
	compare(false, "CN=first kept shown")
	key, err = pkixmsg.GenerateKey(pkixmsg.P256) // a CA that the first one did not sign
	must(t, err)
	show(template("second"))
	w.refused(w.owner, http.StatusConflict, post, accept, map[string]any{"fingerprints": first})
	second := compare(true, "CN=second shown", "CN=first kept")
	w.do(http.StatusNoContent, post, strings.TrimPrefix(accept, prefix), map[string]any{"fingerprints": second}, nil)
	compare(false, "CN=second kept shown", "CN=first kept") // what it issued is still to be verified

	w.refused(w.owner, http.StatusUnprocessableEntity, post, prefix+"/authorities/"+s.Authority+"/scep-certificates/compare", nil)
	var account resource.AuthorityChallenges
	w.do(http.StatusOK, get, "/authorities/"+a.ID+"/challenges", nil, &account)
	if account.Capacity != 0 || account.Out != 0 || account.Waiting != 0 {
		t.Errorf("%+v", account)
	}
	var ndes resource.Authority
	w.do(http.StatusCreated, post, "/authorities", map[string]any{"kind": "ndes", "name": "NDES", "group_id": s.Group, "settings": map[string]any{"url": "https://ndes.example.test/certsrv/mscep/mscep.dll", "user": "x", "password": "y"}}, &ndes)
	w.do(http.StatusOK, get, "/authorities/"+ndes.ID+"/challenges", nil, &account)
	if account.Capacity != 4 {
		t.Errorf("of five challenges, one left to others, %d may be out", account.Capacity)
	}
}

// TestLearnAndRenew tells of a certificate that a delegate's device got, and
// makes the pass that replaces it.
func TestLearnAndRenew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.server.Authorities.Dial = (&net.Dialer{}).DialContext
		s := w.populate("acme")
		key, err := pkixmsg.GenerateKey(pkixmsg.RSA2048)
		must(t, err)
		ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Elsewhere"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.(crypto.Signer).Public(), key)
		must(t, err)
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/x-x509-ca-cert")
			rw.Write(der)
		}))
		defer server.Close()
		var a resource.Authority
		w.do(http.StatusCreated, post, "/authorities", map[string]any{"kind": "scep", "name": "live", "group_id": s.Group, "settings": map[string]any{"url": server.URL, "marker": "ou"}}, &a)
		sum := sha256.Sum256(der)
		w.do(http.StatusNoContent, post, "/authorities/"+a.ID+"/scep-certificates/accept", map[string]any{"fingerprints": []string{hex.EncodeToString(sum[:])}}, nil)
		var template resource.Template
		w.do(http.StatusCreated, post, "/templates", map[string]any{"group_id": s.Group, "authority_id": a.ID, "name": "live", "spec": map[string]any{"subject": "CN={DeviceUid}", "key_type": "rsa-2048"}}, &template)
		var p resource.Pass
		w.do(http.StatusCreated, post, "/passes", map[string]any{"template_id": template.ID, "device_id": s.Device, "model": "delegate"}, &p)
		if p.Marker == "" || !strings.Contains(p.Subject, p.Marker) {
			t.Fatalf("no marker: %+v", p)
		}
		w.do(http.StatusOK, post, "/passes/"+p.ID+"/parameters", nil, nil)

		name, err := pkixmsg.ParseDN(p.Subject)
		must(t, err)
		subject, err := name.DER()
		must(t, err)
		leaf := &x509.Certificate{SerialNumber: big.NewInt(77), RawSubject: subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour)}
		issued, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.(crypto.Signer).Public(), key)
		must(t, err)
		seen := map[string]any{"certificate": resource.PEM("CERTIFICATE", issued), "device_id": s.Device}
		for range 2 { // telling it again changes nothing
			var learnt resource.Learnt
			w.do(http.StatusOK, post, "/passes/learn", seen, &learnt)
			if learnt.Pass.ID != p.ID || learnt.Pass.State != "done" || !learnt.Pass.Confirmed || learnt.Certificate.Serial != "4d" || learnt.Certificate.DeviceID != s.Device {
				t.Errorf("%+v", learnt)
			}
			p = learnt.Pass
		}
		var trace resource.Trace
		w.do(http.StatusOK, get, "/traces/"+p.CertificateID, nil, &trace)
		if trace.ID != p.ID || trace.Result != "done" || trace.Lines[18].State != "done" || trace.Lines[14].State != "inferred" {
			t.Errorf("%+v", trace)
		}
		var next resource.Pass
		w.do(http.StatusCreated, post, "/certificates/"+p.CertificateID+"/pass", nil, &next)
		if next.Renews != p.CertificateID || next.Model != "delegate" || next.State != "issued" || next.ID == p.ID {
			t.Errorf("%+v", next)
		}
		w.refused(w.owner, http.StatusConflict, post, prefix+"/certificates/"+p.CertificateID+"/pass", nil)
	})
}
