package pkixmsg

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"flag"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// fixedKey is the same on every run, and its signatures are too.
func fixedKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{0x5a}, ed25519.SeedSize))
}

const testSID = "S-1-5-21-3981832230-819177259-90020688-1105"

func mustDN(t testing.TB, text string) Name {
	t.Helper()
	name, err := ParseDN(text)
	if err != nil {
		t.Fatalf("ParseDN(%q): %v", text, err)
	}
	return name
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// golden compares got with a file of testdata, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(testdata(t, name)); got != want {
		t.Errorf("%s differs; run with -update and read the diff. got:\n%s", name, got)
	}
}

// openssl runs the openssl program on input and gives what it prints.
func openssl(t *testing.T, input []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// wantKind fails unless err is an *Error of that kind with a message and a remedy.
func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Fatalf("error = %v, want kind %v", err, kind)
	}
	if e.Message == "" || e.Remedy == "" {
		t.Errorf("error %q has remedy %q, want both filled", e.Message, e.Remedy)
	}
}

// pick gives a random number below n.
func pick(t testing.TB, n int) int {
	t.Helper()
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		t.Fatal(err)
	}
	return int(v.Int64())
}
