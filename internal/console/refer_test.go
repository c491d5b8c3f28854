package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chancery/internal/ca/scep"
)

// TestReferredAreChosen: a setting that holds the ID of another authority is a choice
// of those that there are, itself left out.
func TestReferredAreChosen(t *testing.T) {
	w := newWorld(t)
	w.fill()
	w.c.Authorities.Kinds = append(w.c.Authorities.Kinds, scep.Kind())
	b := w.visit(w.owner)
	form := "/authorities/new?kind=scep"
	page := b.get(form)
	if !strings.Contains(page.body, `name="settings.revoke_through"`) || !strings.Contains(page.body, `<option value="`+w.ids["authorities"]+`"`) {
		t.Errorf("nothing to choose from: %d\n%s", page.status, visible(page.body))
	}
	values := url.Values{"name": {"Old CA"}, "group_id": {w.ids["groups"]}, "settings.url": {"https://scep.example.test/scep"}, "settings.challenge_type": {"none"}, "settings.revoke_through": {w.ids["authorities"]}}
	made := b.done(form, values)
	page = b.get(made.to+"/edit").want(t, http.StatusOK, `<option value="`+w.ids["authorities"]+`" selected`)
	if strings.Contains(page.body, `<option value="`+strings.TrimPrefix(made.to, "/authorities/")+`"`) {
		t.Error("an authority may revoke through itself")
	}
	in := input{Value: "gone"}
	in.among([]option{{Value: "there"}})
	if len(in.Options) != 3 || !in.Options[2].Selected || in.Options[2].Value != "gone" {
		t.Errorf("what is not there any more: %+v", in.Options)
	}
}
