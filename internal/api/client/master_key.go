package client

import (
	"context"

	"chancery/internal/api/resource"
)

// MasterKey tells how far the rotation of the master key is.
func (c *Client) MasterKey(ctx context.Context) (resource.MasterKey, error) {
	return get[resource.MasterKey](ctx, c, "/master-key", nil)
}

// RotateMasterKey begins to replace the master key.
func (c *Client) RotateMasterKey(ctx context.Context) (resource.MasterKey, error) {
	return post[resource.MasterKey](ctx, c, "/master-key/rotate", nil)
}

// DropMasterKey forgets the former master key.
func (c *Client) DropMasterKey(ctx context.Context) (resource.MasterKey, error) {
	return post[resource.MasterKey](ctx, c, "/master-key/drop", nil)
}
