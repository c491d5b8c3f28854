package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

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
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	c := &chrome{t, ctx, w}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("script failed: %s", e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError {
				t.Errorf("console: %s", e.Args)
			}
		}
	})
	c.run(chromedp.EmulateViewport(1280, 900))
	return c
}

// run takes steps in the browser; a step that fails shows the page.
func (c *chrome) run(actions ...chromedp.Action) {
	c.t.Helper()
	if err := chromedp.Run(c.ctx, actions...); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), 5*time.Second)
		defer cancel()
		var body, at string
		_ = chromedp.Run(ctx, chromedp.Location(&at), chromedp.OuterHTML("body", &body))
		c.t.Fatalf("%v\nat %s\n%s\nlog: %s", err, at, visible(body), c.w.log)
	}
}

func (c *chrome) open(path string) {
	c.t.Helper()
	c.run(chromedp.Navigate(c.w.url+path), chromedp.WaitReady("main"))
}

// signIn uses a one-time link, as a new owner does.
func (c *chrome) signIn(a *ra.Admin) {
	c.t.Helper()
	text, err := c.w.c.Signin.CreateLink(context.Background(), system, a.ID, 0)
	must(c.t, err)
	c.run(chromedp.Navigate(c.w.c.Signin.LinkURL(text)), chromedp.Click(`main button`), chromedp.WaitReady(`#menu`))
}

// see waits until the main part of the page holds a text.
func (c *chrome) see(text string) {
	c.t.Helper()
	c.run(chromedp.WaitVisible(fmt.Sprintf(`//main//*[contains(., %q)]`, text), chromedp.BySearch))
}

// type fills a field anew.
func (c *chrome) fill(selector, text string) {
	c.t.Helper()
	c.run(chromedp.SetValue(selector, "", chromedp.ByQuery), chromedp.SendKeys(selector, text, chromedp.ByQuery))
}

// shoot writes a picture of the whole page, in both schemes.
func (c *chrome) shoot(name string, width int64) {
	c.t.Helper()
	if screenshots == "" {
		return
	}
	must(c.t, os.MkdirAll(screenshots, 0o755))
	for _, scheme := range []string{"light", "dark"} {
		var picture []byte
		c.run(chromedp.EmulateViewport(width, 900), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
			chromedp.FullScreenshot(&picture, 100))
		must(c.t, os.WriteFile(filepath.Join(screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), picture, 0o644))
	}
	c.run(emulation.SetEmulatedMedia().WithFeatures(nil), chromedp.EmulateViewport(1280, 900))
}

// noOverflow fails when a page is wider than the window.
func (c *chrome) noOverflow(path string, width int64) {
	c.t.Helper()
	var over int
	c.run(chromedp.EmulateViewport(width, 900), chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over), chromedp.EmulateViewport(1280, 900))
	if over > 0 {
		c.t.Errorf("%s is %d pixels wider than a window of %d", path, over, width)
	}
}

// TestBrowserFirstHour is what a new owner does: sign in by a link, set a
// password, define a template with the preview beside it, ask for a certificate
// whose key is made here, and take the key.
func TestBrowserFirstHour(t *testing.T) {
	w := newWorld(t)
	w.fill()
	c := newChrome(t, w)
	c.signIn(w.owner)
	c.see("Set a password or add a passkey")
	c.run(chromedp.SendKeys(`#f-password`, "four random words here"), chromedp.SendKeys(`#f-again`, "four random words here"), chromedp.Click(`form[action="/profile/password"] button`))
	c.see("The password is changed")

	c.open("/templates/new")
	c.fill(`#f-name`, "Wi-Fi people")
	c.run(chromedp.SetValue(`#f-group_id`, w.ids["groups"]), chromedp.SetValue(`#f-authority_id`, w.ids["authorities"]))
	c.fill(`#f-spec-subject`, "CN={EnrollmentUser},O={Organization}")
	c.run(chromedp.SetValue(`#f-spec-key_type`, "p-256"), chromedp.SetValue(`#f-spec-key_place`, "server"))
	c.fill(`#f-spec-sans-0`, "{EmailAddress}")
	c.fill(`#f-preview_device`, "ada-laptop")
	c.run(chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "CN=ada,O=Example Works")]`, chromedp.BySearch), chromedp.WaitVisible(`//*[@id="preview"]//*[contains(., "ada@example.com")]`, chromedp.BySearch))
	c.run(chromedp.Click(`.buttons.sticky button.primary`))
	c.see("The template is defined")

	c.open("/requests/new")
	c.run(chromedp.SetValue(`#f-template`, w.templateID(t, "Wi-Fi people")))
	c.fill(`#f-device`, "ada-laptop")
	c.run(chromedp.Click(`form[data-preview] button.primary`))
	c.see("The certificate is issued")
	c.see("CN=ada,O=Example Works")

	folder := t.TempDir()
	c.run(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(folder).WithEventsEnabled(true))
	c.run(chromedp.Click(`a[href$="/key"]`), chromedp.WaitVisible(`#sheet #f-password`), chromedp.Click(`#sheet form button[type=submit]`))
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
	c.run(webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}).Do(ctx)
		return err
	}))
	c.open("/profile")
	c.fill(`#passkey-name`, "Laptop")
	c.run(chromedp.Click(`form[data-register] button`), chromedp.WaitVisible(`//table//th[contains(., "Laptop")]`, chromedp.BySearch))
	c.run(chromedp.Click(`.person form button`), chromedp.WaitVisible(`[data-passkey-go]`))
	c.run(chromedp.Click(`[data-passkey-go]`), chromedp.WaitReady(`body[data-view="now"]`))
	c.open("/profile")
	c.run(chromedp.Click(`a[href$="/remove"]`), chromedp.WaitVisible(`#sheet form`), chromedp.Click(`#sheet form button.danger`))
	c.see("The passkey Laptop is removed")
}

func TestBrowserPalette(t *testing.T) {
	w := newWorld(t)
	w.fill()
	c := newChrome(t, w)
	c.signIn(w.owner)
	c.open("/")
	c.run(chromedp.KeyEvent("k", chromedp.KeyModifiers(2)), chromedp.WaitVisible(`#palette[open]`), chromedp.SendKeys(`#palette-text`, "ada-lap"),
		chromedp.WaitVisible(`//*[@id="palette-list"]//span[contains(., "ada-laptop")]`, chromedp.BySearch), chromedp.SendKeys(`#palette-text`, "\r"), chromedp.WaitReady(`body[data-view="device"]`))
	c.run(chromedp.Click(`a[href$="/block"]`), chromedp.WaitVisible(`#sheet form`), chromedp.Click(`#sheet [data-cancel]`), chromedp.WaitNotVisible(`#sheet`))
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
		"obligations": "/obligations", "audit": "/audit", "admins": "/administrators", "admin": "/administrators/" + w.ids["administrators"], "admin-edit": "/administrators/" + w.ids["administrators"] + "/edit",
		"tokens": "/tokens", "status": "/status", "profile": "/profile", "search": "/search?q=ada", "challenge-new": "/devices/" + w.ids["devices"] + "/challenge",
	}
}

// TestBrowserLooks opens every page at the width of a desk and of a phone:
// nothing is wider than the window, no script fails, and the pictures are
// written when a folder is named.
func TestBrowserLooks(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.age()
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
