package scep

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"chancery/internal/ca"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/secret"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// Challenges are where the challenges of a server come from.
type Challenges interface {
	// Get gives the challenge for a request; an empty one where the server wants
	// none. The same id again gives the same while it lives.
	Get(ctx context.Context, id string) (Given, error)
	// Used says that the server has taken the challenge for id.
	Used(ctx context.Context, id string) error
	// Wanted reports whether there are any.
	Wanted() bool
}

// Given is a challenge.
type Given struct {
	Secret    secret.Text
	ExpiresAt time.Time // zero: it does not expire
}

// Fixed is the same challenge for everybody, or none.
type Fixed struct{ Secret secret.Text }

// Get gives it.
func (f Fixed) Get(context.Context, string) (Given, error) { return Given{Secret: f.Secret}, nil }

// Used changes nothing.
func (f Fixed) Used(context.Context, string) error { return nil }

// Wanted reports whether it is set.
func (f Fixed) Wanted() bool { return f.Secret.IsSet() }

// Connector speaks to one SCEP server. It keeps nothing but what can be asked
// for again.
type Connector struct {
	env        ca.Env
	server     Server
	devices    Devices
	challenges Challenges
	floor      scepmsg.Floor
	above      []*x509.Certificate // further CA certificates
	http       *http.Client
	running    sync.Map // request ID to *turn: one of a kind at a time
	caps       caps
}

// Open opens a connector. It makes no network call.
func Open(s Server, d Devices, given Challenges, env ca.Env) (*Connector, error) {
	c := &Connector{env: env, server: s, devices: d, challenges: given, above: parseCertificates(s.CACertificates)}
	for f := scepmsg.Modern; f <= scepmsg.Legacy; f++ {
		if f.String() == s.Floor {
			c.floor = f
		}
	}
	c.server.URL = strings.TrimRight(s.URL, "?")
	c.http = client(newLine(httpauth.Way{Dial: env.Dial, Roots: Pool(s.Roots)}), s.Timeout)
	return c, nil
}

// SCEP tells devices and the proxy about the server.
func (c *Connector) SCEP() ca.SCEPServer {
	d := c.devices
	s := ca.SCEPServer{URL: c.server.URL, CAIdentifier: c.server.CAIdentifier, Floor: c.floor, ByProxy: d.Proxy, Retries: d.MaxRetries, RetryDelay: d.RetryTimeout,
		InFlight: d.InFlight, Queue: d.Queue}
	if d.Marker != NoMarker {
		s.Marker = strings.ToUpper(d.Marker)
	}
	return s
}

// client is a SCEP client of the server, held to the settings.
func (c *Connector) client() *scepclient.Client {
	return &scepclient.Client{URL: c.server.URL, HTTP: c.http, Fingerprint: digits(c.server.Fingerprint), CAIdentifier: c.server.CAIdentifier, Floor: &c.floor, Now: c.env.Now}
}

