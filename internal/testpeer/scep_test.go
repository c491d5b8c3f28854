package testpeer

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// startSCEPServer runs micromdm's scepserver, which knows nothing of this
// product, and gives its URL and the file of its CA certificate.
func startSCEPServer(t *testing.T, challenge string) (url, caFile string) {
	t.Helper()
	path := goTool(t, micromdmSCEP+"scepserver", micromdmSCEPVersion)
	dir := t.TempDir()
	depot := filepath.Join(dir, "depot")
	init := command{path: path, args: []string{"ca", "-init", "-depot", depot, "-keySize", "2048"}, dir: dir, timeout: scepTimeout}
	if out, errs, err := init.run(); err != nil {
		t.Fatal(withOutput(err, string(out)+string(errs)))
	}
	address := "127.0.0.1:" + strconv.Itoa(FreePort(t))
	cmd := exec.Command(path, "-depot", depot, "-http-addr", address, "-challenge", challenge, "-allowrenew", "0")
	cmd.Dir = dir
	cmd.Env = cleanEnv(dir)
	server, err := start(cmd, filepath.Join(dir, "log"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.stop(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	url = "http://" + address + "/scep"
	err = server.await(scepTimeout, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?operation=GetCACaps", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return url, filepath.Join(depot, "ca.pem")
}

// check looks at a certificate a client got.
func check(t *testing.T, result SCEPResult, req SCEPRequest) {
	t.Helper()
	if got := result.Certificate.Subject.CommonName; got != req.CommonName {
		t.Errorf("common name: got %q, want %q", got, req.CommonName)
	}
	if got := result.Certificate.DNSNames; !slices.Equal(got, req.DNSNames) {
		t.Errorf("DNS names: got %q, want %q", got, req.DNSNames)
	}
}

func TestSCEPClientWithForeignServer(t *testing.T) {
	challenge := rand.Text()
	url, _ := startSCEPServer(t, challenge)
	client := NewSCEPClient(t, url)
	req := SCEPRequest{CommonName: "dev1", Organization: "Test", Challenge: challenge}

	first, err := client.Enrol(req)
	if err != nil {
		t.Fatal(err)
	}
	check(t, first, req)
	second, err := client.Renew(first)
	if err != nil {
		t.Fatal(err)
	}
	check(t, second, req)
	if first.Certificate.SerialNumber.Cmp(second.Certificate.SerialNumber) == 0 {
		t.Error("renewal gave the same certificate again")
	}

	req.Challenge = "wrong"
	refused, err := client.Enrol(req)
	if err == nil || !strings.Contains(err.Error(), "badRequest") {
		t.Errorf("a wrong challenge: got %v, want badRequest", err)
	}
	if refused.Certificate != nil {
		t.Error("a wrong challenge gave a certificate")
	}
}

func TestStrongSwanWithForeignServer(t *testing.T) {
	url, caFile := startSCEPServer(t, rand.Text())
	client := NewStrongSwan(t, url)
	cas, err := client.CACertificates()
	if err != nil {
		t.Fatal(err)
	}
	want, err := readCertificates(caFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(cas.CA) != 1 || len(cas.RA) != 0 || !cas.CA[0].Equal(want[0]) {
		t.Errorf("certificates: got %d of a CA and %d of an RA, want the one CA certificate", len(cas.CA), len(cas.RA))
	}
	// This release cannot read the server's capabilities.
	if _, err := client.Enrol(SCEPRequest{CommonName: "dev1"}); err == nil || !strings.Contains(err.Error(), "not supported by CA") {
		t.Errorf("enrolment: got %v, want that the CA does not support the algorithm", err)
	}
}

func TestStrongSwan(t *testing.T) {
	server := newResponder(t, rand.Text())
	client := NewStrongSwan(t, server.url)
	cas, err := client.CACertificates()
	if err != nil {
		t.Fatal(err)
	}
	if len(cas.CA) != 1 || len(cas.RA) != 1 || !cas.CA[0].Equal(server.root) || !cas.RA[0].Equal(server.ra) {
		t.Fatalf("certificates: got %d of a CA and %d of an RA, want the root and the RA", len(cas.CA), len(cas.RA))
	}

	req := SCEPRequest{CommonName: "dev 1", Organization: "Test", DNSNames: []string{"a.example.org", "b.example.org"}, Challenge: server.challenge}
	first, err := client.Enrol(req)
	if err != nil {
		t.Fatal(err)
	}
	check(t, first, req)
	second, err := client.Renew(first, req)
	if err != nil {
		t.Fatal(err)
	}
	check(t, second, req)
	if first.Certificate.PublicKeyAlgorithm != x509.RSA || first.KeyFile == second.KeyFile {
		t.Error("renewal did not make a new key")
	}
	if got, want := server.seen(), "19 17"; got != want {
		t.Errorf("message types: got %q, want %q", got, want)
	}

	server.setPending(2)
	polled, err := client.Enrol(req)
	if err != nil {
		t.Fatal(err)
	}
	check(t, polled, req)
	if got, want := server.seen(), "19 20 20"; got != want {
		t.Errorf("message types when pending: got %q, want %q", got, want)
	}

	client.PollTime = 0
	req.Challenge = "wrong"
	if refused, err := client.Enrol(req); err == nil || refused.Certificate != nil {
		t.Errorf("a wrong challenge: got error %v, want one and no certificate", err)
	}
}

func TestCertmonger(t *testing.T) {
	server := newResponder(t, rand.Text())
	client := StartCertmonger(t)
	if err := client.AddSCEP("ours", server.url, nil); err != nil {
		t.Fatal(err)
	}
	names, err := client.CAs()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, "ours") || !slices.Contains(names, "SelfSign") {
		t.Errorf("CAs: got %q, want ours among certmonger's own", names)
	}

	req := SCEPRequest{CommonName: "dev 1", Organization: "Test", DNSNames: []string{"a.example.org"}, Challenge: server.challenge}
	first, err := client.Enrol("ours", req)
	if err != nil {
		t.Fatalf("%v\n%s", err, client.Log())
	}
	check(t, first.SCEPResult, req)
	firstKey, err := os.ReadFile(first.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Resubmit(first)
	if err != nil {
		t.Fatal(err)
	}
	check(t, second.SCEPResult, req)
	if first.Certificate.Equal(second.Certificate) {
		t.Error("resubmit gave the same certificate")
	}
	third, err := client.Rekey(second)
	if err != nil {
		t.Fatal(err)
	}
	check(t, third.SCEPResult, req)
	thirdKey, err := os.ReadFile(third.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(firstKey) == string(thirdKey) {
		t.Error("rekey kept the key")
	}
	if got, want := server.seen(), "19 19 19"; got != want {
		t.Errorf("message types: got %q, want %q", got, want)
	}

	server.setPending(1)
	waiting, err := client.Enrol("ours", req)
	if err == nil || waiting.Status.State != "CA_WORKING" {
		t.Fatalf("pending: got %v in state %s, want CA_WORKING", err, waiting.Status.State)
	}
	polled, err := client.Poll(waiting)
	if err != nil {
		t.Fatal(err)
	}
	check(t, polled.SCEPResult, req)
	if got, want := server.seen(), "19 19"; got != want {
		t.Errorf("message types when pending: got %q, want %q", got, want)
	}

	req.Challenge = "wrong"
	refused, err := client.Enrol("ours", req)
	if err == nil || refused.Certificate != nil {
		t.Fatalf("a wrong challenge: got error %v, want one and no certificate", err)
	}
	if status := refused.Status; status.State != "CA_REJECTED" || !status.Stuck || status.CAError == "" {
		t.Errorf("a wrong challenge: got %+v, want CA_REJECTED, stuck, with an error", status)
	}
}

func TestCertmongerWithForeignServer(t *testing.T) {
	challenge := rand.Text()
	url, caFile := startSCEPServer(t, challenge)
	roots, err := readCertificates(caFile)
	if err != nil {
		t.Fatal(err)
	}
	client := StartCertmonger(t)
	if err := client.AddSCEP("foreign", url, roots[0]); err != nil {
		t.Fatal(err)
	}
	// The server's answer is encrypted with DES, which OpenSSL 3 does not open.
	refused, err := client.Enrol("foreign", SCEPRequest{CommonName: "dev1", Challenge: challenge})
	if err == nil || refused.Status.State != "NEED_GUIDANCE" {
		t.Errorf("got error %v in state %q, want one in NEED_GUIDANCE", err, refused.Status.State)
	}
	if !strings.Contains(client.Log(), "unsupported") {
		t.Errorf("the log does not say why:\n%s", client.Log())
	}
}
