package adcs

import (
	"crypto/x509"
	"slices"
	"strings"
)

// checkSigner checks who signed for somebody else: the signatures that the
// template wants, the enrollment agent's certificate, and whom it may act for.
func (ca *CA) checkSigner(a *ask) uint32 {
	a.subject = a.caller
	target, onBehalf := a.pairs["requestername"]
	renewal := a.signer != nil && a.incoming.old != nil && !onBehalf
	t := &a.template
	switch {
	case renewal:
		return 0 // checkRenewal looks at the signature
	case a.signer == nil && t.Signatures > 0 && len(t.RAPolicies) > 0:
		return signaturePolicy
	case a.signer == nil && t.Signatures > 0:
		return signatureCount
	case a.signer == nil:
		return 0
	case onBehalf && t.Signatures > 1:
		return tooManySignatures
	case t.Signatures > 1:
		return signatureCount
	case onBehalf && t.Signatures == 0 && t.Schema > 1:
		return badRenewalSubject
	}
	if code := ca.checkChain(a.signer, a.sent); code != 0 {
		return code
	}
	if t.Schema > 1 {
		for _, policy := range t.RAPolicies {
			if !hasEKU(a.signer, policy) {
				return signatureRejected
			}
		}
	}
	if !onBehalf {
		return 0
	}
	if !hasEKU(a.signer, AgentPolicy) {
		return certWrongUsage
	}
	subject, code := ca.named(target)
	if code != 0 {
		return code
	}
	a.subject = subject
	if !ca.allowed(a.signer.Subject.CommonName, t.Name, subject.User) {
		return restrictedOfficer
	}
	return 0
}

func hasEKU(c *x509.Certificate, oid string) bool {
	for _, u := range c.UnknownExtKeyUsage {
		if u.String() == oid {
			return true
		}
	}
	return oid == ClientAuth && slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
}

// checkChain checks a certificate up to our root: time, issuer, revocation.
func (ca *CA) checkChain(c *x509.Certificate, sent []*x509.Certificate) uint32 {
	now := ca.now()
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return certExpired
	}
	if ca.issuedBy(c) {
		if r := ca.bySerial(serialText(c.SerialNumber)); r != nil && r.revoked(now) {
			return cryptRevoked
		}
		return 0
	}
	if string(c.RawIssuer) == string(c.RawSubject) || slices.ContainsFunc(sent, func(other *x509.Certificate) bool { return c.CheckSignatureFrom(other) == nil }) {
		return certUntrustedRoot
	}
	return certChaining
}

// issuedBy tells whether the CA signed a certificate.
func (ca *CA) issuedBy(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(ca.keys.ca.cert.RawSubject) && c.CheckSignatureFrom(ca.keys.ca.cert) == nil
}

// allowed looks at the restrictions of enrollment agents.
func (ca *CA) allowed(agent, template, target string) bool {
	if len(ca.cfg.Restrictions) == 0 {
		return true
	}
	return slices.ContainsFunc(ca.cfg.Restrictions, func(r AgentRestriction) bool {
		return strings.EqualFold(r.Agent, agent) && (r.Template == "" || strings.EqualFold(r.Template, template)) &&
			(r.Targets == nil || slices.ContainsFunc(r.Targets, func(t string) bool { return strings.EqualFold(t, target) }))
	})
}
