package pkixmsg

import (
	"crypto/x509"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Object identifiers that callers compare with, in dotted form. The whole
// package uses dotted text for object identifiers: it compares, sorts and
// travels in JSON, and has no limit on the size of an arc.
const (
	OIDKeyUsage                = "2.5.29.15"
	OIDSubjectAltName          = "2.5.29.17"
	OIDBasicConstraints        = "2.5.29.19"
	OIDExtKeyUsage             = "2.5.29.37"
	OIDSubjectKeyIdentifier    = "2.5.29.14"
	OIDTemplateName            = "1.3.6.1.4.1.311.20.2"  // Microsoft, template of schema version 1
	OIDTemplateInfo            = "1.3.6.1.4.1.311.21.7"  // Microsoft, template of schema version 2 and later
	OIDApplicationPolicies     = "1.3.6.1.4.1.311.21.10" // Microsoft, same meaning as extended key usage
	OIDSecurityIdentifier      = "1.3.6.1.4.1.311.25.2"  // Microsoft, extension that carries a SID
	OIDExtensionRequest        = "1.2.840.113549.1.9.14" // attribute of a request
	OIDMicrosoftExtensionsAttr = "1.3.6.1.4.1.311.2.1.14"
	OIDChallengePassword       = "1.2.840.113549.1.9.7"

	oidUPN         = "1.3.6.1.4.1.311.20.2.3"
	oidGUID        = "1.3.6.1.4.1.311.25.1"
	oidNTDSObject  = "1.3.6.1.4.1.311.25.2.1"
	oidIssuerAlt   = "2.5.29.18"
	oidAuthorityID = "2.5.29.35"
	oidCRLPoints   = "2.5.29.31"
	oidAuthInfo    = "1.3.6.1.5.5.7.1.1"
	oidNameLimits  = "2.5.29.30"

	oidRSA        = "1.2.840.113549.1.1.1"
	oidSHA1RSA    = "1.2.840.113549.1.1.5"
	oidMGF1       = "1.2.840.113549.1.1.8"
	oidPSS        = "1.2.840.113549.1.1.10"
	oidSHA256RSA  = "1.2.840.113549.1.1.11"
	oidSHA384RSA  = "1.2.840.113549.1.1.12"
	oidSHA512RSA  = "1.2.840.113549.1.1.13"
	oidSHA1RSAOIW = "1.3.14.3.2.29"
	oidECSHA1     = "1.2.840.10045.4.1"
	oidECSHA256   = "1.2.840.10045.4.3.2"
	oidECSHA384   = "1.2.840.10045.4.3.3"
	oidECSHA512   = "1.2.840.10045.4.3.4"
	oidEd25519    = "1.3.101.112"
	oidSHA1       = "1.3.14.3.2.26"
	oidSHA256     = "2.16.840.1.101.3.4.2.1"
	oidSHA384     = "2.16.840.1.101.3.4.2.2"
	oidSHA512     = "2.16.840.1.101.3.4.2.3"
)

// otherNames are the object identifiers with a name that neither the attribute
// table nor the key usage table holds.
var otherNames = map[string]string{
	OIDKeyUsage: "keyUsage", OIDSubjectAltName: "subjectAltName", OIDBasicConstraints: "basicConstraints",
	OIDExtKeyUsage: "extendedKeyUsage", OIDSubjectKeyIdentifier: "subjectKeyIdentifier",
	OIDTemplateName: "certificateTemplateName", OIDTemplateInfo: "certificateTemplate",
	OIDApplicationPolicies: "applicationPolicies", OIDSecurityIdentifier: "ntdsSecurityExtension",
	OIDExtensionRequest: "extensionRequest", OIDMicrosoftExtensionsAttr: "microsoftExtensionRequest",
	OIDChallengePassword: "challengePassword", oidUPN: "userPrincipalName", oidGUID: "ntdsReplication",
	oidNTDSObject: "ntdsObjectSID", oidIssuerAlt: "issuerAltName", oidAuthorityID: "authorityKeyIdentifier",
	oidCRLPoints: "cRLDistributionPoints", oidAuthInfo: "authorityInfoAccess", oidNameLimits: "nameConstraints",
	"2.5.29.32": "certificatePolicies", "2.5.29.36": "policyConstraints", "2.5.29.54": "inhibitAnyPolicy",
	"2.5.29.32.0": "anyPolicy", "1.3.6.1.5.5.7.2.1": "cps", "1.3.6.1.5.5.7.2.2": "userNotice",
	"1.3.6.1.5.5.7.48.1": "ocsp", "1.3.6.1.5.5.7.48.2": "caIssuers", "1.3.6.1.5.5.7.1.24": "tlsFeature",
	"1.3.6.1.5.5.7.48.1.5": "ocspNoCheck", "1.3.6.1.4.1.11129.2.4.2": "signedCertificateTimestamps",
	"1.2.840.113549.1.9.15": "smimeCapabilities", "1.2.840.113549.1.9.20": "friendlyName",
	"1.3.6.1.4.1.311.13.1": "renewalCertificate", "1.3.6.1.4.1.311.13.2.1": "enrollmentNameValuePair",
	"1.3.6.1.4.1.311.13.2.2": "enrollmentCSPProvider", "1.3.6.1.4.1.311.13.2.3": "osVersion",
	"1.3.6.1.4.1.311.21.20": "requestClientInfo", "1.3.6.1.5.5.7.8.3": "permanentIdentifier",
	"1.3.6.1.5.5.7.8.4": "hardwareModuleName", "1.3.6.1.5.5.7.8.9": "smtpUTF8Mailbox",
	oidRSA: "rsaEncryption", oidSHA1RSA: "sha1WithRSAEncryption", oidMGF1: "mgf1", oidPSS: "rsassaPss",
	oidSHA256RSA: "sha256WithRSAEncryption", oidSHA384RSA: "sha384WithRSAEncryption",
	oidSHA512RSA: "sha512WithRSAEncryption", oidSHA1RSAOIW: "sha1WithRSA", "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
	"1.2.840.10045.2.1": "ecPublicKey", "1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521",
	oidECSHA1: "ecdsaWithSHA1", oidECSHA256: "ecdsaWithSHA256", oidECSHA384: "ecdsaWithSHA384",
	oidECSHA512: "ecdsaWithSHA512", oidEd25519: "ed25519",
	oidSHA1: "sha1", oidSHA256: "sha256", oidSHA384: "sha384", oidSHA512: "sha512",
}

// OIDName gives the usual name of an object identifier (an attribute type, an
// extension, a key purpose, an algorithm), or nothing when none is known.
func OIDName(oid string) string {
	if t := typeByOID[oid]; t != nil {
		return t.name
	}
	if name := purposeNames[oid]; name != "" {
		return name
	}
	return otherNames[oid]
}

// CheckOID reports ErrSyntax unless s is an object identifier in dotted form.
func CheckOID(s string) error {
	_, err := encodeOID(s)
	return err
}

// encodeOID gives the contents octets of a dotted object identifier.
func encodeOID(s string) ([]byte, error) {
	remedy := "Write numbers separated by dots, such as 1.3.6.1.5.5.7.3.2."
	if len(s) > maxOIDText {
		return nil, fault(ErrSyntax, remedy, "An object identifier has at most %d characters.", maxOIDText)
	}
	if body, ok := encodeShortOID(s); ok {
		return body, nil
	}
	oid, err := x509.ParseOID(s)
	if err != nil || oid.String() != s { // a leading zero has no place in the dotted form
		return nil, fault(ErrSyntax, remedy, "%s is not an object identifier.", quote(s))
	}
	return oid.MarshalBinary()
}

// maxShortArc is the largest arc that encodeShortOID and decodeShortOID work
// with: four octets of seven bits. Those in use are smaller, and x509.OID takes
// its time for any size.
const maxShortArc = 1<<28 - 1

// encodeShortOID is encodeOID for identifiers of small arcs; everything else,
// and whatever may be wrong, is left to encodeOID.
func encodeShortOID(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	first, arcs := uint32(0), 0
	for rest := s; ; arcs++ {
		digits, more, dot := strings.Cut(rest, ".")
		if digits == "" || len(digits) > 9 || len(digits) > 1 && digits[0] == '0' {
			return nil, false
		}
		arc := uint32(0)
		for _, c := range []byte(digits) {
			if c < '0' || c > '9' {
				return nil, false
			}
			arc = arc*10 + uint32(c-'0')
		}
		switch {
		case arc > maxShortArc, arcs == 0 && arc > 2, arcs == 1 && first < 2 && arc > 39:
			return nil, false
		case arcs == 0:
			first = arc
		case arcs == 1:
			out = appendArc(out, first*40+arc)
		default:
			out = appendArc(out, arc)
		}
		if !dot {
			return out, arcs > 0
		}
		rest = more
	}
}

// appendArc appends a number in base 128, the last octet without its high bit (X.690 §8.19.2).
func appendArc(out []byte, arc uint32) []byte {
	for shift := 28; shift > 0; shift -= 7 {
		if arc>>shift != 0 {
			out = append(out, byte(arc>>shift)|0x80)
		}
	}
	return append(out, byte(arc&0x7f))
}

// decodeShortOID is decodeOID for identifiers of small arcs; everything else,
// and whatever may be wrong, is left to decodeOID.
func decodeShortOID(body []byte) (string, bool) {
	var room [64]byte
	out := room[:0]
	for at := 0; at < len(body); {
		arc, start := uint32(0), at
		for {
			if at == len(body) || at-start == 4 || body[start] == 0x80 {
				return "", false
			}
			c := body[at]
			at++
			arc = arc<<7 | uint32(c&0x7f)
			if c&0x80 == 0 {
				break
			}
		}
		if start == 0 {
			first := min(arc/40, 2)
			out = strconv.AppendUint(out, uint64(first), 10)
			arc -= first * 40
		}
		out = strconv.AppendUint(append(out, '.'), uint64(arc), 10)
	}
	return string(out), len(out) > 0
}

func isDotted(s string) bool {
	return strings.Trim(s, "0123456789.") == "" && strings.Contains(s, ".")
}

func addOID(b *cryptobyte.Builder, dotted string) { addTaggedOID(b, cbasn1.OBJECT_IDENTIFIER, dotted) }

func addTaggedOID(b *cryptobyte.Builder, tag cbasn1.Tag, dotted string) {
	body, err := encodeOID(dotted)
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(body) })
}

// readOID reads an OBJECT IDENTIFIER of any arc size.
func readOID(s *cryptobyte.String, out *string) bool {
	var body cryptobyte.String
	if !s.ReadASN1(&body, cbasn1.OBJECT_IDENTIFIER) {
		return false
	}
	return decodeOID(body, out)
}

func decodeOID(body []byte, out *string) bool {
	if text, ok := decodeShortOID(body); ok && len(body) <= maxOIDBytes {
		*out = text
		return true
	}
	var oid x509.OID
	if len(body) > maxOIDBytes || oid.UnmarshalBinary(body) != nil {
		return false
	}
	*out = oid.String()
	return true
}
