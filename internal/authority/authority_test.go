package authority_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

const settings = scripted.SettingsJSON

// TestSecretsStaySealed: a credential goes in and is never seen again, in no
// row, no struct, no log and no audit entry; the connector has it.
func TestSecretsStaySealed(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		const canary = "canary-password-0123456789"
		a := w.create("scripted", "Outer", `{"server": "https://ca.example.test", "password": "`+canary+`"}`)
		shown := fmt.Sprintf("%v %+v %#v %s", a, *a, *a, a.Settings) + string(must(json.Marshal(a))(w.t))
		if strings.Contains(shown, canary) || !strings.Contains(string(a.Settings), `"password":{"set":true}`) {
			w.t.Errorf("%s", a.Settings)
		}
		o := must(w.Open(ctx, a.ID))(w.t)
		if text := fmt.Sprintf("%v %+v %#v", o.Connector, o.Connector, o); strings.Contains(text, canary) {
			w.t.Error("an open authority prints its password")
		}
		password := func() string {
			steps := map[string]ca.StepState{}
			if err := w.Test(ctx, w.owner, a.ID, func(s ca.Step) { steps[s.Name] = s.State }); err != nil {
				w.t.Fatal(err)
			}
			return string(steps["Password"])
		}
		if got := password(); got != "failed" {
			w.t.Errorf("a wrong password: %s", got)
		}
		must(w.Update(ctx, w.owner, a.ID, authority.Input{Settings: []byte(`{"password": "` + scripted.Password + `"}`)}))(w.t)
		if got := password(); got != "ok" {
			w.t.Errorf("the right password: %s", got)
		}
		// What an update does not name stays: everything else, an empty secret, a
		// mask that came from a form.
		for _, raw := range []string{`{"server": "https://other.example.test"}`, `{"password": ""}`, `{"password": {"set": true}}`, ``} {
			got := must(w.Update(ctx, w.owner, a.ID, authority.Input{Settings: []byte(raw), Description: ptr("d " + raw)}))(w.t)
			if password() != "ok" || strings.Contains(string(got.Settings), scripted.Password) {
				w.t.Errorf("after %s: %s", raw, got.Settings)
			}
		}
		for _, e := range w.audited("authority.changed", string(a.ID)) {
			if len(e.Details) < 3 {
				w.t.Errorf("details %s", e.Details)
			}
		}
		w.create("embedded", "Inner", `{}`)
		w.nowhere(canary, scripted.Password, "PRIVATE KEY")
		if got := must(w.Get(ctx, w.owner, a.ID))(w.t); strings.Contains(string(got.Settings), scripted.Password) || !strings.Contains(string(got.Settings), "other.example.test") {
			w.t.Errorf("%s", got.Settings)
		}
	})
}

