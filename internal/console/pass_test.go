package console

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// happened puts hops behind a pass, a second each, and changes it.
func (w *world) happened(id string, change func(*ra.Pass), hops ...ra.Hop) {
	w.t.Helper()
	must(w.t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		p, err := tx.Pass(ra.PassID(id))
		if err != nil {
			return err
		}
		for i := range hops {
			p.Hops++
			hops[i].Owner, hops[i].Position, hops[i].At = id, p.Hops, tx.Now.Add(time.Duration(i-len(hops))*time.Second)
		}
		if err := tx.AddHops(hops...); err != nil {
			return err
		}
		if change != nil {
			change(p)
		}
		return tx.UpdatePass(p)
	}))
}

// steps makes hops that went well.
func steps(names ...string) []ra.Hop {
	var out []ra.Hop
	for _, n := range names {
		out = append(out, ra.Hop{Step: n, Result: ra.HopOK, Took: 12_345})
	}
	return out
}

var toTheMessage = []string{pass.StepChallengeAsked, pass.StepChallengeGiven, pass.StepPayload, pass.StepCertAsked, pass.StepCertForwarded, pass.StepCertAnswered, pass.StepCertReturned, pass.StepMessage}

// TestPassJourney is a pass without script: made with a preview, its parameters
// shown once, voided with a reason that its trace tells.
func TestPassJourney(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	device := b.get("/devices/" + w.ids["devices"])
	if !strings.Contains(device.body, `href="/passes/new?device=`+w.ids["devices"]) || !strings.Contains(device.body, "/passes/"+w.ids["passes"]) {
		t.Error("the page of a device leads to no passes")
	}
	ask := url.Values{"device": {"ada-laptop"}, "template": {w.ids["template-network"]}, "model": {"proxy"}, "life": {"2h"}, "do": {"preview"}}
	if look := b.post("/passes/new", ask); look.status != http.StatusOK || !strings.Contains(look.body, "CN=7E1B6C1A-52D1-4B0E-9D2C-0A5C3F1E2D4B") {
		t.Errorf("preview: %d\n%s", look.status, visible(look.body))
	}
	for field, bad := range map[string]url.Values{"device": {"device": {"nobody"}}, "template": {"template": {w.ids["templates"]}}, "life": {"life": {"1m"}}} {
		in := url.Values{"device": {"ada-laptop"}, "template": {w.ids["template-network"]}, "model": {"proxy"}, "life": {"2h"}}
		for k, v := range bad {
			in[k] = v
		}
		if a := b.post("/passes/new", in); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `href="#f-`+field+`"`) {
			t.Errorf("a bad %s: %d\n%s", field, a.status, visible(a.body))
		}
	}
	ask.Del("do")
	made := b.done("/passes/new", ask)
	if !strings.Contains(made.body, "Waits for its parameters") || strings.Count(made.body, `class="step `) != 19 {
		t.Errorf("the page of a new pass: %s", visible(made.body))
	}
	if a := b.post(made.to+"/parameters", nil); a.status != http.StatusOK || !strings.Contains(a.body, "of the server") || !strings.Contains(a.body, w.url+"/scep-proxy/") || !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
		t.Errorf("parameters: %d %v\n%s", a.status, a.header, visible(a.body))
	}
	if page := b.get(made.to); strings.Contains(page.body, "of the server") || strings.Contains(page.body, "/scep-proxy/") || !strings.Contains(page.body, "Parameters given") {
		t.Errorf("the page of the pass after that: %s", visible(page.body))
	}
	gone := b.done(made.to+"/revoke", url.Values{"reason": {"Lost on a train."}})
	for _, want := range []string{"Lost on a train.", "The pass was revoked", "What to do: Make a new pass"} {
		if !strings.Contains(gone.body, want) {
			t.Errorf("after the revocation %q is not there: %s", want, visible(gone.body))
		}
	}
	if a := b.post(made.to+"/parameters", nil); a.status != http.StatusConflict {
		t.Errorf("parameters of a revoked pass: %d", a.status)
	}
	if list := b.get("/passes?state=revoked"); strings.Count(list.body, "<tr>") != 2 || !strings.Contains(list.body, "Revoked") {
		t.Errorf("the list: %s", visible(list.body))
	}
	if csv := b.get("/passes.csv?state=revoked").body; strings.Count(csv, "\n") != 2 || !strings.Contains(csv, "Lost on a train.") {
		t.Errorf("the file: %s", csv)
	}
}

