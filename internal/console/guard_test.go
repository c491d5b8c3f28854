package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chancery/internal/authority"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// fillGuard makes a Microsoft CA with what a guard has found of it.
func (w *world) fillGuard(group ra.GroupID, directory ra.DirectoryID) {
	w.t.Helper()
	ctx := context.Background()
	a, err := w.c.Authorities.Create(ctx, system, "adcs", authority.Input{GroupID: &group, Name: p("Corp CA"),
		Settings: fmt.Appendf(nil, `{"server": "ca1.corp.example.com", "authority_name": "CORP-CA", "user": "CORP\\svc-chancery", "password": "of the account", "directory": %q}`, directory)})
	must(w.t, err)
	users := []ra.Principal{{SID: "S-1-5-21-1004336348-1177238915-682003330-513", Name: `CORP\Domain Users`}}
	findings := []ra.Finding{
		{Condition: "ESC1", Key: "ESC1:template:mobile", State: ra.FindingFound, Severity: ra.SeverityDanger, Object: "Mobile", Template: "Mobile", Who: users, Hash: "one", Remedy: "Give Enroll to our account alone, or have a manager approve each request.",
			Sentence: `The issuing template Mobile takes the name from the request and its certificates log on, and CORP\Domain Users may enrol: any of them can log on as anybody, administrators included.`,
			Script:   "# Template Mobile: who may enrol. Run as an enterprise administrator.\n$object = [ADSI]'LDAP://<GUID=0f0e>'\n"},
		{Condition: "ESC1", Key: "ESC1:template:vpn", State: ra.FindingFound, Severity: ra.SeverityAdvice, Object: "VPN", Template: "VPN", Sentence: `The issuing template VPN takes the name from the request and its certificates log on. Only our account CORP\svc-chancery may enrol: this is how a registration authority works.`,
			Remedy: "Keep it so: a dedicated account, Enroll for it alone, and a password that only this server knows."},
		{Condition: "ESC2", Key: "ESC2", State: ra.FindingNotFound, Sentence: "Not found: an issuing template for any purpose that everybody may use."},
		{Condition: "ESC6", Key: "ESC6:authority:corp-ca", State: ra.FindingFound, Severity: ra.SeverityDanger, Object: "CORP-CA", Authority: true, Hash: "two", Remedy: "Clear the bit.",
			Sentence: "The authority CORP-CA has EDITF_ATTRIBUTESUBJECTALTNAME2: whoever may enrol from any template that logs on can do so as anybody."},
		{Condition: "ESC8", Key: "ESC8:unread:https://ca1.corp.example.com", State: ra.FindingUnreadable, Object: "https://ca1.corp.example.com", Sentence: "https://ca1.corp.example.com could not be judged: Its TLS certificate is not trusted, so nothing was asked.", Remedy: "Enter the certificates above the authority in its settings."},
		{Condition: "ESC9", Key: "ESC9:template:old", State: ra.FindingFound, Severity: ra.SeverityWarning, Object: "Old", Template: "Old", Sentence: "The issuing template Old leaves the SID out of certificates that log on.", Remedy: "Clear the flag CT_FLAG_NO_SECURITY_EXTENSION of the template."},
		{Condition: "ESC12", Key: "ESC12", State: ra.FindingUnseen, Object: "CORP-CA", Sentence: "Whether somebody with a shell on the authority can use its key cannot be seen from here.", Remedy: "Let administrators of the domain alone log on to the authority's machine."},
	}
	must(w.t, w.c.DB.Write(ctx, func(tx *store.Tx) error {
		for i, f := range findings {
			if !f.Dangerous() {
				continue
			}
			d := &ra.Danger{ID: ra.NewID[ra.DangerID](ra.DangerPrefix, tx.Now), AuthorityID: a.ID, Finding: f, Seen: tx.Now,
				Obligation: ra.Obligation{Action: ra.ActionMend, At: tx.Now, Deadline: tx.Now.AddDate(0, 0, 7), LastError: f.Sentence}}
			if f.Authority {
				d.SignOff, d.Obligation = ra.SignOff{Hash: f.Hash, By: "Olga Owner", Why: "The domain controllers enforce strong mapping.\nReviewed in May.", At: tx.Now}, ra.Obligation{}
			}
			if err := tx.CreateDanger(d); err != nil {
				return err
			}
			if i == 0 {
				w.ids["dangers"] = string(d.ID)
			}
		}
		return tx.PutPosture(&ra.Posture{ID: a.ID, Version: a.UpdatedAt, Evaluated: tx.Now, Obligation: ra.Obligation{Action: ra.ActionEvaluate, At: tx.Now.AddDate(0, 0, 1)},
			Report: ra.PostureReport{Directory: directory, Account: `CORP\svc-chancery`, By: "chancery", ReadAt: tx.Now, Findings: findings, Templates: []ra.IssuingTemplate{
				{Name: "Archive", Title: "Mail with key archival", Issued: true, Enroll: "yes", Impossible: []string{"The private key is archived at the authority, and the key never leaves the device here."}, Requires: []string{"The key is 2048 bits or more."}},
				{Name: "Mobile", Title: "Mobile devices", Issued: true, Enroll: "yes", Requires: []string{"Subject and alternative names are supplied in the request.", "The key is 2048 bits or more."}},
				{Name: "VPN", Title: "VPN", Issued: true, Enroll: "no", Requires: []string{"Subject and alternative names are supplied in the request.", "A certificate manager approves each request; until then it is pending."}},
				{Name: "Old", Title: "Old", Enroll: "yes"}}}})
	}))
	w.ids["guard"] = string(a.ID)
}

