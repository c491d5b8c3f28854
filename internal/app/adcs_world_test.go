package app

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

// Where Microsoft's CA is in these tests, and who asks it.
const (
	caHost     = "ca1.corp.example"
	caAccount  = "svc-ra"
	caPassword = "Correct-horse 7"
)

// corp is a company's network with Microsoft's CA in it, which is played, and a
// running server that has it as an authority.
type corp struct {
	*site
	ca     *played.CA
	dns    *zone
	clock  *clock
	office *client.Client
}

// startCorp starts the CA, under its name and at its ports, and the server. Times
// in it go by a clock that can be moved on.
func startCorp(t *testing.T, cfg played.Config) *corp {
	t.Helper()
	c := &corp{dns: &zone{hosts: map[string]string{}, services: map[string]server{}}, clock: &clock{}}
	c.dns.resolves(t)
	cfg.Now = c.clock.now
	c.ca = startPlayed(t, cfg, c.dns)
	c.site = startFront(t, c.clock.now)
	c.office = c.admin()
	return c
}

// startPlayed starts the CA at an address of its own, where it can have port 135.
func startPlayed(t *testing.T, cfg played.Config, dns *zone) *played.CA {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("Microsoft's CA has a port that only root may listen at\nhint: run the tests as root")
	}
	cfg.Accounts = append([]played.Account{
		{User: caAccount, Password: caPassword, Rights: played.Everybody | played.Officer | played.ManageCA, UPN: caAccount + "@corp.example", SID: "S-1-5-21-1-2-3-500"},
		{User: "ada", UPN: "ada@corp.example", SID: "S-1-5-21-1-2-3-1104"},
		{User: "bela", UPN: "bela@corp.example", SID: "S-1-5-21-1-2-3-1105"},
	}, cfg.Accounts...)
	cfg.Templates = append(append(played.DefaultTemplates(), played.Template{Name: "Staff", NameFlags: played.SuppliesSubject, Enroll: []string{"ada"}}), cfg.Templates...)
	for i := range cfg.Templates {
		cfg.Templates[i].KeyBits = 256 // keys of elliptic curves are made at once
	}
	var err error
	for range 20 { // somebody else may have the address
		b := make([]byte, 3)
		rand.Read(b)
		cfg.Host = fmt.Sprintf("127.%d.%d.%d", 128+b[0]%63, b[1], 1+b[2]%254)
		cfg.MapperAddress = net.JoinHostPort(cfg.Host, "135")
		var ca *played.CA
		if ca, err = played.New(cfg); err == nil {
			t.Cleanup(func() {
				if err := ca.Close(); err != nil {
					t.Error(err)
				}
			})
			dns.hosts[caHost] = cfg.Host
			return ca
		}
	}
	t.Fatal(err)
	return nil
}

