package adcs

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/rpclogin"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/wire/adcsmsg"
)

// The values of Settings.AgentSource.
const (
	agentNone = "none"
	agentFile = "file"
	agentURI  = "uri"
)

// Settings of a Microsoft CA.
type Settings struct {
	Server           string // host name, or a URL with it
	AuthorityName    string // common name of the CA certificate; empty: asked of the server
	CACertificates   string // PEM
	Protocols        []string
	Timeout          time.Duration
	Login            string // an rpclogin.Scheme
	User             string
	Password         secret.Text
	Realm            string
	KDCs             []string
	Keytab           secret.Text // base64
	SPN              string
	PublishCRL       bool
	PollInterval     time.Duration
	AgentSource      string
	AgentFile        secret.Text // PEM, or PKCS#12 in base64
	AgentPassword    secret.Text
	AgentCertificate string // PEM
	AgentKeyURI      string
	AgentKeyPIN      secret.Text
	Directory        string   // whose guard reads; empty: none
	GuardAdmins      []string // SIDs
	GuardLarge       []string // SIDs
	keys             *keystore.Stores
}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	f.Section("Certification authority", "")
	f.Text(&s.Server, "server", "Server hostname").Required().Check(checkServer).MaxLength(300).Placeholder("ca1.corp.example.com").
		Help("The full DNS name of the host that runs AD CS. The address of its web pages is taken, too; its host counts.")
	f.Choice(&s.AuthorityName, "authority_name", "Authority name").Lookup("authorities").
		Help("The common name of the CA certificate, without the host. Left empty, the server is asked for it over DCOM.")
	f.Certificates(&s.CACertificates, "ca_certificates", "CA certificates").
		Help("The CA's certificate and those above it, as PEM. Answers from any other CA are refused. Left empty, what the server says is believed; over RPC without DCOM, devices are then given no chain but what comes with their certificate.")
	f.Section("Connection", "")
	f.List(&s.Protocols, "protocols", "Protocols").Default([]string{string(adcsclient.DCOM), string(adcsclient.RPC)}).Check(checkProtocols).
		Help("In the order they are tried: dcom, rpc (ICertPassage over TCP), pipe (the same over the named pipe). Only dcom can revoke, list templates and read the CA's database, which finds lost answers and takes over what the CA issued before.")
	f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(30*time.Second).Between(time.Second, 5*time.Minute).Advanced().
		Help("For one question to the CA, the login included.")
	s.describeAccount(f)
	f.Section("Requests", "")
	f.Duration(&s.PollInterval, "poll_interval", "Time between looks at a pending request").Default(10*time.Minute).Between(time.Second, 24*time.Hour).
		Help("While a request waits for a certificate manager.")
	f.Bool(&s.PublishCRL, "publish_crl", "Publish the CRL after each revocation").
		Help("Otherwise relying parties learn of it with the CA's next one. Takes the right Manage CA.")
	s.describeAgent(f)
	s.describeGuard(f)
}

func (s *Settings) describeAccount(f *setting.Form) {
	f.Section("Service account", "")
	kerberos := []string{string(rpclogin.Negotiate), string(rpclogin.Kerberos)}
	f.Choice(&s.Login, "login", "Login").Default(string(rpclogin.Negotiate)).Options(
		setting.Option{Value: string(rpclogin.Negotiate), Label: "Negotiate", Help: "Kerberos where a realm is set and works, else NTLM."},
		setting.Option{Value: string(rpclogin.Kerberos), Label: "Kerberos"},
		setting.Option{Value: string(rpclogin.NTLM), Label: "NTLM", Help: "For servers without a domain controller in reach."})
	f.Text(&s.User, "user", "User name").Required().MaxLength(256).Placeholder(`CORP\svc-chancery`).
		Help("An account with Read and Request Certificates at the CA (for revocation Issue and Manage Certificates), Enroll on the templates, and in the group Certificate Service DCOM Access. Use one that nothing else uses, and enter it with the domain's short name: the CA's database has it so.")
	f.Secret(&s.Password, "password", "Password")
	f.Text(&s.Realm, "realm", "Kerberos realm").When("login", kerberos...).MaxLength(253).Placeholder("CORP.EXAMPLE.COM")
	f.List(&s.KDCs, "kdcs", "Domain controllers").When("login", kerberos...).Advanced().
		Help("Host or host:port of each KDC of the realm. Left empty, those that the DNS names.")
	f.SecretText(&s.Keytab, "keytab", "Keytab").When("login", kerberos...).Advanced().
		Help("The keytab file of the account in base64, in place of the password. With AES keys.")
	f.Text(&s.SPN, "spn", "Service principal name").When("login", kerberos...).MaxLength(300).Placeholder("host/ca1.corp.example.com").Advanced().
		Help("Left empty, host/ and the server's name.")
}

