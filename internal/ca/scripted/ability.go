package scripted

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ra"
	"chancery/internal/secret"
)

// KeyTypesAtCA lists the keys the authority makes.
func (c *Connector) KeyTypesAtCA() []string { return []string{"rsa-2048", "p-256"} }

// Revoke revokes, holds, or lifts a hold. A revocation that is no hold cannot
// be lifted: Conflict.
func (c *Connector) Revoke(_ context.Context, r ca.Revocation) error {
	a := c.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Certificate == nil || r.Certificate.CheckSignatureFrom(a.cert) != nil {
		return ra.Errorf(ra.Invalid, "The scripted authority did not issue the certificate.").WithRemedy("Revoke it where it came from.")
	}
	number := serial(r.Certificate)
	before, revoked := a.revoked[number]
	switch {
	case r.Reason == ra.RemoveFromCRL && revoked && before != ra.CertificateHold:
		return ra.Errorf(ra.Conflict, "The certificate is revoked for good.").WithRemedy("Ask for a new certificate.").WithRetry(ra.Never)
	case r.Reason == ra.RemoveFromCRL:
		delete(a.revoked, number)
	case !revoked || before == ra.CertificateHold:
		a.revoked[number] = r.Reason
	}
	return nil
}

// Reasons are all.
func (c *Connector) Reasons() []ra.RevocationReason { return ra.Reasons }

// Check tells whether the password is right.
func (c *Connector) Check(_ context.Context, report func(ca.Step)) {
	report(ca.Step{Name: "Line", State: ca.StepOK})
	if !c.password.Equal(secret.New(Password)) {
		report(ca.Step{Name: "Password", State: ca.StepFailed, Detail: "The password is wrong.", Remedy: "Enter the password of the account."})
		report(ca.Step{Name: "Profiles", State: ca.StepSkipped})
		return
	}
	report(ca.Step{Name: "Password", State: ca.StepOK})
	report(ca.Step{Name: "Profiles", State: ca.StepOK})
}

// Catalog knows the look-up profiles.
func (c *Connector) Catalog(_ context.Context, lookup string, _ map[string]string) ([]ca.Profile, error) {
	if lookup != "profiles" {
		return nil, ra.Errorf(ra.NotFound, "The scripted authority has no such list.").WithRemedy("Ask for the list profiles.")
	}
	return []ca.Profile{
		{ID: "device", Title: "Device", KeyTypes: []string{"p-256"}},
		{ID: "person", Title: "Person", Fields: []ca.ProfileField{{Name: "mail", Label: "Mail address", Required: true, MaxLength: 254}}},
	}, nil
}

// Challenge hands out a SCEP challenge.
func (c *Connector) Challenge(_ context.Context, _ ca.ChallengeOrder) (ca.SCEPChallenge, error) {
	text := secret.Token("", 128)
	a := c.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	a.challenges++
	sum := sha256.Sum256(a.cert.Raw)
	return ca.SCEPChallenge{URL: "https://ca.example.test/scep", Secret: text, ExpiresAt: a.now().Add(time.Hour), Fingerprint: hex.EncodeToString(sum[:])}, nil
}

// Chain gives the CA certificate.
func (c *Connector) Chain(context.Context) ([]*x509.Certificate, error) {
	return []*x509.Certificate{c.authority.cert}, nil
}

// CRL signs a list of what is revoked now.
func (c *Connector) CRL(context.Context) ([]byte, error) {
	a := c.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	a.crls++
	now := a.now().UTC().Truncate(time.Second)
	list := &x509.RevocationList{Number: big.NewInt(a.crls), ThisUpdate: now, NextUpdate: now.Add(24 * time.Hour)}
	for number, reason := range a.revoked {
		n, _ := new(big.Int).SetString(number, 16)
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: now, ReasonCode: int(reason)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		return nil, ra.AsError(err)
	}
	return der, nil
}
