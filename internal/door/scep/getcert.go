package scep

import (
	"context"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/wire/scepmsg"
)

// getCert gives a device one of its own certificates by issuer and serial
// number (RFC 8894 §3.3.4). Others' are as unknown as those never issued.
func (x *exchange) getCert(ctx context.Context) ([]byte, error) {
	none := ra.Errorf(ra.NotFound, "The device has no such certificate.").WithRemedy("Look up the serial number in the inventory.")
	serial, ok := serialOf(x.content.Subject.Serial)
	if !ok {
		return nil, none
	}
	var found *ra.Certificate
	err := x.DB.Read(ctx, func(tx *store.Tx) error {
		issuers, err := issuersNamed(tx, x.template.AuthorityID, x.content.Subject.RawIssuer)
		if err != nil {
			return err
		}
		for _, i := range issuers {
			c, err := tx.CertificateBySerial(i.SPKIHash, serial)
			if ra.KindOf(err) == ra.NotFound || err == nil && c.DeviceID != x.facts.row.DeviceID {
				continue
			}
			found = c
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, none
	}
	return x.grant(ctx, found)
}

// getCRL gives the CRL of an issuer (RFC 8894 §3.3.5), which is named by a
// certificate it issued. An issuer whose CRL is published elsewhere has none
// here.
func (x *exchange) getCRL(ctx context.Context) ([]byte, error) {
	var issuers []store.Issuer
	err := x.DB.Read(ctx, func(tx *store.Tx) (err error) {
		issuers, err = issuersNamed(tx, x.template.AuthorityID, x.content.Subject.RawIssuer)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(issuers) == 0 {
		return nil, ra.Errorf(ra.NotFound, "The CRL asked for is of another issuer.").WithRemedy("Use the address in the certificate.")
	}
	crl, err := x.Lifecycle.CRL(ctx, issuers[0].SPKIHash)
	if err != nil {
		return nil, err
	}
	return x.responder.Success(x.message, scepmsg.Grant{CRLs: [][]byte{crl.DER}})
}
