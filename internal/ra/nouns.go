package ra

import "time"

// Instant is a point in time as rows keep it; the zero Instant is "not set".
type Instant = time.Time

// Times is when a row was made and last changed.
type Times struct {
	CreatedAt Instant
	UpdatedAt Instant
}

// Group is an organization group: a node of the tree that scopes access and
// lends its settings to everything below it.
type Group struct {
	ID       GroupID
	ParentID GroupID // empty for an organization (the root of a tree)
	Name     string
	Path     string // "/og_a/og_b/": the IDs from the root, for scope checks
	Settings GroupSettings
	Times
}

// GroupSettings are inherited: an empty value means "as in the parent".
type GroupSettings struct {
	Organization string `json:"organization,omitempty"` // {Organization}
	Country      string `json:"country,omitempty"`      // {Country}
	Realm        string `json:"realm,omitempty"`        // {Realm}: Kerberos or UPN suffix
	EmailDomain  string `json:"email_domain,omitempty"` // {EmailDomain} where the user has none
	Contact      string `json:"contact,omitempty"`      // who hears when something needs people
}

// Inherit fills what s leaves empty from its parent.
func (s GroupSettings) Inherit(parent GroupSettings) GroupSettings {
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	return GroupSettings{
		Organization: first(s.Organization, parent.Organization),
		Country:      first(s.Country, parent.Country),
		Realm:        first(s.Realm, parent.Realm),
		EmailDomain:  first(s.EmailDomain, parent.EmailDomain),
		Contact:      first(s.Contact, parent.Contact),
	}
}

// User is a person whose devices get certificates.
type User struct {
	ID          UserID
	GroupID     GroupID
	Name        string // enrolment user name; sAMAccountName for directory users
	Email       string
	UPN         string
	SID         string // objectSid from the directory, never from a request
	FirstName   string
	LastName    string
	DisplayName string
	DN          string // distinguished name in the directory
	Attributes  map[string]string
	Disabled    bool
	Directory   DirectoryID // where the user comes from; empty: entered here
	ObjectGUID  string      // what the user is known by there, 32 hexadecimal digits
	Absence     Absence     // why the directory has the user disabled here
	Times
}

// Platform is the operating system family of a device.
type Platform string

// The platforms.
const (
	IOS     Platform = "ios"
	IPadOS  Platform = "ipados"
	MacOS   Platform = "macos"
	Windows Platform = "windows"
	Android Platform = "android"
	Linux   Platform = "linux"
)

// Platforms lists every platform in display order.
var Platforms = []Platform{IOS, IPadOS, MacOS, Windows, Android, Linux}

// DeviceState says whether a device may ask for anything.
type DeviceState string

// The states of a device.
const (
	DeviceEnrolled   DeviceState = "enrolled"
	DeviceUnenrolled DeviceState = "unenrolled"
	DeviceBlocked    DeviceState = "blocked"
)

// Device is a thing that holds certificates. It is identified by organization
// and platform ID, never by a name it reports.
type Device struct {
	ID             DeviceID
	GroupID        GroupID
	OrganizationID GroupID // the root of GroupID's tree
	UserID         UserID  // empty when nobody is assigned
	Platform       Platform
	PlatformID     string // UDID, MDM device ID, machine ID: {DeviceUid}
	Name           string // {DeviceFriendlyName}
	SerialNumber   string
	Model          string
	OSVersion      string
	Ownership      string // C corporate, E employee, S shared
	Attributes     map[string]string
	State          DeviceState
	Times
}

// Authority is a certificate authority somebody defined. Settings is the JSON
// of its kind's settings without secrets; those are sealed apart.
type Authority struct {
	ID            AuthorityID
	GroupID       GroupID
	Name          string
	Description   string
	Kind          string // a ca.Kind's ID
	Settings      []byte
	RatePerSecond float64 // 0: no limit
	MaxInFlight   int     // 0: the default
	Disabled      bool
	Times
}

// Endpoint is a SCEP address devices talk to: /scep/{Name}.
type Endpoint struct {
	ID         EndpointID
	GroupID    GroupID
	TemplateID TemplateID
	Name       string // the path segment
	Settings   []byte // JSON of the door's own settings form
	Disabled   bool
	Times
}

// Challenge is a one-time SCEP challenge for one device and one template. Only
// a hash is stored.
type Challenge struct {
	ID         ChallengeID
	Hash       string
	EndpointID EndpointID
	TemplateID TemplateID
	DeviceID   DeviceID
	MaxUses    int
	Uses       int
	ExpiresAt  Instant
	RequestID  RequestID // the request that consumed it last
	CreatedBy  string
	Times
}
