// Package httpauth logs in to web servers that ask for it: Basic, NTLM
// (MS-NLMP over MS-NTHT) and Negotiate with Kerberos (RFC 4559), or the
// strongest of these that the server offers, each with a TLS client certificate
// and pinned roots where they are wanted. It is for servers a person named:
// challenge pages and enrolment pages of Microsoft's CA, and front ends of
// others.
//
// A Transport is an http.RoundTripper. Each exchange is on a connection of its
// own, because NTLM logs in connections and not requests; it begins without
// credentials, so that what the server offers is known and a server that wants
// none is not told any. Everything that reaches the outside does so by the Dial
// it was given: the web server, and the KDC too, whose library dials by itself
// and is therefore led through a loopback port (see krb5login). Only the look-up
// of a realm's KDCs in the DNS is left to the system's resolver.
//
// Where it stops: Basic goes over TLS, or to this very machine, and nowhere
// else. Credentials go to the host they were given for, and into no error and no
// log. Kerberos knows one realm and AES only, and does not ask the server to prove
// itself, which TLS does. NTLM and Kerberos are not bound to the TLS channel: a
// server with Extended Protection set to required refuses them.
package httpauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// Scheme is how to log in.
type Scheme string

// The schemes. Auto is Kerberos where the server offers Negotiate and a realm is
// set, else NTLM, else Basic; there is no second try with a weaker one.
const (
	None     Scheme = "none"
	Basic    Scheme = "basic"
	NTLM     Scheme = "ntlm"
	Kerberos Scheme = "kerberos"
	Auto     Scheme = "auto"
)

// Login is who logs in, and how.
type Login struct {
	Scheme   Scheme // empty: None
	User     string // name, DOMAIN\name or name@domain
	Password secret.Text

	// Kerberos: the realm, KDC addresses as host or host:port (none: those the
	// DNS names), a keytab in place of the password, and the service's principal
	// name (empty: HTTP/ and the host's name).
	Realm  string
	KDCs   []string
	Keytab secret.Bytes
	SPN    string
}

// Way is how a server is reached. Only Dial is needed.
type Way struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are trusted for the server's certificate; nil: those of the system.
	Roots *x509.CertPool
	// Certificate is shown to a server that asks for one.
	Certificate *tls.Certificate
	// Connect bounds each connection with its TLS handshake; zero: 5 seconds.
	Connect time.Duration
}

// Plain is a transport that does not log in: HTTP/1.1, no proxy, no cookies.
func (w Way) Plain() *http.Transport {
	within := w.Connect
	if within == 0 {
		within = 5 * time.Second
	}
	config := &tls.Config{RootCAs: w.Roots, MinVersion: tls.VersionTLS12}
	if w.Certificate != nil {
		config.Certificates = []tls.Certificate{*w.Certificate}
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			return w.Dial(ctx, network, address)
		},
		TLSClientConfig: config, TLSHandshakeTimeout: within, IdleConnTimeout: 90 * time.Second, MaxIdleConnsPerHost: 8,
		MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
	}
}

// Transport logs in to one host. It is safe for concurrent use.
type Transport struct {
	Login Login
	Way   Way
	Host  string // host, or host:port, as in the URL; requests for another are refused
}

// maxBody is the largest request body that can be sent more than once, in bytes.
const maxBody = 1 << 20

// RoundTrip makes one exchange. A 401 in the end is an answer, not an error: the
// server did not accept the credentials, or offered none of what was wanted
// (see Refusal). Errors are *ra.Error: Unreachable when a line broke, Invalid when
// the login cannot be done, RefusedByCA when the KDC said no. An error that wraps
// NotLoggedIn came before the request could have been accepted.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, unreachable("The request could not be read.", err)
	}
	if !strings.EqualFold(r.URL.Host, t.Host) {
		return nil, early(ra.Errorf(ra.Denied, "The address leads to another host than the credentials are for.").WithRemedy("Enter the address it leads to."))
	}
	base := t.Way.Plain()
	base.MaxConnsPerHost = 1
	x := &exchange{t: t, base: base, request: r, body: body}
	res, err := x.run()
	if err != nil {
		base.CloseIdleConnections()
		return nil, err
	}
	res.Body = &lastBody{res.Body, base}
	return res, nil
}

// exchange is a request on its way through the legs of a login.
type exchange struct {
	t       *Transport
	base    *http.Transport
	request *http.Request
	body    []byte
}

