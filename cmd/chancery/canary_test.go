package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/scepclient"
	"chancery/internal/testpeer"
	"chancery/internal/wire/pkixmsg"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// site is the program at work, watched from outside: everything that comes out
// of it is kept with the name of where it came from.
type site struct {
	t       *testing.T
	bin     string
	data    string
	backend string // address of the database; empty: SQLite in the data folder
	env     []string
	base    string
	server  *exec.Cmd
	log     string // file with what the server wrote
	local   *http.Client
	birds   *canaries
	out     map[string][]byte
	name    string // typed into a field that is no secret
}

// TestCanaries plants a marked secret in every field that can hold one, works
// with the program as people, devices and programs do, provokes errors, ends
// it with a crash, and finds the secrets in nothing that came out of it.
func TestCanaries(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "chancery")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	testpeer.EachDatabase(t, func(t *testing.T, engine, address string) {
		s := &site{t: t, bin: bin, data: filepath.Join(t.TempDir(), "data"), backend: address, birds: &canaries{}, out: map[string][]byte{}}
		s.env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir(), "GOTRACEBACK=all", "CHANCERY_LOG_LEVEL=debug",
			"CHANCERY_DATA="+s.data, "CHANCERY_LISTEN="+freeAddress(t))
		if engine == "postgres" {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if password, ok := u.User.Password(); ok {
				s.birds.add(t, "database password", []byte(password))
			}
			conf := filepath.Join(t.TempDir(), "chancery.yaml")
			if err := os.WriteFile(conf, []byte("database: "+address+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.env = append(s.env, "CHANCERY_CONFIG="+conf)
		}
		s.run("quickstart", "--exit")
		s.start()
		s.authorities()
		s.people()
		s.devices()
		s.wrong()
		s.programs()
		s.rotate()
		s.crawl() // everything sealed opens with the new key
		s.process()
		s.crash()
		s.files()
		for _, name := range s.birds.names {
			t.Logf("planted: %s", name)
		}
		for where, text := range s.out {
			for _, name := range s.birds.in(text) {
				t.Errorf("%s shows the secret %q", where, name)
			}
		}
		if len(s.out) < 150 || len(s.birds.names) < 20 {
			t.Errorf("only %d outputs were searched for %d secrets", len(s.out), len(s.birds.names))
		}
	})
}

// mark makes a secret text.
func (s *site) mark(name string) string {
	secret := "Cnry" + rand.Text()
	s.birds.add(s.t, name, []byte(secret))
	return secret
}

// keyPEM makes a private key and marks its secret number.
func (s *site) keyPEM(name string) (*ecdsa.PrivateKey, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	number, err := key.Bytes()
	s.must(err)
	s.birds.add(s.t, name, number)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	s.must(err)
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// keep remembers an output.
func (s *site) keep(where string, text []byte) {
	s.out[fmt.Sprintf("%s #%d", where, len(s.out))] = text
}

// run runs one command line and keeps what it prints; it may fail.
func (s *site) run(args ...string) []byte {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.bin, args...)
	c.Env = s.env
	out, _ := c.CombinedOutput()
	s.keep("chancery "+strings.Join(args, " "), out)
	return out
}

func (s *site) start() {
	s.t.Helper()
	s.log = filepath.Join(s.t.TempDir(), "log")
	f, err := os.Create(s.log)
	s.must(err)
	defer f.Close()
	s.server = exec.Command(s.bin, "serve")
	s.server.Env, s.server.Stdout, s.server.Stderr = s.env, f, f
	s.must(s.server.Start())
	s.t.Cleanup(func() { _ = s.server.Process.Kill(); _ = s.server.Wait() })
	s.local = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(s.data, "chancery.sock"))
	}}}
	for _, v := range s.env {
		if listen, ok := strings.CutPrefix(v, "CHANCERY_LISTEN="); ok {
			s.base = "http://" + listen
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		res, err := s.local.Get("http://local/api/v1/me") // the socket opens last
		if err == nil {
			res.Body.Close()
			return
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(s.log)
			s.t.Fatalf("the server does not answer: %v\n%s", err, log)
		}
	}
}

// ask calls the API as the owner of the machine and keeps the answer.
func (s *site) ask(method, path string, body any) []byte {
	s.t.Helper()
	_, b := s.call(method, path, body)
	s.keep(method+" "+path, b)
	return b
}

