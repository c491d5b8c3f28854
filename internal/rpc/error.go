package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"

	"github.com/cloudsoda/go-smb2"

	"chancery/internal/ra"
	"chancery/internal/wire/msrpc"
)

// Hop is how far it got.
type Hop string

// The hops, in order.
const (
	HopDial  Hop = "dial"  // no connection
	HopBind  Hop = "bind"  // connected, but not agreed on interfaces
	HopLogin Hop = "login" // not known to the server
	HopCall  Hop = "call"  // the call itself
)

// Error says at which hop it failed. What the functions of this package return is
// an *ra.Error with an *Error as its cause: Unreachable when there was no answer or
// none that makes sense, RefusedByCA when the server said no, and what the dialler
// or the login said where they have something to say.
//
// Below it are a *NotSent where the call cannot have been executed, which is so at
// every hop but the last, and a *Fault or *Rejected where the server sent that.
type Error struct {
	Hop     Hop
	Address string // whom: host:port, or the host of a transport that was handed over
	Err     error
}

func (e *Error) Error() string {
	return fmt.Sprintf("rpc: %s: %s: %v", e.Address, e.Hop, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// NotSent marks an error that came before the whole request had left: the server
// cannot have executed it, and repeating it cannot make two of one.
type NotSent struct{ Err error }

func (e *NotSent) Error() string { return fmt.Sprintf("not sent: %v", e.Err) }

// Unwrap gives the error itself.
func (e *NotSent) Unwrap() error { return e.Err }

// Unsent gives an error of what comes before a call, such as finding the server,
// with a *NotSent in its chain.
func Unsent(err error) error {
	var marked *NotSent
	if err == nil || errors.As(err, &marked) {
		return err
	}
	e := *ra.AsError(err)
	e.Err = &NotSent{Err: e.Err}
	return &e
}

// Fault is a server's fault PDU: it did not execute the call, or not to its end.
type Fault struct{ Status uint32 }

func (e *Fault) Error() string { return msrpc.StatusText(e.Status) }

// Rejected is an interface that the server does not have, or not for us.
type Rejected struct {
	Interface msrpc.SyntaxID
	Result    msrpc.Result
}

func (e *Rejected) Error() string { return fmt.Sprintf("interface %v: %v", e.Interface, e.Result) }

// nak is a server's bind_nak.
type nak struct{ reason msrpc.BindNak }

func (e *nak) Error() string { return e.reason.String() }

// The ways an answer makes no sense.
var (
	errNotBound   = errors.New("the interface is not bound on this connection")
	errClosed     = errors.New("the connection is closed")
	errGone       = errors.New("the server has closed the connection")
	errUnexpected = errors.New("a PDU that is no answer")
	errOtherCall  = errors.New("an answer to another call")
	errOrder      = errors.New("fragments out of order")
	errEmpty      = errors.New("an empty fragment before the last")
	errTooLong    = errors.New("an answer that is longer than allowed")
	errUnsealed   = errors.New("an answer that is not sealed")
	errResults    = errors.New("not one result for each interface")
	errNoToken    = errors.New("the server does not answer the login")
	errLegs       = errors.New("the login does not come to an end")
	errTokenSize  = errors.New("a token of a length that was not announced")
	errTiny       = errors.New("the server takes no PDU that a call fits into")
)

// fail makes the error of a hop at an address.
func fail(address string, hop Hop, err error) error {
	if hop != HopCall {
		err = &NotSent{Err: err}
	}
	e := say(address, hop, err)
	e.Err = &Error{Hop: hop, Address: address, Err: err}
	return e
}

// say finds the words for it.
func say(address string, hop Hop, err error) *ra.Error {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil && hop != HopDial {
		host = h
	}
	var (
		said     *ra.Error
		fault    *Fault
		rejected *Rejected
		refused  *nak
	)
	switch {
	case errors.As(err, &said):
		return &ra.Error{Kind: said.Kind, Message: said.Message, Remedy: said.Remedy, Field: said.Field, Retry: said.Retry}
	case errors.As(err, &fault) && denied(fault.Status), errors.Is(err, fs.ErrPermission), hop == HopLogin && !lost(err):
		return ra.Errorf(ra.RefusedByCA, "%s refused the service account.", host).
			WithRemedy("Check user name, password and domain, the clock, and that the account may use the service over the network.")
	case fault != nil:
		return ra.Errorf(ra.RefusedByCA, "%s failed to execute the call: %v.", host, fault).WithRemedy("Look at the event log of that host.")
	case errors.As(err, &rejected), errors.Is(err, fs.ErrNotExist):
		return ra.Errorf(ra.RefusedByCA, "%s does not offer the service that was called.", host).WithRemedy("Check that it is the right host and that its certificate services are running.")
	case errors.As(err, &refused):
		return ra.Errorf(ra.RefusedByCA, "%s refused the connection: %v.", host, refused).WithRemedy("Look at the event log of that host; a limit or a policy may be in the way.")
	case errors.Is(err, context.DeadlineExceeded):
		return ra.Errorf(ra.Unreachable, "%s did not answer in time.", host).WithRemedy("Check the host, the network and the firewalls in between.")
	case hop == HopDial:
		return ra.Errorf(ra.Unreachable, "%s cannot be reached.", host).
			WithRemedy("Check the name, the host and the firewalls: port 135 and the dynamic ports 49152 to 65535 must be open, or port 445 for a named pipe.")
	}
	return ra.Errorf(ra.Unreachable, "The connection to %s broke.", host).WithRemedy("Check the host, the network and the firewalls in between.")
}

// denied reports whether a fault is about who we are: what Windows and Samba say
// to the first call after a login they do not accept.
func denied(status uint32) bool {
	return status == msrpc.StatusAccessDenied || status == msrpc.StatusSecurity || status == msrpc.StatusProtocolError
}

// lost reports whether the connection was, rather than that somebody said no.
func lost(err error) bool {
	var (
		network net.Error
		smb     *smb2.TransportError
	)
	return errors.As(err, &network) || errors.As(err, &smb) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
