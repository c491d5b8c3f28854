// Package lookup knows the lookup values: the closed list of names such as
// {EnrollmentUser} or {DeviceUid} that templates and profiles may use, where
// each comes from, and how a text with them is filled for one device.
//
// A value that is unknown or empty is an error that names the value, the
// device and the template, never a hole in a certificate. Inserted text is
// never parsed again: what a device reports cannot add an attribute or a
// second lookup.
package lookup

import (
	"fmt"
	"net/url"
	"strings"

	"chancery/internal/ra"
)

// Entity is the noun a value belongs to.
type Entity string

// The entities.
const (
	OfUser   Entity = "user"
	OfDevice Entity = "device"
	OfGroup  Entity = "group"
)

// Value describes one lookup value.
type Value struct {
	Name   string
	Entity Entity
	Help   string
	get    func(Subject) string
}

// Subject is whom a text is filled for. User may be nil, Device too.
type Subject struct {
	User     *ra.User
	Device   *ra.Device
	Group    *ra.Group
	Settings ra.GroupSettings // effective, inherited
	Template string           // name, for messages
	// Fixture answers instead of the nouns: an imagined device of a template's
	// test. Nil outside tests of templates.
	Fixture map[string]string
}

// Values lists the closed part of the lookup values in display order.
var Values = []Value{
	{"EnrollmentUser", OfUser, "User name of the account that enrolled.", func(s Subject) string { return s.User.Name }},
	{"EmailAddress", OfUser, "Mail address.", func(s Subject) string { return s.User.Email }},
	{"EmailUserName", OfUser, "Mail address up to the @.", func(s Subject) string { l, _, _ := strings.Cut(s.User.Email, "@"); return l }},
	{"EmailDomain", OfUser, "Mail address after the @, or the group's mail domain.", emailDomain},
	{"UserPrincipalName", OfUser, "Directory user principal name.", func(s Subject) string { return s.User.UPN }},
	{"FirstName", OfUser, "Given name.", func(s Subject) string { return s.User.FirstName }},
	{"LastName", OfUser, "Family name.", func(s Subject) string { return s.User.LastName }},
	{"DisplayName", OfUser, "Name as the directory shows it.", func(s Subject) string { return s.User.DisplayName }},
	{"MiddleName", OfUser, "Middle name.", userAttribute("middle_name")},
	{"PhoneNumber", OfUser, "Phone number.", userAttribute("phone_number")},
	{"EmployeeIdentifier", OfUser, "Personnel number.", userAttribute("employee_identifier")},
	{"Department", OfUser, "Department.", userAttribute("department")},
	{"UserDistinguishedName", OfUser, "Distinguished name in the directory.", func(s Subject) string { return s.User.DN }},
	{"SecurityIdentifier", OfUser, "objectSid from the directory.", func(s Subject) string { return s.User.SID }},
	{"EnrollmentUserId", OfUser, "The user's ID here.", func(s Subject) string { return string(s.User.ID) }},
	{"CustomAttribute1", OfUser, "First custom attribute.", userAttribute("custom_1")},
	{"CustomAttribute2", OfUser, "Second custom attribute.", userAttribute("custom_2")},
	{"CustomAttribute3", OfUser, "Third custom attribute.", userAttribute("custom_3")},
	{"CustomAttribute4", OfUser, "Fourth custom attribute.", userAttribute("custom_4")},
	{"CustomAttribute5", OfUser, "Fifth custom attribute.", userAttribute("custom_5")},
	{"DeviceUid", OfDevice, "Identifier of the device: UDID, MDM device ID, machine ID.", func(s Subject) string { return s.Device.PlatformID }},
	{"DeviceUidLastFour", OfDevice, "Its last four characters.", func(s Subject) string { return lastFour(s.Device.PlatformID) }},
	{"DeviceSerialNumber", OfDevice, "Serial number.", func(s Subject) string { return s.Device.SerialNumber }},
	{"DeviceSerialNumberLastFour", OfDevice, "Its last four characters.", func(s Subject) string { return lastFour(s.Device.SerialNumber) }},
	{"DeviceFriendlyName", OfDevice, "Name of the device here.", func(s Subject) string { return s.Device.Name }},
	{"DeviceReportedName", OfDevice, "Name the device reports of itself.", deviceAttribute("reported_name")},
	{"DevicePlatform", OfDevice, "Apple iOS, Apple iPadOS, Apple macOS, Windows, Android, Linux.", func(s Subject) string { return platformTitle[s.Device.Platform] }},
	{"DeviceModel", OfDevice, "Model.", func(s Subject) string { return s.Device.Model }},
	{"DeviceOperatingSystem", OfDevice, "Version of the operating system.", func(s Subject) string { return s.Device.OSVersion }},
	{"DeviceOwnership", OfDevice, "C corporate, E employee, S shared.", func(s Subject) string { return s.Device.Ownership }},
	{"DeviceAssetNumber", OfDevice, "Asset number.", deviceAttribute("asset_number")},
	{"DeviceIMEI", OfDevice, "IMEI; platforms may hide it.", deviceAttribute("imei")},
	{"DeviceWLANMac", OfDevice, "Wi-Fi address; platforms may hide or randomise it.", deviceAttribute("wlan_mac")},
	{"DevicePhoneNumber", OfDevice, "Phone number of the device.", deviceAttribute("phone_number")},
	{"GroupIdentifier", OfGroup, "ID of the organization group.", func(s Subject) string { return string(s.Group.ID) }},
	{"OrganizationGroup", OfGroup, "Name of the organization group.", func(s Subject) string { return s.Group.Name }},
	{"Organization", OfGroup, "Organization name from the group's settings.", func(s Subject) string { return s.Settings.Organization }},
	{"Country", OfGroup, "Two-letter country from the group's settings.", func(s Subject) string { return s.Settings.Country }},
	{"Realm", OfGroup, "Kerberos realm or UPN suffix from the group's settings.", func(s Subject) string { return s.Settings.Realm }},
}