// call is ask without keeping: for the one answer that shows a secret.
func (s *site) call(method, path string, body any) (int, []byte) {
	s.t.Helper()
	var in io.Reader
	if text, ok := body.(string); ok {
		in = strings.NewReader(text)
	} else if body != nil {
		b, err := json.Marshal(body)
		s.must(err)
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://local/api/v1"+path, in)
	s.must(err)
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := s.local.Do(r)
	s.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	s.must(err)
	for name, values := range res.Header {
		s.keep("header of "+method+" "+path, []byte(name+": "+strings.Join(values, "\n")))
	}
	return res.StatusCode, b
}

type object = map[string]any

// done asks and wants a success, whose answer it reads.
func (s *site) done(method, path string, body any) object {
	s.t.Helper()
	code, b := s.call(method, path, body)
	s.keep(method+" "+path, b)
	var out object
	if code >= 300 || len(b) > 0 && json.Unmarshal(b, &out) != nil {
		s.t.Fatalf("%s %s: %d %s", method, path, code, b)
	}
	return out
}

// once is done for an answer that shows a secret, the only one that may.
func (s *site) once(method, path string, body any) object {
	s.t.Helper()
	code, b := s.call(method, path, body)
	var out object
	if code >= 300 || json.Unmarshal(b, &out) != nil {
		s.t.Fatalf("%s %s: %d", method, path, code)
	}
	return out
}

func (s *site) list(path string) (items []object) {
	s.t.Helper()
	for _, it := range s.done("GET", path, nil)["items"].([]any) {
		items = append(items, it.(object))
	}
	if len(items) == 0 {
		s.t.Fatalf("%s lists nothing", path)
	}
	return items
}

func text(o object, name string) string { v, _ := o[name].(string); return v }

// authorities plants a key or a PIN in every secret field of an authority.
func (s *site) authorities() {
	group := text(s.list("/groups")[0], "id")
	key, keyText := s.keyPEM("embedded.key")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Own CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	s.must(err)
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	make := func(name string, settings object) string {
		return "/authorities/" + text(s.done("POST", "/authorities", object{"group_id": group, "kind": "embedded", "name": name, "settings": settings}), "id")
	}
	plant := func(path, field, value string) {
		s.done("PATCH", path, object{"settings": object{field: value}})
		if shown := s.ask("GET", path, nil); !regexp.MustCompile(`"` + field + `":\s*\{\s*"set":\s*true`).Match(shown) {
			s.t.Errorf("%s was not taken: %s", field, shown)
		}
	}
	plant(make("own", object{"setup": "own", "certificates": chain, "key": keyText}), "key", keyText)
	fresh := make("fresh", object{})
	_, retired := s.keyPEM("embedded.retired_keys")
	plant(fresh, "retired_keys", retired)
	_, root := s.keyPEM("embedded.root_key")
	plant(fresh, "root_key", root)
	_, pending := s.keyPEM("embedded.pending_key")
	plant(make("sub", object{"setup": "subordinate"}), "pending_key", pending)
	file := filepath.Join(s.t.TempDir(), "ca.key")
	s.must(os.WriteFile(file, []byte(keyText), 0o600))
	plant(make("at an address", object{"setup": "own", "certificates": chain, "key_source": "uri", "key_uri": "file://" + file}), "key_pin", s.mark("embedded.key_pin"))
	s.ask("PATCH", fresh, object{"settings": object{"key_source": "uri", "key_uri": "pkcs11:token=a;object=b;pin-value=" + s.mark("PIN in an address") + "?module-path=/l.so"}})
	for _, a := range s.list("/authorities") {
		for _, tail := range []string{"", "/chain", "/catalog?lookup=x"} {
			s.ask("GET", "/authorities/"+text(a, "id")+tail, nil)
		}
		s.ask("POST", "/authorities/"+text(a, "id")+"/test", nil)
		s.ask("POST", "/authorities/"+text(a, "id")+"/csr", nil)
	}
	s.ask("POST", "/authorities/test", object{"kind": "embedded", "group_id": group, "settings": object{"setup": "own", "certificates": chain, "key": keyText}})
}

// people plants passwords, links and sessions.
func (s *site) people() {
	grants := []object{{"role": "owner"}}
	admin := text(s.done("POST", "/admins", object{"name": "grace", "grants": grants}), "id")
	password := s.mark("administrator's password")
	s.done("POST", "/admins/"+admin+"/password", object{"password": password})
	link := text(s.once("POST", "/admins/"+admin+"/link", object{}), "link")
	secret := link[strings.LastIndex(link, "=")+1:]
	s.birds.add(s.t, "Link.link", []byte(secret))
	token := text(s.once("POST", "/tokens", object{"name": "robot", "grants": grants}), "token")
	s.birds.add(s.t, "Token.token", []byte(token))

	// The one who guesses, with something that is a password elsewhere.
	s.page(nil, "POST", "/sign-in", url.Values{"name": {"grace"}, "password": {s.mark("wrong password")}}, nil)
	s.name = s.mark("password as name") // whoever typed it sees it again, and nobody else
	s.page(nil, "POST", "/sign-in", url.Values{"name": {s.name}, "password": {"x"}}, nil)
	s.page(nil, "GET", "/api/v1/devices", nil, http.Header{"Authorization": {"Bearer " + s.mark("wrong token")}})
	s.page(nil, "GET", "/api/v1/devices", nil, http.Header{"Authorization": {"Bearer " + token}})
	s.page(nil, "GET", "/", nil, http.Header{"Cookie": {"session=" + s.mark("wrong session")}})

	jar, err := cookiejar.New(nil)
	s.must(err)
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	s.page(browser, "POST", "/sign-in", url.Values{"name": {"grace"}, "password": {password}}, nil)
	base, err := url.Parse(s.base)
	s.must(err)
	cookies := jar.Cookies(base)
	if len(cookies) == 0 {
		s.t.Fatal("the sign-in gave no cookie")
	}
	for _, c := range cookies {
		if len(c.Value) > 15 {
			s.birds.add(s.t, "cookie "+c.Name, []byte(c.Value))
		}
	}
	s.walk(browser)
}

// page fetches a page and keeps it; a session cookie may be set in a header.
func (s *site) page(c *http.Client, method, path string, form url.Values, header http.Header) []byte {
	s.t.Helper()
	if c == nil {
		c = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(form.Encode()))
	s.must(err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := c.Do(r)
	s.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	s.must(err)
	if s.name == "" || form.Get("name") != s.name {
		s.keep(method+" "+path, b)
	}
	s.keep("Location of "+method+" "+path, []byte(res.Header.Get("Location")))
	return b
}

var links = regexp.MustCompile(`(?:href|src|action)="(/[^"#]*)`)

// walk follows every link of the console, one of each sort of page.
func (s *site) walk(browser *http.Client) {
	seen, queue := map[string]bool{}, []string{"/"}
	kinds := map[string]int{}
	ids := regexp.MustCompile(`[a-z]+_[0-9a-z]{26}|[?].*`)
	for len(queue) > 0 && len(seen) < 300 {
		path := strings.ReplaceAll(queue[0], "&amp;", "&")
		queue = queue[1:]
		kind := ids.ReplaceAllString(path, "*")
		if seen[path] || strings.HasPrefix(path, "/assets") || kinds[kind] > 5 {
			continue
		}
		seen[path] = true
		kinds[kind]++
		for _, m := range links.FindAllStringSubmatch(string(s.page(browser, "GET", path, nil, nil)), -1) {
			queue = append(queue, m[1])
		}
	}
	if len(kinds) < 25 {
		s.t.Errorf("the console showed %d sorts of pages only", len(kinds))
	}
}

// devices plants challenges, keys made here and PKCS#12 passwords.
func (s *site) devices() {
	phone := s.list("/devices")[0]
	device, uid := text(phone, "id"), text(phone, "platform_id")
	endpoint := s.list("/endpoints")[0]
	static := s.mark("endpoint.static")
	s.done("PATCH", "/endpoints/"+text(endpoint, "id"), object{"settings": object{"static_on": true, "static": static}})
	order := object{"endpoint_id": text(endpoint, "id"), "device_id": device}
	spent := text(s.once("POST", "/challenges", order), "challenge")
	s.birds.add(s.t, "Challenge.challenge", []byte(spent))
	open := text(s.once("POST", "/challenges", order), "challenge")
	s.birds.add(s.t, "a challenge that nobody used", []byte(open))
	s.ask("GET", "/challenges?device_id="+device, nil)
	for name, challenge := range map[string]string{"spent": spent, "static": static, "wrong": s.mark("wrong challenge")} {
		s.scep(text(endpoint, "name"), name, uid, challenge)
	}

	_, csr := s.csr(uid, s.mark("challenge in a CSR of the API"))
	for _, tpl := range s.list("/templates") {
		spec := tpl["spec"].(object)
		in := object{"template_id": text(tpl, "id"), "device_id": device, "wait": true}
		if spec["key_place"] == "device" {
			in["csr"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
		}
		s.ask("POST", "/requests", in)
	}
	taken := 0
	for _, c := range s.list("/certificates") {
		path := "/certificates/" + text(c, "id")
		s.ask("GET", path, nil)
		s.ask("GET", path+"/download", nil)
		s.ask("POST", path+"/key", object{"password": "short"})
		if text(c, "key_place") != "server" {
			continue
		}
		password := s.mark(fmt.Sprintf("KeyInput.password %d", taken))
		file := s.once("POST", path+"/key", object{"password": password})
		p12, err := base64.StdEncoding.DecodeString(text(file, "pkcs12"))
		s.must(err)
		key, _, _, err := pkcs12.DecodeChain(p12, password)
		s.must(err)
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			number, err := key.Bytes()
			s.must(err)
			s.birds.add(s.t, fmt.Sprintf("key made here %d", taken), number)
		case *rsa.PrivateKey:
			s.birds.add(s.t, fmt.Sprintf("key made here %d", taken), key.Primes[0].Bytes())
		}
		s.birds.add(s.t, fmt.Sprintf("KeyFile.pkcs12 %d", taken), p12[100:160])
		s.ask("POST", path+"/key", object{"password": password})
		taken++
	}
	if taken == 0 {
		s.t.Error("no key was taken")
	}
}

// csr makes a device's key, which stays with it, and its request.
func (s *site) csr(name, challenge string) (*rsa.PrivateKey, []byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	s.must(err)
	der, err := pkixmsg.BuildCSR(pkixmsg.CSRRequest{Name: pkixmsg.Name{{{OID: pkixmsg.OIDCommonName, Value: name}}}, Signer: key, ChallengePassword: challenge})
	s.must(err)
	return key, der
}

// scep enrols as a device does; it may be refused.
func (s *site) scep(endpoint, name, uid, challenge string) {
	key, der := s.csr(uid, challenge)
	c := &scepclient.Client{URL: s.base + "/scep/" + endpoint, HTTP: &http.Client{Timeout: time.Minute}, Now: time.Now}
	server, err := c.Ask(s.t.Context())
	s.must(err)
	_, err = c.Enrol(s.t.Context(), server, scepclient.Order{CSR: der, Key: key})
	s.keep("SCEP "+name, []byte(fmt.Sprint(err)))
	if name == "spent" && err != nil {
		s.t.Errorf("the device was not enrolled: %v", err)
	}
}

// wrong sends secrets where they do not belong, and in forms that cannot be
// read: answers and logs must not repeat them.
func (s *site) wrong() {
	authority := "" // the one that is made of its own key
	for _, a := range s.list("/authorities") {
		if text(a, "name") == "own" {
			authority = "/authorities/" + text(a, "id")
		}
	}
	endpoint := "/endpoints/" + text(s.list("/endpoints")[0], "id")
	group := text(s.list("/groups")[0], "id")
	n := 0
	secret := func() string { n++; return s.mark(fmt.Sprintf("misplaced %d", n)) }
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"PATCH", authority, object{"settings": object{"key": "-----BEGIN PRIVATE KEY-----\n" + secret() + "\n-----END PRIVATE KEY-----"}}},
		{"PATCH", authority, object{"settings": object{"key": []string{secret()}}}},
		{"PATCH", authority, object{"settings": object{"key": object{"set": secret()}}}},
		{"PATCH", authority, object{"settings": object{"retired_keys": secret() + strings.Repeat("x", 70000)}}},
		{"PATCH", authority, object{"settings": object{"key_pin": secret() + strings.Repeat("x", 70000)}}},
		{"PATCH", authority, `{"settings": {"key": "` + secret() + `"`},
		{"PATCH", endpoint, object{"settings": object{"static": 4711, "static_on": secret()}}},
		{"PATCH", endpoint, object{"settings": object{"static": []any{secret()}}}},
		{"PATCH", endpoint, object{"settings": object{"challenge_life": secret()}}},
		{"POST", "/authorities", object{"group_id": group, "kind": "embedded", "name": "broken", "settings": object{"setup": "own", "key": secret()}}},
		{"POST", "/admins/adm_0/password", object{"password": secret()}},
		{"POST", "/admins/adm_0/password", object{"password": object{"is": secret()}}},
		{"POST", "/admins/adm_0/password", secret()},
		{"POST", "/certificates/crt_0/key", object{"password": secret(), "encoding": "modern"}},
		{"POST", "/certificates/crt_0/key", object{"password": []string{secret()}}},
		{"POST", "/requests", object{"template_id": "tpl_0", "csr": "-----BEGIN CERTIFICATE REQUEST-----\n" + secret() + "\n-----END CERTIFICATE REQUEST-----"}},
	} {
		code, b := s.call(c.method, c.path, c.body)
		s.keep("wrong "+c.method+" "+c.path, b)
		if code < 400 {
			s.t.Errorf("%s %s with nonsense was taken: %d %s", c.method, c.path, code, b)
		}
	}
}

