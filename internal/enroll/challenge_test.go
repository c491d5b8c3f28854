package enroll_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/ra"
	"chancery/internal/sceppolicy"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// endpoint opens a SCEP address for a template.
func (w *world) endpoint(tpl *ra.Template, name, settings string) *ra.Endpoint {
	w.t.Helper()
	return must(w.CreateEndpoint(w.t.Context(), w.owner, enroll.EndpointInput{TemplateID: &tpl.ID, Name: &name, Settings: []byte(settings)}))(w.t)
}

func (w *world) challenge(e *ra.Endpoint, text secret.Text) (c *ra.Challenge, err error) {
	w.read(func(tx *store.Tx) error {
		c, err = enroll.Challenge(tx, e, text)
		return nil
	})
	return c, err
}

func TestChallenges(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.outer, wifi())
		e, other := w.endpoint(tpl, "devices", `{"challenge_length": 40}`), w.endpoint(tpl, "others", `{}`)
		in := enroll.ChallengeInput{Endpoint: e.ID, Device: w.phone.ID}
		for name, c := range map[string]struct {
			actor  ra.Actor
			change func(*enroll.ChallengeInput)
			kind   ra.Kind
		}{
			"may only look":        {actor("v", ra.RoleViewer, w.acme), func(*enroll.ChallengeInput) {}, ra.Denied},
			"another organization": {actor("o", ra.RoleOwner, w.other), func(*enroll.ChallengeInput) {}, ra.NotFound},
			"no such endpoint":     {w.owner, func(i *enroll.ChallengeInput) { i.Endpoint = "sep_x" }, ra.NotFound},
			"no such device":       {w.owner, func(i *enroll.ChallengeInput) { i.Device = "dev_x" }, ra.NotFound},
			"too short":            {w.owner, func(i *enroll.ChallengeInput) { i.Life = time.Second }, ra.Invalid},
			"too long":             {w.owner, func(i *enroll.ChallengeInput) { i.Life = 91 * 24 * time.Hour }, ra.Invalid},
			"too often":            {w.owner, func(i *enroll.ChallengeInput) { i.Uses = 11 }, ra.Invalid},
		} {
			bad := in
			c.change(&bad)
			_, text, err := w.CreateChallenge(ctx, c.actor, bad)
			if wantError(w.t, err, c.kind); text.IsSet() {
				w.t.Errorf("%s: a text all the same", name)
			}
		}
		c, text, err := w.CreateChallenge(ctx, actor("m", ra.RoleManager, w.acme), in)
		if err != nil || len(text.Reveal()) != 40 || c.MaxUses != 1 || c.ExpiresAt.Sub(w.clock.Now()) != time.Hour || c.DeviceID != w.phone.ID {
			w.t.Fatalf("%+v, %d characters, %v", c, len(text.Reveal()), err)
		}
		w.noSecrets(text.Reveal())
		if got, err := w.challenge(e, text); err != nil || got.ID != c.ID {
			w.t.Errorf("%v, %v", got, err)
		}
		for name, try := range map[string]struct {
			endpoint *ra.Endpoint
			text     secret.Text
		}{"unknown": {e, secret.New("x")}, "empty": {e, secret.Text{}}, "another endpoint": {other, text}} {
			if _, err := w.challenge(try.endpoint, try.text); ra.KindOf(err) != ra.Denied {
				w.t.Errorf("%s: %v", name, err)
			}
		}
		w.clock.Advance(time.Hour)
		if _, err := w.challenge(e, text); ra.KindOf(err) != ra.Denied || !strings.Contains(err.Error(), "expired") {
			w.t.Errorf("%v", err)
		}
		if err := w.DeleteChallenge(ctx, actor("v", ra.RoleViewer, w.acme), c.ID); ra.KindOf(err) != ra.Denied {
			w.t.Errorf("%v", err)
		}
		if err := w.DeleteChallenge(ctx, w.owner, c.ID); err != nil {
			w.t.Error(err)
		}
		list, _, err := w.FindChallenges(ctx, w.owner, store.ChallengeFilter{Device: w.phone.ID})
		if err != nil || len(list) != 0 {
			w.t.Errorf("%d challenges, %v", len(list), err)
		}
		_, _, err = w.FindChallenges(ctx, actor("o", ra.RoleOwner, w.other), store.ChallengeFilter{Device: w.phone.ID})
		wantError(w.t, err, ra.NotFound)
	})
}

