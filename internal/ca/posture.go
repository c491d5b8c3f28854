package ca

import (
	"context"
	"crypto/x509"

	"chancery/internal/ra"
)

// Guarded is implemented by Settings of an authority that has templates and rights
// in a directory, where they can be dangerous.
type Guarded interface {
	// Guard says what whoever judges them needs to know.
	Guard() Guard
}

// Guard is where an authority's templates and rights are found, and who is who
// there.
type Guard struct {
	Directory ra.DirectoryID // empty: none is set
	Account   string         // whom requests come from
	Admins    []string       // SIDs of groups that may change public key services
	Large     []string       // SIDs of groups that nearly everybody is in
}

// Exposed is an authority that can be asked about its own configuration: the part
// of it that decides who can become whom.
type Exposed interface {
	// Posture asks. What cannot be known says why. It changes nothing there.
	Posture(ctx context.Context) Posture
}

// Posture is what a Microsoft CA tells of its configuration (MS-CSRA §3.1.4.2.14,
// §3.1.4.2.6).
type Posture struct {
	Host               string
	Name               Answer[string]    // of the CA
	EditFlags          Answer[uint32]    // EDITF_*
	InterfaceFlags     Answer[uint32]    // IF_*
	DisabledExtensions Answer[[]string]  // object identifiers
	Security           Answer[[]byte]    // security descriptor (MS-DTYP §2.4.6)
	Agent              *x509.Certificate // of the enrollment agent that is set here; nil: none
}

// Answer is an answer, or why there is none.
type Answer[T any] struct {
	Value T
	Known bool
	Why   string
}

// Answered makes an answer of what a call gave.
func Answered[T any](v T, err error) Answer[T] {
	if err != nil {
		return Answer[T]{Why: ra.AsError(err).Message}
	}
	return Answer[T]{Value: v, Known: true}
}
