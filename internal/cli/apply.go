package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"chancery/internal/api/resource"
	"chancery/internal/ca/all"
	"chancery/internal/dirpolicy"
	"chancery/internal/keypolicy"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

func (p *Program) apply() *cobra.Command {
	var files []string
	var diff, dry, prune bool
	c := p.verb("apply -f FILE", "Make things as documents say", "  chancery apply -f templates.yaml --diff\n  chancery apply -f templates.yaml\n  chancery export | chancery apply --diff -f -", cobra.NoArgs,
		func(s *session, _ []string) error {
			if len(files) == 0 {
				return wrongCall("There is nothing to apply.", "Name files with -f FILE, or -f - for standard input.")
			}
			var docs []document
			for _, path := range files {
				raw, err := s.input(path, maxDocuments)
				if err != nil {
					return err
				}
				more, err := readDocuments(raw)
				if err != nil {
					return err
				}
				docs = append(docs, more...)
			}
			plan, err := s.plan(docs, prune)
			if err != nil {
				return err
			}
			if diff {
				return s.showDiff(plan)
			}
			return s.carryOut(plan, dry)
		})
	c.Long = "Make things as documents say: YAML or JSON, one document or many, as chancery\nexport writes them. What is not there is made, what differs is changed, and a\nfield that a document leaves out stays as it is. Nothing is deleted, unless\n--prune asks for it.\n\nWith --diff nothing is changed; the exit code is 2 when there are differences."
	f := c.Flags()
	f.StringSliceVarP(&files, "file", "f", nil, `documents, "-" for standard input; repeated`)
	f.BoolVar(&diff, "diff", false, "show what differs, change nothing, and exit with 2 when something does")
	f.BoolVar(&dry, "dry-run", false, "only tell what would be done")
	f.BoolVar(&prune, "prune", false, "delete what is of a kind that the documents have and is in none of them")
	return c
}

// step is one thing to do.
type step struct {
	verb    string // "create", "change", "delete"
	doc     document
	id      string // of what is there
	changes []difference
}

// difference is one field that is not as the document says.
type difference struct {
	field         string
	before, after any
	secret        bool
}

// course is everything to do, in an order in which it can be done.
type course struct {
	steps     []step
	unchanged int
	now       *landscape
}

// plan compares documents with how things are.
func (s *session) plan(docs []document, prune bool) (*course, error) {
	kinds, seen, err := checkDocuments(docs)
	if err != nil {
		return nil, err
	}
	now, err := s.survey(closure(kinds))
	if err != nil {
		return nil, err
	}
	c := &course{now: now}
	for _, d := range inOrder(docs) {
		there, ok := now.now[d.key()]
		if !ok {
			c.steps = append(c.steps, step{verb: "create", doc: d, changes: s.differences(document{}, d)})
			continue
		}
		if changes := s.differences(there, d); len(changes) > 0 {
			c.steps = append(c.steps, step{verb: "change", doc: d, id: now.ids[d.key()], changes: changes})
		} else {
			c.unchanged++
		}
	}
	if prune {
		for _, d := range slices.Backward(now.docs) {
			if kinds[d.text("kind")] && !seen[d.key()] {
				c.steps = append(c.steps, step{verb: "delete", doc: d, id: now.ids[d.key()]})
			}
		}
	}
	return c, nil
}

// checkDocuments refuses what is not a document, and two about one thing.
func checkDocuments(docs []document) (kinds, seen map[string]bool, err error) {
	kinds, seen = map[string]bool{}, map[string]bool{}
	for _, d := range docs {
		shape := shapeOf(d.text("kind"))
		if shape == nil {
			return nil, nil, ra.Errorf(ra.Invalid, "There is no kind of document %q.", d.text("kind")).WithRemedy("Use any of %s.", strings.Join(documentKinds, ", "))
		}
		if err := strict(d, shape); err != nil {
			return nil, nil, err
		}
		if d.text("name") == "" && d.text("platform_id") == "" {
			return nil, nil, ra.Errorf(ra.Invalid, "A document of kind %s has no name.", d.text("kind")).WithRemedy("Give it one.")
		}
		if seen[d.key()] {
			return nil, nil, ra.Errorf(ra.Invalid, "There are two documents about %s.", d.title()).WithRemedy("Leave one of them.")
		}
		kinds[d.text("kind")], seen[d.key()] = true, true
	}
	return kinds, seen, nil
}

// closure adds the kinds that kinds refer to.
func closure(kinds map[string]bool) map[string]bool {
	out := maps.Clone(kinds)
	if out["device"] {
		out["user"] = true
	}
	if out["endpoint"] || out["import"] {
		out["template"] = true
	}
	if out["template"] {
		out["authority"], out["key-service"] = true, true
	}
	if out["authority"] {
		out["directory"] = true
	}
	return out
}

