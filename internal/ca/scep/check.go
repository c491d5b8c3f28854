package scep

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// Probe is one step of a check. It gives how the step ended; what follows a
// failed one is skipped.
type Probe struct {
	Name string
	Run  func(ctx context.Context) (state ca.StepState, detail, remedy string)
}

// Run runs probes in order and reports each.
func Run(ctx context.Context, now func() time.Time, report func(ca.Step), probes ...Probe) {
	failed := false
	for _, p := range probes {
		if failed {
			report(ca.Step{Name: p.Name, State: ca.StepSkipped})
			continue
		}
		began := now()
		state, detail, remedy := p.Run(ctx)
		report(ca.Step{Name: p.Name, State: state, Detail: detail, Remedy: remedy, Took: now().Sub(began)})
		failed = state == ca.StepFailed
	}
}

// Failed is a probe's end for an error.
func Failed(err error) (ca.StepState, string, string) {
	e := ra.AsError(err)
	return ca.StepFailed, e.Message, e.Remedy
}

// Check goes the way to the server step by step. It asks for capabilities and
// certificates, and for nothing that the server would have to make.
func (c *Connector) Check(ctx context.Context, report func(ca.Step)) {
	Run(ctx, c.env.Now, report, c.Probes()...)
}

// Probes are the steps of Check, for kinds that have more.
func (c *Connector) Probes() []Probe {
	var s *scepclient.Server
	probes := []Probe{{"connect", func(ctx context.Context) (ca.StepState, string, string) {
		return ProbeConnect(ctx, c.env, c.server.URL)
	}}}
	if strings.HasPrefix(c.server.URL, "https:") {
		probes = append(probes, Probe{"tls", func(ctx context.Context) (ca.StepState, string, string) {
			return ProbeTLS(ctx, c.env, c.server.URL, Pool(c.server.Roots))
		}})
	}
	return append(probes,
		Probe{"capabilities", c.probeCaps},
		Probe{"certificates", func(ctx context.Context) (state ca.StepState, detail, remedy string) {
			s, state, detail, remedy = c.probeCertificates(ctx)
			return state, detail, remedy
		}},
		Probe{"identity", func(context.Context) (ca.StepState, string, string) { return c.probeIdentity(s) }},
		Probe{"algorithms", func(context.Context) (ca.StepState, string, string) { return c.probeAlgorithms(s) }},
		Probe{"requests", func(context.Context) (ca.StepState, string, string) { return c.probeRequests() }},
	)
}

// ProbeConnect resolves the address and connects.
func ProbeConnect(ctx context.Context, env ca.Env, address string) (ca.StepState, string, string) {
	host, err := hostPort(address)
	if err != nil {
		return Failed(err)
	}
	conn, err := dial(ctx, env, host)
	if err != nil {
		var name *net.DNSError
		var mine *ra.Error
		switch {
		case errors.As(err, &mine):
			return Failed(mine)
		case errors.As(err, &name):
			return ca.StepFailed, "The name of the server is not known to the DNS.", "Correct the address, or the name servers this machine asks."
		}
		return ca.StepFailed, "Nothing answers at " + host + ".", "Check the address and the port, and that a firewall lets this server through."
	}
	defer conn.Close()
	return ca.StepOK, "Connected to " + conn.RemoteAddr().String() + ".", ""
}

// connectWithin bounds connecting.
const connectWithin = 5 * time.Second

func dial(ctx context.Context, env ca.Env, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	return env.Dial(ctx, "tcp", address)
}

