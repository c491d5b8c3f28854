package adcs_test

import (
	"os/exec"
	"strings"
	"testing"

	"chancery/internal/doubles/adcs"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m) }

// A client of another make logs on with Kerberos in SPNEGO, over DCOM and
// ICertPassage, with a ticket of MIT's KDC.
func TestKerberos(t *testing.T) {
	kdc := testpeer.StartKDC(t)
	kdc.AddUser("ra", "secret of ra")
	kdc.AddUser("stranger", "secret of stranger")
	keytab := kdc.AddService("host/127.0.0.1")
	ca := start(t, adcs.Config{Keytab: keytab})

	client := func(user string) *python {
		env, err := kdc.Login(user, "secret of "+user)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("kvno", "host/127.0.0.1") // impacket cannot reach a KDC that is not at port 88
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kvno: %v: %s", err, out)
		}
		for i, v := range env {
			env[i] = strings.Replace(v, "KRB5CCNAME=FILE:", "KRB5CCNAME=", 1)
		}
		p := startPython(t, ca, user, env...)
		p.login = object{"user": user, "domain": kdc.Realm, "kerberos": true}
		return p
	}

	p := client("ra")
	certificate(t, p.passage().enrol("WebServer", csr(t, keys()[0], "www.corp.example")))
	p.dcom("request", "ICertRequestD2").call("ICertRequestD2", "Ping", nil)
	logons := ca.Logons()
	if len(logons) == 0 || logons[0].User != "ra" || logons[0].Kind != 0x09 || logons[0].SPN != "host/127.0.0.1" || logons[0].Level != 6 {
		t.Errorf("logons: %+v", logons)
	}
	if text := client("stranger").do("passage", object{"port": portOf(t, ca.ServerAddress())})["text"]; text != "Bind context rejected: invalid_checksum" {
		t.Errorf("a stranger: %v", text)
	}
}
