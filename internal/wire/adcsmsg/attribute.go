package adcsmsg

import (
	"fmt"
	"strings"
	"unicode"
)

// Attribute is a name and a value that go along with a request.
type Attribute struct{ Name, Value string }

// Attributes go along with a request in their order (MS-WCCE §3.2.1.4.2.1.2).
type Attributes []Attribute

// The attributes that are sent.
const (
	AttributeTemplate  = "CertificateTemplate"
	AttributeRequester = "requestername" // in the signed part of a request on behalf of
)

// encode gives the lines "Name:Value". What would begin another line, or another
// attribute, is refused: a value never becomes more than a value.
func (a Attributes) encode() (string, error) {
	lines := make([]string, len(a))
	for i, x := range a {
		if x.Name == "" || strings.ContainsFunc(x.Name, func(r rune) bool { return r == ':' || r == '-' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return "", fmt.Errorf("%w: attribute name %q", ErrValue, x.Name)
		}
		if x.Value == "" || x.Value != strings.TrimSpace(x.Value) || strings.ContainsFunc(x.Value, breaks) {
			return "", fmt.Errorf("%w: value of attribute %s", ErrValue, x.Name)
		}
		lines[i] = x.Name + ":" + x.Value
	}
	return strings.Join(lines, "\n"), nil
}

// breaks reports what somebody may take for the end of a line or of a text.
func breaks(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

// ParseAttributes reads the lines of a request's attributes as the CA keeps them
// in its database. Names lose blanks and hyphens, values the blanks around them; a
// line without a colon is left out.
func ParseAttributes(text string) Attributes {
	var out Attributes
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' || r == 0 }) {
		name, value, ok := strings.Cut(line, ":")
		name = strings.NewReplacer(" ", "", "-", "", "\t", "").Replace(name)
		if ok && name != "" {
			out = append(out, Attribute{name, strings.TrimSpace(value)})
		}
	}
	return out
}

// Get gives the value of an attribute, whose name has no case; false when there is
// none.
func (a Attributes) Get(name string) (string, bool) {
	for _, x := range a {
		if strings.EqualFold(x.Name, name) {
			return x.Value, true
		}
	}
	return "", false
}

// Template is a template that a CA issues.
type Template struct {
	Name string // cn, which requests name
	OID  string // empty for templates of version 1
}

// ParseTemplates reads property 0x1D: name and OID by turns, a line each (MS-WCCE
// §3.2.1.4.3.2.29). The OID may be empty, so lines go strictly in pairs.
func ParseTemplates(text string) ([]Template, error) {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil, nil
	}
	lines := strings.Split(text, "\n")
	if len(lines)%2 != 0 {
		lines = append(lines, "") // the last OID was empty and its line end is gone
	}
	if len(lines) > 2*maxRows {
		return nil, fmt.Errorf("%w: %d lines", ErrTemplate, len(lines))
	}
	var out []Template
	for i := 0; i < len(lines); i += 2 {
		t := Template{lines[i], lines[i+1]}
		if t.Name == "" || strings.Trim(t.OID, "0123456789.") != "" {
			return nil, fmt.Errorf("%w: line %d", ErrTemplate, i+1)
		}
		out = append(out, t)
	}
	return out, nil
}