// TestGuard: the page says what is open and how to mend it; who may edit the
// authority signs off with a reason, others only read; the choice of a template
// says what it requires and bars what is dangerous.
func TestGuard(t *testing.T) {
	w := newWorld(t)
	w.fill()
	at, danger := "/authorities/"+w.ids["guard"]+"/guard", "/dangers/"+w.ids["dangers"]
	b := w.visit(w.owner)
	has := func(what, body string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(visible(body), word) {
				t.Errorf("%s: %q is not there\n%s", what, word, visible(body))
			}
		}
	}
	page := b.get(at)
	has("the page", page.body, "1 danger open", "1 signed off", `CORP\Domain Users`, "Give Enroll to our account alone", "Script for an administrator", "Olga Owner", "Looked for and not found (1)", "Sign off…", "Least rights", "could not be judged")
	if i, j := strings.Index(page.body, "any of them can log on as anybody"), strings.Index(page.body, "EDITF_ATTRIBUTESUBJECTALTNAME2"); i < 0 || j < i {
		t.Error("what is open is not on top")
	}
	has("the authority", b.get("/authorities/"+w.ids["guard"]).body, "Guard", "1 open")
	waits := b.get("/obligations?action=mend").body
	has("what waits", waits, "ESC1 Mobile", "Mend it, or sign it off")
	if !strings.Contains(waits, `href="`+danger+`/show"`) {
		t.Error("the obligation does not lead to the danger")
	}
	if a := b.get(danger + "/show"); a.header.Get("Location") != at+"#"+w.ids["dangers"] {
		t.Errorf("the danger leads to %q", a.header.Get("Location"))
	}
	viewer := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	if page := viewer.get(at); page.status != http.StatusOK || strings.Contains(page.body, "Sign off") || strings.Contains(page.body, "Look now") {
		t.Errorf("a viewer sees %d\n%s", page.status, visible(page.body))
	}
	if a := viewer.post(danger+"/sign-off", url.Values{"hash": {"one"}, "why": {"because I may not"}}); a.status != http.StatusForbidden {
		t.Errorf("a viewer signs off: %d", a.status)
	}

	form := "/templates/new"
	choose := url.Values{"authority_id": {w.ids["guard"]}, "group_id": {w.ids["groups"]}, "do": {"authority"}}
	picker := b.post(form, choose)
	has("the choice", picker.body, "Mobile devices", "ESC1: The issuing template Mobile", "key is archived", "A certificate manager approves each request", `CORP\svc-chancery may not enrol from it yet.`)
	if !strings.Contains(picker.body, `value="Mobile" disabled`) || strings.Contains(picker.body, `value="VPN" disabled`) || strings.Contains(picker.body, `value="Old"`) {
		t.Errorf("what can be chosen\n%s", picker.body)
	}

	has("without a reason", b.post(danger+"/sign-off", url.Values{"hash": {"one"}, "why": {"no"}}).body, "A sign-off needs a reason")
	has("what was seen has changed", b.post(danger+"/sign-off", url.Values{"hash": {"none"}, "why": {"The network is closed."}}).body, "has changed since you looked")
	ask := b.get(danger + "/sign-off").body
	has("the question", ask, "You answer for it as "+w.owner.Name, "Templates may use Mobile from then on")
	if !strings.Contains(ask, `name="hash" value="one"`) {
		t.Error("the question does not say what was seen")
	}
	if a := b.post(danger+"/sign-off", url.Values{"hash": {"one"}, "why": {"The network is closed."}}); a.status != http.StatusSeeOther {
		t.Errorf("signed off: %d\n%s", a.status, visible(a.body))
	}
	has("signed off", b.get(at).body, "Nothing dangerous that could be seen is open, 2 signed off", "The network is closed.")
	if picker := b.post(form, choose); strings.Contains(picker.body, `value="Mobile" disabled`) {
		t.Error("what was signed off cannot be chosen")
	}
	if a := b.post(danger+"/reopen", nil); a.status != http.StatusSeeOther {
		t.Errorf("taken back: %d", a.status)
	}
	has("taken back", b.get(at).body, "1 danger open")

	// A look that reaches nobody keeps what is known; without a directory the page
	// leads to one.
	b.post(at, nil)
	has("nobody answered", b.get(at).body, "could not see everything", "1 danger open", "whether it is still there")
	_, err := w.c.Authorities.Update(context.Background(), system, ra.AuthorityID(w.ids["guard"]), authority.Input{Settings: []byte(`{"directory": ""}`)})
	must(t, err)
	has("no directory", b.get(at).body, "No directory is set", "Set the directory")
	if form := b.get("/authorities/" + w.ids["guard"] + "/edit").body; !strings.Contains(form, `<option value="`+w.ids["directories"]+`">corp.example.com</option>`) {
		t.Error("the directory cannot be chosen")
	}
}
