package adcs_test

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/setting"
	"chancery/internal/wire/pkixmsg"
)

// agentOf has the CA issue an enrollment agent's certificate.
func agentOf(t *testing.T, d *double) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	w := newWorld(t, d, nil)
	r := w.request("agent", "EnrollmentAgent")
	return w.issue(r).Chain[0], r.Key
}

func pfx(t *testing.T, c *x509.Certificate, key crypto.Signer) string {
	t.Helper()
	b, err := pkcs12.Modern2023.Encode(key, c, nil, "pfx-pass")
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func pemOf(t *testing.T, c *x509.Certificate, key crypto.Signer) (cert, private string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func behalfOf(name string) func(*ca.Order) { return func(o *ca.Order) { o.RequestedBy = name } }

// TestOnBehalf: the CA names the user, whoever keeps the agent's key and whoever
// keeps the user's, and every use is logged.
func TestOnBehalf(t *testing.T) {
	d := newDouble(t, played.Config{})
	leaf, key := agentOf(t, d)
	cert, private := pemOf(t, leaf, key)
	file := filepath.Join(t.TempDir(), "agent.pem")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]map[string]any{
		"pfx": {"agent": "file", "agent_file": pfx(t, leaf, key), "agent_password": "pfx-pass"},
		"pem": {"agent": "file", "agent_file": cert + private},
		"uri": {"agent": "uri", "agent_certificate": cert, "agent_key_uri": "file:" + file},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, d, more)
			for id, change := range map[string]func(*ca.Order){name + "_here": func(*ca.Order) {}, name + "_device": w.byDevice(pkixmsg.CSRRequest{})} {
				got := w.issue(w.request(id, "MobileUser", behalfOf(`CORP\alice`), change)).Chain[0]
				if row := d.Requests()[len(d.Requests())-1]; row.Requester != `CORP\alice` || row.Caller != user {
					t.Errorf("for %s, by %s", row.Requester, row.Caller)
				}
				names, found := "", ""
				for _, e := range got.Extensions {
					switch e.Id.String() {
					case pkixmsg.OIDSubjectAltName:
						list, _ := pkixmsg.ParseSubjectAltName(e.Value)
						names = list[0].Value
					case pkixmsg.OIDSecurityIdentifier:
						found, _ = pkixmsg.ParseSIDExtension(e.Value)
					}
				}
				if names != "alice@corp.example" || found != sid {
					t.Errorf("certificate of %q with %q", names, found)
				}
			}
			if log := w.log.String(); strings.Count(log, "enrollment agent signed") != 2 || !strings.Contains(log, `CORP\alice`) {
				t.Errorf("log: %s", log)
			}
			if _, steps := w.check(); steps["enrollment agent"].State != ca.StepOK {
				t.Errorf("%+v", steps["enrollment agent"])
			}
		})
	}
}

// TestOnBehalfRefused: nobody the CA does not know, or does not let the agent act
// for, and nothing that is no name of an account.
func TestOnBehalfRefused(t *testing.T) {
	d := newDouble(t, played.Config{Restrictions: []played.AgentRestriction{{Agent: "agent", Targets: []string{"alice"}}}})
	leaf, key := agentOf(t, d)
	agent := map[string]any{"agent": "file", "agent_file": pfx(t, leaf, key), "agent_password": "pfx-pass"}
	w := newWorld(t, d, agent)
	for name, c := range map[string]struct {
		requester string
		kind      ra.Kind
		words     []string
	}{
		"not allowed": {`CORP\plain`, ra.RefusedByCA, []string{"RESTRICTEDOFFICER", "Enrollment Agents"}},
		"unknown":     {`CORP\nobody`, ra.RefusedByCA, []string{"DOMAIN\\account"}},
		"domain":      {`ELSEWHERE\alice`, ra.RefusedByCA, []string{"NO_SUCH_DOMAIN"}},
		"no domain":   {`alice`, ra.Invalid, []string{"DOMAIN\\account"}},
		"two names":   {`CORP\a\alice`, ra.Invalid, []string{"DOMAIN\\account"}},
	} {
		_, err := w.Issue(t.Context(), w.request("x"+strings.ReplaceAll(name, " ", "_"), "MobileUser", behalfOf(c.requester)))
		wantError(t, err, c.kind, c.words...)
	}
	_, err := newWorld(t, d, nil).Issue(t.Context(), w.request("no_agent", "MobileUser", behalfOf(`CORP\alice`)))
	wantError(t, err, ra.Invalid, "no enrollment agent")
	_, err = newWorld(t, d, nil).Issue(t.Context(), w.request("no_name", "MobileUser"))
	wantError(t, err, ra.RefusedByCA, "CERTSRV_E_SIGNATURE")
	w.env.Now = func() time.Time { return time.Now().Add(20 * 365 * 24 * time.Hour) }
	w.reopen()
	_, err = w.Issue(t.Context(), w.request("too_late", "MobileUser", behalfOf(`CORP\alice`)))
	wantError(t, err, ra.Invalid, "not now")
	if d.issued("too_late")+d.issued("no_agent")+d.issued("no_name") != 0 {
		t.Error("something was issued")
	}
}

// TestAgentSettings: what is no agent is refused when it is saved.
func TestAgentSettings(t *testing.T) {
	d := newDouble(t, played.Config{})
	leaf, key := agentOf(t, d)
	w := newWorld(t, d, nil)
	other := w.request("plain", "WebServer")
	plain := w.issue(other).Chain[0]
	cert, private := pemOf(t, leaf, key)
	_, foreign := pemOf(t, plain, other.Key)
	for name, c := range map[string]struct {
		more  map[string]any
		words []string
	}{
		"password":      {map[string]any{"agent": "file", "agent_file": pfx(t, leaf, key), "agent_password": "wrong"}, []string{"password"}},
		"certificate":   {map[string]any{"agent": "file", "agent_file": cert}, []string{"no private key"}},
		"another key":   {map[string]any{"agent": "file", "agent_file": cert + foreign}, []string{"belongs to none"}},
		"not an agent":  {map[string]any{"agent": "file", "agent_file": pfx(t, plain, other.Key), "agent_password": "pfx-pass"}, []string{"Certificate Request Agent"}},
		"not a file":    {map[string]any{"agent": "file", "agent_file": "bm90IGEgZmlsZQ=="}, []string{"neither PEM nor"}},
		"nothing":       {map[string]any{"agent": "file"}, []string{"Agent certificate and key"}},
		"address":       {map[string]any{"agent": "uri", "agent_certificate": cert, "agent_key_uri": "ftp:x"}, []string{""}},
		"no such key":   {map[string]any{"agent": "uri", "agent_certificate": cert, "agent_key_uri": "file:/does/not/exist"}, []string{""}},
		"key elsewhere": {map[string]any{"agent": "uri", "agent_certificate": cert, "agent_key_uri": "file:" + writeKey(t, foreign)}, []string{"belongs to none"}},
	} {
		_, err := read(mustJSON(t, d.settings(c.more)))
		if e := wantError(t, err, ra.Invalid, c.words...); strings.Contains(e.Error(), strings.TrimSpace(private)) {
			t.Errorf("%s: the key shows", name)
		}
	}
	s := adcs.Kind().New().(*adcs.Settings)
	setting.Defaults(s)
	s.AgentKeyURI, s.Password = "pkcs11:token=x;object=y", secret.New("p")
	if got := s.HostParts(); !slices.Equal(got, []string{"pkcs11:token=x;object=y"}) {
		t.Errorf("HostParts %q", got)
	}
}

func writeKey(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
