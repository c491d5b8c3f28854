package setting

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"chancery/internal/secret"
)

// Limits that hold unless a field says otherwise, in characters and items.
const (
	maxText         = 4096
	maxMultiline    = 64 << 10
	maxCertificates = 512 << 10
	maxItems        = 500
)

// base holds what every input has. F is the input's own type, so that calls
// can be chained in any order.
type base[F any] struct {
	self *F
	x    *field
}

// Required refuses an empty value: no text, no items, zero, switched off.
func (b base[F]) Required() *F { b.x.Required = true; return b.self }

// Help adds a sentence or two below the field.
func (b base[F]) Help(text string) *F { b.x.Help = text; return b.self }

// Advanced lets screens fold the field away.
func (b base[F]) Advanced() *F { b.x.Advanced = true; return b.self }

// When makes the field matter only while another field, described before it,
// has one of the values, given in text form ("true" and "false" for a Bool).
func (b base[F]) When(other string, values ...string) *F {
	b.x.When = &Condition{Field: other, Values: values}
	return b.self
}

// valued adds what every input has whose value may be shown.
type valued[F, T any] struct {
	base[F]
	wrap func(*T) value
}

// Default is the value that Defaults gives, and that null in JSON restores.
func (v valued[F, T]) Default(to T) *F {
	v.x.def = v.wrap(&to)
	v.x.Default = v.x.def.text()
	return v.self
}

// Check adds a rule, asked about a value that is not empty. It returns nil or
// an *ra.Error written for whoever filled in the field; any other error is
// kept as a cause and never shown.
func (v valued[F, T]) Check(ask func(T) error) *F {
	v.x.rules = append(v.x.rules, func(it value) *flaw { return whole(ask(at[T](it))) })
	return v.self
}

func whole(err error) *flaw {
	if err == nil {
		return nil
	}
	return &flaw{whole: err}
}

// worded adds what inputs have that hold one text.
type worded[F any] struct{ valued[F, string] }

// Placeholder is an example shown while the field is empty.
func (w worded[F]) Placeholder(text string) *F { w.x.Placeholder = text; return w.self }

// MaxLength replaces the usual limit, in characters.
func (w worded[F]) MaxLength(n int) *F { w.x.Field.MaxLength = n; return w.self }

// Pattern asks for a text that re matches; anchor it at both ends. The hint
// says the same in words that follow "must be", such as "two letters".
func (w worded[F]) Pattern(re *regexp.Regexp, hint string) *F {
	w.x.Field.Pattern, w.x.PatternHint = re.String(), hint
	w.x.rules = append(w.x.rules, func(v value) *flaw { return matches(re, hint, at[string](v)) })
	return w.self
}

func matches(re *regexp.Regexp, hint, s string) *flaw {
	if re.MatchString(s) {
		return nil
	}
	return &flaw{what: "must be " + hint, remedy: "Correct it and try again."}
}

// TextInput is a field of Text, Multiline, Host or Certificates.
type TextInput struct{ worded[TextInput] }

// URLInput is a field of URL.
type URLInput struct {
	worded[URLInput]
	schemes []string
}

// Schemes replaces http and https, the schemes a URL may have.
func (u *URLInput) Schemes(names ...string) *URLInput { u.schemes = names; return u }

// SecretInput is a field of Secret or SecretText. It has no default: a secret
// known to everyone is none.
type SecretInput struct{ base[SecretInput] }

// MaxLength replaces the usual limit, in characters.
func (s *SecretInput) MaxLength(n int) *SecretInput { s.x.Field.MaxLength = n; return s }

// Check adds a rule, asked about a secret that is set. See valued inputs; the
// error must not hold the secret.
func (s *SecretInput) Check(ask func(secret.Text) error) *SecretInput {
	s.x.rules = append(s.x.rules, func(it value) *flaw { return whole(ask(at[secret.Text](it))) })
	return s
}

// BoolInput is a field of Bool.
type BoolInput struct{ valued[BoolInput, bool] }

// NumberInput is a field of Int or Duration. Zero counts as empty, unless the
// field has a default: then zero is a value like any other.
type NumberInput[T cmp.Ordered] struct{ valued[NumberInput[T], T] }

