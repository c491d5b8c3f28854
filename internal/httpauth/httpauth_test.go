package httpauth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/httpauth"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/testpeer"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"software.sslmate.com/src/go-pkcs12"
)

const password = "Correct-horse 7"

func TestMain(m *testing.M) { testpeer.Main(m) }

// page starts the challenge page of Microsoft's server played.
func page(t *testing.T, cfg ndes.Config) *ndes.Server {
	t.Helper()
	cfg.Accounts = []ndes.Account{{User: "enroller", Password: password}}
	s, err := ndes.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// get opens the page, and looks for the password in what goes wrong.
func get(t *testing.T, tr *httpauth.Transport, address string) (*http.Response, string, error) {
	t.Helper()
	if tr.Way.Dial == nil {
		tr.Way.Dial = (&net.Dialer{}).DialContext
	}
	if tr.Host == "" {
		tr.Host = hostOf(t, address)
	}
	res, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Get(address)
	if err != nil {
		if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, password) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("enroller:"+password))) {
			t.Error("the password shows in the error")
		}
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body), nil
}

// TestLogin: each scheme gets one page with one challenge, and the strongest that
// is offered is chosen.
func TestLogin(t *testing.T) {
	all := []ndes.Scheme{ndes.Negotiate, ndes.NTLM, ndes.Basic}
	for name, c := range map[string]struct {
		offered []ndes.Scheme
		scheme  httpauth.Scheme
		user    string
		wrong   bool
		status  int
	}{
		"basic":                    {offered: all, scheme: httpauth.Basic, user: `CORP\enroller`, status: 200},
		"ntlm":                     {offered: all, scheme: httpauth.NTLM, user: `CORP\enroller`, status: 200},
		"ntlm by domain name":      {offered: all, scheme: httpauth.NTLM, user: `enroller@corp.example`, status: 200},
		"ntlm inside negotiate":    {offered: []ndes.Scheme{ndes.Negotiate}, scheme: httpauth.NTLM, user: `CORP\enroller`, status: 200},
		"auto takes ntlm":          {offered: all, scheme: httpauth.Auto, user: `CORP\enroller`, status: 200},
		"auto falls to basic":      {offered: []ndes.Scheme{ndes.Basic}, scheme: httpauth.Auto, user: "enroller", status: 200},
		"basic is not offered":     {offered: []ndes.Scheme{ndes.NTLM}, scheme: httpauth.Basic, user: "enroller", status: 401},
		"ntlm is not offered":      {offered: []ndes.Scheme{ndes.Basic}, scheme: httpauth.NTLM, user: "enroller", status: 401},
		"none":                     {offered: all, scheme: httpauth.None, status: 401},
		"ntlm with wrong password": {offered: all, scheme: httpauth.NTLM, user: `CORP\enroller`, wrong: true, status: 401},
		"basic wrong":              {offered: all, scheme: httpauth.Basic, user: "enroller", wrong: true, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := page(t, ndes.Config{Schemes: c.offered})
			login := httpauth.Login{Scheme: c.scheme, User: c.user, Password: secret.New(password)}
			if c.wrong {
				login.Password = secret.New("wrong")
			}
			res, body, err := get(t, &httpauth.Transport{Login: login}, s.AdminURL())
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != c.status {
				t.Fatalf("status %d; want %d", res.StatusCode, c.status)
			}
			minted := s.Counts().Minted
			if (c.status == 200) != (minted == 1) || c.status == 200 && !strings.Contains(strings.ReplaceAll(body, "\x00", ""), "challenge password is") {
				t.Errorf("%d challenges made for status %d", minted, c.status)
			}
			if c.status == 401 && len(httpauth.Offers(res.Header)) == 0 {
				t.Error("the answer does not tell what is offered")
			}
		})
	}
}

