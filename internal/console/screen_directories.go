package console

import (
	"fmt"
	"net/http"
	"net/url"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/directory"
	"chancery/internal/dirpolicy"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

type directoryLine struct {
	*ra.Directory
	Group link
	State *ra.DirectoryState
	Badge string
}

type directoriesView struct {
	Lines   []directoryLine
	Filter  filter
	Pager   pager
	MayEdit bool
	CLI     []string
}

type directoryView struct {
	directoryLine
	Settings []previewLine
	Steps    []ca.Step
	Runs     []syncLine
	Busy     bool
	Trouble  *trouble
	Events   []*ra.AuditEntry
	MayEdit  bool
	MayAudit bool
	CLI      []string
}

var (
	directoriesPage = view[directoriesView]("directories")
	directoryPage   = view[directoryView]("directory")
)

func (d directoryView) refreshAfter() int {
	if d.Busy {
		return 3
	}
	return 0
}

// directoryBadge tells how a directory is doing, as far as that is known without
// asking it.
func directoryBadge(d *ra.Directory, s *ra.DirectoryState) string {
	switch {
	case d.Disabled:
		return "disabled"
	case s.Attempts > 0:
		return string(ca.StepFailed)
	case s.SyncedAt.IsZero():
		return string(ra.SyncWaiting)
	}
	return string(ca.StepOK)
}

func (v *visit) directories() error {
	list, next, err := v.Directories.Find(v.ctx(), v.actor, store.DirectoryFilter{Text: v.query("q"), Page: v.page()})
	if err != nil {
		return err
	}
	data := directoriesView{Filter: v.filter("Name"), Pager: v.pager(next, len(list)), MayEdit: v.mayAnywhere(access.EditAuthorities), CLI: []string{"chancery directory list"}}
	for _, d := range list {
		_, state, err := v.Directories.Get(v.ctx(), v.actor, d.ID)
		if err != nil {
			return err
		}
		data.Lines = append(data.Lines, directoryLine{d, v.groupLink(d.GroupID), state, directoryBadge(d, state)})
	}
	return directoriesPage.show(v, http.StatusOK, data)
}

func (v *visit) directory() error { return v.showDirectory(nil, nil) }

// showDirectory shows the page, with what a test just gave.
func (v *visit) showDirectory(steps []ca.Step, wrong error) error {
	d, state, err := v.Directories.Get(v.ctx(), v.actor, id[ra.DirectoryID](v))
	if err != nil {
		return err
	}
	data := directoryView{directoryLine: directoryLine{d, v.groupLink(d.GroupID), state, directoryBadge(d, state)}, Steps: steps, Trouble: v.trouble(wrong),
		MayEdit: v.may(access.EditAuthorities, d.GroupID), MayAudit: v.mayAnywhere(access.SeeAudit),
		CLI: []string{"chancery directory show " + string(d.ID), "chancery directory test " + string(d.ID), "chancery directory sync " + string(d.ID) + " --preview"}}
	settings := &dirpolicy.Settings{}
	setting.Defaults(settings)
	if err := setting.Load(settings, d.Settings); err != nil {
		v.Log.Warn("settings cannot all be read", "directory", d.ID, "error", err)
	}
	data.Settings = settingLines(settings, setSecrets(d.Settings))
	runs, _, err := v.Directories.Runs(v.ctx(), v.actor, d.ID, store.Page{Limit: 15})
	if err != nil {
		return err
	}
	for _, r := range runs {
		data.Runs = append(data.Runs, syncLineOf(r))
		data.Busy = data.Busy || !data.Runs[len(data.Runs)-1].Ended
	}
	events, err := v.Audit.About(v.ctx(), string(d.ID), 20)
	if err != nil {
		return err
	}
	data.Events = events
	return directoryPage.show(v, statusOf(wrong), data)
}

func (v *visit) testDirectory() error {
	var steps []ca.Step
	err := v.Directories.Test(v.ctx(), v.actor, id[ra.DirectoryID](v), func(s ca.Step) { steps = append(steps, s) })
	return v.showDirectory(steps, err)
}

// directoryForm is what a directory is besides its settings.
type directoryForm struct {
	Name, Description, Group string
	Disabled, known          bool
}

// Describe names the fields.
func (f *directoryForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Text(&f.Description, "description", "Description").MaxLength(1000)
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups").Help("Its users belong there. One that is moved to a group below stays there.")
	if f.known {
		s.Bool(&f.Disabled, "disabled", "Switched off").Help("Nothing is asked of it; what waits to be published stays waiting.")
	}
}

func (f *directoryForm) input(posted url.Values) directory.Input {
	return directory.Input{GroupID: (*ra.GroupID)(&f.Group), Name: &f.Name, Description: &f.Description, Disabled: &f.Disabled, Settings: settingsJSON(&dirpolicy.Settings{}, posted, "settings.")}
}

func (v *visit) showDirectoryForm(f *directoryForm, d *ra.Directory, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	settings := &dirpolicy.Settings{}
	setting.Defaults(settings)
	set := map[string]bool{}
	if d != nil {
		if err := setting.Load(settings, d.Settings); err != nil {
			v.Log.Warn("settings cannot all be read", "directory", d.ID, "error", err)
		}
		set = setSecrets(d.Settings)
	} else if f.Group == "" && len(groups) > 0 {
		f.Group = groups[0].Value
	}
	known := fieldNames(f)
	for name := range fieldNames(settings) {
		known["settings."+name] = true
	}
	p := v.sort(wrong, known)
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups}})
	sets = append(sets, draw(settings, drawing{prefix: "settings.", values: posted, bad: p.byField, set: set})...)
	data := editView{Title: "Add a directory", Crumb: link{"Directories", "/directories"}, Form: form{Action: v.r.URL.RequestURI(), Sets: sets, Problem: p.summary, Submit: "Add the directory", Cancel: "/directories"},
		CLI: []string{"chancery directory add --name NAME --group GROUP --servers HOST --user USER --password-file FILE"}}
	if d != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+d.Name, link{d.Name, "/directories/" + string(d.ID)}, "Save", "/directories/"+string(d.ID)
		data.CLI = []string{"chancery directory update " + string(d.ID) + " --name NAME"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (v *visit) newDirectoryPage() error {
	return v.showDirectoryForm(&directoryForm{}, nil, nil, nil)
}

func (v *visit) newDirectory() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &directoryForm{}
	if err := setting.FromForm(f, posted); err != nil {
		return v.showDirectoryForm(f, nil, posted, err)
	}
	d, err := v.Directories.Create(v.ctx(), v.actor, f.input(posted))
	if err != nil {
		return v.showDirectoryForm(f, nil, posted, err)
	}
	return v.done("/directories/"+string(d.ID), "The directory is added. Test the connection next.")
}

