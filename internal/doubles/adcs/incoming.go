package adcs

import (
	"bytes"
	"crypto/x509"
	"strings"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Types of requests in dwFlags.
const (
	formMask   = 0x0000FF00
	formAny    = 0x0000
	formPKCS10 = 0x0100
	formPKCS7  = 0x0300

	flagCRLs = 0x00080000
	flagROBO = 0x00200000

	oidRenewal    = "1.3.6.1.4.1.311.13.1"
	oidTemplateV1 = "1.3.6.1.4.1.311.20.2"
	oidTemplateV2 = "1.3.6.1.4.1.311.21.7"
)

var oidNameValue = cms.MustOID("1.3.6.1.4.1.311.13.2.1")

// incoming is a request as it arrived: a PKCS#10, which may be wrapped in a CMS
// message that somebody else signed.
type incoming struct {
	raw    []byte
	csr    *pkixmsg.CSR
	signer *x509.Certificate // of the CMS message; nil without one
	sent   []*x509.Certificate
	pairs  map[string]string // names and values that the signer vouches for, names folded
	old    []byte            // the certificate that is renewed; nil when none is
	flags  uint32
}

// parseIncoming reads a request and checks its signatures.
func parseIncoming(flags uint32, raw []byte) (*incoming, uint32) {
	in := &incoming{raw: raw, flags: flags, pairs: map[string]string{}}
	pkcs10 := raw
	switch form := flags & formMask; {
	case form != formAny && form != formPKCS10 && form != formPKCS7:
		return nil, invalidArg
	case form == formPKCS7 || form == formAny && looksSigned(raw):
		content, code := in.unwrap(raw)
		if code != 0 {
			return nil, code
		}
		pkcs10 = content
	}
	csr, err := pkixmsg.ParseCSR(pkcs10)
	if err != nil {
		return nil, asn1Corrupt
	}
	if csr.CheckSignature() != nil {
		return nil, badSignature
	}
	in.csr = csr
	for _, a := range csr.Attributes {
		if a.OID == oidRenewal {
			if len(a.Values) != 1 {
				return nil, badRenewalCert
			}
			in.old = a.Values[0]
		}
	}
	return in, 0
}

// looksSigned tells a ContentInfo from a PKCS#10: it begins with an identifier.
func looksSigned(b []byte) bool {
	s := cryptobyte.String(b)
	var inner cryptobyte.String
	return s.ReadASN1(&inner, der.SEQUENCE) && inner.PeekASN1Tag(der.OBJECT_IDENTIFIER)
}

// unwrap opens a SignedData around a PKCS#10.
func (in *incoming) unwrap(raw []byte) ([]byte, uint32) {
	message, err := cms.ParseSignedData(raw, cms.Limits{})
	if err != nil || message.ContentType != cms.OIDData || len(message.Content) == 0 {
		return nil, asn1Corrupt
	}
	signer, err := message.SignerCertificate()
	if err != nil || message.Verify(signer, cms.VerifyPolicy{}) != nil || !sorted(message.Signer.Attributes) {
		return nil, badSignature
	}
	if in.signer, err = x509.ParseCertificate(signer.Raw); err != nil {
		return nil, asn1Corrupt
	}
	for _, c := range message.Certificates {
		if cert, err := x509.ParseCertificate(c.Raw); err == nil {
			in.sent = append(in.sent, cert)
		}
	}
	if value, ok := message.Signer.Attributes.Value(oidNameValue); ok {
		name, text, ok := parsePair(value)
		if !ok {
			return nil, asn1Corrupt
		}
		in.pairs[fold(name)] = text
	}
	return message.Content, 0
}

// sorted tells whether signed attributes are in the order of DER, which is what
// their signature is over.
func sorted(attributes cms.Attributes) bool {
	var last []byte
	for _, a := range attributes {
		var b cryptobyte.Builder
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(der.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(a.Type)) })
			b.AddASN1(der.SET, func(b *cryptobyte.Builder) { b.AddBytes(a.Value) })
		})
		next, err := b.Bytes()
		if err != nil || bytes.Compare(last, next) > 0 {
			return false
		}
		last = next
	}
	return true
}

// parsePair reads an EnrollmentNameValuePair: two BMPStrings (MS-WCCE 2.2.2.7.10).
func parsePair(value []byte) (name, text string, ok bool) {
	s := cryptobyte.String(value)
	var pair, first, second cryptobyte.String
	const bmpString = der.Tag(30)
	if !s.ReadASN1(&pair, der.SEQUENCE) || !s.Empty() || !pair.ReadASN1(&first, bmpString) || !pair.ReadASN1(&second, bmpString) || !pair.Empty() ||
		len(first)%2 != 0 || len(second)%2 != 0 {
		return "", "", false
	}
	return bmp(first), bmp(second), true
}

// bmp decodes a BMPString, big-endian.
func bmp(b []byte) string {
	var s strings.Builder
	for i := 0; i+1 < len(b); i += 2 {
		s.WriteRune(rune(b[i])<<8 | rune(b[i+1]))
	}
	return s.String()
}
