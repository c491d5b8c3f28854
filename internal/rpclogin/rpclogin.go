// Package rpclogin logs in to Windows servers for remote procedure calls and for
// the named pipes they may go through: it turns a service account into what
// package rpc wants to have done to its connections, and into the same for SMB.
//
// An [Account] is made once from what an administrator entered and is asked for
// every connection. By NTLM it proves the password to the server itself. By
// Kerberos it gets a ticket from the KDC, which it keeps while it lives, and has
// the server prove itself, too. Negotiate takes Kerberos where a realm is known and
// falls back to NTLM where the KDC cannot be reached or does not know the service,
// as Windows does; it tells when it does. A wrong password is no reason to fall
// back, since trying it twice only locks the account sooner.
//
// The bytes are those of wire/ntlm, wire/gsskrb and wire/spnego; the KDC is
// krb5login's. Errors are *ra.Error with a remedy for whoever entered the account;
// no password, key or ticket is in any of them.
package rpclogin

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"chancery/internal/krb5login"
	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/secret"
	"chancery/internal/wire/gsskrb"

	"github.com/cloudsoda/go-smb2"
)

// Scheme is how to log in.
type Scheme string

// The schemes (MS-RPCE §2.2.1.1.7). NTLM goes as it is, the others inside SPNEGO.
const (
	NTLM      Scheme = "ntlm"
	Kerberos  Scheme = "kerberos"
	Negotiate Scheme = "negotiate"
)

// Login is who logs in, and how.
type Login struct {
	Scheme   Scheme
	User     string // name, DOMAIN\name or name@domain
	Password secret.Text

	// Kerberos: the realm, KDC addresses as host or host:port (none: those the DNS
	// names), a keytab in place of the password, and the service's principal name
	// (empty: host/ and the server's name).
	Realm  string
	KDCs   []string
	Keytab secret.Bytes
	SPN    string
	// Bare has Kerberos without SPNEGO around it.
	Bare bool
}

// Way is what a login needs of the world. Only Dial is required.
type Way struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // to a KDC
	Now  func() time.Time                                                     // nil: time.Now
	// FellBack is told why Negotiate takes NTLM although a realm is known.
	FellBack func(error)
}

// Account is a login for many connections. It is safe for concurrent use.
type Account struct {
	login   Login
	way     Way
	tickets *krb5login.Keeper
}

// New makes an account of a login. Nobody is asked yet.
func New(l Login, w Way) *Account {
	if w.Now == nil {
		w.Now = time.Now
	}
	k := krb5login.Login{User: l.User, Password: l.Password, Realm: l.Realm, KDCs: l.KDCs, Keytab: l.Keytab}
	return &Account{login: l, way: w, tickets: krb5login.Keep(k, w.Dial, w.Now)}
}

// Security begins a login at a server for remote procedure calls; target is its
// full DNS name. Errors are *ra.Error: Invalid when the login lacks something,
// Unreachable without a KDC, RefusedByCA when the KDC said no. What the server
// itself says comes from the Security.
func (a *Account) Security(ctx context.Context, target string) (rpc.Security, error) {
	m, err := a.mechanism(ctx, target, "host", gsskrb.DCE)
	if err != nil {
		return nil, err
	}
	if a.login.Scheme == NTLM || a.login.Bare && m.authType() != authNTLM {
		return &bare{m: m}, nil
	}
	return &negotiated{m: m, target: target}, nil
}

// Initiator begins a login at a server for one SMB session. Errors are those of
// Security.
func (a *Account) Initiator(ctx context.Context, target string) (smb2.Initiator, error) {
	m, err := a.mechanism(ctx, target, "cifs", gsskrb.Mutual)
	if err != nil {
		return nil, err
	}
	return &initiator{m}, nil
}

// mechanism chooses.
func (a *Account) mechanism(ctx context.Context, target, class string, style gsskrb.Style) (mechanism, error) {
	switch l := a.login; {
	case l.Scheme == Kerberos:
		return a.kerberos(ctx, target, class, style)
	case l.Scheme == Negotiate && l.Realm != "":
		m, err := a.kerberos(ctx, target, class, style)
		if err == nil || !l.Password.IsSet() || ra.KindOf(err) != ra.Unreachable && !errors.Is(err, krb5login.UnknownService) {
			return m, err
		}
		if a.way.FellBack != nil {
			a.way.FellBack(err)
		}
	case l.Scheme != NTLM && l.Scheme != Negotiate:
		return nil, ra.Errorf(ra.Invalid, "%q is no way to log in.", l.Scheme).WithRemedy("Choose ntlm, kerberos or negotiate.")
	}
	return a.ntlm(target, class)
}

// service is the principal name of a server for a class of services.
func (a *Account) service(target, class string) string {
	spn := a.login.SPN
	if spn == "" {
		return class + "/" + strings.ToLower(strings.TrimSuffix(target, "."))
	}
	if _, name, ok := strings.Cut(spn, "/"); ok && class != "host" {
		return class + "/" + name
	}
	return spn
}
