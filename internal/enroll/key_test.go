package enroll_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// unpack has openssl read a key file.
func unpack(t *testing.T, f *enroll.KeyFile, legacy bool, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"key.p12": f.PKCS12.Reveal(), "password": []byte(f.Password.Reveal())} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{"pkcs12", "-in", "key.p12", "-passin", "file:password", "-nodes"}, args...)
	if legacy {
		args = append(args, "-legacy")
	}
	out, err := testpeer.OpenSSL(t, dir, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestTakeKey(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, c := range map[string]struct {
			authority ra.AuthorityID
			place     ra.KeyPlace
			keyType   string
			encoding  string
			password  string
		}{
			"made here, modern": {w.inner, ra.KeyHere, "rsa-2048", "", ""},
			"made here, legacy": {w.inner, ra.KeyHere, "p-256", enroll.PKCS12Legacy, "correct horse"},
			"made at the CA":    {w.outer, ra.KeyAtCA, "p-256", enroll.PKCS12Modern, "pässwörd"},
		} {
			spec := vpn()
			spec.KeyPlace, spec.KeyType = c.place, c.keyType
			r := w.submit(w.owner, enroll.Ask{Template: w.template(c.authority, spec).ID, Device: w.phone.ID, Wait: true})
			if r.State != ra.Issued || r.KeyPlace != c.place || !must(w.HasKey(ctx, r.ID))(w.t) {
				w.t.Fatalf("%s: %+v", name, r)
			}
			cert := w.certificate(r.CertificateID)
			leaf := w.verify(cert)
			if cert.Action != ra.ActionRenew || cert.KeyPlace != c.place {
				w.t.Errorf("%s: %+v", name, cert)
			}
			_, err := w.TakeKey(ctx, actor("far", ra.RoleOperator, w.paris), cert.ID, secret.Text{}, "")
			wantError(w.t, err, ra.NotFound)
			_, err = w.TakeKey(ctx, actor("appr", ra.RoleApprover, w.berlin), cert.ID, secret.Text{}, "")
			wantError(w.t, err, ra.Denied)
			for field, in := range map[string][2]string{"encoding": {"", "pkcs8"}, "password": {"short", ""}} {
				password := secret.Text{}
				if in[0] != "" {
					password = secret.New(in[0])
				}
				_, err = w.TakeKey(ctx, w.owner, cert.ID, password, in[1])
				if e := wantError(w.t, err, ra.Invalid); e.Field != field {
					w.t.Errorf("%+v", e)
				}
			}
			_, err = w.TakeKey(ctx, w.owner, cert.ID, secret.New("emoji 😀😀😀"), "")
			if e := wantError(w.t, err, ra.Invalid); e.Field != "password" {
				w.t.Errorf("%+v", e)
			}

			password := secret.Text{}
			if c.password != "" {
				password = secret.New(c.password)
			}
			file := must(w.TakeKey(ctx, actor("op", ra.RoleOperator, w.berlin), cert.ID, password, c.encoding))(w.t)
			if c.password == "" && len(file.Password.Reveal()) < 20 || c.password != "" && file.Password.Reveal() != c.password {
				w.t.Errorf("%s: password of %d characters", name, len(file.Password.Reveal()))
			}
			text := unpack(w.t, file, c.encoding == enroll.PKCS12Legacy)
			var certs []*x509.Certificate
			matched := false
			for rest := []byte(text); ; {
				var block *pem.Block
				if block, rest = pem.Decode(rest); block == nil {
					break
				}
				if block.Type == "CERTIFICATE" {
					certs = append(certs, must(x509.ParseCertificate(block.Bytes))(w.t))
				} else if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
					spki := must(x509.MarshalPKIXPublicKey(k.(interface{ Public() cryptoPublic }).Public()))(w.t)
					matched = bytes.Equal(spki, leaf.RawSubjectPublicKeyInfo)
				}
			}
			if !matched || len(certs) < 2 || !certs[0].Equal(leaf) || leaf.CheckSignatureFrom(certs[1]) != nil {
				w.t.Errorf("%s: openssl found the key: %v, certificates: %d", name, matched, len(certs))
			}

			// Once.
			_, err = w.TakeKey(ctx, w.owner, cert.ID, secret.Text{}, "")
			wantError(w.t, err, ra.NotFound)
			if must(w.HasKey(ctx, r.ID))(w.t) || w.audited("key.downloaded", string(cert.ID)) != 1 {
				w.t.Errorf("%s: the key is still here, or nobody noted that it went", name)
			}
			w.noSecrets(file.Password.Reveal())
		}
	})
}

type cryptoPublic = crypto.PublicKey

// noSecrets looks for a text in the log and in every row of the database.
func (w *world) noSecrets(texts ...string) {
	w.t.Helper()
	var dump strings.Builder
	w.read(func(tx *store.Tx) error {
		for _, q := range []string{"SELECT settings FROM authorities", "SELECT details FROM audit", "SELECT message FROM audit", "SELECT fill FROM requests", "SELECT last_error FROM requests",
			"SELECT settings FROM endpoints", "SELECT spec FROM templates", "SELECT hash FROM challenges", "SELECT args FROM river_job", "SELECT box FROM sealed", "SELECT value FROM journal"} {
			rows, err := tx.SQL().Query(q)
			if err != nil {
				return err
			}
			for rows.Next() {
				var b []byte
				if err := rows.Scan(&b); err != nil {
					return err
				}
				dump.Write(b)
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	for _, text := range texts {
		if strings.Contains(dump.String(), text) || strings.Contains(w.log.String(), text) {
			w.t.Errorf("a secret of %d characters is stored or logged in clear", len(text))
		}
	}
}

// TestTakeKeyAtOnce: of many who take a key, one gets it.
func TestTakeKeyAtOnce(t *testing.T) {
	each(t, func(w *world) {
		r := w.submit(w.owner, enroll.Ask{Template: w.template(w.inner, vpn()).ID, Device: w.phone.ID, Wait: true})
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := 0
		for range 8 {
			wg.Go(func() {
				_, err := w.TakeKey(w.t.Context(), w.owner, r.CertificateID, secret.Text{}, "")
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					got++
				} else if ra.KindOf(err) != ra.NotFound {
					w.t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if got != 1 {
			w.t.Errorf("the key was handed out %d times", got)
		}
	})
}

func TestTakeKeyOfWhatIsOver(t *testing.T) {
	each(t, func(w *world) {
		r := w.submit(w.owner, enroll.Ask{Template: w.template(w.inner, vpn()).ID, Device: w.phone.ID, Wait: true})
		w.write(func(tx *store.Tx) error {
			c, err := tx.Certificate(r.CertificateID)
			if err != nil {
				return err
			}
			c.State, c.RevokedAt, c.Obligation = ra.Revoked, tx.Now, ra.Obligation{}
			return tx.UpdateCertificate(c)
		})
		_, err := w.TakeKey(w.t.Context(), w.owner, r.CertificateID, secret.Text{}, "")
		wantError(w.t, err, ra.Conflict)
		device := w.submit(w.owner, enroll.Ask{Template: w.template(w.inner, wifi()).ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true})
		_, err = w.TakeKey(w.t.Context(), w.owner, device.CertificateID, secret.Text{}, "")
		wantError(w.t, err, ra.NotFound)
	})
}

func TestKeyFilePrintsNothing(t *testing.T) {
	f := enroll.KeyFile{PKCS12: secret.NewBytes([]byte("canary-key")), Password: secret.New("canary-password")}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", f, f, f, b); strings.Contains(text, "canary") {
		t.Error(text)
	}
}
