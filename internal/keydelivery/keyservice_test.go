package keydelivery_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/keydelivery"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestKeyServices(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		r := newReceiver(w.t, rsaKey(t))
		ended, _ := recipient(w.t, rsaKey(t), time.Now().Add(-time.Hour))
		for name, c := range map[string]struct {
			more  map[string]any
			field string
		}{
			"no TLS":              {map[string]any{"url": "http://127.0.0.1/keys"}, "settings.url"},
			"a user in it":        {map[string]any{"url": "https://me:too@127.0.0.1/keys"}, "settings.url"},
			"no secret":           {map[string]any{"secret": nil}, "settings.secret"},
			"a short secret":      {map[string]any{"secret": "whsec_c2hvcnQ="}, "settings.secret"},
			"a secret by itself":  {map[string]any{"secret": strings.TrimPrefix(firstSecret, "whsec_")}, "settings.secret"},
			"a second by itself":  {map[string]any{"second_secret": "secret"}, "settings.second_secret"},
			"no recipient":        {map[string]any{"recipient": ""}, "settings.recipient"},
			"two recipients":      {map[string]any{"recipient": r.cert + r.roots}, "settings.recipient"},
			"one that only signs": {map[string]any{"recipient": signs(t)}, "settings.recipient"},
		} {
			_, err := w.Create(ctx, w.owner, keydelivery.Input{GroupID: &w.group.ID, Name: &name, Settings: r.settings(c.more)})
			refused(w.t, err, ra.Invalid, c.field)
		}
		_, err := w.Create(ctx, w.viewer, keydelivery.Input{GroupID: &w.group.ID, Name: ptr("x"), Settings: r.settings(nil)})
		refused(w.t, err, ra.Denied, "")

		k := w.define(r.settings(nil))
		_, err = w.Create(ctx, w.owner, keydelivery.Input{GroupID: &w.other.ID, Name: &k.Name, Settings: r.settings(nil)})
		refused(w.t, err, ra.Conflict, "")
		_, err = w.Update(ctx, w.owner, k.ID, keydelivery.Input{Description: ptr("x"), Seen: k.UpdatedAt.Add(-time.Second)})
		refused(w.t, err, ra.Conflict, "Somebody else")
		if strings.Contains(string(k.Settings), firstSecret) || !strings.Contains(string(k.Settings), `"secret":{"set":true}`) {
			w.t.Errorf("the settings are %s", k.Settings)
		}

		// It is for templates of its group and of those below.
		named := func(g *ra.Group) enroll.TemplateInput {
			return enroll.TemplateInput{GroupID: &g.ID, AuthorityID: &w.authority.ID, Name: ptr("for " + g.Name), Spec: spec(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID})}
		}
		tpl := must(w.enroll.CreateTemplate(ctx, w.owner, named(w.below)))(w.t)
		_, err = w.enroll.CreateTemplate(ctx, w.owner, named(w.other))
		refused(w.t, err, ra.Invalid, "not for this organization group")
		stranger := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_x", Name: "x", Grants: []ra.Grant{{Role: ra.RoleManager, Group: w.other.ID, Path: w.other.Path}}}
		_, err = w.Get(ctx, stranger, k.ID)
		refused(w.t, err, ra.NotFound, "")
		if list, _, err := w.Find(ctx, stranger, store.KeyServiceFilter{}); err != nil || len(list) != 0 {
			w.t.Errorf("a stranger sees %d key services: %v", len(list), err)
		}
		if list, _, err := w.Find(ctx, ra.Actor{Name: "y", Grants: []ra.Grant{{Role: ra.RoleViewer, Group: w.below.ID, Path: w.below.Path}}}, store.KeyServiceFilter{}); err != nil || len(list) != 1 {
			w.t.Errorf("below, %d key services are seen: %v", len(list), err)
		}
		_, err = w.Update(ctx, w.owner, k.ID, keydelivery.Input{GroupID: &w.other.ID})
		refused(w.t, err, ra.Conflict, "could not use")
		refused(w.t, w.inv.DeleteGroup(ctx, w.owner, w.other.ID), "", "")
		w.update(k.ID, keydelivery.Input{GroupID: &w.below.ID})
		refused(w.t, w.Delete(ctx, w.owner, k.ID), ra.Conflict, "sends keys to")
		if err := w.enroll.DeleteTemplate(ctx, w.owner, tpl.ID); err != nil {
			w.t.Fatal(err)
		}
		refused(w.t, w.inv.DeleteGroup(ctx, w.owner, w.below.ID), ra.Conflict, "key service")
		refused(w.t, w.Delete(ctx, w.viewer, k.ID), ra.Denied, "")
		if err := w.Delete(ctx, w.owner, k.ID); err != nil {
			w.t.Fatal(err)
		}
		w.read(func(tx *store.Tx) error {
			boxes, err := tx.Sealed(string(k.ID))
			if len(boxes) != 0 {
				w.t.Errorf("%d secrets of it are left", len(boxes))
			}
			return err
		})
		_, err = w.Get(ctx, w.owner, k.ID)
		refused(w.t, err, ra.NotFound, "")

		// One whose certificate has ended can be stored, and gets nothing.
		k = w.define(r.settings(map[string]any{"recipient": ended}))
		steps := w.test(k.ID)
		if steps[0].State != ca.StepFailed || !strings.Contains(steps[0].Detail, "not valid now") || steps[2].State != ca.StepSkipped {
			w.t.Errorf("the steps: %+v", steps)
		}
		if codes := w.trail("key_service."); len(codes) != 5 {
			w.t.Errorf("%d entries in the audit log", len(codes))
		}
	})
}

