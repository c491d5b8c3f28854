// Package egress is the one way out of the server to addresses somebody typed:
// authorities, later webhooks and metadata. An address that a person may type
// is an address an attacker may choose, so what is reached is decided here, on
// the numeric address at the moment of connecting. A name that resolves to
// something harmless when it is looked at and to something else a moment later
// gains nothing.
//
// Public addresses and the private ranges of a company's own network (RFC 1918,
// RFC 4193) are reachable unless the administrator narrows that; the machine
// itself, link-local addresses (where clouds keep their credentials), and
// whatever wraps an IPv4 address into IPv6 to hide it are not, unless their
// range is named. An HTTP redirect leads nowhere but to the same host.
package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"chancery/internal/ra"
)

// Policy says which addresses may be reached. The zero value allows nothing.
type Policy struct {
	public   bool
	private  bool
	prefixes []netip.Prefix
}

// The words a policy understands besides address ranges.
const (
	Public  = "public"  // every address of the internet
	Private = "private" // RFC 1918 and RFC 4193
)

// Default is the policy of a server nobody told otherwise.
var Default = []string{Public, Private}

// special holds ranges that are neither of the internet nor of a company's own
// network (RFC 6890 and its registries), beyond what netip knows by itself, and
// two addresses inside such networks where clouds keep credentials of machines.
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "168.63.129.16/32", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10", "fd00:ec2::/32")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Parse reads a policy: the words public and private, addresses, and ranges
// such as 10.1.0.0/16. A text that is none of them is Invalid.
func Parse(allow []string) (Policy, error) {
	var p Policy
	for _, s := range allow {
		switch s = strings.TrimSpace(s); s {
		case Public:
			p.public = true
			continue
		case Private:
			p.private = true
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(s); err == nil && a.Zone() == "" {
				prefix = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil || !prefix.IsValid() {
			return Policy{}, ra.Errorf(ra.Invalid, "%q is neither public, private nor a range of addresses.", s).WithField("egress_allow").
				WithRemedy("Write ranges such as 10.1.0.0/16 or fd00:1::/64.").WithCause(err)
		}
		p.prefixes = append(p.prefixes, prefix.Masked())
	}
	return p, nil
}

// Allows reports whether an address may be reached. An IPv4 address inside an
// IPv6 one is judged as the IPv4 address.
func (p Policy) Allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if slices.ContainsFunc(p.prefixes, func(r netip.Prefix) bool { return r.Contains(a) }) {
		return true
	}
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsInterfaceLocalMulticast():
		return false
	case slices.ContainsFunc(special, func(r netip.Prefix) bool { return r.Contains(a) }):
		return false
	case a.IsPrivate():
		return p.private
	}
	return p.public
}

// connectWithin bounds one connection.
const connectWithin = 10 * time.Second

// Dial connects as net.Dialer does, if the policy allows the address it would
// connect to; else it is Denied, and nothing was sent. It is safe for
// concurrent use.
func (p Policy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectWithin, ControlContext: func(_ context.Context, _, numeric string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(numeric)
		if err != nil || !p.Allows(to.Addr()) {
			return errNotAllowed
		}
		return nil
	}}
	c, err := d.DialContext(ctx, network, address)
	if errors.Is(err, errNotAllowed) {
		return nil, ra.Errorf(ra.Denied, "This server may not connect to %s.", host(address)).
			WithRemedy("If the address is right, add its range to egress_allow in the server's configuration.").WithRetry(time.Hour).WithCause(err)
	}
	return c, err
}

var errNotAllowed = errors.New("the address is not allowed")

// host is what was typed, without its port; it was typed by whoever reads the
// error.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil || len(h) > 253 {
		return "that address"
	}
	return h
}

// Client is an HTTP client that connects by dial, follows a redirect only to
// the very same scheme, host and port, at most three times, uses no proxy and
// keeps no cookies. within bounds a whole exchange.
func Client(dial func(ctx context.Context, network, address string) (net.Conn, error), within time.Duration) *http.Client {
	return &http.Client{
		Timeout: within,
		Transport: &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: connectWithin, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= 3 || r.URL.Scheme != via[0].URL.Scheme || !strings.EqualFold(r.URL.Host, via[0].URL.Host) {
				return http.ErrUseLastResponse // the caller sees the redirect as the answer it is
			}
			return nil
		},
	}
}
