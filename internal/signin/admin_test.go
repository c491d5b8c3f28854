package signin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/secret"
	"chancery/internal/store"
)

// TestRights tries every act on an administrator or token of group A with every
// role: owners there and above may, all others there are Denied, and owners
// beside do not learn that anybody is there.
func TestRights(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		n := 0
		fresh := func() string { n++; return fmt.Sprint("name-", n) }
		inA := []ra.Grant{{Role: ra.RoleOperator, Group: w.a.ID}}
		someone := func() ra.AdminID { return w.admin(fresh(), inA...).ID }
		token := func() ra.TokenID {
			tok, _, err := w.CreateToken(ctx, w.owner, TokenInput{Name: fresh(), Grants: inA})
			return must(tok, err)(w.t).ID
		}
		for name, try := range map[string]func(a ra.Actor) error{
			"CreateAdmin": func(a ra.Actor) error {
				_, err := w.CreateAdmin(ctx, a, AdminInput{Name: ptr(fresh()), Grants: &inA})
				return err
			},
			"UpdateAdmin": func(a ra.Actor) error {
				_, err := w.UpdateAdmin(ctx, a, someone(), AdminInput{Disabled: ptr(true)})
				return err
			},
			"DeleteAdmin": func(a ra.Actor) error { return w.DeleteAdmin(ctx, a, someone()) },
			"Admin":       func(a ra.Actor) error { _, err := w.Admin(ctx, a, someone()); return err },
			"CreateLink":  func(a ra.Actor) error { _, err := w.CreateLink(ctx, a, someone(), 0); return err },
			"Passkeys":    func(a ra.Actor) error { _, err := w.Passkeys(ctx, a, someone()); return err },
			"CreateToken": func(a ra.Actor) error {
				_, _, err := w.CreateToken(ctx, a, TokenInput{Name: fresh(), Grants: inA})
				return err
			},
			"Token":       func(a ra.Actor) error { _, err := w.Token(ctx, a, token()); return err },
			"RevokeToken": func(a ra.Actor) error { return w.RevokeToken(ctx, a, token()) },
		} {
			for _, role := range ra.Roles {
				want, beside := ra.Denied, ra.Denied
				if slices.Contains(access.Permissions(role), access.EditAdmins) {
					want, beside = "", ra.NotFound
				}
				wantKind(w.t, fmt.Sprintf("%s as %s of the group", name, role), try(as(role, w.a)), want)
				wantKind(w.t, fmt.Sprintf("%s as %s of everything", name, role), try(as(role, nil)), want)
				wantKind(w.t, fmt.Sprintf("%s as %s beside", name, role), try(as(role, w.b)), beside)
			}
		}
		for _, role := range ra.Roles {
			_, _, err := w.FindAdmins(ctx, as(role, w.a), store.AdminFilter{})
			_, _, err2 := w.FindTokens(ctx, as(role, w.a), store.Page{})
			want := ra.Denied
			if role == ra.RoleOwner {
				want = ""
			}
			wantKind(w.t, "FindAdmins as "+string(role), err, want)
			wantKind(w.t, "FindTokens as "+string(role), err2, want)
		}
	})
}

