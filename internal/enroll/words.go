package enroll

import (
	"strings"

	"chancery/internal/wire/pkixmsg"
)

// describe says in words what one of our extensions holds.
func describe(e pkixmsg.Extension) string {
	switch e.OID {
	case pkixmsg.OIDKeyUsage:
		if u, err := pkixmsg.ParseKeyUsage(e.Value); err == nil {
			return strings.Join(pkixmsg.KeyUsageNames(u), ", ")
		}
	case pkixmsg.OIDExtKeyUsage:
		if oids, err := pkixmsg.ParseExtKeyUsage(e.Value); err == nil {
			for i, oid := range oids {
				oids[i] = pkixmsg.OIDName(oid)
			}
			return strings.Join(oids, ", ")
		}
	case pkixmsg.OIDSubjectAltName:
		if names, err := pkixmsg.ParseSubjectAltName(e.Value); err == nil {
			return strings.Join(sanTexts(names), ", ")
		}
	case pkixmsg.OIDSecurityIdentifier:
		if sid, err := pkixmsg.ParseSIDExtension(e.Value); err == nil {
			return sid
		}
	}
	return "unreadable"
}

// sanTexts writes alternative names as lists and rows show them: "dns:host".
func sanTexts(names []pkixmsg.GeneralName) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n.Type) + ":" + n.Value
	}
	return out
}
