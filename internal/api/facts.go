package api

import (
	"crypto/x509"
	"encoding/hex"
	"strings"

	"chancery/internal/api/resource"
	"chancery/internal/wire/pkixmsg"
)

// factsOf decodes a certificate.
func factsOf(der []byte) (*resource.Facts, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	f := &resource.Facts{Issuer: c.Issuer.String(), SignatureAlgorithm: c.SignatureAlgorithm.String(), KeyUsage: pkixmsg.KeyUsageNames(c.KeyUsage),
		CRLs: c.CRLDistributionPoints, OCSP: c.OCSPServer, IssuerURLs: c.IssuingCertificateURL, Extensions: []resource.Extension{}}
	if name, err := pkixmsg.ParseNameDER(c.RawIssuer); err == nil {
		f.Issuer = name.String()
	}
	for _, e := range c.Extensions {
		x := resource.Extension{OID: e.Id.String(), Critical: e.Critical}
		x.Name = pkixmsg.OIDName(x.OID)
		switch x.OID {
		case pkixmsg.OIDKeyUsage:
			x.Value = strings.Join(f.KeyUsage, ", ")
		case pkixmsg.OIDExtKeyUsage:
			f.EKUs = purposes(e.Value)
			x.Value = strings.Join(f.EKUs, ", ")
		case pkixmsg.OIDSubjectAltName:
			x.Value = sanTexts(e.Value)
		default:
			x.Value = brief(e.Value)
		}
		f.Extensions = append(f.Extensions, x)
	}
	return f, nil
}

func purposes(value []byte) []string {
	oids, err := pkixmsg.ParseExtKeyUsage(value)
	if err != nil {
		return []string{"unreadable"}
	}
	for i, o := range oids {
		oids[i] = pkixmsg.OIDName(o)
	}
	return oids
}

func sanTexts(value []byte) string {
	list, err := pkixmsg.ParseSubjectAltName(value)
	if err != nil {
		return "unreadable"
	}
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = string(n.Type) + ":" + n.Value
	}
	return strings.Join(out, ", ")
}

// brief is the start of what nobody here knows how to read.
func brief(value []byte) string {
	const most = 32
	if len(value) > most {
		return hex.EncodeToString(value[:most]) + "…"
	}
	return hex.EncodeToString(value)
}
