package rpclogin

import (
	"context"
	"encoding/asn1"
	"strings"
	"time"

	"chancery/internal/krb5login"
	"chancery/internal/ra"
	"chancery/internal/wire/gsskrb"
	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ntlm"
	"chancery/internal/wire/spnego"
)

const authNTLM = msrpc.AuthNTLM

// mechanism is a login by NTLM or Kerberos, whatever it travels in: the client
// begins, the server answers once, and from then on messages are protected.
type mechanism interface {
	authType() uint8
	offers() []asn1.ObjectIdentifier // how SPNEGO calls it
	start() ([]byte, error)
	finish(answer []byte) ([]byte, error)

	tokenSize() int
	seal(header, stub, trailer []byte, headerSign bool) ([]byte, error)
	unseal(header, stub, trailer, token []byte, headerSign bool) error
	sign(list []byte) []byte
	verify(list, mic []byte) error
	key() []byte
}

// byNTLM is MS-NLMP's three messages.
type byNTLM struct {
	login   ntlm.Login
	plain   bool // the user came without a domain
	target  string
	now     func() time.Time
	sent    []byte
	session *ntlm.Session
}

func (a *Account) ntlm(target, class string) (mechanism, error) {
	l := a.login
	if l.User == "" || !l.Password.IsSet() {
		return nil, ra.Errorf(ra.Invalid, "NTLM needs a user and a password.").WithRemedy("Enter both, or log in by Kerberos with a keytab.")
	}
	domain, user, named := strings.Cut(l.User, `\`)
	if !named {
		domain, user = "", l.User
	}
	m := &byNTLM{plain: !named && !strings.Contains(user, "@"), target: target, now: a.way.Now}
	m.login = ntlm.Login{User: user, Domain: domain, Hash: ntlm.Hash(l.Password.Reveal()), Target: a.service(target, class)}
	return m, nil
}

func (m *byNTLM) authType() uint8                 { return authNTLM }
func (m *byNTLM) offers() []asn1.ObjectIdentifier { return []asn1.ObjectIdentifier{spnego.NTLM} }
func (m *byNTLM) tokenSize() int                  { return ntlm.TokenSize }
func (m *byNTLM) key() []byte                     { return m.session.Key() }
func (m *byNTLM) sign(list []byte) []byte         { return m.session.SignList(list) }
func (m *byNTLM) verify(list, mic []byte) error   { return m.session.VerifyList(list, mic) }

func (m *byNTLM) start() ([]byte, error) {
	m.sent = ntlm.Negotiate()
	return m.sent, nil
}

func (m *byNTLM) finish(answer []byte) (out []byte, err error) {
	c, err := ntlm.ParseChallenge(answer)
	if err != nil {
		return nil, ntlmError(err, m.target)
	}
	if m.plain {
		m.login.Domain = c.Domain()
	}
	if out, m.session, err = m.login.Authenticate(m.sent, c, m.now()); err != nil {
		return nil, ntlmError(err, m.target)
	}
	return out, nil
}

// seal covers header and trailer in any case, with or without header signing
// (MS-RPCE §2.2.2.12).
func (m *byNTLM) seal(header, stub, trailer []byte, _ bool) ([]byte, error) {
	return m.session.Seal(header, stub, trailer), nil
}

func (m *byNTLM) unseal(header, stub, trailer, token []byte, _ bool) error {
	if err := m.session.Unseal(header, stub, trailer, token); err != nil {
		return tampered(err, m.target)
	}
	return nil
}

// byKerberos is a ticket shown (MS-KILE §3.4.5).
type byKerberos struct {
	style   gsskrb.Style
	ticket  gsskrb.Ticket
	service string
	target  string
	tickets *krb5login.Keeper
	now     func() time.Time
	login   *gsskrb.Login
	context *gsskrb.Context
}

func (a *Account) kerberos(ctx context.Context, target, class string, style gsskrb.Style) (mechanism, error) {
	m := &byKerberos{style: style, service: a.service(target, class), target: target, tickets: a.tickets, now: a.way.Now}
	var err error
	if m.ticket, err = a.tickets.Ticket(ctx, m.service); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *byKerberos) authType() uint8               { return msrpc.AuthKerberos }
func (m *byKerberos) tokenSize() int                { return gsskrb.TokenSize }
func (m *byKerberos) key() []byte                   { return m.context.Key() }
func (m *byKerberos) sign(list []byte) []byte       { return m.context.Sign(list) }
func (m *byKerberos) verify(list, mic []byte) error { return m.context.Verify(list, mic) }

// offers begins with the name Windows has for Kerberos, as Windows does.
func (m *byKerberos) offers() []asn1.ObjectIdentifier {
	return []asn1.ObjectIdentifier{spnego.KerberosWindows, spnego.Kerberos}
}

func (m *byKerberos) start() (out []byte, err error) {
	if m.login, out, err = gsskrb.Start(m.style, m.ticket, m.now()); err != nil {
		return nil, kerberosError(err, m.service, m.target)
	}
	return out, nil
}

func (m *byKerberos) finish(answer []byte) (out []byte, err error) {
	if m.context, out, err = m.login.Finish(answer); err != nil {
		return nil, kerberosError(err, m.service, m.target)
	}
	m.tickets.Works(m.service)
	return out, nil
}

func (m *byKerberos) seal(header, stub, trailer []byte, headerSign bool) ([]byte, error) {
	if !headerSign {
		header, trailer = nil, nil
	}
	return m.context.Seal(header, stub, trailer)
}

func (m *byKerberos) unseal(header, stub, trailer, token []byte, headerSign bool) error {
	if !headerSign {
		header, trailer = nil, nil
	}
	if err := m.context.Unseal(header, stub, trailer, token); err != nil {
		return tampered(err, m.target)
	}
	return nil
}