func TestNobodyGrantsMoreThanTheyHave(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		ownerOfA := as(ra.RoleOwner, w.a)
		everywhere, elsewhere := []ra.Grant{{Role: ra.RoleViewer}}, []ra.Grant{{Role: ra.RoleViewer, Group: w.b.ID}}
		_, err := w.CreateAdmin(ctx, ownerOfA, AdminInput{Name: ptr("x"), Grants: &everywhere})
		wantKind(w.t, "a role everywhere", err, ra.Denied)
		_, err = w.CreateAdmin(ctx, ownerOfA, AdminInput{Name: ptr("x"), Grants: &elsewhere})
		wantKind(w.t, "a role elsewhere", err, ra.NotFound)
		_, err = w.CreateAdmin(ctx, ownerOfA, AdminInput{Name: ptr("x")})
		wantKind(w.t, "nothing at all", err, ra.Denied)
		seesB := ownerOfA
		seesB.Grants = append(slices.Clone(ownerOfA.Grants), ra.Grant{Role: ra.RoleViewer, Group: w.b.ID, Path: w.b.Path})
		_, err = w.CreateAdmin(ctx, seesB, AdminInput{Name: ptr("x"), Grants: &elsewhere})
		wantKind(w.t, "a role where one may only see", err, ra.Denied)
		a, err := w.CreateAdmin(ctx, ownerOfA, AdminInput{Name: ptr("x"), Grants: &[]ra.Grant{{Role: ra.RoleOwner, Group: w.a.ID}}})
		wantKind(w.t, "the same role", err, "")
		_, err = w.UpdateAdmin(ctx, ownerOfA, a.ID, AdminInput{Grants: &everywhere})
		wantKind(w.t, "a role everywhere afterwards", err, ra.Denied)
		_, err = w.UpdateAdmin(ctx, w.actor(a), a.ID, AdminInput{Grants: &[]ra.Grant{{Role: ra.RoleOwner}}})
		wantKind(w.t, "everything for oneself", err, ra.Denied)
		boss := w.admin("boss", ra.Grant{Role: ra.RoleOwner, Group: w.a.ID}, ra.Grant{Role: ra.RoleViewer, Group: w.b.ID})
		_, err = w.UpdateAdmin(ctx, ownerOfA, boss.ID, AdminInput{Password: ptr(secret.New(good))})
		wantKind(w.t, "the password of somebody with more", err, ra.NotFound)
		_, err = w.CreateLink(ctx, ownerOfA, boss.ID, 0)
		wantKind(w.t, "a link of somebody with more", err, ra.NotFound)
		for name, grants := range map[string][]ra.Grant{
			"an unknown role": {{Role: "root"}}, "twice": {{Role: ra.RoleViewer}, {Role: ra.RoleViewer}}, "too many": make([]ra.Grant, 101),
		} {
			_, err := w.CreateAdmin(ctx, w.owner, AdminInput{Name: ptr("y"), Grants: &grants})
			wantKind(w.t, name, err, ra.Invalid)
			_, _, err = w.CreateToken(ctx, w.owner, TokenInput{Name: "y", Grants: grants})
			wantKind(w.t, name+" for a token", err, ra.Invalid)
		}
		_, _, err = w.CreateToken(ctx, ownerOfA, TokenInput{Name: "y", Grants: everywhere})
		wantKind(w.t, "a token for everywhere", err, ra.Denied)
		// Who was granted a role in a group that is gone is for owners of everything.
		gone := w.admin("gone", ra.Grant{Role: ra.RoleViewer, Group: w.b.ID})
		if err := w.DB.Write(ctx, func(tx *store.Tx) error { return tx.DeleteGroup(w.b.ID) }); err != nil {
			w.t.Fatal(err)
		}
		_, err = w.Admin(ctx, ownerOfA, gone.ID)
		wantKind(w.t, "somebody of a group that is gone", err, ra.NotFound)
		_, err = w.Admin(ctx, w.owner, gone.ID)
		wantKind(w.t, "the same for the owner", err, "")
	})
}

func TestAdminsOfOneGroupPageByPage(t *testing.T) {
	each(t, func(w *world) {
		var want []string
		for i := range 9 {
			g := w.b
			if i%3 == 0 {
				g = w.a
				want = append(want, fmt.Sprint("n", i))
			}
			w.admin(fmt.Sprint("n", i), ra.Grant{Role: ra.RoleViewer, Group: g.ID})
		}
		var got []string
		f := store.AdminFilter{Page: store.Page{Limit: 2}}
		for {
			list, next, err := w.FindAdmins(w.t.Context(), as(ra.RoleOwner, w.a), f)
			if err != nil || len(list) > 2 {
				w.t.Fatal(len(list), err)
			}
			for _, a := range list {
				got = append(got, a.Name)
			}
			if f.After = next; next == "" {
				break
			}
		}
		same(w.t, "administrators", got, want)
	})
}

