package directory_test

import (
	"context"
	"net"
	"testing"
	"time"

	"chancery/internal/ca"
	"chancery/internal/directory"
	"chancery/internal/dirpolicy"
	"chancery/internal/inventory"
	"chancery/internal/ra"
)

func TestLookup(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann", "bob", "cid")
		d := w.define(map[string]any{"at_issue": dirpolicy.LookupRequire})
		w.sync(d, directory.Order{})
		ann, bob, cid := w.user("ann"), w.user("bob"), w.user("cid")
		look := func(u *ra.User, want bool) {
			t.Helper()
			if changed, err := w.Lookup(t.Context(), u.ID); err != nil || changed != want {
				t.Errorf("looked up %s: changed %v, %v; want %v", u.Name, changed, err, want)
			}
		}
		look(ann, false)
		w.samba.Set(w.dn("ann"), "mail", "new@corp.example")
		look(ann, true)
		look(ann, false)
		if got := w.user("ann").Email; got != "new@corp.example" {
			t.Errorf("the address is %q", got)
		}
		w.samba.Set(w.dn("bob"), "userAccountControl", "546")
		look(bob, true)
		if !w.user("bob").Disabled {
			t.Error("bob is in use")
		}
		w.samba.Delete(w.dn("cid"))
		_, err := w.Lookup(t.Context(), cid.ID)
		refused(t, err, ra.Denied)

		mine, err := w.inv.CreateUser(t.Context(), w.owner, inventory.UserInput{GroupID: &w.group.ID, Name: ptr("mine")})
		if err != nil {
			t.Fatal(err)
		}
		look(mine, false)

		// Where the directory cannot be asked: refused, or what is known is used.
		change := func(settings string) {
			t.Helper()
			if _, err := w.Update(t.Context(), w.owner, d.ID, directory.Input{Settings: []byte(settings)}); err != nil {
				t.Fatal(err)
			}
		}
		change(`{"servers":["nobody.corp.example"]}`)
		_, err = w.Lookup(t.Context(), ann.ID)
		refused(t, err, ra.Unreachable)
		if e := ra.AsError(err); e.Remedy == "" {
			t.Errorf("no remedy: %v", err)
		}
		change(`{"at_issue":"try"}`)
		look(ann, false)
		look(ann, false) // within the silence nobody is asked
		change(`{"servers":["` + w.samba.Host + `"]}`)
		w.samba.Set(w.dn("ann"), "mail", "newer@corp.example")
		look(ann, true)
		w.clock.Advance(time.Hour) // the connection was idle for too long
		look(ann, false)
		change(`{"at_issue":"off"}`)
		w.samba.Set(w.dn("ann"), "mail", "newest@corp.example")
		look(ann, false)
	})
}

// TestRefusedLogin: a password that the directory refuses is not tried at every
// certificate, which would lock the account, until somebody changes or tests
// the settings.
func TestRefusedLogin(t *testing.T) {
	each(t, func(w *world) {
		ctx := t.Context()
		w.add("ann")
		d := w.define(nil)
		w.sync(d, directory.Order{})
		ann, dialled := w.user("ann"), 0
		w.Service.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled++
			return w.samba.Dial(ctx, network, address)
		}
		look := func(want int) {
			t.Helper()
			if _, err := w.Lookup(ctx, ann.ID); err != nil || dialled != want {
				t.Errorf("the directory was asked %d times, want %d: %v", dialled, want, err)
			}
		}
		update := func(password string) {
			t.Helper()
			if _, err := w.Update(ctx, w.owner, d.ID, directory.Input{Settings: []byte(`{"password":"` + password + `"}`)}); err != nil {
				t.Fatal(err)
			}
		}
		update("wrong")
		look(1)
		w.clock.Advance(30 * time.Minute)
		look(1)
		w.clock.Advance(31 * time.Minute)
		look(2)
		if err := w.Test(ctx, w.owner, d.ID, func(ca.Step) {}); err != nil {
			t.Fatal(err)
		}
		look(4) // by the test, and once more
		update(w.samba.Password)
		look(5)
		look(5)
	})
}

// TestLostConnection: a connection that ended meanwhile is made anew.
func TestLostConnection(t *testing.T) {
	each(t, func(w *world) {
		w.add("ann")
		d := w.define(map[string]any{"at_issue": dirpolicy.LookupRequire})
		w.sync(d, directory.Order{})
		ann := w.user("ann")
		if _, err := w.Lookup(t.Context(), ann.ID); err != nil {
			t.Fatal(err)
		}
		w.Close()
		w.samba.Set(w.dn("ann"), "mail", "new@corp.example")
		if changed, err := w.Lookup(t.Context(), ann.ID); err != nil || !changed {
			t.Errorf("changed %v: %v", changed, err)
		}
	})
}
