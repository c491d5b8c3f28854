// Package secdesc reads and writes Windows security descriptors in their
// self-relative form (MS-DTYP §2.4.6) and asks them the one question they exist
// for: may somebody who is these SIDs do this?
//
// In come the bytes of a directory object's nTSecurityDescriptor, or what a
// certification authority answers to GetCASecurity; out come the owner, the
// group and the entries of the access control list in their order. Parse and
// Append are each other's mirror; GUIDs and SIDs are text, as tools print them.
//
// An entry of a kind this package does not evaluate (conditional "callback"
// entries, audit entries) keeps its place and its bytes: dropping a deny would
// open a door, so the access check says when one of them might have mattered.
// The system list is not read: who is audited says nothing about who may.
package secdesc

import "errors"

// The ways to be wrong.
var (
	// ErrSID means the bytes or the text are not one security identifier.
	ErrSID = errors.New("secdesc: not a security identifier")
	// ErrDescriptor means the bytes are not a self-relative security
	// descriptor of revision 1.
	ErrDescriptor = errors.New("secdesc: not a security descriptor")
	// ErrTooBig means more bytes or more entries than an access list can have.
	ErrTooBig = errors.New("secdesc: the security descriptor is too big")
)
