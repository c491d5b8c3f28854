package cli

import (
	"encoding/json"
	"maps"
	"slices"

	"chancery/internal/api/resource"
	"chancery/internal/ra"
)

// definedDoc is a directory or a key service.
type definedDoc struct {
	Kind        string         `json:"kind"`
	Name        string         `json:"name"`
	Group       string         `json:"group"`
	Description string         `json:"description,omitempty"`
	Disabled    bool           `json:"disabled,omitempty"`
	Settings    map[string]any `json:"settings,omitempty"`
}

func (s *session) surveyDirectories(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.Directory], error) {
		return s.c.Directories(s.ctx, resource.DirectoryQuery{PageQuery: p})
	}, func(d resource.Directory) error {
		s.remember(d.ID, d.Name)
		return s.addDefined(l, d.ID, definedDoc{Kind: "directory", Name: d.Name, Group: s.groupName(d.GroupID), Description: d.Description, Disabled: d.Disabled}, d.Settings)
	})
}

func (s *session) surveyKeyServices(l *landscape) error {
	return every(func(p resource.PageQuery) (resource.Page[resource.KeyService], error) {
		return s.c.KeyServices(s.ctx, resource.KeyServiceQuery{PageQuery: p})
	}, func(k resource.KeyService) error {
		s.remember(k.ID, k.Name)
		return s.addDefined(l, k.ID, definedDoc{Kind: "key-service", Name: k.Name, Group: s.groupName(k.GroupID), Description: k.Description, Disabled: k.Disabled}, k.Settings)
	})
}

func (s *session) addDefined(l *landscape, id string, doc definedDoc, settings json.RawMessage) (err error) {
	if doc.Settings, err = withoutNulls(settings); err != nil {
		return err
	}
	return l.add(id, doc)
}

// nameReferences writes what the settings of authorities refer to as names. All of
// them are known by then.
func (s *session) nameReferences(l *landscape) {
	for _, d := range l.docs {
		if d.text("kind") != "authority" {
			continue
		}
		settings, _ := d["settings"].(map[string]any)
		for _, r := range referrals {
			if id, _ := settings[r.setting].(string); id != "" {
				settings[r.setting] = s.label(r.kind, id)
			}
		}
	}
}

// referring reports whether an authority refers to another one.
func (d document) referring() bool {
	settings, _ := d["settings"].(map[string]any)
	return slices.ContainsFunc(referrals, func(r referral) bool {
		name, _ := settings[r.setting].(string)
		return r.kind == "authority" && name != ""
	})
}

// refer turns the names within settings and spec into IDs, where they lead to
// other things.
func (c *course) refer(st step, body map[string]any) error {
	if settings, ok := body["settings"].(map[string]any); ok && st.doc.text("kind") == "authority" {
		settings = maps.Clone(settings)
		if err := refer(settings, func(r referral, name string) (string, error) { return c.idOr(r.prefix, r.kind, name) }); err != nil {
			return err
		}
		body["settings"] = settings
	}
	spec, _ := body["spec"].(map[string]any)
	publish, _ := spec["publish"].(map[string]any)
	service, _ := publish["key_service"].(string)
	if service == "" {
		return nil
	}
	id, err := c.idOr(ra.KeyServicePrefix, "key-service", service)
	if err != nil {
		return err
	}
	spec, publish = maps.Clone(spec), maps.Clone(publish)
	publish["key_service"], spec["publish"] = id, publish
	body["spec"] = spec
	return nil
}

// idOr finds what a name means; an ID means itself.
func (c *course) idOr(prefix, kind, ref string) (string, error) {
	if isID(ref, prefix) {
		return ref, nil
	}
	return c.id(kind, ref)
}
