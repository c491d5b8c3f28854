package app

import (
	"crypto/ecdsa"
	"crypto/x509"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/doubles/dcerpc"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// adcsWay is a way to the CA, and what it leads to.
type adcsWay struct {
	name     string
	settings map[string]any
	manages  bool
	login    func(dcerpc.Caller) bool // what the CA saw of the login
}

const (
	loginSPNEGO = 0x09
	loginNTLM   = 0x0A
)

// ways are all of them. The named pipe is one of a real Samba, which does SMB and
// its login; behind it is the CA, which has a login of its own inside the pipe.
// Kerberos is that domain's, too.
func (c *corp) ways(dc *testpeer.Samba) []adcsWay {
	ntlm := func(who dcerpc.Caller) bool {
		return who.User == caAccount && who.Kind == loginNTLM && who.MIC && who.Level == dcerpc.LevelPrivacy
	}
	return []adcsWay{
		{"DCOM with NTLM", map[string]any{"protocols": []string{"dcom"}}, true, ntlm},
		{"DCOM with Kerberos", byTickets(dc), true,
			func(who dcerpc.Caller) bool {
				return who.User == ticketAccount && who.Kind == loginSPNEGO && strings.EqualFold(who.SPN, "host/"+caHost) && who.Level == dcerpc.LevelPrivacy
			}},
		{"ICertPassage over TCP", map[string]any{"protocols": []string{"rpc"}, "authority_name": c.ca.Name()}, false, ntlm},
		{"ICertPassage over the pipe", map[string]any{"protocols": []string{"pipe"}, "authority_name": c.ca.Name(), "server": dc.Host}, false, ntlm},
	}
}

// domain is the Active Directory domain of these tests, a real one, in which the
// CA's host and its callers have accounts.
func domain(t *testing.T) *testpeer.Samba {
	t.Helper()
	dc := testpeer.SharedSamba(t)
	joined.Do(func() {
		dc.AddUser(caAccount, caPassword)
		dc.AddUser(ticketAccount, caPassword)
		dc.AddComputer("CA1", "Comput3r-of-the-CA")
		joined.keytab = dc.Keytab("host/" + caHost)
	})
	return dc
}

// ticketAccount is who logs in by Kerberos.
const ticketAccount = "svc-tickets"

// joined is what the CA's host has of the domain.
var joined struct {
	sync.Once
	keytab []byte
}

// startInDomain starts a CA whose host belongs to the domain. It knows no password of
// ticketAccount, who cannot fall back to NTLM so.
func startInDomain(t *testing.T, dc *testpeer.Samba, cfg played.Config) *corp {
	t.Helper()
	cfg.Keytab, cfg.RequireMIC, cfg.RequireListMIC = joined.keytab, true, true
	cfg.Accounts = append(cfg.Accounts, played.Account{User: ticketAccount, Rights: played.Everybody | played.Officer | played.ManageCA})
	c := startCorp(t, cfg)
	c.dns.hosts[dc.Host] = dc.Address
	c.dns.services["_kerberos._tcp."+strings.ToLower(dc.Realm)] = server{dc.Host, 88}
	return c
}

// byTickets are settings to log in by Kerberos, with tickets of whatever KDC the DNS
// names.
func byTickets(dc *testpeer.Samba) map[string]any {
	return map[string]any{"protocols": []string{"dcom"}, "login": "kerberos", "user": ticketAccount, "realm": dc.Realm}
}

// TestADCSWays: a certificate's whole life at one CA with four templates, by every
// way there is to it.
func TestADCSWays(t *testing.T) {
	dc := domain(t)
	c := startInDomain(t, dc, played.Config{})
	c.ca.ServePipe(dc.Pipe("cert"))
	for _, way := range c.ways(dc) {
		t.Run(way.name, func(t *testing.T) {
			c.at(t).life(way)
		})
	}
}

// life is that of certificates of one authority.
func (c *corp) life(way adcsWay) {
	c.t.Helper()
	before := len(c.ca.Logons())
	a := c.authority(way.name, way.settings)
	server, manual, staff, agent := c.template(a, "WebServer"), c.template(a, "Manual"), c.template(a, "Staff"), c.template(a, "EnrollmentAgent")

	first := c.order(server, "ada")
	cert := c.certificate(first)
	c.names(cert, "ada")
	if row := c.caRow(first); row.Disposition != 20 || !row.Certificate.Equal(cert) || row.Template != "WebServer" {
		c.t.Errorf("the CA has %+v", row)
	}

	refused := c.order(staff, "ada")
	if refused.State != string(ra.Failed) || !strings.Contains(refused.Reason, "0x80094012 CERTSRV_E_TEMPLATE_DENIED") || !strings.Contains(refused.Reason, "Read and Enroll on the template") {
		c.t.Errorf("a template without the right: %s %s", refused.State, refused.Reason)
	}
	c.tells(refused, "may not enrol for this template", "Read and Enroll on the template")

	// A manager takes his time, then issues it.
	waits := c.order(manual, "bela")
	if waits.State != string(ra.PendingAtCA) {
		c.t.Fatalf("a request that a manager has to look at is %s: %s", waits.State, waits.LastError)
	}
	if again := c.retry(waits); again.State != string(ra.PendingAtCA) || again.LastError != "" {
		c.t.Errorf("it is %s by itself: %s", again.State, again.LastError)
	}
	if err := c.ca.Approve(c.caRow(waits).ID); err != nil {
		c.t.Fatal(err)
	}
	c.retry(waits)
	c.names(c.certificate(waits), "bela")
	denied := c.order(manual, "bela")
	if err := c.ca.Deny(c.caRow(denied).ID); err != nil {
		c.t.Fatal(err)
	}
	if denied = c.retry(denied); denied.State != string(ra.Failed) || !strings.Contains(denied.Reason, "manager") {
		c.t.Errorf("denied by a manager: %s %s", denied.State, denied.Reason)
	}
	c.names(c.certificate(c.order(agent, "ada")), "ada")

	// A successor has another key; the CA takes it for a new request.
	renewal, err := c.office.RenewCertificate(c.t.Context(), c.now(first).CertificateID, true)
	if err != nil {
		c.t.Fatal(err)
	}
	second := c.certificate(renewal)
	if cert.PublicKey.(*ecdsa.PublicKey).Equal(second.PublicKey) {
		c.t.Error("the renewal keeps the key")
	}
	if old := c.state(first); old.State != string(ra.Superseded) {
		c.t.Errorf("the one that was renewed is %s", old.State)
	}
	c.revokes(way, c.now(renewal).CertificateID, second)

	for _, who := range c.ca.Logons()[before:] {
		if !way.login(who) {
			c.t.Errorf("a login %+v", who)
		}
	}
}

// revokes revokes a certificate with a reason, puts another one on hold and takes
// it off; where the way cannot, it says so.
func (c *corp) revokes(way adcsWay, id string, cert *x509.Certificate) {
	c.t.Helper()
	if _, err := c.openssl(cert, "-crl_check", "-CRLfile", c.published()); err != nil {
		c.t.Errorf("before it is revoked: %v", err)
	}
	got, err := c.office.RevokeCertificate(c.t.Context(), id, resource.RevokeInput{Reason: "keyCompromise", Comment: "lost"})
	if !way.manages {
		if e := ra.AsError(err); e.Kind != ra.Invalid || e.Remedy == "" {
			c.t.Errorf("a way that cannot revoke: %v", err)
		}
		return
	}
	if err != nil || got.State != string(ra.Revoked) || got.Action != "" {
		c.t.Errorf("revoked: %+v, %v", got, err)
	}
	c.listed(cert, "Key Compromise")
	other := c.order(c.templateNamed(way.name+" WebServer"), "bela")
	held := c.certificate(other)
	otherID := c.now(other).CertificateID
	if _, err := c.office.HoldCertificate(c.t.Context(), otherID, ""); err != nil {
		c.t.Fatal(err)
	}
	c.listed(held, "Certificate Hold")
	if _, err := c.office.UnholdCertificate(c.t.Context(), otherID, ""); err != nil {
		c.t.Fatal(err)
	}
	if out, err := c.openssl(held, "-crl_check", "-CRLfile", c.published()); err != nil {
		c.t.Errorf("off hold: %v %s", err, out)
	}
}

// listed wants a certificate on the CA's CRL, as OpenSSL reads it.
func (c *corp) listed(cert *x509.Certificate, reason string) {
	c.t.Helper()
	file := c.published()
	if out, err := c.openssl(cert, "-crl_check", "-CRLfile", file); err == nil || !strings.Contains(string(out)+err.Error(), "revoked") {
		c.t.Errorf("openssl verify of one that is revoked: %v %s", err, out)
	}
	text, err := testpeer.OpenSSL(c.t, "", nil, "crl", "-in", file, "-noout", "-text")
	entry := regexp.MustCompile(`(?i)Serial Number: 0*` + cert.SerialNumber.Text(16) + `\n(?:.*\n)*?.*CRL Reason Code:\s+` + reason)
	if err != nil || !entry.Match(text) {
		c.t.Errorf("the list has no %q for %x: %v\n%s", reason, cert.SerialNumber, err, text)
	}
}

// tells wants the failure of a request in its trace.
func (c *corp) tells(r resource.Request, words ...string) resource.TraceLine {
	c.t.Helper()
	trace, err := c.office.Trace(c.t.Context(), r.ID)
	if err != nil || trace.Problem == nil {
		c.t.Fatalf("the trace of %s tells no problem: %+v, %v", r.ID, trace, err)
	}
	for _, w := range words {
		if !strings.Contains(trace.Problem.Message, w) {
			c.t.Errorf("the trace does not say %q: %s", w, trace.Problem.Message)
		}
	}
	return *trace.Problem
}

// state gives the certificate of a request.
func (c *corp) state(r resource.Request) resource.Certificate {
	c.t.Helper()
	got, err := c.office.Certificate(c.t.Context(), c.now(r).CertificateID)
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

func (c *corp) templateNamed(name string) resource.Template {
	c.t.Helper()
	list, err := c.office.Templates(c.t.Context(), resource.TemplateQuery{Text: name})
	i := slices.IndexFunc(list.Items, func(t resource.Template) bool { return t.Name == name })
	if err != nil || i < 0 {
		c.t.Fatalf("no template %s: %v", name, err)
	}
	return list.Items[i]
}
