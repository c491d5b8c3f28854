package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"chancery/internal/api/client"
	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// A document says how one thing shall be: its kind, what identifies it, and
// the fields that matter. References are names, never IDs, so that a document
// means the same on another server. A field that is left out stays as it is;
// settings and spec are looked at field by field too.
type document map[string]any

// The kinds, in the order in which things need each other.
var documentKinds = []string{"group", "directory", "key-service", "authority", "template", "import", "endpoint", "user", "device", "administrator"}

// The shapes of documents, in the order they are written.
type (
	groupDoc struct {
		Kind         string `json:"kind"`
		Name         string `json:"name"`
		Parent       string `json:"parent,omitempty"` // path of names
		Organization string `json:"organization,omitempty"`
		Country      string `json:"country,omitempty"`
		Realm        string `json:"realm,omitempty"`
		EmailDomain  string `json:"email_domain,omitempty"`
		Contact      string `json:"contact,omitempty"`
	}
	authorityDoc struct {
		Kind          string         `json:"kind"`
		Name          string         `json:"name"`
		Type          string         `json:"type"` // kind of authority
		Group         string         `json:"group"`
		Description   string         `json:"description,omitempty"`
		RatePerSecond float64        `json:"rate_per_second,omitempty"`
		MaxInFlight   int            `json:"max_in_flight,omitempty"`
		Disabled      bool           `json:"disabled,omitempty"`
		Settings      map[string]any `json:"settings,omitempty"`
	}
	templateDoc struct {
		Kind        string           `json:"kind"`
		Name        string           `json:"name"`
		Group       string           `json:"group"`
		Authority   string           `json:"authority"`
		Description string           `json:"description,omitempty"`
		Disabled    bool             `json:"disabled,omitempty"`
		Spec        *ra.TemplateSpec `json:"spec,omitempty"`
	}
	endpointDoc struct {
		Kind     string         `json:"kind"`
		Name     string         `json:"name"`
		Group    string         `json:"group,omitempty"`
		Template string         `json:"template"`
		Disabled bool           `json:"disabled,omitempty"`
		Settings map[string]any `json:"settings,omitempty"`
	}
	userDoc struct {
		Kind        string            `json:"kind"`
		Name        string            `json:"name"`
		Group       string            `json:"group"`
		Email       string            `json:"email,omitempty"`
		UPN         string            `json:"upn,omitempty"`
		SID         string            `json:"sid,omitempty"`
		FirstName   string            `json:"first_name,omitempty"`
		LastName    string            `json:"last_name,omitempty"`
		DisplayName string            `json:"display_name,omitempty"`
		DN          string            `json:"dn,omitempty"`
		Attributes  map[string]string `json:"attributes,omitempty"`
		Disabled    bool              `json:"disabled,omitempty"`
	}
	deviceDoc struct {
		Kind         string            `json:"kind"`
		PlatformID   string            `json:"platform_id"`
		Name         string            `json:"name,omitempty"`
		Group        string            `json:"group"`
		User         string            `json:"user,omitempty"` // path of the group and the name: Acme/ada
		Platform     string            `json:"platform,omitempty"`
		SerialNumber string            `json:"serial_number,omitempty"`
		Model        string            `json:"model,omitempty"`
		OSVersion    string            `json:"os_version,omitempty"`
		Ownership    string            `json:"ownership,omitempty"`
		Attributes   map[string]string `json:"attributes,omitempty"`
	}
	adminDoc struct {
		Kind        string           `json:"kind"`
		Name        string           `json:"name"`
		DisplayName string           `json:"display_name,omitempty"`
		Email       string           `json:"email,omitempty"`
		Disabled    bool             `json:"disabled,omitempty"`
		Grants      []resource.Grant `json:"grants,omitempty"` // groups are paths of names
	}
)

// shapeOf gives an empty shape of a kind, or nil.
func shapeOf(kind string) any {
	switch kind {
	case "group":
		return &groupDoc{}
	case "directory", "key-service":
		return &definedDoc{}
	case "authority":
		return &authorityDoc{}
	case "template":
		return &templateDoc{}
	case "import":
		return &importDoc{}
	case "endpoint":
		return &endpointDoc{}
	case "user":
		return &userDoc{}
	case "device":
		return &deviceDoc{}
	case "administrator":
		return &adminDoc{}
	}
	return nil
}

// maxDocuments bounds what is read at once, in bytes.
const maxDocuments = 64 << 20

