package posture_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chancery/internal/authority"
	"chancery/internal/ca"
	played "chancery/internal/doubles/adcs"
	"chancery/internal/enroll"
	"chancery/internal/posture"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// TestRefuse: a dangerous template is not taken into use until somebody signs it off
// by name; that lapses when it changes, and what uses the template goes on.
func TestRefuse(t *testing.T) {
	each(t, played.Config{}, func(w *world) {
		t, ctx := w.t, w.t.Context()
		const supply = "Own"
		w.template(t, supply, w.access(t, w.users, w.account))
		t.Cleanup(func() { w.samba.Delete(w.templateDN(supply)) })
		early := must(w.enroll.CreateTemplate(ctx, w.owner, w.input("Early", supply)))(t) // nobody has looked yet

		v := w.evaluate()
		w.same("dangers", dangers(v), "ESC1 Own*", "ESC1 Supply*")
		d := own(v)
		if d.Finding.Template != supply || len(d.Finding.Who) != 1 || d.Finding.Who[0].SID != w.users || !strings.Contains(d.Finding.Script, "Remove-Enroll '"+w.users+"'") {
			t.Errorf("%+v", d.Finding)
		}
		_, err := w.enroll.CreateTemplate(ctx, w.owner, w.input("Late", strings.ToLower(supply)))
		refused(t, err, ra.Invalid, "spec.issuing_template", "ESC1", "Domain Users", "Give Enroll to our account alone", string(d.ID))
		_, err = w.enroll.CreateTemplate(ctx, w.owner, w.input("Archived", "Archive"))
		refused(t, err, ra.Invalid, "archived")
		ours := must(w.enroll.CreateTemplate(ctx, w.owner, w.input("Ours", "Ours")))(t)
		_, err = w.enroll.UpdateTemplate(ctx, w.owner, ours.ID, enroll.TemplateInput{Spec: w.input("", supply).Spec})
		refused(t, err, ra.Invalid, "ESC1")
		if _, err := w.enroll.UpdateTemplate(ctx, w.owner, early.ID, enroll.TemplateInput{Description: ptr("what issues goes on")}); err != nil {
			t.Error(err)
		}
		must(w.enroll.UpdateTemplate(ctx, w.owner, early.ID, enroll.TemplateInput{Disabled: ptr(true)}))(t)
		_, err = w.enroll.UpdateTemplate(ctx, w.owner, early.ID, enroll.TemplateInput{Disabled: ptr(false)})
		refused(t, err, ra.Invalid, "ESC1")

		const why = "Pilot until June; the network is closed."
		_, err = w.SignOff(ctx, w.viewer, d.ID, d.Finding.Hash, why)
		refused(t, err, ra.Denied)
		_, err = w.SignOff(ctx, w.owner, d.ID, d.Finding.Hash, "  because ")
		refused(t, err, ra.Invalid, "why")
		_, err = w.SignOff(ctx, ra.System("posture"), d.ID, d.Finding.Hash, why)
		refused(t, err, ra.Denied)
		_, err = w.SignOff(ctx, w.owner, d.ID, "another", why)
		refused(t, err, ra.Conflict)
		_, err = w.Reopen(ctx, w.owner, d.ID)
		refused(t, err, ra.Conflict)
		if d, err = w.SignOff(ctx, w.owner, d.ID, d.Finding.Hash, why); err != nil {
			t.Fatal(err)
		}
		if d.Open() || d.SignOff.By != "Olga Owner" || d.SignOff.Why != why || d.Action != ra.ActionNone || len(w.waiting()) != 1 {
			t.Errorf("%+v, waiting %v", d, w.waiting())
		}
		must(w.enroll.UpdateTemplate(ctx, w.owner, early.ID, enroll.TemplateInput{Disabled: ptr(false)}))(t)
		must(w.enroll.CreateTemplate(ctx, w.owner, w.input("Late", supply)))(t)
		w.same("still signed off", dangers(w.evaluate()), "ESC1 Own", "ESC1 Supply*")

		// One value of the template changes: the sign-off was not for that.
		w.samba.Set(w.templateDN(supply), "msPKI-Minimal-Key-Size", "4096")
		v = w.evaluate()
		w.same("lapsed", dangers(v), "ESC1 Own*", "ESC1 Supply*")
		waits := slices.DeleteFunc(w.waiting(), func(o ra.ObligationRow) bool { return o.Title != "ESC1 Own" })
		if len(waits) != 1 || waits[0].Action != ra.ActionMend || !strings.Contains(waits[0].LastError, "Still issuing from it: Early, Late.") ||
			!strings.Contains(waits[0].LastError, "signed off by Olga Owner and has changed") || !own(v).Lapsed() {
			t.Errorf("waiting: %+v", waits)
		}
		_, err = w.enroll.CreateTemplate(ctx, w.owner, w.input("Later", supply))
		refused(t, err, ra.Invalid, "ESC1")
		w.samba.Set(w.templateDN(supply), "msPKI-Minimal-Key-Size", "2048")
		w.same("as it was signed off, but lapsed", dangers(w.evaluate()), "ESC1 Own*", "ESC1 Supply*")
		d = must(w.SignOff(ctx, w.owner, d.ID, own(w.evaluate()).Finding.Hash, why))(t)
		if d, err = w.Reopen(ctx, w.owner, d.ID); err != nil || !d.Open() || d.Lapsed() || d.Action != ra.ActionMend {
			t.Errorf("%+v %v", d, err)
		}

		// Mended: it is gone, and the template is free.
		w.samba.Set(w.templateDN(supply), "nTSecurityDescriptor", w.access(t, w.account))
		w.same("mended", dangers(w.evaluate()), "ESC1 Supply*")
		must(w.enroll.CreateTemplate(ctx, w.owner, w.input("Later", supply)))(t)
		w.same("on record", w.trail("danger."), "danger.found", "danger.found", "danger.signed_off", "danger.lapsed", "danger.signed_off", "danger.reopened", "danger.gone")
	})
}

