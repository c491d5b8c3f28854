package directory_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"chancery/internal/directory"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestTakeOver(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann", "bob", "cid")
		w.samba.Set(w.dn("cid"), "userAccountControl", "546")
		w.samba.Set(w.dn("ann"), "telephoneNumber", "+49 30 1")
		w.samba.Add("CN="+w.name("dev")+","+w.unit, "objectClass", "computer", "sAMAccountName", w.name("dev")+"$")
		d := w.define(nil)

		preview := w.sync(d, directory.Order{Preview: true})
		w.done(preview, "done: 3 new, 0 changed, 0 disabled, 0 enabled, 0 skipped")
		if w.user("ann") != nil {
			t.Fatal("a preview took somebody over")
		}
		run := w.sync(d, directory.Order{})
		w.done(run, "done: 3 new, 0 changed, 0 disabled, 0 enabled, 0 skipped")
		if !run.Full || run.Server != w.samba.Host || run.Total != 3 || run.Read != 3 || run.StartedAt.IsZero() || run.EndedAt.IsZero() || run.By.Name != "owner" {
			t.Errorf("the run: %+v", run)
		}
		ann, cid := w.user("ann"), w.user("cid")
		if ann.Email != w.name("ann")+"@corp.example" || ann.UPN != ann.Email || ann.FirstName != "ann" || ann.LastName != "Doe" || ann.DisplayName != "ann Doe" ||
			ann.DN != w.dn("ann") || !strings.HasPrefix(ann.SID, "S-1-5-21-") || ann.Directory != d.ID || ann.Disabled ||
			!maps.Equal(ann.Attributes, map[string]string{"department": "Sales", "phone_number": "+49 30 1"}) {
			t.Errorf("ann: %+v", ann)
		}
		if !cid.Disabled || cid.Absence != ra.DisabledOff {
			t.Errorf("cid: %+v", cid)
		}

		// Nothing changed: nothing is read.
		run = w.sync(d, directory.Order{})
		w.done(run, "done: 0 new, 0 changed, 0 disabled, 0 enabled, 0 skipped")
		if run.Full || run.Read != 0 {
			t.Errorf("the second run: %+v", run)
		}

		// What changed is read, and nobody else: renamed, disabled, enabled, new, gone.
		w.samba.Rename(w.dn("ann"), "CN="+w.name("anna"), w.unit)
		w.samba.Set(w.dn("anna"), "sAMAccountName", w.name("anna"))
		w.samba.Set(w.dn("cid"), "userAccountControl", "544")
		w.samba.Delete(w.dn("bob"))
		w.add("dan")
		run = w.sync(d, directory.Order{})
		w.done(run, "done: 1 new, 2 changed, 1 disabled, 1 enabled, 0 skipped")
		if run.Full || run.Read != 3 {
			t.Errorf("the third run: %+v", run)
		}
		anna, bob := w.user("anna"), w.user("bob")
		if anna == nil || anna.ID != ann.ID || w.user("ann") != nil || anna.DN != w.dn("anna") {
			t.Errorf("anna: %+v", anna)
		}
		if !bob.Disabled || bob.Absence != ra.Gone || w.user("cid").Disabled {
			t.Errorf("bob: %+v", bob)
		}

		// Somebody new under an old name is somebody else.
		w.add("bob")
		w.done(w.sync(d, directory.Order{}), "done: 1 new, 0 changed, 0 disabled, 0 enabled, 0 skipped")
		again := w.user("bob")
		if again.ID == bob.ID || again.SID == bob.SID || again.Disabled {
			t.Errorf("bob again: %+v", again)
		}
		former, err := w.inv.User(t.Context(), w.owner, bob.ID)
		if err != nil || !former.Disabled || former.Name != w.name("bob")+" ("+bob.ObjectGUID[:8]+")" {
			t.Errorf("the former bob: %+v, %v", former, err)
		}

		// Two who changed their names with each other.
		w.samba.Set(w.dn("cid"), "userPrincipalName", "c"+w.name("cid")+"@corp.example")
		w.samba.Set(w.dn("dan"), "userPrincipalName", "d"+w.name("dan")+"@corp.example")
		w.samba.Set(w.dn("cid"), "sAMAccountName", w.name("tmp"))
		w.samba.Set(w.dn("dan"), "sAMAccountName", w.name("cid"))
		w.samba.Set(w.dn("cid"), "sAMAccountName", w.name("dan"))
		first, second := w.user("cid").ID, w.user("dan").ID
		if run = w.sync(d, directory.Order{}); run.State != ra.SyncDone || run.Skipped != 0 {
			t.Errorf("%+v", run)
		}
		if w.user("dan").ID != first || w.user("cid").ID != second {
			t.Error("the names were not changed with each other")
		}
		if got := w.trail("directory."); !slices.Equal(got, []string{"directory.created", "directory.synced", "directory.synced", "directory.synced", "directory.synced", "directory.synced"}) {
			t.Errorf("the audit log has %v", got)
		}
	})
}

