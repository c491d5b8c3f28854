package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// fillImport sets the import of the Microsoft CA up, with a run that has ended and a
// difference.
func (w *world) fillImport(group ra.GroupID) {
	w.t.Helper()
	id := ra.AuthorityID(w.ids["guard"])
	_, err := w.c.Imports.Set(context.Background(), system, id, caimport.Input{GroupID: &group})
	must(w.t, err)
	w.ids["differences"] = string(w.storeDifference(ra.Difference{GroupID: group, Kind: ra.DiffNotOurs, Subject: "CN=mallory,O=Example Works", Requester: `CORP\svc-chancery`}))
	w.ids["imports"] = string(w.storeRun(ra.CAImportRun{State: ra.ImportDone, Preview: true, Full: true, Read: 1250, Known: 300, Added: 940, Skipped: 10, Changed: 7, Matched: 800, Strange: 1, Message: "940 certificates would come in.",
		Templates: []ra.CAImportTemplate{{Name: "Mobile", Read: 1000, Added: 800, Matched: 780}, {Name: "VPN", Read: 240, Added: 140, Matched: 20}, {Read: 10}},
		Problems:  []ra.CAImportProblem{{Number: 12, Serial: "0f1e", Message: "The certificate cannot be read.", Remedy: "Look at request 12 at the authority."}}}))
}

// storeDifference stores a difference about the certificate of the first organization
// at the Microsoft CA.
func (w *world) storeDifference(d ra.Difference) ra.DifferenceID {
	w.t.Helper()
	must(w.t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		d.ID, d.Authority, d.Certificate = ra.NewID[ra.DifferenceID](ra.DifferencePrefix, tx.Now), ra.AuthorityID(w.ids["guard"]), ra.CertificateID(w.ids["certificates"])
		d.Number, d.Serial, d.Template = 4711, "1a2b3c", "Mobile"
		return tx.CreateDifference(&d)
	}))
	return d.ID
}

// storeRun stores a run of the Microsoft CA as it is said to be.
func (w *world) storeRun(r ra.CAImportRun) ra.CAImportRunID {
	w.t.Helper()
	w.set(w.clock().Add(time.Second))
	must(w.t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		r.ID, r.Authority, r.By, r.StartedAt = ra.NewID[ra.CAImportRunID](ra.CAImportRunPrefix, tx.Now), ra.AuthorityID(w.ids["guard"]), ra.Actor{Kind: ra.ActorAdmin, ID: string(w.owner.ID), Name: "Olga Owner"}, tx.Now
		if r.State != ra.ImportWaiting && r.State != ra.ImportRunning {
			r.EndedAt = tx.Now
		}
		return tx.CreateCAImportRun(&r)
	}))
	return r.ID
}

func holds(t *testing.T, what, body string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(visible(body), word) {
			t.Errorf("%s: %q is not there\n%s", what, word, visible(body))
		}
	}
}

