package console

import (
	"net/url"
	"slices"
	"strconv"

	"chancery/internal/access"
	"chancery/internal/posture"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/store"
)

// findingLine is a finding with the danger it is, if it is one.
type findingLine struct {
	ra.Finding
	Danger *ra.Danger
	Gone   bool // the last look could not see whether it is still there
}

// unreadLine is what could not be read, with all conditions it keeps from being
// judged.
type unreadLine struct {
	Conditions       []string
	Sentence, Remedy string
}

type guardView struct {
	Authority *ra.Authority
	Directory link
	Elsewhere bool // there are directories to choose from
	Posture   *ra.Posture
	Open      int
	Signed    int
	Lines     []findingLine // the gravest first
	Unread    []unreadLine
	Absent    []ra.Finding // not found
	Templates []option
	Template  string
	Revoke    bool
	Script    string
	Trouble   *trouble
	MayEdit   bool
	CLI       []string
}

var guardPage = view[guardView]("guard")

func guardURL(id ra.AuthorityID) string { return "/authorities/" + string(id) + "/guard" }

func (v *visit) guard() error {
	var script string
	var wrong error
	name, revoke := v.query("script"), v.query("revoke") == "1"
	if name != "" {
		script, wrong = v.Postures.Script(v.ctx(), v.actor, id[ra.AuthorityID](v), name, revoke)
	}
	return v.showGuard(wrong, func(data *guardView) { data.Script, data.Template, data.Revoke = script, name, revoke })
}

// runGuard has the guard look now.
func (v *visit) runGuard() error {
	if _, err := v.Postures.Evaluate(v.ctx(), v.actor, id[ra.AuthorityID](v)); err != nil {
		return v.showGuard(err, nil)
	}
	return v.done(guardURL(id[ra.AuthorityID](v)), "The guard has looked.")
}

func (v *visit) showGuard(wrong error, change func(*guardView)) error {
	g, err := v.Postures.Get(v.ctx(), v.actor, id[ra.AuthorityID](v))
	if err != nil {
		return err
	}
	a := g.Authority
	data := guardView{Authority: a, Posture: g.Posture, Open: g.Open(), Trouble: v.trouble(wrong), MayEdit: v.may(access.EditAuthorities, a.GroupID),
		CLI: []string{"chancery authority guard " + string(a.ID), "chancery authority guard " + string(a.ID) + " --run", "chancery authority guard " + string(a.ID) + " --script TEMPLATE > least.ps1"}}
	data.Signed = len(g.Dangers) - data.Open
	if g.Directory != nil {
		data.Directory = v.directoryLink(g.Directory.ID)
	} else {
		list, _, err := v.Directories.Find(v.ctx(), v.actor, store.DirectoryFilter{Page: store.Page{Limit: 1}})
		if err != nil {
			return err
		}
		data.Elsewhere = len(list) > 0
	}
	data.read(g)
	if change != nil {
		change(&data)
	}
	for _, t := range g.Posture.Report.Templates {
		if t.Issued {
			data.Templates = append(data.Templates, option{Value: t.Name, Label: t.Name, Selected: t.Name == data.Template})
		}
	}
	return guardPage.show(v, statusOf(wrong), data)
}

// grades are how findings are ordered.
var grades = []string{ra.SeverityDanger, ra.SeverityWarning, ra.SeverityAdvice, ra.FindingUnseen}

// read sorts what was found: what people have to look at one by one, what could not
// be read, and what was not found.
func (data *guardView) read(g *posture.View) {
	var lines []findingLine
	seen := map[string]bool{}
	for _, f := range g.Posture.Report.Findings {
		seen[f.Key] = true
		switch f.State {
		case ra.FindingNotFound:
			data.Absent = append(data.Absent, f)
		case ra.FindingUnreadable:
			data.unread(f)
		default:
			lines = append(lines, findingLine{Finding: f, Danger: g.Danger(f.Key)})
		}
	}
	for _, d := range g.Dangers {
		if !seen[d.Finding.Key] {
			lines = append(lines, findingLine{Finding: d.Finding, Danger: d, Gone: true})
		}
	}
	grade := func(l findingLine) int {
		if l.State != ra.FindingFound {
			return slices.Index(grades, l.State)
		}
		return slices.Index(grades, l.Severity)
	}
	slices.SortStableFunc(lines, func(a, b findingLine) int {
		return 2*(grade(a)-grade(b)) + signed(a) - signed(b)
	})
	data.Lines = lines
}

func (data *guardView) unread(f ra.Finding) {
	i := slices.IndexFunc(data.Unread, func(u unreadLine) bool { return u.Sentence == f.Sentence })
	if i < 0 {
		i = len(data.Unread)
		data.Unread = append(data.Unread, unreadLine{Sentence: f.Sentence, Remedy: f.Remedy})
	}
	if u := &data.Unread[i]; !slices.Contains(u.Conditions, f.Condition) {
		u.Conditions = append(u.Conditions, f.Condition)
	}
}

func signed(l findingLine) int {
	if l.Danger != nil && !l.Danger.Open() {
		return 1
	}
	return 0
}

