package scep_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// eachWorld runs a test on both databases with an RSA and an EC issuing CA.
func eachWorld(t *testing.T, test func(*testing.T, *world)) {
	for _, issuing := range []string{"rsa-2048", "p-256"} {
		t.Run(issuing, func(t *testing.T) {
			testpeer.EachDatabase(t, func(t *testing.T, _, database string) { test(t, newWorld(t, database, issuing)) })
		})
	}
}

// peerTemplate fits what the clients put into their requests, and lets a
// renewal keep its key, as certmonger and scepclient do.
func peerTemplate(x *ra.Template) { x.Spec.ReuseKey = true }

func (w *world) peerRequest(e *ra.Endpoint, d *ra.Device) testpeer.SCEPRequest {
	return testpeer.SCEPRequest{CommonName: d.PlatformID, Organization: "Example", DNSNames: []string{d.PlatformID + ".example.org"}, Challenge: w.challenge(e, d)}
}

// sound checks an issued certificate as relying parties do: openssl builds the
// chain, looks into the CRL, and asks OCSP.
func (w *world) sound(t *testing.T, c *x509.Certificate, revoked bool) {
	t.Helper()
	var row *ra.Certificate
	w.read(func(tx *store.Tx) (err error) {
		row, err = tx.CertificateBySerial(w.issuerHash(tx), strings.ToLower(c.SerialNumber.Text(16)))
		return err
	})
	chain := must(w.auth.Chain(t.Context(), w.authority.ID))(t)
	dir := t.TempDir()
	file := func(name string, blocks ...*pem.Block) string {
		var b bytes.Buffer
		for _, block := range blocks {
			if err := pem.Encode(&b, block); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate := func(c *x509.Certificate) *pem.Block { return &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw} }
	crl := must(w.lifecycle.CRL(t.Context(), row.IssuerHash))(t)
	leaf, issuing, root := file("leaf.pem", certificate(c)), file("issuing.pem", certificate(chain[0])), file("root.pem", certificate(chain[1]))
	out, err := testpeer.OpenSSL(t, dir, nil, "verify", "-x509_strict", "-crl_check", "-CAfile", root, "-untrusted", issuing,
		"-CRLfile", file("crl.pem", &pem.Block{Type: "X509 CRL", Bytes: crl.DER}), leaf)
	if revoked {
		if err == nil || !strings.Contains(err.Error(), "certificate revoked") {
			t.Errorf("openssl verify says of a revoked certificate: %s %v", out, err)
		}
	} else if err != nil {
		t.Errorf("openssl verify: %v", err)
	}
	bundle := file("bundle.pem", certificate(chain[0]), certificate(chain[1]))
	out, err = testpeer.OpenSSL(t, dir, nil, "ocsp", "-issuer", issuing, "-cert", leaf, "-CAfile", bundle, "-url", w.url+"/ocsp")
	if want := map[bool]string{true: ": revoked", false: ": good"}[revoked]; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("openssl ocsp: got %s %v, want %q", out, err, want)
	}
}

func (w *world) issuerHash(tx *store.Tx) string {
	issuers := must(tx.Issuers(w.authority.ID))(w.t)
	return issuers[0].SPKIHash
}

func differ(t *testing.T, a, b *x509.Certificate, sameKey bool) {
	t.Helper()
	if a.Equal(b) {
		t.Error("the renewal gave the same certificate")
	}
	if got := a.PublicKey.(*rsa.PublicKey).Equal(b.PublicKey); got != sameKey {
		t.Errorf("same key: %t, want %t", got, sameKey)
	}
}

func TestStrongSwan(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.endpoint("door", w.template(nil), nil)
		d := w.device()
		peer := testpeer.NewStrongSwan(t, w.url+"/scep/door")
		peer.PollInterval = time.Second
		request := w.peerRequest(e, d)
		first, err := peer.Enrol(request)
		if err != nil {
			t.Fatalf("%v\n%s", err, w.log)
		}
		w.sound(t, first.Certificate, false)
		second, err := peer.Renew(first, request)
		if err != nil {
			t.Fatalf("%v\n%s", err, w.log)
		}
		differ(t, first.Certificate, second.Certificate, false)
		w.sound(t, second.Certificate, false)

		if refused, err := peer.Enrol(request); err == nil || refused.Certificate != nil {
			t.Errorf("a spent challenge: %v", err)
		}
		must(w.lifecycle.Revoke(t.Context(), admin, w.certificates(d)[0].ID, ra.KeyCompromise, ""))(t)
		w.sound(t, second.Certificate, true)
		if refused, err := peer.Renew(second, request); err == nil || refused.Certificate != nil {
			t.Errorf("a revoked certificate: %v", err)
		}
		w.refusedFor(t, "revoked or on hold")
	})
}

