package ldapdir

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"chancery/internal/ra"
)

// Entry is one object of a directory with the attributes that were asked for.
type Entry struct {
	DN         string
	attributes map[string][][]byte // by name in small letters, without options
}

// Text gives the first value of an attribute, empty when there is none. The
// name may be written in any case.
func (e *Entry) Text(name string) string { return string(e.Bytes(name)) }

// Bytes is Text for values that are not texts.
func (e *Entry) Bytes(name string) []byte {
	if all := e.attributes[strings.ToLower(name)]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// Texts gives all values of an attribute.
func (e *Entry) Texts(name string) []string {
	all := e.attributes[strings.ToLower(name)]
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return out
}

// All gives all values of an attribute that are not texts.
func (e *Entry) All(name string) [][]byte { return e.attributes[strings.ToLower(name)] }

// Number gives a whole number; false when there is none. Active Directory's
// 32-bit numbers may be negative.
func (e *Entry) Number(name string) (int64, bool) {
	n, err := strconv.ParseInt(e.Text(name), 10, 64)
	return n, err == nil
}

func newEntry(from *ldap.Entry) (*Entry, error) {
	e := &Entry{DN: from.DN, attributes: make(map[string][][]byte, len(from.Attributes))}
	for _, a := range from.Attributes {
		name, _, _ := strings.Cut(strings.ToLower(a.Name), ";")
		for _, v := range a.ByteValues {
			if len(v) > maxValue {
				return nil, ra.Errorf(ra.TooLarge, "The attribute %.64s of %.200s is larger than %d bytes.", a.Name, from.DN, maxValue).
					WithRemedy("Look at the entry: nothing that Chancery reads is that large.")
			}
		}
		e.attributes[name] = append(e.attributes[name], a.ByteValues...)
	}
	return e, nil
}

// GUID gives an objectGUID (MS-DTYP 2.3.4.2) as 32 hexadecimal digits in the
// order of its bytes: a name for it, not the form with hyphens.
func GUID(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("not a GUID: %d bytes", len(b))
	}
	return hex.EncodeToString(b), nil
}

// ByGUID is a filter for the objects of these GUIDs.
func ByGUID(guids ...string) string {
	var b strings.Builder
	b.WriteString("(|")
	for _, g := range guids {
		b.WriteString("(objectGUID=")
		for i := 0; i+1 < len(g); i += 2 {
			b.WriteString(`\` + g[i:i+2])
		}
		b.WriteString(")")
	}
	return b.String() + ")"
}
