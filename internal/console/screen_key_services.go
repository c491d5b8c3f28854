package console

import (
	"net/http"

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
	data.Settings = settingLines(v.settingsOf(&keypolicy.Settings{}, k.Settings, string(k.ID)), setSecrets(k.Settings))
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

// keyServiceDefinition is how people define key services.
var keyServiceDefinition = &definition{
	noun: "key service", list: link{"Key services", "/key-services"},
	group: "Templates of this group and of those below it may name it.",
	off:   "Nothing is sent to it; keys for it stay waiting.",
	add:   "chancery key-service add --name NAME --group GROUP --url URL --recipient-file FILE --secret-file FILE", update: "chancery key-service update",
	added: "The key service is added. Test the connection next.", saved: "Saved. What waits for it is sent at once.",
	settings: func() setting.Describer { return &keypolicy.Settings{} },
	load: func(v *visit) (*defined, error) {
		k, err := v.Keys.Get(v.ctx(), v.actor, id[ra.KeyServiceID](v))
		if err != nil {
			return nil, err
		}
		return &defined{string(k.ID), definedForm{Name: k.Name, Description: k.Description, Group: string(k.GroupID), Disabled: k.Disabled}, k.Settings}, nil
	},
	create: func(v *visit, f *definedForm, settings []byte) (string, error) {
		k, err := v.Keys.Create(v.ctx(), v.actor, keyServiceInput(f, settings))
		if err != nil {
			return "", err
		}
		return string(k.ID), nil
	},
	change: func(v *visit, id string, f *definedForm, settings []byte) error {
		_, err := v.Keys.Update(v.ctx(), v.actor, ra.KeyServiceID(id), keyServiceInput(f, settings))
		return err
	},
}

func keyServiceInput(f *definedForm, settings []byte) keydelivery.Input {
	return keydelivery.Input{GroupID: f.group(), Name: &f.Name, Description: &f.Description, Disabled: &f.Disabled, Settings: settings}
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
