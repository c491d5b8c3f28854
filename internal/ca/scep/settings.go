package scep

import (
	"context"
	"net/url"
	"strings"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// The values of Settings.ChallengeType.
const (
	ChallengeNone   = "none"
	ChallengeStatic = "static"
)

// Settings of a SCEP server.
type Settings struct {
	Server
	ChallengeType string
	Challenge     secret.Text // the static one
	Devices
}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	s.DescribeServer(f)
	f.Section("Challenge", "")
	f.Choice(&s.ChallengeType, "challenge_type", "Challenge type").Default(ChallengeNone).Options(
		setting.Option{Value: ChallengeNone, Label: "None", Help: "The server lets requests in by other means: our address, a person's approval."},
		setting.Option{Value: ChallengeStatic, Label: "Static", Help: "The server knows one secret that every request has to carry."})
	f.Secret(&s.Challenge, "challenge", "Static challenge").When("challenge_type", ChallengeStatic).Required().
		Help("Devices that enrol at the server, directly or through this server, are given it. Those that enrol here never see it.")
	s.DescribeDevices(f)
}

// Validate holds settings against each other.
func (s *Settings) Validate() error {
	var p ra.Problems
	s.Server.Check(&p)
	return p.Err()
}

// Connect opens a connector.
func (s *Settings) Connect(_ context.Context, env ca.Env) (ca.Connector, error) {
	given := Fixed{}
	if s.ChallengeType == ChallengeStatic {
		given.Secret = s.Challenge
	}
	return Open(s.Server, s.Devices, given, env)
}

// Server are the settings of the server itself.
type Server struct {
	URL            string
	CAIdentifier   string
	Floor          string // "modern", "compat" or "legacy"
	LegacyAccepted bool
	Roots          string // PEM, for its TLS certificate; empty: those of the system
	Fingerprint    string // SHA-256 of a CA certificate, hex
	Thumbprint     string // the same by MD5, SHA-1 or SHA-256, as an administrator reads it off
	CACertificates string // PEM: those above what it gives
	Timeout        time.Duration
}

// The algorithm floors, by the names that scepmsg has for them.
var floors = []setting.Option{
	{Value: "modern", Label: "Modern", Help: "AES and SHA-256."},
	{Value: "compat", Label: "Compatible", Help: "3DES and SHA-1 too. Microsoft's server, and answers of micromdm/scep and step-ca, need it."},
	{Value: "legacy", Label: "Legacy", Help: "Answers in DES and MD5 are read, too. Nothing is ever sent that way."},
}

// DescribeServer names the settings of the server, for kinds that build on this
// one.
func (s *Server) DescribeServer(f *setting.Form) { s.describe(f, "modern") }

// DescribeOldServer is DescribeServer for a server that does not know AES.
func (s *Server) DescribeOldServer(f *setting.Form) { s.describe(f, "compat") }

func (s *Server) describe(f *setting.Form, floor string) {
	f.Section("SCEP server", "")
	f.URL(&s.URL, "url", "SCEP URL").Required().Check(checkURL).Placeholder("https://scep.example.com/scep").
		Help("Where SCEP is answered, without a query. Devices that enrol directly are given this address.")
	f.Text(&s.CAIdentifier, "ca_identifier", "CA identifier").MaxLength(200).Advanced().
		Help("Sent as message of GetCACert, where one address stands for several CAs.")
	f.Choice(&s.Floor, "floor", "Algorithm floor").Default(floor).Options(floors...).
		Help("The weakest algorithms that are sent to the server, passed on to it and taken from it. Messages are encrypted twice over HTTPS; over HTTP this is all that protects them.")
	f.Bool(&s.LegacyAccepted, "legacy_accepted", "I accept the risk of the legacy floor").When("floor", "legacy")
	f.Text(&s.Fingerprint, "fingerprint", "SHA-256 fingerprint of the CA certificate").Check(checkFingerprint).Placeholder("64 hexadecimal digits").
		Help("Of the root or the issuing CA. What the server's GetCACert gives counts only if this certificate signed it. Without it the server is believed, which over HTTP means whoever is in between.")
	f.Text(&s.Thumbprint, "thumbprint", "Thumbprint of the CA certificate").Check(checkThumbprint).Advanced().
		Help("The same as an administrator reads it off the server: 32, 40 or 64 hexadecimal digits, blanks allowed. MD5 and SHA-1 find mistakes, not attackers.")
	f.Certificates(&s.Roots, "roots", "Trusted roots for HTTPS").Advanced().
		Help("For the TLS certificate of the server, as PEM. Left empty, the roots of the operating system are trusted.")
	f.Certificates(&s.CACertificates, "ca_certificates", "Further CA certificates").Advanced().
		Help("Those above what the server gives, such as a root it leaves out.")
	f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(28*time.Second).Between(time.Second, 2*time.Minute).Advanced().
		Help("For one exchange with the server. Devices behind the proxy wait no longer than 30 seconds.")
}

