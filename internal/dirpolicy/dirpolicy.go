// Package dirpolicy describes what an administrator says about a directory
// server: how it is reached, whose users are taken over from it, which of their
// attributes are kept, and how often. Package directory does it; the console,
// the API and the command line draw their forms from here.
package dirpolicy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"chancery/internal/ldapdir"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// How to log in.
const (
	LoginPassword = "password"
	LoginKerberos = "kerberos"
)

// What a look-up right before a certificate is made does.
const (
	LookupOff     = "off"
	LookupTry     = "try"
	LookupRequire = "require"
)

// Settings of one directory.
type Settings struct {
	Servers  []string
	Security string
	Roots    string // PEM; empty: those of the system
	Timeout  time.Duration

	Login    string
	User     string
	Password secret.Text
	Realm    string
	KDCs     []string
	Keytab   secret.Text // base64

	Base       string
	Filter     string
	OnlyGroup  string
	Groups     []string // distinguished names
	Attributes []string // key=attribute

	Interval   time.Duration
	MaxDisable int // percent
	AtIssue    string

	KeyPassword  secret.Text
	KeyAttribute string
}

// standard is what users' attributes are called here and in the directory.
var standard = []string{"department=department", "phone_number=telephoneNumber", "employee_identifier=employeeID", "middle_name=middleName"}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	f.Section("Domain controllers", "")
	f.List(&s.Servers, "servers", "Servers").Required().MaxLength(300).Placeholder("dc1.corp.example.com").
		Help("Host names of domain controllers, with a port where it is not 636 (LDAPS) or 389 (StartTLS). They are tried in this order. Write them as in their certificates.")
	f.Choice(&s.Security, "security", "Encryption").Default(ldapdir.LDAPS).Options(
		setting.Option{Value: ldapdir.LDAPS, Label: "LDAPS"}, setting.Option{Value: ldapdir.StartTLS, Label: "StartTLS"})
	f.Certificates(&s.Roots, "roots", "Trusted roots").
		Help("For the TLS certificates of the domain controllers, as PEM: usually the root of the company's own CA. Left empty, the roots of the operating system are trusted.")
	f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(30*time.Second).Between(time.Second, 5*time.Minute).Advanced()
	f.Section("Login", "An account that may read the users. It needs no more rights unless certificates are published.")
	f.Choice(&s.Login, "login", "Log in by").Default(LoginPassword).Options(
		setting.Option{Value: LoginPassword, Label: "Name and password"},
		setting.Option{Value: LoginKerberos, Label: "Kerberos", Help: "With a keytab or a password, AES only."})
	f.Text(&s.User, "user", "User").Required().MaxLength(300).Placeholder("svc-chancery@corp.example.com").Help("name@domain; for Kerberos the name of the account.")
	f.Secret(&s.Password, "password", "Password")
	f.Text(&s.Realm, "realm", "Realm").MaxLength(255).When("login", LoginKerberos).Placeholder("CORP.EXAMPLE.COM")
	f.List(&s.KDCs, "kdcs", "KDCs").MaxLength(300).When("login", LoginKerberos).Advanced().
		Help("Host names of domain controllers, with a port where it is not 88. Left empty, the DNS is asked.")
	f.SecretText(&s.Keytab, "keytab", "Keytab").When("login", LoginKerberos).
		Help("The keytab file of the account in base64, in place of the password. With AES keys.")
	f.Section("Users", "")
	f.Text(&s.Base, "base", "Base").MaxLength(1000).Check(optional(ldapdir.CheckDN)).Placeholder("OU=Staff,DC=corp,DC=example,DC=com").
		Help("Users in and below it are taken over. Left empty, those of the whole domain are.")
	f.Text(&s.OnlyGroup, "only_group", "Members of").MaxLength(1000).Check(optional(ldapdir.CheckDN)).Placeholder("CN=Certificate users,OU=Groups,DC=corp,DC=example,DC=com").
		Help("The distinguished name of a group: only its members are taken over, those in groups inside it too.")
	f.Text(&s.Filter, "filter", "Further filter").MaxLength(2000).Check(optional(ldapdir.CheckFilter)).Placeholder("(department=Sales)").Advanced().
		Help("A filter of LDAP that users have to fit as well.")
	f.List(&s.Attributes, "attributes", "Attributes").Default(standard).MaxLength(140).Check(checkAttributes).Advanced().
		Help("What else is kept of a user, each as key=attribute. A template uses it as {UserAttribute.key}; the keys department, phone_number, employee_identifier, middle_name and custom_1 to custom_5 have lookup values of their own.")
	f.List(&s.Groups, "groups", "Groups to keep").MaxLength(1000).Check(checkGroups).Advanced().
		Help("Distinguished names of groups: which of them a user is in, directly or not, is kept by their common names as {UserAttribute.groups}.")
	f.Section("Taking over", "")
	f.Duration(&s.Interval, "interval", "Every").Default(time.Hour).Between(5*time.Minute, 7*24*time.Hour)
	f.Int(&s.MaxDisable, "max_disable", "Stop when more than").Default(10).Between(0, 100).
		Help("Percent of the users would be disabled at once, and more than five: then nobody is, until somebody confirms it. It keeps a wrong base or a lost right from locking everybody out.")
	f.Choice(&s.AtIssue, "at_issue", "Before each certificate").Default(LookupTry).Options(
		setting.Option{Value: LookupOff, Label: "Use what was taken over"},
		setting.Option{Value: LookupTry, Label: "Look the user up", Help: "If the directory does not answer, what was taken over last is used."},
		setting.Option{Value: LookupRequire, Label: "Look the user up, or refuse", Help: "If the directory does not answer, no certificate is issued."})
	s.describeKeys(f)
}

