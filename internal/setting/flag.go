package setting

import (
	"io"
	"strings"

	"github.com/spf13/pflag"

	"chancery/internal/secret"
)

// Flags adds one flag per field of d to fs, described but not yet filled in:
// after fs.Parse, FromFlags or FlagsJSON reads them. Secrets, certificates and
// texts of several lines get a flag that names a file ("-" is standard input),
// so that no secret stands in a process's arguments. A list's flag is repeated.
// It panics when fs has a flag of that name already.
func Flags(d Describer, fs *pflag.FlagSet) {
	for _, x := range describe(d).fields {
		usage := strings.NewReplacer("`", "'", "\n", " ").Replace(x.usage())
		f := fs.VarPF(&flagValue{kind: x.flagKind(), initial: strings.ReplaceAll(x.Default, "\n", ", "), repeats: x.isList()}, x.Flag(), "", usage)
		if x.Type == TypeBool {
			f.NoOptDefVal = "true"
		}
	}
}

func (f Field) usage() string {
	s := f.Label
	if f.fromFile() {
		s += `, read from this file ("-": standard input)`
	}
	if len(f.Options) > 0 {
		names := make([]string, len(f.Options))
		for i, o := range f.Options {
			names[i] = o.Value
		}
		s += " (" + strings.Join(names, ", ") + ")"
	}
	note := ""
	if f.mustBeGiven() {
		note = "required"
	}
	if f.When != nil {
		note = strings.TrimSpace(note + " while " + f.When.Field + " is " + strings.Join(f.When.Values, " or "))
	}
	if f.isList() {
		note = strings.TrimPrefix(note+", once for each", ", ")
	}
	if note != "" {
		s += " (" + note + ")"
	}
	return s
}

func (f Field) flagKind() string {
	switch {
	case f.fromFile():
		return "file"
	case f.isList():
		return "strings"
	case f.Type == TypeInt || f.Type == TypeBool || f.Type == TypeDuration || f.Type == TypeURL || f.Type == TypeHost:
		return string(f.Type)
	}
	return "string"
}

// flagValue keeps what was written, for FromFlags to judge: pflag's own errors
// would show it, and would stop at the first.
type flagValue struct {
	kind, initial string
	repeats       bool
	given         []string
}

func (v *flagValue) Type() string { return v.kind }

// String is the default that help shows, or what was given.
func (v *flagValue) String() string {
	if v.given == nil {
		return v.initial
	}
	return strings.Join(v.given, "\n")
}

func (v *flagValue) Set(s string) error {
	if !v.repeats {
		v.given = nil
	}
	v.given = append(v.given, s)
	return nil
}

// flagText gives what was given for x on the command line, a named file read.
func (x *field) flagText(fs *pflag.FlagSet, in *input) (text string, given bool, err error) {
	f := fs.Lookup(x.Flag())
	if f == nil || !f.Changed {
		return "", false, nil
	}
	v, ok := f.Value.(*flagValue)
	if !ok {
		panic("setting: the flag --" + x.Flag() + " was not added by Flags")
	}
	text = strings.Join(v.given, "\n")
	if x.fromFile() {
		text, err = in.read(x, text)
	}
	return text, true, err
}

// FromFlags fills d from the flags that were given; other fields keep their
// values. Files named by flags are read, stdin at most once. Errors are
// ra.Invalid with every bad flag as Field; then d is unchanged.
func FromFlags(d Describer, fs *pflag.FlagSet, stdin io.Reader) error {
	bad := faults{key: dashedFlag, fill: func(x *field) string { return "Give it with " + dashedFlag(x) + "." }}
	in := &input{stdin: stdin}
	return update(d, &bad, func(form *Form) { form.readFlags(fs, in, &bad, nil) })
}

func dashedFlag(x *field) string { return "--" + x.Flag() }

// readFlags fills fields from flags and tells found about each one given.
func (f *Form) readFlags(fs *pflag.FlagSet, in *input, bad *faults, found func(*field)) {
	for _, x := range f.fields {
		text, given, err := x.flagText(fs, in)
		if !given {
			continue
		}
		if found != nil {
			found(x)
		}
		if err != nil {
			bad.merge(x, err)
		} else {
			bad.add(x, x.take(text))
		}
	}
}

// FlagsJSON writes a JSON document of the flags that were given, for FromJSON
// on the other side of an API. It holds secrets in clear: it is the body of a
// request, never a thing to print. d says which fields there are and is not
// changed; the values are judged one by one, whether all required ones are
// there is left to the other side. Errors are as for FromFlags.
func FlagsJSON(d Describer, fs *pflag.FlagSet, stdin io.Reader) ([]byte, error) {
	bad := faults{key: dashedFlag}
	in := &input{stdin: stdin}
	var out []member
	for _, x := range describe(d).fields {
		text, given, err := x.flagText(fs, in)
		if !given {
			continue
		}
		if err != nil {
			bad.merge(x, err)
			continue
		}
		v := x.value.clone()
		if flaw := v.set(text); flaw != nil {
			bad.add(x, flaw)
			continue
		}
		if !v.empty() || x.zeroCounts() {
			if e := x.judge(v); e != nil {
				bad.merge(x, e)
				continue
			}
		}
		content := v.json()
		if p, ok := v.pointer().(*secret.Text); ok {
			content = p.Reveal()
		}
		raw, err := encode(content)
		if err != nil {
			return nil, err
		}
		out = append(out, member{x.Name, raw})
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return join(out), nil
}
