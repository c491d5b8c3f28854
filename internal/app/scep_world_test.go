package app

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	"chancery/internal/authority"
	"chancery/internal/cli"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
	"chancery/internal/wire/scepmsg"
)

// startFront starts a server that may reach this machine and goes by a clock.
func startFront(t *testing.T, now func() time.Time) *site {
	t.Helper()
	cfg := config(t, "")
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg.EgressAllow = []string{"127.0.0.0/8"}
	cfg.Now = now
	return startSite(t, cfg)
}

// behind adds an authority and a template for a SCEP server of somebody else, tests
// the connection, and accepts the certificates that the server shows.
func (s *site) behind(name, kind string, issuer *x509.Certificate, settings map[string]any) *outside {
	s.t.Helper()
	o := &outside{site: s, issuer: issuer}
	raw, err := json.Marshal(settings)
	if err == nil {
		o.authority, err = s.Authorities.Create(s.t.Context(), localActor(), kind, authority.Input{GroupID: &s.ca.GroupID, Name: &name, Settings: raw})
	}
	if err == nil {
		spec := ra.TemplateSpec{Subject: "CN={DeviceUid},O=Example", SANs: []ra.SANSpec{{Type: "dns", Value: "{DeviceUid}.example.org"}},
			KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 90}
		o.template, err = s.Enroll.CreateTemplate(s.t.Context(), localActor(), enroll.TemplateInput{GroupID: &s.ca.GroupID, AuthorityID: &o.authority.ID, Name: &name, Spec: &spec})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	o.connects()
	s.chancery("authority", "accept", name, "-y")
	return o
}

// connects tests the connection of the authority.
func (o *outside) connects() {
	o.t.Helper()
	report, err := o.admin().TestAuthority(o.t.Context(), string(o.authority.ID))
	if err != nil || !report.OK {
		o.t.Fatalf("the connection: %v %+v", err, report)
	}
}

// admin gives a client of the server's API, for an administrator on its machine.
func (s *site) admin() *client.Client {
	s.t.Helper()
	c, done, err := Local(s.t.Context(), s.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = done() }) // it only closes idle connections
	return &client.Client{HTTP: c, Base: LocalURL}
}

// chancery runs a command line against the running server and gives what it
// prints.
func (s *site) chancery(args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	p := &cli.Program{Version: "test", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, LookupEnv: func(string) (string, bool) { return "", false },
		Contexts: filepath.Join(s.t.TempDir(), "contexts.json"), Now: s.Config.Now, Config: &Config{}}
	p.Local = func(ctx context.Context) (*http.Client, string, func() error, error) {
		c, done, err := Local(ctx, s.Config)
		return c, LocalURL, done, err
	}
	if code := p.Run(s.t.Context(), args); code != 0 {
		s.t.Fatalf("chancery %s: exit code %d\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	}
	return out.String()
}

// traveller is a device on its way through a pass.
type traveller struct {
	*outside
	office *client.Client
	device *ra.Device
	pass   resource.Pass
	given  resource.PassParameters
}

// visit makes a device and a pass for it, and fetches what it is to be told.
func (o *outside) visit(t *testing.T, id string, model ra.PassModel) *traveller {
	t.Helper()
	v := o.announce(t, id, model)
	v.fetch()
	return v
}

// announce makes a device and a pass for it.
func (o *outside) announce(t *testing.T, id string, model ra.PassModel) *traveller {
	t.Helper()
	return o.announceFor(t, id, model, "")
}

// announceFor makes a device and a pass for it, good for a time span.
func (o *outside) announceFor(t *testing.T, id string, model ra.PassModel, life string) *traveller {
	t.Helper()
	world, there := *o.site, *o
	world.t, there.site = t, &world
	v := &traveller{outside: &there, device: there.newDevice(id), office: o.admin()}
	var err error
	if v.pass, err = o.admin().CreatePass(t.Context(), resource.PassInput{TemplateID: string(o.template.ID), DeviceID: string(v.device.ID), Model: string(model), Life: life}); err != nil {
		t.Fatal(err)
	}
	return v
}

// fetch fetches the parameters, with a challenge.
func (v *traveller) fetch() {
	v.t.Helper()
	var err error
	if v.given, err = v.office.PassParameters(v.t.Context(), v.pass.ID); err != nil {
		v.t.Fatal(err)
	}
}

// renew makes the pass for the successor of a certificate.
func (v *traveller) renew() {
	v.t.Helper()
	var err error
	if v.pass, err = v.office.RenewByPass(v.t.Context(), v.now().CertificateID); err != nil {
		v.t.Fatal(err)
	}
	v.fetch()
}

// now gives the pass as it is.
func (v *traveller) now() resource.Pass {
	v.t.Helper()
	p, err := v.office.Pass(v.t.Context(), v.pass.ID)
	if err != nil {
		v.t.Fatal(err)
	}
	return p
}

// asks gives the parameters as a real client takes them.
func (v *traveller) asks() testpeer.SCEPRequest {
	v.t.Helper()
	name, err := pkixmsg.ParseDN(v.given.Subject)
	if err != nil {
		v.t.Fatal(err)
	}
	r := testpeer.SCEPRequest{Challenge: v.given.Challenge}
	for _, rdn := range name {
		for _, a := range rdn {
			switch a.OID {
			case pkixmsg.OIDCommonName:
				r.CommonName = a.Value
			case pkixmsg.OIDOrganization:
				r.Organization = a.Value
			case pkixmsg.OIDOrganizationalUnit:
				r.Unit = a.Value
			default:
				v.t.Errorf("the subject %q has more in it than a client here knows", v.given.Subject)
			}
		}
	}
	for _, san := range v.given.SANs {
		kind, value, _ := strings.Cut(san, ":")
		if kind != "dns" {
			v.t.Errorf("no client here knows how to ask for %q", san)
		}
		r.DNSNames = append(r.DNSNames, value)
	}
	return r
}

// has reports the certificate that the device has, as a program on the device
// does, and wants it in the inventory as the one of its pass.
func (v *traveller) has(c *x509.Certificate) {
	v.t.Helper()
	got, err := v.office.LearnPass(v.t.Context(), resource.LearnInput{AuthorityID: string(v.authority.ID), DeviceID: string(v.device.ID),
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))})
	if err != nil {
		v.t.Fatal(err)
	}
	p := v.now()
	if got.Pass.ID != p.ID || p.State != string(ra.PassDone) || !p.Confirmed || p.CertificateID != got.Certificate.ID {
		v.t.Errorf("the certificate is taken for that of %s; the pass %s is %s, its certificate %s", got.Pass.ID, p.ID, p.State, p.CertificateID)
	}
	if row := v.row(c); row == nil || string(row.DeviceID) != string(v.device.ID) || row.Fingerprint != authority.Hash(c.Raw) {
		v.t.Errorf("in the inventory is %+v", row)
	}
}

