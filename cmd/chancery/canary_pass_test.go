package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"chancery/internal/doubles/ndes"
	"chancery/internal/scepclient"
)

// passes plants what opens SCEP servers of others, and what lets devices enrol
// there: a service account and the challenges it fetches, static challenges,
// client certificates, tokens of the proxy.
func (s *site) passes() {
	account := ndes.Account{User: "enroller", Password: s.mark("ndes.password")}
	server, err := ndes.New(ndes.Config{Accounts: []ndes.Account{account}})
	s.must(err)
	s.must(server.Start())
	s.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			s.t.Error(err)
		}
	})
	group := text(s.list("/groups")[0], "id")
	define := func(kind, name string, settings object) string {
		settings["url"] = server.SCEPURL()
		return text(s.done("POST", "/authorities", object{"group_id": group, "kind": kind, "name": name, "settings": settings}), "id")
	}
	login := object{"challenge_url": server.AdminURL(), "user": `CORP\enroller`, "password": account.Password}
	authority := define("ndes", "NDES", login)
	define("ndes", "NDES, static", object{"challenge_type": "static", "challenge": s.mark("ndes.challenge")})
	define("scep", "SCEP, static", object{"challenge_type": "static", "challenge": s.mark("scep.challenge"), "floor": "compat"})
	keytab := base64.StdEncoding.EncodeToString([]byte("\x05\x02" + s.mark("ndes.keytab")))
	s.birds.add(s.t, "ndes.keytab as sent", []byte(keytab))
	define("ndes", "NDES, keytab", object{"challenge_url": server.AdminURL(), "login": "kerberos", "user": "enroller", "realm": "CORP.EXAMPLE.TEST", "keytab": keytab})
	key, keyText := s.keyPEM("ndes.client_certificate")
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	s.must(err)
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	define("ndes", "NDES, client certificate", object{"challenge_url": server.AdminURL(), "login": "none", "client_certificate": chain + keyText,
		"client_certificate_password": s.mark("ndes.client_certificate_password")})
	for _, a := range s.list("/authorities") {
		s.ask("GET", "/authorities/"+text(a, "id"), nil)
		s.ask("POST", "/authorities/"+text(a, "id")+"/test", nil)
	}
	s.ask("POST", "/authorities/test", object{"kind": "ndes", "group_id": group, "settings": object{"url": server.SCEPURL(), "challenge_url": server.AdminURL(),
		"user": "stranger", "password": s.mark("wrong password of an account"), "test_challenge": true}})

	tpl := text(s.done("POST", "/templates", object{"group_id": group, "authority_id": authority, "name": "NDES devices",
		"spec": object{"subject": "CN={DeviceUid}", "key_type": "rsa-2048", "usage": "both", "ekus": []string{"clientAuth"}}}), "id")
	phone := s.list("/devices")[0]
	for _, fate := range []string{"used", "unused"} {
		pass := text(s.done("POST", "/passes", object{"template_id": tpl, "device_id": text(phone, "id"), "model": "proxy"}), "id")
		given := s.once("POST", "/passes/"+pass+"/parameters", nil)
		challenge, address := text(given, "challenge"), text(given, "url")
		s.birds.add(s.t, "PassParameters.challenge, "+fate, []byte(challenge))
		s.birds.add(s.t, "token of a pass, "+fate, []byte(address[strings.LastIndex(address, "/")+1:]))
		if fate == "used" {
			at, err := url.Parse(address)
			s.must(err)
			key, csr := s.csr(text(phone, "platform_id"), challenge)
			c := &scepclient.Client{URL: s.base + at.Path, HTTP: &http.Client{Timeout: time.Minute}, Now: time.Now}
			caps, err := c.Ask(s.t.Context())
			s.must(err)
			if _, err := c.Enrol(s.t.Context(), caps, scepclient.Order{CSR: csr, Key: key}); err != nil {
				s.t.Errorf("the device was not enrolled through the proxy: %v", err)
			}
		}
		s.ask("GET", "/passes/"+pass, nil)
		s.ask("GET", "/passes/"+pass+"/trace", nil)
		s.run("trace", "show", pass, "--fields")
	}
	s.ask("GET", "/passes", nil)
	s.ask("GET", "/authorities/"+authority+"/challenges", nil)
	s.page(nil, "GET", "/scep-proxy/"+s.mark("token that nobody knows")+"?operation=GetCACaps", nil, nil)
}
