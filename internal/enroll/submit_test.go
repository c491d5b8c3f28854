package enroll_test

import (
	"crypto/ecdsa"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca/scripted"
	"chancery/internal/enroll"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestSubmitIssuesInline(t *testing.T) {
	each(t, func(w *world) {
		for name, id := range map[string]ra.AuthorityID{"embedded": w.inner, "scripted": w.outer, "bare": w.bare} {
			tpl := w.template(id, wifi())
			k := key(w.t)
			r := w.submit(deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, k), Door: "scep", Transaction: "tx-" + name, Key: "k-" + name, Wait: true})
			if r.State != ra.Issued || r.CertificateID == "" || r.Action != ra.ActionNone || r.GroupID != w.berlin.ID || r.UserID != w.ada.ID || r.Attempts != 1 {
				w.t.Fatalf("%s: request %+v", name, r)
			}
			c := w.certificate(r.CertificateID)
			leaf := w.verify(c)
			if c.State != ra.Valid || c.Subject != "CN=UDID-phone,O=Berlin,C=DE" || !slices.Equal(c.SANs, []string{"upn:ada@corp.example.org"}) || c.DeviceID != w.phone.ID ||
				c.RequestID != r.ID || c.KeyPlace != ra.KeyOnDevice || c.Action != ra.ActionAwait || c.SPKIHash != r.SPKIHash || c.GroupID != w.berlin.ID || c.TemplateID != tpl.ID {
				w.t.Errorf("%s: certificate %+v", name, c)
			}
			if !k.Public().(*ecdsa.PublicKey).Equal(leaf.PublicKey) {
				w.t.Errorf("%s: the certificate is for another key", name)
			}
			if w.audited("request.submitted", string(r.ID)) != 1 || w.audited("certificate.issued", string(c.ID)) != 1 {
				w.t.Errorf("%s: the audit log does not tell of it once", name)
			}
		}
	})
}

