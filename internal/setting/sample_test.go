package setting

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// sample has a field of every type and every chain method.
type sample struct {
	Name, Notes, Server, Directory, Host string
	Mode, Profile, Roots, Country        string
	Token, Key, Pin                      secret.Text
	Verify, Strict                       bool
	Port, Batch                          int
	Timeout, Lifetime                    time.Duration
	Groups, Codes                        []string
	OIDs                                 []string

	validate func(*sample) error
}

var twoLetters = regexp.MustCompile(`^[A-Z]{2}$`)

func (s *sample) Describe(f *Form) {
	f.Text(&s.Name, "name", "Name").Required().MaxLength(10).Placeholder("main").Check(func(v string) error {
		switch v {
		case "taken":
			return ra.Errorf(ra.Conflict, "This name is in use.").WithRemedy("Choose another name.").WithField("name")
		case "odd":
			return errors.New("inner detail")
		}
		return nil
	})
	f.Multiline(&s.Notes, "notes", "Notes").Help("Free text | for people.")
	f.Section("Connection", "How the other side is reached.")
	f.URL(&s.Server, "server", "Server address").Required().Default("https://ca.example.com/api").Help("Where the API answers.")
	f.URL(&s.Directory, "directory", "Directory").Schemes("ldaps").Advanced()
	f.Host(&s.Host, "host", "Host")
	f.Int(&s.Port, "port", "Port").Default(443).Between(1, 65535)
	f.Int(&s.Batch, "batch", "Batch size").Between(2, 100)
	f.Duration(&s.Timeout, "timeout", "Reply timeout").Default(30*time.Second).Between(time.Second, 5*time.Minute)
	f.Duration(&s.Lifetime, "lifetime", "Lifetime")
	f.Bool(&s.Verify, "verify", "Verify the server").Default(true)
	f.Certificates(&s.Roots, "roots", "Trusted roots").When("verify", "true")
	f.Section("Sign-in", "")
	f.Choice(&s.Mode, "mode", "Sign in with").Required().Default("token").Options(
		Option{Value: "token", Label: "Token", Help: "One line."},
		Option{Value: "key", Label: "Private key"},
		Option{Value: "none"})
	f.Secret(&s.Token, "token", "Access token").Required().When("mode", "token")
	f.SecretText(&s.Key, "privateKey", "Private key").Required().When("mode", "key")
	f.Secret(&s.Pin, "pin", "PIN").MaxLength(8).Check(func(v secret.Text) error {
		if v.Equal(secret.New("0000")) {
			return ra.Errorf(ra.Invalid, "This PIN is too simple.").WithRemedy("Choose another PIN.")
		}
		return nil
	})
	f.Bool(&s.Strict, "strict", "Strict").When("mode", "key", "token")
	f.Text(&s.Country, "country", "Country").Pattern(twoLetters, "two capital letters").When("strict", "true").Required()
	f.Section("Issuing", "")
	f.Choice(&s.Profile, "profile", "Certificate profile").Lookup("profiles")
	f.List(&s.Groups, "groups", "Groups").Default([]string{"staff", "guests"}).MaxLength(20).Placeholder("staff")
	f.List(&s.Codes, "country_codes", "Country codes").Pattern(twoLetters, "two capital letters")
	f.OIDs(&s.OIDs, "usages", "Extended key usages")
}

func (s *sample) Validate() error {
	if s.validate != nil {
		return s.validate(s)
	}
	return nil
}

// valid is a sample with defaults and what is required.
func valid() *sample {
	s := &sample{}
	Defaults(s)
	s.Name, s.Token = "main", secret.New("correct-horse")
	return s
}

// certificate makes a PEM certificate.
func certificate(t testing.TB, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// flaws turns an error into "field: message" lines and checks that each has a
// remedy and that neither shows the values given as hidden.
func flaws(t *testing.T, err error, hidden ...string) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *ra.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *ra.Error", err)
	}
	list := e.Details
	if len(list) == 0 {
		list = []*ra.Error{e}
	}
	var lines []string
	for _, d := range list {
		if d.Remedy == "" {
			t.Errorf("%s: %q has no remedy", d.Field, d.Message)
		}
		for _, h := range hidden {
			if strings.Contains(d.Message+d.Remedy+fmt.Sprint(d.Err), h) {
				t.Errorf("%s: the error shows what arrived: %v; %s", d.Field, d, d.Remedy)
			}
		}
		lines = append(lines, d.Field+": "+d.Message)
	}
	return strings.Join(lines, "\n")
}

// same fails unless two samples have equal values.
func same(t *testing.T, got, want *sample) {
	t.Helper()
	for _, c := range Diff(want, got) {
		t.Errorf("changed: %s", c)
	}
}

// remedyOf gives the remedy of the one problem in err.
func remedyOf(err error) string {
	var e *ra.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Remedy
}
