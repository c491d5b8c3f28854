package pkixmsg

import (
	"encoding/hex"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

// NameType is the kind of an alternative name, as administrators write it.
type NameType string

// The kinds of alternative name, with the form of GeneralName.Value.
const (
	Email        NameType = "email"         // rfc822Name: local@domain, ASCII
	UPN          NameType = "upn"           // Microsoft otherName: user@realm, any Unicode
	DNS          NameType = "dns"           // dNSName: host name of A-labels
	URI          NameType = "uri"           // uniformResourceIdentifier with its scheme
	IP           NameType = "ip"            // iPAddress: IPv4 or IPv6 in text form
	DirName      NameType = "dirname"       // directoryName: RFC 4514 text
	GUID         NameType = "guid"          // Microsoft otherName of domain controllers: 8-4-4-4-12 digits
	RegisteredID NameType = "registered-id" // registeredID: dotted object identifier
	Other        NameType = "other"         // any other otherName: OID:hexadecimal DER of its value
)

// NameTypes lists every kind in display order.
var NameTypes = []NameType{Email, UPN, DNS, URI, IP, DirName, GUID, RegisteredID, Other}

// ParseNameType reads a kind without regard to case. Another word is ErrSyntax.
func ParseNameType(s string) (NameType, error) {
	for _, t := range NameTypes {
		if strings.EqualFold(s, string(t)) {
			return t, nil
		}
	}
	words := make([]string, len(NameTypes))
	for i, t := range NameTypes {
		words[i] = string(t)
	}
	return "", fault(ErrSyntax, "Use one of "+strings.Join(words, ", ")+".", "%s is no kind of alternative name.", quote(s))
}

// GeneralName is one alternative name of a subject (RFC 5280 §4.2.1.6).
type GeneralName struct {
	Type  NameType
	Value string
}

// Check reports whether the value is right for its type: ErrSyntax or ErrBounds
// with what to write instead, nil when right. A DNS name may begin with *. only
// when wildcards is true. Names parsed from a request have not been checked.
func (g GeneralName) Check(wildcards bool) error {
	switch g.Type {
	case Email:
		return checkEmail(g.Value)
	case UPN:
		return checkUPN(g.Value)
	case DNS:
		return checkDNS(g.Value, wildcards)
	case URI:
		return checkURI(g.Value)
	case IP:
		_, err := parseIP(g.Value)
		return err
	case DirName:
		_, err := parseDirName(g.Value)
		return err
	case GUID:
		_, err := parseGUID(g.Value)
		return err
	case RegisteredID:
		return CheckOID(g.Value)
	case Other:
		_, _, err := parseOther(g.Value)
		return err
	}
	_, err := ParseNameType(string(g.Type))
	if err == nil {
		err = fault(ErrSyntax, "Write the kind in small letters.", "%s is no kind of alternative name.", quote(string(g.Type)))
	}
	return err
}

// checkEmail takes a Mailbox of RFC 5321 §4.1.2 with a dot-string before the @
// and a host name behind it. Quoted local parts and address literals are refused:
// no mail system in use hands them out, and they hide what they mean.
func checkEmail(s string) error {
	const remedy = "Write it as name@domain, such as ada@example.com; write an international domain in its xn-- form."
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 {
		return fault(ErrSyntax, remedy, "The mail address has no name or no domain around an @.")
	}
	local, domain := s[:at], s[at+1:]
	if len(local) > 64 || len(s) > 254 {
		return fault(ErrBounds, "Shorten it.", "A mail address has at most 64 characters before the @ and 254 in all.")
	}
	for _, word := range strings.Split(local, ".") {
		if word == "" {
			return fault(ErrSyntax, remedy, "A dot in a mail address stands between two other characters.")
		}
		for _, c := range []byte(word) {
			if !isLetter(c) && !isDigit(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
				return fault(ErrSyntax, remedy, "The mail address holds a character that is not allowed before the @.")
			}
		}
	}
	return checkDNS(domain, false)
}

func checkUPN(s string) error {
	const remedy = "Write it as user@realm, such as ada@corp.example."
	at := strings.LastIndexByte(s, '@')
	switch {
	case at < 1 || at == len(s)-1:
		return fault(ErrSyntax, remedy, "The user principal name has no user or no realm around an @.")
	case !utf8.ValidString(s) || strings.IndexFunc(s, isControl) >= 0:
		return fault(ErrBounds, remedy, "The user principal name holds a control character or is not valid UTF-8.")
	case utf8.RuneCountInString(s) > 1024:
		return fault(ErrBounds, "Shorten it.", "A user principal name has at most 1024 characters.")
	}
	return nil
}

func checkURI(s string) error {
	const remedy = "Write it with its scheme, such as https://host/path or urn:uuid:…; write other characters as %XX."
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return fault(ErrSyntax, remedy, "The URI holds a space or another character that is not allowed.")
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || !u.IsAbs():
		return fault(ErrSyntax, remedy, "The URI has no scheme, or is not in the form of RFC 3986.")
	case u.Opaque == "" && u.Host == "" && u.Path == "":
		return fault(ErrSyntax, remedy, "The URI has nothing behind its scheme.")
	}
	if host := u.Hostname(); host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			if err := checkDNS(host, false); err != nil {
				return err
			}
		}
	}
	if claimsSID(s) {
		_, ok := ParseSIDURI(s)
		if !ok {
			return fault(ErrSyntax, "Write tag:microsoft.com,2022-09-14:sid: and the SID, in small letters.",
				"The URI names a security identifier that is not in its form.")
		}
	}
	return nil
}

