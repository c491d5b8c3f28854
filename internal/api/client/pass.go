package client

import (
	"context"
	"io"
	"net/http"

	"chancery/internal/api/resource"
)

// Passes lists passes.
func (c *Client) Passes(ctx context.Context, q resource.PassQuery) (resource.Page[resource.Pass], error) {
	return get[resource.Page[resource.Pass]](ctx, c, "/passes", q)
}

// ExportPasses writes passes as CSV.
func (c *Client) ExportPasses(ctx context.Context, q resource.PassQuery, w io.Writer) error {
	return c.fileTo(ctx, "/passes/export", q, w)
}

// Pass gives a pass.
func (c *Client) Pass(ctx context.Context, id string) (resource.Pass, error) {
	return get[resource.Pass](ctx, c, at("/passes", id), nil)
}

// CreatePass makes a pass.
func (c *Client) CreatePass(ctx context.Context, in resource.PassInput) (resource.Pass, error) {
	return post[resource.Pass](ctx, c, "/passes", in)
}

// PassParameters fetches the challenge of a pass and gives what the device's
// SCEP client needs.
func (c *Client) PassParameters(ctx context.Context, id string) (resource.PassParameters, error) {
	return post[resource.PassParameters](ctx, c, at("/passes", id, "parameters"), nil)
}

// RevokePass voids a pass.
func (c *Client) RevokePass(ctx context.Context, id, reason string) (resource.Pass, error) {
	return post[resource.Pass](ctx, c, at("/passes", id, "revoke"), resource.PassReason{Reason: reason})
}

// RenewByPass makes a pass by which the device of a certificate enrols anew.
func (c *Client) RenewByPass(ctx context.Context, certificate string) (resource.Pass, error) {
	return post[resource.Pass](ctx, c, at("/certificates", certificate, "pass"), nil)
}

// LearnPass tells of a certificate that was seen elsewhere.
func (c *Client) LearnPass(ctx context.Context, in resource.LearnInput) (resource.Learnt, error) {
	return post[resource.Learnt](ctx, c, "/passes/learn", in)
}

// Trace tells how the enrolment of a pass, request, certificate, device or SCEP
// transaction went.
func (c *Client) Trace(ctx context.Context, id string) (resource.Trace, error) {
	return get[resource.Trace](ctx, c, at("/traces", id), nil)
}

// AuthorityChallenges tells how many challenges of an authority's SCEP server
// are out.
func (c *Client) AuthorityChallenges(ctx context.Context, id string) (resource.AuthorityChallenges, error) {
	return get[resource.AuthorityChallenges](ctx, c, at("/authorities", id, "challenges"), nil)
}

// CompareCertificates asks a SCEP server for its certificates.
func (c *Client) CompareCertificates(ctx context.Context, id string) (resource.ServerCertificates, error) {
	return post[resource.ServerCertificates](ctx, c, at("/authorities", id, "scep-certificates", "compare"), nil)
}

// AcceptCertificates accepts the certificates that a SCEP server shows, as long
// as they have these fingerprints.
func (c *Client) AcceptCertificates(ctx context.Context, id string, fingerprints []string) error {
	return c.call(ctx, http.MethodPost, at("/authorities", id, "scep-certificates", "accept"), nil, resource.AcceptInput{Fingerprints: fingerprints}, nil)
}
