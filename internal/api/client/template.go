package client

import (
	"context"

	"chancery/internal/api/resource"
)

// Templates lists templates.
func (c *Client) Templates(ctx context.Context, q resource.TemplateQuery) (resource.Page[resource.Template], error) {
	return get[resource.Page[resource.Template]](ctx, c, "/templates", q)
}

// Template gives a template.
func (c *Client) Template(ctx context.Context, id string) (resource.Template, error) {
	return get[resource.Template](ctx, c, at("/templates", id), nil)
}

// CreateTemplate makes a template.
func (c *Client) CreateTemplate(ctx context.Context, in resource.TemplateInput) (resource.Template, error) {
	return post[resource.Template](ctx, c, "/templates", in)
}

// UpdateTemplate changes a template.
func (c *Client) UpdateTemplate(ctx context.Context, id string, in resource.TemplateInput) (resource.Template, error) {
	return patch[resource.Template](ctx, c, at("/templates", id), in)
}

// DeleteTemplate deletes a template.
func (c *Client) DeleteTemplate(ctx context.Context, id string) error {
	return c.remove(ctx, at("/templates", id))
}

// PreviewTemplate tells what a stored template gives, with the changes in.
func (c *Client) PreviewTemplate(ctx context.Context, id string, in resource.PreviewInput) (resource.Preview, error) {
	return post[resource.Preview](ctx, c, at("/templates", id, "preview"), in)
}

// PreviewUnsavedTemplate tells what a template gives that is not stored.
func (c *Client) PreviewUnsavedTemplate(ctx context.Context, in resource.PreviewInput) (resource.Preview, error) {
	return post[resource.Preview](ctx, c, "/templates/preview", in)
}

// RunTemplateTests runs a template's own tests.
func (c *Client) RunTemplateTests(ctx context.Context, id string) (resource.Page[resource.TestResult], error) {
	return post[resource.Page[resource.TestResult]](ctx, c, at("/templates", id, "run-tests"), nil)
}

// LookupValues lists the names that templates may use.
func (c *Client) LookupValues(ctx context.Context) (resource.Page[resource.LookupValue], error) {
	return get[resource.Page[resource.LookupValue]](ctx, c, "/lookup-values", nil)
}

// Endpoints lists SCEP endpoints.
func (c *Client) Endpoints(ctx context.Context, q resource.EndpointQuery) (resource.Page[resource.Endpoint], error) {
	return get[resource.Page[resource.Endpoint]](ctx, c, "/endpoints", q)
}

// Endpoint gives a SCEP endpoint.
func (c *Client) Endpoint(ctx context.Context, id string) (resource.Endpoint, error) {
	return get[resource.Endpoint](ctx, c, at("/endpoints", id), nil)
}

// CreateEndpoint makes a SCEP endpoint.
func (c *Client) CreateEndpoint(ctx context.Context, in resource.EndpointInput) (resource.Endpoint, error) {
	return post[resource.Endpoint](ctx, c, "/endpoints", in)
}

// UpdateEndpoint changes a SCEP endpoint.
func (c *Client) UpdateEndpoint(ctx context.Context, id string, in resource.EndpointInput) (resource.Endpoint, error) {
	return patch[resource.Endpoint](ctx, c, at("/endpoints", id), in)
}

// DeleteEndpoint deletes a SCEP endpoint.
func (c *Client) DeleteEndpoint(ctx context.Context, id string) error {
	return c.remove(ctx, at("/endpoints", id))
}

// Challenges lists a device's challenges.
func (c *Client) Challenges(ctx context.Context, q resource.ChallengeQuery) (resource.Page[resource.Challenge], error) {
	return get[resource.Page[resource.Challenge]](ctx, c, "/challenges", q)
}

// CreateChallenge makes a challenge; its text is in this answer only.
func (c *Client) CreateChallenge(ctx context.Context, in resource.ChallengeInput) (resource.Challenge, error) {
	return post[resource.Challenge](ctx, c, "/challenges", in)
}

// DeleteChallenge voids a challenge.
func (c *Client) DeleteChallenge(ctx context.Context, id string) error {
	return c.remove(ctx, at("/challenges", id))
}
