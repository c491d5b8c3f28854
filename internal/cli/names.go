package cli

import (
	"strings"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// names turns IDs into names and back. It asks once per kind.
type names struct {
	groups map[string]resource.Group
	things map[string]string
}

// isID reports whether a reference is an ID of a kind already.
func isID(ref, prefix string) bool {
	rest, ok := strings.CutPrefix(ref, prefix+"_")
	return ok && len(rest) == 26
}

// pick finds the thing a person means among those a search gave.
func pick[T any](what, ref string, found []T, fits func(T) bool, id func(T) string) (string, error) {
	var ids []string
	for _, f := range found {
		if fits(f) {
			ids = append(ids, id(f))
		}
	}
	switch len(ids) {
	case 0:
		return "", ra.Errorf(ra.NotFound, "There is no %s %q.", what, ref).WithRemedy("Check the name; list commands show what there is.")
	case 1:
		return ids[0], nil
	}
	return "", ra.Errorf(ra.Invalid, "There are several called %q.", ref).WithRemedy("Name one by its ID: %s.", strings.Join(ids[:min(5, len(ids))], ", "))
}

func same(a, b string) bool { return ra.Fold(a) == ra.Fold(b) }

// allGroups gives every group by ID.
func (s *session) allGroups() (map[string]resource.Group, error) {
	if s.names.groups != nil {
		return s.names.groups, nil
	}
	all := map[string]resource.Group{}
	for g, err := range client.All(func(after string) (resource.Page[resource.Group], error) {
		return s.c.Groups(s.ctx, resource.GroupQuery{PageQuery: resource.PageQuery{Limit: 1000, After: after}})
	}) {
		if err != nil {
			return nil, err
		}
		all[g.ID] = g
	}
	s.names.groups = all
	return all, nil
}

// groupName gives the path of names of a group: "Acme/Sales". One that cannot be
// seen keeps its ID.
func (s *session) groupName(id string) string {
	all, err := s.allGroups()
	if err != nil {
		return id
	}
	return groupPath(all, id)
}

func groupPath(all map[string]resource.Group, id string) string {
	g, ok := all[id]
	if !ok {
		return id
	}
	if _, up := all[g.ParentID]; !up {
		return escapeName(g.Name)
	}
	return groupPath(all, g.ParentID) + "/" + escapeName(g.Name)
}

// escapeName writes a name as one step of a path.
func escapeName(name string) string { return strings.NewReplacer(`\`, `\\`, "/", `\/`).Replace(name) }

// groupID finds a group by ID, name, or path of names.
func (s *session) groupID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.GroupPrefix) {
		return ref, nil
	}
	all, err := s.allGroups()
	if err != nil {
		return "", err
	}
	list := []resource.Group{}
	for id, g := range all {
		if same(groupPath(all, id), ref) {
			return id, nil
		}
		list = append(list, g)
	}
	return pick("organization group", ref, list, func(g resource.Group) bool { return same(g.Name, ref) }, func(g resource.Group) string { return g.ID })
}

// maxLabels is how many things a table asks the names of; the rest keep IDs.
const maxLabels = 200

// label gives the name of a thing for tables.
func (s *session) label(kind, id string) string {
	if id == "" {
		return ""
	}
	if name, ok := s.names.things[id]; ok {
		return name
	}
	if len(s.names.things) >= maxLabels {
		return id
	}
	name := id
	switch kind {
	case "authority":
		if a, err := s.c.Authority(s.ctx, id); err == nil {
			name = a.Name
		}
	case "directory":
		if d, err := s.c.Directory(s.ctx, id); err == nil {
			name = d.Name
		}
	case "key-service":
		if k, err := s.c.KeyService(s.ctx, id); err == nil {
			name = k.Name
		}
	case "template":
		if t, err := s.c.Template(s.ctx, id); err == nil {
			name = t.Name
		}
	case "device":
		if d, err := s.c.Device(s.ctx, id); err == nil {
			name = d.Name
		}
	case "user":
		if u, err := s.c.User(s.ctx, id); err == nil {
			name = u.Name
		}
	case "endpoint":
		if e, err := s.c.Endpoint(s.ctx, id); err == nil {
			name = e.Name
		}
	}
	s.remember(id, name)
	return name
}

// search is how many candidates a name may have.
const search = 200

func (s *session) userID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.UserPrefix) {
		return ref, nil
	}
	page, err := s.c.Users(s.ctx, resource.UserQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("user", ref, page.Items, func(u resource.User) bool { return same(u.Name, ref) || same(u.Email, ref) || same(u.UPN, ref) }, func(u resource.User) string { return u.ID })
}

func (s *session) deviceID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.DevicePrefix) {
		return ref, nil
	}
	page, err := s.c.Devices(s.ctx, resource.DeviceQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("device", ref, page.Items, func(d resource.Device) bool {
		return same(d.Name, ref) || same(d.PlatformID, ref) || same(d.SerialNumber, ref)
	}, func(d resource.Device) string { return d.ID })
}

func (s *session) authorityID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.AuthorityPrefix) {
		return ref, nil
	}
	page, err := s.c.Authorities(s.ctx, resource.AuthorityQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("authority", ref, page.Items, func(a resource.Authority) bool { return same(a.Name, ref) }, func(a resource.Authority) string { return a.ID })
}

func (s *session) templateID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.TemplatePrefix) {
		return ref, nil
	}
	page, err := s.c.Templates(s.ctx, resource.TemplateQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("template", ref, page.Items, func(t resource.Template) bool { return same(t.Name, ref) }, func(t resource.Template) string { return t.ID })
}

func (s *session) endpointID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.EndpointPrefix) {
		return ref, nil
	}
	page, err := s.c.Endpoints(s.ctx, resource.EndpointQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("SCEP endpoint", ref, page.Items, func(e resource.Endpoint) bool { return same(e.Name, ref) }, func(e resource.Endpoint) string { return e.ID })
}

func (s *session) adminID(ref string) (string, error) {
	if isID(ref, ra.AdminPrefix) {
		return ref, nil
	}
	page, err := s.c.Admins(s.ctx, resource.AdminQuery{Text: ref, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("administrator", ref, page.Items, func(a resource.Admin) bool { return same(a.Name, ref) }, func(a resource.Admin) string { return a.ID })
}

func (s *session) tokenID(ref string) (string, error) {
	if isID(ref, ra.TokenPrefix) {
		return ref, nil
	}
	list, err := client.Collect(func(after string) (resource.Page[resource.Token], error) {
		return s.c.Tokens(s.ctx, resource.PageQuery{Limit: 1000, After: after})
	})
	if err != nil {
		return "", err
	}
	return pick("API token", ref, list, func(t resource.Token) bool { return same(t.Name, ref) }, func(t resource.Token) string { return t.ID })
}

// certificateID finds a certificate by ID, serial number or fingerprint.
func (s *session) certificateID(ref string) (string, error) {
	if ref == "" || isID(ref, ra.CertificatePrefix) {
		return ref, nil
	}
	hex := strings.ToLower(strings.ReplaceAll(ref, ":", ""))
	page, err := s.c.Certificates(s.ctx, resource.CertificateQuery{CertificateFilter: resource.CertificateFilter{Text: hex, OwnToo: true}, PageQuery: resource.PageQuery{Limit: search}})
	if err != nil {
		return "", err
	}
	return pick("certificate", ref, page.Items, func(c resource.Certificate) bool { return c.Serial == hex || c.Fingerprint == hex }, func(c resource.Certificate) string { return c.ID })
}
