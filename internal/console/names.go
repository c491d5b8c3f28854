package console

import (
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// names remembers what things are called while one page is drawn. What cannot
// be seen, or is gone, is called by its ID.
type names map[string]string

func (v *visit) named(id string, find func() (string, error)) string {
	if id == "" {
		return ""
	}
	if name, ok := v.known[id]; ok {
		return name
	}
	name, err := find()
	if err != nil || name == "" {
		name = id
	}
	if v.known == nil {
		v.known = names{}
	}
	v.known[id] = name
	return name
}

// link is a thing with its page. A link without address is drawn as text.
type link struct{ Title, URL string }

func linked(title, base, id string) link {
	if id == "" {
		return link{}
	}
	return link{Title: title, URL: base + id}
}

func (v *visit) authorityLink(id ra.AuthorityID) link {
	return linked(v.named(string(id), func() (string, error) {
		a, err := v.Authorities.Get(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return a.Name, nil
	}), "/authorities/", string(id))
}

func (v *visit) templateLink(id ra.TemplateID) link {
	return linked(v.named(string(id), func() (string, error) {
		t, err := v.Enroll.Template(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return t.Name, nil
	}), "/templates/", string(id))
}

func (v *visit) directoryLink(id ra.DirectoryID) link {
	return linked(v.named(string(id), func() (string, error) {
		d, _, err := v.Directories.Get(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return d.Name, nil
	}), "/directories/", string(id))
}

func (v *visit) deviceLink(id ra.DeviceID) link {
	return linked(v.named(string(id), func() (string, error) {
		d, err := v.Inventory.Device(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return d.Name, nil
	}), "/devices/", string(id))
}

func (v *visit) userLink(id ra.UserID) link {
	return linked(v.named(string(id), func() (string, error) {
		u, err := v.Inventory.User(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return u.Name, nil
	}), "/users/", string(id))
}

func (v *visit) groupLink(id ra.GroupID) link {
	return linked(v.named(string(id), func() (string, error) {
		g, err := v.Inventory.Group(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	}), "/groups/", string(id))
}

func (v *visit) endpointLink(id ra.EndpointID) link {
	return linked(v.named(string(id), func() (string, error) {
		e, err := v.Enroll.Endpoint(v.ctx(), v.actor, id)
		if err != nil {
			return "", err
		}
		return e.Name, nil
	}), "/endpoints/", string(id))
}

// pick is a page of things to choose from: enough for a list, bounded always.
var pick = store.Page{Limit: 500, Sort: "name"}

// groupOptions lists the groups of the tree, indented by depth.
func (v *visit) groupOptions() ([]option, error) {
	tree, err := v.Inventory.Tree(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	return groupLines(tree, 0), nil
}

// groupsBelow lists a group and what is below it.
func (v *visit) groupsBelow(id ra.GroupID) ([]option, error) {
	tree, err := v.Inventory.Tree(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	for _, n := range flatten(tree) {
		if n.ID == id {
			return groupLines([]*inventory.Node{n}, n.Depth), nil
		}
	}
	return nil, nil
}

func groupLines(tree []*inventory.Node, from int) []option {
	var out []option
	for _, n := range flatten(tree) {
		indent := ""
		for range n.Depth - from {
			indent += "\u2003"
		}
		out = append(out, option{Value: string(n.ID), Label: indent + n.Name})
	}
	return out
}

func (v *visit) authorityOptions() ([]option, error) {
	list, _, err := v.Authorities.Find(v.ctx(), v.actor, store.AuthorityFilter{Page: pick})
	out := make([]option, len(list))
	for i, a := range list {
		out[i] = option{Value: string(a.ID), Label: a.Name}
	}
	return out, err
}

// templateOptions lists templates that keep accepts.
func (v *visit) templateOptions(keep func(*ra.Template) bool) ([]option, error) {
	list, _, err := v.Enroll.FindTemplates(v.ctx(), v.actor, store.TemplateFilter{Page: pick})
	var out []option
	for _, t := range list {
		if keep == nil || keep(t) {
			out = append(out, option{Value: string(t.ID), Label: t.Name})
		}
	}
	return out, err
}

// deviceOptions suggests devices by name; one whose name is not its own is
// suggested by ID.
func (v *visit) deviceOptions() ([]option, error) {
	list, _, err := v.Inventory.FindDevices(v.ctx(), v.actor, store.DeviceFilter{Page: store.Page{Limit: 200, Sort: "name"}})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, d := range list {
		count[ra.Fold(d.Name)]++
	}
	var out []option
	for _, d := range list {
		o := option{Value: d.Name, Label: d.PlatformID}
		if count[ra.Fold(d.Name)] > 1 {
			o = option{Value: string(d.ID), Label: d.Name + ", " + d.PlatformID}
		}
		out = append(out, o)
	}
	return out, nil
}

func (v *visit) userOptions() ([]option, error) {
	list, _, err := v.Inventory.FindUsers(v.ctx(), v.actor, store.UserFilter{Page: store.Page{Limit: 200, Sort: "name"}})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, u := range list {
		count[ra.Fold(u.Name)]++
	}
	var out []option
	for _, u := range list {
		o := option{Value: u.Name, Label: u.DisplayName}
		if count[ra.Fold(u.Name)] > 1 {
			o = option{Value: string(u.ID), Label: u.Name + " " + u.DisplayName}
		}
		out = append(out, o)
	}
	return out, nil
}

// findDevice gives the device a person typed: its ID, or its name or platform
// ID where only one has it. The empty text is no device.
func (v *visit) findDevice(field, text string) (*ra.Device, error) {
	if text == "" {
		return nil, nil
	}
	d, err := v.Inventory.Device(v.ctx(), v.actor, ra.DeviceID(text))
	if ra.KindOf(err) != ra.NotFound {
		return d, err
	}
	list, _, err := v.Inventory.FindDevices(v.ctx(), v.actor, store.DeviceFilter{Text: text, Page: store.Page{Limit: 50}})
	if err != nil {
		return nil, err
	}
	var found []*ra.Device
	for _, d := range list {
		if ra.Fold(d.Name) == ra.Fold(text) || d.PlatformID == text {
			found = append(found, d)
		}
	}
	return only(found, field, "device", text)
}

// findUser is findDevice for users.
func (v *visit) findUser(field, text string) (*ra.User, error) {
	if text == "" {
		return nil, nil
	}
	u, err := v.Inventory.User(v.ctx(), v.actor, ra.UserID(text))
	if ra.KindOf(err) != ra.NotFound {
		return u, err
	}
	list, _, err := v.Inventory.FindUsers(v.ctx(), v.actor, store.UserFilter{Text: text, Page: store.Page{Limit: 50}})
	if err != nil {
		return nil, err
	}
	var found []*ra.User
	for _, u := range list {
		if ra.Fold(u.Name) == ra.Fold(text) {
			found = append(found, u)
		}
	}
	return only(found, field, "user", text)
}

func only[T any](found []*T, field, noun, text string) (*T, error) {
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, ra.Errorf(ra.Invalid, "There is no %s called %q.", noun, clip(text, 80)).WithField(field).WithRemedy("Choose one of those suggested, or give its ID.")
	}
	return nil, ra.Errorf(ra.Invalid, "More than one %s is called %q.", noun, clip(text, 80)).WithField(field).WithRemedy("Give the ID of the one you mean; its own page shows it.")
}

// clip shortens a text to n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