func TestScopes(t *testing.T) {
	each(t, func(w *world) {
		w.add("in", "nested", "out", "sales")
		w.samba.Set(w.dn("sales"), "department", "Support")
		group := func(short string, members ...string) string {
			dn := "CN=" + w.prefix + short + "," + w.unit
			attributes := []string{"objectClass", "group", "sAMAccountName", w.prefix + short}
			for _, m := range members {
				attributes = append(attributes, "member", m)
			}
			w.samba.Add(dn, attributes...)
			return dn
		}
		inner := group("inner", w.dn("nested"))
		outer := group("outer", inner, w.dn("in"), w.dn("sales"))
		vpn := group("vpn (all)", w.dn("in"))
		d := w.define(map[string]any{"only_group": outer, "filter": "(department=Sales)", "groups": []string{vpn, inner}, "attributes": []string{"team=department", "custom_1=sn"}})
		w.done(w.sync(d, directory.Order{}), "done: 2 new, 0 changed, 0 disabled, 0 enabled, 0 skipped")
		if w.user("out") != nil || w.user("sales") != nil {
			t.Error("somebody outside was taken over")
		}
		if a := w.user("in").Attributes; !maps.Equal(a, map[string]string{"team": "Sales", "custom_1": "Doe", "groups": w.prefix + "vpn (all)"}) {
			t.Errorf("in has %v", a)
		}
		if a := w.user("nested").Attributes["groups"]; a != w.prefix+"inner" {
			t.Errorf("nested is in %q", a)
		}

		// A change of groups is no change of the user, and is seen all the same.
		w.samba.Set(vpn, "member", w.dn("nested"))
		w.done(w.sync(d, directory.Order{}), "done: 0 new, 2 changed, 0 disabled, 0 enabled, 0 skipped")
		if in, nested := w.user("in").Attributes["groups"], w.user("nested").Attributes["groups"]; in != "" || nested != w.prefix+"vpn (all); "+w.prefix+"inner" {
			t.Errorf("after the change in is in %q, nested in %q", in, nested)
		}
		w.samba.Set(outer, "member", inner, w.dn("out"))
		run := w.sync(d, directory.Order{})
		w.done(run, "done: 1 new, 0 changed, 1 disabled, 0 enabled, 0 skipped")
		if run.Full || w.user("in").Absence != ra.Gone || w.user("out") == nil {
			t.Errorf("the group is not followed: %+v", run)
		}
		w.samba.Set(outer, "member", inner, w.dn("out"), w.dn("in"))
		w.done(w.sync(d, directory.Order{}), "done: 0 new, 1 changed, 0 disabled, 1 enabled, 0 skipped")

		// Other settings: everybody is read.
		if _, err := w.Update(t.Context(), w.owner, d.ID, directory.Input{Settings: []byte(`{"filter":"","attributes":["team=department"]}`)}); err != nil {
			t.Fatal(err)
		}
		run = w.sync(d, directory.Order{})
		if !run.Full || run.Total != 3 || len(run.Notes) != 1 {
			t.Errorf("after a change of settings: %+v", run)
		}
	})
}