// verified has OpenSSL check a device's certificate up to a root.
func verified(t *testing.T, c, root *x509.Certificate, between ...*x509.Certificate) {
	t.Helper()
	args := []string{"verify", "-purpose", "any", "-CAfile", pemFile(t, root)}
	for _, b := range between {
		args = append(args, "-untrusted", pemFile(t, b))
	}
	if out, err := testpeer.OpenSSL(t, "", nil, append(args, pemFile(t, c))...); err != nil {
		t.Errorf("openssl verify: %v %s", err, out)
	}
}

// clock is a time that can be moved on.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) skip(d time.Duration) { c.ahead.Add(int64(d)) }

// deviceKeys are the keys that devices here share, because making one takes long.
var deviceKeys = sync.OnceValues(func() (keys [4]crypto.Signer, err error) {
	for i := range keys {
		if keys[i], err = pkixmsg.GenerateKey(pkixmsg.RSA2048); err != nil {
			break
		}
	}
	return keys, err
})

// simple is a SCEP client that a test has in hand. What it asks for stays the
// same over its attempts, as does the message it sends.
type simple struct {
	scepclient.Client
	order  scepclient.Order
	server *scepclient.Server // once it has asked
	sent   *scepclient.Exchange
}

// simple makes the client for what a device was told. Each has a transaction of
// its own, although keys are shared.
func (v *traveller) simple(n int) (*simple, error) {
	keys, err := deviceKeys()
	if err != nil {
		return nil, err
	}
	c := &simple{Client: scepclient.Client{URL: v.given.URL, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}, Now: v.Config.Now}}
	c.order = scepclient.Order{Key: keys[n%len(keys)], TransactionID: strings.TrimPrefix(v.pass.ID, ra.PassPrefix+"_")}
	name, err := pkixmsg.ParseDN(v.given.Subject)
	if err == nil {
		c.order.CSR, err = pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, ChallengePassword: v.given.Challenge, Signer: c.order.Key})
	}
	return c, err
}

// look asks for capabilities and certificates.
func (c *simple) look(ctx context.Context) (err error) {
	if c.server, err = c.Ask(ctx); err == nil {
		c.sent, err = c.Begin(c.server, c.order)
	}
	return err
}

// send sends the message once.
func (c *simple) send(ctx context.Context) (*x509.Certificate, error) {
	reply, err := c.Send(ctx, c.server, c.sent, c.order.Key)
	if err != nil {
		return nil, err
	}
	if reply.Message.Status != scepmsg.Success {
		return nil, fmt.Errorf("status %d, %s", reply.Message.Status, reply.Message.FailInfo)
	}
	return x509.ParseCertificate(reply.Certificates[0].Raw)
}
