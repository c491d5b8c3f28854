package embedded_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/catest"
	"chancery/internal/ca/embedded"
	"chancery/internal/ra"
	"chancery/internal/setting"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

const clientAuth = "1.3.6.1.5.5.7.3.2"

// world is an authority with a clock that a test can turn.
type world struct {
	t        testing.TB
	env      ca.Env
	journal  *catest.Journal
	log      *syncBuffer
	clock    *time.Time
	settings *embedded.Settings
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start is the time in a world at first.
var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func emptyWorld(t testing.TB) *world {
	clock := start
	w := &world{t: t, journal: &catest.Journal{}, log: &syncBuffer{}, clock: &clock}
	w.env = ca.Env{
		Authority: "ca_1", Name: "Example", Now: func() time.Time { return clock }, Journal: w.journal,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), PublicURL: "http://pki.example.test/",
	}
	return w
}

// newWorld makes an authority as the product does.
func newWorld(t testing.TB, json string) *world {
	t.Helper()
	w := emptyWorld(t)
	if err := w.configure(json); err != nil {
		t.Fatalf("settings: %v", err)
	}
	return w
}

func (w *world) configure(json string) error {
	w.settings = embedded.Kind().New().(*embedded.Settings)
	setting.Defaults(w.settings)
	if err := setting.FromJSON(w.settings, []byte(json)); err != nil {
		return err
	}
	return w.settings.Provision(w.t.Context(), w.env)
}

func (w *world) connect() *embedded.Connector {
	w.t.Helper()
	c, err := w.settings.Connect(w.t.Context(), w.env)
	if err != nil {
		w.t.Fatalf("Connect: %v", err)
	}
	return c.(*embedded.Connector)
}

func (w *world) order(id string, keyType pkixmsg.KeyType) ca.Order {
	w.t.Helper()
	key, err := pkixmsg.GenerateKey(keyType)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.orderFor(id, key)
}

func (w *world) orderFor(id string, key crypto.Signer) ca.Order {
	w.t.Helper()
	subject, err := pkixmsg.ParseDN("CN=Ada Lovelace,O=Example")
	if err != nil {
		w.t.Fatal(err)
	}
	csr, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: subject, Signer: key})
	if err != nil {
		w.t.Fatal(err)
	}
	return ca.Order{ID: id, CSR: csr, Subject: subject, KeyUsage: x509.KeyUsageDigitalSignature, EKUs: []string{clientAuth}, Validity: 30 * 24 * time.Hour}
}

func checked(t testing.TB, o ca.Order) ca.Request {
	t.Helper()
	r, err := ca.NewRequest(o)
	if err != nil {
		t.Fatalf("NewRequest: %v", err)
	}
	return r
}

func (w *world) issue(o ca.Order) ca.Reply {
	w.t.Helper()
	reply, err := w.connect().Issue(w.t.Context(), checked(w.t, o))
	if err != nil {
		w.t.Fatalf("Issue: %v", err)
	}
	return reply
}

// wantKind asks for an error of a kind that a person can act on.
func wantKind(t testing.TB, err error, kind ra.Kind) *ra.Error {
	t.Helper()
	if ra.KindOf(err) != kind {
		t.Fatalf("error of kind %q; want %q (%v)", ra.KindOf(err), kind, err)
	}
	e := ra.AsError(err)
	if e.Message == "" || e.Remedy == "" {
		t.Errorf("the error lacks message or remedy: %+v", e)
	}
	return e
}

// openssl runs openssl in dir and fails the test when it fails.
func openssl(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := testpeer.OpenSSL(t, dir, nil, args...)
	if err != nil {
		t.Fatalf("openssl %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func writePEM(t testing.TB, dir, name string, list ...*x509.Certificate) string {
	t.Helper()
	var out []byte
	for _, c := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readPEM(t testing.TB, text string) []*x509.Certificate {
	t.Helper()
	var list []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
}