// programs runs command lines that show or give out things.
func (s *site) programs() {
	dir := s.t.TempDir()
	for _, line := range []string{
		"status", "doctor", "doctor -o json", "serve --check", "export", "authority list -o yaml", "authority show own -o json", "endpoint list -o json", "token list -o json", "admin list -o yaml",
		"audit list --limit 0 -o json", "audit verify", "audit list --limit 0", "certificate list -o json", "request list -o json", "key status", "key status -o json", "context list", "version",
	} {
		s.run(strings.Fields(line)...)
	}
	backup := filepath.Join(dir, "one.backup")
	s.run("backup", backup)
	if b, err := os.ReadFile(backup); err == nil {
		s.keep("the backup", b)
	} else if s.backend == "" || strings.HasPrefix(s.backend, "sqlite") {
		s.t.Errorf("no backup: %v", err)
	}
	s.page(nil, "GET", "/metrics", nil, nil)
	s.page(nil, "GET", "/readyz", nil, nil)
	s.page(nil, "GET", "/debug/pprof/", nil, nil)
	s.page(nil, "GET", "/debug/vars", nil, nil)
}

// rotate replaces the master key while the server works, drops the former one,
// and marks both.
func (s *site) rotate() {
	s.masterKey("former master key")
	s.done("POST", "/master-key/rotate", nil)
	for end := time.Now().Add(2 * time.Minute); text(s.done("GET", "/master-key", nil), "state") != "alone"; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("the rotation of the master key does not end")
		}
	}
	if left := s.done("POST", "/master-key/drop", nil)["left"]; left != 0.0 {
		s.t.Errorf("%v secrets are left behind", left)
	}
	s.masterKey("master key")
}

