package setting

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Schema gives the JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it) of the
// documents FromJSON reads. Secrets are write-only texts, or {"set": true} to
// keep the present one. Required are the fields that a new document cannot do
// without; secrets are not among them, since a later document may leave them
// out. The map is fresh on every call and holds only what json.Marshal takes.
func Schema(d Describer) map[string]any {
	f := describe(d)
	properties := map[string]any{}
	var required []string
	var rules []any
	for _, x := range f.fields {
		properties[x.Name] = x.schema()
		if !x.Required || x.def != nil || x.Secret {
			continue
		}
		if x.When == nil {
			required = append(required, x.Name)
			continue
		}
		rules = append(rules, map[string]any{
			"if":   f.conditions(x),
			"then": map[string]any{"required": []string{x.Name}},
		})
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		out["required"] = required
	}
	if rules != nil {
		out["allOf"] = rules
	}
	return out
}

// conditions is the schema that holds while x matters: the condition of x and
// those of the fields it depends on.
func (f *Form) conditions(x *field) map[string]any {
	properties, names := map[string]any{}, []string{}
	for x.When != nil {
		other := f.find(x.When.Field)
		values := []any{}
		for _, v := range x.When.Values {
			values = append(values, other.literal(v))
		}
		properties[other.Name] = map[string]any{"enum": values}
		names = append(names, other.Name)
		x = other
	}
	return map[string]any{"properties": properties, "required": names}
}

// literal is a value in text form as JSON has it.
func (x *field) literal(text string) any {
	v := x.value.clone()
	if v.set(text) != nil {
		return text
	}
	return v.json()
}

func (x *field) schema() map[string]any {
	if x.Secret {
		return map[string]any{"title": x.Label, "description": x.prose(), "oneOf": []any{
			map[string]any{"type": "string", "writeOnly": true, "maxLength": x.MaxLength},
			map[string]any{"type": "object", "additionalProperties": false, "required": []string{"set"},
				"properties": map[string]any{"set": map[string]any{"const": true}}},
			map[string]any{"type": "null"},
		}}
	}
	kind := "string"
	s := map[string]any{"title": x.Label}
	text := s // where the rules for texts go
	switch x.Type {
	case TypeBool:
		kind = "boolean"
	case TypeInt:
		kind = "integer"
		for key, limit := range map[string]string{"minimum": x.Min, "maximum": x.Max} {
			if limit != "" {
				s[key] = json.Number(limit)
			}
		}
	case TypeURL:
		s["format"] = "uri"
	case TypeDuration:
		s["pattern"] = durationPattern
	case TypeCertificates:
		s["contentMediaType"] = "application/x-pem-file"
	case TypeList, TypeOIDs:
		kind = "array"
		text = map[string]any{"type": "string"}
		s["items"] = text
		s["maxItems"] = maxItems
	}
	if x.MaxLength > 0 {
		text["maxLength"] = x.MaxLength
	}
	if x.Type == TypeOIDs {
		text["pattern"] = `^[0-2](\.(0|[1-9][0-9]*))+$`
	}
	if x.Pattern != "" {
		text["pattern"] = x.Pattern
		if x.def != nil && !x.Required && kind == "string" {
			text["pattern"] = "^$|" + x.Pattern // emptied, although the default is not
		}
	}
	var values []any
	if x.Lookup == "" {
		for _, o := range x.Options {
			values = append(values, o.Value)
		}
	}
	s["type"] = kind
	if !x.Required || x.When != nil || x.def != nil {
		s["type"] = []string{kind, "null"}
		if values != nil {
			values = append(values, nil)
		}
	}
	if values != nil {
		s["enum"] = values
	}
	if x.def != nil {
		s["default"] = x.def.json()
	}
	if p := x.prose(); p != "" {
		s["description"] = p
	}
	return s
}

const durationPattern = `^([0-9]+d)?([0-9]+(\.[0-9]+)?(h|m|s|ms|us|ns))*$`

// prose says in sentences what a schema's keywords cannot.
func (x *field) prose() string {
	var s []string
	if x.Help != "" {
		s = append(s, x.Help)
	}
	if x.Type == TypeDuration {
		s = append(s, "A time span such as 30s, 12h or 90d"+limits(x.Field)+".")
	}
	for _, o := range x.Options {
		if o.Label+o.Help != "" {
			s = append(s, o.Value+": "+o.sentence())
		}
	}
	if x.PatternHint != "" {
		s = append(s, "Must be "+x.PatternHint+".")
	}
	if x.Lookup != "" {
		s = append(s, "Values come from the catalog "+strconv.Quote(x.Lookup)+" of the other side.")
	}
	if x.When != nil {
		s = append(s, "Only while "+x.When.Field+" is "+strings.Join(x.When.Values, " or ")+".")
	}
	if x.Secret {
		s = append(s, `Never answered: {"set": true} stands for a secret that is there, and keeps it when sent back; null clears it.`)
	}
	return strings.Join(s, " ")
}

// sentence is the label of an option and its help, ended by full stops.
func (o Option) sentence() string {
	if o.Label == "" {
		return o.Help
	}
	return strings.TrimSpace(strings.TrimSuffix(o.Label, ".") + ". " + o.Help)
}

func limits(f Field) string {
	if f.Min == "" {
		return ""
	}
	return ", from " + f.Min + " to " + f.Max
}
