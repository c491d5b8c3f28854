package console

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// importState is the import of an authority's certificates as people look at it.
type importState struct {
	*ra.CAImport
	Of      link
	Group   link
	Every   string // in words
	Adopted []adoption
	Open    int // differences that nobody has settled
	Last    *ra.CAImportRun
	MayEdit bool
}

// adoption is a template of the CA with the one here that renews its certificates.
type adoption struct {
	Name     string
	Template link
}

func importURL(id ra.AuthorityID) string { return "/authorities/" + string(id) + "/import" }

// Inventory leads to what was taken over.
func (s importState) Inventory() string {
	return "/certificates?authority=" + string(s.Authority) + "&imported=true"
}

// Differences leads to what is open.
func (s importState) Differences() string {
	return "/differences?authority=" + string(s.Authority) + "&open=true"
}

// Badge is how the import is doing.
func (s importState) Badge() string {
	switch {
	case s.Last != nil && underWay(s.Last):
		return string(s.Last.State)
	case s.Attempts > 0 || s.failed():
		return string(ra.ImportFailed)
	case s.EndedAt.IsZero():
		return "to come"
	}
	return string(ra.ImportDone)
}

// Why says why nothing was taken over lately.
func (s importState) Why() string {
	if s.LastError == "" && s.failed() {
		return s.Last.Message + " " + s.Last.Remedy
	}
	return s.LastError
}

func (s importState) failed() bool { return s.Last != nil && s.Last.State == ra.ImportFailed }

func underWay(r *ra.CAImportRun) bool {
	return r.State == ra.ImportWaiting || r.State == ra.ImportRunning
}

func everyWords(d time.Duration) string {
	if d == 0 {
		return "only when somebody asks"
	}
	return "every " + spanWords(d)
}

// Begins reports whether the schedule waits for the first run that went through.
func (s importState) Begins() bool { return s.CAImport.Every > 0 && s.EndedAt.IsZero() }

