package console

import (
	"net/url"

	"chancery/internal/ra"
	"chancery/internal/setting"
)

// definition is a kind of thing that people define besides authorities: a name, a
// group, and settings that describe themselves. Its form to add and to change one
// is the same for all of them.
type definition struct {
	noun         string // in a sentence: "directory"
	list         link   // all of them
	group        string // what the group means
	off          string // what switching it off means
	add, update  string // on the command line; update ends before the ID
	added, saved string // what is said afterwards
	settings     func() setting.Describer
	load         func(*visit) (*defined, error)
	create       func(*visit, *definedForm, []byte) (id string, err error)
	change       func(*visit, string, *definedForm, []byte) error
}

// defined is one thing that was defined.
type defined struct {
	ID       string
	Form     definedForm
	Settings []byte // as they are stored
}

// definedForm is what it is besides its settings.
type definedForm struct {
	Name, Description, Group string
	Disabled                 bool

	of    *definition
	known bool
}

// Describe names the fields.
func (f *definedForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Text(&f.Description, "description", "Description").MaxLength(1000)
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups").Help(f.of.group)
	if f.known {
		s.Bool(&f.Disabled, "disabled", "Switched off").Help(f.of.off)
	}
}

// settingsOf reads stored settings; what cannot be read any more is its default.
func (v *visit) settingsOf(settings setting.Describer, stored []byte, id string) setting.Describer {
	setting.Defaults(settings)
	if stored == nil {
		return settings
	}
	if err := setting.Load(settings, stored); err != nil {
		v.Log.Warn("settings cannot all be read", "of", id, "error", err)
	}
	return settings
}

// show shows the form of one that is there, or of a new one when d is nil.
func (k *definition) show(v *visit, f *definedForm, d *defined, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	at, set := k.list.URL, map[string]bool{}
	data := editView{Title: "Add a " + k.noun, Crumb: k.list, Form: form{Action: v.r.URL.RequestURI(), Submit: "Add the " + k.noun}, CLI: []string{k.add}}
	settings := k.settings()
	if d != nil {
		at += "/" + d.ID
		v.settingsOf(settings, d.Settings, d.ID)
		set = setSecrets(d.Settings)
		data.Title, data.Crumb, data.Form.Submit, data.CLI = "Edit "+d.Form.Name, link{d.Form.Name, at}, "Save", []string{k.update + " " + d.ID + " --name NAME"}
	} else {
		setting.Defaults(settings)
		if f.Group == "" && len(groups) > 0 {
			f.Group = groups[0].Value
		}
	}
	known := fieldNames(f)
	for name := range fieldNames(settings) {
		known["settings."+name] = true
	}
	p := v.sort(wrong, known)
	data.Form.Cancel, data.Form.Problem = at, p.summary
	data.Form.Sets = append(draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups}}),
		draw(settings, drawing{prefix: "settings.", values: posted, bad: p.byField, set: set})...)
	return editPage.show(v, statusOf(wrong), data)
}

func (k *definition) newPage(v *visit) error {
	return k.show(v, &definedForm{of: k}, nil, nil, nil)
}

func (k *definition) makeNew(v *visit) error { return k.take(v, &definedForm{of: k}, nil) }

func (k *definition) editPage(v *visit) error {
	d, err := k.load(v)
	if err != nil {
		return err
	}
	f := d.Form
	f.of, f.known = k, true
	return k.show(v, &f, d, nil, nil)
}

func (k *definition) edit(v *visit) error {
	d, err := k.load(v)
	if err != nil {
		return err
	}
	f := d.Form
	f.of, f.known = k, true
	return k.take(v, &f, d)
}

// take takes a posted form; nothing that was typed is lost when it is refused.
func (k *definition) take(v *visit, f *definedForm, d *defined) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return k.show(v, f, d, posted, err)
	}
	settings := settingsJSON(k.settings(), posted, "settings.")
	if d == nil {
		id, err := k.create(v, f, settings)
		if err != nil {
			return k.show(v, f, nil, posted, err)
		}
		return v.done(k.list.URL+"/"+id, k.added)
	}
	if err := k.change(v, d.ID, f, settings); err != nil {
		return k.show(v, f, d, posted, err)
	}
	return v.done(k.list.URL+"/"+d.ID, k.saved)
}

func (f *definedForm) group() *ra.GroupID { return (*ra.GroupID)(&f.Group) }
