package ndes

import (
	"time"

	"chancery/internal/ca/scep"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// The values of Settings.Version, and the challenge type that package scep has
// not.
const (
	versionCurrent = "2008"
	version2003    = "2003"

	challengeDynamic = "dynamic"
)

// Settings of a Network Device Enrollment Service.
type Settings struct {
	Version string
	scep.Server
	ChallengeType             string
	Challenge                 secret.Text // the static one
	ChallengeURL              string
	Login                     string // an httpauth.Scheme
	User                      string
	Password                  secret.Text
	Realm                     string
	KDCs                      []string
	Keytab                    secret.Text // base64
	SPN                       string
	ClientCertificate         secret.Text // PEM, or PKCS#12 in base64
	ClientCertificatePassword secret.Text
	ChallengeLength           int
	CacheSize                 int
	CacheReserve              int
	ChallengeLife             time.Duration
	TestChallenge             bool
	scep.Devices
}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	f.Section("Version", "")
	f.Choice(&s.Version, "version", "Version").Default(versionCurrent).Options(
		setting.Option{Value: versionCurrent, Label: "NDES", Help: "Windows Server 2008 and later."},
		setting.Option{Value: version2003, Label: "SCEP 2003", Help: "The add-on for Windows Server 2003, which shows challenges at the SCEP URL itself."})
	s.DescribeOldServer(f)
	s.describeChallenge(f)
	s.DescribeDevices(f)
}

func (s *Settings) describeChallenge(f *setting.Form) {
	f.Section("Challenge", "")
	f.Choice(&s.ChallengeType, "challenge_type", "Challenge type").Default(challengeDynamic).Options(
		setting.Option{Value: challengeDynamic, Label: "Dynamic", Help: "Each enrolment has its own, read off the server's page."},
		setting.Option{Value: scep.ChallengeStatic, Label: "Static", Help: "The server is in single password mode: one secret for everybody."},
		setting.Option{Value: scep.ChallengeNone, Label: "None", Help: "The server enforces no password."})
	f.Secret(&s.Challenge, "challenge", "Static challenge").When("challenge_type", scep.ChallengeStatic).Required().
		Help("Whoever learns it can enrol at the server for anything its templates allow.")
	f.URL(&s.ChallengeURL, "challenge_url", "SCEP challenge URL").When("challenge_type", challengeDynamic).Placeholder("https://ndes.example.com/certsrv/mscep_admin/").
		Help("The page that shows challenges. Left empty, it is mscep_admin beside the mscep of the SCEP URL.")
	f.Choice(&s.Login, "login", "Login").Default(string(httpauth.Auto)).When("challenge_type", challengeDynamic).Options(
		setting.Option{Value: string(httpauth.Auto), Label: "Automatic", Help: "The strongest the page offers: Kerberos if a realm is set, NTLM, Basic."},
		setting.Option{Value: string(httpauth.Kerberos), Label: "Kerberos"},
		setting.Option{Value: string(httpauth.NTLM), Label: "NTLM"},
		setting.Option{Value: string(httpauth.Basic), Label: "Basic", Help: "Over https only."},
		setting.Option{Value: string(httpauth.None), Label: "None", Help: "By client certificate alone, or not at all."})
	ways := []string{string(httpauth.Auto), string(httpauth.Kerberos), string(httpauth.NTLM), string(httpauth.Basic)}
	kerberos := []string{string(httpauth.Auto), string(httpauth.Kerberos)}
	f.Text(&s.User, "user", "User name").When("login", ways...).MaxLength(256).Placeholder(`CORP\svc-scep`).
		Help("An account with Enroll on the templates of the server; on a stand-alone CA a local administrator of the server.")
	f.Secret(&s.Password, "password", "Password").When("login", ways...)
	f.Text(&s.Realm, "realm", "Kerberos realm").When("login", kerberos...).MaxLength(253).Placeholder("CORP.EXAMPLE.COM")
	f.List(&s.KDCs, "kdcs", "Domain controllers").When("login", kerberos...).Advanced().
		Help("Host or host:port of each KDC of the realm. Left empty, those that the DNS names.")
	f.SecretText(&s.Keytab, "keytab", "Keytab").When("login", kerberos...).Advanced().
		Help("The keytab file of the account in base64, in place of the password. With AES keys.")
	f.Text(&s.SPN, "spn", "Service principal name").When("login", kerberos...).MaxLength(300).Placeholder("HTTP/ndes.corp.example.com").Advanced().
		Help("Left empty, HTTP/ and the host of the challenge URL.")
	f.SecretText(&s.ClientCertificate, "client_certificate", "Challenge client certificate").When("challenge_type", challengeDynamic).Advanced().
		Help("Shown to the challenge page on top of the login: certificate, chain and key as PEM, or a PKCS#12 file in base64.")
	f.Secret(&s.ClientCertificatePassword, "client_certificate_password", "Password of the client certificate").When("challenge_type", challengeDynamic).Advanced().
		Help("Of a PKCS#12 file.")
	f.Int(&s.ChallengeLength, "challenge_length", "SCEP challenge length").Default(16).Between(0, 256).When("challenge_type", challengeDynamic).
		Help("Characters of a challenge as the page shows it: twice PasswordLength of the server, which is 8. Another length is refused, because devices would be told the wrong one. 0: any.")
	f.Int(&s.CacheSize, "cache_size", "Challenges the server keeps").Default(5).Between(1, 10000).When("challenge_type", challengeDynamic).
		Help("PasswordMax of the server. No more devices than this can be about to enrol at once; the others wait their turn.")
	f.Int(&s.CacheReserve, "cache_reserve", "Challenges left to others").Default(1).Between(0, 9999).When("challenge_type", challengeDynamic).Advanced().
		Help("Of those, for administrators and programs that open the page themselves.")
	f.Duration(&s.ChallengeLife, "challenge_life", "Life of a challenge").Default(time.Hour).Between(5*time.Minute, 7*24*time.Hour).When("challenge_type", challengeDynamic).Advanced().
		Help("PasswordValidity of the server. Each is set out with until three minutes before its end.")
	f.Bool(&s.TestChallenge, "test_challenge", "Test connection fetches a challenge").When("challenge_type", challengeDynamic).Advanced().
		Help("The only way to prove a password and to see the length of a challenge. It takes a place in the server's cache until it expires. Without it the test looks whether the page asks for a login.")
}

