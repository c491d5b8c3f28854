// Package adcs is the double of a Microsoft enterprise certification authority
// as the network sees it: the endpoint mapper of its host, DCOM activation with
// ICertRequestD2 and ICertAdminD2 behind it, and ICertPassage. It is written
// from the published protocols alone and shares no code with our client of the
// same protocols, so that the two do not make the same mistake; any other client
// may use it, too.
//
// A request walks through the package in this order. Package dcerpc takes the
// connection, the logon and the sealed PDUs apart. mapper.go tells a client the
// port, activation.go makes it an object (object.go) where DCOM is spoken, and
// passage.go, certrequest.go and certadmin.go are the interfaces: they read a
// stub, ask the CA, write a stub. The CA itself is who may do what (account.go),
// what a request says (incoming.go, onbehalf.go, renewal.go), the rules of its
// template (policy.go), the certificate (certificate.go), the database
// (database.go, of which view.go gives views), revocation (revoke.go) and its CRL
// (crl.go). A database need not begin empty (seed.go).
//
// It refuses what a Windows CA refuses, with the same code. On order (SetFault)
// it fails: cuts the line before or after it has committed, hangs, sends half a
// PDU, or answers with any code.
package adcs

import (
	"errors"
	"net"
	"sync"
	"time"

	"chancery/internal/doubles/dcerpc"
)

// TB is what Start needs of a testing.TB.
type TB interface {
	Helper()
	Fatal(...any)
	Cleanup(func())
}

// CA is a running double. All methods may be called concurrently.
type CA struct {
	cfg    Config
	keys   authority
	crls   crlShelf
	mapper net.Listener // endpoint mapper, object exporter and activator
	server net.Listener // everything else, on a dynamic port
	front  *dcerpc.Server
	back   *dcerpc.Server
	web    *webServer

	mu        sync.Mutex
	accounts  []Account
	byName    map[string]int // accounts by folded name
	catalog   []Template
	rows      []*row
	objects   objectTable
	faults    []Fault
	cuts      []int // of CutAfterRows
	rowsGiven int
	logons    []dcerpc.Caller
	pipes     []*dcerpc.Server
	sockets   []net.Listener
}

// Start runs a double until the test ends. What the configuration lacks is
// filled in; the test ends when it cannot be.
func Start(t TB, cfg Config) *CA {
	t.Helper()
	ca, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ca.Close() })
	return ca
}

// New runs a double until Close.
func New(cfg Config) (*CA, error) {
	cfg.complete()
	ca := &CA{cfg: cfg, byName: map[string]int{}}
	ca.objects.init(cfg.Now, cfg.ObjectLife)
	for _, a := range cfg.Accounts {
		ca.Account(a)
	}
	for _, t := range cfg.Templates {
		ca.SetTemplate(t)
	}
	if err := ca.open(); err != nil {
		ca.Close()
		return nil, err
	}
	return ca, nil
}

// open makes the keys, publishes the first CRL and starts listening.
func (ca *CA) open() (err error) {
	if ca.web, err = newWebServer(ca); err != nil {
		return err
	}
	if ca.keys, err = newAuthority(&ca.cfg, ca.web.base); err != nil {
		return err
	}
	if err = ca.Publish(); err != nil {
		return err
	}
	if ca.mapper, err = net.Listen("tcp", ca.cfg.MapperAddress); err != nil {
		return err
	}
	if ca.server, err = net.Listen("tcp", net.JoinHostPort(ca.cfg.Host, "0")); err != nil {
		return err
	}
	if ca.front, ca.back, err = ca.servers(); err != nil {
		return err
	}
	go ca.front.Serve(ca.mapper)
	go ca.back.Serve(ca.server)
	return nil
}

// ServePipe serves ICertPassage to clients that have opened the named pipe cert,
// which another program does SMB for, until l is closed.
func (ca *CA) ServePipe(l net.Listener) { go ca.back.Serve(l) }

// Close stops listening, ends all connections and waits for them.
func (ca *CA) Close() error {
	ca.mu.Lock()
	sockets, servers := append(ca.sockets, ca.mapper, ca.server), append(ca.pipes, ca.front, ca.back)
	ca.mu.Unlock()
	var errs []error
	for _, l := range sockets {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	for _, s := range servers {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if ca.web != nil {
		errs = append(errs, ca.web.Close())
	}
	return errors.Join(errs...)
}

// MapperAddress is host and port of the endpoint mapper, which elsewhere is 135.
func (ca *CA) MapperAddress() string { return ca.mapper.Addr().String() }

// ServerAddress is host and port of everything the mapper names.
func (ca *CA) ServerAddress() string { return ca.server.Addr().String() }

// Name is the authority name that clients have to give.
func (ca *CA) Name() string { return ca.cfg.Name }

// now is the CA's time in whole seconds, as certificates know it.
func (ca *CA) now() time.Time { return ca.cfg.Now().UTC().Truncate(time.Second) }
