package adcs

import (
	"strings"
	"time"

	"chancery/internal/doubles/dcerpc"
)

// Config describes a CA. The zero value is a CA named CORP-CA of the domain CORP
// with the templates of DefaultTemplates and nobody who may log on.
type Config struct {
	Name          string // common name of the CA certificate; "CORP-CA" when empty
	Domain        string // NetBIOS name; "CORP" when empty
	DNSDomain     string // "corp.example" when empty; also the Kerberos realm, in capitals
	Computer      string // NetBIOS name of the host; "CA1" when empty
	Host          string // address to listen on; "127.0.0.1" when empty
	MapperAddress string // of the endpoint mapper; a free port of Host when empty

	Accounts  []Account
	Templates []Template // DefaultTemplates when nil
	Keytab    []byte     // of host/…: what Kerberos tickets are opened with; none, no Kerberos

	EditFlags       uint32   // EDITF_…
	InterfaceFlags  uint32   // IF_…; DefaultInterfaceFlags when zero
	DisabledExts    []string // DisableExtensionList: OIDs left out of every certificate
	Restrictions    []AgentRestriction
	Root            bool          // the CA signs itself, instead of being below a root
	FormerKeys      int           // how often the CA was renewed with a new key; only the present one publishes CRLs
	EllipticKeys    bool          // keys of P-256 instead of RSA: thousands of certificates are signed in no time
	EndsFalse       bool          // the last rows of a view come with S_FALSE instead of zero
	ReleaseStays    bool          // a release from hold keeps its time and the reason removeFromCRL in the row, instead of nothing
	MaxFrag         int           // largest fragment taken and sent; 5840 when zero
	MapperLogin     bool          // the endpoint mapper wants a logon (RestrictRemoteClients)
	RequireMIC      bool          // NTLM logons must carry a message integrity code
	RequireListMIC  bool          // SPNEGO logons must carry a mechListMIC, as Samba wants
	ObjectLife      time.Duration // of a DCOM object since it was made or pinged; six minutes when zero
	CRLPeriod       time.Duration // until nextUpdate; a week when zero
	PublishOnRevoke bool          // a new CRL with every revocation, not only when told
	Now             func() time.Time
	NoServerAlive   bool // the host has no object exporter, as Samba
	NoHeaderSigning bool // the server does not offer header signing
	NotRegistered   bool // the mapper knows no CA: certsvc is stopped
	PassageOnPipe   bool // the mapper knows no ICertPassage: it is on the pipe alone
}

// Rights of an account on the CA, the bits of its security descriptor.
type Rights uint32

// The rights.
const (
	ManageCA  Rights = 0x001
	Officer   Rights = 0x002 // Issue and Manage Certificates
	Auditor   Rights = 0x004
	Backup    Rights = 0x008
	Read      Rights = 0x100
	Enroll    Rights = 0x200 // Request Certificates
	NoRights  Rights = 1 << 31
	Everybody        = Read | Enroll // what an account has that names no rights
)

// Account is a user or computer of the directory, who may log on and whom
// certificates can be for.
type Account struct {
	User     string // sAMAccountName: "svc-ra", "PC1$"
	Password string // of NTLM; empty: no logon by NTLM. Kerberos asks the KDC
	Name     string // common name; User when empty
	DN       string // distinguished name; made of Name and the domain when empty
	UPN      string // userPrincipalName; none when empty
	DNS      string // dNSHostName; none when empty
	Mail     string // none when empty
	SID      string // none when empty: certificates then cannot be built from the directory
	Rights   Rights // Everybody when zero, none at all with NoRights
	NoDCOM   bool   // may not activate objects
	Away     bool   // is in another forest: found with EditReferrals alone
}

// Template is a certificate template with the rules that the CA keeps. Flags are
// those of the directory's attributes msPKI-Certificate-Name-Flag,
// msPKI-Enrollment-Flag and msPKI-Private-Key-Flag.
type Template struct {
	Name         string // cn
	OID          string // made up when empty, unless Schema is 1
	Schema       int    // 1 to 4; 2 when zero
	Major, Minor int    // version; 100.1 when zero
	NameFlags    uint32
	EnrollFlags  uint32
	KeyFlags     uint32
	KeyBits      int           // least size of a key; 2048 when zero
	Signatures   int           // msPKI-RA-Signature
	RAPolicies   []string      // application policies that the signer's certificate needs
	Validity     time.Duration // a year when zero
	EKU          []string      // OIDs; client authentication when nil
	KeyUsage     byte          // first octet of the bit string: 0xA0 when zero
	Enroll       []string      // accounts with Read and Enroll; everybody when nil
	Unpublished  bool          // exists, but this CA does not issue it
	Deny         uint32        // HRESULT every request is denied with; zero: none is
}