// Check holds the settings against each other.
func (s *Server) Check(p *ra.Problems) {
	if s.Floor == "legacy" && !s.LegacyAccepted {
		p.Add("legacy_accepted", "The legacy floor needs to be accepted explicitly.", "Tick it, or choose another floor.")
	}
}

// Devices are the settings of what devices, the proxy and this server do.
type Devices struct {
	RetryTimeout time.Duration
	MaxRetries   int
	Proxy        bool
	InFlight     int
	Queue        int
	Marker       string // "none", "cn" or "ou"
	Vouched      bool
	Through      string // the authority that revokes
}

// RevokesThrough names the authority that is told to revoke.
func (d *Devices) RevokesThrough() ra.AuthorityID { return ra.AuthorityID(d.Through) }

// NoMarker leaves subjects as they are.
const NoMarker = "none"

// DescribeDevices names them.
func (d *Devices) DescribeDevices(f *setting.Form) {
	f.Section("Devices", "")
	f.Duration(&d.RetryTimeout, "retry_timeout", "Retry timeout").Default(time.Minute).Check(checkRetry).
		Help("How long a device waits before it asks again while its request is pending. Windows counts in whole minutes and takes zero as no waiting at all: it then uses up its tries at once and the enrolment fails. So zero is refused, and Windows devices are given the next full minute.")
	f.Int(&d.MaxRetries, "max_retries", "Max retries when pending").Default(5).Between(1, 100).
		Help("How often a device asks before it gives up.")
	f.Choice(&d.Marker, "marker", "Renewal marker").Default(NoMarker).Options(
		setting.Option{Value: NoMarker, Label: "None"},
		setting.Option{Value: "cn", Label: "CN", Help: "A further common name, sceprenew- and a unique number, is added to the subject."},
		setting.Option{Value: "ou", Label: "OU", Help: "The same as an organizational unit, for programs that read the first or last common name."}).
		Help("By it the certificate that a device got from the server is recognised when it turns up in an inventory. The CA has to keep it; names of more than 64 characters are refused by many.")
	f.Bool(&d.Proxy, "proxy", "Enable proxy").Default(true).
		Help("Devices enrol through this server, and the SCEP server needs no address on the internet. Switched off, they are sent to the SCEP URL itself.")
	f.Int(&d.InFlight, "proxy_at_once", "Proxied messages at once").Default(16).Between(1, 256).When("proxy", "true").Advanced()
	f.Int(&d.Queue, "proxy_queue", "Proxied messages that may wait").Default(200).Between(0, 10000).When("proxy", "true").Advanced().
		Help("Further ones are told to come again.")
	f.Text(&d.Through, "revoke_through", "Authority that revokes").MaxLength(60).Advanced().
		Help("SCEP cannot revoke. The ID of an authority here that reaches the same CA by other means: it is told to revoke what this one issued. Left empty, revocation is recorded here and done at the CA by hand.")
	f.Bool(&d.Vouched, "vouched", "The server accepts what this server vouches for").Advanced().
		Help("A request from here whose key a device keeps cannot carry a challenge, because only the device could sign it. With this switched on such a request is made with the device's public key and signed by another key. It proves possession of no key, and a server that checks PKCS#10 signatures, as it should, refuses it.")
}

func checkURL(text string) error {
	if u, err := url.Parse(text); err == nil && u.RawQuery != "" {
		return ra.Errorf(ra.Invalid, "The SCEP URL has a query.").WithRemedy("Leave out the ? and what follows it; operation and message are added for each request.")
	}
	return nil
}

func checkFingerprint(text string) error {
	if n := len(digits(text)); n != 64 {
		return ra.Errorf(ra.Invalid, "A SHA-256 fingerprint has 64 hexadecimal digits.").WithRemedy("Ask the CA's administrator for it, or compute it of the CA certificate with openssl x509 -fingerprint -sha256.")
	}
	return nil
}

func checkThumbprint(text string) error {
	switch len(digits(text)) {
	case 32, 40, 64:
		return nil
	}
	return ra.Errorf(ra.Invalid, "A thumbprint has 32, 40 or 64 hexadecimal digits.").WithRemedy("Copy it from the server's page or from the details of the CA certificate.")
}

func checkRetry(d time.Duration) error {
	if d >= time.Second && d <= 24*time.Hour {
		return nil
	}
	return ra.Errorf(ra.Invalid, "A retry timeout of zero makes Windows devices use up their tries at once, and more than a day is longer than any device waits.").
		WithRemedy("Choose one minute or more if there are Windows devices, which count in minutes, and at least a second otherwise.")
}

// digits gives the hexadecimal digits of a fingerprint in small letters, nothing
// if there is anything else in it but what people put in between.
func digits(text string) string {
	text = strings.ToLower(strings.NewReplacer(" ", "", ":", "", "-", "", "\u200e", "").Replace(text))
	if strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}
	return text
}