// TestSetUpImport: the page of an authority whose records can be read invites to an
// import, which is set up in a form that says what is wrong beside the field, then
// previewed, and cancelled.
func TestSetUpImport(t *testing.T) {
	w := newWorld(t)
	w.fill()
	group := ra.GroupID(w.ids["groups"])
	a, err := w.c.Authorities.Create(context.Background(), system, "adcs", authority.Input{GroupID: &group, Name: p("Second CA"),
		Settings: []byte(`{"server": "ca2.corp.example.com", "authority_name": "SECOND-CA", "user": "CORP\\svc-chancery", "password": "of the account"}`)})
	must(t, err)
	at := "/authorities/" + string(a.ID)
	ours := w.template(group, a.ID, "Second devices", ra.TemplateSpec{IssuingTemplate: "Laptop", Subject: "CN={DeviceUid}", KeyType: "rsa-2048", KeyPlace: ra.KeyOnDevice})
	b := w.visit(w.owner)
	holds(t, "the authority", b.get(at).body, "Certificates it issued without Chancery", "Set up the import")
	holds(t, "the import", b.get(at+"/import").body, "Set up the import", "chancery authority import setup")
	viewer := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	if page := viewer.get(at).body; strings.Contains(page, "Set up the import") {
		t.Error("a viewer is asked to set it up")
	}
	if page := b.get("/authorities/" + w.ids["authorities"]); strings.Contains(page.body, "issued without Chancery") {
		t.Error("the embedded authority is said to have records of others")
	}
	if a := b.get("/authorities/" + w.ids["authorities"] + "/import/setup"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("the form of an authority that tells nothing: %d", a.status)
	}

	form := b.get(at + "/import/setup").body
	holds(t, "the form", form, "Group for the rest", "Those that have not ended", "Only when somebody asks", "Another template of the authority", "Second devices")
	if strings.Contains(form, "Another Company") {
		t.Error("a group is offered that the authority is not of")
	}
	fields := url.Values{"group_id": {string(group)}, "scope": {"all"}, "every": {"6h0m0s"}, "adopt_name": {"Laptop"}}
	half := b.post(at+"/import/setup", fields)
	holds(t, "half a line", half.body, "Nothing adopts this template.")
	if half.status != http.StatusUnprocessableEntity || !strings.Contains(half.body, `value="Laptop"`) || !strings.Contains(half.body, `href="#f-adopt_template"`) {
		t.Errorf("half a line: %d\n%s", half.status, half.body)
	}
	fields.Set("adopt_template", w.ids["templates"]) // of another authority
	holds(t, "somebody else's template", b.post(at+"/import/setup", fields).body, "no template of the authority")
	fields.Set("adopt_template", string(ours.ID))
	holds(t, "set up", b.done(at+"/import/setup", fields).body, "Preview it next", "all certificates, ended ones too", "every 6 hours, once a run has gone through", "Laptop", "Second devices", "Nothing was taken over yet")
	again := b.get(at + "/import/setup").body
	if !strings.Contains(again, `name="adopt.Laptop"`) || !strings.Contains(again, `<option value="`+string(ours.ID)+`" selected>`) || !strings.Contains(again, `<option value="6h0m0s" selected>`) {
		t.Errorf("the form does not show what is set\n%s", again)
	}
	b.done(at+"/import/setup", url.Values{"group_id": {string(group)}, "scope": {"current"}, "every": {""}, "adopt.Laptop": {""}})
	i, err := w.c.Imports.Get(context.Background(), system, a.ID)
	must(t, err)
	if i.Scope != ra.ImportCurrent || i.Every != 0 || len(i.Adopt) != 0 {
		t.Errorf("changed to %+v", i)
	}

	page := b.done(at+"/import/preview", nil)
	holds(t, "the preview", page.body, "What would be taken over", "A server begins soon", "Cancel", "chancery authority import cancel")
	if !strings.Contains(page.body, `data-refresh="2"`) || !strings.Contains(page.body, "<progress") {
		t.Error("the page does not follow the run")
	}
	holds(t, "another one meanwhile", b.post(at+"/import/preview", nil).body, "under way")
	holds(t, "the import meanwhile", b.get(at+"/import").body, "Follow the run")
	cancelled := b.done(page.to+"/cancel", nil)
	holds(t, "cancelled", cancelled.body, "Cancelled. What was taken over so far stays.", "It was cancelled by")
	if strings.Contains(cancelled.body, "data-refresh") || strings.Contains(cancelled.body, "<progress") {
		t.Error("a run that has ended is followed")
	}
	holds(t, "the question", b.get(at+"/import/remove").body, "What was taken over stays in the inventory: 0 certificates.")
	holds(t, "taken away", b.done(at+"/import/remove", nil).body, "The import is removed", "Set up the import")
}

