package posture

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"chancery/internal/adpki"
	"chancery/internal/adpki/guard"
	"chancery/internal/authority"
	"chancery/internal/egress"
	"chancery/internal/ra"
)

// pageWithin bounds the look at one page, headers and all.
const pageWithin = 5 * time.Second

// noBinding is why it is not known whether an HTTPS page wants logins bound to the
// channel.
const noBinding = "It offers Windows logins over TLS. Whether it refuses one that is not bound to the channel shows in a login only, and none is sent. Look at the extended protection of the web server."

// askPages looks which login the pages of web enrollment want (ESC8). An address
// where nobody answers has no page; one that cannot be asked is unread.
func (s *Service) askPages(ctx context.Context, o *authority.Open, l *look) error {
	if l.Authority.Host == "" {
		l.Authority.Web = guard.Unknown[[]guard.WebPage]("The host of the authority is not known.")
		return nil
	}
	roots, err := s.roots(ctx, o.Authority.ID)
	if err != nil {
		return err
	}
	client := egress.Client(s.dial, pageWithin)
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	var pages []guard.WebPage
	var firstWhy string
	silent := map[string]bool{} // hosts with scheme that do not answer
	for _, page := range l.addresses() {
		site := page.Scheme + "://" + page.Host
		if silent[site] {
			continue
		}
		windows, why := offers(ctx, client, page.String())
		switch {
		case errors.Is(why, errNobody):
			silent[site] = true
		case why != nil:
			silent[site] = true
			text := ra.AsError(why).Message
			if firstWhy == "" {
				firstWhy = text
			}
			l.unread = append(l.unread, guard.Finding{ID: "ESC8", Key: "ESC8:unread:" + strings.ToLower(site), State: guard.Unreadable, Object: site, Sentence: site + " could not be judged: " + text,
				Remedy: ra.AsError(why).Remedy})
		default:
			pages = append(pages, guard.WebPage{URL: page.String(), Windows: windows, Binding: guard.Unknown[bool](noBinding)})
		}
	}
	l.Authority.Web = guard.Known(pages)
	if len(pages) == 0 && firstWhy != "" {
		l.Authority.Web = guard.Unknown[[]guard.WebPage](firstWhy)
		l.unread = nil
	}
	return nil
}

// roots are those of the system and the authority's own certificates.
func (s *Service) roots(ctx context.Context, id ra.AuthorityID) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	chain, err := s.Authorities.Chain(ctx, id)
	for _, c := range chain {
		roots.AddCert(c)
	}
	return roots, err
}

// addresses are where web enrollment is when it is there (MS-WSTEP, MS-XCEP), and
// where the directory says it is.
func (l *look) addresses() []*url.URL {
	var list []*url.URL
	seen := map[string]bool{}
	add := func(u *url.URL) {
		if key := strings.ToLower(u.String()); !seen[key] {
			seen[key] = true
			list = append(list, u)
		}
	}
	service := l.service()
	name := l.Authority.Name
	if service != nil {
		name = service.Name
	}
	for _, scheme := range []string{"http", "https"} {
		for _, path := range []string{"/certsrv/", "/" + name + "_CES_Kerberos/service.svc/CES", "/ADPolicyProvider_CEP_Kerberos/service.svc/CEP"} {
			add(&url.URL{Scheme: scheme, Host: l.Authority.Host, Path: path})
		}
	}
	if service == nil {
		return list
	}
	for _, w := range service.Web {
		if u, err := url.Parse(w.URL); err == nil && w.Login == adpki.WebKerberos && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil {
			add(u)
		}
	}
	return list
}

// errNobody means that nothing listens there.
var errNobody = errors.New("nobody answers")

// offers asks for a page without a login and tells whether it wants one of
// Windows.
func offers(ctx context.Context, client *http.Client, address string) (bool, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, ra.Errorf(ra.Invalid, "The address is no address of a page.").WithRemedy("Correct it at the enrollment service in the directory.")
	}
	answer, err := client.Do(q)
	if err != nil {
		return false, unasked(err)
	}
	answer.Body.Close()
	for _, challenge := range answer.Header.Values("WWW-Authenticate") {
		for word := range strings.FieldsFuncSeq(challenge, func(r rune) bool { return r == ',' || r == ' ' }) {
			if strings.EqualFold(word, "NTLM") || strings.EqualFold(word, "Negotiate") {
				return answer.StatusCode == http.StatusUnauthorized, nil
			}
		}
	}
	return false, nil
}

// unasked says why a page could not be asked.
func unasked(err error) error {
	var mine *ra.Error
	var untrusted *tls.CertificateVerificationError
	var wait net.Error
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errNobody
	case errors.As(err, &mine):
		return mine
	case errors.As(err, &untrusted):
		return ra.Errorf(ra.Unreachable, "Its TLS certificate is not trusted, so nothing was asked.").
			WithRemedy("Enter the certificates above the authority in its settings, then evaluate again.").WithCause(err)
	case errors.As(err, &name):
		return ra.Errorf(ra.Unreachable, "Its name is not known to the DNS.").WithRemedy("Correct the server, or the name servers that this machine asks.").WithCause(err)
	case errors.As(err, &wait) && wait.Timeout():
		return ra.Errorf(ra.Unreachable, "It did not answer in time; a firewall may keep us from what others reach.").WithRemedy("Look at the web server yourself, or let this machine reach it.").WithCause(err)
	}
	return ra.Errorf(ra.Unreachable, "It did not answer as a web server does.").WithRemedy("Look at the web server yourself.").WithCause(err)
}
