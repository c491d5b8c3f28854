package app

import (
	"context"
	"fmt"

	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// demo is the demonstration organization of the quick start. Making it twice
// changes nothing: everything is looked up by name first.
type demo struct {
	app   *App
	actor ra.Actor

	groups    map[string]ra.GroupID
	users     map[string]ra.UserID
	devices   map[string]*ra.Device
	templates map[string]ra.TemplateID
	endpoint  *ra.Endpoint
	made      int
}

// The people of the demonstration. The domain is one of RFC 2606.
var demoUsers = []struct{ name, first, last, group, sid string }{
	{"ada", "Ada", "Lind", "Berlin", "1104"},
	{"bela", "Béla", "Novák", "Berlin", "1105"},
	{"chen", "Chen", "Wei", "Vienna", "1106"},
}

var demoDevices = []struct {
	name, platformID, serial, model, os, user, group string
	platform                                         ra.Platform
}{
	{"ada-iphone", "00008120-000A1D2E3F4A5B6C", "F2LX90AB1", "iPhone 16", "19.1", "ada", "Berlin", ra.IOS},
	{"ada-macbook", "4C4C4544-0043-3510-8054-B4C04F564433", "C02ZK0ABLV", "MacBook Air", "26.1", "ada", "Berlin", ra.MacOS},
	{"bela-ipad", "00008103-001E2D3C4B5A6978", "DMPX11CD2", "iPad Pro", "19.1", "bela", "Berlin", ra.IPadOS},
	{"bela-laptop", "7E1B6C1A-52D1-4B0E-9D2C-0A5C3F1E2D4B", "5CG1234ABC", "EliteBook 840", "10.0.26100", "bela", "Berlin", ra.Windows},
	{"chen-pixel", "3a7bd3e2360a3d29eea436fcfb7e44c7", "28091FDH3", "Pixel 9", "16", "chen", "Vienna", ra.Android},
	{"build-server", "9f2c1c9a5e6b4d0f8a7b6c5d4e3f2a1b", "VM-0042", "KVM guest", "Debian 12", "chen", "Vienna", ra.Linux},
}

const demoEndpoint = "devices"

// The names of the demonstration's templates.
const (
	demoDeviceTemplate = "Device authentication"
	demoVPNTemplate    = "User VPN"
	demoMailTemplate   = "Mail encryption"
)

func (d *demo) templatesOf(authority ra.AuthorityID) []enroll.TemplateInput {
	in := func(name, about string, spec ra.TemplateSpec) enroll.TemplateInput {
		return enroll.TemplateInput{Name: &name, Description: &about, AuthorityID: &authority, Spec: &spec}
	}
	return []enroll.TemplateInput{
		in(demoDeviceTemplate, "Wi-Fi and network access; the device makes its own key and enrols over SCEP.", ra.TemplateSpec{
			Subject: "CN={DeviceUid},OU={OrganizationGroup},O={Organization},C={Country}",
			SANs: []ra.SANSpec{{Type: "uri", Value: "urn:device:{DeviceSerialNumber}"},
				{Type: "upn", Value: "{UserPrincipalName}", Optional: true}},
			KeyType: "rsa-2048", KeyTypes: []string{"p-256"}, KeyPlace: ra.KeyOnDevice, Usage: "both", EKUs: []string{"clientAuth"}, Validity: 365, AutoRenew: true, RenewBefore: 30,
			RevokeOn: []string{"unenrolment", "deletion"},
			Tests: []ra.TemplateTest{
				{Name: "a phone with a user", Values: map[string]string{"DeviceUid": "U1", "OrganizationGroup": "G", "Organization": "Example, Inc.", "Country": "DE", "DeviceSerialNumber": "S1", "UserPrincipalName": "a@example.org"},
					Want: ra.TemplateWant{Subject: `CN=U1,OU=G,O=Example\, Inc.,C=DE`, SANs: []string{"uri:urn:device:S1", "upn:a@example.org"}}},
				{Name: "a device without serial number", Values: map[string]string{"DeviceUid": "U1", "OrganizationGroup": "G", "Organization": "O", "Country": "DE"},
					Want: ra.TemplateWant{Error: "{DeviceSerialNumber} is empty"}},
			}}),
		in(demoVPNTemplate, "Sign-in to the VPN; the key is made here and handed out once.", ra.TemplateSpec{
			Subject: "CN={EnrollmentUser},O={Organization},C={Country}",
			SANs:    []ra.SANSpec{{Type: "email", Value: "{EmailAddress}"}, {Type: "upn", Value: "{UserPrincipalName}"}},
			SID:     true, KeyType: "p-256", KeyPlace: ra.KeyHere, Usage: "signing", EKUs: []string{"clientAuth", "smartcardLogon"}, Validity: 365, AutoRenew: true, RenewBefore: 30, RevokeReplaced: true, Grace: 72}),
		in(demoMailTemplate, "S/MIME encryption; somebody has to approve each certificate.", ra.TemplateSpec{
			Subject: "CN={DisplayName},O={Organization},C={Country}", SANs: []ra.SANSpec{{Type: "email", Value: "{EmailAddress}"}},
			KeyType: "rsa-3072", KeyPlace: ra.KeyHere, Usage: "encryption", EKUs: []string{"emailProtection"}, Validity: 730, Approvals: 1}),
	}
}

// demoStep makes one sort of thing; line is the command line that makes one.
type demoStep struct {
	what, line string
	make       func(context.Context) error
}

// steps is how the demonstration is built, in order.
func (d *demo) steps(organization *ra.Group, authority ra.AuthorityID) []demoStep {
	d.groups, d.users, d.devices, d.templates = map[string]ra.GroupID{}, map[string]ra.UserID{}, map[string]*ra.Device{}, map[string]ra.TemplateID{}
	root := organization.ID
	user, device := demoUsers[0], demoDevices[0]
	return []demoStep{
		{fmt.Sprintf("organization %q with 2 groups", organization.Name), fmt.Sprintf("group create Berlin --parent %q", organization.Name),
			func(ctx context.Context) error { return d.makeGroups(ctx, organization) }},
		{fmt.Sprintf("%d users with mail address, UPN and SID", len(demoUsers)), fmt.Sprintf("user create %s --group Berlin --email %s@example.org", user.name, user.name),
			func(ctx context.Context) error { return d.makeUsers(ctx) }},
		{fmt.Sprintf("%d devices, one of each platform", len(demoDevices)), fmt.Sprintf("device create %s --platform %s --group Berlin --user %s --name %s", device.platformID, device.platform, device.user, device.name),
			func(ctx context.Context) error { return d.makeDevices(ctx, root) }},
		{fmt.Sprintf("%d templates", len(d.templatesOf(authority))), "template create -f template.yaml",
			func(ctx context.Context) error { return d.makeTemplates(ctx, root, authority) }},
		{"SCEP endpoint " + demoEndpoint, fmt.Sprintf("endpoint create %s --template %q", demoEndpoint, demoDeviceTemplate),
			func(ctx context.Context) error { return d.makeEndpoint(ctx, root) }},
	}
}

func (d *demo) makeGroups(ctx context.Context, organization *ra.Group) error {
	root := organization.ID
	if organization.Settings.Organization == "" {
		name, country, realm, domain := "Example Works", "DE", "CORP.EXAMPLE.ORG", "example.org"
		if _, err := d.app.Inventory.UpdateGroup(ctx, d.actor, root, inventory.GroupInput{Organization: &name, Country: &country, Realm: &realm, EmailDomain: &domain}); err != nil {
			return err
		}
	}
	for _, name := range []string{"Berlin", "Vienna"} {
		var found *ra.Group
		err := d.app.DB.Read(ctx, func(tx *store.Tx) (err error) {
			found, err = tx.GroupByName(root, name)
			return err
		})
		if ra.KindOf(err) == ra.NotFound {
			found, err = d.app.Inventory.CreateGroup(ctx, d.actor, inventory.GroupInput{ParentID: &root, Name: &name})
			d.made++
		}
		if err != nil {
			return err
		}
		d.groups[name] = found.ID
	}
	return nil
}

func (d *demo) makeUsers(ctx context.Context) error {
	for _, u := range demoUsers {
		group := d.groups[u.group]
		var found *ra.User
		err := d.app.DB.Read(ctx, func(tx *store.Tx) (err error) {
			found, err = tx.UserByName(group, u.name)
			return err
		})
		if ra.KindOf(err) == ra.NotFound {
			email, upn, sid, full := u.name+"@example.org", u.name+"@corp.example.org", "S-1-5-21-1004336348-1177238915-682003330-"+u.sid, u.first+" "+u.last
			found, err = d.app.Inventory.CreateUser(ctx, d.actor, inventory.UserInput{GroupID: &group, Name: &u.name, Email: &email, UPN: &upn, SID: &sid,
				FirstName: &u.first, LastName: &u.last, DisplayName: &full})
			d.made++
		}
		if err != nil {
			return err
		}
		d.users[u.name] = found.ID
	}
	return nil
}

func (d *demo) makeDevices(ctx context.Context, root ra.GroupID) error {
	for _, v := range demoDevices {
		var found *ra.Device
		err := d.app.DB.Read(ctx, func(tx *store.Tx) (err error) {
			found, err = tx.DeviceByPlatformID(root, v.platformID)
			return err
		})
		if ra.KindOf(err) == ra.NotFound {
			group, user, owner := d.groups[v.group], d.users[v.user], "C"
			found, err = d.app.Inventory.CreateDevice(ctx, d.actor, inventory.DeviceInput{GroupID: &group, UserID: &user, Platform: &v.platform, PlatformID: &v.platformID,
				Name: &v.name, SerialNumber: &v.serial, Model: &v.model, OSVersion: &v.os, Ownership: &owner})
			d.made++
		}
		if err != nil {
			return err
		}
		d.devices[v.name] = found
	}
	return nil
}

func (d *demo) makeTemplates(ctx context.Context, root ra.GroupID, authority ra.AuthorityID) error {
	existing, _, err := d.app.Enroll.FindTemplates(ctx, d.actor, store.TemplateFilter{Page: store.Page{Limit: store.MaxPage}})
	if err != nil {
		return err
	}
	for _, t := range existing {
		d.templates[t.Name] = t.ID
	}
	for _, in := range d.templatesOf(authority) {
		if d.templates[*in.Name] != "" {
			continue
		}
		in.GroupID = &root
		t, err := d.app.Enroll.CreateTemplate(ctx, d.actor, in)
		if err != nil {
			return fmt.Errorf("template %s: %w", *in.Name, err)
		}
		d.templates[t.Name] = t.ID
		d.made++
	}
	return nil
}

func (d *demo) makeEndpoint(ctx context.Context, root ra.GroupID) error {
	err := d.app.DB.Read(ctx, func(tx *store.Tx) (err error) {
		d.endpoint, err = tx.EndpointByName(demoEndpoint)
		return err
	})
	if ra.KindOf(err) != ra.NotFound {
		return err
	}
	name, template := demoEndpoint, d.templates[demoDeviceTemplate]
	d.endpoint, err = d.app.Enroll.CreateEndpoint(ctx, d.actor, enroll.EndpointInput{GroupID: &root, TemplateID: &template, Name: &name})
	d.made++
	return err
}