func (x *exchange) run() (*http.Response, error) {
	res, err := x.send("")
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, x.firstLeg(err)
	}
	offers := Offers(res.Header)
	switch scheme := x.t.choose(offers); scheme {
	case Basic:
		if !Private(x.request.URL) {
			discard(res)
			return nil, early(ra.Errorf(ra.Invalid, "A password is not sent to %s in clear.", x.request.URL.Hostname()).
				WithRemedy("Use an https address, or log in by NTLM or Kerberos."))
		}
		discard(res)
		return x.send(basicHeader(x.t.Login.User, x.t.Login.Password))
	case NTLM:
		discard(res)
		return x.ntlm(offers)
	case Kerberos:
		discard(res)
		token, err := x.t.spnego(x.request.Context(), x.request.URL.Hostname())
		if err != nil {
			return nil, early(err)
		}
		return x.send("Negotiate " + token)
	}
	return res, nil // nothing to log in with: the caller sees what is offered
}

// choose picks the scheme to use among those offered; empty: none fits.
func (t *Transport) choose(offers []string) Scheme {
	offered := func(name string) bool { return slices.Contains(offers, name) }
	windows := offered("ntlm") || offered("negotiate")
	switch t.Login.Scheme {
	case Basic:
		if offered("basic") {
			return Basic
		}
	case NTLM:
		if windows {
			return NTLM
		}
	case Kerberos:
		if offered("negotiate") {
			return Kerberos
		}
	case Auto:
		switch {
		case offered("negotiate") && t.Login.Realm != "":
			return Kerberos
		case windows && t.Login.Password.IsSet():
			return NTLM
		case offered("basic"):
			return Basic
		}
	}
	return ""
}

// Offers gives the authentication schemes of a 401 in small letters, as offered.
func Offers(h http.Header) []string {
	var out []string
	for _, v := range h.Values("WWW-Authenticate") {
		name, _, _ := strings.Cut(strings.TrimSpace(v), " ")
		if name = strings.ToLower(strings.TrimSuffix(name, ",")); name != "" && len(name) <= 40 && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// send makes one leg.
func (x *exchange) send(authorization string) (*http.Response, error) {
	r := x.request.Clone(x.request.Context())
	r.Header.Del("Authorization")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	// A body that cannot be had again, be it an empty one, keeps the standard
	// transport from repeating a GET by itself when the kept connection breaks: the
	// server may have done already what it does for those who log in.
	r.GetBody, r.Body, r.ContentLength = nil, io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	res, err := x.base.RoundTrip(r)
	if err != nil {
		return nil, unreachable(fmt.Sprintf("%s does not answer.", x.request.URL.Hostname()), err)
	}
	return res, nil
}

// firstLeg says of an error that nobody had logged in.
func (x *exchange) firstLeg(err error) error {
	if err == nil {
		return nil
	}
	if x.t.Login.Scheme == None || x.t.Login.Scheme == "" {
		return err
	}
	return early(err)
}

// Private reports whether a password sent to an address can be read by nobody in
// between: by TLS, or because it does not leave this machine.
func Private(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || err == nil && ip.IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
}

// NotLoggedIn marks an error before the server was given credentials: it has done
// nothing of what it does for those who log in.
type NotLoggedIn struct{ Err error }

func (e *NotLoggedIn) Error() string { return e.Err.Error() }

// Unwrap gives the error itself.
func (e *NotLoggedIn) Unwrap() error { return e.Err }

func early(err error) error { return &NotLoggedIn{err} }

func unreachable(message string, cause error) error {
	var mine *ra.Error
	if errors.As(cause, &mine) { // the dialler's own word, such as an address that may not be reached
		return cause
	}
	return ra.Errorf(ra.Unreachable, "%s", message).WithRemedy("Check the address, the network and the certificate of the server.").WithCause(cause)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err == nil && len(b) > maxBody {
		err = errors.New("the body is too large")
	}
	return b, err
}

// discard reads a short answer to its end, so that the connection can go on.
func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 256<<10)
	_ = res.Body.Close()
}

// lastBody closes the exchange's connection with the answer.
type lastBody struct {
	io.ReadCloser
	base *http.Transport
}

func (b *lastBody) Close() error {
	err := b.ReadCloser.Close()
	b.base.CloseIdleConnections()
	return err
}