func TestSubmitRefuses(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl, off := w.template(w.outer, wifi()), w.template(w.outer, wifi())
		yes := true
		must(w.UpdateTemplate(ctx, w.owner, off.ID, enroll.TemplateInput{Disabled: &yes}))(w.t)
		name := "Paris only"
		spec := wifi()
		sibling := must(w.CreateTemplate(ctx, w.owner, enroll.TemplateInput{GroupID: &w.paris.ID, AuthorityID: &w.outer, Name: &name, Spec: &spec}))(w.t)
		here := w.template(w.outer, vpn())
		empty := w.template(w.outer, ra.TemplateSpec{Subject: "CN={DeviceIMEI}", KeyType: "p-256"})
		blocked := w.device(w.berlin, w.ada, "blocked")
		must(w.inv.BlockDevice(ctx, w.owner, blocked.ID))(w.t)
		left := w.user(w.berlin, "left", "1200")
		must(w.inv.UpdateUser(ctx, w.owner, left.ID, inventory.UserInput{Disabled: &yes}))(w.t)

		berlin, viewer, foreign := actor("b", ra.RoleOperator, w.berlin), actor("v", ra.RoleViewer, w.berlin), actor("o", ra.RoleOwner, w.other)
		fresh := func() []byte { return csr(w.t, key(w.t)) }
		before := w.script.Total()
		for name, c := range map[string]struct {
			actor ra.Actor
			ask   enroll.Ask
			kind  ra.Kind
			field string
		}{
			"no rights at all":                    {ra.Actor{}, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: fresh()}, ra.NotFound, ""},
			"may only look":                       {viewer, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: fresh()}, ra.Denied, ""},
			"device of another branch":            {berlin, enroll.Ask{Template: tpl.ID, Device: w.tablet.ID, CSR: fresh()}, ra.NotFound, ""},
			"device of another organization":      {foreign, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: fresh()}, ra.NotFound, ""},
			"template of a sibling":               {berlin, enroll.Ask{Template: sibling.ID, Device: w.phone.ID, CSR: fresh()}, ra.Denied, ""},
			"template of another organization":    {foreign, enroll.Ask{Template: tpl.ID, Device: w.stolen.ID, CSR: fresh()}, ra.Denied, ""},
			"name of another organization's user": {w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, User: w.eve.ID, CSR: fresh()}, ra.Invalid, "user_id"},
			"name of a user one may not see":      {berlin, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, User: w.pia.ID, CSR: fresh()}, ra.NotFound, ""},
			"device for another device":           {deviceActor(w.tablet), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: fresh()}, ra.Denied, ""},
			"device for another user":             {deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, User: left.ID, CSR: fresh()}, ra.Denied, ""},
			"device for a user only":              {deviceActor(w.phone), enroll.Ask{Template: tpl.ID, User: w.ada.ID, CSR: fresh()}, ra.Denied, ""},
			"for nobody":                          {w.owner, enroll.Ask{Template: tpl.ID, CSR: fresh()}, ra.Invalid, "device_id"},
			"unknown device":                      {w.owner, enroll.Ask{Template: tpl.ID, Device: "dev_x", CSR: fresh()}, ra.NotFound, ""},
			"unknown user":                        {w.owner, enroll.Ask{Template: tpl.ID, User: "usr_x", CSR: fresh()}, ra.NotFound, ""},
			"unknown template":                    {w.owner, enroll.Ask{Template: "tpl_x", Device: w.phone.ID, CSR: fresh()}, ra.NotFound, ""},
			"template switched off":               {w.owner, enroll.Ask{Template: off.ID, Device: w.phone.ID, CSR: fresh()}, ra.Conflict, ""},
			"blocked device":                      {w.owner, enroll.Ask{Template: tpl.ID, Device: blocked.ID, CSR: fresh()}, ra.Denied, ""},
			"disabled user":                       {w.owner, enroll.Ask{Template: tpl.ID, User: left.ID, CSR: fresh()}, ra.Denied, ""},
			"no request":                          {w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID}, ra.Invalid, "csr"},
			"not a request":                       {w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: []byte("x")}, ra.Invalid, "csr"},
			"empty lookup value":                  {w.owner, enroll.Ask{Template: empty.ID, Device: w.phone.ID, CSR: fresh()}, ra.Invalid, "subject"},
			"renews what is not there":            {w.owner, enroll.Ask{Template: here.ID, Device: w.phone.ID, Renews: "crt_x"}, ra.NotFound, ""},
		} {
			w.t.Run(name, func(t *testing.T) {
				c.ask.Wait = true
				r, err := w.Submit(ctx, c.actor, c.ask)
				e := wantError(t, err, c.kind)
				if r != nil || e.Field != c.field {
					t.Errorf("request %v, field %q", r, e.Field)
				}
				for _, secret := range []string{"Paris", "pia", "eve", "Outer"} {
					if c.actor.ID != w.owner.ID && strings.Contains(e.Message, secret) {
						t.Errorf("the message shows %q: %s", secret, e.Message)
					}
				}
			})
		}
		if w.script.Total() != before || len(w.open(w.t)) != 0 {
			w.t.Error("something was asked for all the same")
		}
	})
}

func TestSubmitForAUser(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.inner, vpn())
		op := actor("op", ra.RoleOperator, w.berlin)
		r := w.submit(op, enroll.Ask{Template: tpl.ID, User: w.ada.ID, Door: "api", Wait: true})
		if r.State != ra.Issued || r.DeviceID != "" || r.UserID != w.ada.ID || r.GroupID != w.berlin.ID || r.KeyPlace != ra.KeyHere {
			w.t.Errorf("request %+v", r)
		}
		// Another user of the same group, named beside the device by somebody who may.
		bob := w.user(w.berlin, "bob", "1300")
		r = w.submit(op, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, User: bob.ID, Wait: true})
		if r.State != ra.Issued || r.UserID != bob.ID || r.Subject != "CN=bob,O=Berlin" {
			w.t.Errorf("request %+v", r)
		}
		_, err := w.Submit(w.t.Context(), op, enroll.Ask{Template: tpl.ID, User: w.pia.ID, Wait: true})
		wantError(w.t, err, ra.NotFound)
	})
}

