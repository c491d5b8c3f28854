package client

import (
	"context"
	"io"
	"net/http"

	"chancery/internal/api/resource"
)

// AuthorityImport gives how the import of an authority's certificates is set up.
func (c *Client) AuthorityImport(ctx context.Context, authority string) (resource.CAImport, error) {
	return get[resource.CAImport](ctx, c, at("/authorities", authority, "import"), nil)
}

// SetAuthorityImport sets the import of an authority's certificates up, or changes it.
func (c *Client) SetAuthorityImport(ctx context.Context, authority string, in resource.CAImportInput) (out resource.CAImport, err error) {
	err = c.call(ctx, http.MethodPut, at("/authorities", authority, "import"), nil, in, &out)
	return out, err
}

// DeleteAuthorityImport removes the import; what was taken over stays.
func (c *Client) DeleteAuthorityImport(ctx context.Context, authority string) error {
	return c.remove(ctx, at("/authorities", authority, "import"))
}

// OrderImport has certificates taken over in the background, or counted.
func (c *Client) OrderImport(ctx context.Context, authority string, in resource.CAImportOrder) (resource.CAImportRun, error) {
	return post[resource.CAImportRun](ctx, c, at("/authorities", authority, "imports"), in)
}

// ImportRuns lists the runs of an authority's import, newest first.
func (c *Client) ImportRuns(ctx context.Context, authority string, q resource.PageQuery) (resource.Page[resource.CAImportRun], error) {
	return get[resource.Page[resource.CAImportRun]](ctx, c, at("/authorities", authority, "imports"), q)
}

// ImportRun gives one run.
func (c *Client) ImportRun(ctx context.Context, id string) (resource.CAImportRun, error) {
	return get[resource.CAImportRun](ctx, c, at("/imports", id), nil)
}

// CancelImport ends a run; what it has taken over stays.
func (c *Client) CancelImport(ctx context.Context, id string) (resource.CAImportRun, error) {
	return post[resource.CAImportRun](ctx, c, at("/imports", id, "cancel"), nil)
}

// Differences lists what authorities' records and ours do not agree on.
func (c *Client) Differences(ctx context.Context, q resource.DifferenceQuery) (resource.Page[resource.Difference], error) {
	return get[resource.Page[resource.Difference]](ctx, c, "/differences", q)
}

// ExportDifferences writes differences as CSV.
func (c *Client) ExportDifferences(ctx context.Context, q resource.DifferenceQuery, w io.Writer) error {
	return c.fileTo(ctx, "/differences/export", q, w)
}

// Difference gives one difference.
func (c *Client) Difference(ctx context.Context, id string) (resource.Difference, error) {
	return get[resource.Difference](ctx, c, at("/differences", id), nil)
}

// SettleDifference says that a difference is known, and why it may be.
func (c *Client) SettleDifference(ctx context.Context, id string, in resource.SettleInput) (resource.Difference, error) {
	return post[resource.Difference](ctx, c, at("/differences", id, "settle"), in)
}
