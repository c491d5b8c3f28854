package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/audit"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// DeviceInput is what somebody says about a device. In an update nil fields
// stay as they are; Attributes replaces all of them. A device's identity, its
// organization and PlatformID, is given once.
type DeviceInput struct {
	GroupID      *ra.GroupID
	UserID       *ra.UserID // empty: nobody's
	Platform     *ra.Platform
	PlatformID   *string
	Name         *string // empty: the platform ID
	SerialNumber *string
	Model        *string
	OSVersion    *string
	Ownership    *string
	Attributes   map[string]string
}

// CreateDevice adds a device, enrolled. A platform ID known in the organization
// is a Conflict.
func (s *Service) CreateDevice(ctx context.Context, actor ra.Actor, in DeviceInput) (*ra.Device, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.Device, error) {
		d := newDevice(tx)
		if err := planDevice(tx, actor, d, in); err != nil {
			return nil, err
		}
		return d, createDevice(tx, actor, d)
	})
}

// UpdateDevice changes a device.
func (s *Service) UpdateDevice(ctx context.Context, actor ra.Actor, id ra.DeviceID, in DeviceInput) (*ra.Device, error) {
	return write(ctx, s.DB, func(tx *store.Tx) (*ra.Device, error) {
		d, err := tx.Device(id)
		if err != nil {
			return nil, err
		}
		before := *d
		if err := planDevice(tx, actor, d, in); err != nil {
			return nil, err
		}
		_, err = updateDevice(tx, actor, &before, d)
		return d, err
	})
}

// DeleteDevice deletes a device. One whose certificates have not all ended, or
// that still waits for one, is a Conflict.
func (s *Service) DeleteDevice(ctx context.Context, actor ra.Actor, id ra.DeviceID) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		d, err := editableDevice(tx, actor, id)
		if err != nil {
			return err
		}
		used, err := inUse(tx, store.CertificateFilter{Device: id}, store.RequestFilter{Device: id})
		if err != nil {
			return err
		}
		if used != "" {
			return ra.Errorf(ra.Conflict, "Device %q still has %s.", d.Name, used).
				WithRemedy("Unenrol the device first; its certificates are revoked then. Delete it when they have ended.")
		}
		if s.OnDelete != nil {
			if err := s.OnDelete(tx, actor, d); err != nil {
				return err
			}
		}
		if err := tx.DeleteDevice(id); err != nil {
			return err
		}
		return audit.Record(tx, audit.Entry{Code: audit.DeviceDeleted, Actor: actor, Group: d.GroupID, Object: string(id), Related: string(d.UserID),
			Message: "Device " + d.Name + " deleted.", Details: map[string]any{"platform_id": d.PlatformID}})
	})
}

// Device gives one device.
func (s *Service) Device(ctx context.Context, actor ra.Actor, id ra.DeviceID) (*ra.Device, error) {
	return read(ctx, s.DB, func(tx *store.Tx) (*ra.Device, error) {
		d, err := tx.Device(id)
		if err != nil {
			return nil, err
		}
		return d, access.CheckGroup(tx, actor, access.See, d.GroupID)
	})
}

// FindDevices lists the devices the actor may see. Groups, when given, are
// meant with everything below them.
func (s *Service) FindDevices(ctx context.Context, actor ra.Actor, f store.DeviceFilter) (list []*ra.Device, next string, err error) {
	asked := f.Groups
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		if f.Groups, err = access.Within(tx, actor, access.See, asked); err != nil {
			return err
		}
		list, next, err = tx.FindDevices(f)
		return err
	})
	return list, next, err
}

func newDevice(tx *store.Tx) *ra.Device {
	return &ra.Device{ID: ra.NewID[ra.DeviceID](ra.DevicePrefix, tx.Now), State: ra.DeviceEnrolled, Attributes: map[string]string{}}
}

func editableDevice(tx *store.Tx, actor ra.Actor, id ra.DeviceID) (*ra.Device, error) {
	d, err := tx.Device(id)
	if err != nil {
		return nil, err
	}
	return d, access.CheckGroup(tx, actor, access.EditDevices, d.GroupID)
}

// planDevice takes an input into d, new or loaded, and checks the actor's
// rights and everything that could make storing it fail.
func planDevice(tx *store.Tx, actor ra.Actor, d *ra.Device, in DeviceInput) error {
	before := *d
	fresh := before.GroupID == ""
	if !fresh {
		if err := access.CheckGroup(tx, actor, access.EditDevices, before.GroupID); err != nil {
			return err
		}
	}
	if err := applyDevice(d, in, before.PlatformID); err != nil {
		return err
	}
	if d.GroupID != before.GroupID {
		if err := access.CheckGroup(tx, actor, access.EditDevices, d.GroupID); err != nil {
			return err
		}
		to, err := organization(tx, d.GroupID)
		if err != nil {
			return err
		}
		if !fresh && to != before.OrganizationID {
			return ra.Errorf(ra.Conflict, "Device %q cannot move to another organization.", d.Name).WithField("group_id").
				WithRemedy("Choose a group in the same organization, or create the device anew in the other one.")
		}
		d.OrganizationID = to
	}
	if fresh {
		if err := checkNew(tx, d); err != nil {
			return err
		}
	}
	if d.UserID == "" || (d.UserID == before.UserID && !fresh) {
		return nil
	}
	return checkAssigned(tx, actor, d)
}

