package enroll_test

import (
	"fmt"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
)

// TestRAOf: in front of an authority elsewhere stands the nearest one of this
// house, or the one that was chosen.
func TestRAOf(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		elsewhere, here := w.template(w.outer, wifi()), w.template(w.inner, wifi())
		n := 0
		create := func(a ra.Actor, tpl *ra.Template, settings string) (*enroll.Place, error) {
			n++
			name := fmt.Sprintf("door-%d", n)
			if _, err := w.CreateEndpoint(ctx, a, enroll.EndpointInput{TemplateID: &tpl.ID, Name: &name, Settings: []byte(settings)}); err != nil {
				return nil, err
			}
			return w.OpenEndpoint(ctx, name)
		}
		w.clock.Advance(time.Second)
		second := w.authority("embedded", "Second CA", `{}`)
		strange := must(w.Authorities.Create(ctx, w.owner, "embedded", authority.Input{GroupID: &w.other.ID, Name: ptr("Their CA"), Settings: []byte(`{}`)}))(w.t)
		for name, c := range map[string]struct {
			template *ra.Template
			settings string
			want     ra.AuthorityID
		}{
			"of this house":                  {here, `{}`, w.inner},
			"elsewhere":                      {elsewhere, `{}`, w.inner},
			"elsewhere, chosen":              {elsewhere, `{"ra_authority": "` + string(second) + `"}`, second},
			"of this house, but yet another": {here, `{"ra_authority": "` + string(second) + `"}`, second},
		} {
			if p, err := create(w.owner, c.template, c.settings); err != nil || p.RA != c.want {
				w.t.Errorf("%s: %+v, %v", name, p, err)
			}
		}
		manager := actor("m", ra.RoleManager, w.acme)
		for name, id := range map[string]ra.AuthorityID{"nobody": "ca_none", "elsewhere": w.outer, "of strangers": strange.ID} {
			_, err := create(manager, elsewhere, `{"ra_authority": "`+string(id)+`"}`)
			if e := wantError(w.t, err, ra.Invalid); e.Field != "settings.ra_authority" || e.Remedy == "" {
				w.t.Errorf("%s: field %q: %v", name, e.Field, err)
			}
		}
		for _, id := range []ra.AuthorityID{w.inner, second} {
			must(w.Authorities.Update(ctx, w.owner, id, authority.Input{Disabled: ptr(true)}))(w.t)
		}
		_, err := create(w.owner, elsewhere, `{}`)
		if e := wantError(w.t, err, ra.Conflict); e.Field != "settings.ra_authority" || e.Remedy == "" {
			w.t.Errorf("without an authority of this house: field %q: %v", e.Field, err)
		}
	})
}

// TestKeyForAuthority: an authority elsewhere is given the key that was made
// here, before and after a crash, and no other.
func TestKeyForAuthority(t *testing.T) {
	each(t, func(w *world) {
		made, brought := w.template(w.outer, vpn()), w.template(w.outer, wifi())
		w.script.Plan(scripted.CutBefore)
		r := w.submit(w.owner, enroll.Ask{Template: made.ID, Device: w.phone.ID, Wait: true})
		w.clock.Advance(w.request(r.ID).At.Sub(w.clock.Now()))
		w.work(w.t)
		if order := w.script.Issued(string(r.ID)); len(order) != 1 {
			w.t.Fatalf("%d certificates were issued", len(order))
		}
		if !w.script.HadKey(string(r.ID)) {
			w.t.Error("the key made here was not given to the authority")
		}
		r = w.submit(w.owner, enroll.Ask{Template: brought.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true})
		if w.script.HadKey(string(r.ID)) {
			w.t.Error("there is a key for a request that came from a device")
		}
	})
}
