// Package krb5login gets Kerberos tickets for services (RFC 4120): it logs in at a
// realm's KDC with a password or a keytab and asks for a ticket, for one use or to
// be kept while it lives. Showing the ticket to the service is done elsewhere.
//
// Everything that reaches a KDC does so by the Dial that was given. The library
// dials by itself and is therefore led through a loopback port (see bridge.go);
// only the look-up of a realm's KDCs in the DNS is left to the system's resolver.
//
// Where it stops: one realm, TCP and AES only. Passwords, keys and tickets are in
// no error and no log.
package krb5login

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/gsskrb"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Dial connects to a KDC.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Login is an account of a realm.
type Login struct {
	User     string // name, DOMAIN\name or name@domain
	Password secret.Text
	Realm    string       // in any case
	KDCs     []string     // host or host:port; none: those the DNS names
	Keytab   secret.Bytes // in place of the password
}

// granted is a ticket and when it ends.
type granted struct {
	gsskrb.Ticket
	until time.Time
}

// Ticket logs in and gets a ticket for a service, such as "host/ca1.corp.example".
// Nothing is kept. Errors are *ra.Error: Invalid for what cannot be tried,
// Unreachable without a KDC, RefusedByCA when it said no.
func (l Login) Ticket(ctx context.Context, dial Dial, service string) (gsskrb.Ticket, error) {
	_, t, err := l.ask(ctx, dial, nil, service)
	return t.Ticket, err
}

// ask gets a ticket for a service with the ticket of a login, or logs in first.
func (l Login) ask(ctx context.Context, dial Dial, login *granted, service string) (*granted, granted, error) {
	if err := l.check(); err != nil {
		return nil, granted{}, err
	}
	realm := strings.ToUpper(l.Realm)
	kdcs, err := kdcsOf(ctx, realm, l.KDCs)
	if err != nil {
		return nil, granted{}, err
	}
	b, err := newBridge(ctx, dial, kdcs)
	if err != nil {
		return nil, granted{}, ra.AsError(err)
	}
	defer b.close()
	used, t, err := l.exchange(realm, b.address(), login, service)
	if err != nil {
		return nil, granted{}, explain(err, b.failure(), service)
	}
	return used, t, nil
}

func (l Login) check() error {
	switch {
	case l.Realm == "":
		return ra.Errorf(ra.Invalid, "Kerberos needs a realm.").WithRemedy("Enter the realm: the domain's DNS name in capitals.")
	case l.name() == "":
		return ra.Errorf(ra.Invalid, "Kerberos needs a user.").WithRemedy("Enter the account's name.")
	case !l.Password.IsSet() && !l.Keytab.IsSet():
		return ra.Errorf(ra.Invalid, "Kerberos needs a password or a keytab.").WithRemedy("Enter one of the two.")
	}
	return nil
}

// name is the account's, without the domain.
func (l Login) name() string {
	user := l.User
	if _, name, ok := strings.Cut(user, `\`); ok {
		user = name
	}
	user, _, _ = strings.Cut(user, "@")
	return user
}

// kdcsOf gives the addresses to ask, those of the DNS where none are set (RFC 4120
// §7.2.3.2).
func kdcsOf(ctx context.Context, realm string, set []string) ([]string, error) {
	var out []string
	for _, a := range set {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), "88")
		}
		out = append(out, a)
	}
	if len(out) > 0 {
		return out, nil
	}
	_, found, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", "tcp", realm)
	for _, s := range found {
		out = append(out, net.JoinHostPort(strings.TrimSuffix(s.Target, "."), fmt.Sprint(s.Port)))
	}
	if len(out) == 0 {
		return nil, ra.Errorf(ra.Unreachable, "The DNS names no KDC of the realm %s.", realm).WithRemedy("Enter the addresses of the domain controllers.").WithCause(err)
	}
	return out, nil
}

// aes are the only encryption types that are asked for.
var aes = []int32{etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96}

// exchange talks to the KDC at an address. The library is kept from panicking over
// what a KDC may say, and its own store of tickets is not used: it renews them by
// itself, past the bridge.
func (l Login) exchange(realm, kdc string, login *granted, service string) (used *granted, t granted, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the KDC's answer is malformed: %v", p)
		}
	}()
	c := config.New()
	c.LibDefaults.DefaultRealm, c.LibDefaults.UDPPreferenceLimit = realm, 1 // TCP only
	c.LibDefaults.DNSLookupKDC, c.LibDefaults.DNSLookupRealm, c.LibDefaults.DNSCanonicalizeHostname = false, false, false
	c.LibDefaults.DefaultTktEnctypeIDs, c.LibDefaults.DefaultTGSEnctypeIDs, c.LibDefaults.PermittedEnctypeIDs = aes, aes, aes
	c.Realms = []config.Realm{{Realm: realm, KDC: []string{kdc}}}
	k, err := l.client(realm, c)
	if err != nil {
		return nil, granted{}, err
	}
	defer k.Destroy()
	if login == nil {
		if login, err = first(k, realm); err != nil {
			return nil, granted{}, err
		}
	}
	name, _, _ := strings.Cut(service, "@")
	_, rep, err := k.TGSREQGenerateAndExchange(types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, name), realm, login.Ticket.Ticket, login.Key, false)
	if err != nil {
		return nil, granted{}, err
	}
	return login, granted{gsskrb.Ticket{Ticket: rep.Ticket, Key: rep.DecryptedEncPart.Key, Client: login.Client, Realm: login.Realm}, rep.DecryptedEncPart.EndTime}, nil
}

func (l Login) client(realm string, c *config.Config) (*client.Client, error) {
	if !l.Keytab.IsSet() {
		return client.NewWithPassword(l.name(), realm, l.Password.Reveal(), c, client.DisablePAFXFAST(true)), nil
	}
	keys := keytab.New()
	if err := keys.Unmarshal(l.Keytab.Reveal()); err != nil {
		return nil, errKeytab
	}
	return client.NewWithKeytab(l.name(), realm, keys, c, client.DisablePAFXFAST(true)), nil
}

var errKeytab = errors.New("the keytab cannot be read")

// first logs in (RFC 4120 §3.1).
func first(k *client.Client, realm string) (*granted, error) {
	q, err := messages.NewASReqForTGT(realm, k.Config, k.Credentials.CName())
	if err != nil {
		return nil, err
	}
	rep, err := k.ASExchange(realm, q, 0)
	if err != nil {
		return nil, err
	}
	return &granted{gsskrb.Ticket{Ticket: rep.Ticket, Key: rep.DecryptedEncPart.Key, Client: rep.CName, Realm: rep.CRealm}, rep.DecryptedEncPart.EndTime}, nil
}