func TestStrongSwanWaits(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		e := w.endpoint("door", w.template(func(x *ra.Template) { x.Spec.Approvals = 1 }), nil)
		for name, approve := range map[string]bool{"approved": true, "denied": false} {
			t.Run(name, func(t *testing.T) {
				d := w.device()
				peer := testpeer.NewStrongSwan(t, w.url+"/scep/door")
				decided := make(chan struct{})
				go func() {
					defer close(decided)
					for range 200 {
						time.Sleep(50 * time.Millisecond)
						if len(w.requests(d)) > 0 {
							w.decide(d, approve)
							return
						}
					}
				}()
				got, err := peer.Enrol(w.peerRequest(e, d))
				<-decided
				switch {
				case approve && err != nil:
					t.Errorf("%v\n%s", err, w.log)
				case approve:
					w.sound(t, got.Certificate, false)
				case err == nil:
					t.Error("a denied request gave a certificate")
				}
			})
		}
	})
}

func TestCertmonger(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		e := w.endpoint("door", w.template(peerTemplate), nil)
		waiting := w.endpoint("waiting", w.template(func(x *ra.Template) { x.Spec.ReuseKey, x.Spec.Approvals = true, 1 }), nil)
		peer := testpeer.StartCertmonger(t)
		for name, url := range map[string]string{"door": "/scep/door/pkiclient.exe", "waiting": "/scep/waiting"} {
			if err := peer.AddSCEP(name, w.url+url, nil); err != nil {
				t.Fatalf("%v\n%s", err, peer.Log())
			}
		}
		d := w.device()
		first, err := peer.Enrol("door", w.peerRequest(e, d))
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, peer.Log(), w.log)
		}
		w.sound(t, first.Certificate, false)
		second, err := peer.Resubmit(first)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, peer.Log(), w.log)
		}
		differ(t, first.Certificate, second.Certificate, true)
		third, err := peer.Rekey(second)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, peer.Log(), w.log)
		}
		differ(t, second.Certificate, third.Certificate, false)
		w.sound(t, third.Certificate, false)

		slow := w.device()
		asked, err := peer.Enrol("waiting", w.peerRequest(waiting, slow))
		if err == nil || asked.Status.State != "CA_WORKING" {
			t.Fatalf("pending: %v in state %s", err, asked.Status.State)
		}
		w.decide(slow, true)
		got, err := peer.Poll(asked)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, peer.Log(), w.log)
		}
		w.sound(t, got.Certificate, false)

		request := w.peerRequest(e, w.device())
		request.Challenge = "wrong"
		refused, err := peer.Enrol("door", request)
		if err == nil || refused.Status.State != "CA_REJECTED" || !refused.Status.Stuck {
			t.Errorf("a wrong challenge: %v in state %s", err, refused.Status.State)
		}
	})
}

func TestSCEPClient(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		until := w.clock.now().AddDate(1, 0, 0).Format(time.DateOnly)
		template := w.template(peerTemplate)
		e := w.endpoint("legacy", template, settings{"floor": "legacy", "legacy_accepted": true, "legacy_until": until})
		modern := w.endpoint("modern", template, nil)
		peer := testpeer.NewSCEPClient(t, w.url+"/scep/legacy")
		peer.SelectEncipherment = true
		first, err := peer.Enrol(w.peerRequest(e, w.device()))
		if err != nil {
			t.Fatalf("%v\n%s", err, w.log)
		}
		w.sound(t, first.Certificate, false)
		second, err := peer.Renew(first)
		if err != nil {
			t.Fatalf("%v\n%s", err, w.log)
		}
		differ(t, first.Certificate, second.Certificate, true)
		w.sound(t, second.Certificate, false)

		strict := testpeer.NewSCEPClient(t, w.url+"/scep/modern")
		strict.SelectEncipherment = true
		if refused, err := strict.Enrol(w.peerRequest(modern, w.device())); err == nil || refused.Certificate != nil {
			t.Errorf("DES at the modern floor: %v", err)
		}
		w.refusedFor(t, "floor does not allow")
	})
}
