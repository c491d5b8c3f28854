package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"chancery/internal/api/resource"
)

// Requests lists certificate requests.
func (c *Client) Requests(ctx context.Context, q resource.RequestQuery) (resource.Page[resource.Request], error) {
	return get[resource.Page[resource.Request]](ctx, c, "/requests", q)
}

// Request gives a request with the decisions about it.
func (c *Client) Request(ctx context.Context, id string) (resource.Request, error) {
	return get[resource.Request](ctx, c, at("/requests", id), nil)
}

// CreateRequest asks for a certificate. Calls with the same key, unless it is
// empty, are the same request.
func (c *Client) CreateRequest(ctx context.Context, in resource.RequestInput, key string) (resource.Request, error) {
	if key == "" {
		return post[resource.Request](ctx, c, "/requests", in)
	}
	return post[resource.Request](ctx, c, "/requests", in, "Idempotency-Key", key)
}

// ApproveRequest approves a request.
func (c *Client) ApproveRequest(ctx context.Context, id, comment string) (resource.Request, error) {
	return post[resource.Request](ctx, c, at("/requests", id, "approve"), resource.Decision{Comment: comment})
}

// DenyRequest denies a request.
func (c *Client) DenyRequest(ctx context.Context, id, comment string) (resource.Request, error) {
	return post[resource.Request](ctx, c, at("/requests", id, "deny"), resource.Decision{Comment: comment})
}

// CancelRequest cancels a request.
func (c *Client) CancelRequest(ctx context.Context, id string) (resource.Request, error) {
	return post[resource.Request](ctx, c, at("/requests", id, "cancel"), nil)
}

// Certificates lists certificates.
func (c *Client) Certificates(ctx context.Context, q resource.CertificateQuery) (resource.Page[resource.Certificate], error) {
	return get[resource.Page[resource.Certificate]](ctx, c, "/certificates", q)
}

// ExportCertificates writes certificates as CSV.
func (c *Client) ExportCertificates(ctx context.Context, q resource.CertificateQuery, w io.Writer) error {
	return c.fileTo(ctx, "/certificates/export", q, w)
}

// Certificate gives a certificate with its facts and life line.
func (c *Client) Certificate(ctx context.Context, id string) (resource.Certificate, error) {
	return get[resource.Certificate](ctx, c, at("/certificates", id), nil)
}

// DownloadCertificate gives a certificate as pem, der, chain or p7b.
func (c *Client) DownloadCertificate(ctx context.Context, id, format string) (out []byte, err error) {
	err = c.call(ctx, http.MethodGet, at("/certificates", id, "download"), url.Values{"format": {format}}, nil, &out)
	return out, err
}

// RenewCertificate renews a certificate whose key is made here.
func (c *Client) RenewCertificate(ctx context.Context, id string, wait bool) (resource.Request, error) {
	return post[resource.Request](ctx, c, at("/certificates", id, "renew"), resource.RenewInput{Wait: wait})
}

// RevokeCertificate revokes a certificate.
func (c *Client) RevokeCertificate(ctx context.Context, id string, in resource.RevokeInput) (resource.Certificate, error) {
	return post[resource.Certificate](ctx, c, at("/certificates", id, "revoke"), in)
}

// RevokeCertificates revokes many certificates.
func (c *Client) RevokeCertificates(ctx context.Context, in resource.BulkRevokeInput) (resource.BulkResult, error) {
	return post[resource.BulkResult](ctx, c, "/certificates/revoke", in)
}

// OrderRevocation revokes everything a filter finds, in the background.
func (c *Client) OrderRevocation(ctx context.Context, in resource.RevocationOrder) (resource.Revocation, error) {
	return post[resource.Revocation](ctx, c, "/revocations", in)
}

// Revocations lists the revocations of many, newest first.
func (c *Client) Revocations(ctx context.Context) (resource.Page[resource.Revocation], error) {
	return get[resource.Page[resource.Revocation]](ctx, c, "/revocations", nil)
}

// Revocation tells how far a revocation of many has come.
func (c *Client) Revocation(ctx context.Context, id string) (resource.Revocation, error) {
	return get[resource.Revocation](ctx, c, at("/revocations", id), nil)
}

// HoldCertificate puts a certificate on hold.
func (c *Client) HoldCertificate(ctx context.Context, id, comment string) (resource.Certificate, error) {
	return post[resource.Certificate](ctx, c, at("/certificates", id, "hold"), resource.CommentInput{Comment: comment})
}

// UnholdCertificate takes a certificate off hold.
func (c *Client) UnholdCertificate(ctx context.Context, id, comment string) (resource.Certificate, error) {
	return post[resource.Certificate](ctx, c, at("/certificates", id, "unhold"), resource.CommentInput{Comment: comment})
}

// TakeKey hands out a key made here with its certificate, once.
func (c *Client) TakeKey(ctx context.Context, id string, in resource.KeyInput) (resource.KeyFile, error) {
	return post[resource.KeyFile](ctx, c, at("/certificates", id, "key"), in)
}

// Obligations lists what waits.
func (c *Client) Obligations(ctx context.Context, q resource.ObligationQuery) (resource.Page[resource.Waiting], error) {
	return get[resource.Page[resource.Waiting]](ctx, c, "/obligations", q)
}

// Calendar counts what ends on each of the coming days; no group means all.
func (c *Client) Calendar(ctx context.Context, group string, days int) (out resource.Calendar, err error) {
	query := url.Values{"days": {strconv.Itoa(days)}}
	if group != "" {
		query.Set("group_id", group)
	}
	err = c.call(ctx, http.MethodGet, "/calendar", query, nil, &out)
	return out, err
}