// masterKey marks the one key in the master key file.
func (s *site) masterKey(name string) {
	file, err := os.ReadFile(filepath.Join(s.data, "master.key"))
	s.must(err)
	values := regexp.MustCompile(`"value": ?"([^"]+)"`).FindAllStringSubmatch(string(file), -1)
	if len(values) != 1 {
		s.t.Fatalf("the master key file holds %d keys", len(values))
	}
	raw, err := base64.StdEncoding.DecodeString(values[0][1])
	s.must(err)
	s.birds.add(s.t, name, raw[len(raw)-32:])
}

// crawl reads everything the API can tell.
func (s *site) crawl() {
	for _, path := range []string{"/groups", "/users", "/devices", "/authorities", "/templates", "/endpoints", "/requests", "/certificates", "/obligations", "/admins", "/tokens"} {
		for _, it := range s.list(path + "?limit=100") {
			s.ask("GET", path+"/"+text(it, "id"), nil)
		}
	}
	for _, path := range []string{"/users/export", "/devices/export", "/certificates/export", "/audit?limit=1000", "/calendar", "/me", "/status", "/master-key", "/endpoints/form", "/authorities/kinds", "/lookup-values"} {
		s.ask("GET", path, nil)
	}
	s.ask("POST", "/doctor", nil)
	s.ask("POST", "/audit/verify", nil)
	s.page(nil, "GET", "/api/openapi.json", nil, nil)
}