// readDocuments reads YAML or JSON, one document or many, or lists of them.
func readDocuments(raw []byte) ([]document, error) {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	var out []document
	for n := 1; ; n++ {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, ra.Errorf(ra.Invalid, "Document %d is not YAML or JSON.", n).WithRemedy("Look at it near this: %s", strings.TrimPrefix(err.Error(), "yaml: ")).WithCause(err)
		}
		list, many := v.([]any) // as export -o json writes them
		if !many && v != nil {
			list = []any{v}
		}
		for _, item := range list {
			m, err := plain(item)
			if err != nil || m == nil {
				return nil, ra.Errorf(ra.Invalid, "Document %d is not a mapping with text keys.", n).WithRemedy("Begin it with kind: and name:.").WithCause(err)
			}
			out = append(out, m)
		}
	}
}

// plain turns what YAML gives into what JSON gives, so that they compare.
func plain(v any) (document, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m document
	return m, json.Unmarshal(b, &m)
}

// strict fills a shape from a document; a field it does not know is an error.
func strict(d document, shape any) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(shape); err != nil {
		return ra.Errorf(ra.Invalid, "%s is not right: %s.", d.title(), strings.TrimPrefix(err.Error(), "json: ")).
			WithRemedy("See chancery export for what documents look like.").WithCause(err)
	}
	return nil
}

func (d document) text(field string) string {
	s, _ := d[field].(string)
	return s
}

// title is how messages call a document.
func (d document) title() string {
	kind, name := d.text("kind"), d.text("name")
	if kind == "device" && d.text("platform_id") != "" {
		name = d.text("platform_id")
	}
	if kind == "group" && d.text("parent") != "" {
		name = d.text("parent") + "/" + escapeName(name)
	}
	if kind == "" {
		return "A document without kind"
	}
	return kind + " " + name
}

// key identifies the thing a document is about.
func (d document) key() string {
	kind := d.text("kind")
	name := d.text("name")
	switch kind {
	case "group":
		name = joinPath(d.text("parent"), name)
	case "user":
		name = joinPath(d.text("group"), name)
	case "device":
		name = organizationOf(d.text("group")) + "\x00" + d.text("platform_id")
		return kind + "\x00" + name // platform IDs differ by case
	}
	return kind + "\x00" + ra.Fold(name)
}

// joinPath puts a name below a path of names.
func joinPath(path, name string) string {
	if path == "" {
		return escapeName(name)
	}
	return path + "/" + escapeName(name)
}

// organizationOf is the first step of a path of names, folded.
func organizationOf(path string) string {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '/':
			return ra.Fold(path[:i])
		}
	}
	return ra.Fold(path)
}

// landscape is how things are: every thing of some kinds as a document, with
// its ID.
type landscape struct {
	docs []document
	ids  map[string]string   // key: ID
	now  map[string]document // key: document
}