// TestChallengeIsSpentOnce: of many requests with one challenge one gets
// through; a final refusal gives the challenge back, anything else keeps it.
func TestChallengeIsSpentOnce(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.outer, wifi())
		e := w.endpoint(tpl, "devices", `{}`)
		c, text, err := w.CreateChallenge(w.t.Context(), w.owner, enroll.ChallengeInput{Endpoint: e.ID, Device: w.phone.ID})
		if err != nil {
			w.t.Fatal(err)
		}
		ask := func(name string) enroll.Ask {
			return enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Endpoint: e.ID, Challenge: c.ID, CSR: csr(w.t, key(w.t)), Key: name, Wait: true}
		}
		w.script.Plan(scripted.Refuse)
		if r := w.submit(deviceActor(w.phone), ask("refused")); r.State != ra.Failed {
			w.t.Fatalf("%+v", r)
		}
		if _, err := w.challenge(e, text); err != nil {
			w.t.Errorf("the refused device lost its challenge: %v", err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := []ra.RequestID{}
		for i := range 10 {
			wg.Go(func() {
				r, err := w.Submit(w.t.Context(), deviceActor(w.phone), ask(fmt.Sprint("race", i)))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, r.ID)
				} else if ra.KindOf(err) != ra.Conflict {
					w.t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || w.script.Total() != 1 {
			w.t.Errorf("%d requests got through, %d certificates", len(won), w.script.Total())
		}
		if _, err := w.challenge(e, text); ra.KindOf(err) != ra.Denied || !strings.Contains(err.Error(), "used") {
			w.t.Errorf("%v", err)
		}
	})
}

// TestChallengeAfterwards: who gets a challenge back when a request ends
// without a certificate, and who does not.
func TestChallengeAfterwards(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		spec := wifi()
		spec.Approvals = 1
		tpl := w.template(w.outer, spec)
		e := w.endpoint(tpl, "devices", `{"challenge_life": "2160h"}`)
		for name, c := range map[string]struct {
			end  func(ra.RequestID)
			back bool
		}{
			"denied":        {func(id ra.RequestID) { must(w.Decide(ctx, w.owner, id, false, ""))(w.t) }, false},
			"cancelled":     {func(id ra.RequestID) { must(w.Cancel(ctx, w.owner, id))(w.t) }, false},
			"nobody looked": {func(ra.RequestID) { w.clock.Advance(73 * time.Hour); w.work(w.t) }, true},
		} {
			made, text, err := w.CreateChallenge(ctx, w.owner, enroll.ChallengeInput{Endpoint: e.ID, Device: w.phone.ID})
			if err != nil {
				w.t.Fatal(err)
			}
			r := w.submit(deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Endpoint: e.ID, Challenge: made.ID, CSR: csr(w.t, key(w.t)), Wait: true})
			c.end(r.ID)
			if _, err := w.challenge(e, text); (err == nil) != c.back || !enroll.Ended(w.request(r.ID).State) {
				w.t.Errorf("%s: %v, request %s", name, err, w.request(r.ID).State)
			}
		}
	})
}

