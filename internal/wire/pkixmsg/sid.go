package pkixmsg

import (
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// sidURIPrefix begins the alternative name a KDC maps by SID (MS-PKCA, KB5014754).
const sidURIPrefix = "tag:microsoft.com,2022-09-14:sid:"

// CheckSID reports ErrSyntax unless s is a security identifier in text form
// (MS-DTYP §2.4.2.1): S-1, a 48-bit authority and 1 to 15 32-bit numbers, in
// decimal without leading zeros.
func CheckSID(s string) error {
	rest, ok := strings.CutPrefix(s, "S-1-")
	parts := strings.Split(rest, "-")
	ok = ok && len(parts) >= 2 && len(parts) <= 16
	for i, part := range parts {
		width := 32
		if i == 0 {
			width = 48
		}
		v, err := strconv.ParseUint(part, 10, width)
		ok = ok && err == nil && strconv.FormatUint(v, 10) == part
	}
	if !ok {
		return fault(ErrSyntax, "Write it as S-1-5-21-…, as the directory shows it.", "The security identifier is not in its form.")
	}
	return nil
}

// SIDExtension builds Microsoft's security extension, 1.3.6.1.4.1.311.25.2 and
// not critical, which binds a certificate to an account (MS-WCCE §2.2.2.7.7.4).
func SIDExtension(sid string) (Extension, error) {
	if err := CheckSID(sid); err != nil {
		return Extension{}, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOtherName(b, oidNTDSObject, func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte(sid)) })
	})
	value, err := b.Bytes()
	return Extension{OID: OIDSecurityIdentifier, Value: value}, err
}

// ParseSIDExtension reads the value of the security extension. It holds exactly
// one SID, else ErrEncoding; a SID that breaks the text form is ErrSyntax.
func ParseSIDExtension(value []byte) (sid string, err error) {
	input := cryptobyte.String(value)
	var sequence, other, explicit, octets cryptobyte.String
	var oid string
	if !input.ReadASN1(&sequence, cbasn1.SEQUENCE) || !input.Empty() ||
		!sequence.ReadASN1(&other, tagOtherName) || !sequence.Empty() ||
		!readOID(&other, &oid) || oid != oidNTDSObject ||
		!other.ReadASN1(&explicit, tagExplicit0) || !other.Empty() ||
		!explicit.ReadASN1(&octets, cbasn1.OCTET_STRING) || !explicit.Empty() {
		return "", badDER("security identifier extension", "one other name that holds a SID")
	}
	if err := CheckSID(string(octets)); err != nil {
		return "", err
	}
	return string(octets), nil
}

// SIDURI gives the alternative name that carries a SID where the extension
// cannot be had: tag:microsoft.com,2022-09-14:sid:S-1-…
func SIDURI(sid string) (GeneralName, error) {
	if err := CheckSID(sid); err != nil {
		return GeneralName{}, err
	}
	return GeneralName{URI, sidURIPrefix + sid}, nil
}

// ParseSIDURI gives the SID of such a URI; ok is false for any other.
func ParseSIDURI(uri string) (sid string, ok bool) {
	sid, ok = strings.CutPrefix(uri, sidURIPrefix)
	if !ok || CheckSID(sid) != nil {
		return "", false
	}
	return sid, true
}

// claimsSID reports whether a lenient reader might find a SID in the URI.
func claimsSID(uri string) bool {
	lower := strings.ToLower(uri)
	return strings.HasPrefix(lower, "tag:microsoft.com,") && strings.Contains(lower, ":sid:")
}
