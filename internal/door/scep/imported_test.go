package scep_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/ca/scripted"
	"chancery/internal/caimport"
	"chancery/internal/lifecycle"
	"chancery/internal/pass"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
	"chancery/internal/wire/cms"
	"chancery/internal/wire/scepmsg"
)

// TestRenewImported: a device that got its certificate from the CA before there was
// this server renews it here, with a template that adopts what was taken over. What
// no template adopts is renewed by nobody here.
func TestRenewImported(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, database string) {
		w := newWorld(t, database, "p-256")
		w.auth.Kinds = append(w.auth.Kinds, w.scripted.ListingKind())
		corp := w.newAuthority("scripted-listing", scripted.SettingsJSON)
		adopts := w.template(func(x *ra.Template) {
			x.AuthorityID, x.Spec.AutoRenew, x.Spec.RevokeReplaced = corp.ID, true, true
			x.Spec.KeyPlace, x.Spec.Options = ra.KeyOnDevice, map[string]any{"profile": "device"}
		})
		e := w.endpoint("door", adopts, nil)
		imports := &caimport.Service{DB: w.db, Queue: w.enroll.Queue, Authorities: w.auth, Passes: &pass.Service{DB: w.db, Authorities: w.auth, Enroll: w.enroll, Now: w.clock.now}, Now: w.clock.now, Log: w.auth.Log}

		client := func(template string) *client {
			d, key := w.device(), ecKey(t)
			der := must(w.scripted.Certify(x509.Certificate{Subject: pkix.Name{CommonName: d.PlatformID}, NotAfter: w.clock.now().Add(20 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}, key.Public()))(t)
			w.scripted.Book().Enter(ca.Listed{DER: der, Template: template})
			c := w.client(t, e, d, crypto.Signer(key))
			c.cert = must(cms.ParseCertificate(der))(t)
			return c
		}
		mine, other := client("Machine"), client("WebServer")
		must(imports.Set(t.Context(), admin, corp.ID, caimport.Input{GroupID: &w.group, Adopt: map[string]ra.TemplateID{"Machine": adopts.ID}}))(t)
		must(imports.Import(t.Context(), admin, corp.ID, caimport.Order{}))(t)
		if err := imports.Work(t.Context(), caimport.RunJob{Authority: corp.ID}); err != nil {
			t.Fatal(err)
		}
		old := w.row(mine.cert)
		if old.DeviceID != mine.device.ID || old.TemplateID != adopts.ID || old.Action != ra.ActionAwait {
			t.Fatalf("taken over as %+v", old)
		}
		next := mine.send(t, mine.renewal(t, renewals[0], ecKey(t))).granted(t)
		fresh, replaced := w.row(next), w.row(mine.cert)
		if fresh.Renews != old.ID || fresh.DeviceID != mine.device.ID || fresh.TemplateID != adopts.ID || replaced.RenewedBy != fresh.ID || replaced.State != ra.Superseded || replaced.Action != ra.ActionRetire {
			t.Errorf("the new one: %+v; the old one: %+v", fresh, replaced)
		}
		if got := w.row(other.cert); got.TemplateID != "" || got.Action != ra.ActionExpire {
			t.Errorf("taken over as %+v", got)
		}
		other.send(t, other.renewal(t, renewals[0], ecKey(t))).refused(t, scepmsg.BadRequest)

		// Neither the end of the one nor that of the other device needs a template.
		w.clock.advance(21 * 24 * time.Hour)
		if err := w.lifecycle.Sweep(t.Context(), lifecycle.SweepJob{}); err != nil {
			t.Fatal(err)
		}
		if got := w.row(other.cert); got.State != ra.Expired {
			t.Errorf("at its end: %+v", got)
		}
		for _, d := range []*ra.Device{mine.device, other.device} {
			w.write(func(tx *store.Tx) error { return lifecycle.RevokeForDevice(tx, admin, d.ID, "deletion") })
		}
		if held := w.certificates(mine.device); len(held) != 2 || !slices.ContainsFunc(held, func(c *ra.Certificate) bool { return c.State == ra.Valid }) {
			t.Errorf("%d certificates", len(held))
		}
	})
}