// TestSubmitKnowsItsKey: twenty asks with one key are one request and one
// certificate, on two nodes and at the same time.
func TestSubmitKnowsItsKey(t *testing.T) {
	each(t, func(w *world) {
		second := w.node
		if w.db.Engine() == "postgres" {
			second = w.start()
		}
		for name, id := range map[string]ra.AuthorityID{"embedded": w.inner, "scripted": w.outer} {
			tpl := w.template(id, wifi())
			ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Door: "scep", Key: "same-" + name, Wait: true}
			ids := make([]ra.RequestID, 20)
			var wg sync.WaitGroup
			for i := range ids {
				wg.Go(func() {
					n := w.node
					if i%2 == 1 {
						n = second
					}
					r, err := n.Submit(w.t.Context(), deviceActor(w.phone), ask)
					if err != nil {
						w.t.Errorf("%s: %v", name, err)
						return
					}
					ids[i] = r.ID
				})
			}
			wg.Wait()
			for _, id := range ids {
				if id != ids[0] {
					w.t.Errorf("%s: requests %s and %s", name, id, ids[0])
				}
			}
			w.settle(w.node)
			r := w.request(ids[0])
			if r.State != ra.Issued || r.SubmittedAt.IsZero() || r.Attempts != 1 {
				w.t.Errorf("%s: %+v", name, r)
			}
			if name == "scripted" && (len(w.script.Issued(string(r.ID))) != 1 || w.script.Asked(string(r.ID)) != 1) {
				w.t.Errorf("asked %d times, issued %d", w.script.Asked(string(r.ID)), len(w.script.Issued(string(r.ID))))
			}
			// Long afterwards it is still the same.
			again := w.submit(deviceActor(w.phone), ask)
			if again.ID != r.ID || again.CertificateID != r.CertificateID {
				w.t.Errorf("%s: asked again: %+v", name, again)
			}
		}
		if n := len(w.certificates(w.phone)); n != 2 {
			w.t.Errorf("%d certificates", n)
		}
	})
}

// TestSubmitKeyIsNoWayIn: a key that was used for something else gives nothing
// away.
func TestSubmitKeyIsNoWayIn(t *testing.T) {
	each(t, func(w *world) {
		tpl, second := w.template(w.outer, wifi()), w.template(w.outer, wifi())
		ask := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Key: "guessed", Wait: true}
		w.submit(w.owner, ask)
		for name, c := range map[string]struct {
			actor  ra.Actor
			change func(*enroll.Ask)
		}{
			"other template":     {w.owner, func(a *enroll.Ask) { a.Template = second.ID }},
			"other device":       {w.owner, func(a *enroll.Ask) { a.Device = w.tablet.ID }},
			"other user":         {w.owner, func(a *enroll.Ask) { a.User = w.pia.ID }},
			"renews":             {w.owner, func(a *enroll.Ask) { a.Renews = "crt_x" }},
			"nobody's business":  {actor("o", ra.RoleOwner, w.other), func(*enroll.Ask) {}},
			"may only look":      {actor("v", ra.RoleViewer, w.berlin), func(*enroll.Ask) {}},
			"another device's":   {deviceActor(w.tablet), func(*enroll.Ask) {}},
			"device, own device": {deviceActor(w.tablet), func(a *enroll.Ask) { a.Device = w.tablet.ID }},
		} {
			other := ask
			c.change(&other)
			r, err := w.Submit(w.t.Context(), c.actor, other)
			if e := wantError(w.t, err, ra.Conflict); r != nil || strings.Contains(e.Message, "UDID") {
				w.t.Errorf("%s: %v, %v", name, r, e)
			}
		}
	})
}

func TestKeyReuse(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		strict := w.template(w.outer, wifi())
		spec := wifi()
		spec.ReuseKey = true
		lax := w.template(w.outer, spec)
		k := key(w.t)
		ask := func(tpl *ra.Template, d *ra.Device) enroll.Ask {
			return enroll.Ask{Template: tpl.ID, Device: d.ID, CSR: csr(w.t, k), Wait: true}
		}
		first := w.submit(w.owner, ask(strict, w.phone))
		for name, a := range map[string]enroll.Ask{"another device": ask(lax, w.tablet), "the same device": ask(strict, w.phone)} {
			_, err := w.Submit(ctx, w.owner, a)
			if e := wantError(w.t, err, ra.Invalid); e.Field != "csr" || e.Retry != ra.Never {
				w.t.Errorf("%s: %+v", name, e)
			}
		}
		renewal := ask(strict, w.phone)
		renewal.Renews = first.CertificateID
		_, err := w.Submit(ctx, w.owner, renewal)
		if e := wantError(w.t, err, ra.Invalid); !strings.Contains(e.Message, "keeps the old key") {
			w.t.Errorf("%+v", e)
		}
		again := w.submit(w.owner, ask(lax, w.phone))
		if again.State != ra.Issued {
			w.t.Errorf("%+v", again)
		}
		renewal = ask(lax, w.phone)
		renewal.Renews = again.CertificateID
		if r := w.submit(w.owner, renewal); r.State != ra.Issued {
			w.t.Errorf("%+v", r)
		}
		// Compromised is compromised, whatever the template allows.
		w.write(func(tx *store.Tx) error {
			c, err := tx.Certificate(first.CertificateID)
			if err != nil {
				return err
			}
			c.State, c.Reason, c.RevokedAt, c.Obligation = ra.Revoked, ra.KeyCompromise, tx.Now, ra.Obligation{}
			return tx.UpdateCertificate(c)
		})
		_, err = w.Submit(ctx, w.owner, ask(lax, w.phone))
		if e := wantError(w.t, err, ra.Invalid); !strings.Contains(e.Message, "compromised") {
			w.t.Errorf("%+v", e)
		}
		// Two users without a device do not share a key either.
		userAsk := func(u *ra.User) enroll.Ask {
			return enroll.Ask{Template: lax.ID, User: u.ID, CSR: csr(w.t, k), Wait: true}
		}
		k = key(w.t)
		subjectless := w.template(w.outer, ra.TemplateSpec{Subject: "CN={EnrollmentUser}", KeyType: "p-256", ReuseKey: true})
		a := userAsk(w.ada)
		a.Template = subjectless.ID
		w.submit(w.owner, a)
		b := userAsk(w.pia)
		b.Template = subjectless.ID
		_, err = w.Submit(ctx, w.owner, b)
		wantError(w.t, err, ra.Invalid)
	})
}

