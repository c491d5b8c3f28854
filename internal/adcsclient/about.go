package adcsclient

import (
	"context"
	"crypto/x509"
	"fmt"

	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
	"chancery/internal/wire/hresult"
)

// nobody is a request number that no CA has given.
const nobody = 0x7fffffff

// Ping asks whether the CA answers to its name, as far as that can be known
// without asking for anything: over ICertPassage by retrieving a request that
// cannot exist.
func (c *Client) Ping(ctx context.Context) error {
	if c.way == DCOM {
		stub, err := adcsmsg.EncodeAuthority(c.authority)
		_, err = call(ctx, c.requests, adcsmsg.CertRequestD, adcsmsg.OpPing, stub, err)
		return err
	}
	_, err := c.Retrieve(ctx, nobody)
	if Code(err) == hresult.PropertyEmpty || Code(err) == hresult.NoRequest {
		return nil
	}
	return err
}

// CAName asks a host for the name of its CA, which needs no name.
func (c *Client) CAName(ctx context.Context) (string, error) {
	if err := c.needsDCOM(); err != nil {
		return "", err
	}
	stub, err := adcsmsg.EncodeGetCACert(adcsmsg.CACertName, "")
	name, err := c.text(c.blob(ctx, adcsmsg.CertRequestD, adcsmsg.OpGetCACert, stub, err))
	if err == nil && name == "" {
		err = ra.Errorf(ra.RefusedByCA, "The server does not tell the name of its CA.").WithRemedy("Enter the authority name: the common name of the CA certificate.")
	}
	return name, err
}

// CACertificates gives the CA's newest certificate and those above it.
func (c *Client) CACertificates(ctx context.Context) ([]*x509.Certificate, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	stub, err := adcsmsg.EncodeGetCACert(adcsmsg.CACertSigning, c.authority)
	own, err := c.blob(ctx, adcsmsg.CertRequestD, adcsmsg.OpGetCACert, stub, err)
	if err != nil {
		return nil, err
	}
	chain, err := c.CAProperty(ctx, adcsmsg.PropSigningChain, adcsmsg.Newest)
	if err != nil {
		return nil, err
	}
	list, err := adcsmsg.ReadChain(own, chain)
	if err != nil {
		return nil, malformed(err)
	}
	return list, nil
}

// maxRenewals bounds how many certificates of its own a CA can have had.
const maxRenewals = 200

// SigningCertificates gives every certificate that the CA has had for itself, the
// present one first: one for each renewal, with a new key or with the same.
func (c *Client) SigningCertificates(ctx context.Context) ([]*x509.Certificate, error) {
	b, err := c.CAProperty(ctx, adcsmsg.PropSigningCount, 0)
	if err != nil {
		return nil, needs(err, "Read")
	}
	count, err := adcsmsg.Long(b)
	if err == nil && (count == 0 || count > maxRenewals) {
		err = fmt.Errorf("%d certificates of the CA", count)
	}
	if err != nil {
		return nil, malformed(err)
	}
	var list []*x509.Certificate
	for index := int(count) - 1; index >= 0; index-- {
		der, err := c.CAProperty(ctx, adcsmsg.PropSigning, uint32(index))
		if err != nil {
			return nil, err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, malformed(err)
		}
		list = append(list, cert)
	}
	return list, nil
}

// CAProperty gives the value of a property, by index where it has several.
func (c *Client) CAProperty(ctx context.Context, p adcsmsg.Property, index uint32) ([]byte, error) {
	if err := c.needsDCOM(); err != nil {
		return nil, err
	}
	stub, err := adcsmsg.EncodeGetCAProperty(c.authority, p, index)
	return c.blob(ctx, adcsmsg.CertRequestD2, adcsmsg.OpGetCAProperty, stub, err)
}

// CRL gives the newest base CRL, DER.
func (c *Client) CRL(ctx context.Context) ([]byte, error) {
	return c.CAProperty(ctx, adcsmsg.PropBaseCRL, adcsmsg.Newest)
}

// Templates lists what the CA issues. A standalone CA has none.
func (c *Client) Templates(ctx context.Context) ([]adcsmsg.Template, error) {
	text, err := c.text(c.CAProperty(ctx, adcsmsg.PropTemplates, 0))
	if err != nil {
		return nil, err
	}
	list, err := adcsmsg.ParseTemplates(text)
	if err != nil {
		return nil, malformed(err)
	}
	return list, nil
}

// blob calls a method that answers with one blob.
func (c *Client) blob(ctx context.Context, iid [16]byte, opnum uint16, stub []byte, err error) ([]byte, error) {
	to := c.requests
	if iid == adcsmsg.CertAdminD || iid == adcsmsg.CertAdminD2 {
		to = c.admin
	}
	out, err := call(ctx, to, iid, opnum, stub, err)
	if err != nil {
		return nil, err
	}
	b, err := adcsmsg.DecodeBlob(out)
	if err != nil {
		return nil, malformed(err)
	}
	return b, nil
}

// text reads what a call gave as a text.
func (c *Client) text(b []byte, err error) (string, error) {
	if err != nil {
		return "", err
	}
	s, err := adcsmsg.Text(b)
	if err != nil {
		return "", malformed(err)
	}
	return s, nil
}
