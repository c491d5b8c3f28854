package adcs

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"chancery/internal/adcsclient"
	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/hresult"
)

// connectWithin bounds connecting, so that a port which swallows packets does not
// use up the time that another protocol needs.
const connectWithin = 5 * time.Second

// rpcOptions are how the server is reached; a login takes no longer than ctx.
func (c *Connector) rpcOptions(ctx context.Context) rpc.Options {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, min(connectWithin, c.settings.Timeout/3))
		defer cancel()
		return c.env.Dial(ctx, network, address)
	}
	return rpc.Options{Dial: dial, Login: within(ctx, c.settings.Timeout, c.account.Security), SMB: within(ctx, c.settings.Timeout, c.account.Initiator)}
}

// within binds a way to log in to a context, and to the time for one question.
func within[T any](ctx context.Context, limit time.Duration, begin func(context.Context, string) (T, error)) func(target string) (T, error) {
	return func(target string) (T, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return begin(ctx, target)
	}
}

// with runs f in a session with the CA. The protocols are tried in their order as
// long as the CA cannot have done anything; manage leaves out those that know
// nothing but how to enrol.
func (c *Connector) with(ctx context.Context, manage bool, f func(context.Context, *adcsclient.Client) error) error {
	ways := c.ways(manage)
	if len(ways) == 0 {
		return ra.Errorf(ra.Invalid, "This is possible over DCOM only.").WithField("protocols").
			WithRemedy("Add dcom to the protocols of the authority, and open TCP 135 and the dynamic ports (49152-65535) to the CA.").WithRetry(ra.Never)
	}
	name, err := c.authority(ctx)
	if err != nil {
		return err
	}
	var first error
	for _, way := range ways {
		err := c.by(ctx, way, name, f)
		if err == nil {
			return nil
		}
		if first = both(first, err); !another(err) || ctx.Err() != nil {
			break
		}
	}
	return first
}

// by runs f in a session over one protocol.
func (c *Connector) by(ctx context.Context, way adcsclient.Way, name string, f func(context.Context, *adcsclient.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.settings.Timeout)
	defer cancel()
	client := adcsclient.Open(way, adcsclient.Options{Host: c.host, Authority: name, RPC: c.rpcOptions(ctx), Now: c.env.Now})
	err := f(ctx, client)
	if closing := client.Close(context.WithoutCancel(ctx)); closing != nil {
		c.env.Log.Debug("session with the CA not closed in order", "authority", c.env.Name, "error", closing)
	}
	return err
}

func (c *Connector) ways(manage bool) []adcsclient.Way {
	var out []adcsclient.Way
	for _, p := range c.settings.Protocols {
		if way := adcsclient.Way(p); !manage || way == adcsclient.DCOM {
			out = append(out, way)
		}
	}
	return out
}

func (c *Connector) manages() bool {
	return slices.Contains(c.settings.Protocols, string(adcsclient.DCOM))
}

// another reports whether another protocol may be tried after an error: nothing
// left us that the CA could have acted on, and it was not the login that was
// refused. A wrong password that is shown twice locks the account sooner.
func another(err error) bool {
	var (
		notSent *rpc.NotSent
		hop     *rpc.Error
		fault   *rpc.Fault
	)
	switch {
	case !errors.As(err, &notSent) || adcsclient.IsLost(err):
		return false
	case errors.As(err, &fault):
		code := adcsclient.Code(err)
		return code != hresult.AccessDenied && code != hresult.ProtocolError && code != hresult.SecurityPackage
	}
	return !errors.As(err, &hop) || hop.Hop != rpc.HopLogin || ra.KindOf(err) == ra.Unreachable
}

// both tells of the second protocol's error beside that of the first. An error that
// leaves the outcome open, or comes from the CA, counts for itself.
func both(first, err error) error {
	if first == nil || !another(err) {
		return err
	}
	e := *ra.AsError(first)
	e.Message += " By the next protocol: " + ra.AsError(err).Message
	return &e
}

// authority gives the name of the CA, and asks the server for it once where none is
// set.
func (c *Connector) authority(ctx context.Context) (string, error) {
	c.mu.Lock()
	known := c.name
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	var name string
	err := c.by(ctx, adcsclient.DCOM, "", func(ctx context.Context, client *adcsclient.Client) (err error) {
		name, err = client.CAName(ctx)
		return err
	})
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.name = name
	return name, nil
}