// TestManyAtOnce: exchanges do not get into each other's connections.
func TestManyAtOnce(t *testing.T) {
	s := page(t, ndes.Config{PasswordMax: 100})
	tr := &httpauth.Transport{Login: httpauth.Login{Scheme: httpauth.NTLM, User: "enroller", Password: secret.New(password)}, Host: hostOf(t, s.AdminURL()), Way: httpauth.Way{Dial: (&net.Dialer{}).DialContext}}
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			res, err := (&http.Client{Transport: tr}).Get(s.AdminURL())
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
	wait.Wait()
	if c := s.Counts(); c.Minted != 20 || c.Refused != 0 {
		t.Errorf("%d challenges made, %d refused; want 20 and none", c.Minted, c.Refused)
	}
}

// TestBasicInClear: a password is not sent over the network in clear, and nothing
// is sent after a redirect to another host.
func TestBasicInClear(t *testing.T) {
	seen := make(chan string, 10)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(h.Close)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, h.Listener.Addr().String())
	}
	tr := &httpauth.Transport{Login: httpauth.Login{Scheme: httpauth.Basic, User: "enroller", Password: secret.New(password)}, Way: httpauth.Way{Dial: dial}}
	_, _, err := get(t, tr, "http://ndes.example.test/page")
	var early *httpauth.NotLoggedIn
	if ra.KindOf(err) != ra.Invalid || !errors.As(err, &early) || ra.AsError(err).Remedy == "" {
		t.Errorf("got %v; want invalid, before the login", err)
	}
	if _, _, err := get(t, tr, "http://other.example.test/page"); ra.KindOf(err) != ra.Denied {
		t.Errorf("another host: %v", err)
	}
	close(seen)
	for header := range seen {
		if header != "" {
			t.Error("credentials were sent")
		}
	}
}

// TestBrokenLine: before the server had credentials it has done nothing; after, nobody
// knows.
func TestBrokenLine(t *testing.T) {
	for name, c := range map[string]struct {
		login httpauth.Scheme
		fail  int // the leg whose answer is lost, from 1
		early bool
	}{
		"first leg":              {httpauth.NTLM, 1, true},
		"second leg of ntlm":     {httpauth.NTLM, 2, true},
		"last leg of ntlm":       {httpauth.NTLM, 3, false},
		"credentials of basic":   {httpauth.Basic, 2, false},
		"the only leg of nobody": {httpauth.None, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := page(t, ndes.Config{Schemes: []ndes.Scheme{ndes.NTLM, ndes.Basic}})
			leg := 0
			h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if leg++; leg == c.fail {
					panic(http.ErrAbortHandler)
				}
				s.ServeHTTP(w, r)
			}))
			h.Config.ConnContext = s.ConnContext
			h.Start()
			t.Cleanup(h.Close)
			_, _, err := get(t, &httpauth.Transport{Login: httpauth.Login{Scheme: c.login, User: "enroller", Password: secret.New(password)}}, h.URL+"/certsrv/mscep_admin/")
			var early *httpauth.NotLoggedIn
			if ra.KindOf(err) != ra.Unreachable || errors.As(err, &early) != c.early {
				t.Errorf("got %v, before the login: %v; want %v", err, errors.As(err, &early), c.early)
			}
		})
	}
}

var kdcLine = regexp.MustCompile(`\n\s+kdc = (\S+)`)

