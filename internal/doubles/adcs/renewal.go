package adcs

import (
	"bytes"
	"crypto/x509"
)

// checkRenewal checks a request that names the certificate it renews: the CMS
// message around it is signed with that certificate's key (MS-WCCE
// 3.2.1.4.2.1.4.2.1). Without the attribute, or without the message, it is a
// request like any other.
func (ca *CA) checkRenewal(a *ask) uint32 {
	if a.incoming.old == nil || a.signer == nil || a.pairs["requestername"] != "" {
		return 0
	}
	old, err := x509.ParseCertificate(a.incoming.old)
	if err != nil || !bytes.Equal(old.Raw, a.signer.Raw) {
		return badRenewalCert
	}
	if code := ca.checkChain(old, a.sent); code != 0 {
		return code
	}
	r := ca.bySerial(serialText(old.SerialNumber))
	if r == nil || r.ask == nil {
		return badRenewalCert
	}
	if r.ask.subject.User != a.caller.User {
		if a.flags&flagROBO == 0 || ca.cfg.EditFlags&EditRenewOnBehalf == 0 {
			return badRenewalSubject
		}
		a.subject = r.ask.subject
	}
	if a.template.KeyFlags&SameKeyRenewal != 0 && !bytes.Equal(a.csr.RawSPKI, old.RawSubjectPublicKeyInfo) {
		return renewalPublicKey
	}
	a.old, a.previous = old, true
	return 0
}
