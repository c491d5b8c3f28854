package console

import (
	"net/http"
	"net/url"

	"chancery/internal/access"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

type groupsView struct {
	Tree    []*inventory.Node
	MayEdit bool
	CLI     []string
}

// inherited is a setting in effect and where it comes from.
type inherited struct {
	Label, Value string
	From         link // empty: set here
	Here         bool
}

type groupView struct {
	Group    *ra.Group
	Parent   link
	Children []*inventory.Node
	Settings []inherited
	Events   []*ra.AuditEntry
	MayEdit  bool
	CLI      []string
}

var (
	groupsPage = view[groupsView]("groups")
	groupPage  = view[groupView]("group")
)

// flatten lists the nodes of trees from the top down.
func flatten(nodes []*inventory.Node) []*inventory.Node {
	var out []*inventory.Node
	for _, n := range nodes {
		out = append(append(out, n), flatten(n.Children)...)
	}
	return out
}

func (v *visit) groups() error {
	tree, err := v.Inventory.Tree(v.ctx(), v.actor)
	if err != nil {
		return err
	}
	return groupsPage.show(v, http.StatusOK, groupsView{Tree: tree, MayEdit: v.mayAnywhere(access.EditGroups), CLI: []string{"chancery group list"}})
}

func (v *visit) loadGroup() (*ra.Group, error) {
	return v.Inventory.Group(v.ctx(), v.actor, id[ra.GroupID](v))
}

func (v *visit) group() error {
	g, err := v.loadGroup()
	if err != nil {
		return err
	}
	tree, err := v.Inventory.Tree(v.ctx(), v.actor)
	if err != nil {
		return err
	}
	events, err := v.Audit.About(v.ctx(), string(g.ID), 20)
	if err != nil {
		return err
	}
	data := groupView{Group: g, Parent: v.groupLink(g.ParentID), Events: events, MayEdit: v.may(access.EditGroups, g.ID), CLI: []string{"chancery group show " + string(g.ID)}}
	nodes := map[ra.GroupID]*inventory.Node{}
	for _, n := range flatten(tree) {
		nodes[n.ID] = n
	}
	if n := nodes[g.ID]; n != nil {
		data.Children, data.Settings = n.Children, settingsOf(n, nodes)
	}
	return groupPage.show(v, http.StatusOK, data)
}

// groupFields are the settings a group lends, with how to read each.
var groupFields = []struct {
	label string
	get   func(ra.GroupSettings) string
}{
	{"Organization", func(s ra.GroupSettings) string { return s.Organization }},
	{"Country", func(s ra.GroupSettings) string { return s.Country }},
	{"Realm or UPN suffix", func(s ra.GroupSettings) string { return s.Realm }},
	{"Mail domain", func(s ra.GroupSettings) string { return s.EmailDomain }},
	{"Contact", func(s ra.GroupSettings) string { return s.Contact }},
}

// settingsOf finds each setting in effect and the group that sets it.
func settingsOf(n *inventory.Node, nodes map[ra.GroupID]*inventory.Node) []inherited {
	var out []inherited
	for _, f := range groupFields {
		line := inherited{Label: f.label, Value: f.get(n.Effective), Here: f.get(n.Settings) != ""}
		for up := nodes[n.ParentID]; up != nil && !line.Here && line.Value != "" && line.From.Title == ""; up = nodes[up.ParentID] {
			if f.get(up.Settings) != "" {
				line.From = link{up.Name, "/groups/" + string(up.ID)}
			}
		}
		if !line.Here && line.Value != "" && line.From.Title == "" {
			line.From = link{Title: "a group above yours"}
		}
		out = append(out, line)
	}
	return out
}

// groupForm is what a person says about a group.
type groupForm struct {
	Parent, Name, Organization, Country, Realm, EmailDomain, Contact string
}

// Describe names the fields.
func (f *groupForm) Describe(s *setting.Form) {
	s.Text(&f.Name, "name", "Name").Required().MaxLength(200)
	s.Choice(&f.Parent, "parent_id", "Parent").Lookup("groups").Help("None makes it an organization of its own.")
	s.Section("Settings", "Left empty, a setting is taken from the group above. Templates use them as lookup values.")
	s.Text(&f.Organization, "organization", "Organization").MaxLength(200)
	s.Text(&f.Country, "country", "Country").MaxLength(2).Placeholder("SE").Help("Two letters of ISO 3166.")
	s.Text(&f.Realm, "realm", "Realm or UPN suffix").MaxLength(200).Placeholder("CORP.EXAMPLE.COM")
	s.Text(&f.EmailDomain, "email_domain", "Mail domain").MaxLength(254).Placeholder("example.com")
	s.Text(&f.Contact, "contact", "Contact").MaxLength(200).Help("Who hears when something needs people.")
}

func (f *groupForm) input() inventory.GroupInput {
	return inventory.GroupInput{ParentID: (*ra.GroupID)(&f.Parent), Name: &f.Name, Organization: &f.Organization, Country: &f.Country, Realm: &f.Realm,
		EmailDomain: &f.EmailDomain, Contact: &f.Contact}
}

func (v *visit) newGroupPage() error {
	return v.editGroupForm(&groupForm{Parent: v.query("parent")}, nil, nil, nil)
}

func (v *visit) editGroupForm(f *groupForm, g *ra.Group, posted url.Values, wrong error) error {
	groups, err := v.groupOptions()
	if err != nil {
		return err
	}
	p := v.sort(wrong, fieldNames(f))
	sets := draw(f, drawing{values: posted, bad: p.byField, options: map[string][]option{"parent_id": groups}})
	data := editView{Title: "Add a group", Crumb: link{"Groups", "/groups"}, Form: form{Action: v.r.URL.Path, Sets: sets, Problem: p.summary, Submit: "Add the group", Cancel: "/groups"},
		CLI: []string{"chancery group create NAME --parent GROUP"}}
	if g != nil {
		data.Title, data.Crumb, data.Form.Submit, data.Form.Cancel = "Edit "+g.Name, link{g.Name, "/groups/" + string(g.ID)}, "Save", "/groups/"+string(g.ID)
		data.CLI = []string{"chancery group update " + string(g.ID) + " --name NAME"}
	}
	return editPage.show(v, statusOf(wrong), data)
}

func (v *visit) saveGroup(f *groupForm, g *ra.Group, save func(inventory.GroupInput) (*ra.Group, error), notice string) error {
	posted, err := v.form()
	if err != nil {
		return err
	}
	if err := setting.FromForm(f, posted); err != nil {
		return v.editGroupForm(f, g, posted, err)
	}
	saved, err := save(f.input())
	if err != nil {
		return v.editGroupForm(f, g, posted, err)
	}
	return v.done("/groups/"+string(saved.ID), notice)
}

func (v *visit) newGroup() error {
	return v.saveGroup(&groupForm{}, nil, func(in inventory.GroupInput) (*ra.Group, error) { return v.Inventory.CreateGroup(v.ctx(), v.actor, in) }, "The group is added.")
}

func groupFormOf(g *ra.Group) *groupForm {
	s := g.Settings
	return &groupForm{Parent: string(g.ParentID), Name: g.Name, Organization: s.Organization, Country: s.Country, Realm: s.Realm, EmailDomain: s.EmailDomain, Contact: s.Contact}
}

func (v *visit) editGroupPage() error {
	g, err := v.loadGroup()
	if err != nil {
		return err
	}
	return v.editGroupForm(groupFormOf(g), g, nil, nil)
}

func (v *visit) editGroup() error {
	g, err := v.loadGroup()
	if err != nil {
		return err
	}
	return v.saveGroup(groupFormOf(g), g, func(in inventory.GroupInput) (*ra.Group, error) {
		return v.Inventory.UpdateGroup(v.ctx(), v.actor, g.ID, in)
	}, "The group is changed.")
}

func (v *visit) deleteGroupPage() error { return v.askDeleteGroup(nil) }

func (v *visit) askDeleteGroup(wrong error) error {
	g, err := v.loadGroup()
	if err != nil {
		return err
	}
	return v.confirm(confirmView{Title: "Delete the group", About: g.Name, Effect: []string{"Only an empty group can be deleted: no groups, users, devices, templates, authorities, requests or certificates in it."},
		Form: form{Cancel: "/groups/" + string(g.ID), Danger: true}, CLI: []string{"chancery group delete " + string(g.ID)}}, nil, nil, wrong)
}

func (v *visit) deleteGroup() error {
	g, err := v.loadGroup()
	if err != nil {
		return err
	}
	if err := v.Inventory.DeleteGroup(v.ctx(), v.actor, g.ID); err != nil {
		return v.askDeleteGroup(err)
	}
	return v.done("/groups", "The group "+g.Name+" is deleted.")
}