// Between limits the value; both ends belong to it.
func (n *NumberInput[T]) Between(low, high T) *NumberInput[T] {
	n.x.Min, n.x.Max = n.wrap(&low).text(), n.wrap(&high).text()
	n.x.rules = append(n.x.rules, func(v value) *flaw {
		if it := at[T](v); it < low || it > high {
			return &flaw{what: fmt.Sprintf("must be between %s and %s", n.x.Min, n.x.Max), remedy: "Choose a value in that range."}
		}
		return nil
	})
	return n
}

// ChoiceInput is a field of Choice.
type ChoiceInput struct {
	valued[ChoiceInput, string]
}

// Options are the values to choose from.
func (c *ChoiceInput) Options(options ...Option) *ChoiceInput {
	c.x.Field.Options = append(c.x.Field.Options, options...)
	return c
}

// Lookup takes the values to choose from out of a catalog of the remote side,
// asked when the form is shown. Options are then suggestions too: any value is
// accepted.
func (c *ChoiceInput) Lookup(catalog string) *ChoiceInput { c.x.Field.Lookup = catalog; return c }

// ListInput is a field of List or OIDs.
type ListInput struct{ valued[ListInput, []string] }

// Placeholder is an example shown while the field is empty.
func (l *ListInput) Placeholder(text string) *ListInput { l.x.Field.Placeholder = text; return l }

// MaxLength replaces the usual limit of each item, in characters.
func (l *ListInput) MaxLength(n int) *ListInput { l.x.Field.MaxLength = n; return l }

// Pattern asks for items that re matches; see Pattern of texts.
func (l *ListInput) Pattern(re *regexp.Regexp, hint string) *ListInput {
	l.x.Field.Pattern, l.x.PatternHint = re.String(), hint
	l.x.rules = append(l.x.rules, each(func(s string) *flaw { return matches(re, hint, s) }))
	return l
}

func (f *Form) add(t Type, name, label string, v value, max int, rules ...func(value) *flaw) *field {
	x := &field{value: v, rules: rules, Field: Field{
		Name: name, Label: label, Type: t, MaxLength: max, Section: f.section, SectionHelp: f.help,
	}}
	f.fields = append(f.fields, x)
	return x
}

func (f *Form) text(t Type, p *string, name, label string, max int, tidy func(string) string, rules ...func(value) *flaw) worded[TextInput] {
	wrap := func(p *string) value { return textValue{p, tidy} }
	x := f.add(t, name, label, wrap(p), max)
	x.rules = append([]func(value) *flaw{x.fits}, rules...)
	return worded[TextInput]{valued[TextInput, string]{base[TextInput]{x: x}, wrap}}
}

// fits holds a text to the field's length limit.
func (x *field) fits(v value) *flaw {
	s := ""
	switch p := v.pointer().(type) {
	case *string:
		s = *p
	case *secret.Text:
		s = p.Reveal()
	}
	if x.MaxLength > 0 && utf8.RuneCountInString(s) > x.MaxLength {
		return &flaw{what: fmt.Sprintf("must have at most %d characters", x.MaxLength), remedy: "Shorten it."}
	}
	return nil
}

func newText(w worded[TextInput]) *TextInput { t := &TextInput{w}; t.self = t; return t }

// Text is one line of text. The space around it does not count.
func (f *Form) Text(p *string, name, label string) *TextInput {
	return newText(f.text(TypeText, p, name, label, maxText, strings.TrimSpace, onText(oneLine)))
}

// Multiline is text of several lines, ended by \n.
func (f *Form) Multiline(p *string, name, label string) *TextInput {
	return newText(f.text(TypeMultiline, p, name, label, maxMultiline, newlines, onText(manyLines)))
}

// Host is a host name or an IP address, without port.
func (f *Form) Host(p *string, name, label string) *TextInput {
	return newText(f.text(TypeHost, p, name, label, 253, strings.TrimSpace, onText(hostName)))
}

