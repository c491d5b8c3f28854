package console

import (
	"slices"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// chooseReferred makes choices of the fields in the form of an authority that hold
// the ID of something else, as far as there is any: the directory of one that is
// guarded, and the authority that another one revokes through.
func (v *visit) chooseReferred(settings ca.Settings, self *ra.Authority) (func(*input), error) {
	choices := map[string][]option{}
	if _, ok := settings.(ca.Guarded); ok {
		list, _, err := v.Directories.Find(v.ctx(), v.actor, store.DirectoryFilter{Page: pick})
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			choices["settings.directory"] = append(choices["settings.directory"], option{Value: string(d.ID), Label: d.Name})
		}
	}
	if _, ok := settings.(ca.Deputed); ok {
		list, err := v.authorityOptions()
		if err != nil {
			return nil, err
		}
		choices["settings.revoke_through"] = slices.DeleteFunc(list, func(o option) bool { return self != nil && o.Value == string(self.ID) })
	}
	return func(in *input) {
		if list := choices[in.Name]; len(list) > 0 {
			in.among(list)
		}
	}, nil
}

// among makes a choice of a text. One that is not among the options stays as it is.
func (in *input) among(list []option) {
	in.Kind, in.Options = "choice", []option{{Label: "None", Selected: in.Value == ""}}
	known := in.Value == ""
	for _, o := range list {
		o.Selected = in.Value == o.Value
		known = known || o.Selected
		in.Options = append(in.Options, o)
	}
	if !known {
		in.Options = append(in.Options, option{Value: in.Value, Label: in.Value, Selected: true})
	}
}
