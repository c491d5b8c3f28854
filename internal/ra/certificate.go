package ra

import "time"

// RequestState is a step of the life of a request.
type RequestState string

// The states of a request; enroll/state.go draws the moves between them.
const (
	Requested        RequestState = "requested"
	AwaitingApproval RequestState = "awaiting_approval"
	Approved         RequestState = "approved"
	Submitted        RequestState = "submitted"
	PendingAtCA      RequestState = "pending_at_ca"
	Issued           RequestState = "issued"
	DeniedState      RequestState = "denied"
	Failed           RequestState = "failed"
	Cancelled        RequestState = "cancelled"
)

// RequestStates lists every state in the order of a request's life.
var RequestStates = []RequestState{Requested, AwaitingApproval, Approved, Submitted, PendingAtCA, Issued, DeniedState, Failed, Cancelled}

// KeyPlace says where the key of a certificate is made.
type KeyPlace string

// The places a key can come from.
const (
	KeyOnDevice KeyPlace = "device" // the device sends a CSR
	KeyHere     KeyPlace = "server" // made here, handed out once as PKCS#12
	KeyAtCA     KeyPlace = "ca"     // the authority makes it and hands it to us
)

// Request is one wish for one certificate, kept from the moment it was asked.
type Request struct {
	ID             RequestID
	GroupID        GroupID
	AuthorityID    AuthorityID
	TemplateID     TemplateID
	TemplateRev    int // the template's revision the fill was made with
	DeviceID       DeviceID
	UserID         UserID
	Renews         CertificateID // the certificate this one replaces
	Door           string        // "scep", "api", "console", "cli", "renewal"
	EndpointID     EndpointID
	TransactionID  string // the client's, at SCEP
	IdempotencyKey string // unique; the same ask is the same request
	KeyPlace       KeyPlace
	SealedCSR      []byte // the PKCS#10, sealed because it may hold a challenge; empty while the CA makes the key
	SPKIHash       string // SHA-256 of the public key, hex
	Subject        string // RFC 4514, what the certificate will say
	Fill           []byte // JSON of the filled template: what the certificate will say
	State          RequestState
	Handle         string // the authority's name for a request it will answer later
	CertificateID  CertificateID
	Reason         string // why denied, failed or cancelled: message and remedy
	AskedBy        Actor
	SubmittedAt    Instant
	Obligation
	Times
}

// Approval is one decision on a request.
type Approval struct {
	ID        ApprovalID
	RequestID RequestID
	By        Actor
	Approve   bool
	Comment   string
	At        Instant
}

// CertificateState is a step of the life of a certificate.
type CertificateState string

// The states of a certificate.
const (
	Valid      CertificateState = "valid"
	Superseded CertificateState = "superseded" // replaced, in its grace period
	OnHold     CertificateState = "on_hold"
	Revoked    CertificateState = "revoked"
	Expired    CertificateState = "expired"
)

// CertificateStates lists every state.
var CertificateStates = []CertificateState{Valid, Superseded, OnHold, Revoked, Expired}

// Purpose says what a certificate is for, when it is the server's own.
type Purpose string

// The purposes.
const (
	PurposeLeaf   Purpose = ""        // a device's, user's or service's
	PurposeSCEPRA Purpose = "scep_ra" // opens and signs SCEP messages
	PurposeOCSP   Purpose = "ocsp"    // delegated OCSP signer
)

// Certificate is one issued certificate. (IssuerHash, Serial) is its identity.
type Certificate struct {
	ID          CertificateID
	GroupID     GroupID
	AuthorityID AuthorityID
	TemplateID  TemplateID
	DeviceID    DeviceID
	UserID      UserID
	RequestID   RequestID
	Purpose     Purpose
	IssuerHash  string // SHA-256 of the issuer's SubjectPublicKeyInfo, hex
	Serial      string // lower-case hex without leading zeros
	Subject     string // RFC 4514
	SANs        []string
	KeyType     string // "rsa-2048", "p-256", ...
	KeyPlace    KeyPlace
	DER         []byte
	Fingerprint string // SHA-256 of DER, hex
	SPKIHash    string // SHA-256 of the public key, hex
	NotBefore   Instant
	NotAfter    Instant
	State       CertificateState
	Renews      CertificateID // the certificate this one replaced
	RenewedBy   CertificateID // the certificate that replaced this one
	RevokedAt   Instant
	Reason      RevocationReason
	Obligation
	Times
}

// Lifetime is the whole span of validity.
func (c *Certificate) Lifetime() time.Duration { return c.NotAfter.Sub(c.NotBefore) }

// RevocationReason is a CRLReason of RFC 5280 §5.3.1.
type RevocationReason int

// The reasons. Number 7 is not used; RemoveFromCRL lifts a hold.
const (
	Unspecified          RevocationReason = 0
	KeyCompromise        RevocationReason = 1
	CACompromise         RevocationReason = 2
	AffiliationChanged   RevocationReason = 3
	SupersededReason     RevocationReason = 4
	CessationOfOperation RevocationReason = 5
	CertificateHold      RevocationReason = 6
	RemoveFromCRL        RevocationReason = 8
	PrivilegeWithdrawn   RevocationReason = 9
	AACompromise         RevocationReason = 10
)

var reasonNames = map[RevocationReason]string{
	Unspecified: "unspecified", KeyCompromise: "keyCompromise", CACompromise: "cACompromise",
	AffiliationChanged: "affiliationChanged", SupersededReason: "superseded",
	CessationOfOperation: "cessationOfOperation", CertificateHold: "certificateHold",
	RemoveFromCRL: "removeFromCRL", PrivilegeWithdrawn: "privilegeWithdrawn", AACompromise: "aACompromise",
}

// Reasons lists the reasons a person may choose, in the order of the RFC.
var Reasons = []RevocationReason{Unspecified, KeyCompromise, CACompromise, AffiliationChanged, SupersededReason,
	CessationOfOperation, CertificateHold, PrivilegeWithdrawn, AACompromise}

// String is the reason's name in RFC 5280.
func (r RevocationReason) String() string { return reasonNames[r] }

// ParseReason reads a reason's name without regard to case; the empty name is
// Unspecified.
func ParseReason(name string) (RevocationReason, error) {
	if name == "" {
		return Unspecified, nil
	}
	for r, n := range reasonNames {
		if Fold(n) == Fold(name) {
			return r, nil
		}
	}
	return 0, Errorf(Invalid, "%q is not a revocation reason.", name).WithField("reason").
		WithRemedy("Use one of unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise.")
}