// signs gives a certificate that may only sign.
func signs(t *testing.T) string {
	cert, _ := recipient(t, edKey(t), time.Now().AddDate(1, 0, 0))
	return cert
}

func (w *world) test(id ra.KeyServiceID) (steps []ca.Step) {
	w.t.Helper()
	if err := w.Test(w.t.Context(), w.owner, id, func(s ca.Step) { steps = append(steps, s) }); err != nil || len(steps) != 3 {
		w.t.Fatalf("%d steps: %v", len(steps), err)
	}
	return steps
}

// TestConnection: the test of a key service sends it everything but a key.
func TestConnection(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(nil))
		for _, s := range w.test(k.ID) {
			if s.State != ca.StepOK {
				w.t.Errorf("%+v", s)
			}
		}
		got := r.take()
		var body struct {
			Type string
			Data map[string]string
		}
		if len(got) != 1 || json.Unmarshal(got[0].body, &body) != nil || body.Type != "ping" || body.Data["key_service_id"] != string(k.ID) || !strings.HasPrefix(got[0].header.Get("webhook-signature"), "v1,") {
			w.t.Errorf("%d messages, %+v", len(got), body)
		}
		for status, words := range map[int]string{http.StatusForbidden: "signature", http.StatusNotFound: "refuses", http.StatusFound: "redirects", http.StatusGone: "gone"} {
			r.answer(status, nil)
			if steps := w.test(k.ID); steps[1].State != ca.StepOK || steps[2].State != ca.StepFailed || !strings.Contains(steps[2].Detail+steps[2].Remedy, words) {
				w.t.Errorf("%d: %+v", status, steps)
			}
		}
		if must(w.Get(ctx, w.owner, k.ID))(w.t).Disabled {
			w.t.Error("a test switched the key service off")
		}

		// Settings that are not stored use the secrets that are.
		r.answer(204, nil)
		var steps []ca.Step
		report := func(s ca.Step) { steps = append(steps, s) }
		if err := w.TestSettings(ctx, w.owner, k.ID, "", []byte(`{"timeout":"5s"}`), report); err != nil || len(steps) != 3 || steps[2].State != ca.StepOK {
			w.t.Errorf("%+v, %v", steps, err)
		}
		refused(w.t, w.TestSettings(ctx, w.owner, "", w.group.ID, []byte(`{"url":"https://127.0.0.1/keys"}`), report), ra.Invalid, "settings.secret")
		refused(w.t, w.TestSettings(ctx, w.viewer, "", w.group.ID, r.settings(nil), report), ra.Denied, "")
		refused(w.t, w.Test(ctx, w.viewer, k.ID, report), ra.Denied, "")

		// Addresses that may not be reached are not.
		w.Dial = nil
		steps = w.test(k.ID)
		if steps[1].State != ca.StepFailed || !strings.Contains(steps[1].Remedy, "egress_allow") {
			w.t.Errorf("%+v", steps)
		}
	})
}

// TestKeysStay: keys that are made on devices go nowhere, and templates that
// would have them do so are refused.
func TestKeysStay(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		r := newReceiver(w.t, ecKey(t))
		k := w.define(r.settings(nil))
		for name, c := range map[string]struct {
			place   ra.KeyPlace
			publish ra.PublishSpec
			field   string
		}{
			"of a device":      {ra.KeyOnDevice, ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID}, "publish.key"},
			"nowhere":          {ra.KeyHere, ra.PublishSpec{Key: "webhook"}, "publish.key"},
			"no service":       {ra.KeyHere, ra.PublishSpec{Key: ra.KeyToService}, "publish.key_service"},
			"unknown service":  {ra.KeyHere, ra.PublishSpec{Key: ra.KeyToService, KeyService: "ksv_nobody"}, "publish.key_service"},
			"service, unused":  {ra.KeyHere, ra.PublishSpec{KeyService: k.ID}, "publish.key_service"},
			"back from one":    {ra.KeyHere, ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID, WithdrawKey: true}, "publish.withdraw_key"},
			"no directory":     {ra.KeyHere, ra.PublishSpec{Key: ra.KeyToDirectory}, "publish.key"},
			"kept at one":      {ra.KeyHere, ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID, KeepFormer: true}, "publish.keep_former"},
			"back, from where": {ra.KeyHere, ra.PublishSpec{WithdrawKey: true}, "publish.withdraw_key"},
		} {
			s := spec(c.publish)
			s.KeyPlace = c.place
			_, err := w.enroll.CreateTemplate(ctx, w.owner, enroll.TemplateInput{GroupID: &w.group.ID, AuthorityID: &w.authority.ID, Name: &name, Spec: s})
			refused(w.t, err, ra.Invalid, "spec."+c.field+" ")
		}
		user := must(w.inv.CreateUser(ctx, w.owner, inventory.UserInput{GroupID: &w.below.ID, Name: ptr("bob")}))(w.t)
		c := w.issue(w.template(ra.PublishSpec{Key: ra.KeyToService, KeyService: k.ID}), user.ID)
		w.stands(c, false, ra.ActionHandOver)
		_, err := w.Delivery(ctx, ra.Actor{Name: "x", Grants: []ra.Grant{{Role: ra.RoleOwner, Group: w.other.ID, Path: w.other.Path}}}, c.ID)
		refused(w.t, err, ra.NotFound, "")
	})
}
