package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// screenshots is the folder that pictures of the pages are written to; empty
// for none.
var screenshots = os.Getenv("CHANCERY_SCREENSHOTS")

// chrome is a browser with a fresh profile.
type chrome struct {
	t   testing.TB
	ctx context.Context
	w   *world
}

func newChrome(t testing.TB, w *world) *chrome {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(testpeer.Chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.WindowSize(1280, 900))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	c := &chrome{t, ctx, w}
	failed := chromedp.Events(ctx, runtime.ExceptionThrown)
	var reading sync.WaitGroup
	reading.Go(func() {
		for e, err := range failed {
			if err != nil {
				return // the browser was closed
			}
			t.Errorf("script failed: %v", e.ExceptionDetails)
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	c.run(chromedp.EmulateViewport(1280, 900))
	return c
}

// run takes steps in the browser; a step that fails shows the page.
func (c *chrome) run(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	for i, action := range actions {
		if _, err := do(c, 30*time.Second, action); err != nil {
			at, _ := do(c, 5*time.Second, chromedp.Location())
			body, _ := do(c, 5*time.Second, chromedp.OuterHTML(css("body")))
			c.t.Fatalf("step %d: %v\nat %s\n%s\nlog: %s", i, err, at, visible(body), c.w.log)
		}
	}
}

type css = chromedp.CSS

// do takes one step within a time.
func do[T any](c *chrome, within time.Duration, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func (c *chrome) open(path string) {
	c.t.Helper()
	c.run(chromedp.Navigate(c.w.url+path), chromedp.WaitReady(css("main")))
}

// signIn uses a one-time link, as a new owner does.
func (c *chrome) signIn(a *ra.Admin) {
	c.t.Helper()
	text, err := c.w.c.Signin.CreateLink(context.Background(), system, a.ID, 0)
	must(c.t, err)
	c.run(chromedp.Navigate(c.w.c.Signin.LinkURL(text)), chromedp.Click(css(`main button`)), chromedp.WaitReady(css(`#menu`)))
}

// see waits until the main part of the page holds a text.
func (c *chrome) see(text string) {
	c.t.Helper()
	c.run(chromedp.WaitVisible(fmt.Sprintf(`//main//*[contains(., %q)]`, text)))
}

// fill types a text into a field in place of what is there.
func (c *chrome) fill(selector css, text string) {
	c.t.Helper()
	c.run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).value = ""`, selector)), chromedp.SendKeys(selector, text))
}

// shoot writes a picture of the whole page, in both schemes.
func (c *chrome) shoot(name string, width int64) {
	c.t.Helper()
	if screenshots == "" {
		return
	}
	must(c.t, os.MkdirAll(screenshots, 0o755))
	for _, scheme := range []string{"light", "dark"} {
		c.run(chromedp.EmulateViewport(width, 900), media(&emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme}))
		picture, err := do(c, 30*time.Second, chromedp.FullScreenshot(100))
		must(c.t, err)
		must(c.t, os.WriteFile(filepath.Join(screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), picture, 0o644))
	}
	c.run(media(), chromedp.EmulateViewport(1280, 900))
}

func media(features ...*emulation.MediaFeature) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	})
}

// noOverflow fails when a page is wider than the window.
func (c *chrome) noOverflow(path string, width int64) {
	c.t.Helper()
	c.run(chromedp.EmulateViewport(width, 900))
	over, err := do(c, 5*time.Second, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
	must(c.t, err)
	c.run(chromedp.EmulateViewport(1280, 900))
	if over > 0 {
		c.t.Errorf("%s is %d pixels wider than a window of %d", path, over, width)
	}
}

// TestBrowserFirstHour is what a new owner does: sign in by a link, set a
// password, define a template with the preview beside it, ask for a certificate
// whose key is made here, and take the key.
func TestBrowserFirstHour(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) { firstHour(t, newWorldOn(t, database)) })
}

func firstHour(t *testing.T, w *world) {
	w.fill()
	c := newChrome(t, w)
	c.signIn(w.owner)
	c.see("Set a password or add a passkey")
	c.run(chromedp.SendKeys(css(`#f-password`), "four random words here"), chromedp.SendKeys(css(`#f-again`), "four random words here"), chromedp.Click(css(`form[action="/profile/password"] button`)))
	c.see("The password is changed")

	c.open("/templates/new")
	c.fill(`#f-name`, "Wi-Fi people")
	// Another authority has the page drawn anew, with what it asks for.
	c.run(chromedp.SetValue(css(`#f-group_id`), w.ids["groups"]), chromedp.Evaluate[chromedp.Void](`document.body.dataset.before = "1"`), chromedp.SetValue(css(`#f-authority_id`), w.ids["authorities"]),
		chromedp.WaitReady(css(`body:not([data-before])`)))
	c.fill(`#f-spec-subject`, "CN={EnrollmentUser},O={Organization}")
	c.run(chromedp.SetValue(css(`#f-spec-key_type`), "p-256"), chromedp.SetValue(css(`#f-spec-key_place`), "server"))
	c.fill(`#f-spec-sans-0`, "{EmailAddress}")
	c.fill(`#f-preview_device`, "ada-laptop")
	c.run(chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "CN=ada,O=Example Works")]`), chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "ada@example.com")]`))
	c.run(chromedp.Click(css(`details.card > summary`)))
	c.fill(`#f-spec-subject`, "CN=")
	c.run(chromedp.Click(css(`[data-insert="{Department}"]`)),
		chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "{Department} is empty")]`))
	c.shoot("template-problem", 1280)
	c.fill(`#f-spec-subject`, "CN={EnrollmentUser},O={Organization}")
	c.run(chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "CN=ada,O=Example Works")]`))
	c.shoot("template-preview", 1280)
	c.run(chromedp.Click(css(`.buttons.sticky button.primary`)))
	c.see("The template is defined")

	c.open("/requests/new")
	c.run(chromedp.SetValue(css(`#f-template`), w.templateID(t, "Wi-Fi people")))
	c.fill(`#f-device`, "ada-laptop")
	c.run(chromedp.Click(css(`form[data-preview] button.primary`)))
	c.see("The certificate is issued")
	c.see("CN=ada,O=Example Works")

	folder := t.TempDir()
	_, err := chromedp.CallBrowser(c.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder})
	must(t, err)
	c.run(chromedp.Click(css(`a[href$="/key"]`)), chromedp.WaitVisible(css(`#sheet #f-password`)))
	c.shoot("key-sheet", 1280)
	c.run(chromedp.Click(css(`#sheet form button[type=submit]`)))
	file := waitFile(t, folder, ".p12")
	if info, err := os.Stat(file); err != nil || info.Size() < 500 {
		t.Errorf("the key file: %v, %v", info, err)
	}
}

