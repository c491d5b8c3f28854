//go:build pkcs11 && cgo

package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/wire/pkixmsg"
)

// softHSM is the library of SoftHSM2, which Debian and others put here.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// token makes a token of its own for a test and gives its folder and the
// beginning of addresses in it. SoftHSM reads its configuration once in a
// process, so all tests share one folder of tokens.
func token(t testing.TB, label string) (address string, away func(bool)) {
	t.Helper()
	if _, err := os.Stat(softHSM); err != nil {
		t.Fatalf("this test needs the Debian package softhsm2: %v", err)
	}
	before := tokenNames(t)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "1234", "--so-pin", "5678").CombinedOutput()
	if err != nil {
		t.Fatalf("softhsm2-util: %v %s", err, out)
	}
	var folder string
	for name := range tokenNames(t) {
		if !before[name] {
			folder = filepath.Join(tokens, name)
		}
	}
	return "pkcs11:token=" + label + ";object=", func(gone bool) {
		from, to := folder, filepath.Join(filepath.Dir(tokens), "gone-"+label)
		if !gone {
			from, to = to, from
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
}

const library = "?module-path=" + softHSM

var tokens string

func tokenNames(t testing.TB) map[string]bool {
	t.Helper()
	list, err := os.ReadDir(tokens)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range list {
		names[e.Name()] = true
	}
	return names
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "keystore")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		tokens = filepath.Join(dir, "tokens")
		conf := filepath.Join(dir, "softhsm2.conf")
		if err := os.Mkdir(tokens, 0o700); err != nil {
			panic(err)
		}
		if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600); err != nil {
			panic(err)
		}
		os.Setenv("SOFTHSM2_CONF", conf)
		return m.Run()
	}())
}

func TestToken(t *testing.T) {
	address, away := token(t, "first")
	s := &Stores{}
	defer closeAll(s)
	pin := secret.New("1234")
	for _, kind := range []pkixmsg.KeyType{pkixmsg.P256, pkixmsg.RSA2048} {
		name := string(kind)
		made, uri, err := s.Create(t.Context(), address+name+library, pin, kind)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, _, err := s.Create(t.Context(), uri, pin, kind); ra.KindOf(err) != ra.Conflict {
			t.Errorf("a second key of that name: %v", err)
		}
		found, err := s.Open(t.Context(), address+name+library, pin)
		if err != nil || !same(found.Public(), made.Public()) {
			t.Fatalf("%s: %v", kind, err)
		}
		var wg sync.WaitGroup
		for range 3 * maxCalls {
			wg.Go(func() {
				if err := verifies(found); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		away(true)
		closeAll(s) // SoftHSM sees that a token is gone when it is opened next
		err = verifies(found)
		if e := ra.AsError(err); e.Kind != ra.Unreachable || e.Remedy == "" {
			t.Errorf("%s in a token that is away: %v", kind, err)
		}
		away(false)
		if err := verifies(found); err != nil {
			t.Errorf("%s in a token that is back: %v", kind, err)
		}
	}
	if _, err := s.Open(t.Context(), address+"none"+library, pin); ra.KindOf(err) != ra.NotFound {
		t.Errorf("a key that is not there: %v", err)
	}
	if _, err := s.Open(t.Context(), "pkcs11:token=nowhere;object=k"+library, pin); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("a token that is not there: %v", err)
	}
	if _, err := s.Open(t.Context(), "pkcs11:token=first;object=k?module-path=/usr/lib/none.so", pin); ra.KindOf(err) != ra.Unreachable {
		t.Errorf("a library that is not there: %v", err)
	}
}

// closeAll closes the stores as if each had been away. SoftHSM looks for tokens
// when it is opened first, so each test begins with it closed.
func closeAll(s *Stores) {
	for _, c := range s.open {
		c.drop(c.lives())
	}
}

// TestTokenWrongPIN: with the token open, a wrong PIN does not work either.
func TestTokenWrongPIN(t *testing.T) {
	address, _ := token(t, "second")
	s := &Stores{}
	defer closeAll(s)
	k, uri, err := s.Create(t.Context(), address+"k"+library, secret.New("1234"), pkixmsg.P256)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := s.Open(t.Context(), uri, secret.New("9999")); ra.KindOf(err) != ra.Denied || ra.AsError(err).Remedy == "" {
			t.Errorf("a wrong PIN: %v", err)
		}
		if err := verifies(k); err != nil {
			t.Errorf("the right PIN afterwards: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(file, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), uri+"&pin-source=file:"+file, secret.Text{}); err != nil {
		t.Errorf("the PIN from a file: %v", err)
	}
}

func verifies(k crypto.Signer) error {
	signature, err := k.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if pub, ok := k.Public().(*rsa.PublicKey); ok {
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature)
	}
	if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], signature) {
		return rsa.ErrVerification
	}
	return nil
}

func BenchmarkTokenP256(b *testing.B)    { benchmarkToken(b, pkixmsg.P256) }
func BenchmarkTokenRSA2048(b *testing.B) { benchmarkToken(b, pkixmsg.RSA2048) }

func benchmarkToken(b *testing.B, kind pkixmsg.KeyType) {
	address, _ := token(b, "bench-"+rand.Text()[:20])
	s := &Stores{}
	defer closeAll(s)
	k, _, err := s.Create(b.Context(), address+"k"+library, secret.New("1234"), kind)
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, k)
}