func (s *Settings) describeAgent(f *setting.Form) {
	f.Section("Enrol on behalf of", "")
	f.Choice(&s.AgentSource, "agent", "Enrollment agent").Default(agentNone).Options(
		setting.Option{Value: agentNone, Label: "None", Help: "Requests are made in the name of the service account."},
		setting.Option{Value: agentFile, Label: "Certificate and key here", Help: "Sealed in the database."},
		setting.Option{Value: agentURI, Label: "Key at an address", Help: "In a PKCS#11 token, the key service of a cloud or a file. The key stays there."}).
		Help("A certificate for Certificate Request Agent. Whoever has its key can get certificates of anybody the CA lets it: restrict it at the CA.")
	f.SecretText(&s.AgentFile, "agent_file", "Agent certificate and key").When("agent", agentFile).Required().
		Help("A PKCS#12 file (.pfx) in base64, or certificate and key as PEM.")
	f.Secret(&s.AgentPassword, "agent_password", "Password of the file").When("agent", agentFile).
		Help("Of a PKCS#12 file.")
	f.Certificates(&s.AgentCertificate, "agent_certificate", "Agent certificate").When("agent", agentURI).Required()
	f.Text(&s.AgentKeyURI, "agent_key_uri", "Address of the agent's key").When("agent", agentURI).Required().Check(checkAddress).Placeholder("pkcs11:token=RA;object=agent?module-path=/usr/lib/softhsm/libsofthsm2.so").
		Help("It begins with file:, pkcs11:, awskms:, cloudkms: or azurekms:, and holds no secret.")
	f.Secret(&s.AgentKeyPIN, "agent_key_pin", "PIN of the token").When("agent", agentURI).
		Help("Of a PKCS#11 token whose address does not name a file with the PIN (pin-source).")
}

// HostParts gives the address of the agent's key, whether or not it is in use now.
func (s *Settings) HostParts() []string {
	return slices.DeleteFunc([]string{s.AgentKeyURI}, func(address string) bool { return address == "" })
}

// Validate holds settings against each other.
func (s *Settings) Validate() error {
	var p ra.Problems
	if s.AuthorityName == "" && !slices.Contains(s.Protocols, string(adcsclient.DCOM)) {
		p.Add("authority_name", "Without DCOM the server cannot be asked for the name of its CA.", "Enter it: the common name of the CA certificate.")
	}
	_, err := keytabOf(s.Keytab)
	p.Merge("", err)
	switch scheme := rpclogin.Scheme(s.Login); {
	case scheme == rpclogin.NTLM && !s.Password.IsSet():
		p.Add("password", "NTLM needs a password.", "Enter it, or log in by Kerberos with a keytab.")
	case scheme == rpclogin.Kerberos && s.Realm == "":
		p.Add("realm", "Kerberos needs a realm.", "Enter the realm: the domain's DNS name in capitals.")
	case !s.Password.IsSet() && (!s.Keytab.IsSet() || s.Realm == ""):
		p.Add("password", "The service account has neither a password nor a keytab and a realm.", "Enter the password, or keytab and realm.")
	}
	_, err = s.agent()
	p.Merge("", err)
	return p.Err()
}

func (s *Settings) keytab() (secret.Bytes, error) {
	if rpclogin.Scheme(s.Login) == rpclogin.NTLM {
		return secret.Bytes{}, nil
	}
	return keytabOf(s.Keytab)
}

