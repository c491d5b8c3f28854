package setting

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"chancery/internal/secret"
)

// value is a variable of one of the supported types, like flag.Value. It knows
// how to read and write forms of itself; the rules of its field judge it.
type value interface {
	set(text string) *flaw             // from a form, flag, variable or file
	setJSON(raw json.RawMessage) *flaw // from JSON other than null
	text() string                      // one canonical form; a secret's mask
	json() any                         // what json.Marshal turns into the JSON form
	empty() bool                       // zero
	clear()                            // to zero
	clone() value                      // detached copy
	assign(value)                      // takes over the value of one of the same type
	equal(value) bool                  // same type and same value
	pointer() any                      // the variable itself
}

// at gives the value inside v, whose type the builder of the field fixed.
func at[T any](v value) T { return *v.pointer().(*T) }

var notText = &flaw{what: "must be a text", remedy: "Write it in double quotes."}

func jsonText(raw json.RawMessage) (string, *flaw) {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", notText
	}
	return s, nil
}

// textValue holds a string; tidy brings it into its canonical form.
type textValue struct {
	p    *string
	tidy func(string) string
}

func (v textValue) set(s string) *flaw { *v.p = v.tidy(s); return nil }
func (v textValue) setJSON(raw json.RawMessage) *flaw {
	s, bad := jsonText(raw)
	if bad == nil {
		*v.p = v.tidy(s)
	}
	return bad
}
func (v textValue) text() string       { return *v.p }
func (v textValue) json() any          { return *v.p }
func (v textValue) empty() bool        { return *v.p == "" }
func (v textValue) clear()             { *v.p = "" }
func (v textValue) clone() value       { c := *v.p; return textValue{&c, v.tidy} }
func (v textValue) assign(o value)     { *v.p = at[string](o) }
func (v textValue) equal(o value) bool { return *v.p == at[string](o) }
func (v textValue) pointer() any       { return v.p }

// secretValue holds a secret. An empty text means "keep what is there".
type secretValue struct {
	p    *secret.Text
	tidy func(string) string
}

// kept is the JSON form of a secret that has a value: what an export shows
// and what an import understands as "keep it".
type kept struct {
	Set bool `json:"set"`
}

// isKept reports whether raw is {"set": true}.
func isKept(raw json.RawMessage) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(raw, &m) == nil && len(m) == 1 && string(m["set"]) == "true"
}

func (v secretValue) set(s string) *flaw {
	if s = v.tidy(s); s != "" {
		*v.p = secret.New(s)
	}
	return nil
}

func (v secretValue) setJSON(raw json.RawMessage) *flaw {
	if isKept(raw) {
		return nil
	}
	s, bad := jsonText(raw)
	if bad != nil {
		return &flaw{what: "must be a text", remedy: `Write the secret in double quotes, {"set": true} to keep the present one, or null for none.`}
	}
	return v.set(s)
}

func (v secretValue) text() string {
	if v.empty() {
		return secret.Unset
	}
	return secret.Mask
}

func (v secretValue) json() any {
	if v.empty() {
		return nil
	}
	return kept{Set: true}
}
func (v secretValue) empty() bool        { return !v.p.IsSet() }
func (v secretValue) clear()             { *v.p = secret.Text{} }
func (v secretValue) clone() value       { c := *v.p; return secretValue{&c, v.tidy} }
func (v secretValue) assign(o value)     { *v.p = at[secret.Text](o) }
func (v secretValue) equal(o value) bool { return v.p.Equal(at[secret.Text](o)) }
func (v secretValue) pointer() any       { return v.p }

// boolValue holds a switch.
type boolValue struct{ p *bool }

func (v boolValue) set(s string) *flaw {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "on", "yes", "1":
		*v.p = true
	case "false", "off", "no", "0", "":
		*v.p = false
	default:
		return &flaw{what: "must be true or false", remedy: "Write true or false."}
	}
	return nil
}