// importState gives the import of an authority; NotFound where none is set up.
func (v *visit) importState(a *ra.Authority) (*importState, error) {
	i, err := v.Imports.Get(v.ctx(), v.actor, a.ID)
	if err != nil {
		return nil, err
	}
	s := &importState{CAImport: i, Of: link{a.Name, "/authorities/" + string(a.ID)}, Group: v.groupLink(i.GroupID), Every: everyWords(i.Every), MayEdit: v.may(access.EditAuthorities, a.GroupID)}
	for _, name := range slices.Sorted(maps.Keys(i.Adopt)) {
		s.Adopted = append(s.Adopted, adoption{name, v.templateLink(i.Adopt[name])})
	}
	runs, _, err := v.Imports.Runs(v.ctx(), v.actor, a.ID, store.Page{Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(runs) > 0 {
		s.Last = runs[0]
	}
	s.Open, err = v.openDifferences(a.ID)
	return s, err
}

// lists refuses authorities whose records cannot be read.
func (v *visit) lists(a *ra.Authority) error {
	o, err := v.Authorities.Reach(v.ctx(), a.ID)
	if err != nil {
		return err
	}
	if _, ok := o.Connector.(ca.Lister); !ok {
		return ra.Errorf(ra.Invalid, "What %q issued to others cannot be read.", a.Name).WithRemedy("An import is for authorities that tell, such as a Microsoft CA that is reached over DCOM.")
	}
	return nil
}

// importCard is what an authority's page says about its import.
type importCard struct {
	*importState // nil: it is not set up
}

// IsSet reports whether the import is set up.
func (c importCard) IsSet() bool { return c.importState != nil }

// importOf gives the card; nil: there is nothing to say to this visitor.
func (v *visit) importOf(a *ra.Authority) (*importCard, error) {
	s, err := v.importState(a)
	switch {
	case err == nil:
		return &importCard{importState: s}, nil
	case ra.KindOf(err) == ra.NotFound && v.may(access.EditAuthorities, a.GroupID):
		return &importCard{}, nil
	case ra.KindOf(err) == ra.NotFound:
		return nil, nil // or the authority is lent from above
	}
	return nil, err
}

// importLine is a run in a list.
type importLine struct {
	*ra.CAImportRun
	Ended bool
}

type caImportView struct {
	*importState // nil: it is not set up
	Authority    *ra.Authority
	MayEdit      bool
	Runs         []importLine
	Pager        pager
	Found        []differenceLine // the newest that are open
	Trouble      *trouble
	CLI          []string
}

var caImportPage = view[caImportView]("ca_import")

func (d caImportView) refreshAfter() int {
	if d.IsSet() && d.Last != nil && underWay(d.Last) {
		return 3
	}
	return 0
}

// IsSet reports whether the import is set up.
func (d caImportView) IsSet() bool { return d.importState != nil }

func (v *visit) caImport() error { return v.showImport(nil) }

func (v *visit) showImport(wrong error) error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	data := caImportView{Authority: a, MayEdit: v.may(access.EditAuthorities, a.GroupID), Trouble: v.trouble(wrong),
		CLI: []string{"chancery authority import show " + string(a.ID), "chancery authority import preview " + string(a.ID), "chancery authority import runs " + string(a.ID)}}
	data.importState, err = v.importState(a)
	if ra.KindOf(err) == ra.NotFound {
		if err := v.lists(a); err != nil {
			return err
		}
		data.CLI = []string{"chancery authority import setup " + string(a.ID) + " --group GROUP"}
		return caImportPage.show(v, statusOf(wrong), data)
	}
	if err != nil {
		return err
	}
	runs, next, err := v.Imports.Runs(v.ctx(), v.actor, a.ID, store.Page{Limit: 15, After: v.query("after")})
	if err != nil {
		return err
	}
	for _, r := range runs {
		data.Runs = append(data.Runs, importLine{r, !underWay(r)})
	}
	data.Pager = v.pager(next, len(runs))
	found, _, err := v.Imports.Differences(v.ctx(), v.actor, store.DifferenceFilter{Authority: a.ID, Open: new(true), Page: store.Page{Limit: 5}})
	if err != nil {
		return err
	}
	data.Found = v.differenceLines(found)
	return caImportPage.show(v, statusOf(wrong), data)
}

func (v *visit) previewImport() error {
	run, err := v.Imports.Import(v.ctx(), v.actor, id[ra.AuthorityID](v), caimport.Order{Preview: true})
	if err != nil {
		return v.showImport(err)
	}
	return v.redirect("/imports/" + string(run.ID))
}

// importOrderForm is what somebody may say about a run.
type importOrderForm struct{ Full bool }

// Describe names the fields.
func (f *importOrderForm) Describe(s *setting.Form) {
	s.Bool(&f.Full, "full", "Read everything again").Help("Not only what changed since the last run.")
}

func (v *visit) orderImportPage() error { return v.askTakeOver(nil) }

// askTakeOver says what a run will do, by the newest preview, before it is ordered.
func (v *visit) askTakeOver(wrong error) error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	i, err := v.Imports.Get(v.ctx(), v.actor, a.ID)
	if err != nil {
		return err
	}
	runs, _, err := v.Imports.Runs(v.ctx(), v.actor, a.ID, store.Page{Limit: 20})
	if err != nil {
		return err
	}
	at := slices.IndexFunc(runs, func(r *ra.CAImportRun) bool {
		return r.Preview && r.State == ra.ImportDone && !r.CreatedAt.Before(i.UpdatedAt)
	})
	var effect []string
	switch {
	case at >= 0:
		p := runs[at]
		effect = append(effect, fmt.Sprintf("The preview of %s: %s would come in, %s of them of a known user or device; %s would be skipped.",
			p.EndedAt.UTC().Format("2006-01-02 15:04")+" UTC", plural(p.Added, "certificate"), count(p.Matched), count(p.Skipped)))
	case i.EndedAt.IsZero():
		effect = append(effect, "Nobody has previewed this. A preview tells what would come in, and keeps nothing.")
	}
	effect = append(effect, "What is of no known user or device goes to "+v.groupLink(i.GroupID).Title+".", "The end of each is watched from then on, and people are told in time.")
	for _, name := range slices.Sorted(maps.Keys(i.Adopt)) {
		effect = append(effect, fmt.Sprintf("Those of %s are renewed by the template %s.", name, v.templateLink(i.Adopt[name]).Title))
	}
	effect = append(effect, "Nothing changes at the authority.")
	var fields setting.Describer
	if !i.EndedAt.IsZero() {
		fields = &importOrderForm{}
	}
	return v.confirm(confirmView{Title: "Take certificates over", About: a.Name, Effect: effect, Form: form{Submit: "Take them over", Cancel: importURL(a.ID)},
		CLI: []string{"chancery authority import run " + string(a.ID)}}, fields, nil, wrong)
}

func (v *visit) orderImport() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	run, err := v.Imports.Import(v.ctx(), v.actor, id[ra.AuthorityID](v), caimport.Order{Full: isOn(posted.Get("full"))})
	if err != nil {
		return v.askTakeOver(err)
	}
	return v.redirect("/imports/" + string(run.ID))
}

func (v *visit) removeImportPage() error { return v.askRemoveImport(nil) }

func (v *visit) askRemoveImport(wrong error) error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	i, err := v.Imports.Get(v.ctx(), v.actor, a.ID)
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Remove the import", About: a.Name,
		Effect: []string{fmt.Sprintf("What was taken over stays in the inventory: %s.", plural(i.Imported, "certificate")), "What the authority issues or revokes by itself from now on is not noticed here."},
		Form:   form{Cancel: importURL(a.ID), Danger: true}, CLI: []string{"chancery authority import remove " + string(a.ID)}}, nil, nil, wrong)
}

func (v *visit) removeImport() error {
	a, err := v.loadAuthority()
	if err != nil {
		return err
	}
	if err := v.Imports.Remove(v.ctx(), v.actor, a.ID); err != nil {
		return v.askRemoveImport(err)
	}
	return v.done("/authorities/"+string(a.ID), "The import is removed. What was taken over stays.")
}
