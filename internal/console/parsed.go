package console

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"chancery/internal/wire/pkixmsg"
)

// parsedCertificate is what a certificate says, in words.
type parsedCertificate struct {
	Subject, Issuer string
	Serial          string
	Key             string
	Signature       string
	SHA1, SHA256    string
	SPKI            string
	Names           []string
	Extensions      []extensionLine
}

// extensionLine is one extension in words.
type extensionLine struct {
	Name, OID string
	Critical  bool
	Values    []string
}

func describeCertificate(der []byte) (parsedCertificate, error) {
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return parsedCertificate{}, err
	}
	subject, err := pkixmsg.ParseNameDER(x.RawSubject)
	if err != nil {
		return parsedCertificate{}, err
	}
	issuer, err := pkixmsg.ParseNameDER(x.RawIssuer)
	if err != nil {
		return parsedCertificate{}, err
	}
	s1 := sha1.Sum(der)
	p := parsedCertificate{Subject: subject.String(), Issuer: issuer.String(), Serial: x.SerialNumber.Text(16), Key: string(pkixmsg.DescribeKey(x.PublicKey).Type),
		Signature: x.SignatureAlgorithm.String(), SHA1: hex.EncodeToString(s1[:]), SHA256: fingerprint(der), SPKI: fingerprint(x.RawSubjectPublicKeyInfo)}
	for _, e := range x.Extensions {
		oid := e.Id.String()
		name := extensionNames[oid]
		if name == "" {
			name = "Another extension"
		}
		line := extensionLine{Name: name, OID: oid, Critical: e.Critical, Values: extensionWords(x, oid, e.Value)}
		if oid == pkixmsg.OIDSubjectAltName {
			p.Names = line.Values
		}
		p.Extensions = append(p.Extensions, line)
	}
	return p, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// extensionWords says what an extension holds; what is not understood is shown
// as bytes.
func extensionWords(x *x509.Certificate, oid string, value []byte) []string {
	switch oid {
	case pkixmsg.OIDKeyUsage:
		return pkixmsg.KeyUsageNames(x.KeyUsage)
	case pkixmsg.OIDExtKeyUsage:
		if oids, err := pkixmsg.ParseExtKeyUsage(value); err == nil {
			return purposeWords(oids)
		}
	case pkixmsg.OIDSubjectAltName:
		if names, err := pkixmsg.ParseSubjectAltName(value); err == nil {
			return nameWords(names)
		}
	case pkixmsg.OIDSecurityIdentifier:
		if sid, err := pkixmsg.ParseSIDExtension(value); err == nil {
			return []string{sid}
		}
	case pkixmsg.OIDApplicationPolicies:
		if oids, err := pkixmsg.ParseApplicationPolicies(value); err == nil {
			return purposeWords(oids)
		}
	case pkixmsg.OIDTemplateName:
		if name, err := pkixmsg.ParseTemplateName(value); err == nil {
			return []string{name}
		}
	case pkixmsg.OIDTemplateInfo:
		if t, err := pkixmsg.ParseTemplateInfo(value); err == nil {
			return templateWords(t)
		}
	case pkixmsg.OIDBasicConstraints:
		if x.IsCA {
			return []string{"certification authority"}
		}
		return []string{"end entity"}
	case pkixmsg.OIDSubjectKeyIdentifier:
		return []string{hex.EncodeToString(x.SubjectKeyId)}
	case "2.5.29.35":
		return []string{hex.EncodeToString(x.AuthorityKeyId)}
	case "2.5.29.31":
		return x.CRLDistributionPoints
	case "1.3.6.1.5.5.7.1.1":
		var out []string
		for _, u := range x.OCSPServer {
			out = append(out, "OCSP "+u)
		}
		for _, u := range x.IssuingCertificateURL {
			out = append(out, "issuer "+u)
		}
		return out
	}
	if len(value) > 64 {
		return []string{fmt.Sprintf("%x… (%d bytes)", value[:64], len(value))}
	}
	return []string{hex.EncodeToString(value)}
}

// templateWords names a Microsoft template by its identifier and version.
func templateWords(t pkixmsg.TemplateInfo) []string {
	switch {
	case t.Major < 0:
		return []string{t.OID}
	case t.Minor < 0:
		return []string{fmt.Sprintf("%s, version %d", t.OID, t.Major)}
	}
	return []string{fmt.Sprintf("%s, version %d.%d", t.OID, t.Major, t.Minor)}
}

func purposeWords(oids []string) []string {
	out := make([]string, len(oids))
	for i, oid := range oids {
		if out[i] = pkixmsg.OIDName(oid); out[i] == "" {
			out[i] = oid
		}
	}
	return out
}

func nameWords(names []pkixmsg.GeneralName) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n.Type) + ": " + n.Value
	}
	return out
}

// extensionNames are the extensions as people call them.
var extensionNames = map[string]string{
	pkixmsg.OIDSubjectKeyIdentifier: "Subject key identifier", "2.5.29.35": "Authority key identifier", pkixmsg.OIDBasicConstraints: "Basic constraints",
	pkixmsg.OIDKeyUsage: "Key usage", pkixmsg.OIDExtKeyUsage: "Extended key usage", pkixmsg.OIDSubjectAltName: "Subject alternative name",
	pkixmsg.OIDSecurityIdentifier: "Security identifier (Microsoft)", pkixmsg.OIDApplicationPolicies: "Application policies (Microsoft)",
	pkixmsg.OIDTemplateName: "Template name (Microsoft)", pkixmsg.OIDTemplateInfo: "Template (Microsoft)",
	"2.5.29.31": "Revocation list", "1.3.6.1.5.5.7.1.1": "Authority information", "2.5.29.32": "Certificate policies", "1.3.6.1.4.1.11129.2.4.2": "Signed certificate timestamps",
}
