package console

import (
	"fmt"
	"net/http"

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
	data.Settings = settingLines(v.settingsOf(&dirpolicy.Settings{}, d.Settings, string(d.ID)), setSecrets(d.Settings))
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

// directoryDefinition is how people define directories.
var directoryDefinition = &definition{
	noun: "directory", list: link{"Directories", "/directories"},
	group: "Its users belong there. One that is moved to a group below stays there.",
	off:   "Nothing is asked of it; what waits to be published stays waiting.",
	add:   "chancery directory add --name NAME --group GROUP --servers HOST --user USER --password-file FILE", update: "chancery directory update",
	added: "The directory is added. Test the connection next.", saved: "Saved.",
	settings: func() setting.Describer { return &dirpolicy.Settings{} },
	load: func(v *visit) (*defined, error) {
		d, _, err := v.Directories.Get(v.ctx(), v.actor, id[ra.DirectoryID](v))
		if err != nil {
			return nil, err
		}
		return &defined{string(d.ID), definedForm{Name: d.Name, Description: d.Description, Group: string(d.GroupID), Disabled: d.Disabled}, d.Settings}, nil
	},
	create: func(v *visit, f *definedForm, settings []byte) (string, error) {
		d, err := v.Directories.Create(v.ctx(), v.actor, directoryInput(f, settings))
		if err != nil {
			return "", err
		}
		return string(d.ID), nil
	},
	change: func(v *visit, id string, f *definedForm, settings []byte) error {
		_, err := v.Directories.Update(v.ctx(), v.actor, ra.DirectoryID(id), directoryInput(f, settings))
		return err
	},
}

func directoryInput(f *definedForm, settings []byte) directory.Input {
	return directory.Input{GroupID: f.group(), Name: &f.Name, Description: &f.Description, Disabled: &f.Disabled, Settings: settings}
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
