package console

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"chancery/internal/caimport"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// caImportForm is how an import is set up, without the templates that are adopted.
type caImportForm struct{ Group, Scope, Every string }

// Describe names the fields.
func (f *caImportForm) Describe(s *setting.Form) {
	s.Choice(&f.Group, "group_id", "Group for the rest").Required().Lookup("groups").Help("A certificate goes to the group of its user or device. One of nobody known goes here.")
	s.Choice(&f.Scope, "scope", "Which certificates").Required().Options(setting.Option{Value: string(ra.ImportCurrent), Label: "Those that have not ended"}, setting.Option{Value: string(ra.ImportAll), Label: "All, ended ones too"}).
		Help("Revoked ones come in as revoked.")
	s.Choice(&f.Every, "every", "Take changes over").Lookup("spans").Help("What the authority issued, revoked or released by itself since the last run. It begins when a run that you ordered went through.")
}

// importSpans are how often changes are taken over.
var importSpans = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// spanOptions offers the usual spans, and the present one.
func spanOptions(present string) []option {
	var out []option
	if d, err := time.ParseDuration(present); err == nil && d > 0 && !slices.Contains(importSpans, d) {
		out = append(out, option{Value: present, Label: "Every " + spanWords(d)})
	}
	for _, d := range importSpans {
		out = append(out, option{Value: d.String(), Label: "Every " + spanWords(d)})
	}
	return out
}

// The names of the inputs about templates that are adopted.
const (
	adoptPrefix   = "adopt."
	adoptName     = "adopt_name" // one that is not listed
	adoptTemplate = "adopt_template"
)

// adopted reads which of the CA's templates are adopted by which of ours.
func adopted(posted url.Values) (map[string]ra.TemplateID, error) {
	out := map[string]ra.TemplateID{}
	for name := range posted {
		if of, ok := strings.CutPrefix(name, adoptPrefix); ok && posted.Get(name) != "" {
			out[of] = ra.TemplateID(posted.Get(name))
		}
	}
	name, t := strings.TrimSpace(posted.Get(adoptName)), posted.Get(adoptTemplate)
	switch {
	case name != "" && t == "":
		return nil, ra.Errorf(ra.Invalid, "Nothing adopts this template.").WithField(adoptTemplate).WithRemedy("Choose the template that renews its certificates, or leave the name empty.")
	case name == "" && t != "":
		return nil, ra.Errorf(ra.Invalid, "Which template of the authority is adopted is not said.").WithField(adoptName).WithRemedy("Write its name as the authority has it.")
	case name != "":
		out[name] = ra.TemplateID(t)
	}
	return out, nil
}

// adoptable lists the templates of the authority by name: those that it offers,
// those that runs have met, and those that are adopted.
func (v *visit) adoptable(a *ra.Authority, i *ra.CAImport) ([]option, error) {
	titles := map[string]string{}
	for _, o := range v.issuingTemplates(a.ID) {
		titles[o.Value] = o.Label
	}
	if i != nil {
		runs, _, err := v.Imports.Runs(v.ctx(), v.actor, a.ID, store.Page{Limit: 10})
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			for _, t := range r.Templates {
				if titles[t.Name] == "" && t.Name != "" {
					titles[t.Name] = t.Name
				}
			}
		}
		for name := range i.Adopt {
			if titles[name] == "" {
				titles[name] = name
			}
		}
	}
	var out []option
	for _, name := range slices.Sorted(maps.Keys(titles)) {
		out = append(out, option{Value: name, Label: titles[name]})
	}
	return out, nil
}