func parseIP(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, fault(ErrSyntax, "Write an address such as 192.0.2.7 or 2001:db8::7, without prefix length or zone.",
			"The IP address is not in its form.")
	}
	return addr, nil
}

// parseDirName reads the text and encodes it, so that the bounds are kept too.
func parseDirName(s string) ([]byte, error) {
	name, err := ParseDN(s)
	if err != nil {
		return nil, err
	}
	if len(name) == 0 {
		return nil, fault(ErrSyntax, "Write a name such as CN=Ada,O=Example.", "The directory name is empty.")
	}
	return name.DER()
}

// parseGUID reads 8-4-4-4-12 digits, in braces or not, into the little-endian
// octets Active Directory stores (MS-DTYP §2.3.4.2).
func parseGUID(s string) ([]byte, error) {
	bad := fault(ErrSyntax, "Write 32 hexadecimal digits as 12345678-9abc-def0-1234-56789abcdef0.", "The GUID is not in its form.")
	digits := s
	if strings.HasPrefix(digits, "{") && strings.HasSuffix(digits, "}") {
		digits = digits[1 : len(digits)-1]
	}
	groups := strings.Split(digits, "-")
	if len(groups) != 5 {
		return nil, bad
	}
	for i, width := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != width {
			return nil, bad
		}
	}
	guid, err := hex.DecodeString(strings.Join(groups, ""))
	if err != nil {
		return nil, bad
	}
	return swapGUID(guid), nil
}

// formatGUID is the reverse of parseGUID for 16 octets.
func formatGUID(octets []byte) string {
	d := hex.EncodeToString(swapGUID(octets))
	return d[:8] + "-" + d[8:12] + "-" + d[12:16] + "-" + d[16:20] + "-" + d[20:]
}

// swapGUID turns the byte order of the first three fields around.
func swapGUID(g []byte) []byte {
	return []byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6],
		g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]}
}

// parseOther reads OID:hex, hex being one DER element. The forms that have a
// type of their own are refused, so that no check can be gone around.
func parseOther(s string) (oid string, value []byte, err error) {
	oid, digits, found := strings.Cut(s, ":")
	value, hexErr := hex.DecodeString(digits)
	if !found || hexErr != nil || !wholeElement(value) {
		return "", nil, fault(ErrSyntax, "Write the object identifier, a colon and the DER of the value in hexadecimal digits, such as 1.2.3.4:0c0161.",
			"The other name is not in its form.")
	}
	if err := CheckOID(oid); err != nil {
		return "", nil, err
	}
	if oid == oidUPN && isUPNValue(value) || oid == oidGUID && isGUIDValue(value) {
		return "", nil, fault(ErrSyntax, "Use the kind upn or guid.", "This other name has a kind of its own.")
	}
	return oid, value, nil
}
