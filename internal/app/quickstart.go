package app

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/store"
	"chancery/internal/wire/pkixmsg"
)

// QuickstartOptions says how the quick start runs.
type QuickstartOptions struct {
	Config  Config
	Exit    bool   // end after the certificate instead of leaving the console up
	Program string // how the command lines that are shown begin; empty: chancery
	Out     io.Writer
}

// Quickstart starts the real server, makes a demonstration organization, lets
// one of its devices enrol over SCEP, and says what it does while it does it.
// Running it again on the same data changes nothing that is there already. It
// ends with the context, or after the certificate when Exit is set.
func Quickstart(ctx context.Context, o QuickstartOptions) error {
	q := &quickstart{out: o.Out, began: time.Now(), data: o.Config.Data, program: cmp.Or(o.Program, "chancery")}
	if q.data == "" {
		q.data = DefaultData
	}
	if o.Config.Log == nil {
		o.Config.LogLevel = "warn"
	}
	q.say("Chancery %s", Version)
	a, err := Start(ctx, o.Config)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		if err := a.Close(end); err != nil {
			q.say("while stopping: %v", err)
		}
	}()
	q.app = a
	if err := q.run(ctx); err != nil {
		return err
	}
	if o.Exit {
		q.say("\nThe data stays in %s. Start the server again with:  %s", q.data, q.cli("serve"))
		return nil
	}
	q.say("\nThe server is running. Ctrl-C ends it; the data stays in %s.", q.data)
	<-ctx.Done()
	return nil
}

type quickstart struct {
	app   *App
	out   io.Writer
	began time.Time
	last  time.Time
	data  string

	program string
}

func (q *quickstart) say(format string, args ...any) { fmt.Fprintf(q.out, format+"\n", args...) }

// step prints one finished step with the time it took.
func (q *quickstart) step(took time.Duration, format string, args ...any) {
	q.say("  %7s  %s", round(took), fmt.Sprintf(format, args...))
}

// did is step with the command line that does the same.
func (q *quickstart) did(took time.Duration, line, format string, args ...any) {
	q.step(took, format, args...)
	q.say("           %s", q.cli(line))
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }

// cli is the command line that does the same.
func (q *quickstart) cli(args string) string {
	if q.data == DefaultData {
		return q.program + " " + args
	}
	return q.program + " --data " + q.data + " " + args
}

// timed runs f and gives how long it took.
func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}

func (q *quickstart) run(ctx context.Context) error {
	q.step(time.Since(q.began), "server on %s, database and embedded CA ready", q.app.Config.PublicURL)
	d := &demo{app: q.app, actor: localActor()}
	root, ca, err := q.home(ctx)
	if err != nil {
		return err
	}
	for _, step := range d.steps(root, ca.ID) {
		before := d.made
		took, err := timed(func() error { return step.make(ctx) })
		if err != nil {
			return err
		}
		if d.made == before {
			step.what += " (there already)"
		}
		q.did(took, step.line, "%s", step.what)
	}
	cert, err := q.device(ctx, d)
	if err != nil {
		return err
	}
	if err := q.show(ctx, d, cert); err != nil {
		return err
	}
	return q.console(ctx)
}

// home gives the organization and the authority of the first start.
func (q *quickstart) home(ctx context.Context) (*ra.Group, *ra.Authority, error) {
	groups, _, err := q.app.Inventory.FindGroups(ctx, localActor(), store.GroupFilter{})
	if err != nil {
		return nil, nil, err
	}
	authorities, _, err := q.app.Authorities.Find(ctx, localActor(), store.AuthorityFilter{Kind: "embedded"})
	if err != nil {
		return nil, nil, err
	}
	for _, g := range groups {
		if g.ParentID == "" && len(authorities) > 0 {
			return g, authorities[len(authorities)-1], nil
		}
	}
	return nil, nil, ra.Errorf(ra.Conflict, "The data folder holds no organization or embedded CA any more.").WithRemedy("Choose another folder with --data.")
}

// device enrols the demonstration device over SCEP, unless it holds a valid
// certificate already.
func (q *quickstart) device(ctx context.Context, d *demo) (*x509.Certificate, error) {
	device := d.devices["ada-iphone"]
	folder := filepath.Join(q.data, "demo", device.Name)
	held, _, err := q.app.Lifecycle.FindCertificates(ctx, d.actor, store.CertificateFilter{Device: device.ID, States: []ra.CertificateState{ra.Valid}})
	if err != nil {
		return nil, err
	}
	if len(held) > 0 {
		q.step(0, "device %s holds a valid certificate already", device.Name)
		return x509.ParseCertificate(held[0].DER)
	}
	var text secret.Text
	took, err := timed(func() (err error) {
		_, text, err = q.app.Enroll.CreateChallenge(ctx, d.actor, enroll.ChallengeInput{Endpoint: d.endpoint.ID, Device: device.ID})
		return err
	})
	if err != nil {
		return nil, err
	}
	q.did(took, "challenge create --endpoint "+d.endpoint.Name+" --device "+device.Name, "one-time challenge for device %s", device.Name)
	key, cert, err := q.enrol(ctx, d, device, text)
	if err != nil {
		return nil, err
	}
	return cert, keep(folder, key, cert)
}

