// Package pkixmsg is the byte layer under templates and enrolment: names,
// alternative names, extensions, certification requests, keys.
//
// What comes in is either text an administrator typed (a distinguished name, an
// alternative name, a SID) or DER a stranger sent (a request, an extension).
// What goes out is the other of the two: DER that the standards allow, or facts
// another package can decide on. The story runs through the files in this
// order: a [Name] is read from text or DER (name.go, name_text.go,
// name_der.go); a [GeneralName] is checked and joined to others in a subject
// alternative name (general_name.go, san.go); extensions say what a key may do
// and whose it is (usage.go, sid.go, microsoft.go); a [CSR] holds all of them
// with a proof of possession (csr.go, csr_build.go); a key is described and
// looked at for known weaknesses (key.go, key_check.go); and [Tree] shows any of
// it to people, byte for byte (tree.go).
//
// RFC 5280 rules names and extensions, RFC 4514 the text form of names, RFC
// 2986 and RFC 2985 the request and its attributes, RFC 8017 and RFC 8410 the
// signatures. Microsoft's own names and extensions follow MS-WCCE and MS-CRTD.
//
// The package decides nothing about policy: which names a requester may have,
// whether a weak signature is good enough, and who the requester is, are asked
// elsewhere. It holds no clock, does no I/O and keeps no state; every function
// may be called concurrently. Parsers never panic, and have limits.
package pkixmsg

import (
	"errors"
	"fmt"
)

// The ways to be wrong. Every error of this package is an [*Error] that unwraps
// to one of them.
var (
	// ErrSyntax is text a person typed that is not in its form.
	ErrSyntax = errors.New("text is not in the expected form")
	// ErrBounds is a value the standard allows no such length or characters for.
	ErrBounds = errors.New("value is outside the standard's bounds")
	// ErrEncoding is DER that is not what the standard asks for.
	ErrEncoding = errors.New("bytes are not the expected DER")
	// ErrTooLarge is input beyond a limit of this package.
	ErrTooLarge = errors.New("input is too large")
	// ErrSignature is a signature that does not prove possession of the key.
	ErrSignature = errors.New("signature does not verify")
	// ErrKey is a public key that is weak or of no supported type.
	ErrKey = errors.New("key is not acceptable")
)

// The limits of the parsers.
const (
	MaxCSRBytes  = 64 << 10 // a whole certification request
	MaxTreeBytes = 1 << 20  // input of Tree

	maxNameBytes   = 16 << 10
	maxDNText      = 16 << 10
	maxRDNs        = 64
	maxRDNValues   = 16
	maxSANs        = 1000
	maxExtensions  = 100
	maxAttributes  = 64
	maxEKUs        = 100
	maxOIDBytes    = 128
	maxOIDText     = 4 * maxOIDBytes // three digits and a dot an octet at the most
	maxValueLength = 32768           // characters, where X.520 sets no other bound
	maxTreeNodes   = 20000
	maxTreeDepth   = 40
)

// Error is what every function of this package returns when it refuses.
// Message and Remedy are sentences a person may read; they never repeat bytes
// that arrived from outside, nor a value.
type Error struct {
	Kind     error  // one of the sentinels above
	Message  string // what is wrong, with the position or the attribute
	Remedy   string // what whoever typed or sent it can do
	Position int    // character of the text at fault, counted from 1; 0 when there is no text
}

// Error gives the message, as the form for logs.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the sentinel.
func (e *Error) Unwrap() error { return e.Kind }

func fault(kind error, remedy, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// badDER is the refusal of bytes: what they were to be, and what was expected.
func badDER(what, expected string) *Error {
	return fault(ErrEncoding,
		"Make it again with a tool that writes standard DER; nothing in it was used.",
		"The %s is not valid DER: expected %s.", what, expected)
}

func tooLarge(what string, limit int, unit string) *Error {
	return fault(ErrTooLarge, "Send a smaller one.", "The %s is larger than the limit of %d %s.", what, limit, unit)
}

// quote shows a short piece of typed text in a message.
func quote(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
