// Package cms is the Cryptographic Message Syntax (RFC 5652) as far as device
// enrolment protocols use it: a SignedData with one signer around an
// EnvelopedData with a few recipients, and the "degenerate" SignedData that
// only carries certificates or a CRL.
//
// Bytes come in as whoever sent them made them: definite or indefinite
// lengths, OCTET STRINGs in pieces, attributes out of order, certificates that
// crypto/x509 refuses to look at. Normalize turns BER into DER once, within
// Limits; everything after it reads strictly with a cursor. Bytes go out in
// exactly one form, DER.
//
// ParseSignedData and ParseEnvelopedData report which algorithms a message
// uses, also those this package cannot or will not work with, so that a caller
// can apply a policy and name what it refuses. Nothing here decides whether a
// certificate is trusted, knows what time it is, or does any input or output.
// All functions may be called concurrently; no parsed value is changed by its
// methods.
package cms

import (
	"errors"
	"fmt"
)

// Errors of the readers. Each is one way for bytes to be wrong; they are
// wrapped with the place where it was found, never with the bytes themselves.
var (
	ErrTooLarge    = errors.New("cms: message is larger than the limit")
	ErrTooDeep     = errors.New("cms: message is nested deeper than the limit")
	ErrTooMany     = errors.New("cms: message has more elements than the limit")
	ErrEncoding    = errors.New("cms: not well-formed BER")
	ErrTrailing    = errors.New("cms: bytes after the end of the message")
	ErrMalformed   = errors.New("cms: malformed")
	ErrContentType = errors.New("cms: unexpected content type")
)

// malformed wraps ErrMalformed with the name of the structure at fault.
func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// Limits bound what a reader is willing to look at. A zero field means its
// default.
type Limits struct {
	MaxBytes    int // size of the input, default 1 MiB
	MaxDepth    int // nesting of elements, default 32
	MaxElements int // number of elements, default 65536
}

func (l Limits) withDefaults() Limits {
	if l.MaxBytes == 0 {
		l.MaxBytes = 1 << 20
	}
	if l.MaxDepth == 0 {
		l.MaxDepth = 32
	}
	if l.MaxElements == 0 {
		l.MaxElements = 1 << 16
	}
	return l
}
