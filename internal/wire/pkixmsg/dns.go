package pkixmsg

import (
	"net/netip"
	"slices"
	"strings"
)

// checkDNS takes a host name in the preferred syntax of RFC 1034 §3.5 as changed
// by RFC 1123 §2.1, which RFC 5280 §4.2.1.6 asks for: labels of letters, digits
// and hyphens, A-labels for international names. A single label is allowed,
// because hosts of private networks have such names.
func checkDNS(s string, wildcards bool) error {
	name := s
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		if !wildcards {
			return fault(ErrSyntax, "Write the full name of one host.", "A wildcard is not allowed here.")
		}
		if !strings.Contains(rest, ".") {
			return fault(ErrSyntax, "Write at least two labels behind it, such as *.example.com.", "The wildcard covers a whole top-level domain.")
		}
		name = rest
	}
	switch {
	case name == "":
		return fault(ErrSyntax, "Write a host name such as www.example.com.", "The DNS name is empty.")
	case strings.Contains(name, "*"):
		return fault(ErrSyntax, "Write *. at the very beginning, such as *.example.com.", "A wildcard stands only for the whole leftmost label.")
	case !isASCII(name):
		return international(name)
	case len(s) > 253:
		return fault(ErrBounds, "Use a shorter name.", "A DNS name has at most 253 characters.")
	case strings.HasSuffix(name, "."):
		return fault(ErrSyntax, "Leave the dot at the end out.", "A DNS name in a certificate has no dot at its end.")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return fault(ErrSyntax, "Use the kind ip.", "This is an IP address, not a DNS name.")
	}
	for _, label := range strings.Split(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return fault(ErrSyntax, "Remove the additional dot.", "The DNS name has an empty label.")
	case len(label) > 63:
		return fault(ErrBounds, "Use shorter labels.", "A label of a DNS name has at most 63 characters.")
	case label[0] == '-' || label[len(label)-1] == '-':
		return fault(ErrSyntax, "Remove the hyphen.", "A label of a DNS name neither begins nor ends with a hyphen.")
	}
	for _, c := range []byte(label) {
		if !isLetter(c) && !isDigit(c) && c != '-' {
			return fault(ErrSyntax, "Use only letters A to Z, digits and hyphens.", "The DNS name holds a character that host names do not have.")
		}
	}
	if len(label) >= 4 && strings.EqualFold(label[:4], acePrefix) && !validALabel(label) {
		return fault(ErrSyntax, "Convert the international name again and use the result.", "A label begins with xn-- but is not Punycode.")
	}
	return nil
}

// international refuses a name with other than ASCII characters and offers its
// A-label form.
func international(name string) error {
	const refused = "The DNS name holds characters other than ASCII."
	labels := strings.Split(strings.ToLower(name), ".")
	for i, label := range labels {
		if isASCII(label) {
			continue
		}
		coded, ok := encodePunycode([]rune(label))
		if !ok || len(acePrefix+coded) > 63 {
			return fault(ErrSyntax, "Write it in its xn-- form.", refused)
		}
		labels[i] = acePrefix + coded
	}
	return fault(ErrSyntax, "Write it in its xn-- form: "+strings.Join(labels, ".")+".", refused)
}

// validALabel reports whether the label decodes to something that ASCII could
// not have said, and encodes back to itself (RFC 5891 §5.4).
func validALabel(label string) bool {
	coded := strings.ToLower(label[len(acePrefix):])
	runes, ok := decodePunycode(coded)
	if !ok || isASCII(string(runes)) || slices.ContainsFunc(runes, isControl) {
		return false
	}
	again, ok := encodePunycode(runes)
	return ok && again == coded
}
