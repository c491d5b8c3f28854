package inventory_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chancery/internal/inventory"
	"chancery/internal/ra"
	"chancery/internal/store"
)

func TestOrganizationsNeedTheWholeInstallation(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		manager := as(ra.RoleManager, w.acme)
		_, err := w.CreateGroup(ctx, manager, inventory.GroupInput{Name: ptr("Third")})
		wantKind(w.t, "an organization by a manager of another", err, ra.Denied)
		_, err = w.CreateGroup(ctx, as(ra.RoleManager, nil), inventory.GroupInput{Name: ptr("Third")})
		wantKind(w.t, "an organization by a manager of everything", err, "")
		_, err = w.UpdateGroup(ctx, manager, w.berlin.ID, inventory.GroupInput{ParentID: ptr(ra.GroupID(""))})
		wantKind(w.t, "a group made an organization", err, ra.Denied)
		_, err = w.UpdateGroup(ctx, as(ra.RoleManager, w.berlin), w.berlin.ID, inventory.GroupInput{ParentID: &w.paris.ID})
		wantKind(w.t, "a group moved away from those above", err, ra.NotFound)
		_, err = w.UpdateGroup(ctx, manager, w.berlin.ID, inventory.GroupInput{ParentID: &w.other.ID})
		wantKind(w.t, "a group moved to a stranger", err, ra.NotFound)
		moved, err := w.UpdateGroup(ctx, manager, w.berlin.ID, inventory.GroupInput{ParentID: &w.paris.ID})
		wantKind(w.t, "a group moved within", err, "")
		if moved != nil {
			same(w.t, "path", moved.Path, w.paris.Path+string(w.berlin.ID)+"/")
		}
	})
}

func TestGroupStaysInItsOrganizationWithPeople(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		lab := w.group(w.berlin.ID, "Lab")
		d := w.device(lab, "d")
		_, err := w.UpdateGroup(ctx, w.owner, w.berlin.ID, inventory.GroupInput{ParentID: &w.other.ID})
		wantKind(w.t, "with a device below", err, ra.Conflict)
		if err := w.DeleteDevice(ctx, w.owner, d.ID); err != nil {
			w.t.Fatal(err)
		}
		u := w.user(w.berlin, "u")
		_, err = w.UpdateGroup(ctx, w.owner, w.berlin.ID, inventory.GroupInput{ParentID: ptr(ra.GroupID(""))})
		wantKind(w.t, "with a user", err, ra.Conflict)
		if err := w.DeleteUser(ctx, w.owner, u.ID); err != nil {
			w.t.Fatal(err)
		}
		_, err = w.UpdateGroup(ctx, w.owner, w.berlin.ID, inventory.GroupInput{ParentID: &w.other.ID})
		wantKind(w.t, "empty", err, "")
		_, err = w.UpdateGroup(ctx, w.owner, w.berlin.ID, inventory.GroupInput{ParentID: &lab.ID})
		wantKind(w.t, "below itself", err, ra.Invalid)
	})
}

func TestDeleteGroupTellsWhatIsInside(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		w.group(w.berlin.ID, "Lab")
		w.user(w.berlin, "u")
		d := w.device(w.berlin, "d1")
		w.device(w.berlin, "d2")
		w.certificate(w.berlin, d.ID, "", ra.Revoked, w.clock.Now().Add(time.Hour))
		err := w.DeleteGroup(ctx, w.owner, w.berlin.ID)
		wantKind(w.t, "a full group", err, ra.Conflict)
		if want := "1 group, 1 user, 2 devices, 1 certificate"; err != nil && !strings.Contains(err.Error(), want) {
			w.t.Errorf("got %q, want it to tell %q", err, want)
		}
		err = w.DeleteGroup(ctx, w.owner, w.acme.ID)
		if want := "3 groups, 1 authority, 1 template"; err == nil || !strings.Contains(err.Error(), want) {
			w.t.Errorf("got %v, want it to tell %q", err, want)
		}
		wantKind(w.t, "an empty group", w.DeleteGroup(ctx, w.owner, w.paris.ID), "")
		_, err = w.Group(ctx, w.owner, w.paris.ID)
		wantKind(w.t, "afterwards", err, ra.NotFound)
	})
}

