package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"chancery/internal/api/resource"
)

// Authorities lists authorities.
func (c *Client) Authorities(ctx context.Context, q resource.AuthorityQuery) (resource.Page[resource.Authority], error) {
	return get[resource.Page[resource.Authority]](ctx, c, "/authorities", q)
}

// Authority gives an authority.
func (c *Client) Authority(ctx context.Context, id string) (resource.Authority, error) {
	return get[resource.Authority](ctx, c, at("/authorities", id), nil)
}

// CreateAuthority makes an authority.
func (c *Client) CreateAuthority(ctx context.Context, in resource.AuthorityInput) (resource.Authority, error) {
	return post[resource.Authority](ctx, c, "/authorities", in)
}

// UpdateAuthority changes an authority.
func (c *Client) UpdateAuthority(ctx context.Context, id string, in resource.AuthorityInput) (resource.Authority, error) {
	return patch[resource.Authority](ctx, c, at("/authorities", id), in)
}

// DeleteAuthority deletes an authority.
func (c *Client) DeleteAuthority(ctx context.Context, id string) error {
	return c.remove(ctx, at("/authorities", id))
}

// AuthorityKinds lists the kinds of authority with their forms.
func (c *Client) AuthorityKinds(ctx context.Context) (resource.Page[resource.Kind], error) {
	return get[resource.Page[resource.Kind]](ctx, c, "/authorities/kinds", nil)
}

// TestAuthority tests the connection to an authority. A step that fails is in
// the report, not an error.
func (c *Client) TestAuthority(ctx context.Context, id string) (resource.TestReport, error) {
	return post[resource.TestReport](ctx, c, at("/authorities", id, "test"), nil)
}

// TestAuthoritySettings tests settings before they are saved.
func (c *Client) TestAuthoritySettings(ctx context.Context, in resource.AuthorityTest) (resource.TestReport, error) {
	return post[resource.TestReport](ctx, c, "/authorities/test", in)
}

// AuthorityCatalog asks an authority for the choices of a look-up; chosen holds
// what the form's other fields have.
func (c *Client) AuthorityCatalog(ctx context.Context, id, lookup string, chosen map[string]string) (out resource.Page[resource.CatalogEntry], err error) {
	query := url.Values{"lookup": {lookup}}
	var pairs []string
	for field, value := range chosen {
		pairs = append(pairs, field+":"+value)
	}
	if len(pairs) > 0 {
		query.Set("chosen", strings.Join(pairs, ","))
	}
	err = c.call(ctx, http.MethodGet, at("/authorities", id, "catalog"), query, nil, &out)
	return out, err
}

// AuthorityCSR makes a request for the authority's own certificate.
func (c *Client) AuthorityCSR(ctx context.Context, id string) (resource.CSR, error) {
	return post[resource.CSR](ctx, c, at("/authorities", id, "csr"), nil)
}

// RenewAuthority replaces the signing certificate, and its key, of an authority
// whose keys are here and whose superior is here too.
func (c *Client) RenewAuthority(ctx context.Context, id string) (resource.Authority, error) {
	return post[resource.Authority](ctx, c, at("/authorities", id, "renew"), nil)
}

// InstallAuthorityCertificate installs what a superior CA issued: PEM, the new
// certificate first.
func (c *Client) InstallAuthorityCertificate(ctx context.Context, id, pem string) (resource.Authority, error) {
	return post[resource.Authority](ctx, c, at("/authorities", id, "certificate"), resource.Chain{PEM: pem})
}

// AuthorityChain gives an authority's certificates.
func (c *Client) AuthorityChain(ctx context.Context, id string) (resource.Chain, error) {
	return get[resource.Chain](ctx, c, at("/authorities", id, "chain"), nil)
}

// AuthorityLists gives the revocation lists of an authority that are signed here.
func (c *Client) AuthorityLists(ctx context.Context, id string) (resource.Lists, error) {
	return get[resource.Lists](ctx, c, at("/authorities", id, "lists"), nil)
}

// AuthorityForecast gives what the coming days ask of an authority.
func (c *Client) AuthorityForecast(ctx context.Context, id string) (resource.Forecast, error) {
	return get[resource.Forecast](ctx, c, at("/authorities", id, "forecast"), nil)
}