// The open part: attributes somebody stored with a user or device.
const (
	userPrefix   = "UserAttribute."
	devicePrefix = "DeviceAttribute."
)

var platformTitle = map[ra.Platform]string{ra.IOS: "Apple iOS", ra.IPadOS: "Apple iPadOS", ra.MacOS: "Apple macOS",
	ra.Windows: "Windows", ra.Android: "Android", ra.Linux: "Linux"}

func userAttribute(key string) func(Subject) string {
	return func(s Subject) string { return s.User.Attributes[key] }
}

func deviceAttribute(key string) func(Subject) string {
	return func(s Subject) string { return s.Device.Attributes[key] }
}

func emailDomain(s Subject) string {
	if _, d, ok := strings.Cut(s.User.Email, "@"); ok {
		return d
	}
	return s.Settings.EmailDomain
}

func lastFour(s string) string {
	r := []rune(s)
	return string(r[max(0, len(r)-4):])
}

// describe finds the value of a name.
func describe(name string) (Value, bool) {
	if key, ok := strings.CutPrefix(name, userPrefix); ok && key != "" {
		return Value{Name: name, Entity: OfUser, get: userAttribute(key)}, true
	}
	if key, ok := strings.CutPrefix(name, devicePrefix); ok && key != "" {
		return Value{Name: name, Entity: OfDevice, get: deviceAttribute(key)}, true
	}
	for _, v := range Values {
		if v.Name == name {
			return v, true
		}
	}
	return Value{}, false
}

// EntityOf gives the noun a lookup value belongs to; false for an unknown one.
func EntityOf(name string) (Entity, bool) {
	v, ok := describe(name)
	return v.Entity, ok
}

// Names lists the lookup values a text uses, in order, and an Invalid error
// for an unknown one or a brace that does not pair.
func Names(text string) ([]string, error) {
	var names []string
	err := scan(text, func(string) {}, func(name string) error {
		names = append(names, name)
		return nil
	})
	return names, err
}

// Escape turns an inserted value into what its place needs.
type Escape func(string) string

