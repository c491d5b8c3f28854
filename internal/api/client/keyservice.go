package client

import (
	"context"

	"chancery/internal/api/resource"
)

// KeyServices lists key services.
func (c *Client) KeyServices(ctx context.Context, q resource.KeyServiceQuery) (resource.Page[resource.KeyService], error) {
	return get[resource.Page[resource.KeyService]](ctx, c, "/key-services", q)
}

// KeyService gives a key service.
func (c *Client) KeyService(ctx context.Context, id string) (resource.KeyService, error) {
	return get[resource.KeyService](ctx, c, at("/key-services", id), nil)
}

// CreateKeyService makes a key service.
func (c *Client) CreateKeyService(ctx context.Context, in resource.KeyServiceInput) (resource.KeyService, error) {
	return post[resource.KeyService](ctx, c, "/key-services", in)
}

// UpdateKeyService changes a key service.
func (c *Client) UpdateKeyService(ctx context.Context, id string, in resource.KeyServiceInput) (resource.KeyService, error) {
	return patch[resource.KeyService](ctx, c, at("/key-services", id), in)
}

// DeleteKeyService deletes a key service.
func (c *Client) DeleteKeyService(ctx context.Context, id string) error {
	return c.remove(ctx, at("/key-services", id))
}

// TestKeyService sends a key service a signed message without a key. A step that
// fails is in the report, not an error.
func (c *Client) TestKeyService(ctx context.Context, id string) (resource.TestReport, error) {
	return post[resource.TestReport](ctx, c, at("/key-services", id, "test"), nil)
}

// TestKeyServiceSettings tests settings before they are saved.
func (c *Client) TestKeyServiceSettings(ctx context.Context, in resource.KeyServiceTest) (resource.TestReport, error) {
	return post[resource.TestReport](ctx, c, "/key-services/test", in)
}