// TestImportRuns: the page of a run adds up, shows each template of the authority and
// what was skipped; a preview leads to the question, which repeats what it found.
func TestImportRuns(t *testing.T) {
	w := newWorld(t)
	w.fill()
	at := "/authorities/" + w.ids["guard"] + "/import"
	b := w.visit(w.owner)
	page := b.get("/imports/" + w.ids["imports"]).body
	holds(t, "the preview", page, "What would be taken over", "940 certificates would come in.", "Read1,250Known before300Would be new940Skipped10", "800 of a known user or device", "7 brought up to date",
		"Mobile1,000800780", "without a template", "The certificate cannot be read. Look at request 12", "9 more were skipped.", "Take them over…", "everything; keeps nothing")
	for _, want := range []string{`<rect class="known" x="0" y="0" width="60"`, `<rect class="calm" x="60" y="0" width="234"`, `x="294" y="0" width="6"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the picture lacks %s\n%s", want, page)
		}
	}
	ask := b.get(at + "/run").body
	holds(t, "the question", ask, "940 certificates would come in, 800 of them of a known user or device; 10 would be skipped.", "goes to Example Works", "Nothing changes at the authority.")
	w.set(w.clock().Add(time.Second))
	run := b.done(at+"/run", url.Values{})
	holds(t, "the run", run.body, "Certificates taken over", "A server begins soon")
	id := ra.CAImportRunID(strings.TrimPrefix(run.to, "/imports/"))
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		r, err := tx.CAImportRun(id)
		if err != nil {
			return err
		}
		if r.Preview || r.By.ID != string(w.owner.ID) {
			t.Errorf("ordered was %+v", r)
		}
		r.State, r.Phase, r.Read, r.Added = ra.ImportRunning, "Reading the records", 512, 500
		return tx.UpdateCAImportRun(r)
	}))
	holds(t, "under way", b.get(run.to).body, "Reading the records. It goes on when you leave this page", "Read512", "New500")
	holds(t, "the import", b.get(at).body, "Follow the run", "preview", "1,250")
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		r, err := tx.CAImportRun(id)
		if err != nil {
			return err
		}
		r.State, r.Message, r.Remedy, r.EndedAt = ra.ImportFailed, "The authority does not answer.", "Check the way to it.", tx.Now
		return tx.UpdateCAImportRun(r)
	}))
	holds(t, "failed", b.get(run.to).body, "Failed", "The authority does not answer.", "Check the way to it.")
	for range 16 {
		w.storeRun(ra.CAImportRun{State: ra.ImportDone, Message: "Nothing new."})
	}
	first := b.get(at).body
	next := between(first, `rel="next" href="`, `"`)
	if strings.Count(first, `href="/imports/`) != 15 || strings.Count(b.get(strings.ReplaceAll(next, "&amp;", "&")).body, `href="/imports/`) != 3 {
		t.Errorf("the pages of the runs: %d on the first, next %q", strings.Count(first, `href="/imports/`), next)
	}
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		i, err := tx.CAImport(ra.AuthorityID(w.ids["guard"]))
		if err != nil {
			return err
		}
		i.EndedAt, i.Every, i.Obligation = tx.Now, 6*time.Hour, ra.Obligation{Action: ra.ActionImport, At: tx.Now.Add(6 * time.Hour), Attempts: 1, LastError: "The authority does not answer."}
		return tx.MoveCAImport(i)
	}))
	holds(t, "what waits", b.get(at).body, "The authority does not answer.", "the next one is due in 6 hours")
	if waits := b.get("/obligations?action=import").body; !strings.Contains(waits, `href="`+at+`"`) || !strings.Contains(visible(waits), "Take certificates over") {
		t.Errorf("what waits does not lead to the import\n%s", visible(waits))
	}
	if log := b.get("/audit?code=ca_import").body; !strings.Contains(log, `href="`+run.to+`"`) {
		t.Errorf("the audit log does not lead to the run\n%s", visible(log))
	}
	viewer := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	for _, path := range []string{at, "/imports/" + w.ids["imports"], "/imports/" + string(id)} {
		if a := viewer.get(path); a.status != http.StatusOK || strings.Contains(visible(a.body), "Take") && strings.Contains(a.body, at+"/run") || strings.Contains(a.body, "/cancel") {
			t.Errorf("a viewer sees %d at %s\n%s", a.status, path, visible(a.body))
		}
	}
}

func between(text, before, after string) string {
	_, rest, _ := strings.Cut(text, before)
	found, _, _ := strings.Cut(rest, after)
	return found
}

