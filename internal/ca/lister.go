package ca

import (
	"context"
	"crypto/x509"
	"time"

	"chancery/internal/ra"
)

// Lister is an authority whose own records of what it issued can be read.
type Lister interface {
	// List gives the certificates that from asks for to each, in portions and in
	// the order of Listed.Number; an error of each ends it and is given back.
	// A certificate that none of Issuers signed is of another authority, whose
	// records were put among these.
	// Errors are Denied-like refusals of the authority as RefusedByCA, and
	// Unreachable; after them the numbers given so far stay right.
	List(ctx context.Context, from Listing, each func([]Listed) error) error
	// Issuers gives every certificate that the authority has signed with, the
	// present one first.
	Issuers(ctx context.Context) ([]*x509.Certificate, error)
}

// Listing says which certificates a Lister gives.
type Listing struct {
	After     int64     // only those of a higher Listed.Number
	Changed   time.Time // only those issued, revoked or, where the authority keeps its time, released since, by the authority's clock; zero: all
	EndsAfter time.Time // only those that end later; zero: all
}

// Listed is one certificate in an authority's records.
type Listed struct {
	Number    int64  // the authority's number for the request; it never falls
	DER       []byte // the certificate; empty: the authority does not give it out
	State     ra.CertificateState
	RevokedAt time.Time // when State is Revoked or OnHold
	Reason    ra.RevocationReason
	ByUs      bool         // asked for under the account that this connector uses
	Requester string       // whom it was asked for, in the authority's words
	Template  string       // the authority's name for the template, as the option of a request template has it; empty: none
	Request   ra.RequestID // of this house, when the request carried it; whoever may ask the authority can make it up
}
