package setting

import (
	"strconv"
	"strings"
)

// Markdown gives the reference page of the settings: a heading, then one table
// per section with name, flag, value, default and meaning of each field.
func Markdown(d Describer, title string) string {
	var b strings.Builder
	b.WriteString("# " + inline(title) + "\n")
	section, open := "", false
	for _, f := range Fields(d) {
		if f.Section != section {
			section, open = f.Section, false
			if section != "" {
				b.WriteString("\n## " + inline(section) + "\n")
			}
			if f.SectionHelp != "" {
				b.WriteString("\n" + inline(f.SectionHelp) + "\n")
			}
		}
		if !open {
			b.WriteString("\n| setting | flag | value | default | meaning |\n| --- | --- | --- | --- | --- |\n")
			open = true
		}
		preset := ""
		if f.Default != "" {
			preset = code(strings.ReplaceAll(f.Default, "\n", ", "))
		}
		b.WriteString("| " + strings.Join([]string{code(f.Name), code("--" + f.Flag()), inline(f.kind()), preset, f.meaning()}, " | ") + " |\n")
	}
	return b.String()
}

// kind says what a field takes, in words.
func (f Field) kind() string {
	switch f.Type {
	case TypeText:
		return "text"
	case TypeMultiline:
		return "text, several lines"
	case TypeURL:
		return "address"
	case TypeHost:
		return "host name or IP address"
	case TypeSecret:
		return "secret"
	case TypeSecretText:
		return "secret, several lines"
	case TypeBool:
		return "true or false"
	case TypeInt:
		return "whole number" + limits(f)
	case TypeDuration:
		return "time span" + limits(f)
	case TypeChoice:
		return "choice"
	case TypeList:
		return "list of texts"
	case TypeCertificates:
		return "PEM certificates"
	case TypeOIDs:
		return "list of object identifiers"
	}
	return string(f.Type)
}

// meaning is the cell that explains the field.
func (f Field) meaning() string {
	s := []string{"**" + inline(strings.TrimSuffix(f.Label, ".")) + ".**"}
	if f.When != nil {
		values := make([]string, len(f.When.Values))
		for i, v := range f.When.Values {
			values[i] = code(v)
		}
		first := "Only"
		if f.mustBeGiven() {
			first = "Required"
		}
		s = append(s, first+" while "+code(f.When.Field)+" is "+strings.Join(values, " or ")+".")
	} else if f.mustBeGiven() {
		s = append(s, "Required.")
	}
	if f.Help != "" {
		s = append(s, inline(f.Help))
	}
	if f.PatternHint != "" {
		s = append(s, "Must be "+inline(f.PatternHint)+".")
	}
	if f.Placeholder != "" {
		s = append(s, "Example: "+code(f.Placeholder)+".")
	}
	if f.Lookup != "" {
		s = append(s, "Values come from the catalog "+inline(strconv.Quote(f.Lookup))+" of the other side.")
	}
	if f.Advanced {
		s = append(s, "Rarely changed.")
	}
	cell := strings.Join(s, " ")
	for _, o := range f.Options {
		cell += "<br>" + code(o.Value)
		if o.Label+o.Help != "" {
			cell += ": " + inline(o.sentence())
		}
	}
	return cell
}

// inline makes a text harmless in a Markdown table.
func inline(s string) string {
	return strings.NewReplacer("\n", " ", `\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "`", "\\`", "_", `\_`, "[", `\[`).Replace(s)
}

// code sets a text in code style, in a table.
func code(s string) string {
	return "`" + strings.NewReplacer("`", "'", "|", `\|`, "\n", " ").Replace(s) + "`"
}
