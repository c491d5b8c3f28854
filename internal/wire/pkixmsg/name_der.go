package pkixmsg

import (
	"bytes"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// DER encodes the name as an RDNSequence (RFC 5280 §4.1.2.4), the last typed
// part first. String types follow the standards: PrintableString for country,
// serialNumber and dnQualifier, IA5String for DC and emailAddress, UTF8String
// for the rest. A country is written in capitals. An attribute that is empty,
// longer than its X.520 bound, or holds characters its type has no place for is
// ErrBounds, its message naming the attribute and the limit.
func (n Name) DER() ([]byte, error) {
	if len(n) > maxRDNs {
		return nil, tooLarge("name", maxRDNs, "parts")
	}
	sets := make([][]byte, 0, len(n))
	for _, rdn := range slices.Backward(n) {
		set, err := rdn.der()
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(sets, nil)) })
	der, err := b.Bytes()
	if err == nil && len(der) > maxNameBytes {
		err = tooLarge("name", maxNameBytes, "bytes")
	}
	if err != nil {
		return nil, err
	}
	return der, nil
}

func (r RDN) der() ([]byte, error) {
	if len(r) == 0 || len(r) > maxRDNValues {
		return nil, fault(ErrBounds, "Split it with commas.", "A part of a name has 1 to %d attributes.", maxRDNValues)
	}
	if a, twice := r.repeats(); twice {
		return nil, fault(ErrBounds, "Separate them with a comma instead of a plus sign.",
			"%s occurs twice in one part of the name.", a.display())
	}
	var members [][]byte
	for _, a := range r {
		var value cryptobyte.Builder
		if err := a.add(&value); err != nil {
			return nil, err
		}
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, a.OID)
			b.AddBytes(value.BytesOrPanic())
		})
		member, err := b.Bytes()
		if err != nil {
			return nil, err
		}
		members = append(members, member)
	}
	return setOf(cbasn1.SET, members)
}

// setOf joins encoded members in the order DER asks of a SET OF (X.690 §11.6).
func setOf(tag cbasn1.Tag, members [][]byte) ([]byte, error) {
	slices.SortFunc(members, bytes.Compare)
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(members, nil)) })
	return b.Bytes()
}

// ParseNameDER reads an RDNSequence that fills der, at most 16 KiB. Every
// DirectoryString type is read as text (T61String as Latin-1), and values of
// other types are kept in Attribute.Raw. Text is not checked against the bounds
// of X.520: names in the field exceed them, and Name.DER refuses to write such
// names.
func ParseNameDER(der []byte) (Name, error) {
	if len(der) > maxNameBytes {
		return nil, tooLarge("name", maxNameBytes, "bytes")
	}
	input := cryptobyte.String(der)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, badDER("name", "one SEQUENCE of RelativeDistinguishedName")
	}
	var name Name
	for !sequence.Empty() {
		var set cryptobyte.String
		if !sequence.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return nil, badDER("name", "a SET of at least one attribute")
		}
		if len(name) == maxRDNs {
			return nil, tooLarge("name", maxRDNs, "parts")
		}
		rdn, err := parseRDN(set)
		if err != nil {
			return nil, err
		}
		name = append(name, rdn)
	}
	slices.Reverse(name)
	return name, nil
}

func parseRDN(set cryptobyte.String) (RDN, error) {
	var rdn RDN
	for !set.Empty() {
		var pair, element cryptobyte.String
		var a Attribute
		var tag cbasn1.Tag
		if !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !readOID(&pair, &a.OID) ||
			!pair.ReadAnyASN1Element(&element, &tag) || !pair.Empty() {
			return nil, badDER("name", "an attribute of type and value")
		}
		if len(rdn) == maxRDNValues {
			return nil, tooLarge("part of the name", maxRDNValues, "attributes")
		}
		if err := a.read(element); err != nil {
			return nil, err
		}
		rdn = append(rdn, a)
	}
	if _, twice := rdn.repeats(); twice {
		return nil, badDER("name", "each attribute type once in a part")
	}
	return rdn, nil
}

// read fills Value, or Raw when the element is of no string type. A string
// that breaks the rules of its type is refused.
func (a *Attribute) read(element cryptobyte.String) error {
	raw := []byte(element)
	var body cryptobyte.String
	var tag cbasn1.Tag
	if !element.ReadAnyASN1(&body, &tag) || !element.Empty() {
		return badDER("value of attribute "+a.OID, "exactly one element")
	}
	text, ok := decodeText(tag, body)
	switch {
	case ok:
		a.Value = text
	case isStringTag(tag):
		return badDER("value of attribute "+a.OID, "text in the string type it declares")
	default:
		a.Raw = bytes.Clone(raw)
	}
	return nil
}

func isStringTag(tag cbasn1.Tag) bool {
	switch tag {
	case cbasn1.UTF8String, cbasn1.PrintableString, cbasn1.IA5String, cbasn1.T61String,
		tagNumericString, tagVisibleString, tagBMPString, tagUniversalString:
		return true
	}
	return false
}
