package console

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"chancery/internal/lifecycle"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestRevocationsAreListed: the list of revocations of many says how it gets
// its first, then what each is about and how far it has come, and leads there.
func TestRevocationsAreListed(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	b := w.visit(w.owner)
	empty := b.get("/revocations").want(t, http.StatusOK, "Nobody has revoked many at once", "Revoke all that match…", `href="/certificates"`)
	if strings.Contains(empty.body, "data-refresh") {
		t.Error("an empty list is looked at again and again")
	}
	w.fill()
	id := store.BulkID(w.ids["revocations"])
	waiting := b.get("/revocations").want(t, http.StatusOK, `href="/revocations/`+string(id)+`"`, "1 certificate", "device ada-laptop", "Under way", "0 of 1", "superseded", `aria-label="0 of 1 looked at"`)
	if !strings.Contains(waiting.body, `data-refresh="3"`) {
		t.Error("the list does not follow what is under way")
	}
	b.get("/revocations/"+string(id)).want(t, http.StatusOK, `href="/revocations"`, "device ada-laptop", "1 certificate to go")
	must(t, w.c.Lifecycle.WorkBulk(ctx, lifecycle.BulkJob{Bulk: id}))
	done := b.get("/revocations").want(t, http.StatusOK, "Done", "1 of 1")
	if strings.Contains(done.body, "data-refresh") || strings.Contains(done.body, "<progress") {
		t.Error("what has ended still moves")
	}
	b.get("/certificates").want(t, http.StatusOK, `<li><a href="/revocations"`)
	b.get("/audit").want(t, http.StatusOK, `href="/revocations/`+string(id)+`"`)

	// Whoever may revoke in one organization sees what they ordered themselves.
	otto := w.visit(w.admin("otto", ra.Grant{Role: ra.RoleOperator, Group: ra.GroupID(w.ids["groups"])}))
	if a := otto.get("/revocations").want(t, http.StatusOK, "Nobody has revoked many at once"); strings.Contains(a.body, string(id)) {
		t.Error("somebody else's revocation is listed")
	}
	if a := w.visit(w.admin("vera", ra.Grant{Role: ra.RoleViewer})).get("/certificates"); strings.Contains(a.body, `href="/revocations"`) {
		t.Error("the menu offers a viewer what is refused")
	}
}

// TestFilterInWords: a filter is told as people would tell it.
func TestFilterInWords(t *testing.T) {
	w := newWorld(t)
	w.fill()
	v := &visit{site: w.site, r: &http.Request{}, actor: system}
	in := []ra.CertificateState{ra.Valid, ra.Superseded, ra.OnHold}
	for want, f := range map[string]store.CertificateFilter{
		"everything in use":                               {States: in},
		"matching “ada”, on hold or valid":                {Text: "ada", States: []ra.CertificateState{ra.Valid, ra.OnHold}},
		"template User VPN, authority Example issuing CA": {States: in, Template: ra.TemplateID(w.ids["templates"]), Authority: ra.AuthorityID(w.ids["authorities"])},
		"user ada, ending after 2030-01-02 03:04, ending before 2031-01-02 03:04": {States: in, User: ra.UserID(w.ids["users"]),
			ExpiresAfter: time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC), ExpiresBefore: time.Date(2031, 1, 2, 3, 4, 0, 0, time.UTC)},
		"serial 0a1b, one key": {States: in, Serial: "0a1b", SPKIHash: "ff"},
	} {
		if got := v.filterWords(f); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
