package ndes_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/testpeer"

	"github.com/Azure/go-ntlmssp"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/smallstep/scep"
)

var accounts = []ndes.Account{{User: "enroller", Password: "pass word"}, {User: "guest", Password: "guest", NoEnroll: true}}

const (
	shown  = "challenge password is:"
	denied = "sufficient permission to enroll with SCEP"
)

// curl asks for the challenge page, n times on one connection, and gives the
// HTTP status of the last answer and all bodies.
func curl(t *testing.T, s *ndes.Server, env []string, user string, n int, args ...string) (status, text string) {
	t.Helper()
	// What is secret comes by its input.
	options := strings.Repeat("url = \""+s.AdminURL()+"\"\n", n)
	if user != "" {
		options += "user = \"" + strings.ReplaceAll(user, `\`, `\\`) + "\"\n"
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-q", "--silent", "--show-error", "--write-out", "status %{http_code}", "--config", "-"}, args...)...)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir(), "NO_PROXY=*")
	cmd.Stdin = strings.NewReader(options)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	text = strings.ReplaceAll(string(out), "\x00", "")
	return text[strings.LastIndex(text, "status ")+len("status "):], text
}

// TestCurl logs curl on by Basic and NTLM.
func TestCurl(t *testing.T) {
	servers := map[ndes.Scheme]*ndes.Server{}
	for _, scheme := range []ndes.Scheme{ndes.Basic, ndes.NTLM} {
		servers[scheme] = start(t, ndes.Config{CAKey: ndes.P256, Accounts: accounts, Schemes: []ndes.Scheme{scheme}})
	}
	for _, c := range []struct {
		scheme           ndes.Scheme
		option           string
		user, status, in string
	}{
		{ndes.Basic, "--basic", "enroller:pass word", "200", shown},
		{ndes.Basic, "--basic", `corp\Enroller:pass word`, "200", shown},
		{ndes.Basic, "--basic", "guest:guest", "200", denied},
		{ndes.Basic, "--basic", "enroller:wrong", "401", "401"},
		{ndes.NTLM, "--ntlm", `CORP\enroller:pass word`, "200", shown},
		{ndes.NTLM, "--ntlm", "enroller:pass word", "200", shown},
		{ndes.NTLM, "--ntlm", `CORP\guest:guest`, "200", denied},
		{ndes.NTLM, "--ntlm", `CORP\enroller:wrong`, "401", "401"},
		{ndes.NTLM, "--ntlm", `OTHER\enroller:pass word`, "401", "401"},
		{ndes.NTLM, "--basic", "enroller:pass word", "401", "401"},
		{ndes.Basic, "--ntlm", "enroller:pass word", "401", "401"},
	} {
		s := servers[c.scheme]
		before := s.Counts()
		status, text := curl(t, s, nil, c.user, 1, c.option)
		n := s.Counts()
		n.Minted, n.Pages, n.Refused = n.Minted-before.Minted, n.Pages-before.Pages, n.Refused-before.Refused
		if status != c.status || !strings.Contains(text, c.in) {
			t.Errorf("%s %s %s: %s %s", c.scheme, c.option, c.user, status, text)
		}
		if (n.Minted == 1) != (c.in == shown) || (n.Pages == 1) != (status == "200") || (n.Refused == 1) != (status == "401") {
			t.Errorf("%s %s %s: counted %+v", c.scheme, c.option, c.user, n)
		}
	}
	// NTLM holds for the connection: the second page needs no new handshake.
	s := start(t, ndes.Config{CAKey: ndes.P256, Accounts: accounts})
	if status, text := curl(t, s, nil, "enroller:pass word", 2, "--ntlm"); status != "200" || strings.Count(text, shown) != 2 || s.Counts().Minted != 2 {
		t.Errorf("two pages: %s %s", status, text)
	}
	status, text := curl(t, s, nil, "", 1, "--include")
	if offered := strings.Index(text, "Negotiate"); status != "401" || offered < 0 || strings.Index(text, "NTLM") < offered {
		t.Errorf("without credentials: %s", text)
	}
}

// TestGoNTLM logs Azure's client on, under both names of NTLM, and shows that
// the logon is the connection's and nobody else's.
func TestGoNTLM(t *testing.T) {
	for _, scheme := range []ndes.Scheme{ndes.NTLM, ndes.Negotiate} {
		s := start(t, ndes.Config{CAKey: ndes.P256, Accounts: accounts, Schemes: []ndes.Scheme{scheme}})
		// The client keeps the first 401 open, so it needs two connections.
		one := &http.Transport{}
		defer one.CloseIdleConnections()
		ask := func(rt http.RoundTripper, user, password string) int {
			r := must(http.NewRequest("GET", s.AdminURL(), nil))(t)
			if user != "" {
				r.SetBasicAuth(user, password)
			}
			status, _, _ := read(t)(rt.RoundTrip(r))
			return status
		}
		if got := ask(ntlmssp.Negotiator{RoundTripper: one}, `CORP\enroller`, "wrong"); got != 401 {
			t.Errorf("%s: wrong password: %d", scheme, got)
		}
		if got := ask(ntlmssp.Negotiator{RoundTripper: one}, `CORP\enroller`, "pass word"); got != 200 {
			t.Errorf("%s: %d", scheme, got)
		}
		two := &http.Transport{DisableKeepAlives: true}
		if got := ask(two, "", ""); got != 401 {
			t.Errorf("%s: another connection: %d", scheme, got)
		}
		if got := ask(ntlmssp.Negotiator{RoundTripper: two}, `CORP\enroller`, "pass word"); got != 401 {
			t.Errorf("%s: a connection for each message: %d", scheme, got)
		}
		if n := s.Counts(); n.Minted != 1 {
			t.Errorf("%s: counted %+v", scheme, n)
		}
	}
}

// TestKerberos logs curl and gokrb5 on with tickets of a real KDC.
func TestKerberos(t *testing.T) {
	kdc := testpeer.StartKDC(t)
	kdc.AddUser("enroller", "pass word")
	kdc.AddUser("stranger", "stranger")
	keys := new(keytab.Keytab)
	if err := keys.Unmarshal(kdc.AddService("HTTP/localhost")); err != nil {
		t.Fatal(err)
	}
	s := start(t, ndes.Config{Host: "localhost", CAKey: ndes.P256, Accounts: accounts, Keytab: keys})

	env, err := kdc.Login("enroller", "pass word")
	if err != nil {
		t.Fatal(err)
	}
	if status, text := curl(t, s, env, ":", 1, "--negotiate"); status != "200" || !strings.Contains(text, shown) {
		t.Errorf("curl: %s %s", status, text)
	}
	env, err = kdc.Login("stranger", "stranger")
	if err != nil {
		t.Fatal(err)
	}
	if status, text := curl(t, s, env, ":", 1, "--negotiate"); status != "200" || !strings.Contains(text, denied) {
		t.Errorf("curl for a stranger: %s %s", status, text)
	}
	if status, _ := curl(t, s, []string{"KRB5_CONFIG=" + kdc.ConfigFile, "KRB5CCNAME=FILE:/nonexistent"}, ":", 1, "--negotiate"); status != "401" {
		t.Errorf("curl without a ticket: %s", status)
	}

	c := client.NewWithPassword("enroller", kdc.Realm, "pass word", must(config.NewFromString(kdc.Config()))(t))
	defer c.Destroy()
	r := must(http.NewRequest("GET", s.AdminURL(), nil))(t)
	if err := spnego.SetSPNEGOHeader(c, r, "HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	status, _, body := read(t)(http.DefaultClient.Do(r))
	if text := strings.ReplaceAll(string(body), "\x00", ""); status != 200 || !strings.Contains(text, shown) {
		t.Errorf("gokrb5: %d %s", status, text)
	}
	if status, _, _ := read(t)(http.DefaultClient.Do(r)); status != 401 {
		t.Errorf("replayed: %d", status)
	}
	if status, _, _ := get(t, s.AdminURL()); status != 401 {
		t.Errorf("Kerberos held for more than its request: %d", status)
	}

	// With another key, as when the principal's password was changed.
	other := new(keytab.Keytab)
	if err := other.Unmarshal(kdc.AddService("HTTP/other")); err != nil {
		t.Fatal(err)
	}
	wrong := start(t, ndes.Config{Host: "localhost", CAKey: ndes.P256, Accounts: accounts, Keytab: other})
	r = must(http.NewRequest("GET", wrong.AdminURL(), nil))(t)
	if err := spnego.SetSPNEGOHeader(c, r, "HTTP/localhost"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := read(t)(http.DefaultClient.Do(r)); status != 401 {
		t.Errorf("another key: %d", status)
	}
}

// TestTLS: the challenge page can want a client certificate, SCEP never does.
func TestTLS(t *testing.T) {
	mine, pool := clientCertificate(t)
	other, _ := clientCertificate(t)
	c := newClock()
	s := start(t, ndes.Config{Now: c.Now, TLS: true, CAKey: ndes.P256, ClientRoots: pool})
	roots := x509.NewCertPool()
	roots.AddCert(s.TLSRoot())
	with := func(certs ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs}}}
	}
	for sub, c := range map[string]*http.Client{"403.7": with(), "403.16": with(other), "": with(mine)} {
		status, _, body := read(t)(c.Get(s.AdminURL()))
		if sub != "" && (status != 403 || !bytes.Contains(body, []byte(sub))) || sub == "" && status != 200 {
			t.Errorf("want %s: %d %s", sub, status, body)
		}
	}
	c.turn(2 * time.Hour)
	if status, _, body := read(t)(with(mine).Get(s.AdminURL())); status != 403 || !bytes.Contains(body, []byte("403.16")) {
		t.Errorf("expired: %d %s", status, body)
	}
	r, err := with().Get(s.SCEPURL() + "?operation=GetCACert")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.ProtoMajor != 1 || r.StatusCode != 200 {
		t.Errorf("SCEP: %s %s", r.Proto, r.Status)
	}
	if _, err := http.Get(s.SCEPURL()); err == nil {
		t.Error("the TLS CA is trusted by everybody")
	}
	plain := start(t, ndes.Config{CAKey: ndes.P256, ClientRoots: pool})
	if status, _, body := get(t, plain.AdminURL()); status != 403 || !bytes.Contains(body, []byte("403.4")) || plain.TLSRoot() != nil {
		t.Errorf("without TLS: %d %s", status, body)
	}
}

func clientCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprint("client ", rand.Text())}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der := must(x509.CreateCertificate(rand.Reader, template, template, k.Public(), k))(t)
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der))(t))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, pool
}

// TestForeignServer: under somebody else's http.Server NTLM wants ConnContext,
// and everything else works without.
func TestForeignServer(t *testing.T) {
	s := must(ndes.New(ndes.Config{CAKey: ndes.P256, Accounts: accounts, Schemes: []ndes.Scheme{ndes.NTLM, ndes.Basic}}))(t)
	if s.URL() != "" || s.Close() != nil {
		t.Error("it runs without Start")
	}
	for _, told := range []bool{false, true} {
		server := &http.Server{Handler: s}
		if told {
			server.ConnContext = s.ConnContext
		}
		address := serveOn(t, server)
		r := must(http.NewRequest("GET", address+"/certsrv/mscep_admin/", nil))(t)
		r.SetBasicAuth("enroller", "pass word")
		if status, _, _ := read(t)(http.DefaultClient.Do(r)); status != 200 {
			t.Errorf("Basic: %d", status)
		}
		status, _, _ := read(t)(ntlmssp.Negotiator{RoundTripper: http.DefaultTransport}.RoundTrip(r))
		if (status == 200) != told {
			t.Errorf("NTLM, ConnContext %v: %d", told, status)
		}
		if _, _, body := get(t, address+"/certsrv/mscep/mscep.dll?operation=GetCACert"); !slices.ContainsFunc(must(scep.CACerts(body))(t), s.Issuer().Equal) {
			t.Error("GetCACert without the issuer")
		}
	}
}

func serveOn(t *testing.T, server *http.Server) string {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return "http://" + listener.Addr().String()
}