// survey reads how things are. Groups are always read, because everything
// refers to them.
func (s *session) survey(kinds map[string]bool) (*landscape, error) {
	l := &landscape{ids: map[string]string{}, now: map[string]document{}}
	steps := map[string]func() error{"group": func() error { return s.surveyGroups(l) }, "directory": func() error { return s.surveyDirectories(l) },
		"key-service": func() error { return s.surveyKeyServices(l) }, "import": func() error { return s.surveyImports(l) }, "authority": func() error { return s.surveyAuthorities(l) },
		"template": func() error { return s.surveyTemplates(l) }, "endpoint": func() error { return s.surveyEndpoints(l) }, "user": func() error { return s.surveyUsers(l) },
		"device": func() error { return s.surveyDevices(l) }, "administrator": func() error { return s.surveyAdmins(l) }}
	for _, kind := range documentKinds {
		if kind == "group" || kinds[kind] {
			if err := steps[kind](); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// add takes a thing into the landscape.
func (l *landscape) add(id string, shape any) error {
	d, err := plain(shape)
	if err != nil {
		return err
	}
	l.docs = append(l.docs, d)
	l.ids[d.key()], l.now[d.key()] = id, d
	return nil
}

// every walks a whole list.
func every[T any](list func(resource.PageQuery) (resource.Page[T], error), take func(T) error) error {
	for item, err := range client.All(func(after string) (resource.Page[T], error) {
		return list(resource.PageQuery{Limit: 1000, After: after})
	}) {
		if err == nil {
			err = take(item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) surveyGroups(l *landscape) error {
	all, err := s.allGroups()
	if err != nil {
		return err
	}
	ids := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return strings.Compare(s.groupName(a), s.groupName(b)) })
	for _, id := range ids {
		g := all[id]
		parent := ""
		if _, seen := all[g.ParentID]; seen {
			parent = s.groupName(g.ParentID)
		}
		if err := l.add(id, groupDoc{Kind: "group", Name: g.Name, Parent: parent, Organization: g.Organization, Country: g.Country, Realm: g.Realm,
			EmailDomain: g.EmailDomain, Contact: g.Contact}); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) surveyAuthorities(l *landscape) error {
	err := every(func(p resource.PageQuery) (resource.Page[resource.Authority], error) {
		return s.c.Authorities(s.ctx, resource.AuthorityQuery{PageQuery: p})
	}, func(a resource.Authority) error {
		s.remember(a.ID, a.Name)
		settings, err := withoutNulls(a.Settings)
		if err != nil {
			return err
		}
		return l.add(a.ID, authorityDoc{Kind: "authority", Name: a.Name, Type: a.Kind, Group: s.groupName(a.GroupID), Description: a.Description,
			RatePerSecond: a.RatePerSecond, MaxInFlight: a.MaxInFlight, Disabled: a.Disabled, Settings: settings})
	})
	s.nameReferences(l)
	return err
}

// withoutNulls leaves out the settings that have no value.
func withoutNulls(raw []byte) (map[string]any, error) {
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m, nil
}

func (s *session) surveyTemplates(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.Template], error) {
		return s.c.Templates(s.ctx, resource.TemplateQuery{PageQuery: p})
	}, func(t resource.Template) error {
		s.remember(t.ID, t.Name)
		t.Spec.Publish.KeyService = ra.KeyServiceID(s.label("key-service", string(t.Spec.Publish.KeyService)))
		return l.add(t.ID, templateDoc{Kind: "template", Name: t.Name, Group: s.groupName(t.GroupID), Authority: s.label("authority", t.AuthorityID), Description: t.Description,
			Disabled: t.Disabled, Spec: &t.Spec})
	})
}

func (s *session) surveyEndpoints(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.Endpoint], error) {
		return s.c.Endpoints(s.ctx, resource.EndpointQuery{PageQuery: p})
	}, func(e resource.Endpoint) error {
		settings, err := withoutNulls(e.Settings)
		if err != nil {
			return err
		}
		return l.add(e.ID, endpointDoc{Kind: "endpoint", Name: e.Name, Group: s.groupName(e.GroupID), Template: s.label("template", e.TemplateID), Disabled: e.Disabled, Settings: settings})
	})
}

func (s *session) surveyUsers(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.User], error) {
		return s.c.Users(s.ctx, resource.UserQuery{PageQuery: p})
	}, func(u resource.User) error {
		group := s.groupName(u.GroupID)
		s.remember(u.ID, joinPath(group, u.Name))
		return l.add(u.ID, userDoc{Kind: "user", Name: u.Name, Group: group, Email: u.Email, UPN: u.UPN, SID: u.SID, FirstName: u.FirstName, LastName: u.LastName,
			DisplayName: u.DisplayName, DN: u.DN, Attributes: u.Attributes, Disabled: u.Disabled})
	})
}

func (s *session) surveyDevices(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.Device], error) {
		return s.c.Devices(s.ctx, resource.DeviceQuery{PageQuery: p})
	}, func(d resource.Device) error {
		return l.add(d.ID, deviceDoc{Kind: "device", PlatformID: d.PlatformID, Name: d.Name, Group: s.groupName(d.GroupID), User: s.names.things[d.UserID], Platform: d.Platform,
			SerialNumber: d.SerialNumber, Model: d.Model, OSVersion: d.OSVersion, Ownership: d.Ownership, Attributes: d.Attributes})
	})
}

func (s *session) surveyAdmins(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.Admin], error) {
		return s.c.Admins(s.ctx, resource.AdminQuery{PageQuery: p})
	}, func(a resource.Admin) error {
		grants := slices.Clone(a.Grants)
		for i, g := range grants {
			if g.Group != "" {
				grants[i].Group = s.groupName(g.Group)
			}
		}
		return l.add(a.ID, adminDoc{Kind: "administrator", Name: a.Name, DisplayName: a.DisplayName, Email: a.Email, Disabled: a.Disabled, Grants: grants})
	})
}

// remember keeps a name for label.
func (s *session) remember(id, name string) {
	if s.names.things == nil {
		s.names.things = map[string]string{}
	}
	s.names.things[id] = name
}

// asYAML writes a document in the order of its shape.
func (d document) asYAML() ([]byte, error) {
	shape := shapeOf(d.text("kind"))
	if err := strict(d, shape); err != nil {
		return nil, err
	}
	b, err := json.Marshal(shape)
	if err != nil {
		return nil, err
	}
	return toYAML(b)
}
