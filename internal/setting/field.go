package setting

import "strings"

// Type is the kind of value a field holds.
type Type string

// The types of fields.
const (
	TypeText         Type = "text"         // one line
	TypeMultiline    Type = "multiline"    // several lines
	TypeURL          Type = "url"          // absolute address
	TypeHost         Type = "host"         // host name or IP address, without port
	TypeSecret       Type = "secret"       // one line, never shown
	TypeSecretText   Type = "secret_text"  // several lines, never shown
	TypeBool         Type = "bool"         // switch
	TypeInt          Type = "int"          // whole number
	TypeDuration     Type = "duration"     // time span: 30s, 12h, 90d
	TypeChoice       Type = "choice"       // one of several
	TypeList         Type = "list"         // texts, one per line
	TypeCertificates Type = "certificates" // PEM certificates
	TypeOIDs         Type = "oids"         // dotted object identifiers, one per line
)

// Field describes one field to whoever draws, documents or parses it. Values
// (Default, Min, Max) are in the text form that forms and flags use.
type Field struct {
	Name        string // key in JSON and forms
	Label       string
	Help        string
	Section     string // heading of the group, may be empty
	SectionHelp string
	Type        Type
	Required    bool
	Default     string
	Options     []Option
	Lookup      string // catalog of the remote side that offers values; any value is accepted
	Min, Max    string // limits of whole numbers and time spans, empty when there are none
	MaxLength   int    // in characters; of each item for lists; 0 when there is no limit
	Pattern     string // regular expression for texts and list items
	PatternHint string // the same for people
	Placeholder string
	When        *Condition // nil when the field always matters
	Advanced    bool       // may be folded away
	Secret      bool       // is never shown and is stored sealed
}

// Option is one of the values of a choice.
type Option struct{ Value, Label, Help string }

// Condition makes a field matter only while another field has one of some
// values. While it does not hold, the field is hidden, is not required and
// keeps its value.
type Condition struct {
	Field  string
	Values []string
}

// Fields lists the fields of d in the order they are described.
func Fields(d Describer) []Field {
	f := describe(d)
	out := make([]Field, len(f.fields))
	for i, x := range f.fields {
		out[i] = x.Field
	}
	return out
}

// Flag is the name of the field's command-line flag, without dashes. Secrets
// and texts of several lines are read from a file, never from an argument.
func (f Field) Flag() string {
	if f.fromFile() {
		return dashed(f.Name) + "-file"
	}
	return dashed(f.Name)
}

func (f Field) fromFile() bool {
	switch f.Type {
	case TypeSecret, TypeSecretText, TypeMultiline, TypeCertificates:
		return true
	}
	return false
}

// mustBeGiven reports whether someone has to fill the field in.
func (f Field) mustBeGiven() bool { return f.Required && f.Default == "" }

func (f Field) isList() bool { return f.Type == TypeList || f.Type == TypeOIDs }

// display is the value as people read it in a diff or a listing. Secrets show
// their mask, certificates their subjects and fingerprints.
func (x *field) display() string {
	switch {
	case x.Type == TypeCertificates:
		return describePEM(x.value.text())
	case x.isList():
		return strings.ReplaceAll(x.value.text(), "\n", ", ")
	}
	return x.value.text()
}
