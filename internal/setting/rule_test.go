package setting

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"https://ca.example.com", ""}, {"http://localhost:8080/path?q=1", ""}, {"https://192.0.2.7", ""}, {"https://[2001:db8::1]:8443/", ""},
		{"https://ca_1.corp/certsrv/", ""}, {"https://xn--bcher-kva.example", ""},
		{"ca.example.com", "complete address"}, {"/path", "complete address"}, {"https://", "complete address"}, {"https:///path", "complete address"},
		{"https:ca.example.com", "complete address"}, {"https://ca example.com", "complete address"}, {"https://ca.example.com:", "complete address"},
		{"https://ca.example.com:port", "complete address"}, {"https://bücher.example", "complete address"}, {"https://%zz", "complete address"},
		{"ftp://ca.example.com", "begin with https:// or http://"}, {"javascript://x/%0aalert(1)", "begin with"},
		{"https://user:pw@ca.example.com", "user name or password"}, {"https://user@ca.example.com", "user name or password"},
		{"https://ca.example.com#x", "fragment"}, {"https://ca.example.com#", "fragment"},
	} {
		bad := absoluteURL(c.in, []string{"https", "http"})
		if (bad == nil) != (c.want == "") || bad != nil && !strings.Contains(bad.what, c.want) {
			t.Errorf("%s: got %v, want %q", c.in, bad, c.want)
		}
	}
}

func TestHosts(t *testing.T) {
	for in, good := range map[string]bool{
		"ca1": true, "ca1.example.com": true, "ca1.example.com.": true, "CA_1.corp.local": true, "192.0.2.7": true, "2001:db8::1": true, "xn--bcher-kva": true, "1and1.com": true,
		"": false, ".": false, "a..b": false, "-a.com": false, "a-.com": false, "bücher.example": false, "a b": false, "https://a": false, "a:443": false,
		"192.0.2.7:443": false, "[2001:db8::1]": false, "[2001:db8::1]:443": false, "a/b": false, "192.0.2.256": false, "192.0.2": false, "*.example.com": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
	} {
		if bad := hostName(in); (bad == nil) != good {
			t.Errorf("%q: got %v, want accepted %v", in, bad, good)
		}
	}
}

func TestObjectIDs(t *testing.T) {
	for in, good := range map[string]bool{
		"1.2": true, "1.3.6.1.5.5.7.3.2": true, "2.999.1": true, "2.25.329800735698586629295641978511506172918": true, "0.9.2342.19200300.100.1.1": true,
		"": false, "1": false, "1.": false, ".1": false, "1..2": false, "3.1": false, "1.40": false, "1.02": false, "1.-2": false, "1.2 ": false, "serverAuth": false, "1.2.a": false,
	} {
		if bad := objectID(in); (bad == nil) != good {
			t.Errorf("%q: got %v, want accepted %v", in, bad, good)
		}
	}
}

func TestCertificateBundles(t *testing.T) {
	a, b := certificate(t, "A"), certificate(t, "B")
	damaged := strings.Replace(a, "\n", "\n!", 1)
	for _, c := range []struct{ name, in, want, tidied string }{
		{"one", a, "", a},
		{"two with comments", "subject=A\n" + a + "\nsubject=B\n" + b + "\nend", "", a + b},
		{"windows line ends", strings.ReplaceAll(a, "\n", "\r\n"), "", a},
		{"no PEM", "hello", "must be PEM certificates", "hello"},
		{"a damaged one is not lost", damaged + b, "must be PEM certificates", strings.TrimSpace(damaged + b)},
		{"the end is missing", a + strings.Split(b, "-----END")[0], "must be PEM certificates", ""},
		{"not a certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "damaged certificate, number 1", ""},
		{"a request", strings.ReplaceAll(a, "CERTIFICATE", "CERTIFICATE REQUEST"), "certificates only", ""},
		{"a key", a + strings.ReplaceAll(b, "CERTIFICATE", "EC PRIVATE KEY"), "private key", ""},
	} {
		bad := certificates(c.in)
		if (bad == nil) != (c.want == "") || bad != nil && !strings.Contains(bad.what, c.want) {
			t.Errorf("%s: got %v, want %q", c.name, bad, c.want)
		}
		if got := tidyPEM(c.in); c.tidied != "" && got != c.tidied {
			t.Errorf("%s: tidied to %q, want %q", c.name, got, c.tidied)
		}
	}
	if got := describePEM(a + b); !strings.HasPrefix(got, "CN=A (SHA-256 ") || !strings.Contains(got, "), CN=B (SHA-256 ") {
		t.Errorf("got %s, want both subjects with fingerprints", got)
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  time.Duration
		shown string
	}{
		{"30s", 30 * time.Second, "30s"}, {"90s", 90 * time.Second, "1m30s"}, {"60m", time.Hour, "1h"}, {"24h", day, "1d"}, {"90d", 90 * day, "90d"},
		{"1d12h30m1.5s", day + 12*time.Hour + 30*time.Minute + 1500*time.Millisecond, "1d12h30m1.5s"}, {"1.5h", 90 * time.Minute, "1h30m"},
		{"500ms", 500 * time.Millisecond, "500ms"}, {"5us", 5 * time.Microsecond, "5us"}, {"5µs", 5 * time.Microsecond, "5us"}, {"0", 0, "0s"}, {"0d", 0, "0s"}, {"36h", 36 * time.Hour, "1d12h"},
		{"106751d", 106751 * day, "106751d"},
	} {
		got, ok := parseDuration(c.in)
		if !ok || got != c.want {
			t.Errorf("%s: got %v and %v, want %v", c.in, got, ok, c.want)
		}
		if got := formatDuration(c.want); got != c.shown {
			t.Errorf("%s: shown as %s, want %s", c.in, got, c.shown)
		}
	}
	for _, in := range []string{"", "30", "d", "1.5d", "-1d", "-5s", "5s1d", "106752d", "106751d24h", "9999999999999999999d", "1w", "soon", "+1d", " 1d"} {
		if got, ok := parseDuration(in); ok {
			t.Errorf("%q: got %v, want a refusal", in, got)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add("90d", int64(1))
	f.Add("1d12h30m1.5s", int64(math.MaxInt64))
	f.Add("5µs", int64(0))
	f.Fuzz(func(t *testing.T, s string, n int64) {
		if d, ok := parseDuration(s); ok && d < 0 {
			t.Errorf("%q gave the negative span %v", s, d)
		}
		if n < 0 {
			return
		}
		d := time.Duration(n)
		if got, ok := parseDuration(formatDuration(d)); !ok || got != d {
			t.Errorf("%v was shown as %s and read as %v, %v", d, formatDuration(d), got, ok)
		}
	})
}
