package adcs_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/adcs"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/ra"
	"chancery/internal/setting"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCheck: every step of a working authority, and nothing asked for.
func TestCheck(t *testing.T) {
	d := newDouble(t, played.Config{})
	names, steps := newWorld(t, d, map[string]any{"authority_name": ""}).check()
	if want := []string{"name", "port 135", "login", "requests by dcom", "requests by rpc", "CA certificate", "templates", "rights"}; !slices.Equal(names, want) {
		t.Errorf("steps %q", names)
	}
	for name, s := range steps {
		if s.State != ca.StepOK {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if !strings.Contains(steps["templates"].Detail, "WebServer") || !strings.Contains(steps["rights"].Detail, "Issue and Manage Certificates") || !strings.Contains(steps["requests by dcom"].Detail, d.Name()) {
		t.Errorf("%+v", steps)
	}
	if n := len(d.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestCheckFinds: what is wrong is told at its step, with a remedy, and what follows
// a failure is skipped.
func TestCheckFinds(t *testing.T) {
	other := newDouble(t, played.Config{Name: "OTHER-CA"})
	for name, c := range map[string]struct {
		cfg    played.Config
		more   map[string]any
		before func(*world)
		step   string
		state  ca.StepState
		word   string
	}{
		"no such host":     {more: map[string]any{"server": "nowhere.example"}, step: "name", state: ca.StepFailed, word: "DNS"},
		"closed port":      {before: func(w *world) { w.refuse("135") }, step: "port 135", state: ca.StepFailed, word: "135"},
		"not allowed":      {before: func(w *world) { w.deny() }, step: "port 135", state: ca.StepFailed, word: "egress"},
		"closed dynamic":   {before: func(w *world) { w.refuse("") }, step: "requests by dcom", state: ca.StepFailed, word: "49152"},
		"wrong password":   {more: map[string]any{"password": "wrong"}, step: "requests by dcom", state: ca.StepFailed, word: "password"},
		"service stopped":  {cfg: played.Config{NotRegistered: true}, more: map[string]any{"protocols": []string{"rpc"}}, step: "requests by rpc", state: ca.StepFailed, word: "certsvc"},
		"RPC off":          {cfg: played.Config{NotRegistered: true}, step: "requests by rpc", state: ca.StepWarning, word: "certsvc"},
		"not AD CS":        {before: func(w *world) { w.d.SetFault(played.Fault{At: played.Activate, Act: played.Result(0x80040154)}) }, step: "requests by dcom", state: ca.StepFailed, word: "not installed"},
		"wrong CA name":    {more: map[string]any{"authority_name": "CORP-CB"}, step: "requests by dcom", state: ca.StepFailed, word: "common name"},
		"another CA":       {more: map[string]any{"ca_certificates": other.settings(nil)["ca_certificates"]}, step: "CA certificate", state: ca.StepFailed, word: "Compare"},
		"believed":         {more: map[string]any{"ca_certificates": ""}, step: "CA certificate", state: ca.StepWarning, word: "fingerprint"},
		"may not manage":   {more: map[string]any{"user": `CORP\plain`}, step: "rights", state: ca.StepWarning, word: "It lacks Issue and Manage Certificates, Manage CA"},
		"no Kerberos name": {more: map[string]any{"login": "negotiate", "realm": "CORP.EXAMPLE", "server": "localhost"}, before: func(w *world) { w.alias("localhost") }, step: "name", state: ca.StepWarning, word: "full"},
		"no KDC":           {more: map[string]any{"login": "kerberos", "realm": "CORP.EXAMPLE", "kdcs": []string{"nokdc.example"}}, step: "login", state: ca.StepFailed, word: "KDC"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, c.cfg)
			w := newWorld(t, d, c.more)
			if c.before != nil {
				c.before(w)
				w.reopen()
			}
			names, steps := w.check()
			s := steps[c.step]
			if s.State != c.state || !strings.Contains(s.Detail+" "+s.Remedy, c.word) || s.Remedy == "" {
				t.Errorf("%+v; want %s with %q", s, c.state, c.word)
			}
			if i := slices.Index(names, c.step); c.state == ca.StepFailed && i+1 < len(names) && steps[names[i+1]].State != ca.StepSkipped {
				t.Errorf("%s after it is %s", names[i+1], steps[names[i+1]].State)
			}
		})
	}
}

// refuse closes a port, or all the dynamic ones.
func (w *world) refuse(closed string) {
	w.env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, port, _ := net.SplitHostPort(address); port == closed || closed == "" && port != "135" {
			return nil, errors.New("connection refused")
		}
		return w.d.dial(ctx, network, address)
	}
}

func (w *world) deny() {
	w.env.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, ra.Errorf(ra.Denied, "This address may not be reached.").WithRemedy("Allow it in the egress settings.")
	}
}

func (w *world) alias(name string) {
	w.env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return w.d.dial(ctx, network, strings.Replace(address, name, host, 1))
	}
}

func TestCatalog(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, map[string]any{"authority_name": ""})
	list, err := w.Catalog(t.Context(), "templates", nil)
	if err != nil || !slices.ContainsFunc(list, func(p ca.Profile) bool { return p.ID == "MobileUser" }) {
		t.Errorf("%v %v", list, err)
	}
	list, err = w.Catalog(t.Context(), "authorities", nil)
	if err != nil || len(list) != 1 || list[0].ID != d.Name() {
		t.Errorf("%v %v", list, err)
	}
	_, err = newWorld(t, d, map[string]any{"protocols": []string{"rpc"}}).Catalog(t.Context(), "templates", nil)
	wantError(t, err, ra.Invalid, "DCOM")
}

