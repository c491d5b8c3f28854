package embedded

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
)

// Revoke accepts the revocation of a certificate of this authority and records
// nothing: the store's rows are the truth, and the next CRL is made of them. A
// certificate of another issuer is Invalid.
func (c *Connector) Revoke(_ context.Context, r ca.Revocation) error {
	ours := r.Certificate != nil && slices.ContainsFunc(c.issuers(), func(i *issuer) bool {
		return r.Certificate.CheckSignatureFrom(i.cert) == nil
	})
	if !ours {
		return ra.Errorf(ra.Invalid, "The certificate was not issued by %s.", c.env.Name).
			WithRemedy("Revoke it at the authority that issued it.").WithRetry(ra.Never)
	}
	return nil
}

// Reasons are all that RFC 5280 §5.3.1 has for a person to choose.
func (c *Connector) Reasons() []ra.RevocationReason { return slices.Clone(ra.Reasons) }

// CRLTimes is how long a CRL is valid and how long before its end the next one
// is due.
func (c *Connector) CRLTimes() (validity, overlap time.Duration) { return c.crlValidity, c.crlOverlap }

// Issuers lists the certificates whose keys are here, the one that signs now
// first and the root last: each needs a CRL of its own until the last
// certificate it signed has expired.
func (c *Connector) Issuers() []*x509.Certificate {
	var list []*x509.Certificate
	for _, i := range c.listed() {
		list = append(list, i.cert)
	}
	return list
}

// listed are those whose CRLs are signed here.
func (c *Connector) listed() []*issuer {
	if c.root == nil {
		return c.issuers()
	}
	return append(slices.Clone(c.issuers()), c.root)
}

// CRLShards is how many lists the revocations of the issuing key are divided
// into; those of all others are in one.
func (c *Connector) CRLShards(issuerHash string) int {
	if c.current == nil || c.current.hash != issuerHash || c.baseURL == "" {
		return 1
	}
	return c.shards
}

// CRLPoint is the address that certificates of a shard name; empty where they
// name none.
func (c *Connector) CRLPoint(issuerHash string, s ca.Shard) string {
	all := c.listed()
	at := slices.IndexFunc(all, func(i *issuer) bool { return i.hash == issuerHash })
	if at < 0 || c.baseURL == "" {
		return ""
	}
	return all[at].crlPoint(c.baseURL, s)
}

var oidIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// SignCRLFor signs the CRL of one of Issuers, named by the SHA-256 of its
// SubjectPublicKeyInfo in hex (RFC 5280 §5). NotFound when its key is not here,
// Invalid for an order without a number or with times out of order.
func (c *Connector) SignCRLFor(_ context.Context, issuerHash string, o ca.CRLOrder) ([]byte, error) {
	all := c.listed()
	at := slices.IndexFunc(all, func(i *issuer) bool { return i.hash == issuerHash })
	if at < 0 {
		return nil, ra.Errorf(ra.NotFound, "There is no issuing key of that name at %s.", c.env.Name).
			WithRemedy("Use one of the authority's own issuing certificates.")
	}
	if o.Number <= 0 || !o.NextUpdate.After(o.ThisUpdate) {
		return nil, ra.Errorf(ra.Invalid, "A revocation list needs a positive number and an end after its beginning.").
			WithRemedy("Check the validity of revocation lists in the authority's settings.").WithRetry(ra.Never)
	}
	i := all[at]
	var extra []pkix.Extension
	if len(o.Points) > 0 {
		extra = []pkix.Extension{{Id: oidIssuingPoint, Critical: true, Value: issuingPoint(o.Points)}}
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		ExtraExtensions:           extra,
		Number:                    big.NewInt(o.Number),
		ThisUpdate:                o.ThisUpdate.UTC(),
		NextUpdate:                o.NextUpdate.UTC(),
		RevokedCertificateEntries: o.Entries,
		SignatureAlgorithm:        i.name,
	}, i.cert, i.key)
	var stored *ra.Error
	if errors.As(err, &stored) {
		return nil, unsigned(err)
	}
	if err != nil {
		return nil, ra.Errorf(ra.Internal, "The revocation list could not be signed.").
			WithRemedy("Run Test connection of the authority; it names what is wrong with the key.").WithCause(err)
	}
	return der, nil
}