func (v *visit) directoryFormOf() (*directoryForm, *ra.Directory, error) {
	d, _, err := v.Directories.Get(v.ctx(), v.actor, id[ra.DirectoryID](v))
	if err != nil {
		return nil, nil, err
	}
	return &directoryForm{Name: d.Name, Description: d.Description, Group: string(d.GroupID), Disabled: d.Disabled, known: true}, d, nil
}

func (v *visit) editDirectoryPage() error {
	f, d, err := v.directoryFormOf()
	if err != nil {
		return err
	}
	return v.showDirectoryForm(f, d, nil, nil)
}

func (v *visit) editDirectory() error {
	f, d, err := v.directoryFormOf()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.showDirectoryForm(f, d, posted, err)
	}
	if _, err := v.Directories.Update(v.ctx(), v.actor, d.ID, f.input(posted)); err != nil {
		return v.showDirectoryForm(f, d, posted, err)
	}
	return v.done("/directories/"+string(d.ID), "Saved.")
}

func (v *visit) deleteDirectoryPage() error { return v.askDeleteDirectory(nil) }

func (v *visit) askDeleteDirectory(wrong error) error {
	d, state, err := v.Directories.Get(v.ctx(), v.actor, id[ra.DirectoryID](v))
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the directory", About: d.Name,
		Effect: []string{fmt.Sprintf("Its %d users stay as they are now, and nothing is looked up for them any more.", state.Users), "Its settings and password are destroyed. This cannot be taken back."},
		Form:   form{Cancel: "/directories/" + string(d.ID), Danger: true}, CLI: []string{"chancery directory delete " + string(d.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteDirectory() error {
	d, _, err := v.Directories.Get(v.ctx(), v.actor, id[ra.DirectoryID](v))
	if err != nil {
		return err
	}
	if err := v.Directories.Delete(v.ctx(), v.actor, d.ID); err != nil {
		return v.askDeleteDirectory(err)
	}
	return v.done("/directories", "The directory "+d.Name+" is deleted. Its users stay.")
}