// Validate holds the settings against each other.
func (s *Settings) Validate() error {
	var p ra.Problems
	switch {
	case s.Login == LoginPassword && !s.Password.IsSet():
		p.Add("password", "The login has no password.", "Enter the account's password.")
	case s.Login == LoginKerberos && s.Realm == "":
		p.Add("realm", "Kerberos needs a realm.", "Enter the realm: the domain's DNS name in capitals.")
	case s.Login == LoginKerberos && !s.Password.IsSet() && !s.Keytab.IsSet():
		p.Add("keytab", "Kerberos needs a keytab or a password.", "Enter one of the two.")
	}
	if _, err := s.KeytabBytes(); err != nil {
		p.Add("keytab", "The keytab is not a file in base64.", "Send what base64 -w0 makes of the file.")
	}
	return p.Err()
}

// KeytabBytes gives the keytab file; nothing when there is none.
func (s *Settings) KeytabBytes() (secret.Bytes, error) {
	if !s.Keytab.IsSet() {
		return secret.Bytes{}, nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s.Keytab.Reveal()), ""))
	return secret.NewBytes(b), err
}

func optional(check func(string) error) func(string) error {
	return func(v string) error {
		if v == "" {
			return nil
		}
		return check(v)
	}
}

var attributeForm = regexp.MustCompile(`^([A-Za-z0-9_.-]{1,64})=([A-Za-z][A-Za-z0-9-]{0,63})$`)

// GroupsKey is the attribute of a user with the groups that are kept.
const GroupsKey = "groups"

func checkAttributes(list []string) error {
	seen := map[string]bool{}
	for _, line := range list {
		m := attributeForm.FindStringSubmatch(line)
		if m == nil {
			return ra.Errorf(ra.Invalid, "%.80q is not of the form key=attribute.", line).WithRemedy("Write it as in department=department.")
		}
		if seen[m[1]] || m[1] == GroupsKey {
			return ra.Errorf(ra.Invalid, "The key %q is used twice.", m[1]).WithRemedy("Give each attribute a key of its own.")
		}
		seen[m[1]] = true
	}
	if len(seen) > 40 {
		return ra.Errorf(ra.Invalid, "There are more than 40 attributes.").WithRemedy("Leave out what no template uses.")
	}
	return nil
}

func checkGroups(list []string) error {
	if len(list) > 50 {
		return ra.Errorf(ra.Invalid, "There are more than 50 groups.").WithRemedy("Leave out those that matter to no template.")
	}
	for _, dn := range list {
		if err := ldapdir.CheckDN(dn); err != nil {
			return err
		}
	}
	return nil
}

// Kept gives what is read of a user beside the fixed fields: our key to the
// directory's attribute.
func (s *Settings) Kept() map[string]string {
	out := map[string]string{}
	for _, line := range s.Attributes {
		if key, name, ok := strings.Cut(line, "="); ok {
			out[key] = name
		}
	}
	return out
}

// InGroup is a filter for the members of a group and of the groups in it
// (MS-ADTS 3.1.1.3.4.4.3, LDAP_MATCHING_RULE_TRANSITIVE_EVAL).
func InGroup(dn string) string {
	return "(memberOf:1.2.840.113556.1.4.1941:=" + ldapdir.Escape(dn) + ")"
}

// Within is a filter for those who are taken over and fit more, a filter or
// nothing.
func (s *Settings) Within(more string) string {
	f := "(objectCategory=person)(objectClass=user)" + s.Filter
	if s.OnlyGroup != "" {
		f += InGroup(s.OnlyGroup)
	}
	return "(&" + f + more + ")"
}

// Basis names what the settings ask for: with another one everybody is read.
func (s *Settings) Basis(base string) string {
	b, err := json.Marshal([]any{base, s.Filter, s.OnlyGroup, s.Groups, s.Attributes})
	if err != nil {
		panic(err) // texts always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