func TestCreateAndUpdateRefuse(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		in := func(change func(*authority.Input)) authority.Input {
			i := authority.Input{GroupID: &w.acme.ID, Name: ptr("CA"), Settings: []byte(settings)}
			change(&i)
			return i
		}
		for name, c := range map[string]struct {
			actor  ra.Actor
			kind   string
			change func(*authority.Input)
			want   ra.Kind
			field  string
		}{
			"no such kind":         {w.owner, "magic", func(*authority.Input) {}, ra.Invalid, "kind"},
			"no name":              {w.owner, "scripted", func(i *authority.Input) { i.Name = ptr("  ") }, ra.Invalid, "name"},
			"no group":             {w.owner, "scripted", func(i *authority.Input) { i.GroupID = nil }, ra.Invalid, "group_id"},
			"rate":                 {w.owner, "scripted", func(i *authority.Input) { i.RatePerSecond = ptr(-1.0) }, ra.Invalid, "rate_per_second"},
			"concurrency":          {w.owner, "scripted", func(i *authority.Input) { i.MaxInFlight = ptr(1001) }, ra.Invalid, "max_in_flight"},
			"manager":              {actor("m", ra.RoleManager, w.acme), "scripted", func(*authority.Input) {}, ra.Denied, ""},
			"another organization": {actor("o", ra.RoleOwner, w.other), "scripted", func(*authority.Input) {}, ra.NotFound, ""},
			"owner below":          {actor("o", ra.RoleOwner, w.branch), "scripted", func(*authority.Input) {}, ra.NotFound, ""},
			"missing secret":       {w.owner, "scripted", func(i *authority.Input) { i.Settings = []byte(`{"server": "https://x.example"}`) }, ra.Invalid, "settings.password"},
			"unknown setting":      {w.owner, "scripted", func(i *authority.Input) { i.Settings = []byte(`{"servr": "x"}`) }, ra.Invalid, ""},
			"not JSON":             {w.owner, "scripted", func(i *authority.Input) { i.Settings = []byte(`{`) }, ra.Invalid, "settings"},
		} {
			_, err := w.Create(ctx, c.actor, c.kind, in(c.change))
			e := wantError(w.t, err, c.want)
			if c.field != "" && e.Field != c.field {
				w.t.Errorf("%s: field %q: %v", name, e.Field, err)
			}
		}
		a := w.create("scripted", "CA", settings)
		_, err := w.Create(ctx, w.owner, "scripted", in(func(i *authority.Input) { i.Name = ptr("ca") }))
		wantError(w.t, err, ra.Conflict)
		for name, c := range map[string]struct {
			actor ra.Actor
			in    authority.Input
			want  ra.Kind
		}{
			"manager":           {actor("m", ra.RoleManager, w.acme), authority.Input{Name: ptr("mine")}, ra.Denied},
			"elsewhere":         {actor("o", ra.RoleOwner, w.other), authority.Input{Name: ptr("mine")}, ra.NotFound},
			"moved away":        {actor("o", ra.RoleOwner, w.acme), authority.Input{GroupID: &w.other.ID}, ra.NotFound},
			"bad settings":      {w.owner, authority.Input{Settings: []byte(`{"server": "not a url"}`)}, ra.Invalid},
			"secret taken away": {w.owner, authority.Input{Settings: []byte(`{"password": null}`)}, ra.Invalid},
		} {
			_, err := w.Update(ctx, c.actor, a.ID, c.in)
			if ra.KindOf(err) != c.want {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		if got := must(w.Get(ctx, w.owner, a.ID))(w.t); got.Name != "CA" || got.GroupID != w.acme.ID || !got.UpdatedAt.Equal(a.UpdatedAt) {
			w.t.Errorf("%+v", got)
		}
		_, err = w.Get(ctx, actor("o", ra.RoleOwner, w.other), a.ID)
		wantError(w.t, err, ra.NotFound)
		for name, n := range map[string]struct {
			actor ra.Actor
			n     int
		}{"owner": {w.owner, 1}, "viewer": {actor("v", ra.RoleViewer, w.acme), 1}, "elsewhere": {actor("o", ra.RoleOwner, w.other), 0}} {
			if list, _, err := w.Find(ctx, n.actor, store.AuthorityFilter{}); err != nil || len(list) != n.n {
				w.t.Errorf("%s: %d, %v", name, len(list), err)
			}
		}
	})
}

// TestChangesAreAudited: what changed is told field by field, a secret as a mask.
func TestChangesAreAudited(t *testing.T) {
	each(t, func(w *world) {
		a := w.create("scripted", "CA", settings)
		must(w.Update(w.t.Context(), w.owner, a.ID, authority.Input{Name: ptr("CA 2"), MaxInFlight: ptr(4), Settings: []byte(`{"password": "canary-next-password"}`)}))(w.t)
		list := w.audited("authority.changed", string(a.ID))
		if len(list) != 1 {
			w.t.Fatalf("%d entries", len(list))
		}
		var details struct {
			Changes []struct{ Field, Before, After any }
		}
		if err := json.Unmarshal(list[0].Details, &details); err != nil {
			w.t.Fatal(err)
		}
		fields := ""
		for _, c := range details.Changes {
			fields += fmt.Sprint(c.Field, " ")
		}
		if fields != "name max_in_flight settings.password " {
			w.t.Errorf("%s: %s", fields, list[0].Details)
		}
		w.nowhere("canary-next-password")
	})
}

