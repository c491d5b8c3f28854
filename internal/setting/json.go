package setting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"chancery/internal/ra"
)

// maxDocument bounds a JSON or YAML document, in bytes.
const maxDocument = 1 << 20

// FromJSON fills d from a JSON object. A key that is left out keeps the value
// d has; null restores the default, and makes a secret unset; a secret that is
// "" or {"set": true} keeps its value. An unknown or repeated key is an error,
// and so is {"set": true} where there is no secret to keep. Errors are ra.Invalid with
// every bad field; then d is unchanged.
func FromJSON(d Describer, raw []byte) error {
	members, err := object(raw)
	if err != nil {
		return err
	}
	var bad faults
	return update(d, &bad, func(form *Form) {
		seen := map[string]bool{}
		for _, m := range members {
			if bad.count >= maxFaults {
				return
			}
			x := form.find(m.key)
			switch {
			case x == nil:
				bad.put(printable(m.key), form.unknown(m.key))
			case seen[m.key]:
				bad.add(x, &flaw{what: "is given twice", remedy: "Leave one of them."})
			case x.Secret && isKept(m.value) && x.value.empty():
				bad.add(x, &flaw{what: "is to be kept, but there is none here", remedy: "Write the secret itself, or null for none."})
			default:
				bad.add(x, x.read(m.value))
			}
			seen[m.key] = true
		}
	})
}

// Load fills d from a document that ToJSON wrote, perhaps in another version:
// unknown keys are passed over, a value that cannot be read leaves its field as
// it is, and no rule is asked. The error names the fields that could not be
// read; everything else is filled even then. Use Check for the rules.
func Load(d Describer, raw []byte) error {
	members, err := object(raw)
	if err != nil {
		return err
	}
	var bad faults
	form := describe(d)
	for _, m := range members {
		if x := form.find(m.key); x != nil {
			bad.add(x, x.read(m.value))
		}
	}
	return bad.err()
}

// read fills a field from a JSON value.
func (x *field) read(raw json.RawMessage) *flaw {
	if string(raw) == "null" || x.emptyIsDefault() && string(raw) == `""` {
		x.reset()
		return nil
	}
	return x.value.setJSON(raw)
}

// emptyIsDefault reports whether an empty text means "the default": where the
// empty text is not a value anyone could have chosen.
func (x *field) emptyIsDefault() bool {
	return x.Type == TypeChoice || x.Type == TypeDuration
}

// take fills a field from a text.
func (x *field) take(text string) *flaw {
	if x.emptyIsDefault() && strings.TrimSpace(text) == "" {
		x.reset()
		return nil
	}
	return x.value.set(text)
}

// ToJSON writes d as a JSON object with every field, in the order described.
// A secret is {"set": true}; a field that has neither value nor default is null.
// FromJSON of the result changes nothing.
func ToJSON(d Describer) ([]byte, error) {
	form := describe(d)
	out := make([]member, 0, len(form.fields))
	for _, x := range form.fields {
		var v any
		if !x.unset() {
			v = x.value.json()
		}
		raw, err := encode(v)
		if err != nil {
			return nil, err
		}
		out = append(out, member{x.Name, raw})
	}
	return join(out), nil
}

// unset reports whether a field has no value, as opposed to an empty list, a
// switch that is off, or a zero or empty text where the default is another.
func (x *field) unset() bool {
	return x.value.empty() && x.def == nil && x.Type != TypeBool && !x.isList()
}

// member is one key of a JSON object.
type member struct {
	key   string
	value json.RawMessage
}

func join(members []member) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%s", m.key, m.value) // names are letters and digits
	}
	return append(b, '}')
}

// encode is json.Marshal without its escapes for HTML.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// object takes one JSON object apart, keeping order and repetitions.
func object(raw []byte) ([]member, error) {
	if len(raw) > maxDocument {
		return nil, ra.Errorf(ra.TooLarge, "The settings are larger than %d KiB.", maxDocument>>10).WithRemedy("Shorten the longest values.")
	}
	if !utf8.Valid(raw) {
		return nil, ra.Errorf(ra.Invalid, "The settings are not UTF-8 text.").WithRemedy("Save the document as UTF-8.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	wrong := func() error {
		line := 1 + bytes.Count(raw[:min(int(dec.InputOffset()), len(raw))], []byte("\n"))
		return ra.Errorf(ra.Invalid, "The settings are not a JSON object; reading stopped at line %d.", line).
			WithRemedy("Check braces, quotes and commas there, and that nothing follows the closing brace.")
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, wrong()
	}
	var out []member
	for dec.More() {
		t, err := dec.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, wrong()
		}
		var v json.RawMessage
		if dec.Decode(&v) != nil {
			return nil, wrong()
		}
		out = append(out, member{key, v})
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('}') {
		return nil, wrong()
	}
	if len(bytes.TrimLeft(raw[dec.InputOffset():], " \t\r\n")) > 0 {
		return nil, wrong()
	}
	return out, nil
}

// unknown is the error for a key no field has, with the nearest one that one
// has, or all of them when none is near.
func (f *Form) unknown(key string) *ra.Error {
	e := ra.Errorf(ra.Invalid, "There is no setting %q.", printable(key))
	folded, best, names := fold(key), "", []string{}
	least := 1 + min(3, len(folded)/3)
	for _, x := range f.fields {
		names = append(names, x.Name)
		if n := distance(folded, fold(x.Name)); n < least {
			best, least = x.Name, n
		}
	}
	if best != "" {
		return e.WithRemedy("Did you mean %q?", best)
	}
	return e.WithRemedy("The settings are: %s.", strings.Join(names, ", "))
}

// printable is a key that arrived, fit to be shown.
func printable(key string) string {
	key = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, key)
	if r := []rune(key); len(r) > 40 {
		return string(r[:39]) + "…"
	}
	return key
}

// fold brings the ways to write a name together: baseURL, base_url, Base-Url.
func fold(name string) string {
	if len(name) > 64 {
		name = name[:64]
	}
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// distance counts the letters to change, add or drop to make b out of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
