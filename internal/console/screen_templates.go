package console

import (
	"fmt"
	"net/http"
	"strings"

	"chancery/internal/access"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/store"
)

type templateLine struct {
	*ra.Template
	Authority link
	Group     link
	State     string
	Place     string
}

type templatesView struct {
	Filter  filter
	Name    heading
	Lines   []templateLine
	Pager   pager
	MayEdit bool
	CLI     []string
}

type templateView struct {
	Template  *ra.Template
	State     string
	Authority link
	Group     link
	Names     []string
	Facts     []previewLine
	Life      []previewLine
	EKUs      []string
	Tests     []enroll.TestResult
	Endpoints []*ra.Endpoint
	Holder    string
	Devices   []option
	Preview   *previewView
	Trouble   *trouble
	Events    []*ra.AuditEntry
	MayEdit   bool
	MayAsk    bool
	CLI       []string
}

var (
	templatesPage = view[templatesView]("templates")
	templatePage  = view[templateView]("template")
)

func templateState(t *ra.Template) string {
	if t.Disabled {
		return "disabled"
	}
	return "on"
}

var placeWords = map[ra.KeyPlace]string{ra.KeyOnDevice: "on the device", ra.KeyHere: "here, handed out once", ra.KeyAtCA: "at the authority"}

func (v *visit) templates() error {
	list, next, err := v.Enroll.FindTemplates(v.ctx(), v.actor, store.TemplateFilter{Text: v.query("q"), Authority: ra.AuthorityID(v.query("authority")), Page: v.page()})
	if err != nil {
		return err
	}
	authorities, err := v.authorityOptions()
	if err != nil {
		return err
	}
	data := templatesView{Filter: v.filter("Name", choice{"authority", "Authority", authorities}), Name: v.sortable("Name", "name", "name"), Pager: v.pager(next, len(list)),
		MayEdit: v.mayAnywhere(access.EditTemplates), CLI: []string{"chancery template list"}}
	for _, t := range list {
		data.Lines = append(data.Lines, templateLine{t, v.authorityLink(t.AuthorityID), v.groupLink(t.GroupID), templateState(t), placeWords[t.Spec.KeyPlace]})
	}
	return templatesPage.show(v, http.StatusOK, data)
}

func (v *visit) loadTemplate() (*ra.Template, error) {
	return v.Enroll.Template(v.ctx(), v.actor, id[ra.TemplateID](v))
}

func (v *visit) template() error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	endpoints, _, err := v.Enroll.FindEndpoints(v.ctx(), v.actor, store.EndpointFilter{Template: t.ID, Page: store.Page{Limit: 50}})
	if err != nil {
		return err
	}
	devices, err := v.deviceOptions()
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(t.ID), 20)
	if err != nil {
		return err
	}
	data := templateView{Template: t, State: templateState(t), Authority: v.authorityLink(t.AuthorityID), Group: v.groupLink(t.GroupID), EKUs: purposeWords(t.Spec.EKUs),
		Tests: enroll.RunTests(t), Endpoints: endpoints, Holder: v.query("device"), Devices: devices, Events: events, MayEdit: v.may(access.EditTemplates, t.GroupID), MayAsk: v.mayAnywhere(access.Request),
		CLI: []string{"chancery template show " + string(t.ID), "chancery template preview " + string(t.ID) + " --device DEVICE"}}
	for _, s := range t.Spec.SANs {
		text := s.Type + ": " + s.Value
		if s.Optional {
			text += " (left out when empty)"
		}
		data.Names = append(data.Names, text)
	}
	data.Facts, data.Life = templateFacts(&t.Spec)
	data.Life = append(data.Life, v.keyGoes(&t.Spec.Publish)...)
	if data.Holder != "" {
		p, err := v.previewFor(enroll.TemplateInput{}, t.ID, data.Holder)
		if err != nil {
			data.Trouble = v.allTrouble(err)
		} else {
			data.Preview = p
		}
	}
	return templatePage.show(v, http.StatusOK, data)
}

// previewFor fills a template for a device that a person named.
func (v *visit) previewFor(in enroll.TemplateInput, id ra.TemplateID, device string) (*previewView, error) {
	d, err := v.findDevice("preview_device", device)
	if err != nil {
		return nil, err
	}
	var deviceID ra.DeviceID
	if d != nil {
		deviceID = d.ID
	}
	p, err := v.Enroll.Preview(v.ctx(), v.actor, in, id, deviceID, "")
	if err != nil {
		return nil, err
	}
	return newPreview(p), nil
}

