// Package adcsclient talks to a Microsoft certification authority: it requests and
// collects certificates, revokes them, decides on pending requests, and asks the CA
// about itself and its database.
//
// There are three ways to the same CA. DCOM knows everything. ICertPassage, over a
// TCP port of its own or over the named pipe cert, knows how to enrol and to
// retrieve, and nothing else; what it lacks is an error that says so. The stubs are
// wire/adcsmsg's, the meaning of codes is wire/hresult's, the way is package dcom's
// or package rpc's, and the login comes with the options.
//
// An error tells what a person can do about it. One matters to programs, too:
// after Lost nobody knows whether the CA did what it was asked for; after any
// other error it did not.
package adcsclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"chancery/internal/dcom"
	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
	"chancery/internal/wire/msrpc"
)

// Way is how a CA is reached.
type Way string

// The ways.
const (
	DCOM Way = "dcom" // ICertRequestD2 and ICertAdminD2: everything
	RPC  Way = "rpc"  // ICertPassage over TCP
	Pipe Way = "pipe" // ICertPassage over the named pipe
)

// Options say which CA, and how to get there.
type Options struct {
	Host      string // DNS name
	Authority string // common name of the CA certificate
	RPC       rpc.Options
	Now       func() time.Time
}

// Caller calls methods of an object of the CA. What it gives ends in an HRESULT.
type Caller interface {
	Call(ctx context.Context, iid msrpc.UUID, opnum uint16, stub []byte) ([]byte, error)
	Close(ctx context.Context) error
}

// Client is one session with a CA. It connects when it is first needed. It is safe
// for concurrent use, one call after the other on each of the CA's objects.
type Client struct {
	way       Way
	authority string
	requests  Caller // ICertRequestD and D2, or ICertPassage
	admin     Caller // ICertAdminD and D2; nil without DCOM
}

// Open gives a client. Nothing is sent before the first call.
func Open(way Way, o Options) *Client {
	c := &Client{way: way, authority: o.Authority}
	if way == DCOM {
		to := dcom.Options{Host: o.Host, RPC: o.RPC, Now: o.Now}
		c.requests = dcom.New(to, adcsmsg.ClassRequest, adcsmsg.CertRequestD, adcsmsg.CertRequestD2)
		c.admin = dcom.New(to, adcsmsg.ClassAdmin, adcsmsg.CertAdminD, adcsmsg.CertAdminD2)
	} else {
		c.requests = &passage{o: o, pipe: way == Pipe}
	}
	return c
}

// Close ends the session.
func (c *Client) Close(ctx context.Context) error {
	if c.admin == nil {
		return c.requests.Close(ctx)
	}
	return errors.Join(c.requests.Close(ctx), c.admin.Close(ctx))
}

// Lost marks an error after which it is not known whether the CA did what it was
// asked for: the whole request had left, and no answer came, or none that can be
// believed.
type Lost struct{ Err error }

func (e *Lost) Error() string { return "answer lost: " + e.Err.Error() }

// Unwrap gives the error itself.
func (e *Lost) Unwrap() error { return e.Err }

// IsLost reports whether the outcome of a call is unknown.
func IsLost(err error) bool {
	var l *Lost
	return errors.As(err, &l)
}

// Code gives the result code that the CA, or its host, answered with; zero when
// there was none.
func Code(err error) hresult.Code {
	var f *hresult.Failure
	if errors.As(err, &f) {
		return f.Code
	}
	return 0
}

// call calls a method, takes the HRESULT off its answer and makes an error of it
// when it is one.
func call(ctx context.Context, to Caller, iid msrpc.UUID, opnum uint16, stub []byte, err error) ([]byte, error) {
	out, code, err := ask(ctx, to, iid, opnum, stub, err)
	if err == nil && code != 0 {
		return nil, hresult.Error(code, "")
	}
	return out, err
}

// ask calls a method and takes the HRESULT off its answer.
func ask(ctx context.Context, to Caller, iid msrpc.UUID, opnum uint16, stub []byte, err error) (out []byte, code uint32, _ error) {
	if err != nil {
		return nil, 0, ra.Errorf(ra.Invalid, "A value cannot be sent to the CA.").WithRemedy("Look for line breaks and unusual characters in the names of the CA and of its template.").WithCause(err).WithRetry(ra.Never)
	}
	if out, err = to.Call(ctx, iid, opnum, stub); err != nil {
		return nil, 0, explain(err)
	}
	if len(out) < 4 {
		return nil, 0, malformed(fmt.Errorf("an answer of %d octets", len(out)))
	}
	return out[:len(out)-4], binary.LittleEndian.Uint32(out[len(out)-4:]), nil
}

// explain gives an error of the way in the words for its code, and marks what
// leaves the outcome open.
func explain(err error) error {
	var (
		fault   *rpc.Fault
		refused *dcom.Refused
		lacking *dcom.NoInterface
		notSent *rpc.NotSent
	)
	unsent := errors.As(err, &notSent)
	switch {
	case errors.As(err, &refused):
		return inWords(refused.HRESULT, err)
	case errors.As(err, &lacking):
		return inWords(lacking.HRESULT, err)
	case errors.As(err, &fault) && (unsent || refusal[hresult.Normalize(fault.Status)]):
		return inWords(fault.Status, err)
	case fault != nil:
		e := inWords(fault.Status, &Lost{err})
		e.Kind, e.Retry = ra.Unreachable, 0
		return e
	case unsent:
		return err
	}
	e := *ra.AsError(err)
	e.Kind, e.Retry, e.Err = ra.Unreachable, 0, &Lost{err}
	return &e
}

// inWords is the error for a code, with the error it came in as its cause.
func inWords(code uint32, err error) *ra.Error {
	e := hresult.Error(code, "")
	return e.WithCause(fmt.Errorf("%w: %w", e.Err, err))
}

// refusal are the faults that a server sends instead of executing a call.
var refusal = map[hresult.Code]bool{
	hresult.AccessDenied: true, hresult.ProtocolError: true, hresult.SecurityPackage: true, hresult.BadStub: true,
	hresult.UnknownCall: true, hresult.UnknownInterface: true, hresult.ContextMismatch: true,
	hresult.Disconnected: true, hresult.InvalidIPID: true, hresult.InvalidObject: true, hresult.TooBusy: true,
}

// malformed says that an answer came which cannot be read. What the CA did is not
// known.
func malformed(err error) error {
	return ra.Errorf(ra.Unreachable, "The CA's answer cannot be read.").
		WithRemedy("Check that the server is a Microsoft CA. If it is, keep a capture of the traffic.").WithCause(&Lost{err})
}

// needsDCOM says what a way cannot do.
func (c *Client) needsDCOM() error {
	if c.admin != nil {
		return nil
	}
	return ra.Errorf(ra.Invalid, "This is possible over DCOM only.").WithField("protocols").
		WithRemedy("Add DCOM to the protocols of the authority, and open TCP 135 and the dynamic ports (49152-65535) to the CA.").WithRetry(ra.Never)
}
