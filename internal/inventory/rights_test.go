package inventory_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"chancery/internal/access"
	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

// act is something an actor tries on things in the group Berlin.
type act struct {
	name       string
	permission access.Permission
	try        func(w *world, a ra.Actor) error
}

// acts is every capability that is about one group. Each makes what it works
// on, so that the next one finds the world as it was.
func acts() []act {
	n := 0
	fresh := func(prefix string) string { n++; return fmt.Sprintf("%s-%d", prefix, n) }
	return []act{
		{"CreateGroup", access.EditGroups, func(w *world, a ra.Actor) error {
			_, err := w.CreateGroup(w.t.Context(), a, inventory.GroupInput{ParentID: &w.berlin.ID, Name: ptr(fresh("g"))})
			return err
		}},
		{"UpdateGroup", access.EditGroups, func(w *world, a ra.Actor) error {
			_, err := w.UpdateGroup(w.t.Context(), a, w.berlin.ID, inventory.GroupInput{Contact: ptr(fresh("c"))})
			return err
		}},
		{"DeleteGroup", access.EditGroups, func(w *world, a ra.Actor) error {
			return w.DeleteGroup(w.t.Context(), a, w.group(w.berlin.ID, fresh("g")).ID)
		}},
		{"Group", access.See, func(w *world, a ra.Actor) error { _, err := w.Group(w.t.Context(), a, w.berlin.ID); return err }},
		{"FindGroups under", access.See, func(w *world, a ra.Actor) error {
			_, _, err := w.FindGroups(w.t.Context(), a, store.GroupFilter{Under: w.berlin.ID})
			return err
		}},
		{"CreateUser", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.CreateUser(w.t.Context(), a, inventory.UserInput{GroupID: &w.berlin.ID, Name: ptr(fresh("u"))})
			return err
		}},
		{"UpdateUser", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.UpdateUser(w.t.Context(), a, w.user(w.berlin, fresh("u")).ID, inventory.UserInput{LastName: ptr("Doe")})
			return err
		}},
		{"DeleteUser", access.EditDevices, func(w *world, a ra.Actor) error {
			return w.DeleteUser(w.t.Context(), a, w.user(w.berlin, fresh("u")).ID)
		}},
		{"User", access.See, func(w *world, a ra.Actor) error {
			_, err := w.User(w.t.Context(), a, w.user(w.berlin, fresh("u")).ID)
			return err
		}},
		{"FindUsers in", access.See, func(w *world, a ra.Actor) error {
			_, _, err := w.FindUsers(w.t.Context(), a, store.UserFilter{Groups: []ra.GroupID{w.berlin.ID}})
			return err
		}},
		{"CreateDevice", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.CreateDevice(w.t.Context(), a, inventory.DeviceInput{GroupID: &w.berlin.ID, PlatformID: ptr(fresh("d")), Platform: ptr(ra.Linux)})
			return err
		}},
		{"UpdateDevice", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.UpdateDevice(w.t.Context(), a, w.device(w.berlin, fresh("d")).ID, inventory.DeviceInput{Model: ptr("M")})
			return err
		}},
		{"DeleteDevice", access.EditDevices, func(w *world, a ra.Actor) error {
			return w.DeleteDevice(w.t.Context(), a, w.device(w.berlin, fresh("d")).ID)
		}},
		{"Device", access.See, func(w *world, a ra.Actor) error {
			_, err := w.Device(w.t.Context(), a, w.device(w.berlin, fresh("d")).ID)
			return err
		}},
		{"FindDevices in", access.See, func(w *world, a ra.Actor) error {
			_, _, err := w.FindDevices(w.t.Context(), a, store.DeviceFilter{Groups: []ra.GroupID{w.berlin.ID}})
			return err
		}},
		{"UnenrolDevice", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.UnenrolDevice(w.t.Context(), a, w.device(w.berlin, fresh("d")).ID)
			return err
		}},
		{"EnrolDevice", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.EnrolDevice(w.t.Context(), a, w.device(w.berlin, fresh("d")).ID)
			return err
		}},
		{"BlockDevice", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.BlockDevice(w.t.Context(), a, w.device(w.berlin, fresh("d")).ID)
			return err
		}},
		{"ImportUsers", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.ImportUsers(w.t.Context(), a, strings.NewReader("name\n"+fresh("u")+"\n"), inventory.Import{Group: w.berlin.ID})
			return err
		}},
		{"ImportDevices", access.EditDevices, func(w *world, a ra.Actor) error {
			_, err := w.ImportDevices(w.t.Context(), a, strings.NewReader("platform_id,platform\n"+fresh("d")+",ios\n"), inventory.Import{Group: w.berlin.ID})
			return err
		}},
		{"ExportUsers in", access.See, func(w *world, a ra.Actor) error {
			return w.ExportUsers(w.t.Context(), a, store.UserFilter{Groups: []ra.GroupID{w.berlin.ID}}, io.Discard)
		}},
		{"ExportDevices in", access.See, func(w *world, a ra.Actor) error {
			return w.ExportDevices(w.t.Context(), a, store.DeviceFilter{Groups: []ra.GroupID{w.berlin.ID}}, io.Discard)
		}},
	}
}

