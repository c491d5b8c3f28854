package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/scepclient"
	"chancery/internal/wire/pkixmsg"
)

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
