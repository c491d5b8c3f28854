package adcsmsg

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// SanitizeName writes a CA's name as file and directory names have it (MS-WCCE
// §3.1.1.4.1.1): what is not allowed there becomes "!" and four hexadecimal
// digits.
func SanitizeName(name string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(name)) {
		if u < 0x20 || u > 0x7e || strings.ContainsRune("!\"#%&'()*+,/:;<=>?[\\]^`{|}", rune(u)) {
			fmt.Fprintf(&b, "!%04x", u)
		} else {
			b.WriteByte(byte(u))
		}
	}
	return b.String()
}

// maxShort is how many characters of a sanitized name the directory keeps.
const maxShort = 51

// ShortName gives the sanitized name as the directory has it (MS-WCCE
// §3.1.1.4.1.1): of a long one the start, and the hash of the rest.
func ShortName(name string) string {
	s := SanitizeName(name)
	if len(s) <= maxShort {
		return s
	}
	keep := maxShort
	if i := strings.LastIndexByte(s[:maxShort], '!'); i >= 0 && i > maxShort-5 {
		keep = i // the escape would be broken
	}
	var hash uint16
	for _, c := range []byte(s[keep:]) {
		hash = hash<<1 | hash>>15
		hash += uint16(c)
	}
	return fmt.Sprintf("%s-%05d", s[:keep], hash)
}
