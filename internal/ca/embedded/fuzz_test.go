package embedded

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"chancery/internal/keystore"
	"chancery/internal/ra"
	"chancery/internal/wire/pkixmsg"
)

func FuzzParseKeys(f *testing.F) {
	for _, t := range []pkixmsg.KeyType{pkixmsg.P256, pkixmsg.P384, pkixmsg.Ed25519} {
		key, err := pkixmsg.GenerateKey(t)
		if err != nil {
			f.Fatal(err)
		}
		text, err := encodeKey(key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(text.Reveal()))
		f.Add([]byte(text.Reveal() + text.Reveal()))
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES"}}))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := keystore.ParsePEM(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, key := range keys {
			again, err := encodeKey(key)
			if err != nil {
				t.Fatalf("a key that was read cannot be written: %v", err)
			}
			back, err := parseKey([]byte(again.Reveal()))
			if err != nil || !sameKey(back.Public(), key.Public()) {
				t.Fatalf("a key changed on its way: %v", err)
			}
			if s, err := newSigner(key); err == nil && s.name == x509.UnknownSignatureAlgorithm {
				t.Fatal("a signer without an algorithm")
			}
		}
	})
}

func FuzzParseIntent(f *testing.F) {
	good, err := json.Marshal(intent{Serial: "1", TBS: []byte{0x30, 0}, Hash: "c19a797fa1fd590cd2e5b42d1cf5f246e29b91684e2f87404b81dc345c7a56a0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := parseIntent(raw)
		if err != nil {
			if ra.KindOf(err) != ra.Internal || len(n.TBS) > 0 {
				t.Fatalf("kind %q with %d bytes", ra.KindOf(err), len(n.TBS))
			}
			return
		}
		again, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := parseIntent(again); err != nil || string(back.TBS) != string(n.TBS) {
			t.Fatalf("an intent changed on its way: %v", err)
		}
	})
}
