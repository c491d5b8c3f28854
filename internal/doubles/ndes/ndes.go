// Package ndes is a stand-in for Microsoft's Network Device Enrollment Service:
// the SCEP server mscep and the challenge page mscep_admin, with the CA behind
// them, as one Go value that a test, or a trial of the product, can start on a
// loopback port.
//
// It is strict where the real one is: a challenge works once and for an hour,
// five are out at most, the page wants a logged-on user with rights, the query
// of a GET may have 2048 characters, the two RA certificates each have one job
// and must not have expired. It can also fail in the ways the real one fails:
// see Fault. What it did is in its ledger (Issued, Waiting, Refused) and its
// counters (Counts).
//
// It was written from descriptions of the wire and not from the product's
// clients, and shares no line with them, so that both cannot have the same
// mistake: its CMS is the library of smallstep (see message.go for what that
// library cannot do), its Kerberos is gokrb5, and its NTLM is its own, written
// from MS-NLMP.
//
// The product does not import it; tests and trials do.
package ndes

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
)

// Config is what an administrator of the real one would set. The zero value is
// a server as it is right after its installation, except that nobody may see
// the challenge page before Accounts or Anonymous is set.
type Config struct {
	Now  func() time.Time // the clock; time.Now when nil
	Host string           // host of the URLs and in the TLS certificate; "127.0.0.1" when empty. It must mean loopback
	TLS  bool             // serve HTTPS, with a certificate of the server's own TLS CA
	// ClientRoots makes the challenge page want a TLS client certificate from
	// there; with none the answer is 403.7, with another 403.16.
	ClientRoots *x509.CertPool

	CAKey         KeyType        // of root and issuing CA; RSA2048 when empty. RA keys are RSA 2048
	RALife        time.Duration  // of the RA certificates, counted from Now; two years when zero, negative: expired before New
	ExpiredStatus int            // HTTP status of everything once they have expired; 500 when zero
	Caps          []string       // lines of GetCACaps; those of Windows Server 2012 R2 and later when nil
	NoCaps        bool           // GetCACaps fails, as before Windows Server 2012 R2
	OnlyCaps      bool           // refuse ciphers and digests that Caps does not name, which Windows does not
	Signature     Template       // for requests whose keyUsage asks to sign only
	Encryption    Template       // for those that ask to encrypt only
	General       Template       // for those that ask for both or say nothing
	CacheRequest  time.Duration  // how long pending requests stay known; 20 minutes when zero
	CacheIssued   bool           // answer a repeated request with its certificate for as long, instead of refusing its used challenge. Which of the two Windows does is not known: clients have to live with both
	FailInfoText  bool           // tell the reason of a refusal in failInfoText
	Accounts      []Account      // who may log on to the challenge page
	Anonymous     bool           // everybody may see the challenge page
	Schemes       []Scheme       // of the challenge page, as offered; Negotiate and NTLM when nil
	Keytab        *keytab.Keytab // of the service's principal, for Kerberos; nil: there is none
	Domain        string         // NetBIOS name; "CORP" when empty
	DNSDomain     string         // "corp.example" when empty
	Computer      string         // NetBIOS name; "NDES01" when empty

	AdminPath        string        // of the challenge page; "/certsrv/mscep_admin/" when empty
	NoPassword       bool          // EnforcePassword 0: requests need no challenge
	SinglePassword   bool          // UseSinglePassword 1: one challenge, for everybody and for ever
	PasswordLength   int           // random octets of a challenge, shown as twice as many hex digits; 8 when zero
	PasswordMax      int           // challenges that are out at most; 5 when zero
	PasswordValidity time.Duration // 60 minutes when zero
	NoTemplate       bool          // the challenge page says that no template is set
	Language         Language      // of the challenge page; English when empty
	Charset          Charset       // of the challenge page; UTF16LE when empty
	BOM              bool          // the challenge page starts with a byte order mark
	Thumbprint       crypto.Hash   // of the CA certificate on the challenge page: MD5, SHA1 or SHA256; MD5 when zero

	MaxQuery   int // characters of a query; 2048 when zero
	MaxURL     int // characters of a URL with its query; 4096 when zero
	MaxHeaders int // octets of a request without its body; 16384 when zero
}

// Server is the stand-in. It is an http.Handler and safe for concurrent use.
// Whoever serves it by other means than Start must give the http.Server the
// Server's ConnContext, because NTLM is about connections; without it NTLM is
// refused.
type Server struct {
	cfg  Config
	ca   *authority
	tls  *tlsIdentity // nil without TLS
	http *http.Server
	base string
	done chan struct{} // closed when the accept loop has ended; nil before Start

	mu        sync.Mutex
	faults    []Fault
	passwords passwords
	ledger    ledger
	counts    Counts
}

