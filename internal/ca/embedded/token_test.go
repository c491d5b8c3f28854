//go:build pkcs11 && cgo

package embedded_test

import (
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/embedded"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// hsm makes a token and gives the function that takes it away and puts it back.
func hsm(t *testing.T, pin string) (away func(bool)) {
	t.Helper()
	if _, err := os.Stat(softHSM); err != nil {
		t.Fatalf("this test needs the Debian package softhsm2: %v", err)
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "CA", "--pin", pin, "--so-pin", "5678").CombinedOutput(); err != nil {
		t.Fatalf("softhsm2-util: %v %s", err, out)
	}
	return func(gone bool) {
		from, to := tokens, tokens+".gone"
		if !gone {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
}

// TestToken walks an authority whose keys were made in a token through its
// life, and lets openssl judge what comes out.
func TestToken(t *testing.T) {
	const pin = "hush-1234"
	away := hsm(t, pin)
	kind := embedded.Kind() // one for the process, as in the product
	configure := func(w *world, asked map[string]any) error {
		w.settings = kind.New().(*embedded.Settings)
		setting.Defaults(w.settings)
		if err := setting.FromJSON(w.settings, []byte(jsonOf(asked))); err != nil {
			return err
		}
		return w.settings.Provision(t.Context(), w.env)
	}
	for _, keyType := range []string{"p-256", "rsa-2048"} {
		t.Run(keyType, func(t *testing.T) {
			at := func(name string) string {
				return "pkcs11:token=CA;object=" + name + "-" + keyType + "?module-path=" + softHSM
			}
			asked := map[string]any{"key_type": keyType, "root_key_type": keyType, "key_source": "uri", "key_stock": "new",
				"key_uri": at("issuing"), "root_key_uri": at("root"), "key_pin": pin}
			w := emptyWorld(t)
			if err := configure(w, asked); err != nil {
				t.Fatalf("settings: %v", err)
			}
			*w.clock = time.Now().Add(time.Minute)
			if w.settings.Key.IsSet() || w.settings.RootKey.IsSet() || w.settings.KeyStock != "existing" || !strings.Contains(w.settings.KeyURI, "id=") {
				t.Errorf("the settings after the keys were made: %+v", w.settings)
			}
			raw, err := setting.ToJSON(w.settings)
			if err != nil || strings.Contains(string(raw), pin) {
				t.Errorf("the settings' JSON shows the PIN: %v", err)
			}
			dir := t.TempDir()
			c := w.connect()
			chain, err := c.Chain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			root, sub := writePEM(t, dir, "root.pem", chain[1]), writePEM(t, dir, "sub.pem", chain[0])
			var wg sync.WaitGroup
			leaves := make([]string, 8)
			for n := range leaves {
				r := checked(t, w.order(fmt.Sprintf("req_%d", n), pkixmsg.P256))
				wg.Go(func() {
					reply, err := c.Issue(t.Context(), r)
					if err != nil {
						t.Error(err)
						return
					}
					leaves[n] = writePEM(t, dir, fmt.Sprintf("leaf%d.pem", n), reply.Chain[0])
				})
			}
			wg.Wait()
			openssl(t, dir, append([]string{"verify", "-CAfile", root, "-untrusted", sub}, leaves...)...)

			der, err := c.SignCRLFor(t.Context(), spkiHash(chain[0]), ca.CRLOrder{Number: 7, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			list := filepath.Join(dir, "list.pem")
			if err := os.WriteFile(list, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			openssl(t, dir, "crl", "-in", list, "-CAfile", sub, "-noout")
			w.verifyList(c, chain[1]) // the root's

			responder(t, w, dir, root, sub, leaves[0])

			t.Run("loaded again", func(t *testing.T) {
				again := kind.New().(*embedded.Settings)
				if err := setting.Load(again, raw); err != nil {
					t.Fatal(err)
				}
				from := setting.Secrets(w.settings)
				for i, s := range setting.Secrets(again) {
					*s.Value = *from[i].Value
				}
				w.settings = again
				first := w.issue(w.order("req_again", pkixmsg.P256))
				*w.clock = w.clock.Add(time.Hour)
				if err := w.settings.Renew(t.Context(), w.env); err != nil {
					t.Fatalf("Renew: %v", err)
				}
				if first.Chain[0].CheckSignatureFrom(w.connect().Issuers()[0]) != nil {
					t.Error("a renewal in a token keeps the key")
				}
			})
			t.Run("token away", func(t *testing.T) {
				away(true)
				c := w.connect() // asks nobody
				r := checked(t, w.order("req_away", pkixmsg.P256))
				if _, err := c.Issue(t.Context(), r); err != nil {
					wantKind(t, err, ra.Unreachable)
				} else {
					t.Error("a token that is away has signed")
				}
				away(false)
				reply, err := c.Issue(t.Context(), r)
				if err != nil {
					t.Fatalf("the token is back: %v", err)
				}
				if err := reply.Chain[0].CheckSignatureFrom(reply.Chain[1]); err != nil {
					t.Error(err)
				}
			})
			t.Run("wrong PIN", func(t *testing.T) {
				for field, change := range map[string]any{"key_pin": "9999", "key_stock": "new"} {
					bad := map[string]any{"setup": "subordinate", "key_source": "uri", "key_uri": at("issuing"), "key_pin": pin, field: change}
					err := configure(emptyWorld(t), bad)
					if e := ra.AsError(err); err == nil || e.Field != "key_uri" || e.Remedy == "" || strings.Contains(fmt.Sprintf("%v %+v", err, e), pin) {
						t.Errorf("%s: %+v", field, e)
					}
				}
			})
		})
	}
}

// responder has openssl answer with a responder's certificate and verify it.
func responder(t *testing.T, w *world, dir, root, sub, leaf string) {
	t.Helper()
	key := filepath.Join(dir, "ocsp.key")
	openssl(t, dir, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
	block, _ := pem.Decode([]byte(openssl(t, dir, "req", "-new", "-key", key, "-subj", "/CN=OCSP")))
	o := w.order("req_ocsp", pkixmsg.P256)
	o.Purpose, o.CSR, o.Subject = ra.PurposeOCSP, block.Bytes, pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: "OCSP"}}}
	signer := writePEM(t, dir, "ocsp.pem", w.issue(o).Chain[0])
	serial := strings.TrimPrefix(strings.TrimSpace(openssl(t, dir, "x509", "-in", leaf, "-noout", "-serial")), "serial=")
	index := filepath.Join(dir, "index.txt")
	if err := os.WriteFile(index, []byte("V\t360101000000Z\t\t"+serial+"\tunknown\t/CN=Ada\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	response := filepath.Join(dir, "response.der")
	openssl(t, dir, "ocsp", "-index", index, "-CA", sub, "-rsigner", signer, "-rkey", key, "-issuer", sub, "-cert", leaf, "-respout", response)
	if out := openssl(t, dir, "ocsp", "-respin", response, "-issuer", sub, "-cert", leaf, "-CAfile", root, "-no_nonce"); !strings.Contains(out, ": good") {
		t.Errorf("openssl ocsp: %s", out)
	}
}