// TestPassPictures: each state of a step has a shape and a word of its own, and
// the step that fails says beside it what to do.
func TestPassPictures(t *testing.T) {
	w := newWorld(t)
	w.fill()
	id := w.ids["passes"]
	failing := ra.Hop{Step: pass.StepReply, Result: ra.HopFailed, Message: "The server refused: badRequest.", Remedy: "Look into its log."}
	w.happened(id, func(p *ra.Pass) {
		p.State, p.Reason, p.SignerHash, p.Obligation = ra.PassFailed, "The server refused: badRequest. Look into its log.", "00", ra.Obligation{}
	}, append(steps(append(toTheMessage, pass.StepForwarded)...), failing)...)
	b := w.visit(w.owner)
	page := b.get("/passes/" + id).body
	for _, want := range []string{`class="step done"`, `class="step inferred"`, `class="step skipped"`, `class="step failed"`, `class="step not_reached"`, "✕ Failed", "≈ Inferred", "Step 17 fails", "What to do: Look into its log.", `<rect class="note"`,
		"The nineteen steps of the enrolment: 9 done, 3 inferred, 0 waiting, 1 failed, 4 skipped, 2 not reached."} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page: %s", want, visible(page))
		}
	}
	for _, f := range flaws(page) {
		t.Error(f)
	}
	// A delegate's device talks to the server itself.
	d, err := w.c.Passes.Create(t.Context(), system, pass.CreateInput{Template: ra.TemplateID(w.ids["template-network"]), Device: ra.DeviceID(w.ids["devices"]), Model: ra.PassDelegate})
	must(t, err)
	if page := b.get("/passes/" + string(d.ID)).body; strings.Count(page, `class="step `) != 13 || strings.Count(page, `<td class="number">`) < 19 {
		t.Errorf("a delegate has %d steps in its picture", strings.Count(page, `class="step `))
	}
	w.happened(string(d.ID), nil, ra.Hop{Step: pass.StepChallengeAsked, Result: ra.HopOK}, ra.Hop{Step: pass.StepChallengeGiven, Result: ra.HopWaiting, Message: "The cache is full.", Remedy: "Wait an hour."})
	if page := b.get("/passes/" + string(d.ID)).body; !strings.Contains(page, "Step 2 is held up") || !strings.Contains(page, "What to do: Wait an hour.") || strings.Contains(page, `<rect class="note"`) {
		t.Errorf("a pass that is held up: %s", visible(page))
	}
	if a := b.get("/traces/" + string(d.ID)); a.status != http.StatusSeeOther || a.to != "/passes/"+string(d.ID)+"#trace" {
		t.Errorf("the trace of a pass: %d to %q", a.status, a.to)
	}
	if a := b.get("/traces/" + w.ids["certificates"]); a.status != http.StatusOK || !strings.Contains(a.body, "Answer with the certificate") {
		t.Errorf("the trace of a certificate: %d %s", a.status, visible(a.body))
	}
}