// own gives the danger of the template Own.
func own(v *posture.View) *ra.Danger {
	i := slices.IndexFunc(v.Dangers, func(d *ra.Danger) bool { return d.Finding.Object == "Own" })
	return v.Dangers[i]
}

// TestAuthority: what the CA and its web pages tell is judged, without a login to
// the pages; a danger outlives looks that could not see it.
func TestAuthority(t *testing.T) {
	each(t, played.Config{EditFlags: played.EditAltName, InterfaceFlags: 0x441, DisabledExts: []string{"1.2.3", "1.3.6.1.4.1.311.25.2"}}, func(w *world) {
		t, ctx := w.t, w.t.Context()
		logins := make(chan string, 100)
		page := http.HandlerFunc(func(out http.ResponseWriter, q *http.Request) {
			if v := q.Header.Get("Authorization") + q.Header.Get("Cookie"); v != "" {
				logins <- v
			}
			if q.URL.Path == "/certsrv/" {
				out.Header().Add("WWW-Authenticate", "Negotiate, NTLM")
				out.WriteHeader(http.StatusUnauthorized)
				return
			}
			http.NotFound(out, q)
		})
		plain, secured := httptest.NewServer(page), httptest.NewTLSServer(page)
		t.Cleanup(plain.Close)
		t.Cleanup(secured.Close)
		w.set(func() {
			w.web["80"], w.web["443"] = plain.Listener.Addr().String(), secured.Listener.Addr().String()
		})
		all := []string{"ESC1 Supply*", "ESC11 CORP-CA*", "ESC16 CORP-CA*", "ESC6 CORP-CA*", "ESC8 http://" + host + "/certsrv/*"}
		v := w.evaluate()
		w.same("dangers", dangers(v), all...)
		if f := unread(v, "ESC8"); len(f) != 1 || !strings.Contains(f[0], "https://"+host+" could not be judged: Its TLS certificate is not trusted") {
			t.Errorf("%q", f)
		}
		_, err := w.enroll.CreateTemplate(ctx, w.owner, w.input("Ours", "Ours"))
		refused(t, err, ra.Invalid, "ESC11", "And 2 more")

		// Neither the CA nor its pages nor the directory answer: nothing is forgotten.
		silent := must(net.Listen("tcp", "127.0.0.1:0"))(t) // takes connections and says nothing
		t.Cleanup(func() { silent.Close() })
		w.set(func() { w.away, w.web["80"] = true, silent.Addr().String() })
		v = w.evaluate()
		w.same("nobody answers", dangers(v), all...)
		p := v.Posture
		if p.LastError == "" || p.Attempts != 1 || !p.At.Equal(w.clock.Now().Add(time.Hour)) || len(p.Report.Templates) == 0 || len(unread(v, "ESC6")) != 1 || len(unread(v, "ESC1")) != 1 || len(unread(v, "ESC8")) != 1 {
			t.Errorf("%+v", p)
		}
		w.set(func() { w.away, w.web = false, map[string]string{} })
		w.same("pages are gone", dangers(w.evaluate()), all[:4]...)
		select {
		case v := <-logins:
			t.Errorf("a login was sent: %q", v)
		default:
		}

		// An authority without a directory is judged by what it tells.
		alone := w.define("Alone", nil)
		v = must(w.Evaluate(ctx, w.owner, alone.ID))(t)
		w.same("without a directory", dangers(v), "ESC11 CORP-CA*", "ESC16 CORP-CA*", "ESC6 CORP-CA*")
		if got := unread(v, "ESC1"); len(got) != 1 || !strings.Contains(got[0], "No directory is set") || v.Directory != nil || v.Posture.LastError != "" {
			t.Errorf("%q", got)
		}
	})
}

