package setting

import (
	"fmt"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// Defaults puts every field but the secrets to its default, or to zero where
// it has none. Secrets keep their values.
func Defaults(d Describer) {
	for _, x := range describe(d).fields {
		if !x.Secret {
			x.reset()
		}
	}
}

// reset gives a field its default; a secret has none and becomes unset.
func (x *field) reset() {
	if x.def != nil {
		x.value.assign(x.def)
	} else {
		x.value.clear()
	}
}

// Check judges the values d has: required fields, the rules of each field, and
// Validate where d is a Validator. It returns nil or an *ra.Error of kind
// ra.Invalid that names every bad field.
func Check(d Describer) error {
	var bad faults
	check(d, describe(d), &bad)
	return bad.err()
}

// Copy gives dst the values of src, secrets included. Both are of one type;
// it panics when their fields differ.
func Copy(dst, src Describer) {
	to, from := describe(dst), describe(src)
	pairs(to, from)
	for i, x := range to.fields {
		x.value.assign(from.fields[i].value)
	}
}

// pairs panics unless two forms describe the same fields.
func pairs(a, b *Form) {
	same := len(a.fields) == len(b.fields)
	for i := 0; same && i < len(a.fields); i++ {
		same = a.fields[i].Name == b.fields[i].Name && a.fields[i].Type == b.fields[i].Type
	}
	if !same {
		panic("setting: the two settings are not of one type")
	}
}

// SecretField is one secret of a Describer.
type SecretField struct {
	Name  string
	Value *secret.Text // the variable itself: read it to seal, fill it to unseal
}

// Secrets lists the secrets of d, set or not, in the order described. They are
// what ToJSON leaves out and the store keeps sealed under their names.
func Secrets(d Describer) []SecretField {
	var out []SecretField
	for _, x := range describe(d).fields {
		if p, ok := x.value.pointer().(*secret.Text); ok {
			out = append(out, SecretField{x.Name, p})
		}
	}
	return out
}

// maxFaults bounds how many problems one input can cause.
const maxFaults = 50

// faults gathers what is wrong with one input.
type faults struct {
	problems ra.Problems
	count    int
	names    map[string]bool       // fields that have a problem
	key      func(x *field) string // how the input calls a field; nil: by its name
	fill     func(x *field) string // how to give a missing one; nil: by the form
}

func (f *faults) add(x *field, bad *flaw) {
	if bad != nil {
		f.merge(x, x.problem(bad))
	}
}

func (f *faults) merge(x *field, e error) {
	if f.names == nil {
		f.names = map[string]bool{}
	}
	f.names[x.Name] = true
	key := x.Name
	if f.key != nil {
		key = f.key(x)
	}
	f.put(key, e)
}

func (f *faults) put(key string, e error) {
	if f.count++; f.count <= maxFaults {
		f.problems.Merge(key, e)
	}
}

func (f *faults) err() error { return f.problems.Err() }

// check adds what is wrong with the values of d. Fields that have a problem
// already are not asked again.
func check(d Describer, form *Form, bad *faults) {
	for _, x := range form.fields {
		switch {
		case bad.names[x.Name]:
		case x.value.empty() && x.Required && form.active(x):
			remedy := "Fill it in."
			if bad.fill != nil {
				remedy = bad.fill(x)
			}
			bad.add(x, &flaw{what: "is required", remedy: remedy})
		case !x.value.empty() || x.zeroCounts():
			if e := x.judge(x.value); e != nil {
				bad.merge(x, e)
			}
		}
	}
	if v, ok := d.(Validator); ok && bad.count == 0 {
		if err := v.Validate(); err != nil {
			bad.put("", err)
		}
	}
}

// zeroCounts reports whether zero is a value to judge: it is for numbers with
// a default, where a field left alone would not be zero.
func (x *field) zeroCounts() bool {
	return x.def != nil && (x.Type == TypeInt || x.Type == TypeDuration)
}

// update lets apply fill d, checks the result, and puts everything back when
// anything is wrong.
func update(d Describer, bad *faults, apply func(*Form)) error {
	form := describe(d)
	before := make([]value, len(form.fields))
	for i, x := range form.fields {
		before[i] = x.value.clone()
	}
	apply(form)
	check(d, form, bad)
	err := bad.err()
	if err != nil {
		for i, x := range form.fields {
			x.value.assign(before[i])
		}
	}
	return err
}

// Change is one field that differs between two values of the same settings.
type Change struct {
	Field         string // its name
	Label         string
	Before, After string // as people read them; masks for secrets
	Secret        bool
}

// Diff lists the fields that differ, in the order described. It panics when
// the two are not of one type.
func Diff(before, after Describer) []Change {
	a, b := describe(before), describe(after)
	pairs(a, b)
	var out []Change
	for i, x := range a.fields {
		if y := b.fields[i]; !x.value.equal(y.value) {
			out = append(out, Change{x.Name, x.Label, x.display(), y.display(), x.Secret})
		}
	}
	return out
}

// String says the change in one line, such as "timeout 30s → 1m" or "token
// changed". Long values are cut.
func (c Change) String() string {
	switch {
	case !c.Secret:
		return fmt.Sprintf("%s %s → %s", c.Field, brief(c.Before), brief(c.After))
	case c.Before == secret.Unset:
		return c.Field + " set"
	case c.After == secret.Unset:
		return c.Field + " cleared"
	}
	return c.Field + " changed"
}

// brief gives a value in at most 120 characters; quoted when it is empty or
// holds what would break the line.
func brief(s string) string {
	if r := []rune(s); len(r) > 120 {
		s = string(r[:119]) + "…"
	}
	if s == "" || oneLine(s) != nil {
		return fmt.Sprintf("%q", s)
	}
	return s
}
