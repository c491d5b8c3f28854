package lint

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/wire/pkixmsg"
)

// Extensions that only this package needs names for.
const (
	oidAuthorityKeyID = "2.5.29.35"
	oidCRLPoints      = "2.5.29.31"
	oidAuthorityInfo  = "1.3.6.1.5.5.7.1.1"
	oidNoCheck        = "1.3.6.1.5.5.7.48.1.5"
)

const internalRemedy = "Report it: the server built a certificate it must not build."

// mayBeCritical says of each extension we issue whether it has to be critical
// (RFC 5280 §4.2.1). The subject alternative name depends on the subject.
var mayBeCritical = map[string]bool{
	pkixmsg.OIDKeyUsage: true, pkixmsg.OIDBasicConstraints: true,
	pkixmsg.OIDExtKeyUsage: false, pkixmsg.OIDSubjectKeyIdentifier: false, oidAuthorityKeyID: false,
	oidCRLPoints: false, oidAuthorityInfo: false, oidNoCheck: false, pkixmsg.OIDSecurityIdentifier: false,
	pkixmsg.OIDSubjectAltName: false,
}

// check holds the certificate against our own rules, value by value.
func (c *tbs) check(in Intent) []Finding {
	var r report
	c.checkSerial(&r)
	c.checkIssuer(&r, in)
	c.checkValidity(&r, in)
	c.checkKey(&r)
	c.checkNames(&r)
	c.checkExtensions(&r)
	c.checkConstraints(&r, in)
	c.checkUsage(&r, in)
	c.checkSID(&r, in)
	return r
}

type report []Finding

func (r *report) add(broken bool, rule, message, remedy string) {
	if broken {
		*r = append(*r, Finding{rule, message, remedy})
	}
}

// checkSerial: positive and at most 20 octets (RFC 5280 §4.1.2.2); at least 64
// bits, so that there was room for as many random ones.
func (c *tbs) checkSerial(r *report) {
	negative := c.serial[0]&0x80 != 0
	padded := len(c.serial) > 1 && c.serial[0] == 0 && c.serial[1]&0x80 == 0
	r.add(negative || padded, "serial_positive", "its serial number is not positive or not in its shortest form.", internalRemedy)
	r.add(len(c.serial) > 20, "serial_length", "its serial number has more than 20 octets.", internalRemedy)
	r.add(len(c.serial) < 8, "serial_random", "its serial number has less than 64 bits.", internalRemedy)
}

// checkIssuer: the names chain (RFC 5280 §4.1.2.4, §6.1.3) and the key
// identifiers agree (§4.2.1.1).
func (c *tbs) checkIssuer(r *report, in Intent) {
	aki, hasAKI := c.extension(oidAuthorityKeyID)
	ski, hasSKI := c.extension(pkixmsg.OIDSubjectKeyIdentifier)
	want, err := pkixmsg.SubjectKeyID(c.spki, pkixmsg.KeyIDSHA256)
	var keyID cryptobyte.String
	value := cryptobyte.String(ski.Value)
	r.add(!hasSKI || err != nil || !value.ReadASN1(&keyID, cbasn1.OCTET_STRING) || !value.Empty() || !bytes.Equal(keyID, want),
		"subject_key_identifier", "it lacks the identifier of its own key.", internalRemedy)
	if in.Issuer == nil {
		r.add(!bytes.Equal(c.issuer, c.subject), "issuer_name", "it signs itself under another name.", internalRemedy)
		return
	}
	r.add(!bytes.Equal(c.issuer, in.Issuer.RawSubject), "issuer_name", "its issuer is not the name of the certificate that signs it.", internalRemedy)
	id, ok := parseAKI(aki.Value)
	r.add(!hasAKI || !ok || len(in.Issuer.SubjectKeyId) > 0 && !bytes.Equal(id, in.Issuer.SubjectKeyId),
		"authority_key_identifier", "it lacks the identifier of the key that signs it.", internalRemedy)
}

// parseAKI gives the keyIdentifier when it is the only field.
func parseAKI(value []byte) ([]byte, bool) {
	input := cryptobyte.String(value)
	var body, id cryptobyte.String
	ok := input.ReadASN1(&body, cbasn1.SEQUENCE) && input.Empty() &&
		body.ReadASN1(&id, cbasn1.Tag(0).ContextSpecific()) && body.Empty() && len(id) > 0
	return id, ok
}

// checkValidity: exactly as long as asked. Both ends belong to the period (RFC
// 5280 §4.1.2.5), so a year that ends on the second it began has a second too
// many, which is how limits are broken by accident.
func (c *tbs) checkValidity(r *report, in Intent) {
	span := c.notAfter.at.Sub(c.notBefore.at) + time.Second
	r.add(span <= 0, "validity_order", "it ends before it begins.", "Choose a longer validity.")
	endsWithIssuer := in.Issuer != nil && c.notAfter.at.Equal(in.Issuer.NotAfter)
	r.add(span > in.Validity || span < in.Validity && !endsWithIssuer,
		"validity_exact", "its validity is not the one asked for.", internalRemedy)
	for _, m := range []moment{c.notBefore, c.notAfter} {
		r.add((m.at.Year() >= 2050) != (m.tag == cbasn1.GeneralizedTime), "validity_encoding",
			"a date is in the wrong time type for its year.", internalRemedy)
	}
	if in.Issuer != nil {
		r.add(c.notAfter.at.After(in.Issuer.NotAfter), "validity_within_issuer", "it outlives the certificate that signs it.",
			"Renew the issuing certificate, or choose a shorter validity.")
		r.add(c.notBefore.at.Before(in.Issuer.NotBefore), "validity_within_issuer", "it begins before the certificate that signs it.",
			"Check the clock of the server.")
	}
}