// enrol is the device's side: a key of its own, a CSR, and SCEP over TCP.
func (q *quickstart) enrol(ctx context.Context, d *demo, device *ra.Device, challenge secret.Text) (crypto.Signer, *x509.Certificate, error) {
	var key crypto.Signer
	var csr []byte
	took, err := timed(func() (err error) {
		if key, err = pkixmsg.GenerateKey(pkixmsg.RSA2048); err != nil {
			return err
		}
		name, err := pkixmsg.ParseDN("CN=" + device.PlatformID)
		if err != nil {
			return err
		}
		csr, err = pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, ChallengePassword: challenge.Reveal(), Signer: key})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	q.step(took, "the device makes an RSA-2048 key and a request")
	client := &scepclient.Client{URL: q.app.Config.PublicURL + "/scep/" + d.endpoint.Name, HTTP: http.DefaultClient, Now: time.Now, Poll: time.Second, Patience: 20 * time.Second}
	var server *scepclient.Server
	if took, err = timed(func() (err error) { server, err = client.Ask(ctx); return err }); err != nil {
		return nil, nil, err
	}
	q.step(took, "SCEP GetCACaps, GetCACert at %s: %s", client.URL, strings.Join(strings.Fields(server.CapsText), " "))
	var out *scepclient.Outcome
	if took, err = timed(func() (err error) {
		out, err = client.Enrol(ctx, server, scepclient.Order{CSR: csr, Key: key})
		return err
	}); err != nil {
		return nil, nil, err
	}
	if out.Pending {
		return nil, nil, ra.Errorf(ra.Unreachable, "The certificate is still pending.").WithRemedy("Look at it with %s.", q.cli("request list"))
	}
	q.did(took, "endpoint enrol "+d.endpoint.Name+" --challenge-file challenge.txt --key key.pem --cert cert.pem", "SCEP PKCSReq: SUCCESS, certificate issued")
	return key, out.Certificate, nil
}

// keep stores the demonstration device's key and certificate, as a device
// would, so that they can be tried out.
func keep(folder string, key crypto.Signer, cert *x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644)
}

// show prints the certificate, where it is kept and how to work with it.
func (q *quickstart) show(ctx context.Context, d *demo, cert *x509.Certificate) error {
	rows, _, err := q.app.Lifecycle.FindCertificates(ctx, d.actor, store.CertificateFilter{Serial: enroll.Serial(cert)})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return ra.Errorf(ra.Internal, "The certificate was issued and is not in the inventory.").WithRemedy("Run %s.", q.cli("doctor"))
	}
	c := rows[0]
	q.say("\nThe first certificate, %s after the start:\n", round(time.Since(q.began)))
	for _, line := range [][2]string{{"certificate", string(c.ID)}, {"subject", c.Subject}, {"alternative names", strings.Join(c.SANs, ", ")},
		{"issuer", cert.Issuer.String()}, {"serial", c.Serial}, {"valid", c.NotBefore.Format(time.DateTime) + " to " + c.NotAfter.Format(time.DateTime) + " UTC"},
		{"SHA-256", c.Fingerprint}, {"renewal", fmt.Sprintf("due %s (%s)", c.At.Format(time.DateOnly), c.Action)},
		{"stored in", setting.WithoutPassword(q.app.Config.Database)}, {"device's copy", filepath.Join(q.data, "demo", "ada-iphone")}} {
		q.say("  %-18s %s", line[0], line[1])
	}
	q.say("\n%s\nTry:", strings.TrimRight(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})), "\n"))
	for _, args := range []string{"certificate list", "certificate show " + string(c.ID),
		"certificate renew " + string(c.ID) + " --key " + filepath.Join(q.data, "demo", "ada-iphone", "key.pem"), "certificate revoke " + string(c.ID) + " --reason superseded",
		"request create --template \"" + demoVPNTemplate + "\" --user ada --wait", "audit verify", "doctor"} {
		q.say("  %s", q.cli(args))
	}
	return nil
}

// console prints the address of the console with a one-time sign-in link.
func (q *quickstart) console(ctx context.Context) error {
	owner, err := q.owner(ctx)
	if err != nil {
		return err
	}
	link, err := q.app.Signin.CreateLink(ctx, localActor(), owner.ID, 0)
	if err != nil {
		return err
	}
	q.say("\nConsole: %s\nSign in once, within 15 minutes, with:\n  %s\nA new link: %s", q.app.Config.PublicURL, q.app.Signin.LinkURL(link), q.cli("admin link "+owner.Name))
	return nil
}

// owner is the first administrator who may do everything.
func (q *quickstart) owner(ctx context.Context) (*ra.Admin, error) {
	admins, _, err := q.app.Signin.FindAdmins(ctx, localActor(), store.AdminFilter{Page: store.Page{Sort: "created"}})
	if err != nil {
		return nil, err
	}
	for _, a := range admins {
		if !a.Disabled && slices.ContainsFunc(a.Grants, func(g ra.Grant) bool { return g.Role == ra.RoleOwner && g.Group == "" }) {
			return a, nil
		}
	}
	return nil, ra.Errorf(ra.Conflict, "There is no owner who could sign in.").WithRemedy("Add one with %s.", q.cli("admin add"))
}