func (w *world) templateID(t testing.TB, name string) string {
	t.Helper()
	hits := w.visit(w.owner).get("/search.json?q=" + strings.ReplaceAll(name, " ", "+")).body
	_, rest, ok := strings.Cut(hits, `"/templates/`)
	id, _, _ := strings.Cut(rest, `"`)
	if !ok || !strings.HasPrefix(id, "tpl_") {
		t.Fatalf("no template %q: %s", name, hits)
	}
	return id
}

func waitFile(t testing.TB, folder, suffix string) string {
	t.Helper()
	for range 100 {
		files, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
		must(t, err)
		if len(files) > 0 {
			return files[0]
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("no %s file was downloaded", suffix)
	return ""
}

func TestBrowserPasskey(t *testing.T) {
	w := newWorld(t)
	c := newChrome(t, w)
	c.signIn(w.owner)
	_, err := chromedp.Call(c.ctx, webauthn.Enable, webauthn.EnableParams{})
	must(t, err)
	_, err = chromedp.Call(c.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2,
		Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
	must(t, err)
	c.open("/profile")
	c.fill(`#passkey-name`, "Laptop")
	c.run(chromedp.Click(css(`form[data-register] button`)), chromedp.WaitVisible(`//table//th[contains(., "Laptop")]`))
	c.run(chromedp.Click(css(`.person form button`)), chromedp.WaitVisible(css(`[data-passkey-go]`)))
	c.run(chromedp.Click(css(`[data-passkey-go]`)), chromedp.WaitReady(css(`body[data-view="now"]`)))
	c.open("/profile")
	c.run(chromedp.Click(css(`a[href$="/remove"]`)), chromedp.WaitVisible(css(`#sheet form`)), chromedp.Click(css(`#sheet form button.danger`)))
	c.see("The passkey Laptop is removed")
}

func TestBrowserPalette(t *testing.T) {
	w := newWorld(t)
	w.fill()
	c := newChrome(t, w)
	c.signIn(w.owner)
	c.open("/")
	c.run(chromedp.KeyEvent("k", chromedp.KeyModifiers(chromedp.ModifierCtrl)), chromedp.WaitVisible(css(`#palette[open]`)), chromedp.SendKeys(css(`#palette-text`), "ada-lap"),
		chromedp.WaitVisible(`//*[@id="palette-list"]//span[contains(., "ada-laptop")]`), chromedp.SendKeys(css(`#palette-text`), "\r"), chromedp.WaitReady(css(`body[data-view="device"]`)))
	c.run(chromedp.Click(css(`a[href$="/block"]`)), chromedp.WaitVisible(css(`#sheet form`)), chromedp.Click(css(`#sheet [data-cancel]`)), chromedp.WaitNotVisible(css(`#sheet`)))
}

// TestBrowserFollowsWhatMoves: a page about a request that is on its way shows
// the certificate without being loaded again.
func TestBrowserFollowsWhatMoves(t *testing.T) {
	w := newWorld(t)
	w.fill()
	ctx := context.Background()
	r, err := w.c.Enroll.Submit(ctx, system, enroll.Ask{Template: ra.TemplateID(w.ids["templates"]), Device: ra.DeviceID(w.ids["devices"]), Door: "api"})
	must(t, err)
	c := newChrome(t, w)
	c.signIn(w.owner)
	c.open("/requests/" + string(r.ID))
	c.see("Approved")
	must(t, w.c.Enroll.Work(ctx, enroll.IssueJob{Request: r.ID}))
	c.see("Open the certificate")
}

// age fills the first organization with a year of certificates, so that pages
// look as they do after a while.
func (w *world) age() {
	w.t.Helper()
	ctx := context.Background()
	now := w.clock()
	people := []struct{ name, first, last string }{{"bela", "Béla", "Novák"}, {"chen", "Wei", "Chen"}, {"dora", "Dora", "Haas"}, {"emil", "Emil", "Berg"}, {"fay", "Fay", "O'Neill"}, {"gus", "Gus", "Lund"}, {"hana", "Hana", "Sato"}}
	spec := ra.TemplateSpec{Subject: "CN={EnrollmentUser},O={Organization},C={Country}", SANs: []ra.SANSpec{{Type: "email", Value: "{EmailAddress}"}}, KeyType: "p-256", KeyPlace: ra.KeyHere, Usage: "signing", EKUs: []string{"clientAuth"},
		Validity: 365, AutoRenew: true, RenewBefore: 10}
	site := ra.GroupID(w.ids["site"])
	calm := w.template(ra.GroupID(w.ids["groups"]), ra.AuthorityID(w.ids["authorities"]), "Wi-Fi", spec)
	spec.AutoRenew, spec.RenewBefore = false, 0
	alone := w.template(ra.GroupID(w.ids["groups"]), ra.AuthorityID(w.ids["authorities"]), "Contractor access", spec)
	var devices []ra.DeviceID
	for i, person := range people {
		u, err := w.c.Inventory.CreateUser(ctx, system, inventory.UserInput{GroupID: &site, Name: p(person.name), Email: p(person.name + "@example.com"), FirstName: p(person.first), LastName: p(person.last), DisplayName: p(person.first + " " + person.last)})
		must(w.t, err)
		platform := ra.Platforms[i%len(ra.Platforms)]
		d, err := w.c.Inventory.CreateDevice(ctx, system, inventory.DeviceInput{GroupID: &site, UserID: &u.ID, Platform: &platform, PlatformID: p(fmt.Sprintf("00008120-000A1D2E3F4A5B%02X", i)), Name: p(person.name + "-" + string(platform)), SerialNumber: p(fmt.Sprintf("F2LX90AB%d", i))})
		must(w.t, err)
		devices = append(devices, d.ID)
	}
	for i := range 42 {
		left := time.Duration((i*37)%88+1) * 24 * time.Hour
		w.set(now.Add(left - 365*24*time.Hour))
		t := calm
		if i%6 == 0 {
			t = alone
		}
		w.submit(system, enroll.Ask{Template: t.ID, Device: devices[i%len(devices)]})
	}
	w.set(now.Add(-20 * 24 * time.Hour))
	revoked := w.submit(system, enroll.Ask{Template: alone.ID, Device: devices[0]})
	held := w.submit(system, enroll.Ask{Template: alone.ID, Device: devices[1]})
	w.set(now.Add(-2 * time.Hour))
	_, err := w.c.Lifecycle.Revoke(ctx, system, revoked.CertificateID, ra.KeyCompromise, "laptop stolen")
	must(w.t, err)
	_, err = w.c.Lifecycle.Revoke(ctx, system, held.CertificateID, ra.CertificateHold, "")
	must(w.t, err)
	w.set(now)
	w.ids["revoked"] = string(revoked.CertificateID)
	fresh := w.submit(system, enroll.Ask{Template: ra.TemplateID(w.ids["templates"]), Device: ra.DeviceID(w.ids["devices"])})
	w.ids["certificates"] = string(fresh.CertificateID)
	_, _, err = w.c.Enroll.CreateChallenge(ctx, system, enroll.ChallengeInput{Endpoint: ra.EndpointID(w.ids["endpoints"]), Device: ra.DeviceID(w.ids["devices"])})
	must(w.t, err)
	r := w.submit(ra.Actor{Kind: ra.ActorAdmin, ID: "adm_0", Name: "ada", Via: "console", Grants: system.Grants}, enroll.Ask{Template: ra.TemplateID(w.templateOf("Mail encryption")), Device: devices[2]})
	w.ids["approval"] = string(r.ID)
}

func (w *world) templateOf(name string) string { return w.templateID(w.t, name) }

// pictured are the pages that must look right, by the name of their picture.
func (w *world) pictured() map[string]string {
	return map[string]string{
		"now": "/", "certificates": "/certificates", "certificate": "/certificates/" + w.ids["certificates"], "certificate-revoked": "/certificates/" + w.ids["revoked"], "revoke": "/certificates/" + w.ids["certificates"] + "/revoke",
		"requests": "/requests", "request": "/requests/" + w.ids["approval"], "request-new": "/requests/new", "templates": "/templates", "template": "/templates/" + w.ids["templates"] + "?device=ada-laptop",
		"template-edit": "/templates/" + w.ids["template-device"] + "/edit", "devices": "/devices", "device": "/devices/" + w.ids["devices"], "device-edit": "/devices/" + w.ids["devices"] + "/edit", "import": "/devices/import",
		"users": "/users", "user": "/users/" + w.ids["users"], "groups": "/groups", "group": "/groups/" + w.ids["site"], "endpoints": "/endpoints", "endpoint": "/endpoints/" + w.ids["endpoints"],
		"endpoint-edit": "/endpoints/" + w.ids["endpoints"] + "/edit", "authorities": "/authorities", "authority": "/authorities/" + w.ids["authorities"], "authority-kinds": "/authorities/new", "authority-new": "/authorities/new?kind=embedded",
		"guard": "/authorities/" + w.ids["guard"] + "/guard", "danger-sign-off": "/dangers/" + w.ids["dangers"] + "/sign-off",
		"obligations": "/obligations", "audit": "/audit", "admins": "/administrators", "admin": "/administrators/" + w.ids["administrators"], "admin-edit": "/administrators/" + w.ids["administrators"] + "/edit",
		"master-key": "/master-key", "master-key-rotate": "/master-key/rotate", "revocations": "/revocations", "revocation": "/revocations/" + w.ids["revocations"], "tokens": "/tokens", "status": "/status", "profile": "/profile", "search": "/search?q=ada", "challenge-new": "/devices/" + w.ids["devices"] + "/challenge",
	}
}

// TestBrowserLooks opens every page at the width of a desk and of a phone:
// nothing is wider than the window, no script fails, and the pictures are
// written when a folder is named.
func TestBrowserLooks(t *testing.T) {
	w := newWorld(t)
	now := w.clock()
	w.set(now.AddDate(0, 0, -400)) // the authority is older than what it issued
	w.fill()
	w.set(now)
	w.age()
	_, err := w.c.Authorities.Update(context.Background(), system, ra.AuthorityID(w.ids["authorities"]), authority.Input{Settings: []byte(`{"crl_shards": 16}`)})
	must(t, err)
	must(t, w.c.Lifecycle.PublishDue(context.Background()))
	must(t, w.c.Keyring.Sync(context.Background()))
	c := newChrome(t, w)
	c.open("/sign-in")
	c.shoot("sign-in", 1280)
	c.signIn(w.owner)
	for name, path := range w.pictured() {
		c.open(path)
		for _, width := range []int64{1280, 390} {
			c.noOverflow(path, width)
		}
		c.shoot(name, 1280)
		if name == "now" || name == "certificates" || name == "certificate" || name == "template-edit" || name == "device" {
			c.shoot(name, 390)
		}
	}
}