// Plain inserts a value as it is; URI percent-encodes it.
func Plain(s string) string { return s }

// URI is the Escape for values inside a URI.
func URI(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// Expand fills the lookup values of text for a subject. used, when not nil,
// collects each name with the value it got. An unknown or empty value is an
// Invalid error that names the value, the device and the template.
func (s Subject) Expand(text string, escape Escape, used map[string]string) (string, error) {
	var b strings.Builder
	err := scan(text, func(literal string) { b.WriteString(literal) }, func(name string) error {
		v, err := s.value(name)
		if err != nil {
			return err
		}
		if used != nil {
			used[name] = v
		}
		b.WriteString(escape(v))
		return nil
	})
	if err != nil {
		return "", s.Named(err)
	}
	return b.String(), nil
}

// EmptyError tells an empty value from other faults: a SAN may be optional.
type EmptyError struct{ Name string }

func (e *EmptyError) Error() string { return "empty lookup value {" + e.Name + "}" }

func (s Subject) value(name string) (string, error) {
	v, ok := describe(name)
	if !ok {
		return "", unknown(name)
	}
	text := ""
	switch {
	case s.Fixture != nil:
		text = s.Fixture[name]
	case v.Entity == OfUser && s.User == nil, v.Entity == OfDevice && s.Device == nil, v.Entity == OfGroup && s.Group == nil:
	default:
		text = v.get(s)
	}
	if strings.TrimSpace(text) != "" {
		return text, nil
	}
	e := ra.Errorf(ra.Invalid, "The lookup value {%s} is empty", name).WithCause(&EmptyError{name})
	switch {
	case s.Fixture != nil:
		e.Remedy = fmt.Sprintf("Give the fixture a value for %s.", name)
	case v.Entity == OfUser && s.User == nil:
		e.Remedy = "Assign a user to the device, or take the user value out of the template."
	case v.Entity == OfDevice && s.Device == nil:
		e.Remedy = "Choose a device, or take the device value out of the template."
	default:
		e.Remedy = fmt.Sprintf("Fill it in at the %s, or take it out of the template.", v.Entity)
	}
	return "", e
}

// Named completes an error with whom and what it is about: the device or user,
// and the template.
func (s Subject) Named(err error) error {
	e := ra.AsError(err)
	c := *e
	c.Message = strings.TrimSuffix(c.Message, ".")
	if s.Device != nil {
		c.Message += fmt.Sprintf(" for device %q", s.Device.Name)
	} else if s.User != nil {
		c.Message += fmt.Sprintf(" for user %q", s.User.Name)
	}
	if s.Template != "" {
		c.Message += fmt.Sprintf(" in template %q", s.Template)
	}
	c.Message += "."
	return &c
}

func unknown(name string) error {
	remedy := "Use a name from the list of lookup values; names are case sensitive."
	for _, v := range Values {
		if ra.Fold(v.Name) == ra.Fold(name) {
			remedy = fmt.Sprintf("Write {%s}; names are case sensitive.", v.Name)
		}
	}
	return ra.Errorf(ra.Invalid, "{%.64s} is not a lookup value", name).WithRemedy("%s", remedy)
}

// maxText bounds a text with lookup values.
const maxText = 4096

// scan walks a text and gives its literal parts and lookup names in order.
func scan(text string, literal func(string), name func(string) error) error {
	if len(text) > maxText {
		return ra.Errorf(ra.Invalid, "The text is longer than %d characters", maxText).WithRemedy("Shorten it.")
	}
	for text != "" {
		open := strings.IndexAny(text, "{}")
		if open < 0 {
			literal(text)
			return nil
		}
		end := strings.IndexByte(text[open:], '}')
		if text[open] == '}' || end < 0 {
			return ra.Errorf(ra.Invalid, "A brace has no partner").WithRemedy("Write lookup values as {Name}.")
		}
		literal(text[:open])
		n := text[open+1 : open+end]
		if _, ok := describe(n); !ok {
			return unknown(n)
		}
		if err := name(n); err != nil {
			return err
		}
		text = text[open+end+1:]
	}
	return nil
}
