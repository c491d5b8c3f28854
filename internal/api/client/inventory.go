package client

import (
	"context"
	"io"
	"net/http"

	"chancery/internal/api/resource"
)

// Groups lists organization groups.
func (c *Client) Groups(ctx context.Context, q resource.GroupQuery) (resource.Page[resource.Group], error) {
	return get[resource.Page[resource.Group]](ctx, c, "/groups", q)
}

// Group gives an organization group.
func (c *Client) Group(ctx context.Context, id string) (resource.Group, error) {
	return get[resource.Group](ctx, c, at("/groups", id), nil)
}

// CreateGroup makes an organization group.
func (c *Client) CreateGroup(ctx context.Context, in resource.GroupInput) (resource.Group, error) {
	return post[resource.Group](ctx, c, "/groups", in)
}

// UpdateGroup changes an organization group.
func (c *Client) UpdateGroup(ctx context.Context, id string, in resource.GroupInput) (resource.Group, error) {
	return patch[resource.Group](ctx, c, at("/groups", id), in)
}

// DeleteGroup deletes an organization group.
func (c *Client) DeleteGroup(ctx context.Context, id string) error {
	return c.remove(ctx, at("/groups", id))
}

// Users lists users.
func (c *Client) Users(ctx context.Context, q resource.UserQuery) (resource.Page[resource.User], error) {
	return get[resource.Page[resource.User]](ctx, c, "/users", q)
}

// User gives a user.
func (c *Client) User(ctx context.Context, id string) (resource.User, error) {
	return get[resource.User](ctx, c, at("/users", id), nil)
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, in resource.UserInput) (resource.User, error) {
	return post[resource.User](ctx, c, "/users", in)
}

// UpdateUser changes a user.
func (c *Client) UpdateUser(ctx context.Context, id string, in resource.UserInput) (resource.User, error) {
	return patch[resource.User](ctx, c, at("/users", id), in)
}

// DeleteUser deletes a user.
func (c *Client) DeleteUser(ctx context.Context, id string) error {
	return c.remove(ctx, at("/users", id))
}

// Devices lists devices.
func (c *Client) Devices(ctx context.Context, q resource.DeviceQuery) (resource.Page[resource.Device], error) {
	return get[resource.Page[resource.Device]](ctx, c, "/devices", q)
}

// Device gives a device.
func (c *Client) Device(ctx context.Context, id string) (resource.Device, error) {
	return get[resource.Device](ctx, c, at("/devices", id), nil)
}

// CreateDevice makes a device.
func (c *Client) CreateDevice(ctx context.Context, in resource.DeviceInput) (resource.Device, error) {
	return post[resource.Device](ctx, c, "/devices", in)
}

// UpdateDevice changes a device.
func (c *Client) UpdateDevice(ctx context.Context, id string, in resource.DeviceInput) (resource.Device, error) {
	return patch[resource.Device](ctx, c, at("/devices", id), in)
}

// DeleteDevice deletes a device.
func (c *Client) DeleteDevice(ctx context.Context, id string) error {
	return c.remove(ctx, at("/devices", id))
}

// EnrolDevice puts a device in service again.
func (c *Client) EnrolDevice(ctx context.Context, id string) (resource.Device, error) {
	return post[resource.Device](ctx, c, at("/devices", id, "enrol"), nil)
}

// UnenrolDevice takes a device out of service.
func (c *Client) UnenrolDevice(ctx context.Context, id string) (resource.Device, error) {
	return post[resource.Device](ctx, c, at("/devices", id, "unenrol"), nil)
}

// BlockDevice stops a device from asking for anything.
func (c *Client) BlockDevice(ctx context.Context, id string) (resource.Device, error) {
	return post[resource.Device](ctx, c, at("/devices", id, "block"), nil)
}

// Import says how a CSV file is taken in.
type Import struct {
	Group   string   `query:"group_id"` // for rows without one of their own
	Columns []string `query:"column"`   // "HEADING:field"
	DryRun  bool     `query:"dry_run"`  // only tell what would happen
}

// ImportUsers takes users in from CSV.
func (c *Client) ImportUsers(ctx context.Context, from io.Reader, o Import) (resource.ImportReport, error) {
	return c.take(ctx, "/users/import", from, o)
}

// ImportDevices takes devices in from CSV.
func (c *Client) ImportDevices(ctx context.Context, from io.Reader, o Import) (resource.ImportReport, error) {
	return c.take(ctx, "/devices/import", from, o)
}

func (c *Client) take(ctx context.Context, path string, from io.Reader, o Import) (out resource.ImportReport, err error) {
	resp, err := c.send(ctx, http.MethodPost, path, values(o), from, []string{"Content-Type", "text/csv"})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, c.decode(resp.Body, &out)
}

// ExportUsers writes users as CSV.
func (c *Client) ExportUsers(ctx context.Context, q resource.UserQuery, w io.Writer) error {
	return c.fileTo(ctx, "/users/export", q, w)
}

// ExportDevices writes devices as CSV.
func (c *Client) ExportDevices(ctx context.Context, q resource.DeviceQuery, w io.Writer) error {
	return c.fileTo(ctx, "/devices/export", q, w)
}
