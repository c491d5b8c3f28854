package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

type templateEditView struct {
	Title    string
	Crumb    link
	Action   string
	Cancel   string
	Submit   string
	Problem  *trouble
	Base     []fieldset
	Names    []fieldset
	SANs     []sanRow
	Mapping  []fieldset
	Key      []fieldset
	Rest     []fieldset
	Options  []fieldset
	Kind     string
	Asks     bool // some kind of authority has settings in a template
	Tests    []testRow
	Lookups  []lookupGroup
	Holder   string
	Devices  []option
	Preview  *previewView
	Trouble  *trouble // of the preview
	Previews bool     // a preview was asked for
	CLI      []string
}

var templateEditPage = view[templateEditView]("template_edit")

// editing is the state of the template editor between two requests: nothing
// typed is lost, whichever button was pressed.
type editing struct {
	stored   *ra.Template // nil for a new one
	base     templateForm
	spec     ra.TemplateSpec
	posted   url.Values // nil at first
	moreSANs int
	moreTest int
	preview  *previewView
	trouble  *trouble
	previews bool
}

func (v *visit) newTemplatePage() error {
	e := &editing{}
	setting.Defaults(&specForm{&e.spec})
	e.spec.AutoRenew, e.spec.RenewBefore, e.spec.Validity = true, 30, 365
	e.spec.EKUs = []string{"1.3.6.1.5.5.7.3.2"}
	authorities, err := v.authorityOptions()
	if err != nil {
		return err
	}
	if len(authorities) == 1 {
		e.base.Authority = authorities[0].Value
	}
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	if len(groups) > 0 {
		e.base.Group = groups[0].Value
	}
	return v.showTemplateEdit(e, nil)
}

func (v *visit) newTemplate() error { return v.saveTemplate(nil) }

func (v *visit) editTemplatePage() error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	return v.showTemplateEdit(&editing{stored: t, base: templateForm{t.Name, t.Description, string(t.GroupID), string(t.AuthorityID)}, spec: t.Spec}, nil)
}

func (v *visit) editTemplate() error {
	t, err := v.loadTemplate()
	if err != nil {
		return err
	}
	return v.saveTemplate(t)
}

func (v *visit) saveTemplate(stored *ra.Template) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	e := &editing{stored: stored, posted: posted}
	wrong := setting.FromForm(&e.base, posted)
	if wrong != nil {
		e.base.Authority, e.base.Group = posted.Get("authority_id"), posted.Get("group_id")
	}
	kind, _ := v.kindOf(ra.AuthorityID(e.base.Authority))
	var options setting.Describer
	if kind.NewOptions != nil {
		options = kind.NewOptions()
	}
	if stored != nil {
		e.spec.Publish = stored.Spec.Publish // the editor asks for a part of it
	}
	var p ra.Problems
	p.Merge("", wrong)
	p.Merge("", v.readSpec(posted, &e.spec, options))
	tidyPublish(&e.spec)
	wrong = p.Err()
	switch posted.Get("do") {
	case "authority":
		return v.showTemplateEdit(e, nil)
	case "add-san":
		e.moreSANs = 1
		return v.showTemplateEdit(e, nil)
	case "add-test":
		e.moreTest = 1
		return v.showTemplateEdit(e, nil)
	case "preview":
		return v.previewTemplate(e, wrong)
	}
	if wrong != nil {
		return v.showTemplateEdit(e, wrong)
	}
	in := e.input()
	var t *ra.Template
	notice := "The template is defined."
	if stored == nil {
		t, err = v.Enroll.CreateTemplate(v.ctx(), v.actor, in)
	} else {
		notice = "The template is changed."
		t, err = v.Enroll.UpdateTemplate(v.ctx(), v.actor, stored.ID, in)
	}
	if err != nil {
		return v.showTemplateEdit(e, err)
	}
	return v.done("/templates/"+string(t.ID), notice)
}

