package api

import (
	"chancery/internal/api/resource"
	"chancery/internal/ca"
	"chancery/internal/setting"
)

// stepOf gives a step in wire form.
func stepOf(s ca.Step) resource.Step {
	return resource.Step{Name: s.Name, State: string(s.State), Detail: s.Detail, Remedy: s.Remedy, TookMS: s.Took.Milliseconds()}
}

// profileOf gives a profile in wire form.
func profileOf(p ca.Profile) resource.CatalogEntry {
	out := resource.CatalogEntry{ID: p.ID, Title: p.Title, Note: p.Note, KeyTypes: p.KeyTypes, Requires: p.Requires, Obstacles: p.Obstacles}
	for _, f := range p.Fields {
		out.Fields = append(out.Fields, resource.CatalogField(f))
	}
	return out
}

// kindOf gives a kind in wire form.
func kindOf(k ca.Kind) resource.Kind {
	out := resource.Kind{ID: k.ID, Title: k.Title, Help: k.Help, KeyPlaces: []string{}, KeyTypes: k.Traits.KeyTypes, Revoke: k.Traits.Revoke, Hold: k.Traits.Hold,
		Renew: k.Traits.Renew, Pending: k.Traits.Pending, Sure: k.Traits.Sure, Ports: k.Traits.Ports, Limits: k.Traits.Limits,
		Settings: fieldsOf(k.New()), Schema: setting.Schema(k.New())}
	for _, p := range k.Traits.KeyPlaces {
		out.KeyPlaces = append(out.KeyPlaces, string(p))
	}
	if k.NewOptions != nil {
		out.Options = fieldsOf(k.NewOptions())
	}
	return out
}

// fieldsOf describes settings in wire form.
func fieldsOf(d setting.Describer) []resource.Field {
	out := []resource.Field{}
	for _, f := range setting.Fields(d) {
		x := resource.Field{Name: f.Name, Flag: f.Flag(), Label: f.Label, Help: f.Help, Section: f.Section, SectionHelp: f.SectionHelp, Type: string(f.Type),
			Required: f.Required, Default: f.Default, Lookup: f.Lookup, Min: f.Min, Max: f.Max, MaxLength: f.MaxLength, Pattern: f.Pattern,
			PatternHint: f.PatternHint, Placeholder: f.Placeholder, Advanced: f.Advanced, Secret: f.Secret}
		for _, o := range f.Options {
			x.Options = append(x.Options, resource.Option(o))
		}
		if f.When != nil {
			x.When = &resource.Condition{Field: f.When.Field, Values: f.When.Values}
		}
		out = append(out, x)
	}
	return out
}
