package setting

import (
	"net/url"
	"strings"
)

// clearSuffix, after a secret's name, is the name of the checkbox that clears it.
const clearSuffix = ".clear"

// FromForm fills d from a posted HTML form whose inputs have the fields' names.
// A checkbox that is absent is off; a secret that is empty is kept, and cleared
// by a checkbox named like it with ".clear" behind; any other input that is
// absent keeps the value d has. A number left empty takes its default. What was
// posted for fields whose condition does not hold is passed over, as are names
// that are not fields. Errors are as for FromJSON.
func FromForm(d Describer, posted url.Values) error {
	var bad faults
	return update(d, &bad, func(form *Form) {
		for _, x := range form.fields {
			if form.active(x) {
				bad.add(x, x.readForm(posted))
			}
		}
	})
}

func (x *field) readForm(posted url.Values) *flaw {
	in, present := posted[x.Name]
	last := ""
	if len(in) > 0 {
		last = in[len(in)-1]
	}
	switch {
	case x.Secret && isOn(posted.Get(x.Name+clearSuffix)):
		if last != "" {
			return &flaw{what: "cannot be changed and cleared at once", remedy: "Enter a new value or tick the box that clears it."}
		}
		x.value.clear()
		return nil
	case x.Type == TypeBool:
		return x.value.set(last)
	case !present:
		return nil
	case x.isList():
		return x.value.set(strings.Join(in, "\n"))
	case x.Type == TypeInt && strings.TrimSpace(last) == "":
		x.reset()
		return nil
	}
	return x.take(last)
}

func isOn(s string) bool {
	var on bool
	return boolValue{&on}.set(s) == nil && on
}

// FormValues gives the values of d as the inputs of a form carry them: lists
// one item per line, a checkbox that is on as "true" and one that is off
// absent. Secrets are left out.
func FormValues(d Describer) url.Values {
	out := url.Values{}
	for _, x := range describe(d).fields {
		switch {
		case x.Secret || x.Type == TypeBool && x.value.empty(): // absent
		case x.unset():
			out.Set(x.Name, "")
		default:
			out.Set(x.Name, x.value.text())
		}
	}
	return out
}