func TestSwitchedOff(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for _, kind := range []string{"embedded", "scripted"} {
			raw := settings
			if kind == "embedded" {
				raw = `{}`
			}
			a := must(w.Create(ctx, w.owner, kind, authority.Input{GroupID: &w.acme.ID, Name: ptr(kind), Settings: []byte(raw), Disabled: ptr(true)}))(w.t)
			_, err := w.Open(ctx, a.ID)
			if e := wantError(w.t, err, ra.Conflict); e.Retry <= 0 {
				w.t.Errorf("%+v", e)
			}
			if o := must(w.Reach(ctx, a.ID))(w.t); o.Connector == nil {
				w.t.Error("no connector")
			}
			if err := w.Test(ctx, w.owner, a.ID, func(ca.Step) {}); err != nil {
				w.t.Errorf("%s cannot be tested while it is off: %v", kind, err)
			}
			must(w.Update(ctx, w.owner, a.ID, authority.Input{Disabled: ptr(false)}))(w.t)
			must(w.Open(ctx, a.ID))(w.t)
		}
		_, err := w.Open(ctx, "ca_x")
		wantError(w.t, err, ra.NotFound)
	})
}

// TestOpenFollowsChanges: a connector is kept open until the authority changes,
// on this node or another.
func TestOpenFollowsChanges(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a := w.create("scripted", "CA", settings)
		first := must(w.Open(ctx, a.ID))(w.t)
		if again := must(w.Open(ctx, a.ID))(w.t); again != first {
			w.t.Error("opened twice without a change")
		}
		elsewhere := &authority.Service{DB: w.DB, Box: w.Box, Kinds: w.Kinds, Now: w.Now, Log: w.Log}
		must(elsewhere.Update(ctx, w.owner, a.ID, authority.Input{Settings: []byte(`{"password": "another-password-of-mine"}`)}))(w.t)
		second := must(w.Open(ctx, a.ID))(w.t)
		if second == first {
			w.t.Error("a change on another node goes unseen")
		}
		steps := map[string]ca.StepState{}
		second.Connector.(ca.Checker).Check(ctx, func(s ca.Step) { steps[s.Name] = s.State })
		if steps["Password"] != ca.StepFailed {
			w.t.Errorf("%v", steps)
		}
	})
}

func TestTest(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a := w.create("scripted", "CA", settings)
		bare := w.create("scripted-bare", "Bare", settings)
		run := func(actor ra.Actor, id ra.AuthorityID) (string, error) {
			text := ""
			err := w.Test(ctx, actor, id, func(s ca.Step) { text += string(s.State) + " " })
			return text, err
		}
		if got, err := run(w.owner, a.ID); err != nil || got != "ok ok ok " {
			w.t.Errorf("%s, %v", got, err)
		}
		if got, err := run(w.owner, bare.ID); err != nil || got != "ok " {
			w.t.Errorf("%s, %v", got, err)
		}
		must(w.Update(ctx, w.owner, a.ID, authority.Input{Settings: []byte(`{"password": "wrong-password-here"}`)}))(w.t)
		if got, err := run(w.owner, a.ID); err != nil || got != "ok failed skipped " {
			w.t.Errorf("%s, %v", got, err)
		}
		if list := w.audited("authority.tested", string(a.ID)); len(list) != 2 || list[0].Result != "failed" || list[1].Result != "ok" {
			w.t.Errorf("%d entries", len(list))
		}
		_, err := run(actor("m", ra.RoleManager, w.acme), a.ID)
		wantError(w.t, err, ra.Denied)
		_, err = run(actor("o", ra.RoleOwner, w.other), a.ID)
		wantError(w.t, err, ra.NotFound)

		// Before anything is saved; of a stored one its secrets are kept.
		try := func(actor ra.Actor, kind string, id ra.AuthorityID, raw string) (string, error) {
			text := ""
			err := w.TestSettings(ctx, actor, kind, id, w.acme.ID, []byte(raw), func(s ca.Step) { text += string(s.State) + " " })
			return text, err
		}
		if got, err := try(w.owner, "scripted", "", settings); err != nil || got != "ok ok ok " {
			w.t.Errorf("new: %s, %v", got, err)
		}
		if got, err := try(w.owner, "embedded", "", `{}`); err != nil || got == "" || strings.Contains(got, "failed") {
			w.t.Errorf("new embedded: %s, %v", got, err)
		}
		if got, err := try(w.owner, "scripted", a.ID, `{"password": "`+scripted.Password+`"}`); err != nil || got != "ok ok ok " {
			w.t.Errorf("changed: %s, %v", got, err)
		}
		if got, err := try(w.owner, "scripted", a.ID, `{}`); err != nil || got != "ok failed skipped " {
			w.t.Errorf("stored: %s, %v", got, err)
		}
		_, err = try(w.owner, "scripted", "", `{}`)
		wantError(w.t, err, ra.Invalid)
		_, err = try(w.owner, "magic", "", `{}`)
		wantError(w.t, err, ra.Invalid)
		_, err = try(actor("m", ra.RoleManager, w.acme), "scripted", "", settings)
		wantError(w.t, err, ra.Denied)
		_, err = try(actor("o", ra.RoleOwner, w.other), "scripted", a.ID, settings)
		wantError(w.t, err, ra.NotFound)
		if list, _, err := w.Find(ctx, w.owner, store.AuthorityFilter{}); err != nil || len(list) != 2 {
			w.t.Errorf("testing saved something: %d, %v", len(list), err)
		}
	})
}