func applyDevice(d *ra.Device, in DeviceInput, identity string) error {
	set(&d.GroupID, in.GroupID)
	set(&d.UserID, in.UserID)
	set(&d.Platform, in.Platform)
	setText(&d.PlatformID, in.PlatformID)
	setText(&d.Name, in.Name)
	setText(&d.SerialNumber, in.SerialNumber)
	setText(&d.Model, in.Model)
	setText(&d.OSVersion, in.OSVersion)
	setText(&d.Ownership, in.Ownership)
	if in.Attributes != nil {
		d.Attributes = filled(in.Attributes)
	}
	if d.Name == "" {
		d.Name = d.PlatformID
	}
	d.Ownership = strings.ToUpper(d.Ownership)
	var p ra.Problems
	if d.GroupID == "" {
		p.Add("group_id", "A device belongs to an organization group.", "Name the group.")
	}
	if !slices.Contains(ra.Platforms, d.Platform) {
		p.Add("platform", fmt.Sprintf("%.40q is not a platform.", d.Platform), "Use one of "+platforms()+".")
	}
	checkName(&p, "platform_id", d.PlatformID, "Give the identifier the device is managed by: UDID, MDM device ID, machine ID.")
	if identity != "" && d.PlatformID != identity {
		p.Add("platform_id", "A device keeps its platform ID: it is its identity.", "Create the other device anew and delete this one.")
	}
	checkText(&p, "name", d.Name, maxName)
	checkText(&p, "serial_number", d.SerialNumber, maxName)
	checkText(&p, "model", d.Model, maxName)
	checkText(&p, "os_version", d.OSVersion, maxName)
	if !slices.Contains([]string{"", "C", "E", "S"}, d.Ownership) {
		p.Add("ownership", "This is not a kind of ownership.", "Use C for corporate, E for employee, S for shared, or leave it empty.")
	}
	checkAttributes(&p, d.Attributes)
	return p.Err()
}

func platforms() string {
	names := make([]string, len(ra.Platforms))
	for i, p := range ra.Platforms {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}

// checkNew: nobody has this identity yet.
func checkNew(tx *store.Tx, d *ra.Device) error {
	_, err := tx.DeviceByPlatformID(d.OrganizationID, d.PlatformID)
	if ra.KindOf(err) == ra.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return ra.Errorf(ra.Conflict, "A device with the platform ID %q is known in this organization already.", d.PlatformID).WithField("platform_id").
		WithRemedy("Look for it, possibly in another group of the organization, and change that one.")
}

// checkAssigned: the user is one the actor may see, in the same organization.
func checkAssigned(tx *store.Tx, actor ra.Actor, d *ra.Device) error {
	u, err := tx.User(d.UserID)
	if err != nil {
		return err
	}
	if err := access.CheckGroup(tx, actor, access.See, u.GroupID); err != nil {
		return err
	}
	o, err := organization(tx, u.GroupID)
	if err != nil {
		return err
	}
	if o != d.OrganizationID {
		return ra.Errorf(ra.Invalid, "User %q belongs to another organization than the device.", u.Name).WithField("user_id").
			WithRemedy("Choose a user of the device's organization.")
	}
	return nil
}

// inUse says in words what is not over yet among certificates and requests.
func inUse(tx *store.Tx, certificates store.CertificateFilter, requests store.RequestFilter) (string, error) {
	certificates.States = []ra.CertificateState{ra.Valid, ra.Superseded, ra.OnHold}
	certificates.ExpiresAfter = tx.Now
	certificates.Limit = 1
	valid, _, err := tx.FindCertificates(certificates)
	if err != nil {
		return "", err
	}
	if len(valid) > 0 {
		return "certificates in use", nil
	}
	requests.States = []ra.RequestState{ra.Requested, ra.AwaitingApproval, ra.Approved, ra.Submitted, ra.PendingAtCA}
	requests.Limit = 1
	open, _, err := tx.FindRequests(requests)
	if err != nil {
		return "", err
	}
	if len(open) > 0 {
		return "requests that wait for their certificates", nil
	}
	return "", nil
}

func createDevice(tx *store.Tx, actor ra.Actor, d *ra.Device) error {
	if err := tx.CreateDevice(d); err != nil {
		return err
	}
	return audit.Record(tx, audit.Entry{Code: audit.DeviceCreated, Actor: actor, Group: d.GroupID, Object: string(d.ID), Related: string(d.UserID),
		Message: "Device " + d.Name + " created.", Details: map[string]any{"platform": d.Platform, "platform_id": d.PlatformID}})
}

// updateDevice stores what differs and tells whether anything does.
func updateDevice(tx *store.Tx, actor ra.Actor, before, d *ra.Device) (bool, error) {
	c := deviceChanges(before, d)
	if len(c) == 0 {
		return false, nil
	}
	if err := tx.UpdateDevice(d); err != nil {
		return false, err
	}
	return true, audit.Record(tx, audit.Entry{Code: audit.DeviceChanged, Actor: actor, Group: d.GroupID, Object: string(d.ID), Related: string(d.UserID),
		Message: "Device " + d.Name + " changed.", Details: map[string]any{"changes": c}})
}

func deviceChanges(before, after *ra.Device) audit.Changes {
	c := audit.Changes{}
	c.Add("group_id", before.GroupID, after.GroupID)
	c.Add("user_id", before.UserID, after.UserID)
	c.Add("platform", before.Platform, after.Platform)
	c.Add("name", before.Name, after.Name)
	c.Add("serial_number", before.SerialNumber, after.SerialNumber)
	c.Add("model", before.Model, after.Model)
	c.Add("os_version", before.OSVersion, after.OSVersion)
	c.Add("ownership", before.Ownership, after.Ownership)
	attributeChanges(&c, before.Attributes, after.Attributes)
	return c
}
