package setting

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

func TestDefaults(t *testing.T) {
	s := &sample{Name: "x", Token: secret.New("t"), Port: 1, Groups: []string{"x"}, Batch: 7}
	Defaults(s)
	want := &sample{Server: "https://ca.example.com/api", Port: 443, Timeout: 30 * time.Second, Verify: true, Mode: "token", Groups: []string{"staff", "guests"}, Token: secret.New("t")}
	same(t, s, want)
	s.Groups[0] = "changed"
	Defaults(s)
	same(t, s, want)
}

func TestCheck(t *testing.T) {
	if err := Check(valid()); err != nil {
		t.Errorf("valid settings: %s", flaws(t, err))
	}
	for _, c := range []struct {
		name   string
		change func(*sample)
		want   string
	}{
		{"zero where there is a default", func(s *sample) { s.Port = 0 }, "port: Port must be between 1 and 65535."},
		{"zero where there is none", func(s *sample) { s.Batch = 0 }, ""},
		{"filled by the program", func(s *sample) { s.Server, s.Host = "junk", "a:1" },
			"server: Server address must be a complete address.\nhost: Host must be a host name or an IP address only."},
		{"the other scheme", func(s *sample) { s.Directory = "https://x" }, "directory: Directory must begin with ldaps://."},
		{"condition off", func(s *sample) { s.Mode, s.Token = "none", secret.Text{} }, ""},
		{"condition on", func(s *sample) { s.Token = secret.Text{} }, "token: Access token is required."},
		{"a chain that is broken higher up", func(s *sample) { s.Strict, s.Mode = true, "none" }, ""},
		{"the whole together", func(s *sample) {
			s.validate = func(s *sample) error {
				var p ra.Problems
				p.Add("port", "Port and host do not fit.", "Change one.")
				p.Add("host", "Host and port do not fit.", "Change one.")
				return p.Err()
			}
		}, "port: Port and host do not fit.\nhost: Host and port do not fit."},
		{"the whole is asked last", func(s *sample) {
			s.Port = 0
			s.validate = func(*sample) error { panic("asked although a field is wrong") }
		}, "port: Port must be between 1 and 65535."},
	} {
		s := valid()
		c.change(s)
		if got := flaws(t, Check(s)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestValidatorStopsAnUpdate(t *testing.T) {
	s := valid()
	s.validate = func(s *sample) error {
		if s.Port != 8443 {
			t.Errorf("Validate sees port %d, want the new one", s.Port)
		}
		return ra.Errorf(ra.Invalid, "No.").WithRemedy("Try another port.").WithField("port")
	}
	if got := flaws(t, FromJSON(s, []byte(`{"port": 8443}`))); got != "port: No." {
		t.Errorf("got %q, want port: No.", got)
	}
	if s.Port != 443 {
		t.Errorf("port is %d after an error, want 443", s.Port)
	}
}

func TestPlainErrorsOfChecksStayInside(t *testing.T) {
	s := valid()
	s.Name = "odd"
	var e *ra.Error
	if err := Check(s); !errors.As(err, &e) || strings.Contains(e.Message+e.Remedy, "inner") || e.Err == nil || e.Err.Error() != "inner detail" {
		t.Errorf("got %+v, want the plain error as cause only", e)
	}
}

func TestCopyIsIndependent(t *testing.T) {
	a, b := valid(), &sample{}
	Copy(b, a)
	same(t, b, a)
	b.Groups[0] = "changed"
	if a.Groups[0] != "staff" {
		t.Error("the copy shares its list")
	}
	defer func() {
		if recover() == nil {
			t.Error("copying between different settings did not panic")
		}
	}()
	Copy(described(func(*Form) {}), a)
}

func TestSecrets(t *testing.T) {
	s := valid()
	var names []string
	for _, f := range Secrets(s) {
		names = append(names, f.Name)
		*f.Value = secret.New(f.Name)
	}
	if got := strings.Join(names, " "); got != "token privateKey pin" {
		t.Errorf("got %s, want token privateKey pin", got)
	}
	if s.Token.Reveal() != "token" || s.Key.Reveal() != "privateKey" || s.Pin.Reveal() != "pin" {
		t.Error("the secrets are not the variables themselves")
	}
}

func TestDiff(t *testing.T) {
	a, b := valid(), valid()
	a.Key = secret.New("old")
	b.Timeout, b.Groups, b.Notes, b.Verify = time.Minute, []string{"a", "b"}, "two\nlines", false
	b.Token, b.Key, b.Pin = secret.New("other"), secret.Text{}, secret.New("new")
	b.Roots = certificate(t, "Root")
	b.Name = strings.Repeat("n", 200)
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.String())
		for _, plain := range []string{"correct-horse", "other", "old", "new"} {
			if strings.Contains(fmt.Sprintf("%+v", c), plain) {
				t.Errorf("%s shows a secret", c.Field)
			}
		}
	}
	for i, want := range []string{
		"name main → " + strings.Repeat("n", 119) + "…", `notes "" → "two\nlines"`, "timeout 30s → 1m", "verify true → false", `roots "" → CN=Root (SHA-256 `,
		"token changed", "privateKey cleared", "pin set", "groups staff, guests → a, b",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("change %d: got %q, want %q", i, got, want)
		}
	}
	if len(got) != 9 {
		t.Errorf("got %d changes, want 9", len(got))
	}
	same(t, valid(), valid())
}
