// Package adcs is a Microsoft enterprise certification authority (AD CS) as an
// authority: requests go to the CA itself, by the calls that Windows makes, under a
// service account. Package adcsclient speaks to it; this one decides what is said.
//
// What the certificate says is the CA's template's business. Where the template
// takes its names from the request, they travel in the PKCS#10, which is made here
// when the key is kept here, and held against the order when a device made it:
// whatever a device adds to its names is refused, because the CA would believe it.
// Where the template takes them from the directory, the request is made on behalf
// of the user by an enrollment agent's signature (agent.go); without that the CA
// would name the service account, so a certificate that lacks the names of its order
// is revoked and refused (names.go).
//
// Every request carries the attribute ChanceryRequest with its ID. It is written
// down before it leaves (journal.go). After an answer was lost, the CA's database is
// asked for the attribute before anything is asked for again (find.go), so that one
// request never gets two certificates.
//
// The same database tells of the certificates that the CA issued without this
// server (list.go).
package adcs

import (
	"context"
	"crypto/x509"
	"sync"

	"chancery/internal/ca"
	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/rpclogin"
)

// Kind is a Microsoft CA as something to choose.
func Kind() ca.Kind {
	keys := &keystore.Stores{}
	return ca.Kind{
		ID: "adcs", Title: "Microsoft AD CS",
		Help:       "For a Microsoft enterprise CA, which is asked directly under a service account, over DCOM or RPC; also on behalf of users.",
		New:        func() ca.Settings { return &Settings{keys: keys} },
		NewOptions: options,
		Traits: ca.Traits{
			KeyPlaces: []ra.KeyPlace{ra.KeyOnDevice, ra.KeyHere},
			KeyTypes:  []string{"rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521"},
			Revoke:    true, Hold: true, Renew: true, Pending: true, Sure: true, SID: true,
			Ports: "TCP 135 and 49152-65535 to the CA (445 for the named pipe); TCP 88 to the domain controllers for Kerberos",
			Limits: "Validity, usage and further extensions come from the CA's template. Revocation, templates, taking over what the CA issued before and finding a request whose answer was lost need DCOM; " +
				"without it such a request waits for somebody to look at the CA. Templates with key archival or key attestation cannot be used.",
			InFlight: 16,
		},
	}
}

// Connect opens a connector: a *Lister where the protocols have DCOM, else a
// *Connector.
func (s *Settings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	host, err := hostOf(s.Server)
	if err != nil {
		return nil, err
	}
	c := &Connector{env: env, settings: s, host: host, pinned: parseCertificates(s.CACertificates), name: s.AuthorityName}
	keytab, err := s.keytab()
	if err != nil {
		return nil, err
	}
	c.account = rpclogin.New(rpclogin.Login{Scheme: rpclogin.Scheme(s.Login), User: s.User, Password: s.Password, Realm: s.Realm, KDCs: s.KDCs, Keytab: keytab, SPN: s.SPN},
		rpclogin.Way{Dial: env.Dial, Now: env.Now, FellBack: func(err error) {
			env.Log.Warn("login by NTLM, because Kerberos does not work", "authority", env.Name, "error", err)
		}})
	if c.agent, err = s.agent(); err != nil {
		return nil, err
	}
	if c.manages() {
		return &Lister{c}, nil
	}
	return c, nil
}

// Connector speaks to one CA. It is safe for concurrent use, and keeps nothing but
// what can be asked for again.
type Connector struct {
	env      ca.Env
	settings *Settings
	host     string
	account  *rpclogin.Account
	agent    *agent              // nil: none
	pinned   []*x509.Certificate // the CA's certificate and those above it; none: what the CA says is believed
	running  sync.Map            // request ID to *turn

	mu   sync.Mutex
	name string // of the CA; empty until it was asked for
}

// lock keeps two callers from asking for one request at the same time.
func (c *Connector) lock(id string) (unlock func()) {
	l, _ := c.running.LoadOrStore(id, &turn{})
	t := l.(*turn)
	t.Lock()
	if t.gone { // its last holder took it out of the map
		t.Unlock()
		return c.lock(id)
	}
	return func() {
		t.gone = true
		c.running.Delete(id)
		t.Unlock()
	}
}

// turn is a lock that is used once per holder: whoever waited for it takes a new
// one.
type turn struct {
	sync.Mutex
	gone bool
}
