package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestHeldRun: whoever may edit the directory sees why nobody was disabled, and
// confirms the number in a second step; others only read it.
func TestHeldRun(t *testing.T) {
	w := newWorld(t)
	w.fill()
	at := "/syncs/" + w.ids["syncs"]
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		run, err := tx.Sync(ra.SyncID(w.ids["syncs"]))
		if err != nil {
			return err
		}
		run.State, run.Total, run.Disable, run.Message, run.Remedy = ra.SyncHeld, 60, 40, "40 of 100 users would be disabled.", "Check the base."
		run.Problems = []ra.SyncProblem{{User: "grace", Message: "email: This is not a mail address.", Remedy: "Correct it in the directory."}}
		run.Notes = []string{"Everybody is read."}
		return tx.UpdateSync(run)
	}))
	b := w.visit(w.owner)
	page := b.get(at)
	for _, want := range []string{"40 of 100 users would be disabled.", "Check the base.", "grace", "Everybody is read.", "It is meant"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("%q is not on the page of the run\n%s", want, visible(page.body))
		}
	}
	if ask := b.get(at + "/confirm"); !strings.Contains(ask.body, "disable up to 40") || !strings.Contains(ask.body, "--allow 40") {
		t.Errorf("the question is\n%s", visible(ask.body))
	}
	viewer := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer}))
	if page := viewer.get(at); page.status != http.StatusOK || strings.Contains(page.body, "It is meant") {
		t.Errorf("a viewer sees %d\n%s", page.status, visible(page.body))
	}
	if a := viewer.post(at+"/confirm", url.Values{}); a.status != http.StatusForbidden {
		t.Errorf("a viewer confirms: %d", a.status)
	}
	b.post(at+"/confirm", url.Values{})
	runs, _, err := w.c.Directories.Runs(context.Background(), system, ra.DirectoryID(w.ids["directories"]), store.Page{})
	must(t, err)
	if !slices.ContainsFunc(runs, func(r *ra.Sync) bool {
		return r.Allow == 40 && r.State == ra.SyncWaiting && r.By.ID == string(w.owner.ID)
	}) {
		t.Errorf("no run of %d was ordered by the owner", len(runs))
	}

	// The preview and the run of a directory lead to the page of a run.
	for action, preview := range map[string]bool{"/preview": true, "/sync": false} {
		a := b.get(b.post("/directories/"+w.ids["directories"]+action, url.Values{}).header.Get("Location"))
		if !strings.Contains(a.body, "A server begins soon") {
			t.Errorf("%s leads to %d\n%s", action, a.status, visible(a.body))
		}
		if got := strings.Contains(a.body, "What would be taken over"); got != preview {
			t.Errorf("%s: preview is %v", action, got)
		}
	}
	if page := b.get("/directories/" + w.ids["directories"]); !strings.Contains(page.body, "does not answer") {
		t.Errorf("the page of the directory does not say why\n%s", visible(page.body))
	}
}

// TestPublishedCertificate: the page of a certificate tells how it stands with
// its user's directory entry, and what waits leads there.
func TestPublishedCertificate(t *testing.T) {
	w := newWorld(t)
	w.fill()
	must(t, w.c.DB.Write(context.Background(), func(tx *store.Tx) error {
		u, err := tx.User(ra.UserID(w.ids["users"]))
		if err != nil {
			return err
		}
		u.Directory, u.ObjectGUID = ra.DirectoryID(w.ids["directories"]), strings.Repeat("ab", 16)
		return tx.UpdateUser(u)
	}))
	published := w.template(ra.GroupID(w.ids["groups"]), ra.AuthorityID(w.ids["authorities"]), "Published", ra.TemplateSpec{Subject: "CN={EnrollmentUser}", KeyType: "p-256",
		KeyPlace: ra.KeyHere, Usage: "encryption", Validity: 30, Publish: ra.PublishSpec{Certificate: true}})
	c := w.submit(system, enroll.Ask{Template: published.ID, User: ra.UserID(w.ids["users"])}).CertificateID
	b := w.visit(w.owner)
	if page := visible(b.get("/certificates/" + string(c)).body); !strings.Contains(page, "corp.example.com does not have it. Next: Publish in the directory") {
		t.Errorf("the page of the certificate says\n%s", page)
	}
	waiting := b.get("/obligations?action=publish")
	if !strings.Contains(waiting.body, `href="/certificates/`+string(c)+`"`) {
		t.Errorf("what waits does not lead to the certificate\n%s", visible(waiting.body))
	}
	if page := visible(b.get("/users/" + w.ids["users"]).body); !strings.Contains(page, "Comes fromcorp.example.com") {
		t.Errorf("the page of the user says\n%s", page)
	}
	if waiting := b.get("/obligations?action=sync"); !strings.Contains(waiting.body, `href="/directories/`+w.ids["directories"]+`"`) {
		t.Errorf("what waits does not lead to the directory\n%s", visible(waiting.body))
	}
}
