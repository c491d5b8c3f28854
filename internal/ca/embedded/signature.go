package embedded

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"

	"chancery/internal/ra"
)

// signatureKey is where the signature of a request's certificate is kept.
func signatureKey(requestID string) string { return "signature/" + requestID }

// signed gives the certificate of a TBS from the journal. A key in memory signs
// it each time alike. A key in a store signs it each time differently, and two
// certificates with one serial number must never be seen. So its signature is
// journaled before the certificate leaves this function, and whoever comes
// second, at the same moment or after a crash, takes the one that is there; its
// own is forgotten where it was made.
func (c *Connector) signed(ctx context.Context, i *issuer, tbs []byte, requestID string) (*x509.Certificate, error) {
	if i.repeats() {
		return i.sign(tbs)
	}
	signature, err := c.env.Journal.Get(ctx, signatureKey(requestID))
	if errors.Is(err, &ra.Error{Kind: ra.NotFound}) {
		cert, failed := i.sign(tbs)
		if failed != nil {
			return nil, failed
		}
		signature, err = c.env.Journal.Put(ctx, signatureKey(requestID), cert.Signature)
	}
	if err != nil {
		return nil, ra.Errorf(ra.Unreachable, "The authority could not record the certificate, so it was not given out.").
			WithRemedy("Check the database and its disk; the request is tried again.").WithCause(err)
	}
	cert, err := i.assemble(tbs, signature)
	if err != nil {
		return nil, err
	}
	return cert, i.verify(cert)
}

// repeats reports whether the key gives the same signature for the same bytes.
func (s signer) repeats() bool {
	switch s.key.(type) {
	case *ecdsa.PrivateKey, *rsa.PrivateKey:
		return true
	}
	return false
}