func TestCatalog(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a, bare := w.create("scripted", "CA", settings), w.create("scripted-bare", "Bare", settings)
		if list, err := w.Catalog(ctx, actor("v", ra.RoleViewer, w.acme), a.ID, "profiles", nil); err != nil || len(list) != 2 {
			w.t.Errorf("%v, %v", list, err)
		}
		if list, err := w.Catalog(ctx, w.owner, bare.ID, "profiles", nil); err != nil || len(list) != 0 {
			w.t.Errorf("%v, %v", list, err)
		}
		_, err := w.Catalog(ctx, actor("o", ra.RoleOwner, w.other), a.ID, "profiles", nil)
		wantError(w.t, err, ra.NotFound)
	})
}

func TestDelete(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		used, unused := w.create("embedded", "Used", `{}`), w.create("embedded", "Unused", `{}`)
		err := w.DB.Write(ctx, func(tx *store.Tx) error {
			return tx.CreateTemplate(&ra.Template{ID: "tpl_1", GroupID: w.acme.ID, AuthorityID: used.ID, Name: "T", Revision: 1})
		})
		if err != nil {
			w.t.Fatal(err)
		}
		if e := wantError(w.t, w.Delete(ctx, w.owner, used.ID), ra.Conflict); !strings.Contains(e.Remedy, "Switch it off") {
			w.t.Errorf("%+v", e)
		}
		if o := must(w.Open(ctx, used.ID))(w.t); o.Authority.Name != "Used" {
			w.t.Error("half deleted")
		}
		wantError(w.t, w.Delete(ctx, actor("m", ra.RoleManager, w.acme), unused.ID), ra.Denied)
		wantError(w.t, w.Delete(ctx, actor("o", ra.RoleOwner, w.other), unused.ID), ra.NotFound)
		if err := w.Delete(ctx, w.owner, unused.ID); err != nil {
			w.t.Error(err)
		}
		_, err = w.Open(ctx, unused.ID)
		wantError(w.t, err, ra.NotFound)
		w.read(func(tx *store.Tx) error {
			boxes, err := tx.Sealed(string(unused.ID))
			if len(boxes) != 0 {
				w.t.Error("its keys are still here")
			}
			return err
		})
	})
}

