// Package msrpc reads and writes the protocol data units of DCE/RPC version 5
// over connections, as Windows speaks it (C706 chapter 12 with the extensions of
// MS-RPCE), and the towers of the endpoint mapper (C706 appendix L).
//
// A client writes bind, alter_context, auth3 and request, and reads bind_ack,
// bind_nak, alter_context_resp, response and fault; only those directions are
// here. Integers are little-endian, which every Windows and Samba server sends;
// another data representation is refused. The package knows bytes only: no
// connection, no key and no meaning of a stub. What is inside a stub is
// wire/ndr's.
package msrpc

import "errors"

// The ways a PDU is wrong.
var (
	ErrShort   = errors.New("msrpc: a PDU that ends too early")
	ErrVersion = errors.New("msrpc: not DCE/RPC version 5")
	ErrOrder   = errors.New("msrpc: not little-endian")
	ErrLength  = errors.New("msrpc: lengths that contradict one another")
	ErrType    = errors.New("msrpc: a PDU of another type")
	ErrTower   = errors.New("msrpc: a protocol tower that cannot be read")
)
