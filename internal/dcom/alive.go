package dcom

import (
	"context"
	"fmt"

	"chancery/internal/rpc"
	"chancery/internal/wire/dcommsg"
	"chancery/internal/wire/msrpc"
)

// Alive asks a host whether it speaks DCOM at all (IObjectExporter::ServerAlive2,
// MS-DCOM §3.1.2.5.1.6). That needs no login: it tells a closed port or a host that
// is no Windows from an account that is refused. Errors are those of package rpc; a
// host without DCOM is an *rpc.Rejected.
func Alive(ctx context.Context, o Options) (*dcommsg.Alive, error) {
	open := o.RPC
	open.Login = nil
	exporter := msrpc.SyntaxID{UUID: dcommsg.Exporter}
	c, err := rpc.Dial(ctx, o.activator(), open, exporter)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer, err := c.Call(ctx, exporter, nil, dcommsg.OpServerAlive2, nil)
	if err != nil {
		return nil, err
	}
	a, err := dcommsg.ParseAlive(answer)
	if err == nil && a.Status != 0 {
		err = fmt.Errorf("status 0x%08X", a.Status)
	}
	if err != nil {
		return nil, nonsense(o.Host, err)
	}
	return a, nil
}
