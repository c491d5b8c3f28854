package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// site is the program at work, watched from outside: everything that comes out
// of it is kept with the name of where it came from.
type site struct {
	t       *testing.T
	bin     string
	data    string
	backend string // address of the database; empty: SQLite in the data folder
	env     []string
	base    string
	server  *exec.Cmd
	log     string // file with what the server wrote
	local   *http.Client
	birds   *canaries
	out     map[string][]byte
	name    string // typed into a field that is no secret
}

// TestCanaries plants a marked secret in every field that can hold one, works
// with the program as people, devices and programs do, provokes errors, ends
// it with a crash, and finds the secrets in nothing that came out of it.
func TestCanaries(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "chancery")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	testpeer.EachDatabase(t, func(t *testing.T, engine, address string) {
		s := &site{t: t, bin: bin, data: filepath.Join(t.TempDir(), "data"), backend: address, birds: &canaries{}, out: map[string][]byte{}}
		s.env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir(), "GOTRACEBACK=all", "CHANCERY_LOG_LEVEL=debug",
			"CHANCERY_EGRESS_ALLOW=127.0.0.0/8", "CHANCERY_DATA="+s.data, "CHANCERY_LISTEN="+freeAddress(t))
		if engine == "postgres" {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if password, ok := u.User.Password(); ok {
				s.birds.add(t, "database password", []byte(password))
			}
			conf := filepath.Join(t.TempDir(), "chancery.yaml")
			if err := os.WriteFile(conf, []byte("database: "+address+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.env = append(s.env, "CHANCERY_CONFIG="+conf)
		}
		s.run("quickstart", "--exit")
		s.start()
		s.authorities()
		s.people()
		s.devices()
		s.passes()
		s.microsoft()
		s.plantDirectories()
		s.keys()
		s.wrong()
		s.programs()
		s.rotate()
		s.crawl() // everything sealed opens with the new key
		s.process()
		s.crash()
		s.files()
		for _, name := range s.birds.names {
			t.Logf("planted: %s", name)
		}
		for where, text := range s.out {
			for _, name := range s.birds.in(text) {
				t.Errorf("%s shows the secret %q", where, name)
			}
		}
		if len(s.out) < 150 || len(s.birds.names) < 20 {
			t.Errorf("only %d outputs were searched for %d secrets", len(s.out), len(s.birds.names))
		}
	})
}

// mark makes a secret text.
func (s *site) mark(name string) string {
	secret := "Cnry" + rand.Text()
	s.birds.add(s.t, name, []byte(secret))
	return secret
}

// keyPEM makes a private key and marks its secret number.
func (s *site) keyPEM(name string) (*ecdsa.PrivateKey, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	number, err := key.Bytes()
	s.must(err)
	s.birds.add(s.t, name, number)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// keep remembers an output.
func (s *site) keep(where string, text []byte) {
	s.out[fmt.Sprintf("%s #%d", where, len(s.out))] = text
}
