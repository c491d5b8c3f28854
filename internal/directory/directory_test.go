package directory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"chancery/internal/ca"
	"chancery/internal/directory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestDirectories(t *testing.T) {
	each(t, func(w *world) {
		ctx := t.Context()
		d := w.define(nil)
		if strings.Contains(string(d.Settings), w.samba.Password) {
			t.Error("the password is in the settings")
		}
		_, err := w.Create(ctx, w.viewer, directory.Input{GroupID: &w.group.ID, Name: ptr("Other"), Settings: w.settings(nil)})
		refused(t, err, ra.Denied)
		_, err = w.Create(ctx, w.owner, directory.Input{GroupID: &w.group.ID, Name: ptr("CORP"), Settings: w.settings(nil)})
		refused(t, err, ra.Conflict)
		for _, bad := range []string{`{"base":"Staff"}`, `{"filter":"a=b"}`, `{"attributes":["groups=memberOf"]}`, `{"attributes":["a=b","a=c"]}`, `{"attributes":["a"]}`,
			`{"groups":["VPN"]}`, `{"login":"kerberos"}`, `{"login":"kerberos","realm":"CORP.EXAMPLE","keytab":"?"}`, `{"servers":[]}`, `{"at_issue":"never"}`, `{"who":1}`} {
			if _, err := w.Update(ctx, w.owner, d.ID, directory.Input{Settings: []byte(bad)}); ra.KindOf(err) != ra.Invalid || ra.AsError(err).Remedy == "" {
				t.Errorf("%s: %v", bad, err)
			}
		}
		_, err = w.Update(ctx, w.viewer, d.ID, directory.Input{Name: ptr("Mine")})
		refused(t, err, ra.Denied)
		_, err = w.Update(ctx, w.owner, d.ID, directory.Input{Name: ptr("Mine"), Seen: d.UpdatedAt.Add(-1)})
		refused(t, err, ra.Conflict)
		after, err := w.Update(ctx, w.owner, d.ID, directory.Input{Name: ptr("Company"), Seen: d.UpdatedAt, Settings: []byte(`{"password":"changed"}`)})
		if err != nil || after.Name != "Company" {
			t.Fatalf("%+v, %v", after, err)
		}
		var details string
		if err := w.DB.Read(ctx, func(tx *store.Tx) error {
			list, _, err := tx.Audit(store.AuditFilter{})
			details = fmt.Sprintf("%s", list[0].Details)
			return err
		}); err != nil || !strings.Contains(details, "settings.password") || strings.Contains(details, `"changed"`) {
			t.Errorf("the audit entry says %s (%v)", details, err)
		}
		list, _, err := w.Find(ctx, w.viewer, store.DirectoryFilter{Text: "comp"})
		if err != nil || len(list) != 1 || list[0].ID != d.ID {
			t.Errorf("found %v, %v", list, err)
		}
		stranger := ra.Actor{Kind: ra.ActorAdmin, ID: "adm_x", Grants: []ra.Grant{{Role: ra.RoleOwner, Group: w.other.ID, Path: w.other.Path}}}
		if list, _, err := w.Find(ctx, stranger, store.DirectoryFilter{}); err != nil || len(list) != 0 {
			t.Errorf("a stranger finds %v, %v", list, err)
		}
		_, _, err = w.Get(ctx, stranger, d.ID)
		refused(t, err, ra.NotFound)
		_, err = w.Sync(ctx, stranger, d.ID, directory.Order{})
		refused(t, err, ra.NotFound)
		_, err = w.Sync(ctx, w.viewer, d.ID, directory.Order{})
		refused(t, err, ra.Denied)
		first, err := w.Sync(ctx, w.owner, d.ID, directory.Order{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.Sync(ctx, w.owner, d.ID, directory.Order{Full: true}); err != nil || again.ID != first.ID {
			t.Errorf("the same wish again gives run %v, %v; want %s", again, err, first.ID)
		}
		_, err = w.Run(ctx, stranger, first.ID)
		refused(t, err, ra.NotFound)
		_, _, err = w.Runs(ctx, stranger, d.ID, store.Page{})
		refused(t, err, ra.NotFound)
		refused(t, w.inv.DeleteGroup(ctx, w.owner, w.group.ID), ra.Conflict)
		refused(t, w.Delete(ctx, w.viewer, d.ID), ra.Denied)
		if err := w.Delete(ctx, w.owner, d.ID); err != nil {
			t.Error(err)
		}
		_, _, err = w.Get(ctx, w.owner, d.ID)
		refused(t, err, ra.NotFound)
	})
}

func TestConnectionTest(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann", "bob")
		d := w.define(nil)
		steps := func(run func(context.Context, func(ca.Step)) error) string {
			t.Helper()
			var out []string
			if err := run(t.Context(), func(s ca.Step) {
				out = append(out, s.Name+" "+string(s.State))
				if s.State == ca.StepFailed && (s.Detail == "" || s.Remedy == "") {
					t.Errorf("the step says %+v", s)
				}
			}); err != nil {
				t.Fatal(err)
			}
			return strings.Join(out, ", ")
		}
		stored := func(ctx context.Context, report func(ca.Step)) error { return w.Test(ctx, w.owner, d.ID, report) }
		with := func(settings map[string]any) func(context.Context, func(ca.Step)) error {
			return func(ctx context.Context, report func(ca.Step)) error {
				b, err := json.Marshal(settings)
				if err != nil {
					return err
				}
				return w.TestSettings(ctx, w.owner, d.ID, "", b, report)
			}
		}
		for _, tt := range []struct {
			run  func(context.Context, func(ca.Step)) error
			want string
		}{
			{stored, "Connection and TLS ok, Login ok, Active Directory ok, Base ok, Groups ok, Users ok"},
			{with(map[string]any{"roots": ""}), "Connection and TLS failed, Login skipped, Active Directory skipped, Base skipped, Groups skipped, Users skipped"},
			{with(map[string]any{"password": "wrong"}), "Connection and TLS ok, Login failed, Active Directory skipped, Base skipped, Groups skipped, Users skipped"},
			{with(map[string]any{"base": "OU=none," + w.samba.BaseDN}), "Connection and TLS ok, Login ok, Active Directory ok, Base failed, Groups skipped, Users skipped"},
			{with(map[string]any{"only_group": "CN=none," + w.samba.BaseDN}), "Connection and TLS ok, Login ok, Active Directory ok, Base ok, Groups failed, Users skipped"},
			{with(map[string]any{"filter": "(department=none)"}), "Connection and TLS ok, Login ok, Active Directory ok, Base ok, Groups ok, Users warning"},
		} {
			if got := steps(tt.run); got != tt.want {
				t.Errorf("the steps are %s\nwant %s", got, tt.want)
			}
		}
		new := func(ctx context.Context, report func(ca.Step)) error {
			return w.TestSettings(ctx, w.owner, "", w.group.ID, w.settings(nil), report)
		}
		if got := steps(new); !strings.HasSuffix(got, "Users ok") {
			t.Errorf("settings that are not stored: %s", got)
		}
		refused(t, w.TestSettings(t.Context(), w.viewer, "", w.group.ID, w.settings(nil), func(ca.Step) {}), ra.Denied)
		refused(t, w.TestSettings(t.Context(), w.owner, "", w.group.ID, []byte(`{}`), func(ca.Step) {}), ra.Invalid)
		refused(t, w.Test(t.Context(), w.viewer, d.ID, func(ca.Step) {}), ra.Denied)
		if got := w.trail("directory.tested"); len(got) != 1 {
			t.Errorf("%d tests are in the audit log", len(got))
		}
	})
}
