package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ra"
)

// TestKeysOfTheMachine: the owner of one organization neither signs with a key
// file of another, nor learns whether a file is there, nor has a library loaded.
// What an owner of the whole installation set stays usable.
func TestKeysOfTheMachine(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t)
		file := filepath.Join(w.t.TempDir(), "issuing.key")
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))(w.t)})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			w.t.Fatal(err)
		}
		tenant := actor("tenant", ra.RoleOwner, w.acme)
		own := must(w.Create(ctx, tenant, "embedded", authority.Input{GroupID: &w.acme.ID, Name: ptr("Own"), Settings: []byte(`{}`)}))(w.t)
		quiet := func(ca.Step) {}
		for name, raw := range map[string]string{
			"a file":                 `{"key_source": "uri", "key_uri": "file://` + file + `"}`,
			"a file that is missing": `{"key_source": "uri", "key_uri": "file://` + file + `.gone"}`,
			"a library":              `{"key_source": "uri", "key_uri": "pkcs11:token=a;object=b?module-path=/tmp/mine.so"}`,
			"the cloud's account":    `{"key_source": "uri", "key_uri": "awskms:key-id=1234;region=eu-north-1"}`,
			"a root's":               `{"key_source": "uri", "root_key_uri": "file://` + file + `", "key_uri": "file://` + file + `"}`,
			"for later":              `{"root_key_uri": "file://` + file + `"}`,
		} {
			in := authority.Input{GroupID: &w.acme.ID, Name: ptr("CA by " + name), Settings: []byte(raw)}
			_, err := w.Create(ctx, tenant, "embedded", in)
			created := wantError(w.t, err, ra.Denied)
			_, err = w.Update(ctx, tenant, own.ID, authority.Input{Settings: []byte(raw)})
			wantError(w.t, err, ra.Denied)
			wantError(w.t, w.TestSettings(ctx, tenant, "embedded", "", w.acme.ID, []byte(raw), quiet), ra.Denied)
			wantError(w.t, w.TestSettings(ctx, tenant, "embedded", own.ID, "", []byte(raw), quiet), ra.Denied)
			if created.Field != "settings" {
				w.t.Errorf("%s: field %q", name, created.Field)
			}
		}
		address := `{"key_source": "uri", "key_uri": "file://` + file + `"}`
		given := must(w.Create(ctx, w.owner, "embedded", authority.Input{GroupID: &w.acme.ID, Name: ptr("Given"), Settings: []byte(address)}))(w.t)
		must(w.Update(ctx, tenant, given.ID, authority.Input{Settings: []byte(`{"leaf_days": 30}`)}))(w.t)
		must(w.Update(ctx, tenant, given.ID, authority.Input{Settings: []byte(address)}))(w.t)
		if err := w.TestSettings(ctx, tenant, "embedded", given.ID, "", []byte(address), quiet); err != nil {
			w.t.Error(err)
		}
	})
}