func hostPort(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", ra.Errorf(ra.Invalid, "The address cannot be read.").WithRemedy("Correct it.").WithCause(err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// ProbeTLS makes a handshake, and says of a certificate that is not trusted who
// issued it.
func ProbeTLS(ctx context.Context, env ca.Env, address string, roots *x509.CertPool) (ca.StepState, string, string) {
	host, err := hostPort(address)
	if err != nil {
		return Failed(err)
	}
	conn, err := dial(ctx, env, host)
	if err != nil {
		return ca.StepFailed, "Nothing answers at " + host + ".", "Try again."
	}
	defer conn.Close()
	name, _, _ := net.SplitHostPort(host)
	t := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: roots, Time: env.Now})
	within, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	err = t.HandshakeContext(within)
	var unknown x509.UnknownAuthorityError
	var wrong x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		leaf := t.ConnectionState().PeerCertificates[0]
		if left := leaf.NotAfter.Sub(env.Now()); left < min(14*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/4) {
			return ca.StepWarning, fmt.Sprintf("The TLS certificate is valid until %s only.", day(leaf.NotAfter)), "Renew it on the server."
		}
		return ca.StepOK, fmt.Sprintf("The TLS certificate is trusted and valid until %s.", day(leaf.NotAfter)), ""
	case errors.As(err, &unknown):
		return ca.StepFailed, "The TLS certificate is from an issuer that is not trusted here.", "Add the issuer's root to the trusted roots for HTTPS."
	case errors.As(err, &wrong):
		return ca.StepFailed, "The TLS certificate is for another name.", "Use the name that is in the certificate."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ca.StepFailed, "The TLS certificate has expired or is not valid yet.", "Renew it on the server, and compare the clocks."
	}
	return ca.StepFailed, "There is no TLS at this address, or none that is spoken here.", "TLS 1.2 or later is needed. Check the port, and whether the address begins with http."
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func (c *Connector) probeCaps(ctx context.Context) (ca.StepState, string, string) {
	got, err := c.Forward(ctx, scepmsg.OpGetCACaps, nil)
	if err != nil {
		return Failed(err)
	}
	if got.Status != 200 {
		return ca.StepWarning, fmt.Sprintf("The server does not tell what it can do (HTTP %d); GET, 3DES and SHA-1 are assumed.", got.Status),
			"Normal for Microsoft's server before Windows Server 2012 R2. Otherwise check the address."
	}
	caps := scepmsg.ParseCaps(got.Body)
	if caps == (scepmsg.Caps{}) {
		return ca.StepWarning, "What the server answers to GetCACaps is no list of capabilities; GET, 3DES and SHA-1 are assumed.", "Check that this is the address of SCEP and not of a page for people."
	}
	if !caps.Post {
		return ca.StepWarning, "The server takes messages by GET only.", "Allow queries of at least 16384 characters on the server and on what is in between (maxQueryString in IIS)."
	}
	return ca.StepOK, "It knows " + words(caps) + ".", ""
}

func words(c scepmsg.Caps) string {
	var out []string
	for _, w := range []struct {
		has  bool
		word string
	}{{c.AES, "AES"}, {c.DES3, "3DES"}, {c.SHA512, "SHA-512"}, {c.SHA256, "SHA-256"}, {c.SHA1, "SHA-1"}, {c.Post, "POST"}, {c.Renewal, "renewal"}, {c.NextCA, "the next CA"}} {
		if w.has {
			out = append(out, w.word)
		}
	}
	return strings.Join(out, ", ")
}

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

func (c *Connector) probeCertificates(ctx context.Context) (*scepclient.Server, ca.StepState, string, string) {
	s, err := c.ask(ctx)
	if err != nil {
		state, detail, remedy := Failed(err)
		return nil, state, detail, remedy
	}
	var ras, cas, notes []string
	state, remedy := ca.StepOK, ""
	for _, x := range s.Certificates {
		role := role(x)
		if role == "CA" {
			cas = append(cas, day(x.NotAfter))
		} else {
			ras = append(ras, role+" until "+day(x.NotAfter))
		}
		switch now := c.env.Now(); {
		case !x.NotAfter.After(now) || x.NotBefore.After(now):
			return s, ca.StepFailed, fmt.Sprintf("The %s certificate is valid from %s to %s, not now.", role, day(x.NotBefore), day(x.NotAfter)),
				"Renew it on the server. On Microsoft's server the RA certificates are renewed by a member of Enterprise Admins, and IIS is restarted."
		case x.NotAfter.Sub(now) < soon:
			state, remedy = ca.StepWarning, "Renew it on the server in time; devices have to learn of it."
			notes = append(notes, "The "+role+" certificate ends soon.")
		}
	}
	detail := fmt.Sprintf("%d of a CA (until %s)", len(cas), strings.Join(cas, ", "))
	if len(ras) > 0 {
		detail += "; registration authority: " + strings.Join(ras, ", ")
	}
	return s, state, strings.Join(append([]string{detail + "."}, notes...), " "), remedy
}

