package api

import (
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"chancery/internal/dirpolicy"
	"chancery/internal/keypolicy"
	"chancery/internal/sceppolicy"
	"chancery/internal/setting"
)

// describeSettings puts the schemas that package setting gives in the places
// where the Go types know only "any JSON": settings of authorities by kind, of
// endpoints, and the options a kind adds to a template. The settings
// themselves are judged by their own description, with all messages at once,
// so the framework does not look at them.
func (s *Server) describeSettings(schemas map[string]*huma.Schema) {
	var settings, options []any
	for _, k := range s.Authorities.Kinds {
		name := "Settings" + camel(k.ID)
		schemas[name] = verbatim(setting.Schema(k.New()), k.Title+".")
		settings = append(settings, ref(name))
		if k.NewOptions != nil {
			name = "Options" + camel(k.ID)
			schemas[name] = verbatim(setting.Schema(k.NewOptions()), "What a template adds for "+k.Title+".")
			options = append(options, ref(name))
		}
	}
	schemas["SettingsEndpoint"] = verbatim(setting.Schema(&sceppolicy.Endpoint{}), "SCEP endpoint.")
	for _, name := range []string{"Authority", "AuthorityInput", "AuthorityTest"} {
		replace(schemas[name], "settings", map[string]any{"anyOf": settings})
	}
	schemas["SettingsDirectory"] = verbatim(setting.Schema(&dirpolicy.Settings{}), "Directory.")
	for _, name := range []string{"Directory", "DirectoryInput", "DirectoryTest"} {
		replace(schemas[name], "settings", map[string]any{"anyOf": []any{ref("SettingsDirectory")}})
	}
	schemas["SettingsKeyService"] = verbatim(setting.Schema(&keypolicy.Settings{}), "Key service.")
	for _, name := range []string{"KeyService", "KeyServiceInput", "KeyServiceTest"} {
		replace(schemas[name], "settings", map[string]any{"anyOf": []any{ref("SettingsKeyService")}})
	}
	for _, name := range []string{"Endpoint", "EndpointInput"} {
		replace(schemas[name], "settings", map[string]any{"anyOf": []any{ref("SettingsEndpoint")}})
	}
	if options != nil {
		replace(schemas["TemplateSpec"], "options", map[string]any{"anyOf": options})
	}
	// What is left out of a template takes its usual value, so nothing in it
	// is required; tests need their parts.
	schemas["TemplateSpec"].Required = nil
	schemas["TemplateSpec"].PrecomputeMessages()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
}

func ref(name string) map[string]any { return map[string]any{"$ref": "#/components/schemas/" + name} }

func verbatim(schema map[string]any, about string) *huma.Schema {
	schema["description"] = about
	return &huma.Schema{Extensions: schema}
}

// replace gives a property another schema and keeps its description.
func replace(in *huma.Schema, property string, by map[string]any) {
	if text := in.Properties[property].Description; text != "" {
		by["description"] = text
	}
	in.Properties[property] = &huma.Schema{Extensions: by}
}

// camel makes a name for a component of a kind's ID.
func camel(id string) string {
	parts := strings.FieldsFunc(id, func(r rune) bool { return r == '-' || r == '_' })
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "")
}
