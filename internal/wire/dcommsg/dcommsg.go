// Package dcommsg reads and writes what DCOM adds to remote procedure calls
// (MS-DCOM): the header that every method call and its answer carry, references
// to objects, the activation of an object on another machine, and the release of
// what was activated.
//
// A client needs little of it. It asks the activator of a host for an object of a
// class with some interfaces (Activation) and learns where the object's server
// listens and under which identifier each interface is called (Activated). It
// puts ORPCTHIS before every stub and takes ORPCTHAT off every answer (Call,
// Answer), and in the end says how many references it gives back (Release).
//
// The package knows bytes only. Everything that is read has limits, and what is
// not needed is skipped by its structure, never by guessing.
package dcommsg

import (
	"errors"

	"chancery/internal/wire/msrpc"
)

// The ways an answer is wrong, besides those of wire/ndr.
var (
	ErrObjRef   = errors.New("dcommsg: not an object reference of the kind that was expected")
	ErrBindings = errors.New("dcommsg: string bindings that cannot be read")
	ErrProperty = errors.New("dcommsg: activation properties that contradict one another")
	ErrMissing  = errors.New("dcommsg: an activation property is missing")
	ErrExtent   = errors.New("dcommsg: an extension of a length that is not aligned")
)

// com gives an identifier of the family that COM has reserved for itself.
func com(first string) msrpc.UUID {
	return msrpc.MustUUID(first + "-0000-0000-c000-000000000046")
}

// Interfaces of the machinery. All of DCOM's have RPC version 0.0 (MS-DCOM
// §1.9).
var (
	Activator   = com("000001a0")                                        // IRemoteSCMActivator
	RemUnknown2 = com("00000143")                                        // IRemUnknown2
	Exporter    = msrpc.MustUUID("99fcfec4-5260-101b-bbcb-00aa0021347a") // IObjectExporter
)

// The procedures that are called (MS-DCOM §3.1.2.5.1.6, §3.1.2.5.2.3.3,
// §3.1.1.5.6.1.3).
const (
	OpServerAlive2         uint16 = 5
	OpRemoteCreateInstance uint16 = 4
	OpRemRelease           uint16 = 5
)

// Activation properties and their containers (MS-DCOM §1.9).
var (
	propertiesIn     = com("000001a2")
	propertiesInCls  = com("00000338")
	propertiesOut    = com("000001a3")
	propertiesOutCls = com("00000339")
	instantiation    = com("000001ab")
	contextInfo      = com("000001a5")
	serverLocation   = com("000001a4")
	scmRequest       = com("000001aa")
	scmReply         = com("000001b6")
	propsOut         = com("00000339")
)
