package dcom

import (
	"context"
	"time"

	"chancery/internal/rpc"
	"chancery/internal/wire/dcommsg"
	"chancery/internal/wire/msrpc"
)

// activate has an object made and connects to it. Its errors say that the call
// that wants the object was not sent.
func (o *Object) activate(ctx context.Context) (*instance, error) {
	since := o.o.Now() // before the server counts
	a, err := o.create(ctx)
	if err != nil {
		return nil, rpc.Unsent(err)
	}
	port := dcommsg.Port(a.Bindings)
	if port == 0 {
		return nil, rpc.Unsent(nonsense(o.o.Host, errNoPort))
	}
	bind := []msrpc.SyntaxID{{UUID: dcommsg.RemUnknown2}}
	for _, iid := range o.interfaces {
		bind = append(bind, msrpc.SyntaxID{UUID: iid})
	}
	conn, err := rpc.Dial(ctx, o.o.at(port), o.o.RPC, bind...)
	if err != nil {
		return nil, err
	}
	return &instance{conn: conn, unknown: a.RemUnknown, interfaces: a.Interfaces, since: since}, nil
}

// create asks the activator for the object (MS-DCOM §3.1.2.5.2.3.3). An HRESULT in
// place of one is a *Refused.
func (o *Object) create(ctx context.Context) (*dcommsg.Activated, error) {
	activator := msrpc.SyntaxID{UUID: dcommsg.Activator}
	c, err := rpc.Dial(ctx, o.o.activator(), o.o.RPC, activator)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ask := dcommsg.Activation{CID: newID(), Class: o.class, Interfaces: o.interfaces}
	answer, err := c.Call(ctx, activator, nil, dcommsg.OpRemoteCreateInstance, ask.Bytes())
	if err != nil {
		return nil, err
	}
	a, err := dcommsg.ParseActivated(answer)
	if err != nil {
		return nil, nonsense(o.o.Host, err)
	}
	if dcommsg.Failed(a.HRESULT) {
		return nil, refuse(o.o.Host, &Refused{a.HRESULT})
	}
	return a, nil
}

// instance is an object that was made, and the connection to it.
type instance struct {
	conn       *rpc.Conn
	unknown    msrpc.UUID // IPID of the server's IRemUnknown2
	interfaces []dcommsg.Interface
	since      time.Time
}

// reference gives the reference to an interface, or a *NoInterface.
func (i *instance) reference(host string, iid msrpc.UUID) (dcommsg.Reference, error) {
	missing := &NoInterface{iid, noInterface}
	for _, one := range i.interfaces {
		switch {
		case one.IID != iid:
		case dcommsg.Failed(one.HRESULT):
			missing.HRESULT = one.HRESULT
		default:
			return one.Reference, nil
		}
	}
	return dcommsg.Reference{}, refuse(host, missing)
}

// call calls a method of an interface under its IPID.
func (i *instance) call(ctx context.Context, iid, ipid msrpc.UUID, opnum uint16, stub []byte) ([]byte, error) {
	answer, err := i.conn.Call(ctx, msrpc.SyntaxID{UUID: iid}, &ipid, opnum, dcommsg.Call(newID(), stub))
	if err != nil {
		return nil, err
	}
	out, err := dcommsg.Answer(answer)
	if err != nil {
		return nil, nonsense("the server", err)
	}
	return out, nil
}