// danger leads from an obligation to where it can be done.
func (v *visit) danger() error {
	d, err := v.Postures.Danger(v.ctx(), v.actor, id[ra.DangerID](v))
	if err != nil {
		return err
	}
	return v.redirect(guardURL(d.AuthorityID) + "#" + string(d.ID))
}

// signOffForm is somebody's word that a danger may stay.
type signOffForm struct{ Why, Hash string }

// Describe names the fields.
func (f *signOffForm) Describe(s *setting.Form) {
	s.Multiline(&f.Why, "why", "Why it may stay").Required().MaxLength(2000).Help("And what keeps it from being used. It is kept with your name, here and in the audit log.")
}

func (v *visit) signOffPage() error { return v.askSignOff(nil, nil) }

func (v *visit) askSignOff(posted url.Values, wrong error) error {
	d, err := v.Postures.Danger(v.ctx(), v.actor, id[ra.DangerID](v))
	if err != nil {
		return err
	}
	effect := []string{d.Finding.Sentence}
	if d.Finding.Remedy != "" {
		effect = append(effect, "Better: "+d.Finding.Remedy)
	}
	switch {
	case d.Finding.Template != "":
		effect = append(effect, "Templates may use "+d.Finding.Template+" from then on, as far as nothing else stops them.")
	case d.Finding.Authority:
		effect = append(effect, "New templates may use this authority from then on, as far as nothing else stops them.")
	}
	effect = append(effect, "You answer for it as "+v.actor.Name+". It is open again when anything about it changes.")
	c := confirmView{Title: "Sign the danger off", About: d.Finding.Condition + " " + d.Finding.Object, Effect: effect, Form: form{Cancel: guardURL(d.AuthorityID), Danger: true},
		CLI: []string{"chancery authority sign-off " + string(d.ID) + " --why TEXT"}}
	c.Hidden = map[string]string{"hash": d.Finding.Hash}
	return v.confirm(c, &signOffForm{}, posted, wrong)
}

func (v *visit) signOff() error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	d, err := v.Postures.SignOff(v.ctx(), v.actor, id[ra.DangerID](v), posted.Get("hash"), posted.Get("why"))
	if err != nil {
		return v.askSignOff(posted, err)
	}
	return v.done(guardURL(d.AuthorityID)+"#"+string(d.ID), "Signed off: "+d.Finding.Condition+" "+d.Finding.Object+".")
}

func (v *visit) reopenDanger() error {
	d, err := v.Postures.Reopen(v.ctx(), v.actor, id[ra.DangerID](v))
	if err != nil {
		return err
	}
	return v.done(guardURL(d.AuthorityID)+"#"+string(d.ID), "It is open again: "+d.Finding.Condition+" "+d.Finding.Object+".")
}

// guardOf says on an authority's page how it stands; nil: nothing guards it.
func (v *visit) guardOf(a *ra.Authority) *guardState {
	if !v.Postures.Guarded(v.ctx(), a.ID) {
		return nil
	}
	g, err := v.Postures.Get(v.ctx(), v.actor, a.ID)
	if err != nil {
		return nil // an authority lent from above: its dangers are for those who run it
	}
	s := &guardState{URL: guardURL(a.ID), State: "passed", Text: "Nothing dangerous is open."}
	switch open := g.Open(); {
	case open > 0:
		s.State, s.Text = ra.SeverityDanger, strconv.Itoa(open)+" open"
	case g.Posture.Evaluated.IsZero():
		s.State, s.Text = "unknown", "It has not looked yet."
	case g.Posture.LastError != "" || g.Directory == nil:
		s.State, s.Text = "warning", "It could not see everything."
	}
	return s
}

// guardState is the guard in one line.
type guardState struct{ URL, State, Text string }

// pickIssuing draws the templates of a Microsoft CA to choose from, each with what
// it requires; where they are not known, the text to type stays.
func (v *visit) pickIssuing(in *input, list []option) {
	if len(list) == 0 {
		return
	}
	in.Kind, in.Label, in.Help, in.Options = "pick", "Template of the CA", "", slices.Clone(list)
	found := false
	for i := range in.Options {
		o := &in.Options[i]
		o.Selected = o.Value == in.Value
		found = found || o.Selected
	}
	if !found && in.Value != "" {
		in.Options = append(in.Options, option{Value: in.Value, Label: in.Value, Selected: true, Notes: []string{"The CA does not offer it now."}})
	}
}

// issuingTemplates asks for the templates of an authority that is guarded.
func (v *visit) issuingTemplates(id ra.AuthorityID) []option {
	if id == "" || !v.Postures.Guarded(v.ctx(), id) {
		return nil
	}
	ctx, cancel := v.shortly()
	defer cancel()
	list, err := v.Postures.Catalog(ctx, v.actor, id, "templates", nil)
	if err != nil {
		v.Log.Info("an authority's templates are not known", "authority", id, "error", err)
		return nil
	}
	var out []option
	for _, p := range list {
		out = append(out, option{Value: p.ID, Label: p.Title, Notes: p.Requires, Obstacles: p.Obstacles})
	}
	slices.SortStableFunc(out, func(a, b option) int { return min(len(a.Obstacles), 1) - min(len(b.Obstacles), 1) })
	return out
}
