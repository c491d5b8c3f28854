package adpki

import "fmt"

// GeneralFlags is the attribute flags of a template (MS-CRTD §2.4).
type GeneralFlags uint32

// The general flags.
const (
	MachineType   GeneralFlags = 0x40
	AuthorityType GeneralFlags = 0x80
	CrossCA       GeneralFlags = 0x800
	NotPersisted  GeneralFlags = 0x1000
	DefaultFlag   GeneralFlags = 0x10000
	ModifiedFlag  GeneralFlags = 0x20000
)

// NameFlags is msPKI-Certificate-Name-Flag: where subject and alternative names
// come from (MS-CRTD §2.28).
type NameFlags uint32

// The name flags.
const (
	SupplySubject    NameFlags = 0x1
	OldSubject       NameFlags = 0x8
	SupplyAltName    NameFlags = 0x10000 // ignored by the authority
	AltDomainDNS     NameFlags = 0x400000
	AltSPN           NameFlags = 0x800000
	AltGUID          NameFlags = 0x1000000
	AltUPN           NameFlags = 0x2000000
	AltEmail         NameFlags = 0x4000000
	AltDNS           NameFlags = 0x8000000
	SubjectDNS       NameFlags = 0x10000000
	SubjectEmail     NameFlags = 0x20000000
	SubjectName      NameFlags = 0x40000000
	SubjectDirectory NameFlags = 0x80000000
)

// EnrollFlags is msPKI-Enrollment-Flag (MS-CRTD §2.26).
type EnrollFlags uint32

// The enrollment flags.
const (
	SMIMECapabilities   EnrollFlags = 0x1
	Approval            EnrollFlags = 0x2 // every request waits for a manager
	PublishToKRA        EnrollFlags = 0x4
	PublishToDirectory  EnrollFlags = 0x8
	CheckDirectory      EnrollFlags = 0x10
	AutoEnrollment      EnrollFlags = 0x20
	ApprovalOnce        EnrollFlags = 0x40 // an earlier approval is good for a renewal
	UserInteraction     EnrollFlags = 0x100
	RemoveInvalid       EnrollFlags = 0x400
	AllowOnBehalf       EnrollFlags = 0x800
	OCSPNoCheck         EnrollFlags = 0x1000
	KeyReuse            EnrollFlags = 0x2000
	NoRevocationInfo    EnrollFlags = 0x4000
	BasicConstraints    EnrollFlags = 0x8000
	KeyBasedRenewal     EnrollFlags = 0x10000
	PoliciesFromRequest EnrollFlags = 0x20000
	SkipAutoRenewal     EnrollFlags = 0x40000
	NoSecurityExtension EnrollFlags = 0x80000
)

// KeyFlags is msPKI-Private-Key-Flag without the compatibility versions in its
// high bytes (MS-CRTD §2.27).
type KeyFlags uint32

// The key flags.
const (
	Archival              KeyFlags = 0x1
	Exportable            KeyFlags = 0x10
	StrongProtection      KeyFlags = 0x20
	AlternateSignature    KeyFlags = 0x40
	SameKeyRenewal        KeyFlags = 0x80
	LegacyProvider        KeyFlags = 0x100
	TrustOnUse            KeyFlags = 0x200
	ValidateCertificate   KeyFlags = 0x400
	ValidateKey           KeyFlags = 0x800
	AttestationPreferred  KeyFlags = 0x1000
	AttestationRequired   KeyFlags = 0x2000
	AttestationSansPolicy KeyFlags = 0x4000
	HelloLogonKey         KeyFlags = 0x200000

	allKeyFlags KeyFlags = 0x20FFFF // above them are versions for compatibility
)

type flagWord[F ~uint32] struct {
	flag F
	word string
}

var generalWords = []flagWord[GeneralFlags]{
	{MachineType, "for computers"}, {AuthorityType, "for certification authorities"}, {CrossCA, "for cross certificates"},
	{NotPersisted, "not kept in the database"}, {DefaultFlag, "delivered with Windows"}, {ModifiedFlag, "modified"},
}

var nameWords = []flagWord[NameFlags]{
	{SupplySubject, "subject supplied in the request"}, {OldSubject, "subject of the old certificate at renewal"},
	{SupplyAltName, "alternative name supplied in the request"}, {AltDomainDNS, "domain name as alternative name"},
	{AltSPN, "service principal name as alternative name"}, {AltGUID, "directory GUID as alternative name"},
	{AltUPN, "user principal name as alternative name"}, {AltEmail, "e-mail address as alternative name"}, {AltDNS, "DNS name as alternative name"},
	{SubjectDNS, "DNS name as common name"}, {SubjectEmail, "e-mail address in the subject"}, {SubjectName, "common name as subject"},
	{SubjectDirectory, "distinguished name as subject"},
}

var enrollWords = []flagWord[EnrollFlags]{
	{SMIMECapabilities, "S/MIME capabilities included"}, {Approval, "a manager approves"}, {PublishToKRA, "published to the recovery agents"},
	{PublishToDirectory, "published in the directory"}, {CheckDirectory, "not renewed while the directory has one"}, {AutoEnrollment, "autoenrollment"},
	{ApprovalOnce, "an earlier approval counts for renewal"}, {UserInteraction, "the user is asked"}, {RemoveInvalid, "invalid ones are removed from the store"},
	{AllowOnBehalf, "on behalf of others"}, {OCSPNoCheck, "no check of the responder"}, {KeyReuse, "key reuse when a token is full"},
	{NoRevocationInfo, "no revocation information"}, {BasicConstraints, "basic constraints in end entities"}, {KeyBasedRenewal, "key-based renewal"},
	{PoliciesFromRequest, "issuance policies from the request"}, {SkipAutoRenewal, "no automatic renewal"}, {NoSecurityExtension, "no SID extension"},
}

var keyWords = []flagWord[KeyFlags]{
	{Archival, "key archival"}, {Exportable, "exportable key"}, {StrongProtection, "strong key protection"}, {AlternateSignature, "alternate signature format"},
	{SameKeyRenewal, "renewal with the same key"}, {LegacyProvider, "legacy provider"}, {TrustOnUse, "attestation trusts the user's word"},
	{ValidateCertificate, "attestation by certificate"}, {ValidateKey, "attestation by key"}, {AttestationPreferred, "key attestation if possible"},
	{AttestationRequired, "key attestation required"}, {AttestationSansPolicy, "attestation without policy"}, {HelloLogonKey, "Windows Hello logon key"},
}

// Has reports whether all the given flags are set; likewise below.
func (f GeneralFlags) Has(flag GeneralFlags) bool { return f&flag == flag }
func (f NameFlags) Has(flag NameFlags) bool       { return f&flag == flag }
func (f EnrollFlags) Has(flag EnrollFlags) bool   { return f&flag == flag }
func (f KeyFlags) Has(flag KeyFlags) bool         { return f&flag == flag }

// Words names the flags that are set, unknown ones by their number; likewise
// below.
func (f GeneralFlags) Words() []string { return words(f, generalWords) }
func (f NameFlags) Words() []string    { return words(f, nameWords) }
func (f EnrollFlags) Words() []string  { return words(f, enrollWords) }
func (f KeyFlags) Words() []string     { return words(f, keyWords) }

func words[F ~uint32](f F, table []flagWord[F]) []string {
	var list []string
	for _, w := range table {
		if f&w.flag != 0 {
			list = append(list, w.word)
			f &^= w.flag
		}
	}
	for bit := F(1); bit != 0; bit <<= 1 {
		if f&bit != 0 {
			list = append(list, fmt.Sprintf("0x%X", uint32(bit)))
		}
	}
	return list
}