// inOrder puts what others need before them: kinds in their order, and groups
// below their parents, and authorities behind those that they name.
func inOrder(docs []document) []document {
	rank := func(d document) int {
		depth := 0
		if d.text("kind") == "group" && d.text("parent") != "" {
			depth = 1 + strings.Count(d.text("parent"), "/")
		}
		if d.text("kind") == "authority" && d.referring() {
			depth = 1
		}
		return slices.Index(documentKinds, d.text("kind"))<<16 + depth
	}
	return slices.SortedStableFunc(slices.Values(docs), func(a, b document) int { return rank(a) - rank(b) })
}

// differences lists the fields in which there is not as wanted says. Settings
// and spec are compared field by field.
func (s *session) differences(there, wanted document) []difference {
	form := settingsForm(wanted)
	secrets := secretFields(form)
	var out []difference
	for _, field := range slices.Sorted(maps.Keys(wanted)) {
		before, after := there[field], wanted[field]
		if field == "kind" {
			continue
		}
		inner, ok := after.(map[string]any)
		if !ok || field != "settings" && field != "spec" {
			if !equal(before, after) {
				out = append(out, difference{field: field, before: before, after: after})
			}
			continue
		}
		had, _ := before.(map[string]any)
		if field == "settings" {
			inner = canonical(form, inner)
		} else {
			inner = canonicalSpec(inner)
		}
		for _, key := range slices.Sorted(maps.Keys(inner)) {
			secret := field == "settings" && secrets[key]
			if secret && kept(inner[key]) || equal(had[key], inner[key]) {
				continue
			}
			out = append(out, difference{field + "." + key, had[key], inner[key], secret})
		}
	}
	return out
}

// equal compares two JSON values; what is empty is as good as absent.
func equal(a, b any) bool { return empty(a) && empty(b) || reflect.DeepEqual(a, b) }

func empty(v any) bool {
	switch x := v.(type) {
	case nil:
		return true
	case string:
		return x == ""
	case bool:
		return !x
	case float64:
		return x == 0
	case []any:
		return len(x) == 0
	case map[string]any:
		for _, inner := range x {
			if !empty(inner) {
				return false
			}
		}
		return true
	}
	return false
}

// kept reports whether a secret in a document is to stay what it is.
func kept(v any) bool {
	m, ok := v.(map[string]any)
	return v == "" || ok && m["set"] == true
}

// settingsForm describes the settings of a document, nil when it has none or
// they are not known here.
func settingsForm(d document) setting.Describer {
	switch d.text("kind") {
	case "endpoint":
		return &sceppolicy.Endpoint{}
	case "directory":
		return &dirpolicy.Settings{}
	case "key-service":
		return &keypolicy.Settings{}
	case "authority":
		for _, k := range all.Kinds() {
			if k.ID == d.text("type") {
				return k.New()
			}
		}
	}
	return nil
}

// secretFields names the settings that are never shown.
func secretFields(form setting.Describer) map[string]bool {
	out := map[string]bool{}
	if form != nil {
		for _, f := range setting.Secrets(form) {
			out[f.Name] = true
		}
	}
	return out
}

// canonical writes settings the way the server does, so that 72h and 3d are
// the same. What cannot be read stays as it is; the server says why.
func canonical(form setting.Describer, settings map[string]any) map[string]any {
	if form == nil {
		return settings
	}
	raw, err := json.Marshal(settings)
	if err == nil && setting.Load(form, raw) == nil {
		raw, err = setting.ToJSON(form)
	}
	var known map[string]any
	if err != nil || json.Unmarshal(raw, &known) != nil {
		return settings
	}
	out := maps.Clone(settings)
	secrets := secretFields(form)
	for key := range out {
		if v, ok := known[key]; ok && !secrets[key] {
			out[key] = v
		}
	}
	return out
}

// canonicalSpec writes key purposes the way the server does, so that clientAuth and
// its OID are the same.
func canonicalSpec(spec map[string]any) map[string]any {
	purposes, ok := spec["ekus"].([]any)
	if !ok {
		return spec
	}
	out, list := maps.Clone(spec), slices.Clone(purposes)
	for i, p := range list {
		name, _ := p.(string)
		if oid, err := pkixmsg.ParsePurpose(name); err == nil {
			list[i] = oid
		}
	}
	out["ekus"] = list
	return out
}

