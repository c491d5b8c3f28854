package keypolicy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

func text(n int) secret.Text {
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, n)))
}

func TestSecretBytes(t *testing.T) {
	for _, n := range []int{24, 32, 64} {
		if b, err := SecretBytes(text(n)); err != nil || len(b) != n {
			t.Errorf("%d bytes give %d: %v", n, len(b), err)
		}
	}
	for name, s := range map[string]secret.Text{"short": text(23), "long": text(65), "nothing": {}, "no prefix": secret.New(strings.TrimPrefix(text(32).Reveal(), secretPrefix)),
		"line break": secret.New(text(32).Reveal()[:20] + "\n" + text(32).Reveal()[20:]), "another alphabet": secret.New(secretPrefix + strings.Repeat("-_-_", 10))} {
		if _, err := SecretBytes(s); ra.KindOf(err) != ra.Invalid || strings.Contains(ra.AsError(err).Error(), "AAAA") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		v    Settings
		want int
	}{"one": {Settings{Secret: text(24)}, 1}, "two": {Settings{Secret: text(24), SecondSecret: text(25)}, 2}, "the same twice": {Settings{Secret: text(24), SecondSecret: text(24)}, 1}} {
		if got := c.v.Secrets(); len(got) != c.want || !got[0].Equal(c.v.Secret) {
			t.Errorf("%s: %d secrets", name, len(got))
		}
	}
}

func TestSuits(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	on := func(c elliptic.Curve) any {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	for name, c := range map[string]struct {
		key   any
		usage x509.KeyUsage
		want  bool
	}{
		"RSA":                  {&large.PublicKey, 0, true},
		"RSA that encrypts":    {&large.PublicKey, x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature, true},
		"RSA that signs":       {&large.PublicKey, x509.KeyUsageDigitalSignature, false},
		"small RSA":            {&small.PublicKey, 0, false},
		"P-256":                {on(elliptic.P256()), 0, true},
		"P-521 that agrees":    {on(elliptic.P521()), x509.KeyUsageKeyAgreement, true},
		"P-384 that enciphers": {on(elliptic.P384()), x509.KeyUsageKeyEncipherment, false},
		"P-224":                {on(elliptic.P224()), 0, false},
		"nothing":              {nil, 0, false},
	} {
		if got := suits(&x509.Certificate{PublicKey: c.key, KeyUsage: c.usage}); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
