package testpeer

import (
	"strings"
	"testing"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// TestKDC: MIT's own client and gokrb5 get tickets, in AES, and only with the
// right password.
func TestKDC(t *testing.T) {
	k := StartKDC(t)
	k.AddUser("enroller", "a pass word")
	b := k.AddService("HTTP/localhost")
	var keys keytab.Keytab
	if err := keys.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	for _, e := range keys.Entries {
		if e.Key.KeyType != etypeID.AES256_CTS_HMAC_SHA1_96 && e.Key.KeyType != etypeID.AES128_CTS_HMAC_SHA1_96 {
			t.Errorf("the keytab has a key of type %d", e.Key.KeyType)
		}
	}
	if len(keys.Entries) != 2 {
		t.Errorf("the keytab has %d keys", len(keys.Entries))
	}

	env, err := k.Login("enroller", "a pass word")
	if err != nil {
		t.Fatal(err)
	}
	logged := *k
	logged.env = env
	out, err := logged.run("", "kvno", "HTTP/localhost")
	if err != nil || !strings.Contains(out, "HTTP/localhost@"+k.Realm+": kvno = ") {
		t.Errorf("kvno: %v\n%s", err, out)
	}
	if _, err := k.Login("enroller", "another"); err == nil {
		t.Error("kinit took a wrong password")
	}

	parsed, err := config.NewFromString(k.Config())
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewWithPassword("enroller", k.Realm, "a pass word", parsed)
	defer c.Destroy()
	if err := c.Login(); err != nil {
		t.Fatal(err)
	}
	ticket, _, err := c.GetServiceTicket("HTTP/localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := ticket.DecryptEncPart(&keys, nil); err != nil {
		t.Errorf("the ticket does not open with the keytab: %v", err)
	}
	wrong := client.NewWithPassword("enroller", k.Realm, "another", parsed)
	defer wrong.Destroy()
	if wrong.Login() == nil {
		t.Error("gokrb5 logged on with a wrong password")
	}
}