// TestDifferences: what differs stands in the menu with its number, says what it
// means and what to do, leads to the certificate, and is settled with a comment.
func TestDifferences(t *testing.T) {
	w := newWorld(t)
	w.fill()
	at := "/differences/" + w.ids["differences"]
	title, meaning, remedy := caimport.Words(ra.DiffNotOurs)
	b := w.visit(w.owner)
	list := b.get("/differences")
	holds(t, "the list", list.body, title, "CN=mallory", "Not settled", `CORP\svc-chancery`, "Corp CA")
	if !strings.Contains(list.body, `title="1 difference not settled">1</span>`) {
		t.Error("the menu does not say how many there are")
	}
	holds(t, "the authority", b.get("/authorities/"+w.ids["guard"]).body, "1 not settled")
	holds(t, "the import", b.get("/authorities/"+w.ids["guard"]+"/import").body, title, "All 1 that are not settled")
	for query, found := range map[string]bool{"?open=true": true, "?open=false": false, "?kind=not_ours": true, "?kind=ended": false, "?q=mallory": true, "?q=nobody": false,
		"?authority=" + w.ids["guard"]: true, "?authority=" + w.ids["authorities"]: false, "?sort=created": true} {
		if got := strings.Contains(b.get("/differences"+query).body, at); got != found {
			t.Errorf("%s finds it: %v", query, got)
		}
	}
	if file := b.get("/differences.csv?open=true"); !strings.Contains(file.body, "not_ours,not settled,Corp CA,4711,1a2b3c,\"CN=mallory,O=Example Works\"") {
		t.Errorf("the file says\n%s", file.body)
	}

	page := b.get(at)
	holds(t, "the page", page.body, title, meaning, remedy, "4711", "Revoke the certificate", "Settle…")
	if !strings.Contains(page.body, `href="/certificates/`+w.ids["certificates"]+`/revoke"`) || !strings.Contains(page.body, `href="/certificates/`+w.ids["certificates"]+`"`) {
		t.Error("the page does not lead to the certificate")
	}
	viewer := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	if a := viewer.get(at); a.status != http.StatusOK || strings.Contains(a.body, "Settle") || strings.Contains(a.body, "Revoke the") {
		t.Errorf("a viewer sees %d\n%s", a.status, visible(a.body))
	}
	if a := viewer.post(at+"/settle", url.Values{"comment": {"because"}}); a.status != http.StatusForbidden {
		t.Errorf("a viewer settles: %d", a.status)
	}
	holds(t, "the question", b.get(at+"/settle").body, "nobody is told of it again", "Why it is known")
	if a := b.post(at+"/settle", url.Values{"comment": {" "}}); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "aria-invalid") {
		t.Errorf("without a comment: %d\n%s", a.status, visible(a.body))
	}
	settled := b.done(at+"/settle", url.Values{"comment": {"Issued by hand while the server was down."}})
	holds(t, "settled", settled.body, "The difference is settled.", "Issued by hand while the server was down.", "Settled")
	if strings.Contains(settled.body, "/settle\"") || strings.Contains(settled.body, `class="waits"`) {
		t.Error("what is settled is still open")
	}
	holds(t, "nothing open", b.get("/differences?open=true").body, "No difference matches")
	foreign := w.visit(w.admin("boris", ra.Grant{Role: ra.RoleOwner, Group: w.foreign}))
	holds(t, "another company", foreign.get("/differences").body, "No difference is known")
}

// TestImportedCertificate: its page says where it is from, and the inventory tells
// the two apart.
func TestImportedCertificate(t *testing.T) {
	w := newWorld(t)
	w.fill()
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		return tx.CreateImported(&ra.ImportedFrom{Certificate: ra.CertificateID(w.ids["certificates"]), Authority: ra.AuthorityID(w.ids["guard"]), Run: ra.CAImportRunID(w.ids["imports"]), Number: 4711,
			Requester: `CORP\ada`, Template: "Mobile"})
	}))
	b := w.visit(w.owner)
	at := "/certificates/" + w.ids["certificates"]
	page := b.get(at).body
	holds(t, "the page", page, `where it is request 4711, asked for by CORP\ada, by the template Mobile there. Taken over`, "Without Chancery", "Imported")
	if !strings.Contains(page, `href="/imports/`+w.ids["imports"]+`"`) {
		t.Error("the page does not lead to the run")
	}
	for query, found := range map[string]bool{"": true, "?imported=true": true, "?imported=false": false} {
		if got := strings.Contains(b.get("/certificates"+query).body, `"`+at+`"`); got != found {
			t.Errorf("%q finds it: %v", query, got)
		}
		if got := strings.Contains(b.get("/certificates.csv"+query).body, w.ids["certificates"]); got != found {
			t.Errorf("the file of %q has it: %v", query, got)
		}
	}
	bulk := b.post("/certificates/revoke", url.Values{"which": {"all"}, "filter": {"imported=true"}}).body
	if !strings.Contains(bulk, w.ids["certificates"]) {
		t.Errorf("all that is imported cannot be revoked at once\n%s", visible(bulk))
	}
	if words := (&visit{}).filterWords(store.CertificateFilter{Imported: new(true)}); words != "imported" {
		t.Errorf("the filter reads %q", fmt.Sprint(words))
	}
}
