package adcs_test

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/testpeer"
)

// TestKerberos goes through a certificate's life with tickets of a real KDC: by
// password and by keytab, over DCOM and over RPC, inside SPNEGO.
func TestKerberos(t *testing.T) {
	kdc := testpeer.StartKDC(t)
	keytab := kdc.AddService("host/" + host)
	kdc.AddUser("svc-ra", password)
	own := kdc.AddService("svc-keytab")
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(kdc.Config())
	d := newDouble(t, played.Config{Keytab: keytab, Accounts: []played.Account{
		{User: "svc-ra", Rights: played.Everybody | played.Officer | played.ManageCA},
		{User: "svc-keytab", Rights: played.Everybody | played.Officer | played.ManageCA},
	}})
	for name, more := range map[string]map[string]any{
		"password": {"login": "kerberos", "user": "svc-ra"},
		"keytab":   {"login": "kerberos", "user": "svc-keytab", "keytab": base64.StdEncoding.EncodeToString(own), "password": ""},
		"chosen":   {"login": "negotiate", "user": "svc-ra@corp.example"},
		"by rpc":   {"login": "kerberos", "user": "svc-ra", "protocols": []string{"rpc", "dcom"}},
	} {
		t.Run(name, func(t *testing.T) {
			more["realm"], more["kdcs"] = kdc.Realm, []string{address}
			w := newWorld(t, d, more)
			leaf := w.issue(w.request(strings.ReplaceAll(name, " ", "_"), "WebServer")).Chain[0]
			if err := w.Revoke(t.Context(), ca.Revocation{Certificate: leaf, Reason: ra.SupersededReason, At: time.Now()}); err != nil {
				t.Error(err)
			}
			for _, s := range steps(w) {
				if s.State != ca.StepOK {
					t.Errorf("%+v", s)
				}
			}
			if strings.Contains(w.log.String(), "NTLM") { // for which the double has no password
				t.Errorf("log: %s", w.log)
			}
		})
	}
	w := newWorld(t, d, map[string]any{"login": "kerberos", "user": "svc-ra", "password": "wrong", "realm": kdc.Realm, "kdcs": []string{address}})
	_, err := w.Issue(t.Context(), w.request("wrong", "WebServer"))
	wantError(t, err, ra.Unreachable, "password")
}

func steps(w *world) map[string]ca.Step {
	_, s := w.check()
	return s
}
