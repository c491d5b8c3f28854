package app

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/api/resource"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
)

// agentOf gets an enrollment agent's certificate from the CA, with a key made here,
// and hands it to the authority as an administrator does: in a file.
func (c *corp) agentOf(a resource.Authority, of string) resource.Certificate {
	c.t.Helper()
	issued := c.order(c.template(a, of), "ada")
	c.certificate(issued)
	row := c.state(issued)
	file, err := c.office.TakeKey(c.t.Context(), row.ID, resource.KeyInput{})
	if err != nil {
		c.t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"agent": "file", "agent_file": base64.StdEncoding.EncodeToString(file.PKCS12), "agent_password": file.Password})
	if err == nil {
		_, err = c.office.UpdateAuthority(c.t.Context(), a.ID, resource.AuthorityInput{Settings: raw})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return row
}

// onBehalf has a template ask on behalf of its users. The names are the directory's.
func onBehalf(requester string) func(*ra.TemplateSpec) {
	return func(s *ra.TemplateSpec) {
		s.Options = map[string]any{"requester_name": requester}
		s.SANs, s.SID = nil, false
	}
}

// TestADCSOnBehalf: an enrollment agent's signature gets users certificates that say
// what the CA's directory says of them, and nobody else's.
func TestADCSOnBehalf(t *testing.T) {
	c := startCorp(t, played.Config{
		Templates:    []played.Template{{Name: "BriefAgent", NameFlags: played.SuppliesSubject, EKU: []string{played.AgentPolicy}, Validity: time.Hour}},
		Restrictions: []played.AgentRestriction{{Agent: "ada", Template: "MobileUser", Targets: []string{"ada", "bela"}}},
	})
	a := c.authority("Corp CA", nil)
	mobile := c.template(a, "MobileUser", onBehalf(`CORP\{EnrollmentUser}`))
	if r := c.order(mobile, "bela"); r.State != string(ra.Failed) || !strings.Contains(r.Reason, "no enrollment agent") {
		t.Errorf("without an agent: %s %s", r.State, r.Reason)
	}
	agent := c.agentOf(a, "EnrollmentAgent")

	for user, sid := range map[string]string{"ada": "S-1-5-21-1-2-3-1104", "bela": "S-1-5-21-1-2-3-1105"} {
		r := c.order(mobile, user)
		cert := c.certificate(r)
		row := c.caRow(r)
		if row.Requester != `CORP\`+user || row.Caller != `CORP\`+caAccount || row.Template != "MobileUser" {
			t.Errorf("the CA has it that %s asked for %s", row.Caller, row.Requester)
		}
		if cn, upn, got := says(t, cert); cn != user || upn != user+"@corp.example" || got != sid {
			t.Errorf("the certificate says %q, %q, %q", cn, upn, got)
		}
		// A renewal is on behalf of the same user.
		renewal, err := c.office.RenewCertificate(t.Context(), c.now(r).CertificateID, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, upn, _ := says(t, c.certificate(renewal)); upn != user+"@corp.example" || c.caRow(renewal).Requester != `CORP\`+user {
			t.Errorf("the renewal is %q's", upn)
		}
	}
	if r := c.order(mobile, "chen"); r.State != string(ra.Failed) || !strings.Contains(r.Reason, "0x80070525") { // whom the CA's directory does not know
		t.Errorf("somebody unknown: %s %s", r.State, r.Reason)
	}
	c.ca.Account(played.Account{User: "chen", UPN: "chen@corp.example", SID: "S-1-5-21-1-2-3-1106"})
	if r := c.order(mobile, "chen"); r.State != string(ra.Failed) || !strings.Contains(r.Reason, "0x80094009 CERTSRV_E_RESTRICTEDOFFICER") {
		t.Errorf("somebody the agent may not ask for: %s %s", r.State, r.Reason)
	}

	// What a device says of itself names nobody.
	for _, requester := range []string{`CORP\{DeviceReportedName}`, `CORP\{EnrollmentUser}{DeviceSerialNumber}`, `CORP\Administrator`} {
		in := c.templateInput(a, "MobileUser", onBehalf(requester))
		name := "Bad"
		in.Name = &name
		_, err := c.office.CreateTemplate(t.Context(), in)
		if e := ra.AsError(err); e.Kind != ra.Invalid || !strings.Contains(e.Error()+e.Field, "options.requester_name") || !strings.Contains(e.Error(), "user") && !strings.Contains(e.Error(), "same for everybody") {
			t.Errorf("%s: %v", requester, err)
		}
		if _, err := c.office.UpdateTemplate(t.Context(), mobile.ID, resource.TemplateInput{Spec: in.Spec}); ra.KindOf(err) != ra.Invalid {
			t.Errorf("%s in a template that exists: %v", requester, err)
		}
	}

	// The agent's certificate is one that waits for its end like any other.
	waiting, err := c.office.Obligations(t.Context(), resource.ObligationQuery{Authority: a.ID})
	if err != nil || !slices.ContainsFunc(waiting.Items, func(w resource.Waiting) bool {
		return w.ID == agent.ID && !w.At.IsZero() && w.At.Before(agent.NotAfter)
	}) {
		t.Errorf("nobody waits for the end of %s: %+v, %v", agent.ID, waiting.Items, err)
	}
	danger := func() bool {
		t.Helper()
		if _, err := c.office.TestAuthority(t.Context(), a.ID); err != nil { // the guard looks daily, and whenever the connection is tested
			t.Fatal(err)
		}
		mend, err := c.office.Obligations(t.Context(), resource.ObligationQuery{Authority: a.ID, Action: string(ra.ActionMend)})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(mend.Items, func(w resource.Waiting) bool {
			return w.Kind == "danger" && strings.Contains(w.LastError, "enrollment agent's certificate")
		})
	}
	if danger() {
		t.Error("an agent that is good for a year is a danger")
	}
	c.agentOf(a, "BriefAgent")
	if !danger() {
		t.Error("nobody is told of an agent that ends soon")
	}
	before := len(c.ca.Requests())
	c.certificate(c.order(mobile, "ada"))
	c.clock.skip(61 * time.Minute)
	if r := c.order(mobile, "ada"); r.State != string(ra.Failed) || !strings.Contains(r.Reason, "not now") || !strings.Contains(r.Reason, "Request a new one") {
		t.Errorf("with an agent that has expired: %s %s", r.State, r.Reason)
	}
	if n := len(c.ca.Requests()) - before; n != 1 {
		t.Errorf("the CA has heard of %d requests since then", n)
	}
	report, err := c.office.TestAuthority(t.Context(), a.ID)
	if i := slices.IndexFunc(report.Steps, func(s resource.Step) bool { return s.Name == "enrollment agent" }); err != nil || report.OK || i < 0 || report.Steps[i].State != "failed" || report.Steps[i].Remedy == "" {
		t.Errorf("the connection: %+v, %v", report, err)
	}
}
