package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"time"

	"chancery/internal/wire/cms"
)

// keys has keys that are made here brought to key services, one that takes them
// and one that does not answer, and gives a directory a password for keys.
func (s *site) keys() {
	group := text(s.list("/groups")[0], "id")
	arrived := make(chan []byte, 10)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			arrived <- body
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	s.t.Cleanup(server.Close)
	own, _ := s.keyPEM("key of the key service's certificate")
	template := &x509.Certificate{SerialNumber: big.NewInt(4), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, own.Public(), own)
	s.must(err)
	toPEM := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	secret := func(name string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(s.mark(name))) }
	define := func(name, url string) string {
		return text(s.done("POST", "/key-services", object{"group_id": group, "name": name, "settings": object{"url": url, "recipient": toPEM(der), "roots": toPEM(server.Certificate().Raw),
			"secret": secret("key service secret of " + name), "second_secret": secret("key service second secret of " + name), "timeout": "5s"}}), "id")
	}
	there, away := define("there", server.URL), define("away", "https://127.0.0.1:1/keys")
	s.done("PATCH", "/key-services/"+there, object{"settings": object{"second_secret": secret("another second secret")}})
	s.ask("PATCH", "/key-services/"+there, object{"settings": object{"secret": s.mark("a signing secret that is none")}})
	for _, k := range []string{there, away} {
		s.ask("GET", "/key-services/"+k, nil)
		s.ask("POST", "/key-services/"+k+"/test", nil)
		s.ask("POST", "/key-services/test", object{"id": k, "settings": object{"timeout": "2s"}})
	}
	<-arrived // the two tests
	<-arrived

	d := "/directories/" + text(s.done("POST", "/directories", object{"group_id": group, "name": "takes keys", "disabled": true, "settings": object{"servers": []string{"127.0.0.1:1"}, "user": "svc",
		"password": s.mark("password of a directory that takes keys"), "key_password": s.mark("directory.key_password")}}), "id")
	s.ask("PATCH", d, object{"settings": object{"key_password": s.mark("short")[:12]}})
	s.ask("GET", d, nil)

	var authority string
	for _, a := range s.list("/authorities") {
		if text(a, "kind") == "embedded" && a["disabled"] != true && authority == "" {
			authority = text(a, "id")
		}
	}
	device := text(s.list("/devices")[0], "id")
	for _, k := range []string{away, there} {
		t := s.done("POST", "/templates", object{"group_id": group, "authority_id": authority, "name": "to " + k, "spec": object{"subject": "CN={DeviceUid}", "key_type": "p-256", "key_place": "server",
			"publish": object{"key": "service", "key_service": k}}})
		s.done("POST", "/requests", object{"template_id": text(t, "id"), "device_id": device, "wait": true})
	}
	select {
	case body := <-arrived:
		s.keep("what a key service is sent", body)
		s.birds.add(s.t, "key brought to a key service", sentKey(s, body, own, der))
	case <-time.After(2 * time.Minute):
		s.t.Fatal("no key arrives at the key service")
	}
}

// sentKey opens the key in a message and gives its secret number.
func sentKey(s *site, body []byte, own *ecdsa.PrivateKey, certificate []byte) []byte {
	var m struct {
		Data struct {
			Key []byte `json:"key_cms"`
		} `json:"data"`
	}
	s.must(json.Unmarshal(body, &m))
	e, err := cms.ParseEnvelopedData(m.Data.Key, cms.Limits{})
	s.must(err)
	c, err := cms.ParseCertificate(certificate)
	s.must(err)
	agreer, err := own.ECDH()
	s.must(err)
	plain, err := e.DecryptAgreed(c, agreer)
	s.must(err)
	key, err := x509.ParsePKCS8PrivateKey(plain)
	s.must(err)
	number, err := key.(*ecdsa.PrivateKey).Bytes()
	s.must(err)
	return number
}
