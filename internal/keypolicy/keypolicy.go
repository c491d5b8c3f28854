// Package keypolicy describes what an administrator says about a key service, a
// web service that is given private keys made here: where it is, for whose
// certificate keys are encrypted, and by what it knows that a message comes
// from here. Package keydelivery does it; the console, the API and the command
// line draw their forms from here.
package keypolicy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
)

// Settings of one key service.
type Settings struct {
	URL          string
	Recipient    string // PEM
	Secret       secret.Text
	SecondSecret secret.Text
	Roots        string // PEM; empty: those of the system
	Timeout      time.Duration
}

// Describe names the settings.
func (s *Settings) Describe(f *setting.Form) {
	f.URL(&s.URL, "url", "Address").Required().Schemes("https").Placeholder("https://keys.example.com/chancery").
		Help("Each key is sent here in a POST of its own. No redirect is followed.")
	f.Certificates(&s.Recipient, "recipient", "Recipient's certificate").Required().
		Help("Keys are encrypted for this certificate (RSA from 2048 bits, or EC on P-256, P-384 or P-521), so that only the service can read them.")
	f.Secret(&s.Secret, "secret", "Signing secret").Required().Check(checkSecret).
		Help("Messages are signed with it as Standard Webhooks says. Make one: echo whsec_$(openssl rand -base64 32).")
	f.Secret(&s.SecondSecret, "second_secret", "Second signing secret").Check(checkSecret).Advanced().
		Help("While there is one, each message has a signature by each of the two. To replace the secret, put the new one here, teach it to the service, then make it the signing secret, too: two that are the same count as one.")
	f.Certificates(&s.Roots, "roots", "Trusted roots").Advanced().
		Help("For the TLS certificate of the service, as PEM. Left empty, the roots of the operating system are trusted.")
	f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(30*time.Second).Between(time.Second, 2*time.Minute).Advanced()
}

// Validate holds the settings against each other.
func (s *Settings) Validate() error {
	var p ra.Problems
	if c, err := s.Certificate(); err != nil {
		p.Merge("recipient", err)
	} else if !suits(c) {
		p.Add("recipient", "Keys cannot be encrypted for this certificate.",
			"Use one with an RSA key from 2048 bits and, if it has key usages, keyEncipherment; or with an EC key on P-256, P-384 or P-521 and keyAgreement.")
	}
	return p.Err()
}

// Certificate gives the recipient's certificate; Invalid unless there is exactly
// one.
func (s *Settings) Certificate() (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(s.Recipient))
	if next, _ := pem.Decode(rest); block == nil || next != nil {
		return nil, ra.Errorf(ra.Invalid, "The recipient has not exactly one certificate.").WithRemedy("Enter the one certificate whose key the service has.")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, ra.Errorf(ra.Invalid, "The recipient's certificate cannot be read.").WithRemedy("Export it again as PEM.").WithCause(err)
	}
	return c, nil
}

// suits reports whether keys can be encrypted for a certificate.
func suits(c *x509.Certificate) bool {
	may := func(u x509.KeyUsage) bool { return c.KeyUsage == 0 || c.KeyUsage&u != 0 }
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= 2048 && key.N.BitLen() <= 8192 && may(x509.KeyUsageKeyEncipherment)
	case *ecdsa.PublicKey:
		return key.Curve != elliptic.P224() && may(x509.KeyUsageKeyAgreement)
	}
	return false
}

// Secrets gives the secrets that messages are signed with.
func (s *Settings) Secrets() []secret.Text {
	if !s.SecondSecret.IsSet() || s.SecondSecret.Equal(s.Secret) {
		return []secret.Text{s.Secret}
	}
	return []secret.Text{s.Secret, s.SecondSecret}
}

// secretPrefix begins a secret in the text form of Standard Webhooks.
const secretPrefix = "whsec_"

func checkSecret(s secret.Text) error {
	_, err := SecretBytes(s)
	return err
}

// SecretBytes gives the octets of a signing secret; Invalid when it has not the
// form of Standard Webhooks.
func SecretBytes(s secret.Text) ([]byte, error) {
	text, prefixed := strings.CutPrefix(s.Reveal(), secretPrefix)
	b, err := base64.StdEncoding.DecodeString(text)
	if !prefixed || err != nil || base64.StdEncoding.EncodeToString(b) != text || len(b) < 24 || len(b) > 64 {
		return nil, ra.Errorf(ra.Invalid, "The secret is not %s and 24 to 64 bytes in base64.", secretPrefix).WithRemedy("Make one: echo %s$(openssl rand -base64 32).", secretPrefix)
	}
	return b, nil
}
