package scepmsg

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"

	"chancery/internal/wire/cms"
)

// ErrNoCACert means that an answer to GetCACert holds no certificate.
var ErrNoCACert = errors.New("scepmsg: the answer to GetCACert holds no certificate")

// ParseCACert reads an answer to GetCACert: one certificate, or a degenerate
// SignedData (RFC 8894 §4.2.1). It goes by the bytes, since servers get the
// media type wrong. The order is that of the answer, and means nothing.
func ParseCACert(b []byte, l cms.Limits) ([]*cms.Certificate, error) {
	if c, err := cms.ParseCertificate(b); err == nil {
		return []*cms.Certificate{c}, nil
	}
	certs, _, err := cms.ParseDegenerate(b, l)
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 {
		return nil, ErrNoCACert
	}
	return certs, nil
}

// ChooseRA picks the certificate to encrypt requests to among those of
// GetCACert, or gives nil: the first RSA one whose keyUsage has
// keyEncipherment, RAs before CAs, then one that does not limit its usage. A
// single RSA certificate is taken as it is, since some servers forget to give
// their CA that usage.
func ChooseRA(certs []*cms.Certificate) *cms.Certificate {
	for _, fits := range []func(*cms.Certificate) bool{
		func(c *cms.Certificate) bool { return !c.IsCA && c.KeyUsage&x509.KeyUsageKeyEncipherment != 0 },
		func(c *cms.Certificate) bool { return c.KeyUsage&x509.KeyUsageKeyEncipherment != 0 },
		func(c *cms.Certificate) bool { return !c.IsCA && c.KeyUsage == 0 },
		func(c *cms.Certificate) bool { return c.KeyUsage == 0 || len(certs) == 1 },
	} {
		for _, c := range certs {
			if _, isRSA := c.PublicKey.(*rsa.PublicKey); isRSA && fits(c) {
				return c
			}
		}
	}
	return nil
}

// ReplySigners gives the certificates of GetCACert whose keyUsage allows them
// to sign replies. Old NDES has one RA certificate to sign with and another to
// encrypt to.
func ReplySigners(certs []*cms.Certificate) []*cms.Certificate {
	var signers []*cms.Certificate
	for _, c := range certs {
		if c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
			signers = append(signers, c)
		}
	}
	return signers
}
