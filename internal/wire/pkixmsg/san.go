package pkixmsg

import (
	"encoding/hex"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The GeneralName choices (RFC 5280 §4.2.1.6).
var (
	tagOtherName    = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagRFC822Name   = cbasn1.Tag(1).ContextSpecific()
	tagDNSName      = cbasn1.Tag(2).ContextSpecific()
	tagDirectory    = cbasn1.Tag(4).ContextSpecific().Constructed()
	tagURI          = cbasn1.Tag(6).ContextSpecific()
	tagIPAddress    = cbasn1.Tag(7).ContextSpecific()
	tagRegisteredID = cbasn1.Tag(8).ContextSpecific()
	tagExplicit0    = cbasn1.Tag(0).ContextSpecific().Constructed()
)

// SubjectAltName builds the extension of names, critical when the subject is
// empty (RFC 5280 §4.2.1.6). Every name passes Check; wildcards are for the
// caller's policy to refuse. At least one name and at most 1000.
func SubjectAltName(subject Name, names []GeneralName) (Extension, error) {
	if len(names) == 0 {
		return Extension{}, fault(ErrBounds, "Leave the extension out when there is nothing to say.", "There is no alternative name.")
	}
	if len(names) > maxSANs {
		return Extension{}, tooLarge("subject alternative name", maxSANs, "names")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, g := range names {
			g.add(b)
		}
	})
	value, err := b.Bytes()
	if err != nil {
		return Extension{}, err
	}
	return Extension{OID: OIDSubjectAltName, Critical: len(subject) == 0, Value: value}, nil
}

// add appends the name once it passes Check; a failure stops the builder.
func (g GeneralName) add(b *cryptobyte.Builder) {
	if err := g.Check(true); err != nil {
		b.SetError(err)
		return
	}
	text := func(b *cryptobyte.Builder) { b.AddBytes([]byte(g.Value)) }
	switch g.Type {
	case Email:
		b.AddASN1(tagRFC822Name, text)
	case DNS:
		b.AddASN1(tagDNSName, text)
	case URI:
		b.AddASN1(tagURI, text)
	case RegisteredID:
		addTaggedOID(b, tagRegisteredID, g.Value)
	case UPN:
		addOtherName(b, oidUPN, func(b *cryptobyte.Builder) { b.AddASN1(cbasn1.UTF8String, text) })
	case IP:
		addr, err := parseIP(g.Value)
		addChecked(b, tagIPAddress, addr.AsSlice(), err)
	case DirName:
		der, err := parseDirName(g.Value)
		addChecked(b, tagDirectory, der, err)
	case GUID:
		octets, err := parseGUID(g.Value)
		addOtherName(b, oidGUID, func(b *cryptobyte.Builder) { addChecked(b, cbasn1.OCTET_STRING, octets, err) })
	case Other:
		oid, value, err := parseOther(g.Value)
		if err != nil {
			b.SetError(err)
			return
		}
		addOtherName(b, oid, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	}
}

func addChecked(b *cryptobyte.Builder, tag cbasn1.Tag, body []byte, err error) {
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(body) })
}

func addOtherName(b *cryptobyte.Builder, oid string, value cryptobyte.BuilderContinuation) {
	b.AddASN1(tagOtherName, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1(tagExplicit0, value)
	})
}

// ParseSubjectAltName reads the value of a subject alternative name extension.
// An otherName that is neither a UPN nor a GUID becomes Other with OID:hex. The
// names are what the bytes say: whether they are fit for use is for Check.
// X.400 addresses and EDI party names are refused, because nothing here could
// show or compare them.
func ParseSubjectAltName(value []byte) ([]GeneralName, error) {
	input := cryptobyte.String(value)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, badDER("subject alternative name", "one SEQUENCE of GeneralName")
	}
	var names []GeneralName
	for !sequence.Empty() {
		var body cryptobyte.String
		var tag cbasn1.Tag
		if !sequence.ReadAnyASN1(&body, &tag) {
			return nil, badDER("subject alternative name", "a GeneralName")
		}
		if len(names) == maxSANs {
			return nil, tooLarge("subject alternative name", maxSANs, "names")
		}
		g, err := parseGeneralName(tag, body)
		if err != nil {
			return nil, err
		}
		names = append(names, g)
	}
	return names, nil
}

func parseGeneralName(tag cbasn1.Tag, body cryptobyte.String) (GeneralName, error) {
	switch tag {
	case tagRFC822Name:
		return ia5Name(Email, body)
	case tagDNSName:
		return ia5Name(DNS, body)
	case tagURI:
		return ia5Name(URI, body)
	case tagIPAddress:
		addr, ok := netip.AddrFromSlice(body)
		if !ok {
			return GeneralName{}, badDER("IP address in the alternative name", "4 or 16 octets")
		}
		return GeneralName{IP, addr.String()}, nil
	case tagDirectory:
		name, err := ParseNameDER(body)
		return GeneralName{DirName, name.String()}, err
	case tagRegisteredID:
		g := GeneralName{Type: RegisteredID}
		if !decodeOID(body, &g.Value) {
			return GeneralName{}, badDER("registered identifier in the alternative name", "an OBJECT IDENTIFIER")
		}
		return g, nil
	case tagOtherName:
		return parseOtherName(body)
	}
	return GeneralName{}, badDER("subject alternative name", "a kind of name other than X.400 and EDI")
}

func ia5Name(t NameType, body []byte) (GeneralName, error) {
	if !isASCII(string(body)) {
		return GeneralName{}, badDER(string(t)+" in the alternative name", "an IA5String")
	}
	return GeneralName{t, string(body)}, nil
}

func parseOtherName(body cryptobyte.String) (GeneralName, error) {
	var oid string
	var value cryptobyte.String
	if !readOID(&body, &oid) || !body.ReadASN1(&value, tagExplicit0) || !body.Empty() || !wholeElement(value) {
		return GeneralName{}, badDER("other name in the alternative name", "an object identifier and one value")
	}
	if oid == oidUPN && isUPNValue(value) {
		g := GeneralName{Type: UPN}
		readText(&value, &g.Value)
		return g, nil
	}
	if oid == oidGUID && isGUIDValue(value) {
		return GeneralName{GUID, formatGUID(value[2:])}, nil
	}
	return GeneralName{Other, oid + ":" + hex.EncodeToString(value)}, nil
}

// isUPNValue accepts any string type: directories compare the text, so a name in
// an unusual type must meet the same checks as the usual one.
func isUPNValue(value cryptobyte.String) bool {
	var text string
	return readText(&value, &text) && value.Empty()
}

func isGUIDValue(value cryptobyte.String) bool {
	var octets cryptobyte.String
	return value.ReadASN1(&octets, cbasn1.OCTET_STRING) && len(octets) == 16 && value.Empty()
}