func (v boolValue) setJSON(raw json.RawMessage) *flaw {
	switch string(raw) {
	case "true":
		*v.p = true
	case "false":
		*v.p = false
	default:
		return &flaw{what: "must be true or false", remedy: "Write true or false, without quotes."}
	}
	return nil
}
func (v boolValue) text() string       { return strconv.FormatBool(*v.p) }
func (v boolValue) json() any          { return *v.p }
func (v boolValue) empty() bool        { return !*v.p }
func (v boolValue) clear()             { *v.p = false }
func (v boolValue) clone() value       { c := *v.p; return boolValue{&c} }
func (v boolValue) assign(o value)     { *v.p = at[bool](o) }
func (v boolValue) equal(o value) bool { return *v.p == at[bool](o) }
func (v boolValue) pointer() any       { return v.p }

// intValue holds a whole number.
type intValue struct{ p *int }

func (v intValue) set(s string) *flaw {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return &flaw{what: "must be a whole number", remedy: "Write digits only."}
	}
	*v.p = n
	return nil
}

func (v intValue) setJSON(raw json.RawMessage) *flaw {
	if len(raw) == 0 || raw[0] == '"' {
		return &flaw{what: "must be a whole number", remedy: "Write digits only, without quotes."}
	}
	return v.set(string(raw))
}
func (v intValue) text() string       { return strconv.Itoa(*v.p) }
func (v intValue) json() any          { return *v.p }
func (v intValue) empty() bool        { return *v.p == 0 }
func (v intValue) clear()             { *v.p = 0 }
func (v intValue) clone() value       { c := *v.p; return intValue{&c} }
func (v intValue) assign(o value)     { *v.p = at[int](o) }
func (v intValue) equal(o value) bool { return *v.p == at[int](o) }
func (v intValue) pointer() any       { return v.p }

// durationValue holds a time span.
type durationValue struct{ p *time.Duration }

func (v durationValue) set(s string) *flaw {
	d, ok := parseDuration(strings.TrimSpace(s))
	if !ok {
		return &flaw{what: "must be a time span", remedy: "Write a number and a unit, such as 30s, 5m, 12h or 90d."}
	}
	*v.p = d
	return nil
}

func (v durationValue) setJSON(raw json.RawMessage) *flaw {
	s, bad := jsonText(raw)
	if bad != nil {
		return &flaw{what: "must be a time span", remedy: `Write a number and a unit in double quotes, such as "30s", "5m", "12h" or "90d".`}
	}
	return v.set(s)
}
func (v durationValue) text() string       { return formatDuration(*v.p) }
func (v durationValue) json() any          { return formatDuration(*v.p) }
func (v durationValue) empty() bool        { return *v.p == 0 }
func (v durationValue) clear()             { *v.p = 0 }
func (v durationValue) clone() value       { c := *v.p; return durationValue{&c} }
func (v durationValue) assign(o value)     { *v.p = at[time.Duration](o) }
func (v durationValue) equal(o value) bool { return *v.p == at[time.Duration](o) }
func (v durationValue) pointer() any       { return v.p }

// listValue holds texts. The text form has one per line; blank lines and the
// space around an item do not count.
type listValue struct{ p *[]string }

func (v listValue) setItems(in []string) *flaw {
	var out []string
	for _, s := range in {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	*v.p = out
	return nil
}

func (v listValue) set(s string) *flaw {
	return v.setItems(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }))
}

func (v listValue) setJSON(raw json.RawMessage) *flaw {
	var items []*string
	if json.Unmarshal(raw, &items) != nil || slices.Contains(items, nil) {
		return &flaw{what: "must be a list of texts", remedy: `Write the items in double quotes between brackets, such as ["a", "b"].`}
	}
	texts := make([]string, len(items))
	for i, s := range items {
		texts[i] = *s
	}
	return v.setItems(texts)
}
func (v listValue) text() string       { return strings.Join(*v.p, "\n") }
func (v listValue) json() any          { return append([]string{}, *v.p...) }
func (v listValue) empty() bool        { return len(*v.p) == 0 }
func (v listValue) clear()             { *v.p = nil }
func (v listValue) clone() value       { c := slices.Clone(*v.p); return listValue{&c} }
func (v listValue) assign(o value)     { *v.p = slices.Clone(at[[]string](o)) }
func (v listValue) equal(o value) bool { return slices.Equal(*v.p, at[[]string](o)) }
func (v listValue) pointer() any       { return v.p }
