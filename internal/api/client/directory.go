package client

import (
	"context"

	"chancery/internal/api/resource"
)

// Directories lists directories.
func (c *Client) Directories(ctx context.Context, q resource.DirectoryQuery) (resource.Page[resource.Directory], error) {
	return get[resource.Page[resource.Directory]](ctx, c, "/directories", q)
}

// Directory gives a directory.
func (c *Client) Directory(ctx context.Context, id string) (resource.Directory, error) {
	return get[resource.Directory](ctx, c, at("/directories", id), nil)
}

// CreateDirectory makes a directory.
func (c *Client) CreateDirectory(ctx context.Context, in resource.DirectoryInput) (resource.Directory, error) {
	return post[resource.Directory](ctx, c, "/directories", in)
}

// UpdateDirectory changes a directory.
func (c *Client) UpdateDirectory(ctx context.Context, id string, in resource.DirectoryInput) (resource.Directory, error) {
	return patch[resource.Directory](ctx, c, at("/directories", id), in)
}

// DeleteDirectory deletes a directory.
func (c *Client) DeleteDirectory(ctx context.Context, id string) error {
	return c.remove(ctx, at("/directories", id))
}

// TestDirectory tests the connection to a directory. A step that fails is in the
// report, not an error.
func (c *Client) TestDirectory(ctx context.Context, id string) (resource.TestReport, error) {
	return post[resource.TestReport](ctx, c, at("/directories", id, "test"), nil)
}

// TestDirectorySettings tests settings before they are saved.
func (c *Client) TestDirectorySettings(ctx context.Context, in resource.DirectoryTest) (resource.TestReport, error) {
	return post[resource.TestReport](ctx, c, "/directories/test", in)
}

// OrderSync has users taken over in the background.
func (c *Client) OrderSync(ctx context.Context, directory string, in resource.SyncOrder) (resource.Sync, error) {
	return post[resource.Sync](ctx, c, at("/directories", directory, "syncs"), in)
}

// Syncs lists the runs of a directory, newest first.
func (c *Client) Syncs(ctx context.Context, directory string, q resource.PageQuery) (resource.Page[resource.Sync], error) {
	return get[resource.Page[resource.Sync]](ctx, c, at("/directories", directory, "syncs"), q)
}

// Sync gives one run.
func (c *Client) Sync(ctx context.Context, id string) (resource.Sync, error) {
	return get[resource.Sync](ctx, c, at("/syncs", id), nil)
}
