package resource

import (
	"maps"

	"chancery/internal/ra"
)

// Group is an organization group. An empty setting is taken from the group
// above.
type Group struct {
	ID           string `json:"id"`
	ParentID     string `json:"parent_id,omitempty" doc:"Absent for an organization, the root of a tree."`
	Name         string `json:"name"`
	Path         string `json:"path" doc:"The IDs from the root down to this group."`
	Organization string `json:"organization,omitempty"`
	Country      string `json:"country,omitempty"`
	Realm        string `json:"realm,omitempty"`
	EmailDomain  string `json:"email_domain,omitempty"`
	Contact      string `json:"contact,omitempty"`
	Times
}

// OfGroup gives a group in wire form.
func OfGroup(g *ra.Group) Group {
	return Group{ID: string(g.ID), ParentID: string(g.ParentID), Name: g.Name, Path: g.Path, Organization: g.Settings.Organization, Country: g.Settings.Country,
		Realm: g.Settings.Realm, EmailDomain: g.Settings.EmailDomain, Contact: g.Settings.Contact, Times: timesOf(g.Times)}
}

// GroupInput is what somebody says about a group.
type GroupInput struct {
	ParentID     *string `json:"parent_id,omitempty" doc:"Left out or empty when the group is made: an organization."`
	Name         *string `json:"name,omitempty"`
	Organization *string `json:"organization,omitempty" doc:"{Organization}"`
	Country      *string `json:"country,omitempty" doc:"{Country}, two letters."`
	Realm        *string `json:"realm,omitempty" doc:"{Realm}: Kerberos realm or UPN suffix."`
	EmailDomain  *string `json:"email_domain,omitempty" doc:"{EmailDomain} where a user has none."`
	Contact      *string `json:"contact,omitempty" doc:"Who hears when something needs people."`
}

// GroupQuery narrows a list of groups.
type GroupQuery struct {
	Under string `query:"under" doc:"This group and everything below it."`
	Text  string `query:"text" doc:"Part of the name."`
	PageQuery
}

// User is a person whose devices get certificates.
type User struct {
	ID          string            `json:"id"`
	GroupID     string            `json:"group_id"`
	Name        string            `json:"name"`
	Email       string            `json:"email,omitempty"`
	UPN         string            `json:"upn,omitempty"`
	SID         string            `json:"sid,omitempty"`
	FirstName   string            `json:"first_name,omitempty"`
	LastName    string            `json:"last_name,omitempty"`
	DisplayName string            `json:"display_name,omitempty"`
	DN          string            `json:"dn,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Disabled    bool              `json:"disabled,omitempty"`
	DirectoryID string            `json:"directory_id,omitempty" doc:"Where the user comes from; absent: entered here."`
	Absence     string            `json:"absence,omitempty" enum:"disabled,gone" doc:"Why the directory has the user disabled here."`
	Times
}

// OfUser gives a user in wire form.
func OfUser(u *ra.User) User {
	return User{ID: string(u.ID), GroupID: string(u.GroupID), Name: u.Name, Email: u.Email, UPN: u.UPN, SID: u.SID, FirstName: u.FirstName,
		LastName: u.LastName, DisplayName: u.DisplayName, DN: u.DN, Attributes: maps.Clone(u.Attributes), Disabled: u.Disabled,
		DirectoryID: string(u.Directory), Absence: string(u.Absence), Times: timesOf(u.Times)}
}

// UserInput is what somebody says about a user.
type UserInput struct {
	GroupID     *string           `json:"group_id,omitempty" doc:"Required when the user is made."`
	Name        *string           `json:"name,omitempty" doc:"Sign-in name on the devices; required when the user is made."`
	Email       *string           `json:"email,omitempty"`
	UPN         *string           `json:"upn,omitempty"`
	SID         *string           `json:"sid,omitempty" doc:"objectSid of the directory."`
	FirstName   *string           `json:"first_name,omitempty"`
	LastName    *string           `json:"last_name,omitempty"`
	DisplayName *string           `json:"display_name,omitempty"`
	DN          *string           `json:"dn,omitempty" doc:"Distinguished name in the directory."`
	Attributes  map[string]string `json:"attributes,omitempty" doc:"Replaces all of them."`
	Disabled    *bool             `json:"disabled,omitempty"`
}

// UserQuery narrows a list of users.
type UserQuery struct {
	Group string `query:"group_id" doc:"This group and everything below it."`
	Text  string `query:"text" doc:"Part of a name, the mail address or the UPN."`
	PageQuery
}

// Device is a thing that holds certificates.
type Device struct {
	ID             string            `json:"id"`
	GroupID        string            `json:"group_id"`
	OrganizationID string            `json:"organization_id"`
	UserID         string            `json:"user_id,omitempty" doc:"Absent when nobody is assigned."`
	Platform       string            `json:"platform"`
	PlatformID     string            `json:"platform_id"`
	Name           string            `json:"name"`
	SerialNumber   string            `json:"serial_number,omitempty"`
	Model          string            `json:"model,omitempty"`
	OSVersion      string            `json:"os_version,omitempty"`
	Ownership      string            `json:"ownership,omitempty"`
	Attributes     map[string]string `json:"attributes,omitempty"`
	State          string            `json:"state" doc:"enrolled, unenrolled or blocked."`
	Times
}

// OfDevice gives a device in wire form.
func OfDevice(d *ra.Device) Device {
	return Device{ID: string(d.ID), GroupID: string(d.GroupID), OrganizationID: string(d.OrganizationID), UserID: string(d.UserID), Platform: string(d.Platform),
		PlatformID: d.PlatformID, Name: d.Name, SerialNumber: d.SerialNumber, Model: d.Model, OSVersion: d.OSVersion, Ownership: d.Ownership,
		Attributes: maps.Clone(d.Attributes), State: string(d.State), Times: timesOf(d.Times)}
}

// DeviceInput is what somebody says about a device. Its platform ID and
// organization are given once.
type DeviceInput struct {
	GroupID      *string           `json:"group_id,omitempty" doc:"Required when the device is made."`
	UserID       *string           `json:"user_id,omitempty" doc:"Empty: nobody's."`
	Platform     *string           `json:"platform,omitempty" enum:"ios,ipados,macos,windows,android,linux"`
	PlatformID   *string           `json:"platform_id,omitempty" doc:"UDID, MDM device ID or machine ID."`
	Name         *string           `json:"name,omitempty" doc:"Empty: the platform ID."`
	SerialNumber *string           `json:"serial_number,omitempty"`
	Model        *string           `json:"model,omitempty"`
	OSVersion    *string           `json:"os_version,omitempty"`
	Ownership    *string           `json:"ownership,omitempty" doc:"C corporate, E employee, S shared."`
	Attributes   map[string]string `json:"attributes,omitempty" doc:"Replaces all of them."`
}

// DeviceQuery narrows a list of devices.
type DeviceQuery struct {
	Group    string `query:"group_id" doc:"This group and everything below it."`
	Platform string `query:"platform" enum:"ios,ipados,macos,windows,android,linux"`
	State    string `query:"state" enum:"enrolled,unenrolled,blocked"`
	User     string `query:"user_id"`
	Text     string `query:"text" doc:"Part of the name, serial number or platform ID."`
	PageQuery
}
