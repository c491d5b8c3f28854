package app

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/scepclient"
	"chancery/internal/secret"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

// site is a running server with the demonstration's templates and devices.
type site struct {
	*App
	t  *testing.T
	d  *demo
	ca *ra.Authority

	last int // status of the last answer to a device
}

// RoundTrip notes the status of what a device is answered.
func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		s.last = a.StatusCode
	}
	return a, err
}

// startSite starts a server and makes the demonstration in it, unless it is
// there already.
func startSite(t *testing.T, cfg Config) *site {
	t.Helper()
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{App: a, t: t, d: &demo{app: a, actor: localActor()}}
	t.Cleanup(s.stop)
	root, ca, err := (&quickstart{app: a}).home(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.ca = ca
	for _, step := range s.d.steps(root, ca.ID) {
		if err := step.make(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// stop ends the server; doing it twice does no harm.
func (s *site) stop() {
	if s.App == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		s.t.Errorf("stopping: %v", err)
	}
	s.App = nil
}

func (s *site) url(path string) string {
	return scheme(s.Config) + s.Config.Listen + path
}

// get fetches a page of the listener for everything.
func (s *site) get(path string) (int, http.Header, []byte) {
	s.t.Helper()
	r, err := http.Get(s.url(path))
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, r.Header, b
}

func (s *site) challenge(device string) secret.Text {
	s.t.Helper()
	_, text, err := s.Enroll.CreateChallenge(s.t.Context(), localActor(), enroll.ChallengeInput{Endpoint: s.d.endpoint.ID, Device: s.d.devices[device].ID})
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// deviceAsk is what a device keeps over its attempts: key and request.
type deviceAsk struct {
	key crypto.Signer
	csr []byte
}

func (s *site) ask(device string, challenge secret.Text) deviceAsk {
	s.t.Helper()
	key, err := pkixmsg.GenerateKey(pkixmsg.RSA2048)
	if err != nil {
		s.t.Fatal(err)
	}
	name, err := pkixmsg.ParseDN("CN=" + s.d.devices[device].PlatformID)
	if err != nil {
		s.t.Fatal(err)
	}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: name, ChallengePassword: challenge.Reveal(), Signer: key})
	if err != nil {
		s.t.Fatal(err)
	}
	return deviceAsk{key, csr}
}

// scep has a device ask once.
func (s *site) scep(ask deviceAsk) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	client := &scepclient.Client{URL: s.url("/scep/" + demoEndpoint), HTTP: &http.Client{Transport: s}, Now: s.Config.Now, Poll: 200 * time.Millisecond, Patience: 30 * time.Second}
	server, err := client.Ask(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.Enrol(ctx, server, scepclient.Order{CSR: ask.csr, Key: ask.key})
	if err != nil {
		return nil, err
	}
	if out.Pending {
		return nil, errors.New("still pending")
	}
	return out.Certificate, nil
}

func (s *site) enrol(device string) *x509.Certificate {
	s.t.Helper()
	cert, err := s.scep(s.ask(device, s.challenge(device)))
	if err != nil {
		s.t.Fatal(err)
	}
	return cert
}

// issue makes a certificate for a user whose key is made here.
func (s *site) issue(user, key string) (*ra.Request, error) {
	return s.Enroll.Submit(context.WithoutCancel(s.t.Context()), localActor(),
		enroll.Ask{Template: s.d.templates[demoVPNTemplate], User: s.d.users[user], Door: "api", Key: key, Wait: true})
}

// row finds a certificate in the inventory; nil when it is not there.
func (s *site) row(cert *x509.Certificate) *ra.Certificate {
	s.t.Helper()
	rows, _, err := s.Lifecycle.FindCertificates(s.t.Context(), localActor(), store.CertificateFilter{Serial: enroll.Serial(cert)})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(rows) == 0 {
		return nil
	}
	return rows[0]
}

// chain gives the issuing certificate and the root as PEM files.
func (s *site) chain() (issuer, root string) {
	s.t.Helper()
	chain, err := s.Authorities.Chain(s.t.Context(), s.ca.ID)
	if err != nil || len(chain) != 2 {
		s.t.Fatalf("chain of %d: %v", len(chain), err)
	}
	return pemFile(s.t, chain[0]), pemFile(s.t, chain[1])
}

func pemFile(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// crl fetches the revocation list and has OpenSSL verify it.
func (s *site) crl() *x509.RevocationList {
	s.t.Helper()
	chain, err := s.Authorities.Chain(s.t.Context(), s.ca.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	status, _, der := s.get("/pki/" + authority.Hash(chain[0].RawSubjectPublicKeyInfo)[:16] + ".crl")
	if status != http.StatusOK {
		s.t.Fatalf("CRL: %d %s", status, der)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		s.t.Fatal(err)
	}
	issuer, _ := s.chain()
	if out, err := testpeer.OpenSSL(s.t, "", der, "crl", "-inform", "der", "-CAfile", issuer, "-noout"); err != nil {
		s.t.Errorf("openssl crl: %v %s", err, out)
	}
	return list
}

func revokes(list *x509.RevocationList, c *x509.Certificate) bool {
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return true
		}
	}
	return false
}

// ocsp asks OpenSSL to ask the server.
func (s *site) ocsp(c *x509.Certificate) string {
	s.t.Helper()
	issuer, root := s.chain()
	file := pemFile(s.t, c)
	out, err := exec.CommandContext(s.t.Context(), "openssl", "ocsp", "-issuer", issuer, "-cert", file, "-url", s.url("/ocsp"), "-CAfile", root, "-verify_other", issuer, "-no_nonce", "-attime", s.unix(), "-validity_period", "1000000000").CombinedOutput()
	if err != nil {
		s.t.Fatalf("openssl ocsp: %v %s", err, out)
	}
	if !strings.Contains(string(out), "Response verify OK") {
		s.t.Errorf("openssl does not verify the OCSP answer: %s", out)
	}
	_, status, _ := strings.Cut(string(out), file+": ")
	status, _, _ = strings.Cut(status, "\n")
	return status
}

// unix is the time of the server, for OpenSSL.
func (s *site) unix() string { return strconv.FormatInt(s.Config.Now().Unix(), 10) }

// verifies has OpenSSL check a certificate up to the root.
func (s *site) verifies(c *x509.Certificate) {
	s.t.Helper()
	issuer, root := s.chain()
	args := []string{"verify", "-attime", s.unix(), "-CAfile", root, "-untrusted", issuer, pemFile(s.t, c)}
	if out, err := exec.CommandContext(s.t.Context(), "openssl", args...).CombinedOutput(); err != nil {
		s.t.Errorf("openssl verify: %v %s", err, out)
	}
}

// sound checks the record: the audit log is whole, and everything that was
// decided at the authority is a certificate, and nothing else is.
func (s *site) sound() {
	s.t.Helper()
	r, err := s.Audit.Verify(s.t.Context(), localActor())
	if err != nil || r.Problem != "" || r.Entries == 0 {
		s.t.Errorf("audit log: %+v, %v", r, err)
	}
	err = s.DB.Read(s.t.Context(), func(tx *store.Tx) error {
		requests, _, err := tx.FindRequests(store.RequestFilter{Page: store.Page{Limit: store.MaxPage}})
		if err != nil {
			return err
		}
		for _, r := range requests {
			_, err := tx.Journal(s.ca.ID, "issue/"+string(r.ID))
			if decided := err == nil; decided != (r.State == ra.Issued) {
				s.t.Errorf("request %s is %s, and decided at the authority: %v", r.ID, r.State, decided)
			}
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}