// allTrouble shows an error with all its parts in one place.
func (v *visit) allTrouble(err error) *trouble {
	t := v.trouble(err)
	for _, d := range ra.AsError(err).Details {
		t.More = append(t.More, trouble{Message: d.Message, Remedy: d.Remedy})
	}
	return t
}

// templateFacts says in words what a template gives and how it lives.
func templateFacts(s *ra.TemplateSpec) (facts, life []previewLine) {
	fact := func(label, format string, args ...any) {
		facts = append(facts, previewLine{label, fmt.Sprintf(format, args...)})
	}
	key := s.KeyType
	if len(s.KeyTypes) > 0 {
		key += ", or " + strings.Join(s.KeyTypes, ", ")
	}
	fact("Key", "%s", key)
	fact("Key made", "%s", placeWords[s.KeyPlace])
	fact("Use", "%s", map[string]string{"both": "signing and encryption"}[s.Usage]+map[string]string{"signing": "signing", "encryption": "encryption"}[s.Usage])
	if s.SID {
		fact("Security identifier", "from the directory, as extension")
	}
	if s.SIDInURI {
		fact("Security identifier", "from the directory, as URI name")
	}
	if s.IssuingTemplate != "" {
		fact("Authority's own template", "%s", s.IssuingTemplate)
	}
	fact("Beyond the template", "%s", map[string]string{"match": "a request that asks for more is refused", "overwrite": "what a request asks beyond is left out"}[s.CSRPolicy])
	say := func(label, format string, args ...any) {
		life = append(life, previewLine{label, fmt.Sprintf(format, args...)})
	}
	if s.Validity > 0 {
		say("Valid for", "%s", plural(int(s.Validity), "day"))
	} else {
		say("Valid for", "as the authority decides")
	}
	if s.AutoRenew {
		say("Renewal", "by itself, %s before the end", plural(int(s.RenewBefore), "day"))
	} else {
		say("Renewal", "not by itself")
	}
	if s.ReuseKey {
		say("Key at renewal", "may stay the same")
	}
	if s.Approvals > 0 {
		say("Approval", "%s needed within %s", plural(s.Approvals, "decision"), plural(int(s.ApprovalExpiry), "hour"))
	} else {
		say("Approval", "not needed")
	}
	if len(s.RevokeOn) > 0 {
		say("Revoked on", "%s", words(strings.Join(s.RevokeOn, ", ")))
	}
	if s.RevokeReplaced {
		say("When replaced", "revoked after %s", plural(int(s.Grace), "hour"))
	}
	if s.MissingGrace > 0 {
		say("When found missing", "revoked after %s", plural(int(s.MissingGrace), "hour"))
	}
	if s.Publish.Certificate {
		say("Published", "to the user's directory entry")
	}
	return facts, life
}

func (v *visit) disableTemplatePage() error { return v.askDisable(nil) }

func (v *visit) askDisable(wrong error) error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Switch the template off", About: t.Name, Effect: []string{"Nobody can ask for a certificate with it, and nothing is renewed with it.", "Certificates issued with it stay as they are. It can be switched on again."},
		Form: form{Cancel: "/templates/" + string(t.ID), Danger: true}, CLI: []string{"chancery template update " + string(t.ID) + " --disabled"}}, nil, nil, wrong)
}

func (v *visit) disableTemplate() error {
	return v.switchTemplate(true, v.askDisable, "The template is switched off.")
}

func (v *visit) enableTemplate() error {
	return v.switchTemplate(false, func(err error) error { return err }, "The template is switched on.")
}

func (v *visit) switchTemplate(off bool, again func(error) error, notice string) error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	if _, err := v.Enroll.UpdateTemplate(v.ctx(), v.actor, t.ID, enroll.TemplateInput{Disabled: &off}); err != nil {
		return again(err)
	}
	return v.done("/templates/"+string(t.ID), notice)
}

func (v *visit) deleteTemplatePage() error { return v.askDeleteTemplate(nil) }

func (v *visit) askDeleteTemplate(wrong error) error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the template", About: t.Name, Effect: []string{"Only a template that was never used can be deleted; switch others off instead."},
		Form: form{Cancel: "/templates/" + string(t.ID), Danger: true}, CLI: []string{"chancery template delete " + string(t.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteTemplate() error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	if err := v.Enroll.DeleteTemplate(v.ctx(), v.actor, t.ID); err != nil {
		return v.askDeleteTemplate(err)
	}
	return v.done("/templates", "The template "+t.Name+" is deleted.")
}