// process looks at the running process as others on the machine can.
func (s *site) process() {
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.server.Process.Pid, name))
		s.must(err)
		s.keep("/proc/"+name, b)
	}
}

// crash ends the server as a crash does, with every goroutine's stack.
func (s *site) crash() {
	s.must(s.server.Process.Signal(syscall.SIGQUIT))
	_ = s.server.Wait()
	b, err := os.ReadFile(s.log)
	s.must(err)
	if !bytes.Contains(b, []byte("goroutine ")) || !bytes.Contains(b, []byte("level=")) {
		s.t.Errorf("the log holds no crash: %.500s", b)
	}
	s.keep("the log with the crash", b)
}

// files reads what lies on disk: all of the data folder but the master key,
// and a dump of the database.
func (s *site) files() {
	read := 0
	s.must(filepath.WalkDir(s.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "master.key" || strings.Contains(path, "demo") {
			return err
		}
		b, err := os.ReadFile(path)
		s.keep("file "+d.Name(), b)
		read++
		return err
	}))
	if !strings.HasPrefix(s.backend, "postgres") {
		if read < 2 {
			s.t.Errorf("%d files only in the data folder", read)
		}
		return
	}
	dump := exec.Command("pg_dump", "--dbname="+s.backend)
	b, err := dump.CombinedOutput()
	if err != nil {
		s.t.Fatalf("pg_dump: %v %s", err, b)
	}
	s.keep("pg_dump", b)
}
