package cli

import (
	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// importDoc is how what an authority issued without this server is taken over. Its
// name is that of the authority.
type importDoc struct {
	Kind  string            `json:"kind"`
	Name  string            `json:"name"`
	Group string            `json:"group"`
	Scope string            `json:"scope,omitempty"`
	Adopt map[string]string `json:"adopt,omitempty"` // by the authority's template: the name of the template here
	Every string            `json:"every,omitempty"`
}

// surveyImports reads the imports of all authorities. Most have none.
func (s *session) surveyImports(l *landscape) error {
	for _, d := range l.docs {
		if d.text("kind") != "authority" {
			continue
		}
		id := l.ids[d.key()]
		i, err := s.c.AuthorityImport(s.ctx, id)
		if ra.KindOf(err) == ra.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		doc := importDoc{Kind: "import", Name: d.text("name"), Group: s.groupName(i.GroupID), Scope: i.Scope, Adopt: map[string]string{}, Every: i.Every}
		for name, template := range i.Adopt {
			doc.Adopt[name] = s.label("template", template)
		}
		if err := l.add(id, doc); err != nil {
			return err
		}
	}
	return nil
}

// adopting turns the templates that an import names into IDs.
func (c *course) adopting(body map[string]any) error {
	adopt, ok := body["adopt"].(map[string]any)
	if !ok {
		return nil
	}
	ids := map[string]any{}
	for name, ref := range adopt {
		text, _ := ref.(string) // the shape was checked
		id, err := c.idOr(ra.TemplatePrefix, "template", text)
		if err != nil {
			return err
		}
		ids[name] = id
	}
	body["adopt"] = ids
	return nil
}

// putImport sets the import of an authority up, or changes it.
func (s *session) putImport(authority string, raw []byte) (string, error) {
	set := func(in resource.CAImportInput) (resource.CAImport, error) {
		return s.c.SetAuthorityImport(s.ctx, authority, in)
	}
	return store(raw, authority, set, set, func(i resource.CAImport) string { return i.AuthorityID })
}
