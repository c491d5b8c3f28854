package adpki

import (
	"crypto/x509"
	"slices"
	"time"
)

// Object identifiers of key purposes that decide here.
const (
	PurposeClientAuth  = "1.3.6.1.5.5.7.3.2"
	PurposePKINIT      = "1.3.6.1.5.2.3.4"
	PurposeSmartCard   = "1.3.6.1.4.1.311.20.2.2"
	PurposeAny         = "2.5.29.37.0"
	PurposeEnrollAgent = "1.3.6.1.4.1.311.20.2.1"
)

// Template is one certificate template (MS-CRTD §2).
type Template struct {
	Object             // Name is what requests call it
	DisplayName string // what people call it
	OID         string // names it, with Major and Minor, in the version 2 extension
	Schema      int    // 1 to 4
	Major       int
	Minor       int

	General GeneralFlags
	Names   NameFlags
	Enroll  EnrollFlags
	Key     KeyFlags

	Validity time.Duration
	Overlap  time.Duration // before the end of the validity renewal begins

	KeyPurposes         []string // pKIExtendedKeyUsage
	ApplicationPolicies []string // the same for schema 2 and later
	IssuancePolicies    []string
	KeyUsage            x509.KeyUsage
	Critical            []string // OIDs of extensions that are marked critical

	MinKeyBits   int
	KeySpec      int      // 1 exchange, 2 signature
	Providers    []string // such as "1,Microsoft RSA SChannel Cryptographic Provider"
	IssuingDepth int

	Signatures int        // of enrollment agents that a request must carry
	Agent      AgentRules // what they and the key must be
}

var templateAttributes = append([]string{
	"displayName", "flags", "revision", "pKIDefaultKeySpec", "pKIMaxIssuingDepth", "pKICriticalExtensions", "pKIExpirationPeriod", "pKIOverlapPeriod",
	"pKIExtendedKeyUsage", "pKIKeyUsage", "pKIDefaultCSPs", "msPKI-Cert-Template-OID", "msPKI-Certificate-Application-Policy",
	"msPKI-Certificate-Name-Flag", "msPKI-Certificate-Policy", "msPKI-Enrollment-Flag", "msPKI-Minimal-Key-Size", "msPKI-Private-Key-Flag",
	"msPKI-RA-Application-Policies", "msPKI-RA-Policies", "msPKI-RA-Signature", "msPKI-Template-Minor-Revision", "msPKI-Template-Schema-Version",
}, objectAttributes...)

// parseTemplate reads a pKICertificateTemplate entry.
func parseTemplate(e Entry) (Template, error) {
	f := &fields{entry: e}
	t := Template{
		Object:      f.object(),
		DisplayName: f.text("displayName"),
		OID:         f.text("msPKI-Cert-Template-OID"),
		Schema:      f.number("msPKI-Template-Schema-Version"),
		Major:       f.number("revision"),
		Minor:       f.number("msPKI-Template-Minor-Revision"),

		General: GeneralFlags(f.mask("flags")),
		Names:   NameFlags(f.mask("msPKI-Certificate-Name-Flag")),
		Enroll:  EnrollFlags(f.mask("msPKI-Enrollment-Flag")),
		Key:     KeyFlags(f.mask("msPKI-Private-Key-Flag")) & allKeyFlags,

		Validity: f.period("pKIExpirationPeriod"),
		Overlap:  f.period("pKIOverlapPeriod"),

		KeyPurposes:         f.texts("pKIExtendedKeyUsage"),
		ApplicationPolicies: f.texts("msPKI-Certificate-Application-Policy"),
		IssuancePolicies:    f.texts("msPKI-Certificate-Policy"),
		KeyUsage:            keyUsage(f.one("pKIKeyUsage")),
		Critical:            f.texts("pKICriticalExtensions"),

		MinKeyBits:   f.number("msPKI-Minimal-Key-Size"),
		KeySpec:      f.number("pKIDefaultKeySpec"),
		Providers:    f.texts("pKIDefaultCSPs"),
		IssuingDepth: f.number("pKIMaxIssuingDepth"),

		Signatures: f.number("msPKI-RA-Signature"),
	}
	t.Schema = max(t.Schema, 1) // version 1 templates need not say so (MS-CRTD §2.16)
	rules, err := parseAgentRules(f.texts("msPKI-RA-Application-Policies"))
	if err != nil {
		f.fail("msPKI-RA-Application-Policies", err.Error())
	}
	t.Agent = rules
	t.Agent.IssuancePolicies = f.texts("msPKI-RA-Policies")
	return t, f.err
}

// keyUsage reads the octets of a KeyUsage bit string, without tag and length.
func keyUsage(b []byte) x509.KeyUsage {
	var usage x509.KeyUsage
	for bit := range 9 {
		if bit/8 < len(b) && b[bit/8]&(0x80>>(bit%8)) != 0 {
			usage |= 1 << bit
		}
	}
	return usage
}

// Purposes gives the key purposes of the certificates, of both attributes that
// name some; none means that they are good for everything.
func (t *Template) Purposes() []string {
	list := append(slices.Clone(t.KeyPurposes), t.ApplicationPolicies...)
	slices.Sort(list)
	return slices.Compact(list)
}

// AnyPurpose reports whether the certificates are good for everything.
func (t *Template) AnyPurpose() bool {
	list := t.Purposes()
	return len(list) == 0 || slices.Contains(list, PurposeAny)
}

// Authenticates reports whether somebody can log on with the certificates.
func (t *Template) Authenticates() bool {
	return t.AnyPurpose() || slices.ContainsFunc(t.Purposes(), func(oid string) bool {
		return oid == PurposeClientAuth || oid == PurposePKINIT || oid == PurposeSmartCard
	})
}

// MakesAgents reports whether the certificates let their holder sign requests
// for others.
func (t *Template) MakesAgents() bool { return slices.Contains(t.Purposes(), PurposeEnrollAgent) }

// TakesAgents reports whether an agent's signature is what issues: schema 1
// templates ask no more of it than to be there.
func (t *Template) TakesAgents() bool {
	return t.Schema == 1 || t.Signatures == 1 && slices.Contains(t.Agent.ApplicationPolicies, PurposeEnrollAgent)
}

// Unattended reports whether a request is issued with nobody else's help:
// neither approval nor an agent's signature.
func (t *Template) Unattended() bool { return !t.Enroll.Has(Approval) && t.Signatures == 0 }