// Validate holds settings against each other.
func (s *Settings) Validate() error {
	var p ra.Problems
	s.Server.Check(&p)
	if s.Version == version2003 && s.Floor == "modern" {
		p.Add("floor", "The add-on of 2003 knows neither AES nor SHA-256.", "Choose compat.")
	}
	if s.ChallengeType == challengeDynamic {
		s.validateDynamic(&p)
	}
	return p.Err()
}

func (s *Settings) validateDynamic(p *ra.Problems) {
	if s.challengeURL() == "" {
		p.Add("challenge_url", "Where the challenge page is cannot be told from the SCEP URL.", "Enter the address of mscep_admin.")
	}
	if s.CacheReserve >= s.CacheSize {
		p.Add("cache_reserve", "Nothing is left of the challenges the server keeps.", "Leave at least one: lower the reserve, or raise PasswordMax on the server.")
	}
	if s.Login != string(httpauth.None) && s.User == "" {
		p.Add("user", "The challenge page needs a user.", "Enter one, or choose to log in by certificate alone.")
	}
	if s.Login == string(httpauth.Kerberos) && s.Realm == "" {
		p.Add("realm", "Kerberos needs a realm.", "Enter the realm: the domain's DNS name in capitals.")
	}
	if _, err := s.keytab(); err != nil {
		p.Merge("", err)
	}
	if _, err := s.clientCertificate(); err != nil {
		p.Merge("", err)
	}
}
