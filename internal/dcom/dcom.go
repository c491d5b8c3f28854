// Package dcom calls methods of objects on a Windows server, from outside Windows
// (MS-DCOM).
//
// An Object is a class on a host with some interfaces. It costs nothing until its
// first call. Then the activator of the host, which listens on port 135, is asked
// to make one (activate.go); its answer says at which port the object's server
// listens and under which identifier each interface is called. One connection to
// that port carries all interfaces, and IRemUnknown2 to give the references back in
// the end. The host is always the one that was configured, never one that a server
// names.
//
// A server forgets an object whose client it has not heard of for some six minutes
// (MS-DCOM §3.1.1.6.1). Instead of pinging it an Object is given back after four
// minutes and made again when it is needed, and so it is when the server has
// forgotten it all the same.
//
// The calls themselves are package rpc's, the bytes wire/dcommsg's. Arguments and
// results of a method are of no concern here.
package dcom

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/msrpc"
)

// Options say how to reach a server.
type Options struct {
	Host string
	// RPC has the login, and as MapperPort the port of the host's activator.
	RPC rpc.Options
	Now func() time.Time
}

// maxAge is how long an object is kept.
const maxAge = 4 * time.Minute

// Object is an object of a class, activated when it is needed. It is safe for
// concurrent use, one call after the other.
type Object struct {
	o          Options
	class      msrpc.UUID
	interfaces []msrpc.UUID
	turn       chan struct{} // holds something while a call is under way
	made       *instance     // nil: not activated
}

// New describes an object; nothing is sent before the first call.
func New(o Options, class msrpc.UUID, interfaces ...msrpc.UUID) *Object {
	return &Object{o: o, class: class, interfaces: interfaces, turn: make(chan struct{}, 1)}
}

// Call calls a method of one of the interfaces. stub is what follows ORPCTHIS; the
// result is what follows ORPCTHAT, its last four bytes the method's HRESULT, which
// is not looked at otherwise. Both begin on a multiple of 8, so that alignment can
// be counted from their first byte.
//
// Errors are those of rpc.Conn.Call, with *rpc.NotSent wherever the method cannot
// have been executed, and *Refused or *NoInterface below it.
func (o *Object) Call(ctx context.Context, iid msrpc.UUID, opnum uint16, stub []byte) ([]byte, error) {
	if err := o.take(ctx); err != nil {
		return nil, err
	}
	defer o.leave()
	if o.made != nil && o.o.Now().Sub(o.made.since) > maxAge {
		o.giveBack(ctx) // what cannot be given back dies by itself
	}
	if o.made != nil {
		out, err := o.call(ctx, iid, opnum, stub)
		if !stale(ctx, out, err) {
			return out, err
		}
		o.drop()
	}
	made, err := o.activate(ctx)
	if err != nil {
		return nil, err
	}
	o.made = made
	return o.call(ctx, iid, opnum, stub)
}

// Open activates the object if it is not, without a call.
func (o *Object) Open(ctx context.Context) error {
	if err := o.take(ctx); err != nil {
		return err
	}
	defer o.leave()
	if o.made != nil {
		return nil
	}
	made, err := o.activate(ctx)
	o.made = made
	return err
}

// Close gives the object back; it waits for a call under way. An object that is
// called again is made anew. The error says that the server did not take it back,
// which is of no consequence: it does so by itself some minutes later.
func (o *Object) Close(ctx context.Context) error {
	if err := o.take(ctx); err != nil {
		return err
	}
	defer o.leave()
	if o.made == nil {
		return nil
	}
	return o.giveBack(ctx)
}

// take waits for the turn.
func (o *Object) take(ctx context.Context) error {
	select {
	case o.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ra.Errorf(ra.Unreachable, "%s is busy with another call.", o.o.Host).WithRemedy("Try again.").WithCause(&rpc.NotSent{Err: context.Cause(ctx)})
	}
}

func (o *Object) leave() { <-o.turn }

// call calls a method of the instance there is. An instance whose connection may be
// broken is dropped.
func (o *Object) call(ctx context.Context, iid msrpc.UUID, opnum uint16, stub []byte) ([]byte, error) {
	ref, err := o.made.reference(o.o.Host, iid)
	if err != nil {
		return nil, err
	}
	out, err := o.made.call(ctx, iid, ref.IPID, opnum, stub)
	var fault *rpc.Fault
	if err != nil && !errors.As(err, &fault) {
		o.drop()
	}
	return out, err
}

// giveBack releases the references and drops the instance.
func (o *Object) giveBack(ctx context.Context) error {
	defer o.drop()
	return o.made.release(ctx)
}

// drop forgets the instance.
func (o *Object) drop() {
	if o.made != nil {
		o.made.conn.Close()
		o.made = nil
	}
}

// gone are the codes for an object that the server has forgotten, as a fault or as
// the method's HRESULT. No method was executed then.
var gone = []uint32{msrpc.StatusDisconnected, msrpc.StatusUnknownIPID, msrpc.StatusInvalidObject}

// stale reports whether a call failed because the object or the connection is no
// more, and nothing was executed: then a new object may do.
func stale(ctx context.Context, out []byte, err error) bool {
	var (
		fault    *rpc.Fault
		notSent  *rpc.NotSent
		rejected *rpc.Rejected
		refused  *NoInterface
	)
	switch {
	case err == nil:
		return len(out) >= 4 && slices.Contains(gone, binary.LittleEndian.Uint32(out[len(out)-4:]))
	case errors.As(err, &fault):
		return slices.Contains(gone, fault.Status)
	case errors.As(err, &rejected), errors.As(err, &refused):
		return false
	}
	return errors.As(err, &notSent) && ctx.Err() == nil
}

// newID makes the name of a chain of calls.
func newID() (id msrpc.UUID) {
	rand.Read(id[:])
	return id
}

// at gives the address of a port of the host.
func (o *Options) at(port int) string {
	return net.JoinHostPort(o.Host, strconv.Itoa(port))
}

// activator is the port of the activator.
func (o *Options) activator() string { return o.at(cmp.Or(o.RPC.MapperPort, 135)) }
