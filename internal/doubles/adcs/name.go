package adcs

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// sanitize makes a CA's name fit for file and directory names (MS-WCCE
// 3.1.1.4.1.1).
func sanitize(name string) string {
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

// shorten makes a sanitized name fit for the directory: what is beyond 51
// characters becomes a hash.
func shorten(name string) string {
	const most = 51
	if len(name) <= most {
		return name
	}
	cut := most
	if i := strings.LastIndexByte(name[:most], '!'); i >= 0 && most-i < 5 {
		cut = i
	}
	var hash uint16
	for _, c := range []byte(name[cut:]) {
		hash = (hash<<1 | hash>>15) + uint16(c)
	}
	return fmt.Sprintf("%s-%05d", name[:cut], hash)
}

// known tells whether a client named this CA.
func (ca *CA) known(authority string) bool {
	clean := sanitize(ca.cfg.Name)
	for _, name := range []string{ca.cfg.Name, clean, shorten(clean)} {
		if strings.EqualFold(authority, name) {
			return true
		}
	}
	return false
}
