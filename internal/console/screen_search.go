package console

import (
	"net/http"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// hit is one thing that was found.
type hit struct {
	Kind  string `json:"kind"`
	Title string `json:"title"`
	Note  string `json:"note,omitempty"`
	URL   string `json:"url"`
}

type searchView struct {
	Text string
	Hits []hit
	CLI  []string
}

var searchPage = view[searchView]("search")

// perKind is how many things of one kind a search shows.
const perKind = 6

func (v *visit) search() error {
	text := v.query("q")
	if to := objectLink(text); to.URL != "" {
		return v.redirect(to.URL)
	}
	hits, err := v.find(text)
	if err != nil {
		return err
	}
	return searchPage.show(v, http.StatusOK, searchView{Text: text, Hits: hits, CLI: []string{"chancery certificate list --text TEXT", "chancery device list --text TEXT"}})
}

func (v *visit) searchJSON() error {
	text := v.query("q")
	hits, err := v.find(text)
	if err != nil {
		return v.failJSON(err)
	}
	if to := objectLink(text); to.URL != "" {
		hits = append([]hit{{"ID", text, "", to.URL}}, hits...)
	}
	out := []hit{}
	lower := ra.Fold(text)
	for _, s := range v.menu() {
		for _, m := range s.Items {
			if strings.Contains(ra.Fold(m.Title), lower) {
				out = append(out, hit{"Page", m.Title, "", m.Path})
			}
		}
	}
	for _, a := range v.shortcuts() {
		if lower != "" && strings.Contains(ra.Fold(a.Title), lower) {
			out = append(out, a)
		}
	}
	return v.sendJSON(append(out, hits...))
}

// shortcuts are things to do that have a page of their own.
func (v *visit) shortcuts() []hit {
	var out []hit
	for _, s := range []struct{ title, path string }{
		{"Request a certificate", "/requests/new"}, {"Make a pass", "/passes/new"}, {"New template", "/templates/new"}, {"Add a device", "/devices/new"}, {"Import devices", "/devices/import"}, {"Add a user", "/users/new"},
		{"Import users", "/users/import"}, {"Add a group", "/groups/new"}, {"Open a SCEP endpoint", "/endpoints/new"}, {"Add an authority", "/authorities/new"}, {"Add an administrator", "/administrators/new"},
		{"Make an API token", "/tokens/new"}, {"Your profile", "/profile"},
	} {
		if r := v.routes["GET "+s.path]; r.needs == "" || v.mayAnywhere(r.needs) {
			out = append(out, hit{"Do", s.title, "", s.path})
		}
	}
	return out
}

// find looks for a text in everything that has a name.
func (v *visit) find(text string) ([]hit, error) {
	if text == "" {
		return nil, nil
	}
	few := store.Page{Limit: perKind}
	var out []hit
	certificates, _, err := v.Lifecycle.FindCertificates(v.ctx(), v.actor, store.CertificateFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, c := range certificates {
		out = append(out, hit{"Certificate", c.Subject, badgeOf(string(c.State)).Word, "/certificates/" + string(c.ID)})
	}
	devices, _, err := v.Inventory.FindDevices(v.ctx(), v.actor, store.DeviceFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		out = append(out, hit{"Device", d.Name, d.SerialNumber, "/devices/" + string(d.ID)})
	}
	users, _, err := v.Inventory.FindUsers(v.ctx(), v.actor, store.UserFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		out = append(out, hit{"User", u.Name, u.Email, "/users/" + string(u.ID)})
	}
	requests, _, err := v.Enroll.FindRequests(v.ctx(), v.actor, store.RequestFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		out = append(out, hit{"Request", r.Subject, badgeOf(string(r.State)).Word, "/requests/" + string(r.ID)})
	}
	f := store.PassSearch{Text: text}
	f.Page = few
	passes, _, err := v.Passes.Search(v.ctx(), v.actor, f)
	if err != nil {
		return nil, err
	}
	for _, p := range passes {
		out = append(out, hit{"Pass", p.Subject, badgeOf(string(p.State)).Word, passURL(p)})
	}
	more, err := v.findDefined(text, few)
	return append(out, more...), err
}

// findDefined looks among what administrators define.
func (v *visit) findDefined(text string, few store.Page) ([]hit, error) {
	var out []hit
	templates, _, err := v.Enroll.FindTemplates(v.ctx(), v.actor, store.TemplateFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, t := range templates {
		out = append(out, hit{"Template", t.Name, t.Description, "/templates/" + string(t.ID)})
	}
	endpoints, _, err := v.Enroll.FindEndpoints(v.ctx(), v.actor, store.EndpointFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		out = append(out, hit{"SCEP endpoint", e.Name, "", "/endpoints/" + string(e.ID)})
	}
	authorities, _, err := v.Authorities.Find(v.ctx(), v.actor, store.AuthorityFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, a := range authorities {
		out = append(out, hit{"Authority", a.Name, a.Description, "/authorities/" + string(a.ID)})
	}
	groups, _, err := v.Inventory.FindGroups(v.ctx(), v.actor, store.GroupFilter{Text: text, Page: few})
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		out = append(out, hit{"Group", g.Name, "", "/groups/" + string(g.ID)})
	}
	return out, nil
}
