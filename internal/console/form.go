package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/setting"
)

// plainForm draws a form from nothing but its description, with what was posted
// and what is wrong with it.
func (v *visit) plainForm(d setting.Describer, posted url.Values, err error) form {
	known := map[string]bool{}
	for _, f := range setting.Fields(d) {
		known[f.Name] = true
	}
	p := v.sort(err, known)
	return form{Sets: draw(d, drawing{values: posted, bad: p.byField}), Problem: p.summary}
}

// option is one thing to choose; link is for suggestions too.
type option struct {
	Value, Label, Help string
	Selected           bool
	Notes              []string // what choosing it asks for
	Obstacles          []string // why it cannot be chosen; empty: it can
}

// input is one labelled field of a form, ready to be drawn by the partial
// "input".
type input struct {
	ID, Name, Label, Help string
	Kind                  string // text, multiline, secret, secret_text, bool, int, duration, choice, pick, checks, file, suggest
	Value, Placeholder    string
	Options               []option // choices, or suggestions of a text
	Required, Checked     bool
	Set                   bool // a secret has a value that is kept
	Mono                  bool
	Rows                  int
	Min, Max              string
	MaxLength             int
	WhenField, WhenValues string // matters only while that input has one of the values, joined by |
	WhenText              string // the same for people
	Autocomplete          string
	Problem               *trouble
}

// fieldset is a group of inputs with a heading.
type fieldset struct {
	Title, Help string
	Inputs      []input
	Advanced    []input
}

// form is a form that the partial "form" draws, from its errors to its buttons.
type form struct {
	Action  string
	Sets    []fieldset
	Problem *trouble
	Submit  string
	Cancel  string
	Danger  bool
	Upload  bool // holds a file
	Plain   bool // answers with a file: no waiting state
	Hidden  map[string]string
}

func inputID(name string) string {
	return "f-" + strings.NewReplacer(".", "-", "[", "-", "]", "").Replace(name)
}

// drawing is how a described struct becomes inputs.
type drawing struct {
	prefix  string              // of input names, "settings."
	values  url.Values          // by input name: what was posted, or nil for what d holds
	set     map[string]bool     // secrets that have a value, by field name
	options map[string][]option // choices known only now, by field name
	suggest map[string][]option // suggestions for texts
	change  func(*input)        // last touch
	skip    map[string]bool     // fields that are drawn otherwise
	bad     map[string]*trouble // by input name
	names   map[string]bool     // collects the names drawn
}

// draw turns the fields of d into groups of inputs in the order of the screen.
func draw(d setting.Describer, by drawing) []fieldset {
	held := prefixed(setting.FormValues(d), by.prefix)
	values := by.values
	if values == nil {
		values = held
	}
	var sets []fieldset
	for _, f := range setting.Fields(d) {
		if by.skip[f.Name] {
			continue
		}
		if len(sets) == 0 || sets[len(sets)-1].Title != f.Section {
			sets = append(sets, fieldset{Title: f.Section, Help: f.SectionHelp})
		}
		from := values
		if f.Type == setting.TypeChoice && !values.Has(by.prefix+f.Name) {
			from = held // the posted form did not have it yet
		}
		in := by.input(f, from)
		s := &sets[len(sets)-1]
		if f.Advanced && in.Problem == nil {
			s.Advanced = append(s.Advanced, in)
		} else {
			s.Inputs = append(s.Inputs, in)
		}
	}
	return sets
}

func (by drawing) input(f setting.Field, values url.Values) input {
	name := by.prefix + f.Name
	if by.names != nil {
		by.names[name] = true
	}
	in := input{ID: inputID(name), Name: name, Label: f.Label, Help: f.Help, Placeholder: f.Placeholder, Required: f.Required && f.Default == "",
		MaxLength: f.MaxLength, Min: f.Min, Max: f.Max, Problem: by.bad[name]}
	if c := f.When; c != nil {
		in.WhenField, in.WhenValues = inputID(by.prefix+c.Field), strings.Join(c.Values, "|")
		in.Required = false // the browser cannot know whether it matters
	}
	if !f.Secret {
		in.Value = values.Get(name)
	}
	switch f.Type {
	case setting.TypeMultiline, setting.TypeCertificates, setting.TypeList, setting.TypeOIDs:
		in.Kind, in.Rows, in.Mono = "multiline", 4, f.Type != setting.TypeMultiline
		in.MaxLength = 0
		in.Value = strings.Join(values[name], "\n")
	case setting.TypeSecret:
		in.Kind, in.Set, in.Autocomplete = "secret", by.set[f.Name], "new-password"
	case setting.TypeSecretText:
		in.Kind, in.Set, in.Rows, in.Mono, in.Autocomplete = "secret_text", by.set[f.Name], 4, true, "off"
	case setting.TypeBool:
		in.Kind, in.Checked = "bool", isOn(in.Value)
	case setting.TypeInt:
		in.Kind = "int"
	case setting.TypeDuration:
		in.Kind = "duration"
	case setting.TypeChoice:
		in.choose(f, by.options[f.Name])
	default:
		in.Kind = "text"
	}
	if s := by.suggest[f.Name]; len(s) > 0 && in.Kind == "text" {
		in.Kind, in.Options = "suggest", s
	}
	if by.change != nil {
		by.change(&in)
	}
	return in
}

