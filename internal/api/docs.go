package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsHTML string

// reference renders the page at /api/docs from the OpenAPI document: one
// section per resource, in the order of the routes, and the shapes behind it.
// It needs no script and loads nothing.
func reference(doc *huma.OpenAPI, routes []route) ([]byte, error) {
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(doc.Components.Schemas)
	if err != nil {
		return nil, err
	}
	var schemas map[string]schema
	if err := json.Unmarshal(raw, &schemas); err != nil {
		return nil, err
	}
	page := docsPage{Title: doc.Info.Title, Version: doc.Info.Version, About: doc.Info.Description}
	for _, r := range routes {
		path := doc.Paths[prefix+r.Path]
		name := tag(r.Path)
		if n := len(page.Groups); n == 0 || page.Groups[n-1].Name != name {
			page.Groups = append(page.Groups, docsGroup{Name: name})
		}
		g := &page.Groups[len(page.Groups)-1]
		op := map[string]*huma.Operation{get: path.Get, post: path.Post, put: path.Put, patch: path.Patch, remove: path.Delete}[r.Method]
		g.Operations = append(g.Operations, operationOf(r, op))
	}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		page.Shapes = append(page.Shapes, shapeOf(name, schemas[name]))
	}
	var b bytes.Buffer
	err = t.Execute(&b, page)
	return b.Bytes(), err
}

type docsPage struct {
	Title, Version, About string
	Groups                []docsGroup
	Shapes                []docsShape
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, About, Needs string
	Parameters                     []docsField
	Takes, Gives                   docsField // bodies; no Type for none
	Status                         string
}

type docsShape struct {
	Name, About string
	Fields      []docsField
}

type docsField struct {
	Name, Type, About string
	Link              string // a shape
	Required          bool
}

func operationOf(r route, op *huma.Operation) docsOperation {
	out := docsOperation{ID: r.ID, Method: r.Method, Path: prefix + r.Path, About: r.About, Needs: string(r.Needs)}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docsField{Name: p.Name, Type: p.In, About: p.Description, Required: p.Required})
	}
	if op.RequestBody != nil {
		out.Takes = content(op.RequestBody.Content)
	}
	for code, answer := range op.Responses {
		if strings.HasPrefix(code, "2") {
			out.Status, out.Gives = code, content(answer.Content)
		}
	}
	return out
}

func content(types map[string]*huma.MediaType) docsField {
	for name, m := range types {
		if m.Schema != nil && m.Schema.Ref != "" {
			shape := shapeName(m.Schema.Ref)
			return docsField{Type: shape, Link: shape}
		}
		return docsField{Type: name}
	}
	return docsField{}
}

func shapeName(ref string) string { return strings.TrimPrefix(ref, "#/components/schemas/") }

// schema is what the page shows of a JSON schema.
type schema struct {
	Type        any               `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Ref         string            `json:"$ref"`
	Format      string            `json:"format"`
	Enum        []any             `json:"enum"`
	Items       *schema           `json:"items"`
	AnyOf       []schema          `json:"anyOf"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
}

func shapeOf(name string, s schema) docsShape {
	out := docsShape{Name: name, About: s.Description}
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[field]
		f := docsField{Name: field, About: strings.TrimSpace(sentence(p.Title) + " " + p.Description), Required: slices.Contains(s.Required, field)}
		f.Type, f.Link = typeOf(p)
		out.Fields = append(out.Fields, f)
	}
	return out
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.TrimSuffix(s, ".") + "."
}

// typeOf says what a property takes, and names the shape when it is one.
func typeOf(s schema) (text, link string) {
	switch {
	case s.Ref != "":
		return shapeName(s.Ref), shapeName(s.Ref)
	case len(s.Enum) > 0:
		words := make([]string, 0, len(s.Enum))
		for _, e := range s.Enum {
			if e != nil {
				words = append(words, fmt.Sprint(e))
			}
		}
		return strings.Join(words, " | "), ""
	case s.Items != nil:
		text, link = typeOf(*s.Items)
		return "list of " + text, link
	case len(s.AnyOf) > 0:
		words := make([]string, len(s.AnyOf))
		for i, a := range s.AnyOf {
			words[i], link = typeOf(a)
		}
		if len(words) > 1 {
			link = ""
		}
		return strings.Join(words, " | "), link
	}
	switch t := s.Type.(type) {
	case string:
		text = t
	case []any:
		text = fmt.Sprint(t[0])
	default:
		text = "any"
	}
	if s.Format != "" && text == "string" {
		text = s.Format
	}
	return text, ""
}