// TestBrowserPass is the same journey with script, and what it looks like.
func TestBrowserPass(t *testing.T) {
	w := newWorld(t)
	w.fill()
	c := newChrome(t, w)
	c.signIn(w.owner)
	c.open("/passes/new?device=" + w.ids["devices"])
	c.run(chromedp.SetValue(css(`#f-template`), w.ids["template-network"]), chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "CN=7E1B6C1A")]`))
	c.shoot("pass-new", 1280)
	c.shoot("pass-new", 390)
	c.run(chromedp.Click(css(`form[data-preview] button.primary`)))
	c.see("The pass is made")
	c.run(chromedp.Click(css(`a[href$="/parameters"]`)), chromedp.WaitVisible(css(`#sheet form`)), chromedp.Click(css(`#sheet form button[type=submit]`)))
	c.see("Give this to the device now")
	c.shoot("pass-parameters", 1280)
	c.shoot("pass-parameters", 390)
	c.noOverflow("/passes/{id}/parameters", 390)
	c.run(chromedp.Click(css(`main > p a.button`)), chromedp.WaitReady(css(`body[data-view="pass"]`)))
	c.shoot("pass-issued", 1280)
	id, err := do(c, 5*time.Second, chromedp.Evaluate[string](`location.pathname.split("/").pop()`))
	must(t, err)

	// The device comes while the page is looked at.
	w.happened(id, func(p *ra.Pass) {
		p.State, p.PKIStatus, p.SignerHash, p.TransactionID, p.Messages = ra.PassPending, "pending", "00", "A1B2C3", 1
		p.Obligation = ra.Obligation{Action: ra.ActionAwait, At: w.clock().Add(time.Hour), Deadline: w.clock().Add(time.Hour)}
	}, append(steps(append(toTheMessage, pass.StepForwarded)...), ra.Hop{Step: pass.StepReply, Result: ra.HopWaiting, Message: "The server decides later; the device asks again."}, ra.Hop{Step: pass.StepReturned, Result: ra.HopOK})...)
	c.see("The server decides later")
	c.shoot("pass-pending", 1280)
	w.happened(id, func(p *ra.Pass) {
		p.State, p.PKIStatus, p.FailInfo, p.Reason, p.Obligation = ra.PassFailed, "failure", "badRequest", "The server refused: badRequest. The server did not accept the challenge, the subject or the key: look into its log, and make a new pass.", ra.Obligation{}
	}, ra.Hop{Step: pass.StepReply, Result: ra.HopFailed, Took: 812_000, Message: "The server refused: badRequest.", Remedy: "The server did not accept the challenge, the subject or the key: look into its log, and make a new pass.",
		Fields: map[string]string{"fail_info": "badRequest", "pki_status": "failure", "bytes": "1290"}})
	c.see("Step 17 fails")
	for _, width := range []int64{1280, 390} {
		c.shoot("pass-failed", width)
		c.noOverflow("/passes/{id}", width)
	}
	for name, path := range map[string]string{"passes": "/passes", "models": "/passes/models", "trace": "/traces/" + w.ids["certificates"], "scep-server": "/authorities/" + w.ids["server"], "device-passes": "/devices/" + w.ids["devices"]} {
		c.open(path)
		for _, width := range []int64{1280, 390} {
			c.shoot(name, width)
			c.noOverflow(path, width)
		}
	}
	r, err := w.c.Enroll.Submit(t.Context(), system, enroll.Ask{Template: ra.TemplateID(w.ids["templates"]), Device: ra.DeviceID(w.ids["devices"]), Door: "api"})
	must(t, err)
	c.open("/requests/" + string(r.ID))
	c.run(chromedp.Click(css(`a[href^="/traces/"]`)), chromedp.WaitReady(css(`body[data-view="trace"]`)))
	c.see("Send it to the authority")
}

// TestServerCertificatesOnPages: what a SCEP server shows is compared on the
// page of its authority, and accepted as it was seen.
func TestServerCertificatesOnPages(t *testing.T) {
	w := newWorld(t)
	w.c.Authorities.Dial = (&net.Dialer{}).DialContext
	w.fill()
	var shows atomic.Pointer[[]byte]
	show := func(name string) {
		key, err := pkixmsg.GenerateKey(pkixmsg.P256)
		must(t, err)
		ca := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: w.clock().Add(-time.Hour), NotAfter: w.clock().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.(crypto.Signer).Public(), key)
		must(t, err)
		shows.Store(&der)
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/x-x509-ca-cert")
		rw.Write(*shows.Load())
	}))
	defer server.Close()
	settings := []byte(`{"url": "` + server.URL + `/certsrv/mscep/mscep.dll", "user": "x", "password": "y"}`)
	a, err := w.c.Authorities.Create(t.Context(), system, "ndes", authority.Input{GroupID: p(ra.GroupID(w.ids["groups"])), Name: p("NDES"), Settings: settings})
	must(t, err)
	at := "/authorities/" + string(a.ID)
	b := w.visit(w.owner)
	if page := b.get(at).body; !strings.Contains(page, "0 of 4 out, 0 devices waiting") || strings.Contains(page, at+"/accept") {
		t.Errorf("the page: %s", visible(page))
	}
	seen := func(name string) url.Values {
		t.Helper()
		show(name)
		page := b.post(at+"/compare", nil)
		_, rest, ok := strings.Cut(page.body, `name="fingerprints" value="`)
		prints, _, _ := strings.Cut(rest, `"`)
		if page.status != http.StatusOK || !ok || len(prints) != 64 || !strings.Contains(page.body, "CN="+name) || !strings.Contains(page.body, "that nobody has accepted") {
			t.Fatalf("compared: %d %s", page.status, visible(page.body))
		}
		for _, f := range flaws(page.body) {
			t.Error(f)
		}
		return url.Values{"fingerprints": {prints}}
	}
	first := seen("first")
	b.done(at+"/accept", first)
	if page := b.post(at+"/compare", nil).body; !strings.Contains(page, "shows what is known") || strings.Contains(page, at+"/accept") {
		t.Errorf("compared after it was accepted: %s", visible(page))
	}
	seen("second")
	if page := b.post(at+"/accept", first); page.status != http.StatusConflict || !strings.Contains(page.body, "other certificates than those that were looked at") {
		t.Errorf("others accepted: %d %s", page.status, visible(page.body))
	}
	if a := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer})).post(at+"/accept", first); a.status != http.StatusForbidden {
		t.Errorf("accepted by a viewer: %d", a.status)
	}
}
