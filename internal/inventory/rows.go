package inventory

import (
	"slices"
	"strings"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
)

var userLayout = layout{
	key:    "name",
	fields: []string{"group_id", "name", "email", "upn", "sid", "first_name", "last_name", "display_name", "dn", "disabled", "attributes"},
	report: []string{"id", "group_name"},
}

var deviceLayout = layout{
	key:    "platform_id",
	fields: []string{"group_id", "platform_id", "platform", "name", "serial_number", "model", "os_version", "ownership", "user", "attributes"},
	report: []string{"id", "group_name", "user_name", "state"},
}

// group gives the group of a row, its own or the import's.
func (r row) group(def ra.GroupID) ra.GroupID {
	if own := strings.TrimSpace(r.cells["group_id"]); own != "" {
		return ra.GroupID(own)
	}
	return def
}

// place gives the group of a row the actor may fill, and the text by which the
// row is known there.
func (l layout) place(tx *store.Tx, actor ra.Actor, def ra.GroupID, r row) (ra.GroupID, string, error) {
	group, key := r.group(def), strings.TrimSpace(r.cells[l.key])
	var p ra.Problems
	if group == "" {
		p.Add("group_id", "The row belongs to no organization group.", "Choose a group for the import, or give the row a group_id.")
	}
	checkName(&p, l.key, key, "Fill it in: it tells what the row is about.")
	if err := p.Err(); err != nil {
		return "", "", err
	}
	return group, key, access.CheckGroup(tx, actor, access.EditDevices, group)
}

func planUserRow(tx *store.Tx, actor ra.Actor, def ra.GroupID, r row) (outcome, func() error, error) {
	group, name, err := userLayout.place(tx, actor, def, r)
	if err != nil {
		return unchanged, nil, err
	}
	disabled, err := r.yes("disabled")
	if err != nil {
		return unchanged, nil, err
	}
	u, err := tx.UserByName(group, name)
	fresh := ra.KindOf(err) == ra.NotFound
	if fresh {
		u = newUser(tx)
	} else if err != nil {
		return unchanged, nil, err
	}
	attributes, err := r.attributes(u.Attributes)
	if err != nil {
		return unchanged, nil, err
	}
	before := *u
	err = planUser(tx, actor, u, UserInput{GroupID: &group, Name: &name, Email: r.text("email"), UPN: r.text("upn"), SID: r.text("sid"),
		FirstName: r.text("first_name"), LastName: r.text("last_name"), DisplayName: r.text("display_name"), DN: r.text("dn"),
		Disabled: disabled, Attributes: attributes})
	switch {
	case err != nil:
		return unchanged, nil, err
	case fresh:
		return created, func() error { return createUser(tx, actor, u) }, nil
	case len(userChanges(&before, u)) == 0:
		return unchanged, nil, nil
	}
	return updated, func() error { _, err := updateUser(tx, actor, &before, u); return err }, nil
}

func planDeviceRow(tx *store.Tx, actor ra.Actor, def ra.GroupID, r row) (outcome, func() error, error) {
	group, platformID, err := deviceLayout.place(tx, actor, def, r)
	if err != nil {
		return unchanged, nil, err
	}
	d, fresh, err := knownDevice(tx, actor, group, platformID)
	if err != nil {
		return unchanged, nil, err
	}
	if !fresh && strings.TrimSpace(r.cells["group_id"]) == "" {
		group = d.GroupID
	}
	attributes, err := r.attributes(d.Attributes)
	if err != nil {
		return unchanged, nil, err
	}
	in := DeviceInput{GroupID: &group, PlatformID: &platformID, Name: r.text("name"), SerialNumber: r.text("serial_number"), Model: r.text("model"),
		OSVersion: r.text("os_version"), Ownership: r.text("ownership"), Attributes: attributes}
	if cell := r.text("platform"); cell != nil {
		p := ra.Platform(ra.Fold(*cell))
		in.Platform = &p
	}
	if cell := r.text("user"); cell != nil {
		id, err := userOf(tx, group, strings.TrimSpace(*cell))
		if err != nil {
			return unchanged, nil, err
		}
		in.UserID = &id
	}
	before := *d
	err = planDevice(tx, actor, d, in)
	switch {
	case err != nil:
		return unchanged, nil, err
	case fresh:
		return created, func() error { return createDevice(tx, actor, d) }, nil
	case len(deviceChanges(&before, d)) == 0:
		return unchanged, nil, nil
	}
	return updated, func() error { _, err := updateDevice(tx, actor, &before, d); return err }, nil
}

// knownDevice gives the device a row is about, or a new one. One in a group the
// actor may not change is a Conflict.
func knownDevice(tx *store.Tx, actor ra.Actor, group ra.GroupID, platformID string) (d *ra.Device, fresh bool, err error) {
	org, err := organization(tx, group)
	if err != nil {
		return nil, false, err
	}
	d, err = tx.DeviceByPlatformID(org, platformID)
	if ra.KindOf(err) == ra.NotFound {
		return newDevice(tx), true, nil
	}
	if err != nil || d.GroupID == group {
		return d, false, err
	}
	if err := access.CheckGroup(tx, actor, access.EditDevices, d.GroupID); err != nil {
		return nil, false, ra.Errorf(ra.Conflict, "The device is known in another group of the organization.").WithField("platform_id").
			WithRemedy("Ask somebody with rights in that group to change it.").WithCause(err)
	}
	return d, false, nil
}

// userOf finds a user by ID, or by name in a group and those above it.
func userOf(tx *store.Tx, group ra.GroupID, cell string) (ra.UserID, error) {
	if cell == "" || strings.HasPrefix(cell, ra.UserPrefix+"_") {
		return ra.UserID(cell), nil
	}
	groups, err := tx.Ancestors(group)
	if err != nil {
		return "", err
	}
	for _, g := range slices.Backward(groups) {
		u, err := tx.UserByName(g.ID, cell)
		if err == nil {
			return u.ID, nil
		}
		if ra.KindOf(err) != ra.NotFound {
			return "", err
		}
	}
	return "", ra.Errorf(ra.Invalid, "There is no user %.80q in the group or above it.", cell).WithField("user").
		WithRemedy("Import the user first, or give the user's ID.")
}

// yes reads a cell that says yes or no, nil when there is no such column.
func (r row) yes(field string) (*bool, error) {
	cell := r.text(field)
	if cell == nil {
		return nil, nil
	}
	word := ra.Fold(*cell)
	yes := slices.Contains([]string{"true", "yes", "1"}, word)
	if !yes && !slices.Contains([]string{"", "false", "no", "0"}, word) {
		return nil, ra.Errorf(ra.Invalid, "%.40q is neither yes nor no.", *cell).WithField(field).WithRemedy("Write yes or no, true or false, 1 or 0.")
	}
	return &yes, nil
}