func TestEndpoints(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl, here := w.template(w.inner, wifi()), w.template(w.inner, vpn())
		create := func(a ra.Actor, change func(*enroll.EndpointInput)) (*ra.Endpoint, error) {
			in := enroll.EndpointInput{TemplateID: &tpl.ID, Name: ptr("devices")}
			change(&in)
			return w.CreateEndpoint(ctx, a, in)
		}
		for name, c := range map[string]struct {
			actor  ra.Actor
			change func(*enroll.EndpointInput)
			kind   ra.Kind
			field  string
		}{
			"name":             {w.owner, func(i *enroll.EndpointInput) { i.Name = ptr("Über/../x") }, ra.Invalid, "name"},
			"no template":      {w.owner, func(i *enroll.EndpointInput) { i.TemplateID = nil }, ra.Invalid, "template_id"},
			"unknown template": {w.owner, func(i *enroll.EndpointInput) { i.TemplateID = ptr(ra.TemplateID("tpl_x")) }, ra.NotFound, ""},
			"keys made here":   {w.owner, func(i *enroll.EndpointInput) { i.TemplateID = &here.ID }, ra.Invalid, "template_id"},
			"unknown setting":  {w.owner, func(i *enroll.EndpointInput) { i.Settings = []byte(`{"flor": "compat"}`) }, ra.Invalid, "settings.flor"},
			"legacy unaccepted": {w.owner, func(i *enroll.EndpointInput) {
				i.Settings = []byte(`{"floor": "legacy", "legacy_until": "2027-01-01"}`)
			}, ra.Invalid, "settings.legacy_accepted"},
			"legacy for ever": {w.owner, func(i *enroll.EndpointInput) {
				i.Settings = []byte(`{"floor": "legacy", "legacy_accepted": true, "legacy_until": ""}`)
			}, ra.Invalid, "settings.legacy_until"},
			"weak static":   {w.owner, func(i *enroll.EndpointInput) { i.Settings = []byte(`{"static_on": true, "static": "short"}`) }, ra.Invalid, "settings.static"},
			"may only look": {actor("v", ra.RoleViewer, w.acme), func(*enroll.EndpointInput) {}, ra.Denied, ""},
			"elsewhere":     {actor("o", ra.RoleOwner, w.other), func(i *enroll.EndpointInput) { i.GroupID = &w.other.ID }, ra.NotFound, ""},
		} {
			_, err := create(c.actor, c.change)
			if e := wantError(w.t, err, c.kind); e.Field != c.field {
				w.t.Errorf("%s: field %q: %v", name, e.Field, err)
			}
		}
		const static = "canary-static-challenge"
		e := must(create(actor("m", ra.RoleManager, w.acme), func(i *enroll.EndpointInput) {
			i.Settings = []byte(`{"static_on": true, "static": "` + static + `", "challenge_uses": 3}`)
		}))(w.t)
		_, err := create(w.owner, func(*enroll.EndpointInput) {})
		wantError(w.t, err, ra.Conflict)
		e = must(w.UpdateEndpoint(ctx, w.owner, e.ID, enroll.EndpointInput{Settings: []byte(`{"floor": "compat"}`)}))(w.t)
		place, err := w.OpenEndpoint(ctx, "devices")
		v := place.Settings
		if err != nil || place.Endpoint.ID != e.ID || place.Template.ID != tpl.ID || place.RA != tpl.AuthorityID || v.Floor != sceppolicy.Compat || v.Static.Reveal() != static || v.ChallengeUses != 3 || !v.Renewal {
			w.t.Errorf("%+v, %v", v, err)
		}
		w.noSecrets(static)
		_, err = w.UpdateEndpoint(ctx, actor("o", ra.RoleOwner, w.other), e.ID, enroll.EndpointInput{Name: ptr("mine")})
		wantError(w.t, err, ra.NotFound)
		must(w.UpdateEndpoint(ctx, w.owner, e.ID, enroll.EndpointInput{Disabled: ptr(true)}))(w.t)
		if _, err := w.OpenEndpoint(ctx, "devices"); ra.KindOf(err) != ra.NotFound {
			w.t.Errorf("%v", err)
		}
		if list, _, err := w.FindEndpoints(ctx, actor("v", ra.RoleViewer, w.acme), store.EndpointFilter{}); err != nil || len(list) != 1 {
			w.t.Errorf("%d, %v", len(list), err)
		}
		if err := w.DeleteEndpoint(ctx, actor("op", ra.RoleOperator, w.acme), e.ID); ra.KindOf(err) != ra.Denied {
			w.t.Errorf("%v", err)
		}
		if err := w.DeleteEndpoint(ctx, w.owner, e.ID); err != nil {
			w.t.Error(err)
		}
		w.read(func(tx *store.Tx) error {
			boxes, err := tx.Sealed(string(e.ID))
			if len(boxes) != 0 {
				w.t.Error("the static challenge is still here")
			}
			return err
		})
	})
}

func TestLegacyFloorEnds(t *testing.T) {
	v := sceppolicy.Endpoint{Floor: sceppolicy.Legacy, LegacyAccepted: true, LegacyUntil: "2027-06-30"}
	for at, want := range map[string]string{"2027-06-29T12:00:00Z": sceppolicy.Legacy, "2027-06-30T12:00:00Z": sceppolicy.Legacy, "2027-07-01T00:00:01Z": sceppolicy.Modern} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.FloorAt(now); got != want {
			t.Errorf("at %s: %s, want %s", at, got, want)
		}
	}
	v.LegacyUntil = "never"
	if v.FloorAt(start) != sceppolicy.Modern {
		t.Error("an unreadable date keeps the legacy floor")
	}
}