func TestRenewalRules(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl, second := w.template(w.outer, wifi()), w.template(w.outer, wifi())
		old := w.submit(deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true}).CertificateID
		renew := func(change func(*enroll.Ask)) (*ra.Request, error) {
			a := enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Renews: old, CSR: csr(w.t, key(w.t)), Wait: true}
			change(&a)
			return w.Submit(ctx, w.owner, a)
		}
		_, err := renew(func(a *enroll.Ask) { a.Template = second.ID })
		wantError(w.t, err, ra.Denied)
		_, err = renew(func(a *enroll.Ask) { a.Device = w.tablet.ID })
		wantError(w.t, err, ra.Denied)
		_, err = renew(func(a *enroll.Ask) { a.Device, a.User = "", w.ada.ID })
		wantError(w.t, err, ra.Denied)

		// One renewal at a time, whatever their keys.
		w.script.Plan(scripted.Pend(1))
		open := must(renew(func(*enroll.Ask) {}))(w.t)
		if open.State != ra.PendingAtCA {
			w.t.Fatalf("%+v", open)
		}
		_, err = renew(func(*enroll.Ask) {})
		if e := wantError(w.t, err, ra.Conflict); !strings.Contains(e.Remedy, string(open.ID)) {
			w.t.Errorf("%+v", e)
		}
		w.settle(w.node)
		next := w.certificate(w.request(open.ID).CertificateID)
		if c := w.certificate(old); c.State != ra.Superseded || c.RenewedBy != next.ID || c.Action != ra.ActionExpire || next.Renews != old {
			w.t.Errorf("old %+v", c)
		}
		// The successor never reached the device: the old one asks again, and the
		// lost successor is given up.
		third := must(renew(func(*enroll.Ask) {}))(w.t)
		if c := w.certificate(next.ID); c.State != ra.Superseded || c.RenewedBy != third.CertificateID {
			w.t.Errorf("lost successor %+v", c)
		}
		// What is over cannot vouch for anything.
		w.clock.Advance(91 * 24 * time.Hour)
		_, err = renew(func(*enroll.Ask) {})
		if e := wantError(w.t, err, ra.Denied); !strings.Contains(e.Message, "expired") {
			w.t.Errorf("%+v", e)
		}
		for state, word := range map[ra.CertificateState]string{ra.Revoked: "revoked", ra.OnHold: "on hold"} {
			fresh := w.submit(deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true})
			old = fresh.CertificateID
			w.write(func(tx *store.Tx) error {
				c, err := tx.Certificate(old)
				if err != nil {
					return err
				}
				c.State, c.RevokedAt = state, tx.Now
				return tx.UpdateCertificate(c)
			})
			_, err = renew(func(*enroll.Ask) {})
			if e := wantError(w.t, err, ra.Denied); !strings.Contains(e.Message, word) {
				w.t.Errorf("%+v", e)
			}
		}
	})
}

