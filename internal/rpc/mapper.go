package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"chancery/internal/ra"
	"chancery/internal/wire/msrpc"
)

// ErrNotRegistered is below the error of Map for a host that does not serve the
// interface.
var ErrNotRegistered = errors.New("the interface is not registered")

// Map asks the endpoint mapper of a host for the TCP port an interface is served
// at (C706 appendix O, ept_map). That is an open question to everybody; only where
// a policy of the host demands a login it is asked again with one. A host that does
// not serve the interface at all is RefusedByCA, with ErrNotRegistered. All
// errors have a *NotSent.
func Map(ctx context.Context, host string, o Options, iface msrpc.SyntaxID) (int, error) {
	open := o
	open.Login = nil
	port, err := ask(ctx, host, open, iface)
	var (
		fault   *Fault
		refused *nak
	)
	if o.Login != nil && (errors.As(err, &fault) && fault.Status == msrpc.StatusAccessDenied || errors.As(err, &refused)) {
		return ask(ctx, host, o, iface)
	}
	return port, err
}

func ask(ctx context.Context, host string, o Options, iface msrpc.SyntaxID) (int, error) {
	address := net.JoinHostPort(host, strconv.Itoa(o.withDefaults().MapperPort))
	c, err := Dial(ctx, address, o, msrpc.Mapper)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	answer, err := c.Call(ctx, msrpc.Mapper, nil, msrpc.OpMap, msrpc.MapRequest(iface))
	if err != nil {
		return 0, Unsent(err)
	}
	port, status, err := msrpc.MapResponse(answer, iface)
	switch {
	case err != nil:
		return 0, fail(address, HopDial, err)
	case status == msrpc.StatusNotRegistered, status == 0 && port == 0:
		return 0, ra.Errorf(ra.RefusedByCA, "%s does not offer the service that was asked for.", host).
			WithRemedy("Check that it is the right host and that its certificate services are running.").
			WithCause(&Error{HopDial, address, &NotSent{fmt.Errorf("%w: %v", ErrNotRegistered, iface)}})
	case status != 0:
		return 0, fail(address, HopDial, &Fault{status})
	}
	return port, nil
}
