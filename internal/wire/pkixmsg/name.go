package pkixmsg

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
)

// Name is a distinguished name in the order administrators type it and RFC 4514
// writes it: the most specific part first, as in CN=x,OU=y,O=z,C=US. The encoded
// RDNSequence is the reverse, C first; [Name.DER] and [ParseNameDER] turn the
// order around, so the order of a Name is always the typed one. The empty Name
// is the empty sequence.
type Name []RDN

// RDN is one part of a name: one attribute, or several joined by a plus sign.
// The order of several is not significant, and no type may occur twice.
type RDN []Attribute

// Attribute is a type with its value.
type Attribute struct {
	OID   string // dotted
	Value string // the text, whatever string type carried it
	// Raw is the DER of a value that is not of a string type, nil for all others.
	// RFC 4514 writes it as # and hexadecimal digits.
	Raw []byte
}

// Values gives every value of the attribute type in typed order, values that are
// not text left out.
func (n Name) Values(oid string) []string {
	var values []string
	for _, rdn := range n {
		for _, a := range rdn {
			if a.OID == oid && a.Raw == nil {
				values = append(values, a.Value)
			}
		}
	}
	return values
}

// Equal compares two names as RFC 5280 §7.1 asks: part by part in order, the
// values without regard to case, to white space at the ends and to repeated
// white space inside. Unicode normalization is not applied: two spellings of one
// character with different code points differ.
func (n Name) Equal(other Name) bool {
	return slices.EqualFunc(n, other, RDN.equal)
}

// Contains reports whether every attribute of part is in n, each occurrence
// counted, whatever the order and grouping. Values compare as in Equal.
func (n Name) Contains(part Name) bool {
	var have RDN
	for _, rdn := range n {
		have = append(have, rdn...)
	}
	for _, rdn := range part {
		for _, a := range rdn {
			i := slices.IndexFunc(have, a.equal)
			if i < 0 {
				return false
			}
			have = slices.Delete(have, i, i+1)
		}
	}
	return true
}

func (r RDN) equal(other RDN) bool {
	if len(r) != len(other) {
		return false
	}
	for _, a := range r {
		if !slices.ContainsFunc(other, a.equal) {
			return false
		}
	}
	return true
}

func (a Attribute) equal(other Attribute) bool {
	if a.OID != other.OID || (a.Raw == nil) != (other.Raw == nil) {
		return false
	}
	if a.Raw != nil {
		return bytes.Equal(a.Raw, other.Raw)
	}
	return foldText(a.Value) == foldText(other.Value)
}

// foldText gives the form in which two equal values are the same text.
func foldText(s string) string {
	var b strings.Builder
	for i, word := range strings.FieldsFunc(s, unicode.IsSpace) {
		if i > 0 {
			b.WriteByte(' ')
		}
		for _, r := range word {
			b.WriteRune(foldRune(r))
		}
	}
	return b.String()
}

// foldRune gives the least of all runes that differ from r in case only.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// repeats gives the first type that occurs twice in the RDN (X.501 §9.3).
func (r RDN) repeats() (Attribute, bool) {
	for i, a := range r {
		if slices.ContainsFunc(r[:i], func(b Attribute) bool { return b.OID == a.OID }) {
			return a, true
		}
	}
	return Attribute{}, false
}
