package client

import (
	"context"

	"chancery/internal/api/resource"
)

// Guard gives what the guard last found of an authority.
func (c *Client) Guard(ctx context.Context, authority string) (resource.Guard, error) {
	return get[resource.Guard](ctx, c, at("/authorities", authority, "guard"), nil)
}

// RunGuard has the guard look at an authority now.
func (c *Client) RunGuard(ctx context.Context, authority string) (resource.Guard, error) {
	return post[resource.Guard](ctx, c, at("/authorities", authority, "guard"), nil)
}

// GuardScript writes the script for the least rights on a template of an authority.
func (c *Client) GuardScript(ctx context.Context, authority string, q resource.ScriptQuery) (resource.Script, error) {
	return get[resource.Script](ctx, c, at("/authorities", authority, "guard", "script"), q)
}

// Danger gives a danger.
func (c *Client) Danger(ctx context.Context, id string) (resource.Danger, error) {
	return get[resource.Danger](ctx, c, at("/dangers", id), nil)
}

// SignOffDanger signs a danger off.
func (c *Client) SignOffDanger(ctx context.Context, id string, in resource.SignOffInput) (resource.Danger, error) {
	return post[resource.Danger](ctx, c, at("/dangers", id, "sign-off"), in)
}

// ReopenDanger takes the sign-off of a danger back.
func (c *Client) ReopenDanger(ctx context.Context, id string) (resource.Danger, error) {
	return post[resource.Danger](ctx, c, at("/dangers", id, "reopen"), nil)
}
