package lifecycle_test

import (
	"crypto/x509"
	"encoding/json"
	"testing"

	"chancery/internal/authority"
	"chancery/internal/ca/scripted"
	"chancery/internal/ra"
)

// TestRevokeThrough: what an authority cannot revoke itself is revoked by the one
// that its settings name, switched off or not.
func TestRevokeThrough(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		name := func(a ra.Actor, id ra.AuthorityID) error {
			_, err := w.authorities.Update(ctx, a, w.bare, authority.Input{Settings: must(json.Marshal(map[string]any{"revoke_through": id}))(w.t)})
			return err
		}
		through := func(id ra.AuthorityID) {
			w.t.Helper()
			if err := name(w.owner, id); err != nil {
				w.t.Fatal(err)
			}
		}
		tpl := w.template(w.bare, onDevice())
		c := w.issue(tpl)

		theirs := must(w.authorities.Create(ctx, w.owner, "scripted", authority.Input{GroupID: &w.other.ID, Name: ptr("Their CA"), Settings: []byte(scripted.SettingsJSON)}))(w.t).ID
		for who, err := range map[string]error{"nobody": name(w.owner, "ca_none"), "strangers": name(actor("o", ra.RoleOwner, w.acme), theirs)} {
			if e := wantError(w.t, err, ra.Invalid); e.Field != "settings.revoke_through" || e.Remedy == "" {
				w.t.Errorf("through %s: %+v", who, e)
			}
		}
		another := w.authority("scripted-bare", "Cannot either", scripted.SettingsJSON)
		through(another)
		_, err := w.Revoke(ctx, w.owner, c.ID, ra.KeyCompromise, "")
		wantError(w.t, err, ra.Invalid)

		through(w.outer)
		must(w.authorities.Update(ctx, w.owner, w.outer, authority.Input{Disabled: ptr(true)}))(w.t)
		held := must(w.Revoke(ctx, w.owner, c.ID, ra.CertificateHold, ""))(w.t)
		cert := must(x509.ParseCertificate(c.DER))(w.t)
		if at, ok := w.script.Revoked(cert); held.State != ra.OnHold || !ok || at != ra.CertificateHold {
			w.t.Errorf("%+v; the authority has %v, %v", held, at, ok)
		}
		must(w.Revoke(ctx, w.owner, c.ID, ra.KeyCompromise, ""))(w.t)
		if at, ok := w.script.Revoked(cert); !ok || at != ra.KeyCompromise || w.certificate(c.ID).Action != ra.ActionNone {
			w.t.Errorf("the authority has %v, %v; %+v", at, ok, w.certificate(c.ID))
		}
	})
}