func TestAdminFieldsAndSelf(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		for name, in := range map[string]AdminInput{
			"no name": {Name: ptr(" ")}, "long name": {Name: ptr(strings.Repeat("x", 201))}, "zero byte": {Name: ptr("a\x00")}, "mail": {Email: ptr("Jane <j@x>")},
			"display name": {DisplayName: ptr("a\nb")}, "short password": {Password: ptr(secret.New("short"))},
		} {
			if in.Name == nil {
				in.Name = ptr("jane")
			}
			_, err := w.CreateAdmin(ctx, w.owner, in)
			wantKind(w.t, name, err, ra.Invalid)
		}
		jane := w.admin("Jane", ra.Grant{Role: ra.RoleViewer})
		_, err := w.CreateAdmin(ctx, w.owner, AdminInput{Name: ptr("jane ")})
		wantKind(w.t, "the name in another case", err, ra.Conflict)
		me := w.actor(jane)
		got, err := w.UpdateAdmin(ctx, me, jane.ID, AdminInput{DisplayName: ptr("Jane Doe"), Email: ptr("jane@acme.example")})
		if err != nil || got.DisplayName != "Jane Doe" || got.Email != "jane@acme.example" {
			w.t.Errorf("one's own display name: %+v, %v", got, err)
		}
		for name, in := range map[string]AdminInput{"name": {Name: ptr("root")}, "grants": {Grants: &[]ra.Grant{}}, "disabled": {Disabled: ptr(true)}, "password": {Password: ptr(secret.New(good))}} {
			_, err := w.UpdateAdmin(ctx, me, jane.ID, in)
			wantKind(w.t, "one's own "+name, err, ra.Denied)
		}
		before := len(w.entries())
		must(w.UpdateAdmin(ctx, w.owner, jane.ID, AdminInput{Password: ptr(secret.Text{}), DisplayName: ptr("Jane Doe")}))(w.t)
		entries := w.entries()[before:]
		if len(entries) != 1 || string(entries[0].Details) != `{"changes":[{"field":"password","before":"[secret]","after":"[not set]"}]}` {
			w.t.Errorf("audit of a password taken away: %d entries", len(entries))
		}
		w.silent(good, jane.PasswordHash)
	})
}

func TestLastOwnerStays(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		owner := []ra.Grant{{Role: ra.RoleOwner}}
		one := w.admin("one", owner...)
		w.admin("branch", ra.Grant{Role: ra.RoleOwner, Group: w.a.ID})
		off := w.admin("off", owner...)
		must(w.UpdateAdmin(ctx, w.owner, off.ID, AdminInput{Disabled: ptr(true)}))(w.t)
		demote := AdminInput{Grants: &[]ra.Grant{{Role: ra.RoleOwner, Group: w.a.ID}}}
		_, err := w.UpdateAdmin(ctx, w.owner, one.ID, demote)
		wantKind(w.t, "demoted", err, ra.Conflict)
		_, err = w.UpdateAdmin(ctx, w.owner, one.ID, AdminInput{Disabled: ptr(true)})
		wantKind(w.t, "disabled", err, ra.Conflict)
		wantKind(w.t, "deleted", w.DeleteAdmin(ctx, w.actor(one), one.ID), ra.Conflict)
		_, err = w.UpdateAdmin(ctx, w.owner, one.ID, AdminInput{DisplayName: ptr("One")})
		wantKind(w.t, "renamed", err, "")
		wantKind(w.t, "a disabled owner deleted", w.DeleteAdmin(ctx, w.owner, off.ID), "")

		two := w.admin("two", owner...)
		for round := range 5 { // both at once: one of them must stay
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i, a := range []*ra.Admin{one, two} {
				wg.Go(func() { _, errs[i] = w.UpdateAdmin(ctx, w.owner, a.ID, demote) })
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) || ra.KindOf(errors.Join(errs...)) != ra.Conflict {
				w.t.Fatalf("round %d: got %v and %v, want one Conflict", round, errs[0], errs[1])
			}
			for _, a := range []*ra.Admin{one, two} {
				must(w.UpdateAdmin(ctx, w.owner, a.ID, AdminInput{Grants: &owner}))(w.t)
			}
		}
	})
}

func TestFirstOwner(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		var wg sync.WaitGroup
		made := make(chan *ra.Admin, 8)
		for range 8 {
			wg.Go(func() {
				a, err := w.EnsureFirstOwner(ctx)
				if err != nil {
					w.t.Error(err)
				}
				if a != nil {
					made <- a
				}
			})
		}
		wg.Wait()
		if len(made) != 1 {
			w.t.Fatalf("%d first owners were made, want 1", len(made))
		}
		a := <-made
		if a.Name != "admin" || a.PasswordHash != "" || !owner(a) {
			w.t.Errorf("the first owner is %+v", a)
		}
		_, err := w.SignIn(ctx, "admin", secret.Text{}, "192.0.2.1")
		wantKind(w.t, "without a password", err, ra.Unsigned)
		text := must(w.CreateLink(ctx, w.owner, a.ID, 0))(w.t)
		if got := must(w.UseLink(ctx, text, ""))(w.t); got.ID != a.ID {
			w.t.Errorf("the link is for %s, want %s", got.ID, a.ID)
		}
	})
}
