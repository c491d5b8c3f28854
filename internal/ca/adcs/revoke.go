package adcs

import (
	"context"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
)

// Reasons lists what the CA understands; none without DCOM.
func (c *Connector) Reasons() []ra.RevocationReason {
	if !c.manages() {
		return nil
	}
	return []ra.RevocationReason{ra.Unspecified, ra.KeyCompromise, ra.CACompromise, ra.AffiliationChanged, ra.SupersededReason, ra.CessationOfOperation,
		ra.CertificateHold, ra.RemoveFromCRL}
}

// Revoke has the CA revoke a certificate, put it on hold or take it off. What is so
// already is no error.
func (c *Connector) Revoke(ctx context.Context, o ca.Revocation) error {
	at := o.At
	if at.IsZero() {
		at = c.env.Now()
	}
	reason := uint32(o.Reason)
	if o.Reason == ra.RemoveFromCRL {
		reason = adcsmsg.Unhold
	}
	return c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
		err := client.Revoke(ctx, o.Certificate.SerialNumber, reason, at)
		if code := adcsclient.Code(err); code == hresult.InvalidArgument || code == hresult.InvalidData || code == hresult.PropertyEmpty {
			err = settled(ctx, client, o, err)
		}
		if err != nil {
			return err
		}
		c.publish(ctx, client)
		return nil
	})
}

// settled tells a certificate that is already what it shall be, and one that is not
// of this CA, from a real refusal.
func settled(ctx context.Context, client *adcsclient.Client, o ca.Revocation, refusal error) error {
	status, reason, err := client.Status(ctx, o.Certificate.SerialNumber)
	switch {
	case err != nil:
		return refusal
	case status == adcsmsg.CertificateUnknown:
		return ra.Errorf(ra.NotFound, "The CA has issued no certificate of this serial number.").WithRemedy("Check that the authority still leads to the CA that issued it.").WithRetry(ra.Never).WithCause(refusal)
	case status == adcsmsg.CertificateValid && o.Reason == ra.RemoveFromCRL:
		return nil
	case status == adcsmsg.CertificateRevoked && ra.RevocationReason(reason) == o.Reason:
		return nil
	}
	return refusal
}

// publish has the CA sign its lists anew, where that is wanted. The certificate is
// revoked by then, so that a failure is told to the log only.
func (c *Connector) publish(ctx context.Context, client *adcsclient.Client) {
	if !c.settings.PublishCRL {
		return
	}
	if err := client.PublishCRL(ctx); err != nil {
		c.env.Log.WarnContext(ctx, "the certificate is revoked, but the CA did not publish its CRL", "authority", c.env.Name, "error", err)
	}
}
