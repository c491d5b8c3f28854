package adcsclient

import (
	"context"
	"math/big"
	"time"

	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
)

// manage calls a method of ICertAdminD or D2.
func (c *Client) manage(ctx context.Context, iid [16]byte, opnum uint16, stub []byte, err error) ([]byte, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	return call(ctx, c.admin, iid, opnum, stub, err)
}

// Revoke revokes a certificate as of a time, which may be in the future; reason is
// one of RFC 5280 §5.3.1, or adcsmsg.Unhold. It needs Issue and Manage
// Certificates.
func (c *Client) Revoke(ctx context.Context, serial *big.Int, reason uint32, at time.Time) error {
	text, err := adcsmsg.SerialText(serial)
	var stub []byte
	if err == nil {
		stub, err = adcsmsg.EncodeRevoke(c.authority, text, reason, at)
	}
	_, err = c.manage(ctx, adcsmsg.CertAdminD, adcsmsg.OpRevoke, stub, err)
	return needs(err, "Issue and Manage Certificates")
}

// Status asks what the CA knows of a certificate: one of adcsmsg.CertificateRevoked,
// CertificateValid and CertificateUnknown, with the reason of a revocation.
func (c *Client) Status(ctx context.Context, serial *big.Int) (status uint32, reason int32, err error) {
	text, err := adcsmsg.SerialText(serial)
	var stub []byte
	if err == nil {
		stub, err = adcsmsg.EncodeIsValid(c.authority, text)
	}
	out, err := c.manage(ctx, adcsmsg.CertAdminD, adcsmsg.OpIsValid, stub, err)
	if err != nil {
		return 0, 0, err
	}
	if reason, status, err = adcsmsg.DecodeIsValid(out); err != nil {
		return 0, 0, malformed(err)
	}
	return status, reason, nil
}

// PublishCRL has the CA sign and publish a base CRL and a delta CRL, for its usual
// period. It needs Manage CA.
func (c *Client) PublishCRL(ctx context.Context) error {
	stub, err := adcsmsg.EncodePublishCRLs(c.authority, time.Time{}, adcsmsg.PublishBase|adcsmsg.PublishDelta)
	_, err = c.manage(ctx, adcsmsg.CertAdminD2, adcsmsg.OpPublishCRLs, stub, err)
	return needs(err, "Manage CA")
}

// Approve issues a pending request. It needs Issue and Manage Certificates.
func (c *Client) Approve(ctx context.Context, id uint32) error {
	stub, err := adcsmsg.EncodeByID(c.authority, id)
	out, err := c.manage(ctx, adcsmsg.CertAdminD, adcsmsg.OpResubmit, stub, err)
	if err != nil {
		return needs(err, "Issue and Manage Certificates")
	}
	v, err := adcsmsg.DecodeLong(out)
	if err != nil {
		return malformed(err)
	}
	switch d := adcsmsg.Disposition(v); d {
	case adcsmsg.Issued:
		return nil
	case adcsmsg.Pending:
		return ended("The request is still pending at the CA after it was approved.", "Look at the request in the CA's console.", "")
	default:
		_, err := read(adcsmsg.Answer{Disposition: d})
		return err
	}
}

// Deny denies a pending request. It needs Issue and Manage Certificates.
func (c *Client) Deny(ctx context.Context, id uint32) error {
	stub, err := adcsmsg.EncodeByID(c.authority, id)
	_, err = c.manage(ctx, adcsmsg.CertAdminD, adcsmsg.OpDeny, stub, err)
	return needs(err, "Issue and Manage Certificates")
}

// MyRoles gives the rights of the account at the CA: adcsmsg.RoleRequest and its
// kin.
func (c *Client) MyRoles(ctx context.Context) (uint32, error) {
	stub, err := adcsmsg.EncodeAuthority(c.authority)
	out, err := c.manage(ctx, adcsmsg.CertAdminD2, adcsmsg.OpGetMyRoles, stub, err)
	if err != nil {
		return 0, err
	}
	v, err := adcsmsg.DecodeLong(out)
	if err != nil {
		return 0, malformed(err)
	}
	return v, nil
}

// policy is where Microsoft's policy module keeps its settings.
const policy = `PolicyModules\CertificateAuthority_MicrosoftDefault.Policy`

// EditFlags gives the flags of the policy module (EDITF_*). Many CAs tell them to
// administrators only.
func (c *Client) EditFlags(ctx context.Context) (uint32, error) {
	return c.number(ctx, policy, "EditFlags")
}

// InterfaceFlags gives the flags of the CA's interfaces (IF_*).
func (c *Client) InterfaceFlags(ctx context.Context) (uint32, error) {
	return c.number(ctx, "", "InterfaceFlags")
}

// DisableExtensionList gives the extensions that the CA leaves out, as it writes
// them. An empty list and one that was never set are the same.
func (c *Client) DisableExtensionList(ctx context.Context) (string, error) {
	v, err := c.ConfigEntry(ctx, policy, "DisableExtensionList")
	if Code(err) == hresult.FileNotFound {
		return "", nil
	}
	return v.String, err
}

func (c *Client) number(ctx context.Context, node, entry string) (uint32, error) {
	v, err := c.ConfigEntry(ctx, node, entry)
	if err == nil && v.Type != adcsmsg.VariantLong {
		return 0, malformed(adcsmsg.ErrVariant)
	}
	return v.Long, err
}

// ConfigEntry gives an entry of the CA's configuration.
func (c *Client) ConfigEntry(ctx context.Context, node, entry string) (adcsmsg.Variant, error) {
	stub, err := adcsmsg.EncodeGetConfigEntry(c.authority, node, entry)
	out, err := c.manage(ctx, adcsmsg.CertAdminD2, adcsmsg.OpGetConfigEntry, stub, err)
	if err != nil {
		return adcsmsg.Variant{}, err
	}
	v, err := adcsmsg.DecodeVariant(out)
	if err != nil {
		return adcsmsg.Variant{}, malformed(err)
	}
	return v, nil
}

// Security gives the CA's security descriptor (MS-DTYP §2.4.6): who may request,
// and who may manage.
func (c *Client) Security(ctx context.Context) ([]byte, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	stub, err := adcsmsg.EncodeAuthority(c.authority)
	return c.blob(ctx, adcsmsg.CertAdminD2, adcsmsg.OpGetCASecurity, stub, err)
}

// needs says of a denied call which right it takes.
func needs(err error, right string) error {
	if Code(err) != hresult.AccessDenied {
		return err
	}
	e := *ra.AsError(err)
	e.Message = "The service account lacks the right " + right + " at the CA, or its password is wrong. (" + hresult.AccessDenied.String() + " E_ACCESSDENIED)"
	e.Remedy = "Give the account " + right + " in the security properties of the CA."
	return &e
}
