// Package ndes is Microsoft's Network Device Enrollment Service as an authority: a
// SCEP server in front of AD CS that asks for a challenge which it shows, one at a
// time, on a web page for people (mscep_admin). Enrolling is package scep's;
// this one logs in to the page, reads the challenge off it (wire/mscepmsg) and
// keeps within what the server remembers.
//
// The server knows few challenges at once, five unless somebody has raised that,
// each for an hour or until it is used; asked for more it shows that its cache is
// full. Every view of the page makes one. So the page is opened only when a device
// is about to enrol, within the account that ca.Slots keeps, never again after an
// answer was lost, and never to find out whether the server is well.
//
// What it leaves to the server: the template, of which there are three at most,
// chosen by the key usage of the request; and revocation, which is done at the CA.
package ndes

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/scep"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

// Kind is a Network Device Enrollment Service as something to choose.
func Kind() ca.Kind {
	traits := scep.Traits("One server gives certificates of three templates at most, chosen by the key usage. Few challenges are out at once (PasswordMax, 5). " +
		"Revocation is done at the CA. After an answer was lost the server is asked for it as long as it remembers the transaction (20 minutes); then only the CA knows.")
	traits.Ports = "TCP 443 or 80 to the server; TCP 88 to the domain controllers for Kerberos"
	return ca.Kind{
		ID: "ndes", Title: "Microsoft NDES",
		Help: "For AD CS behind its Network Device Enrollment Service (MSCEP), with challenges from the mscep_admin page.",
		New:  func() ca.Settings { return &Settings{} }, Traits: traits,
	}
}

// Connect opens a connector.
func (s *Settings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	c := &Connector{env: env, settings: s}
	var from scep.Challenges = scep.Fixed{}
	switch s.ChallengeType {
	case scep.ChallengeStatic:
		from = scep.Fixed{Secret: s.Challenge}
	case challengeDynamic:
		p, err := s.page(env)
		if err != nil {
			return nil, err
		}
		c.page, from = p, p
	}
	var err error
	if c.Connector, err = scep.Open(s.Server, s.Devices, from, env); err != nil {
		return nil, err
	}
	return c, nil
}

// Connector speaks to one server.
type Connector struct {
	*scep.Connector
	env      ca.Env
	settings *Settings
	page     *page // nil unless challenges are dynamic
}

// SCEP tells devices and the proxy about the server.
func (c *Connector) SCEP() ca.SCEPServer {
	s := c.Connector.SCEP()
	if c.page != nil {
		s.ChallengeLife, s.ChallengeLength = c.settings.ChallengeLife, c.settings.ChallengeLength
		s.Carried = !c.settings.Vouched
	}
	return s
}

// page makes the source of challenges.
func (s *Settings) page(env ca.Env) (*page, error) {
	address := s.challengeURL()
	u, err := url.Parse(address)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The challenge URL cannot be read.").WithField("challenge_url").WithRemedy("Correct it.").WithCause(err)
	}
	keytab, err := s.keytab()
	if err != nil {
		return nil, err
	}
	certificate, err := s.clientCertificate()
	if err != nil {
		return nil, err
	}
	return &page{
		settings: s, env: env, url: address,
		web: &httpauth.Transport{
			Login: httpauth.Login{Scheme: httpauth.Scheme(s.Login), User: s.User, Password: s.Password, Realm: s.Realm, KDCs: s.KDCs, Keytab: keytab, SPN: s.SPN},
			Way:   httpauth.Way{Dial: env.Dial, Roots: scep.Pool(s.Roots), Certificate: certificate},
			Host:  u.Host,
		},
	}, nil
}

// challengeURL is where the page is; empty where that cannot be told from the SCEP
// URL.
func (s *Settings) challengeURL() string {
	if s.ChallengeURL != "" {
		return s.ChallengeURL
	}
	if s.Version == version2003 { // one page for both
		return s.URL
	}
	i := strings.LastIndex(strings.ToLower(s.URL), "/mscep/")
	if i < 0 {
		return ""
	}
	return s.URL[:i] + "/mscep_admin/"
}

func (s *Settings) keytab() (secret.Bytes, error) {
	if !s.Keytab.IsSet() {
		return secret.Bytes{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s.Keytab.Reveal()), ""))
	if err != nil || len(b) < 2 || b[0] != 5 {
		return secret.Bytes{}, ra.Errorf(ra.Invalid, "The keytab is not a keytab file in base64.").WithField("keytab").WithRemedy("Send what base64 -w0 makes of the file.")
	}
	return secret.NewBytes(b), nil
}

func (s *Settings) clientCertificate() (*tls.Certificate, error) {
	if !s.ClientCertificate.IsSet() {
		return nil, nil
	}
	c, err := httpauth.ParseCertificate([]byte(s.ClientCertificate.Reveal()), s.ClientCertificatePassword)
	if err != nil {
		return nil, ra.AsError(err).WithField("client_certificate")
	}
	return c, nil
}

// margin is how long before its end a challenge counts as too old to set out
// with.
const margin = 3 * time.Minute
