// Package ldapdir talks to a directory server over LDAP version 3 (RFC 4511),
// and knows Active Directory's ways (MS-ADTS). It is the one place that imports
// an LDAP library: what comes out are entries and *ra.Error with a remedy.
//
// A connection is encrypted before anything is said on it, by LDAPS or by
// StartTLS, and the server's certificate is verified; there is no way to
// connect in clear. It is made through a Dial that somebody else guards, to the
// first of several servers that answers, and logs in with a name and password
// or by Kerberos. A server that is reached and refuses the login is not asked
// again elsewhere: a wrong password counts against its account.
//
// Searches are paged and bounded. A server that sends us elsewhere is reported,
// never followed: credentials go to servers that somebody named. Whoever builds
// a filter puts values into it with Escape.
package ldapdir

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// How a connection is encrypted.
const (
	LDAPS    = "ldaps"    // TLS from the first byte, port 636
	StartTLS = "starttls" // RFC 4511 §4.14, port 389
)

// Limits on what a server may send and how long it may take.
const (
	maxMessage     = 16 << 20 // bytes of one LDAP message
	maxValue       = 1 << 20  // bytes of one value of an attribute
	defaultTimeout = 30 * time.Second
	connectWithin  = 10 * time.Second // for one server, with its TLS handshake
)

// The library allocates what a message says it will be.
func init() { ber.MaxPacketLengthBytes = maxMessage }

// Options say how to reach a directory.
type Options struct {
	Servers  []string       // host or host:port, tried in order
	Security string         // LDAPS or StartTLS; empty: LDAPS
	Roots    *x509.CertPool // who may vouch for the servers; nil: those of the system
	User     string         // user principal name, DOMAIN\name or distinguished name
	Password secret.Text
	Kerberos *Kerberos // unless nil, in place of User and Password
	Timeout  time.Duration
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// Conn is a connection that is logged in. It is safe for concurrent use. After
// an error of the kind Unreachable it is of no further use.
type Conn struct {
	server string
	ldap   *ldap.Conn
}

// Open connects to the first server that answers and logs in. Errors:
// Unreachable when none answers in a way that can be trusted, Invalid for
// options that cannot work, RefusedByCA for a login that the directory refuses.
func Open(ctx context.Context, o Options) (*Conn, error) {
	c, err := Connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := c.Login(ctx, o); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Connect is the first half of Open: it does not log in.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	if len(o.Servers) == 0 {
		return nil, ra.Errorf(ra.Invalid, "No directory server is named.").WithField("servers").WithRemedy("Enter the host name of a domain controller.")
	}
	var first error
	for _, server := range o.Servers {
		c, err := connect(ctx, o, server)
		if err == nil {
			return c, nil
		}
		if first == nil || ctx.Err() == nil {
			first = errors.Join(first, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// connect gives an encrypted connection to one server.
func connect(ctx context.Context, o Options, server string) (*Conn, error) {
	address, host := addressOf(server, o.Security)
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	raw, err := o.Dial(ctx, "tcp", address)
	if err != nil {
		if ra.KindOf(err) == ra.Denied {
			return nil, err
		}
		return nil, unreachable(server, err)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if o.Security == StartTLS {
		if err := startTLS(raw); err != nil {
			raw.Close()
			return nil, noStartTLS(server, err)
		}
	}
	secured := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: o.Roots, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, tlsError(server, host, err)
	}
	if !stop() {
		return nil, unreachable(server, context.Cause(ctx))
	}
	c := &Conn{server: server, ldap: ldap.NewConn(secured, true)}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	c.ldap.SetTimeout(o.Timeout)
	c.ldap.Start()
	return c, nil
}

// addressOf gives where to dial and the name the certificate has to have.
func addressOf(server, security string) (address, host string) {
	if host, _, err := net.SplitHostPort(server); err == nil {
		return server, host
	}
	host = strings.Trim(server, "[]")
	if security == StartTLS {
		return net.JoinHostPort(host, "389"), host
	}
	return net.JoinHostPort(host, "636"), host
}

// startTLS asks for encryption. The library can do so too, but loses why a
// handshake failed.
func startTLS(raw net.Conn) error {
	// LDAPMessage { 1, extendedReq { requestName 1.3.6.1.4.1.1466.20037 } }
	const request = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + "1.3.6.1.4.1.1466.20037"
	if _, err := io.WriteString(raw, request); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(raw)
	if err != nil {
		return err
	}
	return ldap.GetLDAPError(answer)
}

// Login logs in.
func (c *Conn) Login(ctx context.Context, o Options) error {
	defer c.until(ctx)()
	if o.Kerberos != nil {
		return c.kerberos(ctx, o)
	}
	if o.User == "" || !o.Password.IsSet() {
		return ra.Errorf(ra.Invalid, "A login to the directory needs a user and a password.").WithField("user").
			WithRemedy("Enter the account as name@domain and its password.")
	}
	return c.loginError(c.ldap.Bind(o.User, o.Password.Reveal()))
}

// Server is the server that answered, as it was named.
func (c *Conn) Server() string { return c.server }

// Closed reports whether the connection has ended.
func (c *Conn) Closed() bool { return c.ldap.IsClosing() }

// Close ends the connection.
func (c *Conn) Close() { c.ldap.Close() }

// until ends the connection when ctx ends before the function it gives is
// called: the library's calls do not know contexts.
func (c *Conn) until(ctx context.Context) func() {
	stop := context.AfterFunc(ctx, func() { c.ldap.Close() })
	return func() { stop() }
}

// Escape makes a value part of a filter (RFC 4515 §3).
func Escape(value string) string { return ldap.EscapeFilter(value) }

// CheckFilter says what is wrong with a filter that somebody typed: Invalid.
func CheckFilter(filter string) error {
	if _, err := ldap.CompileFilter(filter); err != nil {
		return ra.Errorf(ra.Invalid, "This is not a filter of LDAP.").WithRemedy("Write it in parentheses, such as (department=Sales).").WithCause(err)
	}
	return nil
}

// CheckDN says what is wrong with a distinguished name that somebody typed:
// Invalid.
func CheckDN(dn string) error {
	if parsed, err := ldap.ParseDN(dn); err != nil || len(parsed.RDNs) == 0 {
		return ra.Errorf(ra.Invalid, "This is not a distinguished name.").WithRemedy("Write it as OU=Staff,DC=example,DC=com.").WithCause(err)
	}
	return nil
}
