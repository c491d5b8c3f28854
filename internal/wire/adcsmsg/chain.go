package adcsmsg

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"chancery/internal/wire/cms"
)

// ReadChain reads the certificates of an answer: leaf is DER, chain a certs-only
// SignedData in any order. The leaf comes first, then its issuers as far as the
// chain has them, by name and signature. A chain without the leaf is no fault of
// it; a leaf that is not a certificate is ErrChain.
func ReadChain(leaf, chain []byte) ([]*x509.Certificate, error) {
	first, err := x509.ParseCertificate(leaf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	all, err := ReadCertificates(chain)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{first}, Above(first, all)...), nil
}

// ReadCertificates reads a certs-only SignedData; none is no error. One that
// crypto/x509 refuses is left out.
func ReadCertificates(chain []byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, nil
	}
	list, _, err := cms.ParseDegenerate(chain, cms.Limits{MaxBytes: maxBlob})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChain, err)
	}
	var out []*x509.Certificate
	for _, c := range list {
		if x, err := x509.ParseCertificate(c.Raw); err == nil {
			out = append(out, x)
		}
	}
	return out, nil
}

// Above gives the issuers of a certificate among others, the nearest first.
func Above(c *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for range others {
		var next *x509.Certificate
		for _, x := range others {
			if !x.Equal(c) && bytes.Equal(x.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(x) == nil {
				next = x
				break
			}
		}
		if next == nil {
			break
		}
		out, c = append(out, next), next
	}
	return out
}
