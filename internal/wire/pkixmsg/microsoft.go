package pkixmsg

import (
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// TemplateInfo is Microsoft's certificate template extension of schema version 2
// and later (MS-WCCE §2.2.2.7.7.2).
type TemplateInfo struct {
	OID          string
	Major, Minor int64 // -1 when absent
}

// ParseTemplateInfo reads the value of extension 1.3.6.1.4.1.311.21.7.
func ParseTemplateInfo(value []byte) (TemplateInfo, error) {
	info := TemplateInfo{Major: -1, Minor: -1}
	input := cryptobyte.String(value)
	var body cryptobyte.String
	ok := input.ReadASN1(&body, cbasn1.SEQUENCE) && input.Empty() && readOID(&body, &info.OID)
	for _, version := range []*int64{&info.Major, &info.Minor} {
		if ok && !body.Empty() {
			ok = body.ReadASN1Integer(version) && *version >= 0
		}
	}
	if !ok || !body.Empty() {
		return TemplateInfo{}, badDER("certificate template extension", "an identifier and two version numbers")
	}
	return info, nil
}

// ParseTemplateName reads the value of extension 1.3.6.1.4.1.311.20.2, the name
// of a template of schema version 1 (MS-WCCE §2.2.2.7.7.1). The standard type is
// BMPString; others are taken because non-Windows clients write UTF8String.
func ParseTemplateName(value []byte) (string, error) {
	input := cryptobyte.String(value)
	var name string
	if !readText(&input, &name) || !input.Empty() || name == "" {
		return "", badDER("certificate template name extension", "one BMPString")
	}
	return name, nil
}

// ParseApplicationPolicies reads the value of extension 1.3.6.1.4.1.311.21.10
// as dotted identifiers: to Windows they count like extended key usages, so what
// limits one must limit the other.
func ParseApplicationPolicies(value []byte) ([]string, error) {
	input := cryptobyte.String(value)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() {
		return nil, badDER("application policies extension", "a SEQUENCE of policies")
	}
	var oids []string
	for !sequence.Empty() {
		var policy cryptobyte.String
		var oid string
		if !sequence.ReadASN1(&policy, cbasn1.SEQUENCE) || !readOID(&policy, &oid) {
			return nil, badDER("application policies extension", "a policy with an identifier")
		}
		if len(oids) == maxEKUs {
			return nil, tooLarge("application policies extension", maxEKUs, "policies")
		}
		oids = append(oids, oid)
	}
	return oids, nil
}
