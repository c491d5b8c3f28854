package client

import (
	"context"

	"chancery/internal/api/resource"
)

// Admins lists administrators.
func (c *Client) Admins(ctx context.Context, q resource.AdminQuery) (resource.Page[resource.Admin], error) {
	return get[resource.Page[resource.Admin]](ctx, c, "/admins", q)
}

// CreateAdmin makes an administrator.
func (c *Client) CreateAdmin(ctx context.Context, in resource.AdminInput) (resource.Admin, error) {
	return post[resource.Admin](ctx, c, "/admins", in)
}

// UpdateAdmin changes an administrator.
func (c *Client) UpdateAdmin(ctx context.Context, id string, in resource.AdminInput) (resource.Admin, error) {
	return patch[resource.Admin](ctx, c, at("/admins", id), in)
}

// DeleteAdmin deletes an administrator.
func (c *Client) DeleteAdmin(ctx context.Context, id string) error {
	return c.remove(ctx, at("/admins", id))
}

// SetPassword sets an administrator's password.
func (c *Client) SetPassword(ctx context.Context, id, password string) (resource.Admin, error) {
	return post[resource.Admin](ctx, c, at("/admins", id, "password"), resource.PasswordInput{Password: password})
}

// CreateLink makes a link that signs an administrator in once.
func (c *Client) CreateLink(ctx context.Context, id, life string) (resource.Link, error) {
	return post[resource.Link](ctx, c, at("/admins", id, "link"), resource.LinkInput{Life: life})
}

// Tokens lists API tokens.
func (c *Client) Tokens(ctx context.Context, q resource.PageQuery) (resource.Page[resource.Token], error) {
	return get[resource.Page[resource.Token]](ctx, c, "/tokens", q)
}

// CreateToken makes an API token; its text is in this answer only.
func (c *Client) CreateToken(ctx context.Context, in resource.TokenInput) (resource.Token, error) {
	return post[resource.Token](ctx, c, "/tokens", in)
}

// DeleteToken revokes an API token.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	return c.remove(ctx, at("/tokens", id))
}

// Audit lists the audit log.
func (c *Client) Audit(ctx context.Context, q resource.AuditQuery) (resource.Page[resource.Event], error) {
	return get[resource.Page[resource.Event]](ctx, c, "/audit", q)
}

// VerifyAudit checks that the audit log is unbroken.
func (c *Client) VerifyAudit(ctx context.Context) (resource.AuditReport, error) {
	return post[resource.AuditReport](ctx, c, "/audit/verify", nil)
}

// Me tells who the caller is.
func (c *Client) Me(ctx context.Context) (resource.Me, error) {
	return get[resource.Me](ctx, c, "/me", nil)
}

// Status tells version, counts and health.
func (c *Client) Status(ctx context.Context) (resource.Status, error) {
	return get[resource.Status](ctx, c, "/status", nil)
}

// Doctor looks for what could fail.
func (c *Client) Doctor(ctx context.Context) (resource.Health, error) {
	return post[resource.Health](ctx, c, "/doctor", nil)
}