func TestPeopleHere(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann", "bob", "cid")
		mine, err := w.inv.CreateUser(t.Context(), w.owner, inventory.UserInput{GroupID: &w.group.ID, Name: ptr(w.name("ANN")), Attributes: map[string]string{"badge": "7"}})
		if err != nil {
			t.Fatal(err)
		}
		d := w.define(nil)
		w.samba.Set(w.dn("bob"), "mail", "not an address")
		run := w.sync(d, directory.Order{})
		w.done(run, "done: 2 new, 1 changed, 0 disabled, 0 enabled, 0 skipped")
		if ann := w.user("ann"); ann.ID != mine.ID || ann.Directory != d.ID || ann.Attributes["badge"] != "7" || ann.Attributes["department"] != "Sales" {
			t.Errorf("who was entered here is not found again: %+v", ann)
		}
		if len(run.Problems) != 1 || run.Problems[0].User != w.name("bob") || w.user("bob").Email != "" {
			t.Errorf("a value that is not allowed: %+v", run.Problems)
		}

		// Who was disabled here stays so; who was moved stays there.
		if _, err := w.inv.UpdateUser(t.Context(), w.owner, w.user("cid").ID, inventory.UserInput{Disabled: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		sub, err := w.inv.CreateGroup(t.Context(), w.owner, inventory.GroupInput{ParentID: &w.group.ID, Name: ptr("Sub")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.inv.UpdateUser(t.Context(), w.owner, mine.ID, inventory.UserInput{GroupID: &sub.ID}); err != nil {
			t.Fatal(err)
		}
		w.samba.Set(w.dn("cid"), "sn", "Roe")
		w.samba.Set(w.dn("ann"), "sn", "Roe")
		w.done(w.sync(d, directory.Order{Full: true}), "done: 0 new, 2 changed, 0 disabled, 0 enabled, 0 skipped")
		if cid := w.user("cid"); !cid.Disabled || cid.Absence != ra.Present || cid.LastName != "Roe" {
			t.Errorf("cid: %+v", cid)
		}
		if ann, err := w.inv.User(t.Context(), w.owner, mine.ID); err != nil || ann.GroupID != sub.ID || ann.LastName != "Roe" {
			t.Errorf("ann: %+v, %v", ann, err)
		}

		// Two directories do not take users from each other.
		other, err := w.Create(t.Context(), w.owner, directory.Input{GroupID: &w.group.ID, Name: ptr("Again"), Settings: w.settings(nil)})
		if err != nil {
			t.Fatal(err)
		}
		run = w.sync(other, directory.Order{})
		w.done(run, "done: 1 new, 0 changed, 0 disabled, 0 enabled, 2 skipped")
		if len(run.Problems) != 2 || run.Problems[0].Remedy == "" {
			t.Errorf("the problems: %+v", run.Problems)
		}
		// They are tried again, although nothing about them changed.
		if run = w.sync(other, directory.Order{}); run.Skipped != 2 {
			t.Errorf("who was skipped is forgotten: %+v", run)
		}
		if err := w.Delete(t.Context(), w.owner, d.ID); err != nil {
			t.Fatal(err)
		}
		if bob := w.user("bob"); bob.Directory != "" {
			t.Errorf("bob without the directory: %+v", bob)
		}
		w.done(w.sync(other, directory.Order{}), "done: 0 new, 2 changed, 0 disabled, 0 enabled, 0 skipped")
	})
}

func TestSafetyStop(t *testing.T) {
	each(t, func(w *world) {
		var shorts []string
		for i := range 12 {
			shorts = append(shorts, string(rune('a'+i)))
		}
		w.add(shorts...)
		d := w.define(nil)
		w.done(w.sync(d, directory.Order{}), "done: 12 new, 0 changed, 0 disabled, 0 enabled, 0 skipped")
		for _, s := range shorts[:3] {
			w.samba.Delete(w.dn(s))
		}
		w.samba.Set(w.dn("d"), "userAccountControl", "546")
		w.samba.Set(w.dn("e"), "userAccountControl", "546")
		w.samba.Set(w.dn("f"), "userAccountControl", "546")
		w.done(w.sync(d, directory.Order{Preview: true}), "done: 0 new, 3 changed, 6 disabled, 0 enabled, 0 skipped")
		run := w.sync(d, directory.Order{})
		w.done(run, "held: 0 new, 0 changed, 6 disabled, 0 enabled, 0 skipped")
		if !strings.Contains(run.Message, "6 of 12 users") || !strings.Contains(run.Remedy, "6 users") || w.user("a").Disabled {
			t.Errorf("the held run: %+v", run)
		}
		_, state, err := w.Get(t.Context(), w.viewer, d.ID)
		if err != nil || state.Attempts != 1 || !strings.Contains(state.LastError, "6 of 12") {
			t.Errorf("the state: %+v, %v", state, err)
		}
		if run = w.sync(d, directory.Order{Allow: 5}); run.State != ra.SyncHeld {
			t.Errorf("with fewer allowed: %s", run.State)
		}
		w.done(w.sync(d, directory.Order{Allow: 6}), "done: 0 new, 3 changed, 6 disabled, 0 enabled, 0 skipped")
		if !w.user("a").Disabled || !w.user("f").Disabled || w.user("g").Disabled {
			t.Error("the wrong users are disabled")
		}
		// Up to five are no reason to ask.
		w.samba.Delete(w.dn("g"))
		w.done(w.sync(d, directory.Order{}), "done: 0 new, 0 changed, 1 disabled, 0 enabled, 0 skipped")
		if got := w.trail("directory."); !slices.Equal(got, []string{"directory.created", "directory.synced", "directory.held", "directory.synced", "directory.synced"}) {
			t.Errorf("the audit log has %v", got)
		}
	})
}

// TestInterrupted: a run that was cut off at any step and begins again ends as
// if it had not been.
func TestInterrupted(t *testing.T) {
	each(t, func(w *world) {
		var shorts []string
		for i := range 8 {
			shorts = append(shorts, string(rune('a'+i)))
		}
		w.add(shorts...)
		d := w.define(nil)
		for _, label := range []string{directory.StepSyncRead, directory.StepSyncApply, directory.StepSyncEnd} {
			w.samba.Set(w.dn("a"), "sn", label)
			run, err := w.Sync(t.Context(), w.owner, d.ID, directory.Order{})
			if err != nil {
				t.Fatal(err)
			}
			w.Step = func(l string) {
				if l == label {
					panic(label)
				}
			}
			func() {
				defer func() {
					if recover() != label {
						t.Errorf("%s is not a step of the run", label)
					}
				}()
				w.WorkSync(t.Context(), directory.SyncJob{Directory: d.ID})
			}()
			w.Step = nil
			if run = w.work(run); run.State != ra.SyncDone {
				t.Errorf("after %s: %+v", label, run)
			}
			if got := w.user("a").LastName; got != label {
				t.Errorf("after %s the name is %q", label, got)
			}
		}
		list, _, err := w.inv.FindUsers(t.Context(), w.owner, store.UserFilter{})
		if err != nil || len(list) != 8 {
			t.Errorf("%d users: %v", len(list), err)
		}
	})
}

// TestPlanned: runs come by themselves, a failure is told once, and a directory
// that is not taken over for long is told as late.
func TestPlanned(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann")
		d := w.define(map[string]any{"interval": "1h"})
		plan := func() []*ra.Sync {
			t.Helper()
			if err := w.Plan(t.Context(), directory.PlanJob{}); err != nil {
				t.Fatal(err)
			}
			if err := w.WorkSync(t.Context(), directory.SyncJob{Directory: d.ID}); err != nil {
				t.Fatal(err)
			}
			runs, _, err := w.Runs(t.Context(), w.viewer, d.ID, store.Page{})
			if err != nil {
				t.Fatal(err)
			}
			return runs
		}
		if runs := plan(); len(runs) != 1 || runs[0].State != ra.SyncDone || runs[0].By.Kind != ra.ActorSystem {
			t.Errorf("the first runs: %+v", runs)
		}
		if runs := plan(); len(runs) != 1 {
			t.Errorf("%d runs before the interval is over", len(runs))
		}
		w.clock.Advance(time.Hour)
		if runs := plan(); len(runs) != 2 {
			t.Errorf("%d runs after the interval", len(runs))
		}
		if _, err := w.Update(t.Context(), w.owner, d.ID, directory.Input{Settings: []byte(`{"password":"wrong"}`)}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			plan()
			w.clock.Advance(time.Hour)
		}
		_, state, err := w.Get(t.Context(), w.viewer, d.ID)
		if err != nil || state.Attempts != 3 || !strings.Contains(state.LastError, "did not accept the password") || state.SyncedAt.IsZero() || state.Users != 1 {
			t.Errorf("the state: %+v, %v", state, err)
		}
		w.clock.Advance(24 * time.Hour)
		plan()
		plan()
		var waiting []ra.ObligationRow
		if err := w.DB.Read(t.Context(), func(tx *store.Tx) (err error) {
			waiting, _, err = tx.FindObligations(store.ObligationFilter{Groups: []ra.GroupID{w.group.ID}})
			return err
		}); err != nil || len(waiting) != 1 || waiting[0].Kind != "directory" || waiting[0].ID != string(d.ID) || waiting[0].Title != "Corp" || waiting[0].Action != ra.ActionSync {
			t.Errorf("what waits: %+v, %v", waiting, err)
		}
		if got := w.trail("directory."); !slices.Equal(got, []string{"directory.created", "directory.synced", "directory.changed", "directory.failed", "directory.overdue"}) {
			t.Errorf("the audit log has %v", got)
		}

		// Switched off, it owes nothing and takes no orders.
		if _, err := w.Update(t.Context(), w.owner, d.ID, directory.Input{Disabled: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		n := len(plan())
		w.clock.Advance(48 * time.Hour)
		if len(plan()) != n {
			t.Error("a directory that is switched off is asked")
		}
		_, err = w.Sync(t.Context(), w.owner, d.ID, directory.Order{})
		refused(t, err, ra.Conflict)
		w.clock.Advance(60 * 24 * time.Hour)
		if err := w.Tidy(t.Context(), directory.TidyJob{}); err != nil || len(plan()) != 0 {
			t.Errorf("old runs are kept: %v", err)
		}
	})
}
