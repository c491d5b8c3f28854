package ndes_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"

	"github.com/smallstep/scep"
)

// TestFaults: each act does what it says, as often as it was asked to, and
// where.
func TestFaults(t *testing.T) {
	s := start(t, ndes.Config{CAKey: ndes.P256, Charset: ndes.UTF8})
	// A fresh line each time: on an old one the client repeats a GET by itself.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page := func() (*http.Response, []byte, error) {
		r, err := client.Get(s.AdminURL())
		if err != nil {
			return nil, nil, err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		return r, body, err
	}
	minted := func() int { return s.Counts().Minted }
	for _, c := range []struct {
		name   string
		act    ndes.Act
		minted int
		ok     func(*http.Response, []byte, error) bool
	}{
		{"cut before", ndes.CutBefore, 0, func(r *http.Response, _ []byte, err error) bool { return r == nil && err != nil }},
		{"lost", ndes.LoseAnswer, 1, func(r *http.Response, _ []byte, err error) bool { return r == nil && err != nil }},
		{"cut", ndes.Cut(100), 1, func(r *http.Response, b []byte, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && len(b) == 100
		}},
		{"cut at once", ndes.Cut(0), 1, func(r *http.Response, b []byte, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && len(b) == 0 && r.StatusCode == 200
		}},
		{"cut at the end", ndes.Cut(1 << 20), 1, func(r *http.Response, b []byte, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && int64(len(b)) == r.ContentLength-1
		}},
		{"status", ndes.Status(503), 0, func(r *http.Response, b []byte, err error) bool {
			return err == nil && r.StatusCode == 503 && bytes.Contains(b, []byte("503"))
		}},
		{"redirect", ndes.Redirect("https://other.example/"), 0, func(r *http.Response, _ []byte, err error) bool {
			return err == nil && r.StatusCode == 302 && r.Header.Get("Location") == "https://other.example/"
		}},
		{"HTML", ndes.HTML, 0, func(r *http.Response, b []byte, err error) bool {
			return err == nil && r.StatusCode == 200 && bytes.Contains(b, []byte("Sign in"))
		}},
		{"media", ndes.Media("application/octet-stream"), 1, func(r *http.Response, b []byte, err error) bool {
			return err == nil && r.Header.Get("Content-Type") == "application/octet-stream" && bytes.Contains(b, []byte("challenge password is"))
		}},
		{"HRESULT", ndes.HRESULT(0x800706BA), 0, func(r *http.Response, b []byte, err error) bool {
			return err == nil && r.StatusCode == 500 && bytes.Contains(b, []byte("0x800706ba (-2147023174 RPC_S_SERVER_UNAVAILABLE)"))
		}},
		{"unknown HRESULT", ndes.HRESULT(0x8BADF00D), 0, func(r *http.Response, b []byte, err error) bool {
			return err == nil && r.StatusCode == 500 && bytes.Contains(b, []byte("0x8badf00d"))
		}},
		{"slow", ndes.Slow(time.Millisecond), 1, func(r *http.Response, b []byte, err error) bool {
			return err == nil && bytes.Contains(b, []byte("challenge password is"))
		}},
	} {
		s.Reset()
		before := minted()
		s.Fail(ndes.Fault{At: ndes.CACert, Act: ndes.CutBefore}, ndes.Fault{At: ndes.Page, Times: 2, Act: c.act})
		for range 2 {
			if r, b, err := page(); !c.ok(r, b, err) {
				t.Errorf("%s: %v %v %q", c.name, r, err, b)
			}
		}
		if got := minted() - before; got != 2*c.minted {
			t.Errorf("%s: %d challenges made", c.name, got)
		}
		if _, b, err := page(); err != nil || !strings.Contains(string(b), "challenge password is") {
			t.Errorf("after %s: %v %q", c.name, err, b)
		}
		s.Heal()
	}

	s.Fail(ndes.Fault{Times: -1, Act: ndes.Stall})
	ctx, cancel := context.WithCancel(t.Context())
	r := must(http.NewRequestWithContext(ctx, "GET", s.SCEPURL()+"?operation=GetCACaps", nil))(t)
	done := make(chan error)
	go func() {
		_, err := client.Do(r)
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("an answer: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Heal()
	if status, _, _ := get(t, s.SCEPURL()+"?operation=GetCACaps"); status != http.StatusOK {
		t.Errorf("healed: %d", status)
	}
}

// TestExpiredSigner: a reply can be signed by an RA certificate that has
// expired, with the same key.
func TestExpiredSigner(t *testing.T) {
	s := start(t, ndes.Config{})
	s.Fail(ndes.Fault{At: ndes.PKI, Act: ndes.ExpiredSigner})
	d := newDevice(t, request{name: "device", challenge: challenge(t, s)})
	_, to := s.RA()
	_, _, body := read(t)(http.Post(s.SCEPURL()+"?operation=PKIOperation", "", bytes.NewReader(d.message(t, to, scep.PKCSReq, d.csr))))
	certs := must(scep.CACerts(body))(t)
	if len(certs) != 1 || time.Now().Before(certs[0].NotAfter) || certs[0].CheckSignatureFrom(s.Issuer()) != nil {
		t.Fatalf("signed by %v", certs)
	}
	signing, _ := s.RA()
	if !bytes.Equal(certs[0].RawSubjectPublicKeyInfo, signing.RawSubjectPublicKeyInfo) {
		t.Error("signed with another key")
	}
	// The library compares the machine's clock with the signer's validity.
	if _, err := scep.ParsePKIMessage(body); err == nil {
		t.Error("the library took a signer that has expired")
	}
}