// The flags of templates that the CA heeds.
const (
	SuppliesSubject       uint32 = 0x00000001 // name flags
	OldCertSubject        uint32 = 0x00000008
	AltDirectoryGUID      uint32 = 0x01000000
	AltUPN                uint32 = 0x02000000
	AltEmail              uint32 = 0x04000000
	AltDNS                uint32 = 0x08000000
	SubjectDNSAsCN        uint32 = 0x10000000
	SubjectEmail          uint32 = 0x20000000
	SubjectCommonName     uint32 = 0x40000000
	SubjectFullDN         uint32 = 0x80000000
	PendAll               uint32 = 0x00000002 // enrolment flags
	PreviousApproval      uint32 = 0x00000040
	NoSecurityExt         uint32 = 0x00080000
	KeyArchival           uint32 = 0x00000001 // private key flags
	SameKeyRenewal        uint32 = 0x00000080
	AttestationNeeded     uint32 = 0x00002000
	EditEndDate           uint32 = 0x00000020 // policy\EditFlags
	EditAltName           uint32 = 0x00040000
	EditReferrals         uint32 = 0x00080000
	EditRenewOnBehalf     uint32 = 0x04000000
	IfNoRemoteRequest     uint32 = 0x00000002 // InterfaceFlags
	IfNoPassage           uint32 = 0x00000008
	IfNoRemoteAdmin       uint32 = 0x00000010
	IfEncryptRequest      uint32 = 0x00000200
	IfEncryptAdmin        uint32 = 0x00000400
	AgentPolicy                  = "1.3.6.1.4.1.311.20.2.1" // Certificate Request Agent
	ClientAuth                   = "1.3.6.1.5.5.7.3.2"
	securityExtension            = "1.3.6.1.4.1.311.25.2"
	DefaultInterfaceFlags        = 0x641
)

// AgentRestriction allows an enrollment agent a template for some targets. With
// any restriction configured, what none allows is refused.
type AgentRestriction struct {
	Agent    string   // account of the connection's agent certificate: its common name
	Template string   // "" for all
	Targets  []string // accounts; nil for all
}

// DefaultTemplates are four: WebServer takes its subject from the request, User
// from the directory, Manual waits for a manager, and EnrollmentAgent is what
// signs for others. MobileUser is issued on behalf of a user to such an agent.
func DefaultTemplates() []Template {
	return []Template{
		{Name: "WebServer", NameFlags: SuppliesSubject, EKU: []string{ClientAuth, "1.3.6.1.5.5.7.3.1"}},
		{Name: "User", Schema: 1, Major: 3, Minor: 1, NameFlags: SubjectFullDN | AltUPN},
		{Name: "Manual", NameFlags: SuppliesSubject, EnrollFlags: PendAll},
		{Name: "EnrollmentAgent", NameFlags: SuppliesSubject, EKU: []string{AgentPolicy}},
		{Name: "MobileUser", NameFlags: SubjectFullDN | AltUPN, Signatures: 1, RAPolicies: []string{AgentPolicy}},
	}
}

func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}

func (c *Config) complete() {
	orElse(&c.Name, "CORP-CA")
	orElse(&c.Domain, "CORP")
	orElse(&c.DNSDomain, "corp.example")
	orElse(&c.Computer, "CA1")
	orElse(&c.Host, "127.0.0.1")
	orElse(&c.MapperAddress, c.Host+":0")
	orElse(&c.InterfaceFlags, DefaultInterfaceFlags)
	orElse(&c.MaxFrag, dcerpc.DefaultFrag)
	orElse(&c.ObjectLife, 6*time.Minute)
	orElse(&c.CRLPeriod, 7*24*time.Hour)
	if c.Templates == nil {
		c.Templates = DefaultTemplates()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// fqdn is the host's DNS name.
func (c *Config) fqdn() string { return strings.ToLower(c.Computer) + "." + c.DNSDomain }