// Certificates is a bundle of PEM certificates and nothing else. It is kept
// without the comments some tools write between them.
func (f *Form) Certificates(p *string, name, label string) *TextInput {
	return newText(f.text(TypeCertificates, p, name, label, maxCertificates, tidyPEM, onText(certificates)))
}

// URL is an absolute address with http or https, without user name and
// fragment.
func (f *Form) URL(p *string, name, label string) *URLInput {
	u := &URLInput{schemes: []string{"https", "http"}}
	w := f.text(TypeURL, p, name, label, maxText, strings.TrimSpace, onText(oneLine), func(v value) *flaw {
		return absoluteURL(at[string](v), u.schemes)
	})
	u.worded = worded[URLInput]{valued[URLInput, string]{base[URLInput]{u, w.x}, w.wrap}}
	return u
}

// Secret is one line that is never shown: a password or a token.
func (f *Form) Secret(p *secret.Text, name, label string) *SecretInput {
	return f.secret(TypeSecret, p, name, label, maxText, func(s string) string { return s }, oneLine)
}

// SecretText is text of several lines that is never shown: a private key.
func (f *Form) SecretText(p *secret.Text, name, label string) *SecretInput {
	return f.secret(TypeSecretText, p, name, label, maxMultiline, newlines, manyLines)
}

func (f *Form) secret(t Type, p *secret.Text, name, label string, max int, tidy func(string) string, rule func(string) *flaw) *SecretInput {
	x := f.add(t, name, label, secretValue{p, tidy}, max)
	x.Field.Secret = true
	x.rules = append(x.rules, x.fits, func(v value) *flaw { return rule(at[secret.Text](v).Reveal()) })
	s := &SecretInput{base[SecretInput]{x: x}}
	s.self = s
	return s
}

// Bool is a switch.
func (f *Form) Bool(p *bool, name, label string) *BoolInput {
	wrap := func(p *bool) value { return boolValue{p} }
	b := &BoolInput{valued[BoolInput, bool]{base[BoolInput]{x: f.add(TypeBool, name, label, wrap(p), 0)}, wrap}}
	b.self = b
	return b
}

// Int is a whole number.
func (f *Form) Int(p *int, name, label string) *NumberInput[int] {
	wrap := func(p *int) value { return intValue{p} }
	return number(f.add(TypeInt, name, label, wrap(p), 0), wrap)
}

// Duration is a time span, written like 30s, 12h or 90d.
func (f *Form) Duration(p *time.Duration, name, label string) *NumberInput[time.Duration] {
	wrap := func(p *time.Duration) value { return durationValue{p} }
	return number(f.add(TypeDuration, name, label, wrap(p), 0), wrap)
}

func number[T cmp.Ordered](x *field, wrap func(*T) value) *NumberInput[T] {
	n := &NumberInput[T]{valued[NumberInput[T], T]{base[NumberInput[T]]{x: x}, wrap}}
	n.self = n
	return n
}

// Choice is one of several values; call Options, Lookup or both.
func (f *Form) Choice(p *string, name, label string) *ChoiceInput {
	w := f.text(TypeChoice, p, name, label, maxText, strings.TrimSpace, onText(oneLine))
	w.x.rules = append(w.x.rules, w.x.offered)
	c := &ChoiceInput{valued[ChoiceInput, string]{base[ChoiceInput]{x: w.x}, w.wrap}}
	c.self = c
	return c
}

// List is texts, one per line.
func (f *Form) List(p *[]string, name, label string) *ListInput {
	return f.list(TypeList, p, name, label, oneLine)
}

// OIDs is object identifiers in dotted form, such as 1.3.6.1.5.5.7.3.2.
func (f *Form) OIDs(p *[]string, name, label string) *ListInput {
	return f.list(TypeOIDs, p, name, label, objectID)
}

func (f *Form) list(t Type, p *[]string, name, label string, rule func(string) *flaw) *ListInput {
	wrap := func(p *[]string) value { return listValue{p} }
	x := f.add(t, name, label, wrap(p), maxText)
	x.rules = append(x.rules, fewItems, each(x.short), each(rule))
	l := &ListInput{valued[ListInput, []string]{base[ListInput]{x: x}, wrap}}
	l.self = l
	return l
}