// unread gives the sentences of what could not be read for a condition.
func unread(v *posture.View, id string) (list []string) {
	for _, f := range v.Posture.Report.Findings {
		if f.Condition == id && f.State == ra.FindingUnreadable {
			list = append(list, f.Sentence)
		}
	}
	return list
}

// TestDaily: every authority that is guarded is looked at soon after it was defined
// or changed and daily after that, by one job; what waits too long is told once.
func TestDaily(t *testing.T) {
	each(t, played.Config{}, func(w *world) {
		t, ctx := w.t, w.t.Context()
		must(w.Authorities.Create(ctx, w.owner, "embedded", authority.Input{GroupID: &w.group.ID, Name: ptr("Inner"), Settings: []byte("{}")}))(t)
		seen := func() time.Time {
			t.Helper()
			return must(w.Get(ctx, w.viewer, w.authority.ID))(t).Posture.Evaluated
		}
		// plan says whether a look was due, and takes it as the job does.
		plan := func() bool {
			t.Helper()
			if err := w.Plan(ctx, posture.PlanJob{}); err != nil {
				t.Fatal(err)
			}
			before := seen()
			w.clock.Advance(time.Second)
			if err := w.Work(ctx, posture.EvaluateJob{Authority: w.authority.ID}); err != nil {
				t.Fatal(err)
			}
			return !seen().Equal(before)
		}
		if !seen().IsZero() || !plan() || plan() {
			t.Error("a new authority is looked at once")
		}
		w.clock.Advance(23 * time.Hour)
		if plan() {
			t.Error("it is looked at too often")
		}
		w.clock.Advance(time.Hour)
		if !plan() || plan() {
			t.Error("it is looked at daily")
		}
		must(w.Authorities.Update(ctx, w.owner, w.authority.ID, authority.Input{Description: ptr("changed")}))(t)
		if !plan() || plan() {
			t.Error("it is looked at after a change")
		}
		must(w.Authorities.Update(ctx, w.owner, w.authority.ID, authority.Input{Disabled: ptr(true)}))(t)
		w.clock.Advance(25 * time.Hour)
		if plan() || len(w.waiting()) != 0 {
			t.Error("one that is switched off is not looked at, and nobody waits for it")
		}
		must(w.Authorities.Update(ctx, w.owner, w.authority.ID, authority.Input{Disabled: ptr(false)}))(t)
		if !plan() || len(w.waiting()) != 1 {
			t.Error("one that is switched on again is")
		}
		w.same("told", w.trail("posture."), "posture.evaluated")

		w.clock.Advance(8 * 24 * time.Hour)
		for range 2 {
			if err := w.Plan(ctx, posture.PlanJob{}); err != nil {
				t.Fatal(err)
			}
		}
		w.same("told once", slices.DeleteFunc(w.trail(""), func(code string) bool { return !strings.HasSuffix(code, ".overdue") }), "posture.overdue", "danger.overdue")
		if waits := w.waiting(); len(waits) != 1 || waits[0].Escalated.IsZero() || !waits[0].Late(w.clock.Now()) {
			t.Errorf("%+v", waits)
		}
		// And the queue takes it.
		before := seen()
		if err := w.Queue.Start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Queue.Stop(context.Background()) })
		for deadline := time.Now().Add(time.Minute); seen().Equal(before); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("nobody looked")
			}
		}
	})
}

