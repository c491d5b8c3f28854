package testpeer

import (
	"crypto/rand"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
)

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
	client := NewSCEPClient(t, StartSCEPServer(t, SCEPServerOptions{Challenge: challenge}).URL)
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
	server := StartSCEPServer(t, SCEPServerOptions{Challenge: rand.Text()})
	client := NewStrongSwan(t, server.URL)
	cas, err := client.CACertificates()
	if err != nil {
		t.Fatal(err)
	}
	if len(cas.CA) != 1 || len(cas.RA) != 0 || !cas.CA[0].Equal(server.CA) {
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
	server := StartSCEPServer(t, SCEPServerOptions{Challenge: challenge})
	client := StartCertmonger(t)
	if err := client.AddSCEP("foreign", server.URL, server.CA); err != nil {
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

// TestStepCA: both ways of setting it up issue to a foreign client and to one
// that needs the root and AES.
func TestStepCA(t *testing.T) {
	challenge := rand.Text()
	one := StartStepCA(t, StepCAOptions{Challenge: challenge, IncludeRoot: true})
	client := StartCertmonger(t)
	if err := client.AddSCEP("step", one.URL, nil); err != nil {
		t.Fatal(err)
	}
	req := SCEPRequest{CommonName: "dev1.example.org", DNSNames: []string{"dev1.example.org"}, Challenge: challenge}
	got, err := client.Enrol("step", req)
	if err != nil {
		t.Fatalf("%v\n%s", err, client.Log())
	}
	check(t, got.SCEPResult, req)
	if err := got.Certificate.CheckSignatureFrom(one.Issuing); err != nil {
		t.Error(err)
	}

	two := StartStepCA(t, StepCAOptions{Challenge: challenge, SeparateRA: true, DES: true})
	other := NewSCEPClient(t, two.URL)
	other.SelectEncipherment = true
	second, err := other.Enrol(req)
	if err != nil {
		t.Fatal(err)
	}
	check(t, second, req)
	if err := second.Certificate.CheckSignatureFrom(two.Issuing); err != nil {
		t.Error(err)
	}
}