func TestGroupFields(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		long := strings.Repeat("ä", 201)
		for name, in := range map[string]inventory.GroupInput{
			"no name": {Name: ptr("  ")}, "long name": {Name: &long}, "zero byte": {Name: ptr("a\x00b")}, "not UTF-8": {Name: ptr("\xff")},
			"country": {Name: ptr("g"), Country: ptr("Germany")}, "mail domain": {Name: ptr("g"), EmailDomain: ptr("a b")},
			"organization": {Name: ptr("g"), Organization: &long}, "realm": {Name: ptr("g"), Realm: &long}, "contact": {Name: ptr("g"), Contact: ptr("a\nb")},
		} {
			in.ParentID = &w.acme.ID
			_, err := w.CreateGroup(ctx, w.owner, in)
			wantKind(w.t, name, err, ra.Invalid)
		}
		_, err := w.CreateGroup(ctx, w.owner, inventory.GroupInput{ParentID: &w.acme.ID, Name: ptr(" berlin ")})
		wantKind(w.t, "a name taken in another case", err, ra.Conflict)
		_, err = w.CreateGroup(ctx, w.owner, inventory.GroupInput{ParentID: &w.other.ID, Name: ptr("Berlin")})
		wantKind(w.t, "the name elsewhere", err, "")
		before := len(w.entries())
		g, err := w.UpdateGroup(ctx, w.owner, w.berlin.ID, inventory.GroupInput{Country: ptr(" de "), EmailDomain: ptr("bücher.example"), Organization: ptr("Acme GmbH")})
		wantKind(w.t, "good fields", err, "")
		same(w.t, "settings", g.Settings, ra.GroupSettings{Country: "DE", EmailDomain: "bücher.example", Organization: "Acme GmbH"})
		_, err = w.UpdateGroup(ctx, w.owner, w.berlin.ID, inventory.GroupInput{Country: ptr("DE")})
		wantKind(w.t, "the same again", err, "")
		entries := w.entries()[before:]
		if len(entries) != 1 || entries[0].Code != "group.changed" || !strings.Contains(string(entries[0].Details), `"field":"country","before":"","after":"DE"`) {
			w.t.Errorf("audit has %d entries, want one with the changes", len(entries))
		}
	})
}

func TestTree(t *testing.T) {
	each(t, func(w *world) {
		ctx := w.t.Context()
		lab := w.group(w.berlin.ID, "Lab")
		for id, in := range map[ra.GroupID]inventory.GroupInput{
			w.acme.ID: {Organization: ptr("Acme"), Country: ptr("US")}, w.berlin.ID: {Country: ptr("DE")}, lab.ID: {Contact: ptr("lab@acme.example")},
		} {
			if _, err := w.UpdateGroup(ctx, w.owner, id, in); err != nil {
				w.t.Fatal(err)
			}
		}
		draw := func(actor ra.Actor) string {
			top, err := w.Tree(ctx, actor)
			if err != nil {
				w.t.Fatal(err)
			}
			var b strings.Builder
			var walk func([]*inventory.Node)
			walk = func(nodes []*inventory.Node) {
				for _, n := range nodes {
					fmt.Fprintf(&b, "%d %s %s %s; ", n.Depth, n.Name, n.Effective.Organization, n.Effective.Country)
					walk(n.Children)
				}
			}
			walk(top)
			return b.String()
		}
		same(w.t, "all", draw(w.owner), "0 Acme Acme US; 1 Berlin Acme DE; 2 Lab Acme DE; 1 Paris Acme US; 0 Other  ; ")
		same(w.t, "a branch", draw(as(ra.RoleViewer, w.berlin)), "0 Berlin Acme DE; 1 Lab Acme DE; ")
		same(w.t, "nothing", draw(ra.Actor{}), "")
	})
}

// TestGroupPages walks page by page through a scope that has holes.
func TestGroupPages(t *testing.T) {
	each(t, func(w *world) {
		var grants []ra.Grant
		var want []string
		for i := range 20 {
			g := w.group(w.acme.ID, fmt.Sprintf("g%02d", i))
			if i%3 == 0 {
				grants = append(grants, ra.Grant{Role: ra.RoleViewer, Group: g.ID, Path: g.Path})
				want = append(want, g.Name)
			}
		}
		var got []string
		f := store.GroupFilter{Page: store.Page{Limit: 2}}
		for {
			list, next, err := w.FindGroups(w.t.Context(), ra.Actor{Grants: grants}, f)
			if err != nil {
				w.t.Fatal(err)
			}
			if len(list) > 2 {
				w.t.Fatalf("a page has %d groups, want at most 2", len(list))
			}
			for _, g := range list {
				got = append(got, g.Name)
			}
			if next == "" {
				break
			}
			f.After = next
		}
		same(w.t, "all pages", got, want)
	})
}
