package ndes

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"chancery/internal/testpeer"

	"github.com/smallstep/pkcs7"
)

// TestEnvelope: openssl and the library open what is sealed, in each cipher,
// and the cipher is the one that was asked for.
func TestEnvelope(t *testing.T) {
	a, err := newAuthority(Config{Now: time.Now, CAKey: P256, RALife: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := must(x509.MarshalPKCS8PrivateKey(a.encryption.key))(t)
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: a.encryption.cert.Raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ asked, want asn1.ObjectIdentifier }{
		{pkcs7.OIDEncryptionAlgorithmAES128CBC, pkcs7.OIDEncryptionAlgorithmAES128CBC},
		{pkcs7.OIDEncryptionAlgorithmAES256CBC, pkcs7.OIDEncryptionAlgorithmAES256CBC},
		{pkcs7.OIDEncryptionAlgorithmDESEDE3CBC, pkcs7.OIDEncryptionAlgorithmDESEDE3CBC},
		{nil, pkcs7.OIDEncryptionAlgorithmDESEDE3CBC},
	} {
		content := []byte("sixteen octets !")
		sealed := must(seal(content, a.encryption.cert, c.asked))(t)
		if got := envelopeCipher(sealed); !got.Equal(c.want) {
			t.Errorf("asked for %v: sealed in %v", c.asked, got)
		}
		if got := must((&message{content: sealed}).decrypt(a.encryption))(t); string(got) != string(content) {
			t.Errorf("%v: the library read %q", c.want, got)
		}
		if _, err := (&message{content: sealed}).decrypt(a.signing); err == nil {
			t.Errorf("%v: opened with another key", c.want)
		}
		opened, err := testpeer.OpenSSL(t, dir, sealed, "cms", "-decrypt", "-inform", "DER", "-binary", "-inkey", "key.pem", "-recip", "cert.pem")
		if err != nil || string(opened) != string(content) {
			t.Errorf("%v: openssl read %q: %v", c.want, opened, err)
		}
	}
}