func (e *editing) input() enroll.TemplateInput {
	return enroll.TemplateInput{GroupID: (*ra.GroupID)(&e.base.Group), AuthorityID: (*ra.AuthorityID)(&e.base.Authority), Name: &e.base.Name, Description: &e.base.Description, Spec: copied(&e.spec)}
}

// copied gives a spec of its own to a capability that may tidy it.
func copied(s *ra.TemplateSpec) *ra.TemplateSpec {
	c := *s
	c.EKUs = slices.Clone(s.EKUs)
	return &c
}

func (v *visit) previewTemplate(e *editing, wrong error) error {
	e.previews = true
	if wrong == nil {
		var id ra.TemplateID
		if e.stored != nil {
			id = e.stored.ID
		}
		e.preview, wrong = v.previewFor(e.input(), id, e.posted.Get("preview_device"))
	}
	if wrong != nil {
		e.trouble = v.allTrouble(wrong)
	}
	return v.showTemplateEdit(e, wrong)
}

// kindOf gives the kind of an authority that can be seen.
func (v *visit) kindOf(id ra.AuthorityID) (ca.Kind, bool) {
	if id == "" {
		return ca.Kind{}, false
	}
	a, err := v.Authorities.Get(v.ctx(), v.actor, id)
	if err != nil {
		return ca.Kind{}, false
	}
	k, err := v.Authorities.Kind(a.Kind)
	return k, err == nil
}

func (v *visit) showTemplateEdit(e *editing, wrong error) error {
	known := fieldNames(&e.base)
	for name := range fieldNames(&specForm{&e.spec}) {
		known["spec."+name] = true
	}
	for _, name := range []string{"spec.ekus", "spec.key_types", "spec.revoke_on", "spec.fields", "preview_device"} {
		known[name] = true
	}
	if len(e.spec.SANs) == 0 {
		e.moreSANs = 1
	}
	sans, tests := sanRows(e.spec.SANs, e.moreSANs, nil), testRows(e.spec.Tests, e.moreTest, nil)
	for _, r := range sans {
		known["spec.sans["+strconv.Itoa(r.Index)+"]"] = true
	}
	for _, r := range tests {
		known["spec.tests["+strconv.Itoa(r.Index)+"]"] = true
	}
	kind, _ := v.kindOf(ra.AuthorityID(e.base.Authority))
	var options setting.Describer
	if kind.NewOptions != nil {
		options = kind.NewOptions()
		for name := range fieldNames(options) {
			known["spec.options."+name] = true
		}
	}
	p := v.sort(atPublishInputs(wrong), known)
	data := templateEditView{Title: "New template", Crumb: link{"Templates", "/templates"}, Action: v.r.URL.Path, Cancel: "/templates", Submit: "Define the template", Problem: p.summary,
		SANs: sanRows(e.spec.SANs, e.moreSANs, p.byField), Tests: testRows(e.spec.Tests, e.moreTest, p.byField), Lookups: lookupGroups(), Kind: kind.Title,
		Preview: e.preview, Trouble: e.trouble, Previews: e.previews, CLI: []string{"chancery template create -f template.yaml"}}
	data.Asks = slices.ContainsFunc(v.Authorities.Kinds, func(k ca.Kind) bool { return k.NewOptions != nil })
	if e.previews {
		data.Problem = nil // the pane shows it
	}
	if e.stored != nil {
		data.Title, data.Crumb, data.Cancel, data.Submit = "Edit "+e.stored.Name, link{e.stored.Name, "/templates/" + string(e.stored.ID)}, "/templates/"+string(e.stored.ID), "Save"
		data.CLI = []string{"chancery template update " + string(e.stored.ID) + " -f template.yaml"}
	}
	if e.posted != nil {
		data.Holder = e.posted.Get("preview_device")
	}
	if err := v.fillTemplateEdit(&data, e, p, options); err != nil {
		return err
	}
	return templateEditPage.show(v, editStatus(wrong, e.previews), data)
}

// editStatus: a preview that shows what is wrong is still a preview.
func editStatus(wrong error, previews bool) int {
	if previews && ra.KindOf(wrong) != ra.Internal {
		return http.StatusOK
	}
	return statusOf(wrong)
}