func (c *tbs) checkKey(r *report) {
	if err := pkixmsg.CheckKey(c.key); err != nil {
		r.add(true, "public_key_strength", lower(err), "Make a new key, RSA with 2048 bits or more, or P-256.")
		return
	}
	if key, ok := c.key.(*rsa.PublicKey); ok {
		r.add(closePrimes(key.N), "public_key_strength", "its RSA key can be factored: the two primes are too close to each other.",
			"Update the software or firmware that made the key, then make a new key.")
	}
}

// checkNames reads the names back and writes them again: whatever the writer of
// pkixmsg would refuse or spell in another way does not belong in a certificate.
func (c *tbs) checkNames(r *report) {
	const remedy = "Correct the subject or the alternative names of the template."
	name, err := pkixmsg.ParseNameDER(c.subject)
	if err == nil {
		var again []byte
		if again, err = name.DER(); err == nil && !bytes.Equal(again, c.subject) {
			r.add(true, "subject_encoding", "its subject is not in the standard encoding.", remedy)
		}
	}
	if err != nil {
		r.add(true, "subject_value", "its subject is not usable. "+err.Error(), remedy)
	}
	san, ok := c.extension(pkixmsg.OIDSubjectAltName)
	r.add(len(name) == 0 && !ok, "names_somebody", "it names nobody.", remedy)
	if !ok {
		return
	}
	r.add(san.Critical != (len(name) == 0), "san_critical",
		"the alternative name is critical exactly when the subject is empty, and here it is not so.", internalRemedy)
	names, err := pkixmsg.ParseSubjectAltName(san.Value)
	r.add(err != nil || len(names) == 0, "san_form", "its alternative names cannot be read.", internalRemedy)
	for _, g := range names {
		if err := g.Check(true); err != nil {
			r.add(true, "san_value", "an alternative name ("+string(g.Type)+") is not usable. "+err.Error(), remedy)
		}
	}
}

func (c *tbs) checkExtensions(r *report) {
	seen := map[string]bool{}
	for _, e := range c.extensions {
		r.add(seen[e.OID], "extension_twice", "the extension "+label(e.OID)+" occurs twice.", internalRemedy)
		seen[e.OID] = true
		critical, known := mayBeCritical[e.OID]
		r.add(!known, "extension_unknown", "the extension "+label(e.OID)+" is none that this authority issues.", internalRemedy)
		if e.OID != pkixmsg.OIDSubjectAltName {
			r.add(known && e.Critical != critical, "extension_critical", "the extension "+label(e.OID)+" has the wrong critical flag.", internalRemedy)
		}
	}
}

// checkConstraints: a leaf is no authority and says so; an authority may sign
// certificates (RFC 5280 §4.2.1.9).
func (c *tbs) checkConstraints(r *report, in Intent) {
	e, ok := c.extension(pkixmsg.OIDBasicConstraints)
	bc, err := pkixmsg.ParseBasicConstraints(e.Value)
	r.add(!ok || err != nil, "basic_constraints", "it does not say whether it is an authority.", internalRemedy)
	r.add(bc.CA && !in.CA, "leaf_is_no_ca", "it would be an authority itself.", internalRemedy)
	r.add(!bc.CA && in.CA, "ca_is_ca", "it would be no authority.", internalRemedy)
	if in.Issuer != nil && in.CA && in.Issuer.BasicConstraintsValid {
		r.add(in.Issuer.MaxPathLen == 0 && in.Issuer.MaxPathLenZero, "path_length", "the certificate that signs it allows no authority below it.",
			"Ask the superior authority for a certificate with a longer path length.")
	}
}

// label names an extension in a message.
func label(oid string) string {
	if name := pkixmsg.OIDName(oid); name != "" {
		return name
	}
	return oid
}

// lower makes a sentence follow a colon.
func lower(err error) string {
	s := err.Error()
	return strings.ToLower(s[:1]) + s[1:]
}

// keyBits are the uses RFC 5280 §4.2.1.3 and RFC 8813 §3 leave to a type of key.
func keyBits(key any, ca bool) (allowed x509.KeyUsage, name string) {
	const signing = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	switch key.(type) {
	case *rsa.PublicKey:
		allowed, name = signing|x509.KeyUsageKeyEncipherment|x509.KeyUsageDataEncipherment, "RSA"
	case *ecdsa.PublicKey:
		allowed, name = signing|x509.KeyUsageKeyAgreement|x509.KeyUsageEncipherOnly|x509.KeyUsageDecipherOnly, "elliptic curve"
	default:
		allowed, name = signing, "Ed25519"
	}
	if ca {
		allowed |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return allowed, name
}