// choose gives a choice its options: those of the description and those known
// only now. A remote catalogue that did not answer leaves a text to type.
func (in *input) choose(f setting.Field, known []option) {
	in.Kind = "choice"
	for _, o := range f.Options {
		in.Options = append(in.Options, option{Value: o.Value, Label: o.Label, Help: o.Help})
	}
	in.Options = append(in.Options, known...)
	if f.Lookup != "" && known == nil {
		in.Kind = "suggest"
		return
	}
	for i := range in.Options {
		in.Options[i].Selected = in.Options[i].Value == in.Value
	}
	if in.Value != "" && f.Lookup != "" && !slices.ContainsFunc(in.Options, func(o option) bool { return o.Selected }) {
		in.Options = append(in.Options, option{Value: in.Value, Label: in.Value, Selected: true})
	}
	if !f.Required && f.Default == "" {
		in.Options = append([]option{{Value: "", Label: "None", Selected: in.Value == ""}}, in.Options...)
	} else if in.Value == "" {
		in.Options = append([]option{{Value: "", Label: "Choose…", Selected: true}}, in.Options...)
	}
}

func isOn(s string) bool { return s == "true" || s == "on" || s == "1" }

func prefixed(values url.Values, prefix string) url.Values {
	if prefix == "" {
		return values
	}
	out := url.Values{}
	for name, v := range values {
		out[prefix+name] = v
	}
	return out
}

// under gives the posted values whose names begin with a prefix, without it.
func under(values url.Values, prefix string) url.Values {
	out := url.Values{}
	for name, v := range values {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[rest] = v
		}
	}
	return out
}

// fillForm reads a described struct from posted inputs; errors name the inputs.
func fillForm(d setting.Describer, posted url.Values, prefix string) error {
	err := setting.FromForm(d, under(posted, prefix))
	if prefix == "" || err == nil {
		return err
	}
	var p ra.Problems
	p.Merge(strings.TrimSuffix(prefix, "."), err)
	return p.Err()
}

// settingsJSON turns posted inputs into the JSON a capability reads through the
// same description, where the rules are asked. A secret that was left empty is
// left out and so keeps its value; what does not matter is left out too.
func settingsJSON(d setting.Describer, posted url.Values, prefix string) []byte {
	in := under(posted, prefix)
	fields := setting.Fields(d)
	out := map[string]any{}
	for _, f := range fields {
		if !matters(fields, f, in) {
			continue
		}
		if value, ok := jsonValue(f, in); ok {
			out[f.Name] = value
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		panic(err) // texts, numbers and switches
	}
	return raw
}

func matters(fields []setting.Field, f setting.Field, in url.Values) bool {
	if f.When == nil {
		return true
	}
	i := slices.IndexFunc(fields, func(o setting.Field) bool { return o.Name == f.When.Field })
	value := in.Get(f.When.Field)
	if fields[i].Type == setting.TypeBool {
		value = strconv.FormatBool(isOn(value))
	}
	return slices.Contains(f.When.Values, value) && matters(fields, fields[i], in)
}

func jsonValue(f setting.Field, in url.Values) (any, bool) {
	posted, present := in[f.Name]
	text := in.Get(f.Name)
	switch {
	case f.Secret && isOn(in.Get(f.Name+".clear")):
		return nil, true
	case f.Secret:
		return text, text != ""
	case f.Type == setting.TypeBool:
		return isOn(text), true
	case !present:
		return nil, false
	case f.Type == setting.TypeInt:
		if text = strings.TrimSpace(text); text == "" {
			return nil, true
		}
		if n, err := strconv.Atoi(text); err == nil {
			return n, true
		}
		return text, true
	case f.Type == setting.TypeList || f.Type == setting.TypeOIDs:
		return lines(posted), true
	case f.Type == setting.TypeDuration && strings.TrimSpace(text) == "":
		return nil, true
	}
	return text, true
}

// lines splits what was typed into its lines that are not empty.
func lines(posted []string) []string {
	out := []string{}
	for _, text := range posted {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
	}
	return out
}

// setSecrets tells which secrets a stored settings document has.
func setSecrets(stored []byte) map[string]bool {
	var m map[string]json.RawMessage
	out := map[string]bool{}
	if json.Unmarshal(stored, &m) != nil {
		return out
	}
	for name, raw := range m {
		var kept struct {
			Set bool `json:"set"`
		}
		if json.Unmarshal(raw, &kept) == nil && kept.Set {
			out[name] = true
		}
	}
	return out
}
