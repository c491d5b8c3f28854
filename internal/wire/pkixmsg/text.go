package pkixmsg

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// String types that the DER cursor has no names for.
const (
	tagNumericString   = cbasn1.Tag(18)
	tagVisibleString   = cbasn1.Tag(26)
	tagUniversalString = cbasn1.Tag(28)
	tagBMPString       = cbasn1.Tag(30)
)

// decodeText reads the contents of any string type a name may hold (RFC 5280
// §4.1.2.4 and IA5String, NumericString, VisibleString). ok is false when the
// tag is no string type or the contents are not of that type.
//
// Two things are read that the standards forbid, because requests in the field
// have them: PrintableString with further ASCII characters (network devices put
// * @ and _ there), and BMPString with surrogate pairs (Windows). T61String is
// read as Latin-1, as everyone writes it.
func decodeText(tag cbasn1.Tag, body []byte) (text string, ok bool) {
	switch tag {
	case cbasn1.UTF8String:
		return string(body), utf8.Valid(body)
	case cbasn1.PrintableString, cbasn1.IA5String, tagNumericString, tagVisibleString:
		return string(body), isASCII(string(body))
	case cbasn1.T61String:
		runes := make([]rune, len(body))
		for i, c := range body {
			runes[i] = rune(c)
		}
		return string(runes), true
	case tagBMPString:
		return decodeBMP(body)
	case tagUniversalString:
		return decodeUniversal(body)
	}
	return "", false
}

func decodeBMP(body []byte) (string, bool) {
	if len(body)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = uint16(body[2*i])<<8 | uint16(body[2*i+1])
	}
	for i := 0; i < len(units); i++ {
		if r := rune(units[i]); !utf16.IsSurrogate(r) {
			continue
		}
		if i+1 == len(units) || utf16.DecodeRune(rune(units[i]), rune(units[i+1])) == utf8.RuneError {
			return "", false
		}
		i++
	}
	return string(utf16.Decode(units)), true
}

func decodeUniversal(body []byte) (string, bool) {
	if len(body)%4 != 0 {
		return "", false
	}
	var b strings.Builder
	for ; len(body) > 0; body = body[4:] {
		v := uint32(body[0])<<24 | uint32(body[1])<<16 | uint32(body[2])<<8 | uint32(body[3])
		if v > utf8.MaxRune || !utf8.ValidRune(rune(v)) {
			return "", false
		}
		b.WriteRune(rune(v))
	}
	return b.String(), true
}

// readText reads one element of any string type.
func readText(s *cryptobyte.String, out *string) bool {
	var body cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1(&body, &tag) {
		return false
	}
	text, ok := decodeText(tag, body)
	*out = text
	return ok
}

// wholeElement reports whether der is exactly one element.
func wholeElement(der []byte) bool {
	s := cryptobyte.String(der)
	var body cryptobyte.String
	var tag cbasn1.Tag
	return s.ReadAnyASN1(&body, &tag) && s.Empty()
}

func isPrintableString(s string) bool {
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && strings.IndexByte(" '()+,-./:=?", c) < 0 {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for _, c := range []byte(s) {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool  { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool   { return '0' <= c && c <= '9' }
func isControl(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 }
