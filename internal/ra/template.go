package ra

import "time"

// Template says what certificates of one sort look like, who issues them and
// how they live. Texts may hold lookup values such as {EnrollmentUser}.
type Template struct {
	ID          TemplateID
	GroupID     GroupID
	AuthorityID AuthorityID
	Name        string
	Description string
	Spec        TemplateSpec
	Revision    int // grows with every change of Spec
	Disabled    bool
	Times
}

// TemplateSpec is the part of a template that decides what is issued. It is
// stored and exchanged as JSON.
type TemplateSpec struct {
	IssuingTemplate string            `json:"issuing_template,omitempty"` // the authority's own template or profile
	Options         map[string]any    `json:"options,omitempty"`          // the authority kind's per-template settings
	Subject         string            `json:"subject"`                    // RFC 4514 with lookup values
	SANs            []SANSpec         `json:"sans,omitempty"`
	SID             bool              `json:"sid,omitempty"`        // AD security identifier extension from the directory
	SIDInURI        bool              `json:"sid_in_uri,omitempty"` // and the SAN URI form
	KeyType         string            `json:"key_type"`             // minimum and, for keys made here, exact
	KeyTypes        []string          `json:"key_types,omitempty"`  // further types a device may bring
	KeyPlace        KeyPlace          `json:"key_place"`
	ForceOnDevice   bool              `json:"force_on_device,omitempty"`
	Usage           string            `json:"usage"` // "signing", "encryption", "both"
	EKUs            []string          `json:"ekus,omitempty"`
	Validity        Days              `json:"validity_days,omitempty"` // 0: the authority decides
	AutoRenew       bool              `json:"auto_renew"`
	RenewBefore     Days              `json:"renew_before_days,omitempty"`
	RenewalMarker   string            `json:"renewal_marker,omitempty"`  // "", "cn", "ou": sceprenew marker in the subject
	ReuseKey        bool              `json:"reuse_key,omitempty"`       // a renewal may keep the key
	RevokeOn        []string          `json:"revoke_on,omitempty"`       // "unenrolment", "deletion", "profile_removal"
	RevokeReplaced  bool              `json:"revoke_replaced,omitempty"` // revoke the old certificate after the grace period
	Grace           Hours             `json:"grace_hours,omitempty"`
	MissingGrace    Hours             `json:"missing_grace_hours,omitempty"`
	Publish         PublishSpec       `json:"publish,omitzero"`
	Approvals       int               `json:"approvals,omitempty"` // how many people must approve
	ApprovalExpiry  Hours             `json:"approval_expiry_hours,omitempty"`
	CSRPolicy       string            `json:"csr_policy,omitempty"` // "match" (default) or "overwrite"
	Fields          map[string]string `json:"fields,omitempty"`     // mandatory fields of the authority's profile
	Tests           []TemplateTest    `json:"tests,omitempty"`
}

// SANSpec is one subject alternative name: its type and a text with lookup
// values.
type SANSpec struct {
	Type     string `json:"type"` // "email", "upn", "dns", "uri", "ip", "dirname"
	Value    string `json:"value"`
	Optional bool   `json:"optional,omitempty"` // left out, not refused, when its lookup value is empty
}

// PublishSpec says where an issued certificate or a key made here also goes.
type PublishSpec struct {
	Certificate bool         `json:"certificate,omitempty"`  // to the user's userCertificate attribute
	Key         string       `json:"key,omitempty"`          // "", or one of KeyToDirectory and KeyToService
	KeyService  KeyServiceID `json:"key_service,omitempty"`  // the one that gets the key
	KeepFormer  bool         `json:"keep_former,omitempty"`  // a renewal leaves the former keys in the directory
	WithdrawKey bool         `json:"withdraw_key,omitempty"` // revocation takes the key out of the directory, too
}

// Where a key made here also goes.
const (
	KeyToDirectory = "directory" // as a PKCS#12 in the user's entry
	KeyToService   = "service"   // encrypted, to a key service
)

// TemplateTest is a fixture with its expected result, run whenever the
// template is saved.
type TemplateTest struct {
	Name   string            `json:"name"`
	Values map[string]string `json:"values"` // lookup values of an imagined device
	Want   TemplateWant      `json:"want"`
}

// TemplateWant is what a fixture must give: the subject and SANs, or an error
// that contains a text.
type TemplateWant struct {
	Subject string   `json:"subject,omitempty"`
	SANs    []string `json:"sans,omitempty"` // "dns:host.example"
	Error   string   `json:"error,omitempty"`
}

// Days and Hours are spans that people type in those units.
type (
	Days  int
	Hours int
)

// Duration of the span.
func (d Days) Duration() time.Duration { return time.Duration(d) * 24 * time.Hour }

// Duration of the span.
func (h Hours) Duration() time.Duration { return time.Duration(h) * time.Hour }
