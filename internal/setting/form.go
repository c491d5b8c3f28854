// Package setting describes settings once, in the manner of the standard flag
// package: name, label, default and help sit beside the variable they fill.
//
//	func (s *Settings) Describe(f *setting.Form) {
//		f.URL(&s.Server, "server", "Server address").Required().Help("Where the API answers.")
//		f.Secret(&s.Token, "token", "Access token").Required()
//		f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(30*time.Second).Between(time.Second, 5*time.Minute)
//	}
//
// From that one method come the console form (Fields, FormValues, FromForm),
// JSON in and out (FromJSON, ToJSON, Load), the schema for OpenAPI (Schema),
// command-line flags (Flags, FromFlags, FlagsJSON), the server's configuration
// from file and environment (Configure), the documentation (Markdown), the
// audit trail (Diff) and the list of what must be sealed (Secrets).
//
// The life of a value: make it empty, call Defaults, then one of the From
// functions. Each of these keeps what its input leaves out, reports every bad
// field at once as an *ra.Error with Field names, and changes nothing when it
// reports any. So an update in part is FromJSON on the stored value, and a
// document that replaces everything is Defaults, which leaves secrets alone,
// then FromJSON. A stored value is read with Load and unsealed through Secrets.
//
// There is no reflection: the pointers given to the Form carry the types. A
// Describe method may call another's, so settings that several kinds share are
// written once. Mistakes in a description (two fields of one name, a default
// its own rules refuse) are programming errors and panic, so any test that
// touches the settings finds them. Nothing here is safe for concurrent use on
// the same Describer.
package setting

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"chancery/internal/ra"
)

// Describer is a settings struct: it names its fields to f. It must name the
// same fields on every call, whatever values they have.
type Describer interface{ Describe(f *Form) }

// Validator is a Describer with rules that look at more than one field. It is
// asked when every field is right on its own. It returns nil, an *ra.Error with
// Field set, or what ra.Problems gives.
type Validator interface{ Validate() error }

// Form receives the fields of a Describer, in the order of the screen.
type Form struct {
	fields        []*field
	section, help string
}

// field is one described variable.
type field struct {
	Field
	value value
	def   value               // a detached default, or nil
	rules []func(value) *flaw // asked in order about a value that is set
}

// flaw says what is wrong with a value, without showing it. The field's label
// comes before what. A Check of the Describer's own gives a whole error.
type flaw struct {
	what, remedy string
	whole        error
}

// Section starts a group of fields with a heading; help may be empty.
func (f *Form) Section(title, help string) { f.section, f.help = title, help }

var validName = regexp.MustCompile(`^[a-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*$`)

// describe asks d for its fields and checks the description.
func describe(d Describer) *Form {
	f := &Form{}
	d.Describe(f)
	seen, flags, variables := map[string]*field{}, map[string]bool{}, map[any]bool{}
	for _, x := range f.fields {
		x.verify(seen)
		for _, flag := range []string{dashed(x.Name), dashed(x.Name) + "-file"} {
			if flags[flag] && (flag == dashed(x.Name) || x.fromFile()) {
				panic(fmt.Sprintf("setting: field %q has the same flag as another field: --%s", x.Name, flag))
			}
		}
		flags[dashed(x.Name)] = true
		if x.fromFile() {
			flags[dashed(x.Name)+"-file"] = true
		}
		if variables[x.value.pointer()] {
			panic(fmt.Sprintf("setting: field %q fills the same variable as another field", x.Name))
		}
		variables[x.value.pointer()] = true
		seen[x.Name] = x
	}
	return f
}

// verify panics when the description of x is wrong; seen are the fields before.
func (x *field) verify(seen map[string]*field) {
	wrong := func(format string, args ...any) {
		panic(fmt.Sprintf("setting: field %q ", x.Name) + fmt.Sprintf(format, args...))
	}
	if !validName.MatchString(x.Name) {
		wrong("is not named in letters and digits, words parted by _ or -")
	}
	if seen[x.Name] != nil {
		wrong("is described twice")
	}
	if x.Label == "" {
		wrong("has no label")
	}
	if x.Type == TypeChoice && len(x.Options) == 0 && x.Lookup == "" {
		wrong("offers nothing to choose from")
	}
	for i, o := range x.Options {
		if o.Value == "" || slices.ContainsFunc(x.Options[:i], func(p Option) bool { return p.Value == o.Value }) {
			wrong("offers an empty value, or one value twice: %q", o.Value)
		}
	}
	if c := x.When; c != nil {
		other := seen[c.Field]
		if other == nil {
			wrong("depends on %q, which is not described before it", c.Field)
		}
		for _, v := range c.Values {
			if other.Type == TypeChoice && other.Lookup == "" && !slices.ContainsFunc(other.Options, func(o Option) bool { return o.Value == v }) {
				wrong("depends on a value that %q does not offer: %q", c.Field, v)
			}
			if other.Type == TypeBool && v != "true" && v != "false" {
				wrong("depends on a value that %q cannot have: %q", c.Field, v)
			}
		}
	}
	if x.def != nil && !x.def.empty() {
		if bad := x.judge(x.def); bad != nil {
			wrong("has a default that its own rules refuse: %s", bad.Message)
		}
	}
}

// judge asks the rules about v.
func (x *field) judge(v value) *ra.Error {
	for _, rule := range x.rules {
		if bad := rule(v); bad != nil {
			return x.problem(bad)
		}
	}
	return nil
}

// problem puts a flaw into a sentence about the field.
func (x *field) problem(bad *flaw) *ra.Error {
	if bad.whole == nil {
		return ra.Errorf(ra.Invalid, "%s %s.", x.Label, bad.what).WithRemedy("%s", bad.remedy)
	}
	var e *ra.Error
	if !errors.As(bad.whole, &e) {
		return ra.Errorf(ra.Invalid, "%s is not accepted.", x.Label).WithRemedy("Enter another value.").WithCause(bad.whole)
	}
	if e.Field == x.Name { // the name is added where the problem is gathered
		c := *e
		c.Field = ""
		return &c
	}
	return e
}

// find gives the field of a name, or nil.
func (f *Form) find(name string) *field {
	for _, x := range f.fields {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// active reports whether the fields that x depends on have the values that
// make x matter.
func (f *Form) active(x *field) bool {
	if x.When == nil {
		return true
	}
	other := f.find(x.When.Field)
	return f.active(other) && slices.Contains(x.When.Values, other.value.text())
}

// dashed turns a field name into the words of a flag: baseURL, base_url and
// base-url all give base-url.
func dashed(name string) string {
	var b strings.Builder
	in := []rune(name)
	for i, r := range in {
		if r == '_' {
			r = '-'
		}
		if i > 0 && unicode.IsUpper(r) && in[i-1] != '_' && in[i-1] != '-' &&
			(!unicode.IsUpper(in[i-1]) || i+1 < len(in) && unicode.IsLower(in[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// variable turns a field name into an environment variable.
func variable(prefix, name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(dashed(name), "-", "_"))
}
