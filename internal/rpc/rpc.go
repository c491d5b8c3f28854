// Package rpc calls procedures of a Windows server over DCE/RPC, from outside
// Windows (C706 chapters 9 to 12, MS-RPCE).
//
// A service listens on a TCP port that changes: Map asks the endpoint mapper of
// its host for it. Dial then connects and binds, which is one exchange that names
// all interfaces to be called, in which the server says which of them it has, and
// in which the login takes place (bind.go). From then on every Call is split into
// fragments that the server can take, each of them sealed alone, and its answer is
// put together again (call.go, receive.go). Some services listen on a named pipe
// of SMB, too: DialPipe goes that way, and everything else is the same.
//
// The bytes are wire/msrpc's and the login is a Security, which the caller brings
// along. What a stub says is of no concern here. Errors tell how far it got, and
// of a call that failed whether it can have been executed (error.go): nothing is
// ever sent twice here.
package rpc

import (
	"cmp"
	"context"
	"net"

	"github.com/cloudsoda/go-smb2"
)

// Options say how to reach a server. They may be shared by connections.
type Options struct {
	// Dial connects to host:port. It decides what may be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Login begins a login at a host; nil: calls are neither authenticated nor
	// sealed. It is asked once for each connection.
	Login func(target string) (Security, error)
	// Target is the host the login is for; empty: the host that is dialled.
	Target string
	// MaxFrag is the largest PDU in bytes, both ways; 0: 5840, as Windows does.
	MaxFrag uint16
	// MaxResponse bounds the stub of a response, in bytes; 0: 1 MiB.
	MaxResponse int
	// MapperPort is the endpoint mapper's; 0: 135.
	MapperPort int
	// SMB begins the login of the SMB session that a named pipe is opened in;
	// DialPipe needs it. SMBPort is its port; 0: 445.
	SMB     func(target string) (smb2.Initiator, error)
	SMBPort int
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	o.MaxFrag = cmp.Or(o.MaxFrag, 5840)
	o.MaxResponse = cmp.Or(o.MaxResponse, 1<<20)
	o.MapperPort = cmp.Or(o.MapperPort, 135)
	o.SMBPort = cmp.Or(o.SMBPort, 445)
	return o
}