// adoptSet draws a line for each of the CA's templates, and one for any other.
func (v *visit) adoptSet(a *ra.Authority, i *ra.CAImport, posted url.Values, known map[string]bool) (func(problems) fieldset, error) {
	names, err := v.adoptable(a, i)
	if err != nil {
		return nil, err
	}
	ours, err := v.templateOptions(func(t *ra.Template) bool { return t.AuthorityID == a.ID && t.Spec.KeyPlace == ra.KeyOnDevice })
	if err != nil {
		return nil, err
	}
	for _, o := range names {
		known[adoptPrefix+o.Value] = true
	}
	known[adoptName], known[adoptTemplate] = true, true
	return func(p problems) fieldset {
		set := fieldset{Title: "Templates of the authority", Help: "Of each certificate the end is watched. One whose template is adopted is, besides, renewed by a template here when its device asks for it, as if it had been issued here."}
		one := func(name, label, value, none string) input {
			in := input{ID: inputID(name), Name: name, Label: label, Kind: "choice", Value: value, Options: []option{{Label: none, Selected: value == ""}}, Problem: p.byField[name]}
			found := value == ""
			for _, o := range ours {
				o.Selected = o.Value == value
				found = found || o.Selected
				in.Options = append(in.Options, o)
			}
			if !found {
				in.Options = append(in.Options, option{Value: value, Label: v.templateLink(ra.TemplateID(value)).Title, Selected: true})
			}
			return in
		}
		for _, o := range names {
			value := posted.Get(adoptPrefix + o.Value)
			if posted == nil && i != nil {
				value = string(i.Adopt[o.Value])
			}
			label := o.Label
			if o.Label != o.Value {
				label += " (" + o.Value + ")"
			}
			set.Inputs = append(set.Inputs, one(adoptPrefix+o.Value, label, value, "Only watch the end"))
		}
		other := []input{{ID: inputID(adoptName), Name: adoptName, Label: "Another template of the authority", Kind: "text", MaxLength: 200, Value: posted.Get(adoptName), Problem: p.byField[adoptName],
			Help: "As the authority calls it, for one that it does not offer any more."}, one(adoptTemplate, "Adopted by", posted.Get(adoptTemplate), "None")}
		if len(names) == 0 || other[0].Problem != nil || other[1].Problem != nil || other[0].Value != "" {
			set.Inputs = append(set.Inputs, other...)
		} else {
			set.Advanced = other
		}
		if len(ours) == 0 {
			set.Help += " No template here is for this authority and for keys of devices yet, so none can be adopted."
		}
		return set
	}, nil
}

func (v *visit) setupImportPage() error {
	a, i, err := v.loadImport()
	if err != nil {
		return err
	}
	f := &caImportForm{Group: string(a.GroupID), Scope: string(ra.ImportCurrent), Every: time.Hour.String()}
	if i == nil {
		if err := v.lists(a); err != nil {
			return err
		}
	} else {
		f = &caImportForm{string(i.GroupID), string(i.Scope), ""}
		if i.Every > 0 {
			f.Every = i.Every.String()
		}
	}
	return v.showImportForm(a, i, f, nil, nil)
}

// loadImport gives the authority of the address, and its import unless none is set
// up.
func (v *visit) loadImport() (*ra.Authority, *ra.CAImport, error) {
	a, err := v.loadAuthority()
	if err != nil {
		return nil, nil, err
	}
	i, err := v.Imports.Get(v.ctx(), v.actor, a.ID)
	if ra.KindOf(err) == ra.NotFound {
		return a, nil, nil
	}
	return a, i, err
}

func (v *visit) showImportForm(a *ra.Authority, i *ra.CAImport, f *caImportForm, posted url.Values, wrong error) error {
	groups, err := v.groupsBelow(a.GroupID)
	if err != nil {
		return err
	}
	known := fieldNames(f)
	adopt, err := v.adoptSet(a, i, posted, known)
	if err != nil {
		return err
	}
	p := v.sort(wrong, known)
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups, "every": spanOptions(f.Every)}, change: func(in *input) {
		if in.Name == "every" {
			in.Options[0].Label = "Only when somebody asks"
		}
	}})
	data := editView{Title: "Set up the import", Crumb: link{a.Name, "/authorities/" + string(a.ID)},
		Form: form{Action: v.r.URL.RequestURI(), Sets: append(sets, adopt(p)), Problem: p.summary, Submit: "Set it up", Cancel: "/authorities/" + string(a.ID)},
		CLI:  []string{"chancery authority import setup " + string(a.ID) + " --group GROUP --every 1h --adopt CA-TEMPLATE=TEMPLATE"}}
	if i != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Change the import", link{"Import", importURL(a.ID)}, "Save", importURL(a.ID)
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (v *visit) setupImport() error {
	a, i, err := v.loadImport()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &caImportForm{}
	wrong := setting.FromForm(f, posted)
	in := caimport.Input{GroupID: (*ra.GroupID)(&f.Group), Scope: (*ra.ImportScope)(&f.Scope), Every: new(time.Duration(0))}
	if wrong == nil {
		in.Adopt, wrong = adopted(posted)
	}
	if wrong == nil && f.Every != "" {
		if *in.Every, err = time.ParseDuration(f.Every); err != nil {
			wrong = ra.Errorf(ra.Invalid, "This is not a time span.").WithField("every").WithRemedy("Choose one.").WithCause(err)
		}
	}
	if i != nil {
		in.Seen = i.UpdatedAt
	}
	if wrong == nil {
		_, wrong = v.Imports.Set(v.ctx(), v.actor, a.ID, in)
	}
	if wrong != nil {
		return v.showImportForm(a, i, f, posted, wrong)
	}
	if i != nil {
		return v.done(importURL(a.ID), "Saved.")
	}
	return v.done(importURL(a.ID), "The import is set up. Preview it next: that keeps nothing.")
}
