package setting

import "regexp"

// credentials is the part of an address before the host that holds a password
// (RFC 3986 §3.2.1).
var credentials = regexp.MustCompile(`(://[^/?#\s:@]*):[^/?#\s]*@`)

// WithoutPassword masks the password in every address that a text holds, so
// that the text can be shown.
func WithoutPassword(text string) string {
	return credentials.ReplaceAllString(text, "$1:[secret]@")
}
