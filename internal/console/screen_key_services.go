package console

import (
	"net/http"
	"net/url"

	"chancery/internal/access"
	"chancery/internal/ca"
	"chancery/internal/keydelivery"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

type keyServiceLine struct {
	*ra.KeyService
	Group link
	Badge string
}

type keyServicesView struct {
	Lines   []keyServiceLine
	Filter  filter
	Pager   pager
	MayEdit bool
	CLI     []string
}

type keyServiceView struct {
	keyServiceLine
	Settings []previewLine
	Steps    []ca.Step
	Trouble  *trouble
	Events   []*ra.AuditEntry
	MayEdit  bool
	MayAudit bool
	CLI      []string
}

var (
	keyServicesPage = view[keyServicesView]("key_services")
	keyServicePage  = view[keyServiceView]("key_service")
)

func keyServiceBadge(k *ra.KeyService) string {
	if k.Disabled {
		return "disabled"
	}
	return string(ca.StepOK)
}

func (v *visit) keyServices() error {
	list, next, err := v.Keys.Find(v.ctx(), v.actor, store.KeyServiceFilter{Text: v.query("q"), Page: v.page()})
	if err != nil {
		return err
	}
	data := keyServicesView{Filter: v.filter("Name"), Pager: v.pager(next, len(list)), MayEdit: v.mayAnywhere(access.EditAuthorities), CLI: []string{"chancery key-service list"}}
	for _, k := range list {
		data.Lines = append(data.Lines, keyServiceLine{k, v.groupLink(k.GroupID), keyServiceBadge(k)})
	}
	return keyServicesPage.show(v, http.StatusOK, data)
}

func (v *visit) keyService() error { return v.showKeyService(nil, nil) }

// showKeyService shows the page, with what a test just gave.
func (v *visit) showKeyService(steps []ca.Step, wrong error) error {
	k, err := v.Keys.Get(v.ctx(), v.actor, id[ra.KeyServiceID](v))
	if err != nil {
		return err
	}
	data := keyServiceView{keyServiceLine: keyServiceLine{k, v.groupLink(k.GroupID), keyServiceBadge(k)}, Steps: steps, Trouble: v.trouble(wrong),
		MayEdit: v.may(access.EditAuthorities, k.GroupID), MayAudit: v.mayAnywhere(access.SeeAudit),
		CLI: []string{"chancery key-service show " + string(k.ID), "chancery key-service test " + string(k.ID)}}
	settings := &keypolicy.Settings{}
	setting.Defaults(settings)
	if err := setting.Load(settings, k.Settings); err != nil {
		v.Log.Warn("settings cannot all be read", "key_service", k.ID, "error", err)
	}
	data.Settings = settingLines(settings, setSecrets(k.Settings))
	if data.Events, err = v.Audit.About(v.ctx(), string(k.ID), 20); err != nil {
		return err
	}
	return keyServicePage.show(v, statusOf(wrong), data)
}

func (v *visit) testKeyService() error {
	var steps []ca.Step
	err := v.Keys.Test(v.ctx(), v.actor, id[ra.KeyServiceID](v), func(s ca.Step) { steps = append(steps, s) })
	return v.showKeyService(steps, err)
}

// keyServiceForm is what a key service is besides its settings.
type keyServiceForm struct {
	Name, Description, Group string
	Disabled, known          bool
}

// Describe names the fields.
func (f *keyServiceForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Text(&f.Description, "description", "Description").MaxLength(1000)
	s.Choice(&f.Group, "group_id", "Organization group").Required().Lookup("groups").Help("Templates of this group and of those below it may name it.")
	if f.known {
		s.Bool(&f.Disabled, "disabled", "Switched off").Help("Nothing is sent to it; keys for it stay waiting.")
	}
}

func (f *keyServiceForm) input(posted url.Values) keydelivery.Input {
	return keydelivery.Input{GroupID: (*ra.GroupID)(&f.Group), Name: &f.Name, Description: &f.Description, Disabled: &f.Disabled, Settings: settingsJSON(&keypolicy.Settings{}, posted, "settings.")}
}

func (v *visit) showKeyServiceForm(f *keyServiceForm, k *ra.KeyService, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	settings := &keypolicy.Settings{}
	setting.Defaults(settings)
	set := map[string]bool{}
	if k != nil {
		if err := setting.Load(settings, k.Settings); err != nil {
			v.Log.Warn("settings cannot all be read", "key_service", k.ID, "error", err)
		}
		set = setSecrets(k.Settings)
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
	data := editView{Title: "Add a key service", Crumb: link{"Key services", "/key-services"}, Form: form{Action: v.r.URL.RequestURI(), Sets: sets, Problem: p.summary, Submit: "Add the key service", Cancel: "/key-services"},
		CLI: []string{"chancery key-service add --name NAME --group GROUP --url URL --recipient-file FILE --secret-file FILE"}}
	if k != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+k.Name, link{k.Name, "/key-services/" + string(k.ID)}, "Save", "/key-services/"+string(k.ID)
		data.CLI = []string{"chancery key-service update " + string(k.ID) + " --name NAME"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (v *visit) newKeyServicePage() error {
	return v.showKeyServiceForm(&keyServiceForm{}, nil, nil, nil)
}

func (v *visit) newKeyService() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	f := &keyServiceForm{}
	if err := setting.FromForm(f, posted); err != nil {
		return v.showKeyServiceForm(f, nil, posted, err)
	}
	k, err := v.Keys.Create(v.ctx(), v.actor, f.input(posted))
	if err != nil {
		return v.showKeyServiceForm(f, nil, posted, err)
	}
	return v.done("/key-services/"+string(k.ID), "The key service is added. Test the connection next.")
}

func (v *visit) keyServiceFormOf() (*keyServiceForm, *ra.KeyService, error) {
	k, err := v.Keys.Get(v.ctx(), v.actor, id[ra.KeyServiceID](v))
	if err != nil {
		return nil, nil, err
	}
	return &keyServiceForm{Name: k.Name, Description: k.Description, Group: string(k.GroupID), Disabled: k.Disabled, known: true}, k, nil
}

func (v *visit) editKeyServicePage() error {
	f, k, err := v.keyServiceFormOf()
	if err != nil {
		return err
	}
	return v.showKeyServiceForm(f, k, nil, nil)
}

func (v *visit) editKeyService() error {
	f, k, err := v.keyServiceFormOf()
	if err != nil {
		return err
	}
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.showKeyServiceForm(f, k, posted, err)
	}
	if _, err := v.Keys.Update(v.ctx(), v.actor, k.ID, f.input(posted)); err != nil {
		return v.showKeyServiceForm(f, k, posted, err)
	}
	return v.done("/key-services/"+string(k.ID), "Saved. What waits for it is sent at once.")
}

func (v *visit) deleteKeyServicePage() error { return v.askDeleteKeyService(nil) }

func (v *visit) askDeleteKeyService(wrong error) error {
	k, err := v.Keys.Get(v.ctx(), v.actor, id[ra.KeyServiceID](v))
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the key service", About: k.Name, Effect: []string{"It keeps the keys that it was sent.", "Its settings and secrets are destroyed here. This cannot be taken back."},
		Form: form{Cancel: "/key-services/" + string(k.ID), Danger: true}, CLI: []string{"chancery key-service delete " + string(k.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteKeyService() error {
	k, err := v.Keys.Get(v.ctx(), v.actor, id[ra.KeyServiceID](v))
	if err != nil {
		return err
	}
	if err := v.Keys.Delete(v.ctx(), v.actor, k.ID); err != nil {
		return v.askDeleteKeyService(err)
	}
	return v.done("/key-services", "The key service "+k.Name+" is deleted.")
}

func (v *visit) keyServiceLink(id ra.KeyServiceID) link {
	return linked(v.named(string(id), func() (string, error) {
		k, err := v.Keys.Get(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return k.Name, nil
	}), "/key-services/", string(id))
}

// keyServiceOptions are the key services that a template may name.
func (v *visit) keyServiceOptions() ([]option, error) {
	list, _, err := v.Keys.Find(v.ctx(), v.actor, store.KeyServiceFilter{Page: pick})
	out := make([]option, len(list))
	for i, k := range list {
		out[i] = option{Value: string(k.ID), Label: k.Name}
	}
	return out, err
}