// role tells certificates of GetCACert apart.
func role(x *cms.Certificate) string {
	switch signs, reads := x.KeyUsage&x509.KeyUsageDigitalSignature != 0, x.KeyUsage&x509.KeyUsageKeyEncipherment != 0; {
	case x.IsCA || x.SelfIssued():
		return "CA"
	case signs && !reads:
		return "RA signing"
	case reads && !signs:
		return "RA encryption"
	}
	return "RA"
}

func (c *Connector) probeIdentity(s *scepclient.Server) (ca.StepState, string, string) {
	chain := c.issuers(s.Certificates)
	if len(chain) == 0 {
		return ca.StepFailed, "The server gives no certificate of a CA.", "Add the CA's certificates to the settings."
	}
	fingerprint := fmt.Sprintf("%x", sha256.Sum256(chain[0].Raw))
	if c.server.Fingerprint == "" && c.server.Thumbprint == "" {
		return ca.StepWarning, "The server is believed without proof. The issuing CA's SHA-256 fingerprint is " + fingerprint + ".",
			"Compare it with what the CA's administrator sees, then enter it as fingerprint."
	}
	if top := chain[len(chain)-1]; top.CheckSignatureFrom(top) != nil {
		return ca.StepWarning, "The certificates are those that are pinned, but the root is not among them.", "Add the certificates above the issuing CA to the further CA certificates; devices need them."
	}
	return ca.StepOK, "The certificates are those that are pinned. The issuing CA's SHA-256 fingerprint is " + fingerprint + ".", ""
}

func (c *Connector) probeAlgorithms(s *scepclient.Server) (ca.StepState, string, string) {
	if key, ok := s.RA.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		return ca.StepFailed, fmt.Sprintf("Messages would be encrypted to an RSA key of %d bits.", key.N.BitLen()), "Give the server an RSA-2048 certificate for SCEP."
	}
	cipher, digest := s.Caps.Cipher().Name(), s.Caps.Digest().String()
	if c.floor == scepmsg.Modern && (!s.Caps.AES || !s.Caps.SHA256 && !s.Caps.SHA384 && !s.Caps.SHA512) {
		return ca.StepFailed, fmt.Sprintf("The best the server knows is %s with %s, and the algorithm floor is modern.", cipher, digest), "Update the server, or lower the algorithm floor to compat."
	}
	if c.floor == scepmsg.Legacy {
		return ca.StepWarning, "Answers in DES and MD5 are accepted.", "Raise the algorithm floor as soon as the server can do better."
	}
	return ca.StepOK, fmt.Sprintf("Messages are sent with %s and %s.", cipher, digest), ""
}

// probeRequests says what cannot work with these settings, or should not.
func (c *Connector) probeRequests() (ca.StepState, string, string) {
	if c.devices.Vouched && c.challenges.Wanted() {
		return ca.StepWarning, "This server vouches for keys of devices: such requests prove possession of no key.", "Leave it on only if the SCEP server is reached by nobody else."
	}
	if !c.challenges.Wanted() {
		return ca.StepOK, "Requests are sent without a challenge.", ""
	}
	return ca.StepOK, "Requests from here carry a challenge where the key is made here. Devices that make their own key enrol at the server or through the proxy.", ""
}
