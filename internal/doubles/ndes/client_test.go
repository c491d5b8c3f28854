package ndes_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/testpeer"

	"github.com/smallstep/pkcs7"
	"github.com/smallstep/scep"
	scepx509 "github.com/smallstep/scep/x509util"
)

// The library's requests are in AES here; DES is its own test's business.
func TestMain(m *testing.M) {
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES128CBC
	testpeer.Main(m)
}

// clock is a clock that a test turns.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().UTC().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start gives a running server whose page everybody sees, unless there are
// accounts.
func start(t *testing.T, cfg ndes.Config) *ndes.Server {
	t.Helper()
	cfg.Anonymous = cfg.Accounts == nil
	s := must(ndes.New(cfg))(t)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// key makes RSA keys, as few as the tests can do with.
var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// get asks for a URL and gives status, media type and body.
func get(t *testing.T, address string) (int, string, []byte) {
	t.Helper()
	return read(t)(http.Get(address))
}

func read(t *testing.T) func(*http.Response, error) (int, string, []byte) {
	t.Helper()
	return func(r *http.Response, err error) (int, string, []byte) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		return r.StatusCode, r.Header.Get("Content-Type"), must(io.ReadAll(r.Body))(t)
	}
}

var hexRun = regexp.MustCompile(`<B> ([0-9A-F ]+) </B>`)

// challenge gets one from the page of an English server.
func challenge(t *testing.T, s *ndes.Server) string {
	t.Helper()
	status, _, body := get(t, s.AdminURL())
	found := hexRun.FindAllStringSubmatch(strings.ReplaceAll(string(body), "\x00", ""), -1)
	if status != http.StatusOK || len(found) != 2 {
		t.Fatalf("page %d: %q", status, body)
	}
	return found[1][1]
}

// device is a SCEP client made of the library.
type device struct {
	key    *rsa.PrivateKey
	csr    []byte
	signer *x509.Certificate
	tx     string
	nonce  []byte
}

// request is what a device asks for.
type request struct {
	name      string
	challenge string
	usage     byte // first octet of keyUsage; zero: none
	dns       []string
	key       *rsa.PrivateKey // nil: the tests' own
}

func newDevice(t *testing.T, r request) *device {
	t.Helper()
	d := &device{key: r.key, tx: rand.Text(), nonce: []byte(rand.Text())[:16]}
	if d.key == nil {
		d.key = key()
	}
	template := x509.CertificateRequest{SignatureAlgorithm: x509.SHA256WithRSA, DNSNames: r.dns}
	if r.name != "" {
		template.Subject = pkix.Name{CommonName: r.name}
	}
	if r.usage != 0 {
		value := must(asn1.Marshal(asn1.BitString{Bytes: []byte{r.usage}, BitLength: 8}))(t)
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: value}}
	}
	d.csr = must(scepx509.CreateCertificateRequest(rand.Reader,
		&scepx509.CertificateRequest{CertificateRequest: template, ChallengePassword: r.challenge}, d.key))(t)
	d.signer = selfSigned(t, d.key, "SCEP Protocol Certificate")
	return d
}

func selfSigned(t *testing.T, k *rsa.PrivateKey, name string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, k.Public(), k))(t)
	return must(x509.ParseCertificate(der))(t)
}

var (
	oidMessageType = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidNonce       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidTransaction = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
)

// message wraps content up; more certificates only lie beside the signer's.
func (d *device) message(t *testing.T, to *x509.Certificate, kind scep.MessageType, content []byte, more ...*x509.Certificate) []byte {
	t.Helper()
	sd := must(pkcs7.NewSignedData(must(pkcs7.Encrypt(content, []*x509.Certificate{to}))(t)))(t)
	for _, c := range more {
		sd.AddCertificate(c)
	}
	return d.sign(t, sd, pkcs7.Attribute{Type: oidMessageType, Value: kind})
}