// settings lead to the CA, with what is to be different.
func (c *corp) settings(more map[string]any) map[string]any {
	var chain []byte
	for _, x := range c.ca.Chain() {
		chain = append(chain, pemOf(x)...)
	}
	out := map[string]any{"server": caHost, "ca_certificates": string(chain), "login": "ntlm", "user": `CORP\` + caAccount, "password": caPassword, "publish_crl": true, "poll_interval": "1s"}
	maps.Copy(out, more)
	return out
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// authority adds the CA as an authority over the API, and tests the connection,
// of which every step has to be right; the guard wants a directory, which most do
// without here.
func (c *corp) authority(name string, more map[string]any) resource.Authority {
	c.t.Helper()
	raw, err := json.Marshal(c.settings(more))
	if err != nil {
		c.t.Fatal(err)
	}
	kind, group := "adcs", string(c.site.ca.GroupID)
	a, err := c.office.CreateAuthority(c.t.Context(), resource.AuthorityInput{Kind: &kind, GroupID: &group, Name: &name, Settings: raw})
	if err != nil {
		c.t.Fatal(err)
	}
	report, err := c.office.TestAuthority(c.t.Context(), a.ID)
	if err != nil || !report.OK {
		c.t.Fatalf("the connection: %v %+v", err, report)
	}
	for _, s := range report.Steps {
		if s.State != "ok" && !(s.Name == "guard" && strings.Contains(s.Detail, "No directory is set")) {
			c.t.Errorf("the connection: %+v", s)
		}
	}
	return a
}

// template adds a template for one of the CA's, over the API. Keys are made here.
func (c *corp) template(a resource.Authority, of string, change ...func(*ra.TemplateSpec)) resource.Template {
	c.t.Helper()
	in := c.templateInput(a, of, change...)
	t, err := c.office.CreateTemplate(c.t.Context(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	return t
}

func (c *corp) templateInput(a resource.Authority, of string, change ...func(*ra.TemplateSpec)) resource.TemplateInput {
	name, group := a.Name+" "+of, string(c.site.ca.GroupID)
	spec := ra.TemplateSpec{IssuingTemplate: of, Subject: "CN={EnrollmentUser},O=Example", SANs: []ra.SANSpec{{Type: "upn", Value: "{UserPrincipalName}"}}, SID: true,
		KeyType: "p-256", KeyPlace: ra.KeyHere, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 365, RenewBefore: 30, AutoRenew: true}
	for _, f := range change {
		f(&spec)
	}
	return resource.TemplateInput{GroupID: &group, AuthorityID: &a.ID, Name: &name, Spec: &spec}
}

// order asks for a certificate of a user and waits for what comes of it.
func (c *corp) order(t resource.Template, user string) resource.Request {
	c.t.Helper()
	r, err := c.office.CreateRequest(c.t.Context(), resource.RequestInput{TemplateID: t.ID, UserID: string(c.d.users[user]), Wait: true}, "")
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// retry does what a request is due for, once it is.
func (c *corp) retry(r resource.Request) resource.Request {
	c.t.Helper()
	if wait := c.now(r).At.Sub(c.clock.now()); wait >= 0 {
		c.clock.skip(wait + time.Second)
	}
	if err := c.Enroll.Work(c.t.Context(), enroll.IssueJob{Request: ra.RequestID(r.ID)}); err != nil {
		c.t.Fatal(err)
	}
	return c.now(r)
}

func (c *corp) now(r resource.Request) resource.Request {
	c.t.Helper()
	r, err := c.office.Request(c.t.Context(), r.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// certificate gives what came of a request, after OpenSSL has checked it up to the
// root.
func (c *corp) certificate(r resource.Request) *x509.Certificate {
	c.t.Helper()
	r = c.now(r)
	block, _ := pem.Decode([]byte(r.Certificate))
	if block == nil {
		c.t.Fatalf("request %s is %s: %s %s", r.ID, r.State, r.Reason, r.LastError)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	c.opensslVerifies(cert)
	return cert
}

// opensslVerifies has OpenSSL check a certificate up to the CA's root, at the time
// that it is here.
func (c *corp) opensslVerifies(cert *x509.Certificate) {
	c.t.Helper()
	if out, err := c.openssl(cert); err != nil {
		c.t.Errorf("openssl verify: %v %s", err, out)
	}
}

func (c *corp) openssl(cert *x509.Certificate, more ...string) ([]byte, error) {
	chain := c.ca.Chain()
	args := append([]string{"verify", "-purpose", "any", "-attime", c.unix(), "-CAfile", pemFile(c.t, chain[1]), "-untrusted", pemFile(c.t, chain[0])}, more...)
	return testpeer.OpenSSL(c.t, "", nil, append(args, pemFile(c.t, cert))...)
}

// published fetches the CRL where certificates say it is, as a file in PEM that
// OpenSSL has verified.
func (c *corp) published() (file string) {
	c.t.Helper()
	r, err := http.Get(c.ca.CRLURL())
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	der, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		c.t.Fatalf("CRL: HTTP %d, %v", r.StatusCode, err)
	}
	file = filepath.Join(c.t.TempDir(), "crl.pem")
	if out, err := testpeer.OpenSSL(c.t, "", der, "crl", "-inform", "der", "-CAfile", pemFile(c.t, c.ca.Certificate()), "-out", file); err != nil {
		c.t.Fatalf("openssl crl: %v %s", err, out)
	}
	return file
}

// row gives the CA's row of a request of ours, of which there has to be one.
func (c *corp) caRow(r resource.Request) played.Row {
	c.t.Helper()
	rows := c.caRows(r)
	if len(rows) != 1 {
		c.t.Fatalf("the CA has %d requests for %s", len(rows), r.ID)
	}
	return rows[0]
}

func (c *corp) caRows(r resource.Request) (rows []played.Row) {
	for _, row := range c.ca.Requests() {
		if attribute(row, "ChanceryRequest") == r.ID {
			rows = append(rows, row)
		}
	}
	return rows
}

// until looks again and again until something is so, for as long as a busy machine
// may take.
func (c *corp) until(what string, so func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			c.t.Fatalf("it is not so: %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// attribute gives what a request at the CA carries under a name.
func attribute(row played.Row, name string) string {
	for line := range strings.SplitSeq(row.Attributes, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// says gives what a certificate says of somebody: the common name, the principal
// name and the security identifier.
func says(t *testing.T, cert *x509.Certificate) (cn, upn, sid string) {
	t.Helper()
	for _, e := range cert.Extensions {
		switch e.Id.String() {
		case pkixmsg.OIDSubjectAltName:
			names, err := pkixmsg.ParseSubjectAltName(e.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				if n.Type == pkixmsg.UPN {
					upn = n.Value
				}
			}
		case pkixmsg.OIDSecurityIdentifier:
			var err error
			if sid, err = pkixmsg.ParseSIDExtension(e.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cert.Subject.CommonName, upn, sid
}

// names wants a certificate to be that of a user of the demonstration.
func (c *corp) names(cert *x509.Certificate, user string) {
	c.t.Helper()
	i := slices.IndexFunc(demoUsers, func(u struct{ name, first, last, group, sid string }) bool { return u.name == user })
	cn, upn, sid := says(c.t, cert)
	if cn != user || upn != user+"@corp.example.org" || !strings.HasSuffix(sid, "-"+demoUsers[i].sid) {
		c.t.Errorf("the certificate of %s says %q, %q, %q", user, cn, upn, sid)
	}
}
