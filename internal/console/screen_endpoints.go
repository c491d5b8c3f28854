package console

import (
	"net/http"
	"net/url"
	"time"

	"chancery/internal/access"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
	"chancery/internal/store"
)

type endpointLine struct {
	*ra.Endpoint
	Template link
	Group    link
	Address  string
	State    string
	Floor    string
}

type endpointsView struct {
	Filter  filter
	Name    heading
	Lines   []endpointLine
	Pager   pager
	MayEdit bool
	CLI     []string
}

type endpointView struct {
	Endpoint *ra.Endpoint
	Address  string
	State    string
	Template link
	Group    link
	Settings []previewLine
	Warnings []trouble
	Events   []*ra.AuditEntry
	MayEdit  bool
	CLI      []string
}

var (
	endpointsPage = view[endpointsView]("endpoints")
	endpointPage  = view[endpointView]("endpoint")
)

func endpointState(e *ra.Endpoint) string {
	if e.Disabled {
		return "disabled"
	}
	return "open"
}

// endpointSettings reads the settings of an endpoint as they are shown: without
// its secret.
func endpointSettings(e *ra.Endpoint) (*sceppolicy.Endpoint, error) {
	s := &sceppolicy.Endpoint{}
	setting.Defaults(s)
	return s, setting.Load(s, e.Settings)
}

// endpointWarnings says what an endpoint opens beyond the strict, and what to do
// about it.
func endpointWarnings(name string, s *sceppolicy.Endpoint, now time.Time) []trouble {
	var out []trouble
	for _, f := range s.Findings(name, now) {
		out = append(out, trouble{Message: f.Message, Remedy: f.Remedy})
	}
	if s.FloorAt(now) == sceppolicy.Compat {
		out = append(out, trouble{Message: "The compatible floor accepts 3DES and SHA-1.", Remedy: "Choose the modern floor once no old gear needs it."})
	}
	return out
}

func (v *visit) endpoints() error {
	list, next, err := v.Enroll.FindEndpoints(v.ctx(), v.actor, store.EndpointFilter{Text: v.query("q"), Template: ra.TemplateID(v.query("template")), Page: v.page()})
	if err != nil {
		return err
	}
	data := endpointsView{Filter: v.filter("Name"), Name: v.sortable("Name", "name", "name"), Pager: v.pager(next, len(list)), MayEdit: v.mayAnywhere(access.EditTemplates), CLI: []string{"chancery endpoint list"}}
	data.Filter.Active = data.Filter.Active || v.query("template") != ""
	for _, e := range list {
		s, err := endpointSettings(e)
		if err != nil {
			return err
		}
		data.Lines = append(data.Lines, endpointLine{e, v.templateLink(e.TemplateID), v.groupLink(e.GroupID), v.address("/scep/" + e.Name), endpointState(e), s.FloorAt(v.Now())})
	}
	return endpointsPage.show(v, http.StatusOK, data)
}

func (v *visit) loadEndpoint() (*ra.Endpoint, error) {
	return v.Enroll.Endpoint(v.ctx(), v.actor, id[ra.EndpointID](v))
}

func (v *visit) endpoint() error {
	e, err := v.loadEndpoint()
	if err != nil {
		return err
	}
	s, err := endpointSettings(e)
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(e.ID), 20)
	if err != nil {
		return err
	}
	return endpointPage.show(v, http.StatusOK, endpointView{Endpoint: e, Address: v.address("/scep/" + e.Name), State: endpointState(e), Template: v.templateLink(e.TemplateID), Group: v.groupLink(e.GroupID),
		Settings: settingLines(s, setSecrets(e.Settings)), Warnings: endpointWarnings(e.Name, s, v.Now()), Events: events, MayEdit: v.may(access.EditTemplates, e.GroupID),
		CLI: []string{"chancery endpoint show " + string(e.ID)}})
}

// settingLines lists settings in words; a secret only says that it is there.
func settingLines(d setting.Describer, set map[string]bool) []previewLine {
	values := setting.FormValues(d)
	fields := setting.Fields(d)
	var out []previewLine
	for _, f := range fields {
		value := values.Get(f.Name)
		if f.Type == setting.TypeBool && value == "" {
			value = "false"
		}
		switch {
		case !matters(fields, f, values):
			continue
		case f.Secret && set[f.Name]:
			value = "stored"
		case f.Secret:
			continue
		case f.Type == setting.TypeBool && isOn(value):
			value = "yes"
		case f.Type == setting.TypeBool:
			value = "no"
		case f.Type == setting.TypeCertificates && value != "":
			value = "given"
		case f.Type == setting.TypeChoice:
			for _, o := range f.Options {
				if o.Value == value {
					value = o.Label
				}
			}
		}
		if value != "" {
			out = append(out, previewLine{f.Label, value})
		}
	}
	return out
}

// endpointForm is what an endpoint is besides its settings.
type endpointForm struct {
	Name, Template, Group string
	Disabled              bool
	known                 bool
}