// TestKerberos: tickets of a real KDC, by password and by keytab, through our
// dialler; and what a KDC has to say against it.
func TestKerberos(t *testing.T) {
	kdc := testpeer.StartKDC(t)
	kdc.AddUser("enroller", password)
	keys := keytab.New()
	if err := keys.Unmarshal(kdc.AddService("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	fromKeytab := kdc.AddService("robot")
	s := page(t, ndes.Config{Host: "localhost", Schemes: []ndes.Scheme{ndes.Negotiate}, Keytab: keys})
	address := kdcLine.FindStringSubmatch(kdc.Config())[1]
	var mu sync.Mutex
	var dialled []string
	dial := func(ctx context.Context, network, to string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dialled = append(dialled, to)
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}
	good := httpauth.Login{Scheme: httpauth.Kerberos, User: `CORP\enroller`, Password: secret.New(password), Realm: strings.ToLower(kdc.Realm), KDCs: []string{address}}
	for name, c := range map[string]struct {
		change func(*httpauth.Login)
		status int // 0: an error
		kind   ra.Kind
		word   string
	}{
		"password":   {status: 200},
		"auto":       {change: func(l *httpauth.Login) { l.Scheme = httpauth.Auto }, status: 200},
		"second KDC": {change: func(l *httpauth.Login) { l.KDCs = []string{"127.0.0.1:1", address} }, status: 200},
		"keytab": {change: func(l *httpauth.Login) {
			l.User, l.Keytab, l.Password = "robot", secret.NewBytes(fromKeytab), secret.Text{}
		}, status: 200},
		"wrong password":    {change: func(l *httpauth.Login) { l.Password = secret.New("wrong") }, kind: ra.RefusedByCA, word: "password"},
		"unknown user":      {change: func(l *httpauth.Login) { l.User = "nobody" }, kind: ra.RefusedByCA, word: "user"},
		"unknown service":   {change: func(l *httpauth.Login) { l.SPN = "HTTP/elsewhere" }, kind: ra.RefusedByCA, word: "service"},
		"nobody there":      {change: func(l *httpauth.Login) { l.KDCs = []string{"127.0.0.1:1"} }, kind: ra.Unreachable, word: "KDC"},
		"no realm":          {change: func(l *httpauth.Login) { l.Realm = "" }, kind: ra.Invalid, word: "realm"},
		"not a keytab file": {change: func(l *httpauth.Login) { l.Keytab = secret.NewBytes([]byte("keytab")) }, kind: ra.Invalid, word: "keytab"},
	} {
		t.Run(name, func(t *testing.T) {
			login := good
			if c.change != nil {
				c.change(&login)
			}
			tr := &httpauth.Transport{Login: login, Way: httpauth.Way{Dial: dial}}
			res, _, err := get(t, tr, s.AdminURL())
			if c.status != 0 {
				if err != nil || res.StatusCode != c.status {
					t.Fatalf("%v, %v; want status %d", res, err, c.status)
				}
				if err := tr.Prove(t.Context()); err != nil {
					t.Errorf("Prove: %v", err)
				}
				return
			}
			var early *httpauth.NotLoggedIn
			if e := ra.AsError(err); e.Kind != c.kind || !strings.Contains(e.Message, c.word) || e.Remedy == "" || !errors.As(err, &early) {
				t.Errorf("got %v (%s); want %s with %q", err, e.Kind, c.kind, c.word)
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Contains(dialled, address) {
		t.Errorf("the KDC was reached by another way than %q", dialled)
	}
	for _, a := range dialled {
		if a != address && a != hostOf(t, s.URL()) && a != "127.0.0.1:1" {
			t.Errorf("somebody else was called: %s", a)
		}
	}
}

// TestKDCTalksNonsense: a KDC that claims gigabytes, or says nothing of use, costs
// nothing and is an error.
func TestKDCTalksNonsense(t *testing.T) {
	for name, answer := range map[string][]byte{
		"gigabytes": binary.BigEndian.AppendUint32(nil, 0x7fffffff), "nothing": binary.BigEndian.AppendUint32(nil, 0), "cut off": {0, 0, 1, 0, 0x30},
		"garbage": append(binary.BigEndian.AppendUint32(nil, 64), bytes.Repeat([]byte{0x6b, 0x82}, 32)...),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.ReadFull(c, make([]byte, 4))
					_, _ = c.Write(answer)
					_ = c.Close()
				}
			}()
			tr := &httpauth.Transport{Login: httpauth.Login{Scheme: httpauth.Kerberos, User: "enroller", Password: secret.New(password), Realm: "CORP.EXAMPLE", KDCs: []string{l.Addr().String()}},
				Way: httpauth.Way{Dial: (&net.Dialer{}).DialContext}, Host: "localhost"}
			if err := tr.Prove(t.Context()); ra.KindOf(err) != ra.Unreachable && ra.KindOf(err) != ra.RefusedByCA {
				t.Errorf("got %v", err)
			}
		})
	}
}

// client makes a client certificate with its key, and the pool that trusts it.
func client(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ra"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return cert, key, pool
}

// TestClientCertificate: read from each form, it is shown where it is asked for;
// and the server's own is held against the pinned roots.
func TestClientCertificate(t *testing.T) {
	cert, key, pool := client(t)
	other, _, _ := client(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	p12, err := pkcs12.Modern.Encode(key, cert, nil, "file password")
	if err != nil {
		t.Fatal(err)
	}
	s := page(t, ndes.Config{TLS: true, ClientRoots: pool, Schemes: []ndes.Scheme{ndes.Basic}})
	roots := x509.NewCertPool()
	roots.AddCert(s.TLSRoot())
	for name, text := range map[string]string{
		"pem": block("CERTIFICATE", cert.Raw) + block("PRIVATE KEY", pkcs8), "key first, with a stranger": block("EC PRIVATE KEY", sec1) + block("CERTIFICATE", other.Raw) + block("CERTIFICATE", cert.Raw),
		"pkcs12": base64.StdEncoding.EncodeToString(p12), "pkcs12 in lines": regexp.MustCompile(`.{64}`).ReplaceAllString(base64.StdEncoding.EncodeToString(p12), "$0\n"), "pkcs12 as it is": string(p12),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := httpauth.ParseCertificate([]byte(text), secret.New("file password"))
			if err != nil {
				t.Fatal(err)
			}
			login := httpauth.Login{Scheme: httpauth.Basic, User: "enroller", Password: secret.New(password)}
			way := httpauth.Way{Dial: (&net.Dialer{}).DialContext, Roots: roots, Certificate: c}
			if res, _, err := get(t, &httpauth.Transport{Login: login, Way: way}, s.AdminURL()); err != nil || res.StatusCode != 200 {
				t.Errorf("%v, %v", res, err)
			}
			way.Certificate = nil
			if res, _, err := get(t, &httpauth.Transport{Login: login, Way: way}, s.AdminURL()); err != nil || res.StatusCode != 403 {
				t.Errorf("without it: %v, %v", res, err)
			}
			way.Roots = x509.NewCertPool()
			_, _, err = get(t, &httpauth.Transport{Login: login, Way: way}, s.AdminURL())
			var unknown x509.UnknownAuthorityError
			var verification *tls.CertificateVerificationError
			if !errors.As(err, &unknown) || !errors.As(err, &verification) {
				t.Errorf("a server that nobody vouches for: %v", err)
			}
		})
	}
	for name, text := range map[string]string{
		"nothing": "", "no key": block("CERTIFICATE", cert.Raw), "no certificate": block("PRIVATE KEY", pkcs8), "stranger's key": block("PRIVATE KEY", pkcs8) + block("CERTIFICATE", other.Raw),
		"damaged key": block("RSA PRIVATE KEY", []byte("x")) + block("CERTIFICATE", cert.Raw), "damaged": block("PRIVATE KEY", pkcs8) + block("CERTIFICATE", []byte("x")), "garbage": "MIIgarbage",
	} {
		if c, err := httpauth.ParseCertificate([]byte(text), secret.New("file password")); ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" {
			t.Errorf("%s: %v, %v", name, c != nil, err)
		}
	}
	if _, err := httpauth.ParseCertificate(p12, secret.New("wrong")); ra.KindOf(err) != ra.Invalid {
		t.Errorf("wrong password: %v", err)
	}
}

// TestBody: a request with a body is sent with it in the leg that counts.
func TestBody(t *testing.T) {
	var got []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, r.Header.Get("Authorization")+"|"+string(b))
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(h.Close)
	tr := &httpauth.Transport{Login: httpauth.Login{Scheme: httpauth.Basic, User: "u", Password: secret.New("p")}, Way: httpauth.Way{Dial: (&net.Dialer{}).DialContext}, Host: hostOf(t, h.URL)}
	res, err := (&http.Client{Transport: tr}).Post(h.URL, "text/plain", strings.NewReader("form"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if want := []string{"|form", "Basic dTpw|form"}; res.StatusCode != 200 || !slices.Equal(got, want) {
		t.Errorf("status %d, %q; want %q", res.StatusCode, got, want)
	}
}
