package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// microsoft plants what opens a Microsoft CA: a service account's password and
// keytab, and an enrollment agent's key here and at an address.
func (s *site) microsoft() {
	group := text(s.list("/groups")[0], "id")
	define := func(name string, more object) string {
		settings := object{"server": "127.0.0.1", "authority_name": "CORP-CA", "user": `CORP\svc-ra`, "timeout": "5s"}
		for k, v := range more {
			settings[k] = v
		}
		return "/authorities/" + text(s.done("POST", "/authorities", object{"group_id": group, "kind": "adcs", "name": name, "settings": settings}), "id")
	}
	keytab := base64.StdEncoding.EncodeToString([]byte("\x05\x02" + s.mark("adcs.keytab")))
	s.birds.add(s.t, "adcs.keytab as sent", []byte(keytab))
	define("AD CS, keytab", object{"login": "kerberos", "realm": "CORP.EXAMPLE.TEST", "kdcs": []string{"127.0.0.1:1"}, "keytab": keytab})
	key, keyText := s.keyPEM("adcs.agent_file")
	template := &x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 1}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	s.must(err)
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	password := s.mark("adcs.password")
	own := define("AD CS, agent", object{"login": "ntlm", "password": password, "agent": "file", "agent_file": cert + keyText, "agent_password": s.mark("adcs.agent_password")})
	file := filepath.Join(s.t.TempDir(), "agent.key")
	s.must(os.WriteFile(file, []byte(keyText), 0o600))
	away := define("AD CS, agent at an address", object{"login": "ntlm", "password": password, "agent": "uri", "agent_certificate": cert, "agent_key_uri": "file://" + file, "agent_key_pin": s.mark("adcs.agent_key_pin")})
	for _, a := range []string{own, away} {
		s.ask("GET", a, nil)
		s.ask("POST", a+"/test", nil)
		s.ask("GET", a+"/catalog?lookup=templates", nil)
		s.ask("POST", a+"/guard", nil)
		s.ask("GET", a+"/guard", nil)
	}
	s.ask("PATCH", own, object{"settings": object{"agent_file": cert + s.mark("a key that is none")}})
}
