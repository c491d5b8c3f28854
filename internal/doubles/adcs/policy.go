package adcs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"chancery/internal/wire/pkixmsg"
)

// ask is a request with everything the policy looks at.
type ask struct {
	*incoming
	attributes attributes
	caller     Account
	subject    Account           // whom the certificate is for, where the directory says
	old        *x509.Certificate // of a renewal
	template   Template
	previous   bool // a renewal whose first request was approved
}

// verdict of the policy.
type verdict int

// The verdicts.
const (
	denied verdict = iota
	pending
	granted
)

func (t *Template) complete() {
	orElse(&t.Schema, 2)
	if t.Major == 0 {
		t.Major, t.Minor = 100, 1
	}
	if t.Schema > 1 && t.OID == "" {
		t.OID = "1.3.6.1.4.1.311.21.8.1.2.3"
		for _, c := range []byte(t.Name) {
			t.OID += fmt.Sprintf(".%d", c)
		}
	}
	orElse(&t.KeyBits, 2048)
	orElse(&t.Validity, 365*24*time.Hour)
	orElse(&t.KeyUsage, 0xA0)
	if t.EKU == nil {
		t.EKU = []string{ClientAuth}
	}
}

// judge applies the policy module's rules in its order (MS-WCCE 3.2.2.6.2.1); ca.mu
// is held. approved means that a manager has looked at the request.
func (ca *CA) judge(a *ask, approved bool) (verdict, uint32) {
	steps := []func(*ask) uint32{ca.findTemplate, ca.checkEnroll, ca.checkKey, ca.checkSigner, ca.checkRenewal, ca.checkKeyFlags}
	for _, step := range steps {
		if code := step(a); code != 0 {
			return denied, code
		}
	}
	if a.template.Deny != 0 {
		return denied, a.template.Deny
	}
	if _, code := ca.describe(a); code != 0 {
		return denied, code
	}
	if a.template.EnrollFlags&PendAll != 0 && !approved && !(a.previous && a.template.EnrollFlags&PreviousApproval != 0) {
		return pending, 0
	}
	return granted, 0
}

// findTemplate finds the template that all places of a request agree on.
func (ca *CA) findTemplate(a *ask) uint32 {
	var wanted []string
	if e, ok := a.csr.Extension(oidTemplateV1); ok {
		name, err := pkixmsg.ParseTemplateName(e.Value)
		if err != nil {
			return asn1Corrupt
		}
		wanted = append(wanted, name)
	}
	version := pkixmsg.TemplateInfo{Major: -1, Minor: -1}
	if e, ok := a.csr.Extension(oidTemplateV2); ok {
		var err error
		if version, err = pkixmsg.ParseTemplateInfo(e.Value); err != nil {
			return asn1Corrupt
		}
		wanted = append(wanted, version.OID)
	}
	for _, from := range []map[string]string{a.pairs, a.attributes} {
		if name := from["certificatetemplate"]; name != "" {
			wanted = append(wanted, name)
		}
	}
	if len(wanted) == 0 {
		return noCertType
	}
	found := -1
	for _, name := range wanted {
		i := slices.IndexFunc(ca.catalog, func(t Template) bool {
			return strings.EqualFold(t.Name, name) || t.OID != "" && t.OID == name
		})
		if found >= 0 && i != found {
			return templateConflict
		}
		found = i
	}
	if found < 0 || ca.catalog[found].Unpublished {
		return unsupportedType
	}
	a.template = ca.catalog[found]
	if version.Major > int64(a.template.Major) || version.Major == int64(a.template.Major) && version.Minor > int64(a.template.Minor) {
		return badTemplateVersion
	}
	return 0
}

// checkEnroll: the caller may enroll for the template.
func (ca *CA) checkEnroll(a *ask) uint32 {
	if a.template.Enroll != nil && !slices.ContainsFunc(a.template.Enroll, func(user string) bool { return strings.EqualFold(user, a.caller.User) }) {
		return templateDenied
	}
	return 0
}

func (ca *CA) checkKey(a *ask) uint32 {
	switch {
	case a.csr.WeakSignature:
		return weakSignature
	case a.csr.Key.Bits < a.template.KeyBits:
		return keyLength
	}
	return 0
}

// checkKeyFlags: what no request here can give.
func (ca *CA) checkKeyFlags(a *ask) uint32 {
	switch {
	case a.template.KeyFlags&KeyArchival != 0:
		return archivedKeyNeeded
	case a.template.KeyFlags&AttestationNeeded != 0:
		return keyAttestation
	}
	return 0
}
