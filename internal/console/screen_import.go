package console

import (
	"context"
	"io"
	"net/url"

	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

// importForm says where the rows of a file belong.
type importForm struct{ Group string }

// Describe names the field.
func (f *importForm) Describe(s *setting.Form) {
	s.Choice(&f.Group, "group", "Organization group").Lookup("groups").Help("For rows without a group_id of their own.")
}

type importView struct {
	Noun    string
	Base    string
	Columns string
	Form    form
	Result  *inventory.ImportResult
	DryRun  bool
	Problem *trouble
	CLI     []string
}

var importPage = view[importView]("import")

// importing is one kind of thing that comes as CSV.
type importing struct {
	noun, base, columns string
	take                func(context.Context, ra.Actor, io.Reader, inventory.Import) (*inventory.ImportResult, error)
}

func (v *visit) deviceImport() importing {
	return importing{"devices", "/devices", "platform_id, platform, name, serial_number, model, os_version, ownership, user, attributes, group_id, attribute.NAME", v.Inventory.ImportDevices}
}

func (v *visit) userImport() importing {
	return importing{"users", "/users", "name, email, upn, sid, first_name, last_name, display_name, dn, disabled, attributes, group_id, attribute.NAME", v.Inventory.ImportUsers}
}

func (v *visit) importDevicesPage() error {
	return v.askImport(v.deviceImport(), nil, importView{}, nil)
}
func (v *visit) importUsersPage() error { return v.askImport(v.userImport(), nil, importView{}, nil) }
func (v *visit) importDevices() error   { return v.importFile(v.deviceImport()) }
func (v *visit) importUsers() error     { return v.importFile(v.userImport()) }

func (v *visit) askImport(i importing, posted url.Values, data importView, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	p := v.sort(wrong, map[string]bool{"group": true, "file": true})
	sets := draw(&importForm{}, drawing{values: posted, bad: p.byField, options: map[string][]option{"group": groups}})
	sets[0].Inputs = append([]input{{ID: inputID("file"), Name: "file", Label: "CSV file", Kind: "file", Placeholder: ".csv,text/csv", Required: true, Problem: p.byField["file"],
		Help: "UTF-8, with the names of the columns in the first line; separated by comma, semicolon or tab."}}, sets[0].Inputs...)
	data.Noun, data.Base, data.Columns = i.noun, i.base, i.columns
	data.Form = form{Action: v.r.URL.Path, Sets: sets, Problem: p.summary, Submit: "Import", Cancel: i.base, Upload: true}
	data.CLI = []string{"chancery " + i.noun[:len(i.noun)-1] + " import " + i.noun + ".csv --group GROUP --dry-run"}
	return importPage.show(v, statusOf(wrong), data)
}

func (v *visit) importFile(i importing) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	file, err := v.file("file")
	if err == nil && file == nil {
		err = ra.Errorf(ra.Invalid, "No file was chosen.").WithField("file").WithRemedy("Choose a CSV file.")
	}
	if err != nil {
		return v.askImport(i, posted, importView{}, err)
	}
	defer file.Close()
	dry := posted.Get("do") != "import"
	result, err := i.take(v.ctx(), v.actor, file, inventory.Import{Group: ra.GroupID(posted.Get("group")), DryRun: dry})
	if err != nil {
		if result == nil || result.Rows == 0 {
			result = nil
		}
		return v.askImport(i, posted, importView{Result: result, DryRun: dry}, err)
	}
	if !dry && result.Failed == 0 {
		return v.done(i.base, plural(result.Created, "row")+" created, "+count(result.Updated)+" updated, "+count(result.Unchanged)+" unchanged.")
	}
	return v.askImport(i, posted, importView{Result: result, DryRun: dry}, nil)
}
