package signin

import (
	"net/http"
	"testing"
	"time"

	"chancery/internal/ra"
	"chancery/internal/secret"
)

// TestLinkEndsWithAChange: a link made for somebody is of no use once they are
// not what they were, or a thief of it was to be shut out.
func TestLinkEndsWithAChange(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		update := func(in AdminInput) func(*ra.Admin) error {
			return func(a *ra.Admin) error { _, err := w.UpdateAdmin(ctx, w.owner, a.ID, in); return err }
		}
		for name, c := range map[string]struct {
			change func(*ra.Admin) error
			want   ra.Kind
		}{
			"nothing":          {func(*ra.Admin) error { return nil }, ""},
			"the display name": {update(AdminInput{DisplayName: ptr("Jane of Sales")}), ""},
			"a new name":       {update(AdminInput{Name: ptr("jane elsewhere")}), ra.Unsigned},
			"another address":  {update(AdminInput{Email: ptr("jane@example.org")}), ra.Unsigned},
			"more rights":      {update(AdminInput{Grants: &[]ra.Grant{{Role: ra.RoleOwner}}}), ra.Unsigned},
			"a password":       {update(AdminInput{Password: ptr(secret.New("another long password"))}), ra.Unsigned},
			"a reset":          {update(AdminInput{Password: &secret.Text{}}), ra.Unsigned},
			"off and on again": {func(a *ra.Admin) error {
				if err := update(AdminInput{Disabled: ptr(true)})(a); err != nil {
					return err
				}
				return update(AdminInput{Disabled: ptr(false)})(a)
			}, ra.Unsigned},
			"their own new password": {func(a *ra.Admin) error {
				_, err := w.ChangePassword(ctx, w.actor(a), secret.New(good), secret.New("another long password"))
				return err
			}, ra.Unsigned},
			"somebody else": {func(*ra.Admin) error {
				return update(AdminInput{Grants: &[]ra.Grant{{Role: ra.RoleViewer, Group: w.a.ID}}})(w.admin("bob of all this", ra.Grant{Role: ra.RoleViewer}))
			}, ""},
		} {
			jane := w.admin("jane "+name, ra.Grant{Role: ra.RoleViewer})
			link := must(w.CreateLink(ctx, w.owner, jane.ID, time.Hour))(w.t)
			if err := c.change(jane); err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
			_, err := w.UseLink(ctx, link, "192.0.2.1")
			wantKind(w.t, name, err, c.want)
		}
	})
}

// TestSessionEndsWithAChange: also that of somebody who has no password.
func TestSessionEndsWithAChange(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		jane := must(w.CreateAdmin(ctx, w.owner, AdminInput{Name: ptr("jane"), Grants: &[]ra.Grant{{Role: ra.RoleViewer}}}))(w.t)
		m := w.Sessions()
		mux := http.NewServeMux()
		mux.HandleFunc("/in", func(rw http.ResponseWriter, r *http.Request) {
			if err := w.StartSession(r.Context(), m, jane); err != nil {
				w.t.Error(err)
			}
		})
		mux.HandleFunc("/me", func(rw http.ResponseWriter, r *http.Request) {
			if _, err := w.SessionActor(r.Context(), m, "192.0.2.1"); err != nil {
				wantKind(w.t, "the session", err, ra.Unsigned)
				rw.WriteHeader(http.StatusUnauthorized)
			}
		})
		for name, c := range map[string]struct {
			change func() error
			want   int
		}{
			"nothing": {func() error { return nil }, 200},
			"the display name": {func() error {
				_, err := w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{DisplayName: ptr("Jane")})
				return err
			}, 200},
			"a passkey added": {func() error { w.newPasskey(jane, "laptop"); return nil }, 200},
			"a passkey removed": {func() error {
				w.newPasskey(jane, "key ring")
				for _, p := range must(w.Passkeys(ctx, w.owner, jane.ID))(w.t) {
					if err := w.RemovePasskey(ctx, w.owner, jane.ID, p.ID); err != nil {
						return err
					}
				}
				return nil
			}, 401},
			"a reset": {func() error {
				_, err := w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Password: &secret.Text{}})
				return err
			}, 401},
			"off and on again": {func() error {
				if _, err := w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Disabled: ptr(true)}); err != nil {
					return err
				}
				_, err := w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Disabled: ptr(false)})
				return err
			}, 401},
		} {
			b := &browser{w: w, handler: m.LoadAndSave(mux)}
			same(w.t, name+": in", b.get("/in"), 200)
			same(w.t, name+": before", b.get("/me"), 200)
			if err := c.change(); err != nil {
				w.t.Fatalf("%s: %v", name, err)
			}
			same(w.t, name+": after", b.get("/me"), c.want)
		}
	})
}