func keytabOf(text secret.Text) (secret.Bytes, error) {
	if !text.IsSet() {
		return secret.Bytes{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text.Reveal()), ""))
	if err != nil || len(b) < 2 || b[0] != 5 {
		return secret.Bytes{}, ra.Errorf(ra.Invalid, "The keytab is not a keytab file in base64.").WithField("keytab").WithRemedy("Send what base64 -w0 makes of the file.")
	}
	return secret.NewBytes(b), nil
}

// hostOf takes the host out of what an administrator typed: a host name, or a URL
// as the web enrollment pages have it.
func hostOf(server string) (string, error) {
	bad := ra.Errorf(ra.Invalid, "The server is neither a host name nor a URL with one.").WithField("server").
		WithRemedy("Enter the host's full DNS name, such as ca1.corp.example.com.")
	host := server
	if strings.Contains(server, "://") {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" {
			return "", bad
		}
		host = u.Hostname()
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || strings.HasPrefix(host, ".") {
		return "", bad
	}
	return host, nil
}

func checkServer(text string) error {
	_, err := hostOf(text)
	return err
}

func checkAddress(text string) error {
	_, err := keystore.Parse(text)
	return err
}

func checkProtocols(list []string) error {
	for i, p := range list {
		if !slices.Contains([]adcsclient.Way{adcsclient.DCOM, adcsclient.RPC, adcsclient.Pipe}, adcsclient.Way(p)) || slices.Contains(list[:i], p) {
			return ra.Errorf(ra.Invalid, "The protocols are not what can be chosen.").WithRemedy("Use any of dcom, rpc and pipe, each once, in the order they are to be tried.")
		}
	}
	if len(list) == 0 {
		return ra.Errorf(ra.Invalid, "No protocol is left.").WithRemedy("Use dcom, rpc or pipe, or several of them.")
	}
	return nil
}

// parseCertificates reads a bundle that the form has accepted.
func parseCertificates(text string) []*x509.Certificate {
	var out []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, c)
		}
	}
}

// Options are what a request template adds.
type Options struct {
	Requester string
	Renewal   string
}

// The values of Options.Renewal.
const (
	renewalNew    = "new"
	renewalSigned = "signed"
)

func options() setting.Describer { return &Options{} }

// Describe names them.
func (o *Options) Describe(f *setting.Form) {
	f.Text(&o.Requester, ca.RequesterOption, "Requester name").MaxLength(300).Placeholder(`CORP\{EnrollmentUser}`).
		Help("On whose behalf the certificate is asked for, as DOMAIN\\account with the domain's short name. Lookup values of users only. It needs an enrollment agent in the authority; the CA then takes the names from the directory, if its template says so. Left empty, the request is made in the name of the service account.")
	f.Choice(&o.Renewal, "renewal", "Renewal").Default(renewalNew).Options(
		setting.Option{Value: renewalNew, Label: "New request", Help: "The CA sees no difference to a first one."},
		setting.Option{Value: renewalSigned, Label: "Signed by the old key", Help: "For keys kept here. The CA keeps the old names if its template says so. It takes EDITF_ENABLERENEWONBEHALFOF at the CA."})
}

// Validate looks at what needs no lookup value.
func (o *Options) Validate() error {
	if o.Requester == "" {
		return nil
	}
	domain, _, ok := strings.Cut(o.Requester, `\`)
	if !ok {
		return ra.Errorf(ra.Invalid, "The requester name has no domain.").WithField(ca.RequesterOption).WithRemedy(`Write it as DOMAIN\{EnrollmentUser}.`)
	}
	if !strings.Contains(domain, "{") && adcsmsg.CheckRequester(domain+`\x`) != nil {
		return ra.Errorf(ra.Invalid, "The domain of the requester name has characters that no domain has.").WithField(ca.RequesterOption).WithRemedy(`Write it as DOMAIN\{EnrollmentUser}, with the short name of the domain.`)
	}
	return nil
}