// TestRevocation: with its reason and its time; what is so already is no error.
func TestRevocation(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	leaf := w.issue(w.request("one", "WebServer")).Chain[0]
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	revoke := func(reason ra.RevocationReason) error {
		return w.Revoke(t.Context(), ca.Revocation{Certificate: leaf, Reason: reason, At: at})
	}
	if err := revoke(ra.RemoveFromCRL); err != nil {
		t.Errorf("off a hold that is none: %v", err)
	}
	for range 2 {
		if err := revoke(ra.KeyCompromise); err != nil {
			t.Fatal(err)
		}
	}
	if row := d.Requests()[0]; row.Reason != 1 || row.Disposition != 21 {
		t.Errorf("%+v", row)
	}
	if list := d.CRL().RevokedCertificateEntries; len(list) != 1 || !list[0].RevocationTime.Equal(at) || list[0].ReasonCode != 1 {
		t.Errorf("published CRL: %+v", list)
	}
	wantError(t, revoke(ra.CertificateHold), ra.RefusedByCA, "0x8007000D")
	w = newWorld(t, d, map[string]any{"user": `CORP\plain`})
	wantError(t, w.Revoke(t.Context(), ca.Revocation{Certificate: leaf, Reason: ra.KeyCompromise, At: at}), ra.RefusedByCA, "Issue and Manage Certificates")
	w = newWorld(t, d, map[string]any{"protocols": []string{"rpc"}})
	if len(w.Reasons()) != 0 || slices.Contains(ca.Abilities(w), ca.CanRevoke) {
		t.Error("revocation without DCOM")
	}
	wantError(t, w.Revoke(t.Context(), ca.Revocation{Certificate: leaf, Reason: ra.KeyCompromise, At: at}), ra.Invalid, "DCOM")
	chain, err := w.Chain(t.Context())
	if err != nil || !chain[0].Equal(d.Certificate()) || len(chain) != len(d.Chain()) {
		t.Errorf("the chain without DCOM: %d, %v", len(chain), err)
	}
}

// TestUnpublished: a CRL that cannot be published does not undo a revocation.
func TestUnpublished(t *testing.T) {
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, nil)
	leaf := w.issue(w.request("one", "WebServer")).Chain[0]
	d.SetFault(played.Fault{At: played.PublishCRLs, Act: played.Result(0x80070005)})
	if err := w.Revoke(t.Context(), ca.Revocation{Certificate: leaf, Reason: ra.KeyCompromise, At: time.Now()}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(w.log.String(), "did not publish its CRL") || d.Requests()[0].Disposition != 21 {
		t.Errorf("log: %s", w.log)
	}
}

// TestPinned: a certificate of another CA than the one that is set is refused.
func TestPinned(t *testing.T) {
	other := newDouble(t, played.Config{Name: "OTHER-CA"})
	d := newDouble(t, played.Config{})
	w := newWorld(t, d, map[string]any{"ca_certificates": other.settings(nil)["ca_certificates"]})
	_, err := w.Issue(t.Context(), w.request("one", "WebServer"))
	wantError(t, err, ra.RefusedByCA, "another CA")
}

func TestSettings(t *testing.T) {
	d := newDouble(t, played.Config{})
	for name, c := range map[string]struct {
		more  map[string]any
		field string // at fault; empty: fine
	}{
		"as it is":         {nil, ""},
		"URL":              {map[string]any{"server": "https://CA1.corp.example/certsrv/adcs/"}, ""},
		"address":          {map[string]any{"server": "192.0.2.7"}, ""},
		"port":             {map[string]any{"server": "ca1.corp.example:135"}, "server"},
		"config string":    {map[string]any{"server": `ca1\CORP-CA`}, "server"},
		"no host":          {map[string]any{"server": "https:///x"}, "server"},
		"protocol":         {map[string]any{"protocols": []string{"smb"}}, "protocols"},
		"twice":            {map[string]any{"protocols": []string{"rpc", "rpc"}}, "protocols"},
		"pipe alone":       {map[string]any{"protocols": []string{"pipe"}}, ""},
		"name unknown":     {map[string]any{"protocols": []string{"rpc"}, "authority_name": ""}, "authority_name"},
		"no realm":         {map[string]any{"login": "kerberos"}, "realm"},
		"keytab":           {map[string]any{"login": "kerberos", "realm": "X", "keytab": "AAAA"}, "keytab"},
		"keytab alone":     {map[string]any{"login": "kerberos", "realm": "X", "keytab": "BQI=", "password": ""}, ""},
		"nothing to show":  {map[string]any{"login": "negotiate", "password": ""}, "password"},
		"NTLM by nothing":  {map[string]any{"password": ""}, "password"},
		"no user":          {map[string]any{"user": ""}, "user"},
		"unknown setting":  {map[string]any{"port": 135}, "port"},
		"an interval of 0": {map[string]any{"poll_interval": "0s"}, "poll_interval"},
	} {
		s, err := read(mustJSON(t, d.settings(c.more)))
		if c.field == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if _, err := s.Connect(t.Context(), newWorld(t, d, nil).env); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if e := wantError(t, err, ra.Invalid); e.Field != c.field {
			t.Errorf("%s: field %q: %v", name, e.Field, err)
		}
	}
}

func TestOptions(t *testing.T) {
	for text, fine := range map[string]bool{``: true, `CORP\{EnrollmentUser}`: true, `{UserAttribute.domain}\{EnrollmentUser}`: true, `{EnrollmentUser}`: false, `a/b\{EnrollmentUser}`: false} {
		o := adcs.Kind().NewOptions()
		setting.Defaults(o)
		err := setting.FromJSON(o, mustJSON(t, map[string]any{ca.RequesterOption: text}))
		if (err == nil) != fine {
			t.Errorf("%q: %v", text, err)
		}
	}
}