// ask fetches capabilities and certificates, and holds the latter against the
// thumbprint. Nothing was sent that could have made a certificate.
func (c *Connector) ask(ctx context.Context) (*scepclient.Server, error) {
	s, err := c.client().Ask(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	if t := digits(c.server.Thumbprint); t != "" && !hasThumbprint(s.Certificates, t) {
		return nil, ra.Errorf(ra.RefusedByCA, "None of the SCEP server's certificates has the thumbprint that is set.").WithField("thumbprint").WithRetry(ra.Never).
			WithRemedy("Compare it with what the CA's administrator sees. If the CA was renewed on purpose, enter the new one.")
	}
	return s, nil
}

// hasThumbprint reports whether a certificate has a thumbprint, whose length says
// by what.
func hasThumbprint(certs []*cms.Certificate, want string) bool {
	for _, c := range certs {
		if Thumbprint(c.Raw, len(want)) == want {
			return true
		}
	}
	return false
}

// Thumbprint gives the hash of a certificate that has so many hexadecimal digits:
// MD5, SHA-1 or SHA-256; empty for any other length.
func Thumbprint(der []byte, length int) string {
	switch length {
	case 2 * md5.Size:
		h := md5.Sum(der)
		return hex.EncodeToString(h[:])
	case 2 * sha1.Size:
		h := sha1.Sum(der)
		return hex.EncodeToString(h[:])
	case 2 * sha256.Size:
		h := sha256.Sum256(der)
		return hex.EncodeToString(h[:])
	}
	return ""
}

// Chain gives the authority's certificates, the issuing one first. Those of a
// registration authority are left out.
func (c *Connector) Chain(ctx context.Context) ([]*x509.Certificate, error) {
	s, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	chain := c.issuers(s.Certificates)
	if len(chain) == 0 {
		return nil, ra.Errorf(ra.RefusedByCA, "The SCEP server gives no certificate of a CA.").WithRemedy("Add the CA's certificates to the settings.").WithField("ca_certificates")
	}
	return chain, nil
}

// cas gives the CA certificates among those of the server and of the settings.
func (c *Connector) cas(given []*cms.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	add := func(x *x509.Certificate) {
		for _, known := range out {
			if known.Equal(x) {
				return
			}
		}
		out = append(out, x)
	}
	for _, g := range given {
		// Old servers have a single certificate that says nothing of itself.
		if x, err := x509.ParseCertificate(g.Raw); err == nil && (x.IsCA || len(given) == 1 && x.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature) == nil) {
			add(x)
		}
	}
	for _, x := range c.above {
		add(x)
	}
	return out
}

// issuers orders the CA certificates: the one that signed none of the others
// first, then those above it.
func (c *Connector) issuers(given []*cms.Certificate) []*x509.Certificate {
	cas := c.cas(given)
	for _, x := range cas {
		lowest := true
		for _, other := range cas {
			if other != x && other.CheckSignatureFrom(x) == nil {
				lowest = false
			}
		}
		if lowest {
			return append([]*x509.Certificate{x}, upwards(x, cas)...)
		}
	}
	return nil
}

// upwards gives what is above a certificate, by signature.
func upwards(from *x509.Certificate, cas []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for len(out) <= len(cas) {
		var next *x509.Certificate
		for _, x := range cas {
			if !x.Equal(from) && from.CheckSignatureFrom(x) == nil {
				next = x
				break
			}
		}
		if next == nil {
			return out
		}
		out, from = append(out, next), next
	}
	return out
}

// explain says what an answer to GetCACaps or GetCACert means for whoever can
// mend it.
func (c *Connector) explain(err error) error {
	var status *scepclient.StatusError
	if errors.As(err, &status) {
		return statusError(status.Status).WithCause(err)
	}
	if ra.KindOf(err) == ra.Unreachable || ra.KindOf(err) == ra.Internal {
		return c.unreachable(err)
	}
	return err
}

// statusError says what an HTTP status of a SCEP server means.
func statusError(status int) *ra.Error {
	e := ra.Errorf(ra.RefusedByCA, "The SCEP server answered HTTP %d.", status)
	switch {
	case status >= 300 && status < 400:
		return e.WithRemedy("It sends callers elsewhere. Enter the address it leads to; SCEP clients do not follow.").WithField("url").WithRetry(ra.Never)
	case status == http.StatusUnauthorized:
		return e.WithRemedy("SCEP itself needs no login. Allow anonymous access to this address, or correct the address.").WithField("url").WithRetry(ra.Never)
	case status == http.StatusForbidden:
		return e.WithRemedy("The server does not let this address in, or wants a client certificate here. Allow it.").WithRetry(ra.Never)
	case status == http.StatusNotFound:
		return e.WithRemedy("Nothing is at this address, or its query is longer than the server allows (404.15: raise maxQueryString).").WithField("url").WithRetry(ra.Never)
	case status == http.StatusInternalServerError || status == http.StatusServiceUnavailable:
		e.Kind = ra.Unreachable
		return e.WithRemedy("The service is down. On Microsoft's server this is often an expired RA certificate, or the password of its application pool.")
	case status > 500:
		e.Kind = ra.Unreachable
		return e.WithRemedy("A server in between does not reach the SCEP server.")
	}
	return e.WithRemedy("Look at the server's log for the reason.").WithRetry(ra.Never)
}
