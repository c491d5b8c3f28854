package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
)

// visitor is a browser without cookies that takes any certificate and shows
// which one it was.
func visitor(t *testing.T, url string) (status int, header http.Header, body string, served *x509.Certificate) {
	t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.TLS != nil {
		served = r.TLS.PeerCertificates[0]
	}
	return r.StatusCode, r.Header, string(b), served
}

// tlsFiles writes a certificate that begins at an instant, and its key.
func tlsFiles(t *testing.T, cfg *Config, from time.Time) *x509.Certificate {
	t.Helper()
	cert, err := selfSigned("127.0.0.1", from)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cfg.Certificate: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, cfg.Key: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert.Leaf
}

func withTLS(t *testing.T) Config {
	cfg := config(t, "")
	dir := t.TempDir()
	cfg.Certificate, cfg.Key = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	return cfg
}

// TestExpiredTLSCertificate: the console is served with what there is, says
// what is wrong, and takes up new files without a restart.
func TestExpiredTLSCertificate(t *testing.T) {
	cfg := withTLS(t)
	old := tlsFiles(t, &cfg, time.Now().Add(-100*24*time.Hour))
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	base := "https://" + a.Config.Listen
	status, header, _, served := visitor(t, base+"/")
	if status != http.StatusSeeOther || header.Get("Location") != "/repair" || !served.Equal(old) {
		t.Errorf("%d to %q with %s", status, header.Get("Location"), served.Subject)
	}
	status, header, body, _ := visitor(t, base+"/repair")
	if status != http.StatusOK || !strings.Contains(body, "TLS certificate") || !strings.Contains(body, "ended on") || !strings.Contains(body, cfg.Certificate) || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the repair page: %d %v\n%s", status, header, body)
	}
	found, err := a.doctor().Glance(t.Context(), localActor())
	if err != nil || !has(found, "TLS certificate", ca.StepFailed) {
		t.Errorf("the doctor finds %+v, %v", found, err)
	}
	fresh := tlsFiles(t, &cfg, time.Now())
	for limit := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if _, _, _, served = visitor(t, base+"/healthz"); served.Equal(fresh) {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the new certificate is not taken up")
		}
	}
	if status, header, _, _ = visitor(t, base+"/"); header.Get("Location") == "/repair" {
		t.Errorf("%d to %q after the repair", status, header.Get("Location"))
	}
	if _, _, body, _ = visitor(t, base+"/repair"); !strings.Contains(body, "Nothing of this server has expired") {
		t.Errorf("the repair page after the repair:\n%s", body)
	}
}

// TestUnusableTLSFiles: without a certificate that can be read the console is
// reachable all the same.
func TestUnusableTLSFiles(t *testing.T) {
	cfg := withTLS(t)
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	_, _, body, served := visitor(t, "https://"+a.Config.Listen+"/repair")
	if !strings.Contains(body, "cannot be used") || !strings.Contains(body, "Failed</span>") || !strings.Contains(served.Subject.CommonName, "repaired") {
		t.Errorf("served with %s:\n%s", served.Subject, body)
	}
	if err := served.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
}

// TestExpiredAuthority starts when everything the server signed for itself has
// ended: the page names it with the command that mends it, and after that
// command the rest mends itself.
func TestExpiredAuthority(t *testing.T) {
	cfg := config(t, "")
	s := startSite(t, cfg)
	s.enrol("ada-iphone")
	issuing := must(s.Authorities.Chain(t.Context(), s.ca.ID))[0]
	s.stop()
	began, then := time.Now(), issuing.NotAfter.Add(24*time.Hour)
	cfg.Now = func() time.Time { return then.Add(time.Since(began)) }
	cfg.TrustClock = true
	s = startSite(t, cfg)
	status, header, _, _ := visitor(t, s.url("/"))
	if status != http.StatusSeeOther || header.Get("Location") != "/repair" {
		t.Errorf("%d to %q", status, header.Get("Location"))
	}
	_, _, body, _ := visitor(t, s.url("/repair"))
	page := "/authorities/" + string(s.ca.ID)
	for _, want := range []string{"Issuing certificate of Embedded CA", "chancery authority renew &#39;Embedded CA&#39;", `href="` + page + `"`, `href="/sign-in"`, `href="/static/console.css"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the repair page lacks %q:\n%s", want, body)
		}
	}
	// What the page is drawn with needs no login; mending does.
	if status, header, _, _ := visitor(t, s.url("/static/console.css")); status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/css") {
		t.Errorf("the style sheet: %d %v", status, header)
	}
	if status, header, _, _ := visitor(t, s.url(page)); status != http.StatusSeeOther || !strings.HasPrefix(header.Get("Location"), "/sign-in?next=") {
		t.Errorf("the page that mends it: %d to %q", status, header.Get("Location"))
	}
	found, err := s.doctor().Glance(t.Context(), localActor())
	if err != nil || !has(found, "signing certificates", ca.StepFailed) {
		t.Errorf("the doctor finds %+v, %v", found, err)
	}
	s.refusedForNow(s.ask("ada-macbook", s.challenge("ada-macbook")))
	if err := s.Authorities.Renew(t.Context(), localActor(), s.ca.ID); err != nil {
		t.Fatal(err)
	}
	fresh := s.enrol("bela-ipad")
	s.verifies(fresh)
	if got := s.ocsp(fresh); got != "good" {
		t.Errorf("OCSP says %q", got)
	}
	if _, _, body, _ = visitor(t, s.url("/repair")); !strings.Contains(body, "Nothing of this server has expired") {
		t.Errorf("the repair page after the repair:\n%s", body)
	}
}
