package adcs

import (
	"net/netip"
	"strings"

	"chancery/internal/doubles/dcerpc"
	"chancery/internal/wire/pkixmsg"
)

// attributes are those of a request, by folded name (MS-WCCE 3.2.1.4.2.1.2).
type attributes map[string]string

func parseAttributes(text string) attributes {
	a := attributes{}
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		name = fold(strings.NewReplacer(" ", "", "-", "", "\t", "").Replace(name))
		if _, twice := a[name]; !twice && name != "" {
			a[name] = strings.TrimSpace(value)
		}
	}
	return a
}

// blobText reads the attributes of ICertPassage: UTF-16 with its NUL at the end
// and nowhere else.
func blobText(b []byte) (string, bool) {
	if len(b) == 0 {
		return "", true
	}
	if len(b)%2 != 0 {
		return "", false
	}
	text, ended := strings.CutSuffix(dcerpc.Narrow(b), "\x00")
	return text, ended && !strings.Contains(text, "\x00")
}

// wideZ encodes text with a NUL.
func wideZ(s string) []byte { return append(dcerpc.Wide(s), 0, 0) }

// altNames reads the value of the SAN attribute: type=value&type=value.
func altNames(text string) ([]pkixmsg.GeneralName, bool) {
	kinds := map[string]pkixmsg.NameType{"email": pkixmsg.Email, "dns": pkixmsg.DNS, "upn": pkixmsg.UPN, "dn": pkixmsg.DirName,
		"url": pkixmsg.URI, "ipaddress": pkixmsg.IP, "guid": pkixmsg.GUID, "oid": pkixmsg.RegisteredID}
	var names []pkixmsg.GeneralName
	for part := range strings.SplitSeq(text, "&") {
		kind, value, ok := strings.Cut(part, "=")
		name := pkixmsg.GeneralName{Type: kinds[fold(strings.TrimSpace(kind))], Value: value}
		if !ok || name.Type == "" {
			return nil, false
		}
		if name.Type == pkixmsg.IP {
			if _, err := netip.ParseAddr(value); err != nil {
				return nil, false
			}
		}
		names = append(names, name)
	}
	return names, len(names) > 0
}
