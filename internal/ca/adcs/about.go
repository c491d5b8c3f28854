package adcs

import (
	"context"
	"crypto/x509"

	"chancery/internal/adcsclient"
	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/wire/adcsmsg"
)

// CRL gives the CA's newest base CRL.
func (c *Connector) CRL(ctx context.Context) (der []byte, err error) {
	err = c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
		der, err = client.CRL(ctx)
		return err
	})
	return der, err
}

// Chain gives the CA's certificate and those above it: what the settings have when
// there is no DCOM to ask by.
func (c *Connector) Chain(ctx context.Context) (chain []*x509.Certificate, err error) {
	if !c.manages() && len(c.pinned) > 0 {
		return lowestFirst(c.pinned), nil
	}
	err = c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
		chain, err = client.CACertificates(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := c.checkCA(chain[0]); err != nil {
		return nil, err
	}
	return c.complete(chain), nil
}

// checkCA holds the CA's certificate against those that are set, if any.
func (c *Connector) checkCA(own *x509.Certificate) error {
	if len(c.pinned) == 0 {
		return nil
	}
	for _, x := range c.pinned {
		if x.Equal(own) {
			return nil
		}
	}
	return ra.Errorf(ra.RefusedByCA, "The CA's certificate is not among those that are set.").WithField("ca_certificates").
		WithRemedy("Compare it with what the CA's administrator sees. If the CA was renewed on purpose, add its new certificate.").WithRetry(ra.Never)
}

// lowestFirst orders certificates: one that signed none of the others, then those
// above it.
func lowestFirst(list []*x509.Certificate) []*x509.Certificate {
	for _, x := range list {
		lowest := true
		for _, other := range list {
			if other != x && other.CheckSignatureFrom(x) == nil {
				lowest = false
			}
		}
		if lowest {
			return append([]*x509.Certificate{x}, adcsmsg.Above(x, list)...)
		}
	}
	return list
}

// Catalog lists the templates that the CA issues, and the name of the server's CA.
func (c *Connector) Catalog(ctx context.Context, lookup string, _ map[string]string) ([]ca.Profile, error) {
	var out []ca.Profile
	switch lookup {
	case "templates":
		err := c.with(ctx, true, func(ctx context.Context, client *adcsclient.Client) error {
			list, err := client.Templates(ctx)
			for _, t := range list {
				out = append(out, ca.Profile{ID: t.Name, Title: t.Name, Note: t.OID})
			}
			return err
		})
		return out, err
	case "authorities":
		err := c.by(ctx, adcsclient.DCOM, "", func(ctx context.Context, client *adcsclient.Client) error {
			name, err := client.CAName(ctx)
			out = append(out, ca.Profile{ID: name, Title: name})
			return err
		})
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	return nil, ra.Errorf(ra.NotFound, "A Microsoft CA has no such list.").WithRemedy("Ask for templates or authorities.")
}
