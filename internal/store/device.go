package store

import "chancery/internal/ra"

type deviceRow struct {
	ID             string `db:"id"`
	GroupID        string `db:"group_id"`
	OrganizationID string `db:"organization_id"`
	UserID         string `db:"user_id"`
	Platform       string `db:"platform"`
	PlatformID     string `db:"platform_id"`
	Name           string `db:"name"`
	NameFolded     string `db:"name_folded"`
	SerialNumber   string `db:"serial_number"`
	Model          string `db:"model"`
	OSVersion      string `db:"os_version"`
	Ownership      string `db:"ownership"`
	Attributes     string `db:"attributes"`
	State          string `db:"state"`
	Search         string `db:"search"`
	timesRow
}

func toDevice(d *ra.Device) deviceRow {
	return deviceRow{
		ID: string(d.ID), GroupID: string(d.GroupID), OrganizationID: string(d.OrganizationID), UserID: string(d.UserID),
		Platform: string(d.Platform), PlatformID: d.PlatformID, Name: d.Name, NameFolded: ra.Fold(d.Name), SerialNumber: d.SerialNumber,
		Model: d.Model, OSVersion: d.OSVersion, Ownership: d.Ownership, Attributes: text(d.Attributes), State: string(d.State),
		Search: ra.Fold(d.Name + "\n" + d.SerialNumber + "\n" + d.PlatformID), timesRow: toTimes(d.Times),
	}
}

func (r *deviceRow) noun() (*ra.Device, error) {
	d := &ra.Device{
		ID: ra.DeviceID(r.ID), GroupID: ra.GroupID(r.GroupID), OrganizationID: ra.GroupID(r.OrganizationID), UserID: ra.UserID(r.UserID),
		Platform: ra.Platform(r.Platform), PlatformID: r.PlatformID, Name: r.Name, SerialNumber: r.SerialNumber, Model: r.Model,
		OSVersion: r.OSVersion, Ownership: r.Ownership, State: ra.DeviceState(r.State), Times: r.timesRow.noun(),
	}
	return d, parse(r.Attributes, &d.Attributes)
}

// CreateDevice stores a new device and fills its OrganizationID from the
// group. A platform ID known in the organization is a Conflict.
func (tx *Tx) CreateDevice(d *ra.Device) error {
	if err := tx.fillOrganization(d); err != nil {
		return err
	}
	d.CreatedAt, d.UpdatedAt = tx.Now, tx.Now
	row := toDevice(d)
	return tx.insert("devices", &row)
}

// UpdateDevice stores every field of d and fills its OrganizationID from the
// group.
func (tx *Tx) UpdateDevice(d *ra.Device) error {
	if err := tx.fillOrganization(d); err != nil {
		return err
	}
	d.UpdatedAt = tx.Now
	row := toDevice(d)
	return tx.update("devices", &row)
}

// fillOrganization sees to it that the group is not moved before the device is
// stored.
func (tx *Tx) fillOrganization(d *ra.Device) error {
	var row groupRow
	if err := tx.keep("groups", &row, "id = $1", string(d.GroupID)); err != nil {
		return err
	}
	d.OrganizationID = ra.GroupID(root(row.Path))
	return nil
}

// DeleteDevice deletes a device and its challenges. What it asked for and held
// stays on record.
func (tx *Tx) DeleteDevice(id ra.DeviceID) error {
	if _, err := tx.exec("DELETE FROM challenges WHERE device_id = $1", string(id)); err != nil {
		return err
	}
	return tx.remove("devices", string(id))
}

// Device loads a device.
func (tx *Tx) Device(id ra.DeviceID) (*ra.Device, error) { return tx.device("id = $1", string(id)) }

// DeviceByPlatformID loads a device by its identity.
func (tx *Tx) DeviceByPlatformID(organization ra.GroupID, platformID string) (*ra.Device, error) {
	return tx.device("organization_id = $1 AND platform_id = $2", string(organization), platformID)
}

func (tx *Tx) device(where string, args ...any) (*ra.Device, error) {
	var row deviceRow
	if err := tx.get("devices", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// DeviceFilter narrows a list of devices; empty fields do not.
type DeviceFilter struct {
	Groups   []ra.GroupID // any of these; nil: all
	Platform ra.Platform
	State    ra.DeviceState
	User     ra.UserID
	Text     string // part of the name, serial number or platform ID
	Page
}

// FindDevices lists devices by name, or as Page.Sort says: "name" or "created".
func (tx *Tx) FindDevices(f DeviceFilter) ([]*ra.Device, string, error) {
	w := &where{}
	if err := tx.scope(w, f.Groups); err != nil {
		return nil, "", err
	}
	w.equal("platform", string(f.Platform))
	w.equal("state", string(f.State))
	w.owner("user_id", string(f.User))
	w.contains(f.Text, "search")
	if err := tx.narrow(w, f.Page, "devices", f.Text); err != nil {
		return nil, "", err
	}
	return find[ra.Device, deviceRow](tx, "devices", w, f.Page, byName)
}

// CountDevices counts devices by platform.
func (tx *Tx) CountDevices(groups []ra.GroupID) ([]Count, error) {
	return tx.sumsByGroup("devices", groups)
}