// TestRights tries every act with every role: in the group and above as the
// role allows, from beside always NotFound, with nothing at all too.
func TestRights(t *testing.T) {
	each(t, func(w *world) {
		for _, a := range acts() {
			for _, role := range ra.Roles {
				want := ra.Denied
				if slices.Contains(access.Permissions(role), a.permission) {
					want = ""
				}
				wantKind(w.t, fmt.Sprintf("%s as %s of the group", a.name, role), a.try(w, as(role, w.berlin)), want)
				wantKind(w.t, fmt.Sprintf("%s as %s above", a.name, role), a.try(w, as(role, w.acme)), want)
				wantKind(w.t, fmt.Sprintf("%s as %s beside", a.name, role), a.try(w, as(role, w.paris)), ra.NotFound)
			}
			wantKind(w.t, a.name+" as nobody", a.try(w, ra.Actor{Name: "nobody"}), ra.NotFound)
		}
	})
}

// TestListsShowOwnGroupsOnly: what is found without asking for a group.
func TestListsShowOwnGroupsOnly(t *testing.T) {
	each(t, func(w *world) {
		w.user(w.berlin, "b")
		w.user(w.paris, "p")
		w.device(w.berlin, "b")
		w.device(w.paris, "p")
		for _, c := range []struct {
			name                   string
			actor                  ra.Actor
			groups, users, devices []string
		}{
			{"operator of Berlin", as(ra.RoleOperator, w.berlin), []string{"Berlin"}, []string{"b"}, []string{"b"}},
			{"operator of Acme", as(ra.RoleOperator, w.acme), []string{"Acme", "Berlin", "Paris"}, []string{"b", "p"}, []string{"b", "p"}},
			{"viewer of all", as(ra.RoleViewer, nil), []string{"Acme", "Berlin", "Other", "Paris"}, []string{"b", "p"}, []string{"b", "p"}},
			{"two groups", ra.Actor{Grants: append(as(ra.RoleViewer, w.paris).Grants, as(ra.RoleViewer, w.other).Grants...)}, []string{"Other", "Paris"}, []string{"p"}, []string{"p"}},
			{"nobody", ra.Actor{Name: "nobody"}, nil, nil, nil},
		} {
			groups, _, err := w.FindGroups(w.t.Context(), c.actor, store.GroupFilter{})
			if err != nil {
				w.t.Fatal(err)
			}
			var got []string
			for _, g := range groups {
				got = append(got, g.Name)
			}
			same(w.t, c.name+", groups", got, c.groups)
			users, _, err := w.FindUsers(w.t.Context(), c.actor, store.UserFilter{})
			if err != nil {
				w.t.Fatal(err)
			}
			got = nil
			for _, u := range users {
				got = append(got, u.Name)
			}
			same(w.t, c.name+", users", got, c.users)
			devices, _, err := w.FindDevices(w.t.Context(), c.actor, store.DeviceFilter{})
			if err != nil {
				w.t.Fatal(err)
			}
			got = nil
			for _, d := range devices {
				got = append(got, d.Name)
			}
			same(w.t, c.name+", devices", got, c.devices)
		}
	})
}