// New makes a server with a fresh CA, which takes part of a second.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, passwords: newPasswords(cfg), ledger: ledger{entries: map[string]*entry{}}}
	var err error
	if s.ca, err = newAuthority(cfg); err != nil {
		return nil, err
	}
	if cfg.TLS {
		if s.tls, err = newTLSIdentity(cfg); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// complete fills in what was left empty and refuses what cannot be.
func (c *Config) complete() error {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Caps == nil {
		c.Caps = []string{"POSTPKIOperation", "Renewal", "SHA-512", "SHA-256", "SHA-1", "DES3"}
	}
	if c.Schemes == nil {
		c.Schemes = []Scheme{Negotiate, NTLM}
	}
	orElse(&c.Host, "127.0.0.1")
	orElse(&c.CAKey, RSA2048)
	orElse(&c.RALife, 2*365*24*time.Hour)
	orElse(&c.ExpiredStatus, http.StatusInternalServerError)
	orElse(&c.CacheRequest, 20*time.Minute)
	orElse(&c.Domain, "CORP")
	orElse(&c.DNSDomain, "corp.example")
	orElse(&c.Computer, "NDES01")
	orElse(&c.AdminPath, "/certsrv/mscep_admin/")
	orElse(&c.PasswordLength, 8)
	orElse(&c.PasswordMax, 5)
	orElse(&c.PasswordValidity, time.Hour)
	orElse(&c.Language, English)
	orElse(&c.Charset, UTF16LE)
	orElse(&c.Thumbprint, crypto.MD5)
	orElse(&c.MaxQuery, 2048)
	orElse(&c.MaxURL, 4096)
	orElse(&c.MaxHeaders, 16384)
	c.Signature.complete()
	c.Encryption.complete()
	c.General.complete()
	if _, ok := texts[c.Language]; !ok {
		return fmt.Errorf("ndes: no language %q", c.Language)
	}
	if _, err := c.Charset.encode("", false); err != nil {
		return err
	}
	switch c.Thumbprint {
	case crypto.MD5, crypto.SHA1, crypto.SHA256:
	default:
		return fmt.Errorf("ndes: no thumbprint by %v", c.Thumbprint)
	}
	for _, scheme := range c.Schemes {
		if scheme != Basic && scheme != NTLM && scheme != Negotiate {
			return fmt.Errorf("ndes: no scheme %q", scheme)
		}
	}
	if !strings.HasPrefix(c.AdminPath, "/") || !strings.HasSuffix(c.AdminPath, "/") {
		return errors.New("ndes: AdminPath starts and ends with a slash")
	}
	return nil
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

// Start serves on a free loopback port until Close.
func (s *Server) Start() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	scheme := "http"
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // Windows speaks HTTP/1.1 where users log on
	s.http = &http.Server{Handler: s, ConnContext: s.ConnContext, Protocols: protocols,
		MaxHeaderBytes: 1 << 20, // ours is smaller, and has an answer of its own
		ErrorLog:       log.New(io.Discard, "", 0)}
	if s.tls != nil {
		scheme = "https"
		config := &tls.Config{Certificates: []tls.Certificate{s.tls.leaf}}
		if s.cfg.ClientRoots != nil {
			config.ClientAuth = tls.RequestClientCert
		}
		listener = tls.NewListener(listener, config)
	}
	s.base = fmt.Sprintf("%s://%s", scheme, net.JoinHostPort(s.cfg.Host, fmt.Sprint(port)))
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		s.http.Serve(listener) // ends with Close
	}()
	return nil
}

// Close ends what Start began, cutting the lines that are open.
func (s *Server) Close() error {
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	<-s.done
	return err
}

// URL is where Start serves, without a path.
func (s *Server) URL() string { return s.base }

// SCEPURL is the address of the SCEP server.
func (s *Server) SCEPURL() string { return s.base + scepPath }

// AdminURL is the address of the challenge page.
func (s *Server) AdminURL() string { return s.base + s.cfg.AdminPath }

// Root is the root CA's certificate.
func (s *Server) Root() *x509.Certificate { return s.ca.root.cert }

// Issuer is the issuing CA's certificate.
func (s *Server) Issuer() *x509.Certificate { return s.ca.issuer.cert }

// RA gives the RA certificates: the one that signs replies, and the one that
// requests are encrypted to.
func (s *Server) RA() (signing, encryption *x509.Certificate) {
	return s.ca.signing.cert, s.ca.encryption.cert
}

// TLSRoot is the CA of the TLS certificate; nil without TLS.
func (s *Server) TLSRoot() *x509.Certificate {
	if s.tls == nil {
		return nil
	}
	return s.tls.root
}

// lineKey finds a connection's line in a context.
type lineKey struct{}

// line is what is known of a connection: the NTLM exchange under way, and who
// it ended with.
type line struct {
	mu       sync.Mutex
	exchange *exchange
	account  *Account
}

// ConnContext is for http.Server.ConnContext.
func (s *Server) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, lineKey{}, &line{})
}

// Counts is what happened at the challenge page.
type Counts struct {
	Pages       int // pages that a logged-on user was shown, whatever they said
	Minted      int // challenges made
	Outstanding int // challenges that work now
	Used        int // challenges that a request came with in time
	Burnt       int // challenges that expired, or were forgotten by Reset, unused
	CacheFull   int // pages that said the cache is full
	Refused     int // requests for the page answered with 401 although they had credentials
}

// Counts gives the counters as they are now.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	c := s.counts
	c.Outstanding = len(s.passwords.out)
	return c
}

// Reset is iisreset: challenges that are out and pending requests are
// forgotten, what was issued is not.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	s.counts.Burnt += len(s.passwords.out)
	s.passwords.out = nil
	clear(s.ledger.entries)
}