// showDiff prints what differs.
func (s *session) showDiff(c *course) error {
	marks := map[string]string{"create": "+", "change": "~", "delete": "-"}
	for _, st := range c.steps {
		fmt.Fprintf(s.Stdout, "%s %s\n", marks[st.verb], printable(st.doc.title()))
		for _, d := range st.changes {
			switch {
			case st.verb == "create" && d.field == "name":
			case st.verb == "create":
				fmt.Fprintf(s.Stdout, "    %s: %s\n", d.field, d.show(d.after))
			default:
				fmt.Fprintf(s.Stdout, "    %s: %s → %s\n", d.field, d.show(d.before), d.show(d.after))
			}
		}
	}
	if len(c.steps) > 0 {
		return &exit{codeUsage}
	}
	return nil
}

func (d difference) show(v any) string {
	if d.secret {
		return "(secret)"
	}
	if v == nil {
		return "(none)"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "(unreadable)"
	}
	return brief(string(b))
}

// carryOut does what a course says.
func (s *session) carryOut(c *course, dry bool) error {
	var gone []string
	for _, st := range c.steps {
		if st.verb == "delete" {
			gone = append(gone, st.doc.title())
		}
	}
	if len(gone) > 0 && !dry {
		if err := s.confirm("Delete %d things for good: %s?", len(gone), brief(strings.Join(gone, ", "))); err != nil {
			return err
		}
	}
	words := map[string]string{"create": "created", "change": "changed", "delete": "deleted"}
	for _, st := range c.steps {
		word := words[st.verb]
		if dry {
			word = "would be " + word
		} else if err := s.take(c, st); err != nil {
			e := *ra.AsError(err)
			e.Message = st.doc.title() + ": " + e.Message
			return &e
		}
		fmt.Fprintf(s.Stdout, "%s %s\n", printable(st.doc.title()), word)
	}
	_, err := fmt.Fprintf(s.Stdout, "%d done, %d unchanged.\n", len(c.steps), c.unchanged)
	return err
}

// take does one step.
func (s *session) take(c *course, st step) error {
	if st.verb == "delete" {
		return s.removeThing(st.doc.text("kind"), st.id)
	}
	if st.doc.text("kind") == "import" && st.id == "" {
		id, err := c.id("authority", st.doc.text("name"))
		if err != nil {
			return err
		}
		st.id = id
	}
	in, err := s.wire(c, st)
	if err != nil {
		return err
	}
	id, err := s.put(st.doc.text("kind"), st.id, in)
	if err == nil {
		c.now.ids[st.doc.key()] = id
	}
	return err
}

// wire turns a step into the body of the call: only what differs, names turned
// into IDs.
func (s *session) wire(c *course, st step) ([]byte, error) {
	body := map[string]any{}
	for _, d := range st.changes {
		top, _, _ := strings.Cut(d.field, ".")
		body[top] = st.doc[top]
	}
	if spec, ok := body["spec"].(map[string]any); ok && st.id != "" {
		// A spec replaces the whole of it, so what stays is sent along.
		whole := map[string]any{}
		if present, ok := c.now.now[st.doc.key()]["spec"].(map[string]any); ok {
			maps.Copy(whole, present)
		}
		maps.Copy(whole, spec)
		body["spec"] = whole
	}
	if err := c.refer(st, body); err != nil {
		return nil, err
	}
	if err := c.adopting(body); err != nil {
		return nil, err
	}
	if kind, ok := body["type"]; ok {
		body["kind"] = kind
		delete(body, "type")
	}
	for field, of := range map[string]string{"group": "group", "parent": "group", "authority": "authority", "template": "template", "user": "user"} {
		ref, ok := body[field].(string)
		if !ok {
			continue
		}
		id, err := c.id(of, ref)
		if err != nil {
			return nil, err
		}
		delete(body, field)
		body[field+"_id"] = id
	}
	if grants, ok := body["grants"].([]any); ok {
		list := []any{}
		for _, g := range grants {
			m, _ := g.(map[string]any) // the shape was checked
			m = maps.Clone(m)
			if ref, _ := m["group"].(string); ref != "" {
				id, err := c.id("group", ref)
				if err != nil {
					return nil, err
				}
				m["group"] = id
			}
			list = append(list, m)
		}
		body["grants"] = list
	}
	return json.Marshal(body)
}

// id finds what a document refers to: there already, or made a moment ago.
func (c *course) id(kind, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	if id, ok := c.now.ids[kind+"\x00"+ra.Fold(ref)]; ok {
		return id, nil
	}
	return "", ra.Errorf(ra.NotFound, "There is no %s %q.", kind, ref).WithRemedy("Add a document for it, or correct the name; groups and users are paths of names such as Acme/Sales.")
}