// TestAtOnce: looks that end at the same time tell of each danger once.
func TestAtOnce(t *testing.T) {
	each(t, played.Config{}, func(w *world) {
		var looks sync.WaitGroup
		for range 4 {
			looks.Go(func() {
				if _, err := w.Evaluate(w.t.Context(), w.owner, w.authority.ID); err != nil {
					w.t.Error(err)
				}
			})
		}
		looks.Wait()
		w.same("told", w.trail("danger."), "danger.found")
	})
}

// TestPicker: templates say what they require and why they cannot be chosen, also
// while the CA does not answer; the script is for one of them.
func TestPicker(t *testing.T) {
	each(t, played.Config{}, func(w *world) {
		t, ctx := w.t, w.t.Context()
		list := must(w.Catalog(ctx, w.viewer, w.authority.ID, "templates", nil))(t)
		if len(list) != 3 || len(list[0].Requires)+len(list[0].Obstacles) != 0 {
			t.Errorf("before a look: %+v", list)
		}
		w.evaluate()
		for range 2 {
			list = must(w.Catalog(ctx, w.viewer, w.authority.ID, "templates", nil))(t)
			got := map[string]ca.Profile{}
			for _, p := range list {
				got[p.ID] = p
			}
			supply, ours, archive := got["Supply"], got["Ours"], got["Archive"]
			if len(got) != 3 || supply.Title != "Supply shown" || len(supply.Obstacles) != 1 || !strings.HasPrefix(supply.Obstacles[0], "ESC1: ") ||
				len(ours.Obstacles) != 0 || !slices.Contains(ours.Requires, "The key is 2048 bits or more.") || !slices.Contains(ours.Requires, "Subject and alternative names are supplied in the request.") ||
				len(archive.Obstacles) != 1 || !strings.Contains(archive.Obstacles[0], "archived") || !slices.ContainsFunc(archive.Requires, func(s string) bool { return strings.HasSuffix(s, " may not enrol from it yet.") }) {
				t.Errorf("%+v", list)
			}
			w.set(func() { w.away = true })
		}
		w.set(func() { w.away = false })
		script := must(w.Script(ctx, w.owner, w.authority.ID, "Supply", true))(t)
		for _, want := range []string{"Remove-Enroll '" + w.users + "'", "Add-Enroll '" + w.account + "'", "Least rights"} {
			if !strings.Contains(script, want) {
				t.Errorf("%q is not in\n%s", want, script)
			}
		}
		_, err := w.Script(ctx, w.owner, w.authority.ID, "Nope", false)
		refused(t, err, ra.NotFound)
		_, err = w.Script(ctx, w.viewer, w.authority.ID, "Supply", false)
		refused(t, err, ra.Denied)
	})
}

// TestConnection: a test of the connection ends with a look; who names a directory
// must be allowed to edit it; an authority takes its posture along when it goes.
func TestConnection(t *testing.T) {
	each(t, played.Config{}, func(w *world) {
		t, ctx := w.t, w.t.Context()
		var last ca.Step
		if err := w.Authorities.Test(ctx, w.owner, w.authority.ID, func(s ca.Step) { last = s }); err != nil {
			t.Fatal(err)
		}
		if last.Name != "guard" || last.State != ca.StepWarning || !strings.Contains(last.Detail, "1 open: ESC1 Supply") || last.Remedy == "" {
			t.Errorf("%+v", last)
		}
		_, err := w.Evaluate(ctx, w.viewer, w.authority.ID)
		refused(t, err, ra.Denied)
		inner := must(w.Authorities.Create(ctx, w.owner, "embedded", authority.Input{GroupID: &w.group.ID, Name: ptr("Inner"), Settings: []byte("{}")}))(t)
		_, err = w.Get(ctx, w.owner, inner.ID)
		refused(t, err, ra.Invalid, "Microsoft AD CS")
		if w.Guarded(ctx, inner.ID) || !w.Guarded(ctx, w.authority.ID) {
			t.Error("what is guarded")
		}
		_, err = w.Authorities.Update(ctx, w.owner, w.authority.ID, authority.Input{Settings: text(map[string]any{"directory": "dir_none"})})
		refused(t, err, ra.Invalid, "settings.directory")
		if err := w.Authorities.Delete(ctx, w.owner, w.authority.ID); err != nil {
			t.Fatal(err)
		}
		w.read(func(tx *store.Tx) error {
			_, err := tx.Posture(w.authority.ID)
			refused(t, err, ra.NotFound)
			return nil
		})
		if err := w.Work(ctx, posture.EvaluateJob{Authority: w.authority.ID}); err != nil {
			t.Error(err)
		}
	})
}
