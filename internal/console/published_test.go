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
	"chancery/internal/testpeer"
)

// TestWhereRevocationsAreFound: the page of an authority tells each address that
// its certificates name, with the state of what is found there.
func TestWhereRevocationsAreFound(t *testing.T) {
	w := newWorld(t)
	w.fill()
	ctx := context.Background()
	b := w.visit(w.owner)
	id := ra.AuthorityID(w.ids["authorities"])
	path := "/authorities/" + string(id)
	b.get(path).want(t, http.StatusOK, "Where revocations are found", w.url+"/ocsp", "All revocations", "Not made yet", ".cer")

	must(t, w.c.Lifecycle.PublishDue(ctx))
	all, err := w.c.Lifecycle.Published(ctx, system, id)
	must(t, err)
	complete := all[0].Lists[0]
	b.get(path).want(t, http.StatusOK, complete.Address, "Current", fmt.Sprint(complete.Number), complete.NextUpdate.UTC().Format("2006-01-02 15:04"), size(complete.Bytes))

	_, err = w.c.Lifecycle.Revoke(ctx, system, ra.CertificateID(w.ids["certificates"]), ra.KeyCompromise, "")
	must(t, err)
	b.get(path).want(t, http.StatusOK, "Changes wait")

	_, err = w.c.Authorities.Update(ctx, system, id, authority.Input{Settings: []byte(`{"crl_shards": 16}`)})
	must(t, err)
	must(t, w.c.Lifecycle.PublishDue(ctx))
	page := b.get(path).want(t, http.StatusOK, "17 lists", "Part 16 of 16", "-16-15.crl", "On demand", "Authority Example issuing CA defined.", "/audit?object="+string(id))
	if strings.Contains(page.body, "CRL published") || strings.Contains(b.get("/").body, "CRL published") {
		t.Error("what happened is hidden behind the lists that were made")
	}
	for _, f := range flaws(page.body) {
		t.Error(f)
	}

	// The server moves: what is issued from now on names the new address.
	_, err = w.c.Authorities.Update(ctx, system, id, authority.Input{Settings: []byte(`{"public_url": "http://pki.example.com"}`)})
	must(t, err)
	must(t, w.c.Lifecycle.PublishDue(ctx))
	b.get(path).want(t, http.StatusOK, "http://pki.example.com/ocsp", "http://pki.example.com/pki/", "earlier also")

	// Switched off, it still publishes.
	_, err = w.c.Authorities.Update(ctx, system, id, authority.Input{Disabled: p(true)})
	must(t, err)
	b.get(path).want(t, http.StatusOK, "Where revocations are found")

	made := b.done("/authorities/new?kind=scripted", url.Values{"name": {"Elsewhere"}, "group_id": {w.ids["groups"]}, "settings.server": {"https://ca.example.com"}, "settings.password": {"correct-horse-battery-staple"}})
	if strings.Contains(made.body, "Where revocations are found") {
		t.Error("the page tells addresses of what is published elsewhere")
	}
}

// TestRenewAuthority: an authority whose root is here gets a new signing
// certificate from its page; for one that is signed elsewhere the page says what
// to do instead.
func TestRenewAuthority(t *testing.T) {
	w := newWorld(t)
	w.fill()
	b := w.visit(w.owner)
	id := ra.AuthorityID(w.ids["authorities"])
	path := "/authorities/" + string(id)
	before, err := w.c.Authorities.Chain(context.Background(), id)
	must(t, err)
	b.get(path).want(t, http.StatusOK, `href="`+path+`/renew"`)
	b.get(path+"/renew").want(t, http.StatusOK, "Example issuing CA", "below its root")
	b.done(path+"/renew", nil).want(t, http.StatusOK, "The signing certificate is renewed.", "Lists of")
	after, err := w.c.Authorities.Chain(context.Background(), id)
	must(t, err)
	if after[0].Equal(before[0]) || !after[1].Equal(before[1]) {
		t.Errorf("the chain is %s, %s", after[0].SerialNumber, after[1].SerialNumber)
	}
	made := b.done("/authorities/new?kind=scripted", url.Values{"name": {"Elsewhere"}, "group_id": {w.ids["groups"]}, "settings.server": {"https://ca.example.com"}, "settings.password": {"correct-horse-battery-staple"}})
	if strings.Contains(made.body, "/renew") {
		t.Error("the page offers to renew what is not made here")
	}
	b.post(made.to+"/renew", nil).want(t, http.StatusUnprocessableEntity, "is not made here")
}

// TestHowToBackUp: the status page gives the command for the engine in use.
func TestHowToBackUp(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, name, database string) {
		w := newWorldOn(t, database)
		page, _, _ := strings.Cut(visible(w.visit(w.owner).get("/status").body), "On the command line")
		for part, want := range map[string]bool{"Backups": true, "chancery backup /var/backups": name == "sqlite", "pg_dump": name == "postgres"} {
			if strings.Contains(page, part) != want {
				t.Errorf("%q on the page: %v, want %v\n%s", part, !want, want, page)
			}
		}
	})
}

func TestSizeInWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1500: "1.5 kB", 4_200_000: "4.2 MB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
