package rpc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"chancery/internal/wire/msrpc"
)

// Conn is one connection on which interfaces are bound. It is safe for concurrent
// use, one call after the other. After an error that is neither a fault nor about
// the interface it is closed.
type Conn struct {
	o       Options
	address string // for messages
	rw      io.ReadWriteCloser
	in      *bufio.Reader
	turn    chan struct{} // holds something while a call is under way

	interfaces []msrpc.SyntaxID
	results    []msrpc.Result // of each
	maxSend    int            // largest PDU the server takes, in bytes
	login      Security       // nil: none
	headerSign bool

	callID uint32
	used   time.Time // when the last answer came
	broken error     // why it is closed; nil: it is not
}

// Dial connects over TCP to host:port and binds the interfaces. The context bounds
// that, not the connection. An interface that the server does not have is told by
// Call, unless it has none of them.
func Dial(ctx context.Context, address string, o Options, interfaces ...msrpc.SyntaxID) (*Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fail(address, HopDial, err)
	}
	rw, err := o.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fail(address, HopDial, err)
	}
	if o.Target == "" {
		o.Target = host
	}
	return connect(ctx, address, rw, o, interfaces)
}

// NewConn binds interfaces on a transport that is connected already, and takes it
// over: it is closed when that fails. Every Write is one PDU; a transport of
// messages is read with room for the largest.
func NewConn(ctx context.Context, rw io.ReadWriteCloser, o Options, interfaces ...msrpc.SyntaxID) (*Conn, error) {
	return connect(ctx, o.Target, rw, o, interfaces)
}

func connect(ctx context.Context, address string, rw io.ReadWriteCloser, o Options, interfaces []msrpc.SyntaxID) (*Conn, error) {
	c := &Conn{o: o.withDefaults(), address: address, rw: rw, in: bufio.NewReaderSize(rw, 1<<16), turn: make(chan struct{}, 1), interfaces: interfaces}
	hop := HopBind
	err := c.guard(ctx, func() (err error) {
		if len(interfaces) == 0 {
			return errNotBound
		}
		hop, err = c.bind()
		return err
	})
	if err != nil {
		rw.Close()
		return nil, fail(c.address, hop, err)
	}
	c.used = time.Now()
	return c, nil
}

// Close closes the connection; a call under way fails.
func (c *Conn) Close() error { return c.rw.Close() }

// guard runs f and closes the transport when the context ends before f does: what
// f waits for then fails. A connection that was closed, or on which f failed, is
// broken.
func (c *Conn) guard(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { c.rw.Close() })
	err := f()
	if !stop() {
		c.broken = errClosed
		if err != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
	return err
}

// idle is how long a connection may have been idle without a look at it before the
// next call.
const idle = time.Second

// gone reports whether the server has closed an idle connection, as far as can be
// known: then a call that would get no answer is not even sent.
func (c *Conn) gone() bool {
	if time.Since(c.used) < idle {
		return false
	}
	t, ok := c.rw.(interface{ SetReadDeadline(time.Time) error })
	if !ok || t.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	_, err := c.in.Peek(1)
	late, ok := err.(net.Error)
	return !ok || !late.Timeout() || t.SetReadDeadline(time.Time{}) != nil
}