// TestSubordinate: a company root, here openssl, signs the issuing CA.
func TestSubordinate(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		now := time.Now()
		w.clock.ms.Store(now.UnixMilli())
		a := w.create("embedded", "Sub", `{"setup": "subordinate", "issuing_subject": "CN=Acme Issuing CA,O=Acme"}`)
		o := must(w.Open(ctx, a.ID))(w.t)
		if _, err := o.Connector.(ca.Chainer).Chain(ctx); ra.KindOf(err) != ra.NotFound {
			w.t.Errorf("%v", err)
		}
		_, err := w.CSR(ctx, actor("m", ra.RoleManager, w.acme), a.ID)
		wantError(w.t, err, ra.Denied)
		der := must(w.CSR(ctx, w.owner, a.ID))(w.t)
		first, again := must(x509.ParseCertificateRequest(der))(w.t), must(x509.ParseCertificateRequest(must(w.CSR(ctx, w.owner, a.ID))(w.t)))(w.t)
		if !bytes.Equal(first.RawSubjectPublicKeyInfo, again.RawSubjectPublicKeyInfo) {
			w.t.Error("asked for again, the request has another key")
		}
		dir := w.t.TempDir()
		sign := func(csr []byte, serial string) []*x509.Certificate {
			write(w.t, dir, "sub.csr", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
			openssl(w.t, dir, "x509", "-req", "-in", "sub.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "800", "-set_serial", serial, "-extfile", "ca.ext", "-out", "sub.pem")
			w.clock.ms.Store(time.Now().UnixMilli()) // openssl dates by the system clock, which may have passed a second
			return append(certs(w.t, dir, "sub.pem"), certs(w.t, dir, "root.pem")...)
		}
		write(w.t, dir, "ca.ext", []byte("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"))
		openssl(w.t, dir, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "3650", "-subj", "/O=Acme/CN=Acme Root")
		chain := sign(der, "7")

		wantError(w.t, w.Install(ctx, w.owner, a.ID, chain[1:]), ra.Invalid)
		wantError(w.t, w.Install(ctx, actor("o", ra.RoleOwner, w.other), a.ID, chain), ra.NotFound)
		if err := w.Install(ctx, w.owner, a.ID, chain); err != nil {
			w.t.Fatal(err)
		}
		stored := must(w.Chain(ctx, a.ID))(w.t)
		if len(stored) != 2 || !stored[0].Equal(chain[0]) || !stored[1].Equal(chain[1]) {
			w.t.Errorf("%d certificates are stored", len(stored))
		}
		o = must(w.Open(ctx, a.ID))(w.t)
		if now := o.Connector.(ca.CRLSigner).Issuers(); len(now) != 1 || !now[0].Equal(chain[0]) {
			w.t.Errorf("%d issuers", len(now))
		}
		// Renewed with a new key: the former one stays for its lists.
		if err := w.Install(ctx, w.owner, a.ID, sign(must(w.CSR(ctx, w.owner, a.ID))(w.t), "8")); err != nil {
			w.t.Fatal(err)
		}
		o = must(w.Open(ctx, a.ID))(w.t)
		if now := o.Connector.(ca.CRLSigner).Issuers(); len(now) != 2 || now[0].SerialNumber.Int64() != 8 || now[1].SerialNumber.Int64() != 7 {
			w.t.Errorf("%d issuers", len(now))
		}
		if stored := must(w.Chain(ctx, a.ID))(w.t); stored[0].SerialNumber.Int64() != 8 {
			w.t.Errorf("the stored chain is that of %s", stored[0].SerialNumber)
		}
		w.nowhere("PRIVATE KEY")

		outer := w.create("scripted", "Outer", settings)
		_, err = w.CSR(ctx, w.owner, outer.ID)
		wantError(w.t, err, ra.Invalid)
		wantError(w.t, w.Install(ctx, w.owner, outer.ID, chain), ra.Invalid)
		wantError(w.t, w.Renew(ctx, w.owner, outer.ID), ra.Invalid)
	})
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func openssl(t *testing.T, dir string, args ...string) {
	t.Helper()
	if _, err := testpeer.OpenSSL(t, dir, nil, args...); err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
}

func certs(t *testing.T, dir, name string) (list []*x509.Certificate) {
	t.Helper()
	rest := must(os.ReadFile(filepath.Join(dir, name)))(t)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		list = append(list, must(x509.ParseCertificate(block.Bytes))(t))
	}
}

func TestRenew(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		a := w.create("embedded", "Inner", `{}`)
		before := must(w.Chain(ctx, a.ID))(w.t)
		wantError(w.t, w.Renew(ctx, actor("m", ra.RoleManager, w.acme), a.ID), ra.Denied)
		w.clock.Advance(time.Hour)
		if err := w.Renew(ctx, w.owner, a.ID); err != nil {
			w.t.Fatal(err)
		}
		after := must(w.Chain(ctx, a.ID))(w.t)
		if len(after) != 2 || after[0].Equal(before[0]) || !after[1].Equal(before[1]) || len(w.audited("authority.changed", string(a.ID))) != 1 {
			w.t.Errorf("%d certificates", len(after))
		}
	})
}