// put makes or changes a thing and gives its ID.
func (s *session) put(kind, id string, raw []byte) (string, error) {
	switch kind {
	case "group":
		return store(raw, id, func(in resource.GroupInput) (resource.Group, error) { return s.c.CreateGroup(s.ctx, in) },
			func(in resource.GroupInput) (resource.Group, error) { return s.c.UpdateGroup(s.ctx, id, in) }, func(g resource.Group) string { return g.ID })
	case "directory":
		return store(raw, id, func(in resource.DirectoryInput) (resource.Directory, error) { return s.c.CreateDirectory(s.ctx, in) },
			func(in resource.DirectoryInput) (resource.Directory, error) {
				return s.c.UpdateDirectory(s.ctx, id, in)
			}, func(d resource.Directory) string { return d.ID })
	case "key-service":
		return store(raw, id, func(in resource.KeyServiceInput) (resource.KeyService, error) { return s.c.CreateKeyService(s.ctx, in) },
			func(in resource.KeyServiceInput) (resource.KeyService, error) {
				return s.c.UpdateKeyService(s.ctx, id, in)
			}, func(k resource.KeyService) string { return k.ID })
	case "authority":
		return store(raw, id, func(in resource.AuthorityInput) (resource.Authority, error) { return s.c.CreateAuthority(s.ctx, in) },
			func(in resource.AuthorityInput) (resource.Authority, error) {
				return s.c.UpdateAuthority(s.ctx, id, in)
			}, func(a resource.Authority) string { return a.ID })
	case "template":
		return store(raw, id, func(in resource.TemplateInput) (resource.Template, error) { return s.c.CreateTemplate(s.ctx, in) },
			func(in resource.TemplateInput) (resource.Template, error) { return s.c.UpdateTemplate(s.ctx, id, in) }, func(t resource.Template) string { return t.ID })
	case "import":
		return s.putImport(id, raw)
	case "endpoint":
		return store(raw, id, func(in resource.EndpointInput) (resource.Endpoint, error) { return s.c.CreateEndpoint(s.ctx, in) },
			func(in resource.EndpointInput) (resource.Endpoint, error) { return s.c.UpdateEndpoint(s.ctx, id, in) }, func(e resource.Endpoint) string { return e.ID })
	case "user":
		return store(raw, id, func(in resource.UserInput) (resource.User, error) { return s.c.CreateUser(s.ctx, in) },
			func(in resource.UserInput) (resource.User, error) { return s.c.UpdateUser(s.ctx, id, in) }, func(u resource.User) string { return u.ID })
	case "device":
		return store(raw, id, func(in resource.DeviceInput) (resource.Device, error) { return s.c.CreateDevice(s.ctx, in) },
			func(in resource.DeviceInput) (resource.Device, error) { return s.c.UpdateDevice(s.ctx, id, in) }, func(d resource.Device) string { return d.ID })
	}
	return store(raw, id, func(in resource.AdminInput) (resource.Admin, error) { return s.c.CreateAdmin(s.ctx, in) },
		func(in resource.AdminInput) (resource.Admin, error) { return s.c.UpdateAdmin(s.ctx, id, in) }, func(a resource.Admin) string { return a.ID })
}

// store reads a body into its shape and makes the thing, or changes the one
// that has an ID.
func store[I, O any](raw []byte, id string, create, update func(I) (O, error), of func(O) string) (string, error) {
	var in I
	if err := json.Unmarshal(raw, &in); err != nil {
		return "", ra.Errorf(ra.Invalid, "A field has a value of the wrong sort.").WithRemedy("See chancery export for what documents look like.").WithCause(err)
	}
	act := update
	if id == "" {
		act = create
	}
	out, err := act(in)
	return of(out), err
}

func (s *session) removeThing(kind, id string) error {
	return map[string]func() error{
		"group":         func() error { return s.c.DeleteGroup(s.ctx, id) },
		"directory":     func() error { return s.c.DeleteDirectory(s.ctx, id) },
		"key-service":   func() error { return s.c.DeleteKeyService(s.ctx, id) },
		"authority":     func() error { return s.c.DeleteAuthority(s.ctx, id) },
		"template":      func() error { return s.c.DeleteTemplate(s.ctx, id) },
		"import":        func() error { return s.c.DeleteAuthorityImport(s.ctx, id) },
		"endpoint":      func() error { return s.c.DeleteEndpoint(s.ctx, id) },
		"user":          func() error { return s.c.DeleteUser(s.ctx, id) },
		"device":        func() error { return s.c.DeleteDevice(s.ctx, id) },
		"administrator": func() error { return s.c.DeleteAdmin(s.ctx, id) },
	}[kind]()
}