// Describe names the fields.
func (f *endpointForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(63).Placeholder("wifi").Help("Becomes part of the address: lower-case letters, digits and hyphens. Devices use the address, so change it only before they do.")
	s.Choice(&f.Template, "template_id", "Template").Required().Lookup("templates").Help("Only templates whose key is made on the device.")
	s.Choice(&f.Group, "group_id", "Organization group").Lookup("groups").Help("None: the template's own.")
	if f.known {
		s.Bool(&f.Disabled, "disabled", "Switched off").Help("Devices get no answer at its address.")
	}
}

func (v *visit) newEndpointPage() error {
	return v.editEndpointForm(&endpointForm{Template: v.query("template")}, nil, nil, nil)
}

func (v *visit) editEndpointForm(f *endpointForm, e *ra.Endpoint, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	templates, err := v.templateOptions(func(t *ra.Template) bool { return t.Spec.KeyPlace == ra.KeyOnDevice })
	if err != nil {
		return err
	}
	if templates == nil {
		templates = []option{}
	}
	settings := &sceppolicy.Endpoint{}
	setting.Defaults(settings)
	set := map[string]bool{}
	if e != nil {
		if settings, err = endpointSettings(e); err != nil {
			return err
		}
		set = setSecrets(e.Settings)
	}
	known := fieldNames(f)
	for name := range fieldNames(settings) {
		known["settings."+name] = true
	}
	p := v.sort(wrong, known)
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"group_id": groups, "template_id": templates}})
	sets = append(sets, draw(settings, drawing{prefix: "settings.", values: posted, bad: p.byField, set: set})...)
	data := editView{Title: "Open a SCEP endpoint", Crumb: link{"SCEP endpoints", "/endpoints"}, Form: form{Action: v.r.URL.Path, Sets: sets, Problem: p.summary, Submit: "Open the endpoint", Cancel: "/endpoints"},
		CLI: []string{"chancery endpoint create NAME --template TEMPLATE"}}
	if e != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit the endpoint "+e.Name, link{e.Name, "/endpoints/" + string(e.ID)}, "Save", "/endpoints/"+string(e.ID)
		data.CLI = []string{"chancery endpoint update " + string(e.ID) + " --challenge-life 1h"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (v *visit) saveEndpoint(f *endpointForm, e *ra.Endpoint, save func(enroll.EndpointInput) (*ra.Endpoint, error), notice string) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.editEndpointForm(f, e, posted, err)
	}
	in := enroll.EndpointInput{TemplateID: (*ra.TemplateID)(&f.Template), Name: &f.Name, Settings: settingsJSON(&sceppolicy.Endpoint{}, posted, "settings."), Disabled: &f.Disabled}
	if f.Group != "" {
		in.GroupID = (*ra.GroupID)(&f.Group)
	}
	saved, err := save(in)
	if err != nil {
		return v.editEndpointForm(f, e, posted, err)
	}
	return v.done("/endpoints/"+string(saved.ID), notice)
}

func (v *visit) newEndpoint() error {
	return v.saveEndpoint(&endpointForm{}, nil, func(in enroll.EndpointInput) (*ra.Endpoint, error) {
		return v.Enroll.CreateEndpoint(v.ctx(), v.actor, in)
	}, "The endpoint is open.")
}

func endpointFormOf(e *ra.Endpoint) *endpointForm {
	return &endpointForm{Name: e.Name, Template: string(e.TemplateID), Group: string(e.GroupID), Disabled: e.Disabled, known: true}
}

func (v *visit) editEndpointPage() error {
	e, err := v.loadEndpoint()
	if err != nil {
		return err
	}
	return v.editEndpointForm(endpointFormOf(e), e, nil, nil)
}

func (v *visit) editEndpoint() error {
	e, err := v.loadEndpoint()
	if err != nil {
		return err
	}
	return v.saveEndpoint(endpointFormOf(e), e, func(in enroll.EndpointInput) (*ra.Endpoint, error) {
		return v.Enroll.UpdateEndpoint(v.ctx(), v.actor, e.ID, in)
	}, "The endpoint is changed.")
}

func (v *visit) deleteEndpointPage() error { return v.askDeleteEndpoint(nil) }

func (v *visit) askDeleteEndpoint(wrong error) error {
	e, err := v.loadEndpoint()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Close the endpoint", About: e.Name, Effect: []string{"Devices that know the address can no longer enrol or renew there.", "Its open challenges are void. Certificates stay as they are."},
		Form: form{Cancel: "/endpoints/" + string(e.ID), Danger: true}, CLI: []string{"chancery endpoint delete " + string(e.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteEndpoint() error {
	e, err := v.loadEndpoint()
	if err != nil {
		return err
	}
	if err := v.Enroll.DeleteEndpoint(v.ctx(), v.actor, e.ID); err != nil {
		return v.askDeleteEndpoint(err)
	}
	return v.done("/endpoints", "The endpoint "+e.Name+" is closed.")
}
