package adcsmsg

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"chancery/internal/wire/cms"
	"chancery/internal/wire/pkixmsg"
)

// The identifiers of Microsoft's attributes (MS-WCCE §2.2.2.7).
var oidNameValue = cms.MustOID("1.3.6.1.4.1.311.13.2.1")

const (
	// OIDRenewalCertificate is the attribute of a PKCS#10 that holds the
	// certificate to be renewed.
	OIDRenewalCertificate = "1.3.6.1.4.1.311.13.1"
	// OIDRequestAgent is the purpose of an enrollment agent's certificate.
	OIDRequestAgent = "1.3.6.1.4.1.311.20.2.1"
)

// Signer is a certificate with its key: an enrollment agent's, or the one that is
// renewed.
type Signer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// OnBehalf wraps a PKCS#10 in a request of an enrollment agent for the user
// DOMAIN\account (MS-WCCE §2.2.2.6.3, §3.1.1.4.3.4): a SignedData over the request,
// with the name as a signed attribute. A name without a domain, or with what
// cannot be in an account's name, is ErrValue.
func OnBehalf(csr []byte, requester string, agent Signer) ([]byte, error) {
	if err := CheckRequester(requester); err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addBMP(b, AttributeRequester)
		addBMP(b, requester)
	})
	pair, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return agent.wrap(csr, cms.Attributes{{Type: oidNameValue, Value: pair}})
}

// CheckRequester reports ErrValue unless name is DOMAIN\account as Active
// Directory has them (MS-ADTS §3.1.1.8.1 excludes the same characters).
func CheckRequester(name string) error {
	domain, account, ok := strings.Cut(name, `\`)
	if !ok || domain == "" || account == "" || len(name) > 300 || domain != strings.TrimSpace(domain) || account != strings.TrimSpace(account) ||
		strings.ContainsAny(domain, "\"/:|<>*?,;=+[]") || strings.ContainsAny(account, "\"/\\[]:;|=,+*?<>") || strings.ContainsFunc(name, breaks) {
		return fmt.Errorf("%w: the requester name is not DOMAIN\\account", ErrValue)
	}
	return nil
}

// RenewalAttribute is the attribute of a new PKCS#10 that says which certificate
// it renews (MS-WCCE §2.2.2.7.4).
func RenewalAttribute(old *x509.Certificate) pkixmsg.RequestAttribute {
	return pkixmsg.RequestAttribute{OID: OIDRenewalCertificate, Values: [][]byte{old.Raw}}
}

// Renewal wraps a PKCS#10 that has the RenewalAttribute in a SignedData by the key
// of the old certificate (MS-WCCE §3.1.1.4.3.2.1).
func Renewal(csr []byte, old Signer) ([]byte, error) { return old.wrap(csr, nil) }

func (s Signer) wrap(csr []byte, attributes cms.Attributes) ([]byte, error) {
	c, err := cms.ParseCertificate(s.Certificate.Raw)
	if err != nil {
		return nil, err
	}
	digest := crypto.SHA256
	if key, ok := s.Key.Public().(*ecdsa.PublicKey); ok && key.Params().BitSize > 256 {
		digest = crypto.SHA384
	}
	return cms.Sign(cms.SignOptions{Content: csr, Signer: s.Key, Certificate: c, Digest: digest, Attributes: attributes})
}

// addBMP writes a BMPString.
func addBMP(b *cryptobyte.Builder, s string) {
	b.AddASN1(cbasn1.Tag(30), func(b *cryptobyte.Builder) {
		for _, u := range utf16.Encode([]rune(s)) {
			b.AddUint16(u)
		}
	})
}
