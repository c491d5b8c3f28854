package rpc

import (
	"context"
	"slices"
	"time"

	"chancery/internal/wire/msrpc"
)

// Call calls a procedure: it sends stub and gives the stub of the answer. object
// names the object a method is called on; nil outside DCOM. It waits its turn. When
// the context ends, so does the connection.
//
// An error whose chain has a *NotSent left nothing at the server that it could
// execute; a *Fault is the server's own; after any other the outcome is unknown.
func (c *Conn) Call(ctx context.Context, iface msrpc.SyntaxID, object *msrpc.UUID, opnum uint16, stub []byte) ([]byte, error) {
	i := slices.Index(c.interfaces, iface)
	if i < 0 {
		return nil, fail(c.address, HopCall, &NotSent{errNotBound})
	}
	if !c.results[i].Accepted() {
		return nil, fail(c.address, HopCall, &NotSent{&Rejected{iface, c.results[i]}})
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, fail(c.address, HopCall, &NotSent{context.Cause(ctx)})
	}
	if c.broken == nil && c.gone() {
		c.shut(errGone)
	}
	if c.broken != nil {
		return nil, fail(c.address, HopCall, &NotSent{c.broken})
	}
	var answer []byte
	err := c.guard(ctx, func() (err error) {
		r := msrpc.Request{CallID: c.nextCall(), Context: uint16(i), Opnum: opnum, Object: object}
		if err := c.send(r, stub); err != nil {
			c.shut(err)
			return err
		}
		answer, err = c.receive()
		c.used = time.Now()
		return err
	})
	if err != nil {
		return nil, fail(c.address, HopCall, err)
	}
	return answer, nil
}

// shut closes the connection for a reason.
func (c *Conn) shut(why error) {
	c.broken = why
	c.rw.Close()
}

// room is how much of a stub fits into one PDU.
func (c *Conn) room(object bool) int {
	token := -1
	if c.login != nil {
		token = c.login.TokenSize()
	}
	return msrpc.Room(c.maxSend, object, token)
}

// send splits a stub into fragments and sends them, each sealed alone
// (C706 §12.6.2, MS-RPCE §2.2.2.11). The error is a *NotSent as long as the last
// fragment is not complete: without it the server executes nothing.
func (c *Conn) send(r msrpc.Request, stub []byte) error {
	pieces := msrpc.Fragments(stub, c.room(r.Object != nil))
	left := len(stub)
	for n, piece := range pieces {
		r.Flags, r.Hint, r.Stub = 0, uint32(left), piece
		if n == 0 {
			r.Flags |= msrpc.FlagFirst
		}
		last := n == len(pieces)-1
		if last {
			r.Flags |= msrpc.FlagLast
		}
		b, err := c.seal(r)
		if err != nil {
			return &NotSent{err}
		}
		if n, err := c.rw.Write(b); err != nil {
			if last && n == len(b) {
				return err
			}
			return &NotSent{err}
		}
		left -= len(piece)
	}
	return nil
}

// seal gives the PDU of one fragment.
func (c *Conn) seal(r msrpc.Request) ([]byte, error) {
	if c.login == nil {
		f, err := r.Frame(nil, 0)
		return f.PDU, err
	}
	f, err := r.Frame(&msrpc.Trailer{Type: c.login.AuthType(), Level: msrpc.LevelPrivacy, Context: loginID}, c.login.TokenSize())
	if err != nil {
		return nil, err
	}
	token, err := c.login.Seal(f.Header, f.Stub, f.Trailer, c.headerSign)
	if err != nil {
		return nil, err
	}
	if len(token) != len(f.Token) {
		return nil, errTokenSize
	}
	copy(f.Token, token)
	return f.PDU, nil
}
