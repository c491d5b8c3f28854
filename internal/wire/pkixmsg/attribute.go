package pkixmsg

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers of name attributes that callers ask names for.
const (
	OIDCommonName         = "2.5.4.3"
	OIDSerialNumber       = "2.5.4.5"
	OIDCountry            = "2.5.4.6"
	OIDLocality           = "2.5.4.7"
	OIDState              = "2.5.4.8"
	OIDOrganization       = "2.5.4.10"
	OIDOrganizationalUnit = "2.5.4.11"
	OIDEmailAddress       = "1.2.840.113549.1.9.1"
	OIDUserID             = "0.9.2342.19200300.100.1.1"
	OIDDomainComponent    = "0.9.2342.19200300.100.1.25"
)

// stringForm is the set of string types an attribute may be encoded in.
type stringForm int

const (
	directory  stringForm = iota // UTF8String
	printable                    // PrintableString only
	ia5                          // IA5String only
	pkcs9                        // IA5String, or UTF8String for the rest (RFC 2985 §5.4.1)
	twoLetters                   // PrintableString of an ISO 3166 country code
)

// attributeType is what X.520 and RFC 5280 Appendix A say of one attribute.
type attributeType struct {
	oid     string
	name    string   // as written by Name.String
	aliases []string // further names, compared without case
	form    stringForm
	max     int // characters; 0 means the general limit
}

var attributeTypes = []attributeType{
	{OIDCommonName, "CN", []string{"commonName"}, directory, 64},
	{"2.5.4.4", "SN", []string{"surname"}, directory, 0},
	{OIDSerialNumber, "serialNumber", nil, printable, 64},
	{OIDCountry, "C", []string{"countryName"}, twoLetters, 2},
	{OIDLocality, "L", []string{"localityName"}, directory, 128},
	{OIDState, "ST", []string{"S", "stateOrProvinceName"}, directory, 128},
	{"2.5.4.9", "STREET", []string{"streetAddress"}, directory, 128},
	{OIDOrganization, "O", []string{"organizationName"}, directory, 64},
	{OIDOrganizationalUnit, "OU", []string{"organizationalUnitName"}, directory, 64},
	{"2.5.4.12", "title", []string{"T"}, directory, 64},
	{"2.5.4.13", "description", nil, directory, 1024},
	{"2.5.4.15", "businessCategory", nil, directory, 128},
	{"2.5.4.17", "postalCode", nil, directory, 40},
	{"2.5.4.41", "name", nil, directory, 0},
	{"2.5.4.42", "givenName", []string{"G", "GN"}, directory, 0},
	{"2.5.4.43", "initials", []string{"I"}, directory, 0},
	{"2.5.4.44", "generationQualifier", nil, directory, 0},
	{"2.5.4.46", "dnQualifier", []string{"DNQ"}, printable, 0},
	{"2.5.4.65", "pseudonym", nil, directory, 128},
	{"2.5.4.97", "organizationIdentifier", nil, directory, 0},
	{OIDDomainComponent, "DC", []string{"domainComponent"}, ia5, 63},
	{OIDUserID, "UID", []string{"userId"}, directory, 256},
	{OIDEmailAddress, "emailAddress", []string{"E", "EMAIL"}, ia5, 255},
	{"1.2.840.113549.1.9.2", "unstructuredName", nil, pkcs9, 255},
	{"1.2.840.113549.1.9.8", "unstructuredAddress", nil, directory, 255},
	{"1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL", nil, directory, 128},
	{"1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST", nil, directory, 128},
	{"1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC", nil, twoLetters, 2},
}

var typeByOID, typeByName = indexTypes()

func indexTypes() (byOID, byName map[string]*attributeType) {
	byOID, byName = map[string]*attributeType{}, map[string]*attributeType{}
	for i := range attributeTypes {
		t := &attributeTypes[i]
		byOID[t.oid] = t
		for _, name := range append([]string{t.name}, t.aliases...) {
			byName[strings.ToLower(name)] = t
		}
	}
	return byOID, byName
}

// AttributeNames lists the names ParseDN understands, as Name.String writes
// them, in the order of the X.520 numbers: for help texts and pickers.
func AttributeNames() []string {
	names := make([]string, len(attributeTypes))
	for i, t := range attributeTypes {
		names[i] = t.name
	}
	return names
}

// display is the name of the attribute for messages.
func (a Attribute) display() string {
	if t := typeByOID[a.OID]; t != nil {
		return t.name
	}
	return a.OID
}

// add appends the attribute's value in the string type its standard asks for,
// or an error that names the attribute and the limit.
func (a Attribute) add(b *cryptobyte.Builder) error {
	t := typeByOID[a.OID]
	if t == nil {
		t = &attributeType{oid: a.OID, form: directory}
	}
	if a.Raw != nil {
		if t.name != "" {
			return fault(ErrBounds, "Give it as text.", "%s must be text.", t.name)
		}
		if !wholeElement(a.Raw) {
			return badDER("value of attribute "+a.OID, "exactly one element")
		}
		b.AddBytes(a.Raw)
		return nil
	}
	tag, value, err := a.encode(t)
	if err != nil {
		return err
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
	return nil
}

func (a Attribute) encode(t *attributeType) (cbasn1.Tag, string, error) {
	if err := a.checkText(t); err != nil {
		return 0, "", err
	}
	switch t.form {
	case twoLetters:
		if len(a.Value) != 2 || !isLetter(a.Value[0]) || !isLetter(a.Value[1]) {
			return 0, "", fault(ErrBounds, "Use the ISO 3166 code, such as US, DE or JP.",
				"%s is exactly two letters.", a.display())
		}
		return cbasn1.PrintableString, strings.ToUpper(a.Value), nil
	case printable:
		if !isPrintableString(a.Value) {
			return 0, "", fault(ErrBounds, "Use only letters A to Z, digits, space and ' ( ) + , - . / : = ?.",
				"%s holds a character that a PrintableString cannot.", a.display())
		}
		return cbasn1.PrintableString, a.Value, nil
	case ia5:
		if !isASCII(a.Value) {
			return 0, "", fault(ErrBounds, "Use only ASCII characters; write an international domain in its xn-- form.",
				"%s holds a character that an IA5String cannot.", a.display())
		}
		return cbasn1.IA5String, a.Value, nil
	case pkcs9:
		if isASCII(a.Value) {
			return cbasn1.IA5String, a.Value, nil
		}
	}
	return cbasn1.UTF8String, a.Value, nil
}

// checkText holds what is common to all string types.
func (a Attribute) checkText(t *attributeType) error {
	limit := t.max
	if limit == 0 {
		limit = maxValueLength
	}
	switch n := utf8.RuneCountInString(a.Value); {
	case n == 0:
		return fault(ErrBounds, "Give it a value, or leave the attribute out.", "%s is empty.", a.display())
	case !utf8.ValidString(a.Value):
		return fault(ErrBounds, "Save the text as UTF-8.", "%s is not valid UTF-8.", a.display())
	case strings.IndexFunc(a.Value, isControl) >= 0:
		return fault(ErrBounds, "Remove line breaks, tabs and other control characters.",
			"%s holds a control character.", a.display())
	case n > limit && t.form != twoLetters:
		return fault(ErrBounds, "Shorten the value.", "%s has %d characters; the limit is %d.", a.display(), n, limit)
	}
	return nil
}