// TestRenewalsRace: of many renewals of one certificate under different keys,
// one goes through.
func TestRenewalsRace(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.outer, wifi())
		old := w.submit(deviceActor(w.phone), enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true}).CertificateID
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 12 {
			w.script.Plan(scripted.Pend(1)) // so that the winner is still open while the others ask
			wg.Go(func() {
				r, err := w.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, Renews: old, CSR: csr(w.t, key(w.t)), Key: fmt.Sprint("r", i), Wait: true})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && r != nil:
					won++
				case ra.KindOf(err) != ra.Conflict:
					w.t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			w.t.Errorf("%d renewals went through", won)
		}
	})
}

func TestSubmitWithoutWaiting(t *testing.T) {
	each(t, func(w *world) {
		tpl := w.template(w.outer, wifi())
		r := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t))})
		if r.State != ra.Approved || r.Action != ra.ActionIssue || !r.Deadline.After(r.At) || w.script.Total() != 0 {
			w.t.Errorf("%+v", r)
		}
		w.settle(w.node)
		if r = w.request(r.ID); r.State != ra.Issued {
			w.t.Errorf("%+v", r)
		}
	})
}

// TestDeviceLeavesMeanwhile: what waited is not asked for any more once the
// device is out, and what arrives then is revoked.
func TestDeviceLeavesMeanwhile(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		spec := wifi()
		spec.RevokeOn = []string{"unenrolment"}
		tpl := w.template(w.outer, spec)
		ask := func() enroll.Ask {
			return enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t))}
		}
		waiting := w.submit(w.owner, ask())
		w.script.Plan(scripted.Pend(1))
		pending := ask()
		pending.Wait = true
		late := w.submit(w.owner, pending)
		must(w.inv.UnenrolDevice(ctx, w.owner, w.phone.ID))(w.t)
		w.settle(w.node)
		if r := w.request(waiting.ID); r.State != ra.Failed || !strings.Contains(r.Reason, "unenrolled") || w.script.Asked(string(r.ID)) != 0 {
			w.t.Errorf("%+v", r)
		}
		r := w.request(late.ID)
		c := w.certificate(r.CertificateID)
		if r.State != ra.Issued || c.State != ra.Revoked || c.Action != ra.ActionRevoke || c.Reason != ra.CessationOfOperation || w.audited("certificate.revoked", string(c.ID)) != 1 {
			w.t.Errorf("%+v, %+v", r, c)
		}
	})
}

func TestAuthorityIsSwitchedOff(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		tpl := w.template(w.outer, wifi())
		yes, no := true, false
		must(w.authorities.Update(ctx, w.owner, w.outer, authority.Input{Disabled: &yes}))(w.t)
		inline := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t)), Wait: true})
		later := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, key(w.t))})
		if inline.State != ra.Submitted || !strings.Contains(inline.LastError, "switched off") {
			w.t.Errorf("%+v", inline)
		}
		// A day later people hear of it, once, and it still waits.
		for range 60 {
			w.clock.Advance(30 * time.Minute)
			w.work(w.t)
		}
		for _, id := range []ra.RequestID{inline.ID, later.ID} {
			r := w.request(id)
			if enroll.Ended(r.State) || r.Escalated.IsZero() || w.audited("request.overdue", string(id)) != 1 {
				w.t.Errorf("%s: %s, escalated %s, audited %d times", id, r.State, r.Escalated, w.audited("request.overdue", string(id)))
			}
		}
		if w.script.Total() != 0 {
			w.t.Error("the authority was asked")
		}
		must(w.authorities.Update(ctx, w.owner, w.outer, authority.Input{Disabled: &no}))(w.t)
		w.settle(w.node)
		if w.script.Total() != 2 || len(w.script.Doubles()) != 0 {
			w.t.Errorf("issued %d, twice %v", w.script.Total(), w.script.Doubles())
		}
	})
}

// TestKeyOfAnOpenRequest: a key that another device is waiting with is taken
// already, before there is a certificate.
func TestKeyOfAnOpenRequest(t *testing.T) {
	each(t, func(w *world) {
		spec := wifi()
		spec.Approvals = 1
		tpl, k := w.template(w.outer, spec), key(w.t)
		r := w.submit(w.owner, enroll.Ask{Template: tpl.ID, Device: w.phone.ID, CSR: csr(w.t, k)})
		if r.State != ra.AwaitingApproval {
			w.t.Fatalf("state %s", r.State)
		}
		_, err := w.Submit(w.t.Context(), w.owner, enroll.Ask{Template: tpl.ID, Device: w.tablet.ID, CSR: csr(w.t, k)})
		if e := wantError(w.t, err, ra.Invalid); !strings.Contains(e.Message, "another device") {
			w.t.Errorf("%+v", e)
		}
	})
}