func (v *visit) fillTemplateEdit(data *templateEditView, e *editing, p problems, options setting.Describer) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	authorities, err := v.authorityOptions()
	if err != nil {
		return err
	}
	if authorities == nil {
		authorities = []option{}
	}
	if data.Devices, err = v.deviceOptions(); err != nil {
		return err
	}
	services, err := v.keyServiceOptions()
	if err != nil {
		return err
	}
	data.Base = draw(&e.base, drawing{values: e.posted, bad: p.byField, options: map[string][]option{"group_id": groups, "authority_id": authorities}})
	for _, s := range draw(&specForm{&e.spec}, drawing{prefix: "spec.", values: e.posted, bad: p.byField, options: map[string][]option{"publish_key_service": services}, change: func(in *input) { in.Mono = in.Mono || in.Name == "spec.subject" }}) {
		switch s.Title {
		case "Names":
			data.Names = append(data.Names, s)
		case "Directory mapping":
			data.Mapping = append(data.Mapping, s)
		case "Key":
			s.Inputs = append(s.Inputs, ekuInputs(e.spec.EKUs, p.byField)...)
			s.Advanced = append(s.Advanced, keyTypeInput(e.spec.KeyTypes, p.byField))
			data.Key = append(data.Key, s)
		case "Life":
			s.Inputs = append(s.Inputs, revokeInput(e.spec.RevokeOn, p.byField))
			data.Rest = append(data.Rest, s)
		case "At the authority":
			for i := range s.Inputs {
				if s.Inputs[i].Name == "spec.issuing_template" {
					v.pickIssuing(&s.Inputs[i], v.issuingTemplates(ra.AuthorityID(e.base.Authority)))
				}
			}
			s.Advanced = append(s.Advanced, input{ID: inputID("spec.fields"), Name: "spec.fields", Label: "Fields its profile asks for", Kind: "multiline", Rows: 3, Mono: true,
				Value: fieldsText(e), Help: "One name=value per line; values may hold lookup values.", Problem: p.byField["spec.fields"]})
			data.Rest = append(data.Rest, s)
		default:
			data.Rest = append(data.Rest, s)
		}
	}
	if options != nil {
		return v.drawOptions(data, e, p, options)
	}
	return nil
}

func fieldsText(e *editing) string {
	if e.posted != nil {
		return e.posted.Get("spec.fields")
	}
	text := ""
	for _, l := range writeAttributes(e.spec.Fields) {
		text += l + "\n"
	}
	return text
}

// catalogTime bounds how long a form waits for the choices of an authority.
const catalogTime = 5 * time.Second

// shortly is for questions to authorities while somebody waits for a form.
func (v *visit) shortly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.ctx(), catalogTime)
}

// drawOptions draws what the kind of the authority wants to know in a template,
// with the choices the authority offers where it can be asked.
func (v *visit) drawOptions(data *templateEditView, e *editing, p problems, options setting.Describer) error {
	setting.Defaults(options)
	if e.spec.Options != nil {
		raw, err := json.Marshal(e.spec.Options)
		if err != nil {
			return err
		}
		if err := setting.Load(options, raw); err != nil {
			v.Log.Warn("template options cannot all be read", "error", err)
		}
	}
	ctx, cancel := v.shortly()
	defer cancel()
	choices := map[string][]option{}
	for _, f := range setting.Fields(options) {
		if f.Lookup == "" {
			continue
		}
		list, err := v.Postures.Catalog(ctx, v.actor, ra.AuthorityID(e.base.Authority), f.Lookup, nil)
		if err != nil {
			v.Log.Info("an authority's catalog did not answer", "lookup", f.Lookup, "error", err)
			continue
		}
		for _, c := range list {
			choices[f.Name] = append(choices[f.Name], option{Value: c.ID, Label: c.Title})
		}
	}
	data.Options = draw(options, drawing{prefix: "spec.options.", values: e.posted, bad: p.byField, options: choices})
	return nil
}