func (d *device) sign(t *testing.T, sd *pkcs7.SignedData, more ...pkcs7.Attribute) []byte {
	t.Helper()
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSigner(d.signer, d.key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: append([]pkcs7.Attribute{
		{Type: oidTransaction, Value: d.tx}, {Type: oidNonce, Value: d.nonce}}, more...)}); err != nil {
		t.Fatal(err)
	}
	return must(sd.Finish())(t)
}

// ask sends the device's PKCS#10 by POST.
func (d *device) ask(t *testing.T, s *ndes.Server, kind scep.MessageType) *scep.PKIMessage {
	t.Helper()
	_, to := s.RA()
	return d.post(t, s, d.message(t, to, kind, d.csr))
}

// poll sends CertPoll by POST.
func (d *device) poll(t *testing.T, s *ndes.Server) *scep.PKIMessage {
	t.Helper()
	return d.pollFor(t, s, s.Issuer().RawSubject, must(x509.ParseCertificateRequest(d.csr))(t).RawSubject)
}

func (d *device) pollFor(t *testing.T, s *ndes.Server, issuer, subject []byte) *scep.PKIMessage {
	t.Helper()
	_, to := s.RA()
	names := must(asn1.Marshal(struct{ Issuer, Subject asn1.RawValue }{asn1.RawValue{FullBytes: issuer}, asn1.RawValue{FullBytes: subject}}))(t)
	return d.post(t, s, d.message(t, to, scep.CertPoll, names))
}

func (d *device) post(t *testing.T, s *ndes.Server, message []byte) *scep.PKIMessage {
	t.Helper()
	status, media, body := read(t)(http.Post(s.SCEPURL()+"?operation=PKIOperation", "application/octet-stream", bytes.NewReader(message)))
	if status != http.StatusOK || media != "application/x-pki-message" {
		t.Fatalf("PKIOperation: %d %s %q", status, media, body)
	}
	return d.open(t, s, body)
}

// open reads a reply that has to be signed by the RA that signs, and checks what
// the library does not.
func (d *device) open(t *testing.T, s *ndes.Server, body []byte) *scep.PKIMessage {
	t.Helper()
	signing, _ := s.RA()
	m := must(scep.ParsePKIMessage(body, scep.WithCACerts([]*x509.Certificate{signing})))(t)
	if string(m.TransactionID) != d.tx || !bytes.Equal(m.RecipientNonce, d.nonce) || m.MessageType != scep.CertRep {
		t.Errorf("the reply is to transaction %s, nonce %x", m.TransactionID, m.RecipientNonce)
	}
	if m.PKIStatus == scep.SUCCESS {
		if err := m.DecryptPKIEnvelope(d.signer, d.key); err != nil {
			t.Fatal(err)
		}
		if err := m.Certificate.CheckSignatureFrom(s.Issuer()); err != nil {
			t.Error(err)
		}
	}
	return m
}

// byGET writes the address of a PKIOperation by GET.
func byGET(s *ndes.Server, message []byte) string {
	return s.SCEPURL() + "?operation=PKIOperation&message=" + url.QueryEscape(base64.StdEncoding.EncodeToString(message))
}

// refused checks that a reply says no, and why.
func refused(t *testing.T, s *ndes.Server, m *scep.PKIMessage, info scep.FailInfo, reason string) {
	t.Helper()
	if m.PKIStatus != scep.FAILURE || m.FailInfo != info {
		t.Errorf("status %q, failInfo %q; want a refusal with %q", string(m.PKIStatus), string(m.FailInfo), string(info))
		return
	}
	all := s.Refused()
	if last := all[len(all)-1]; !strings.Contains(last.Reason, reason) || last.FailInfo != string(info) {
		t.Errorf("refused because %q, want %q", last.Reason, reason)
	}
}

func granted(t *testing.T, m *scep.PKIMessage) *x509.Certificate {
	t.Helper()
	if m.PKIStatus != scep.SUCCESS {
		t.Fatalf("status %q, failInfo %q", string(m.PKIStatus), string(m.FailInfo)) // the library's String panics where there is none
	}
	return m.Certificate
}
