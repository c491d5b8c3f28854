package access_test

import (
	"slices"
	"testing"

	"chancery/internal/access"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

// TestWithin: a list is narrowed to what was asked for and what the actor may
// see; a group outside is not found. A grant of a group that is gone, or whose
// path somebody made up, covers nothing.
func TestWithin(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db, err := store.Open(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		groups := map[string]*ra.Group{}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			for _, g := range [][2]string{{"a", ""}, {"b", "a"}, {"c", "b"}, {"d", "a"}, {"z", ""}} {
				groups[g[0]] = &ra.Group{ID: ra.GroupID("og_" + g[0]), Name: g[0]}
				if g[1] != "" {
					groups[g[0]].ParentID = groups[g[1]].ID
				}
				if err := tx.CreateGroup(groups[g[0]]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		grant := func(role ra.Role, names ...string) ra.Actor {
			a := ra.Actor{Name: "x"}
			for _, n := range names {
				g := ra.Grant{Role: role}
				if n != "" {
					g.Group, g.Path = groups[n].ID, groups[n].Path
				}
				a.Grants = append(a.Grants, g)
			}
			return a
		}
		for name, c := range map[string]struct {
			actor ra.Actor
			asked []ra.GroupID
			want  []ra.GroupID
			kind  ra.Kind
		}{
			"all, nothing asked":       {grant(ra.RoleViewer, ""), nil, nil, ""},
			"all, one asked":           {grant(ra.RoleViewer, ""), []ra.GroupID{"og_b"}, []ra.GroupID{"og_b", "og_c"}, ""},
			"one, nothing asked":       {grant(ra.RoleViewer, "b"), nil, []ra.GroupID{"og_b", "og_c"}, ""},
			"one, one below asked":     {grant(ra.RoleViewer, "b"), []ra.GroupID{"og_c"}, []ra.GroupID{"og_c"}, ""},
			"one, the one above asked": {grant(ra.RoleViewer, "b"), []ra.GroupID{"og_a"}, nil, ra.NotFound},
			"one, another asked":       {grant(ra.RoleViewer, "b"), []ra.GroupID{"og_c", "og_z"}, nil, ra.NotFound},
			"two, overlapping":         {grant(ra.RoleViewer, "b", "c"), nil, []ra.GroupID{"og_b", "og_c"}, ""},
			"twice asked":              {grant(ra.RoleViewer, "a"), []ra.GroupID{"og_b", "og_c"}, []ra.GroupID{"og_b", "og_c"}, ""},
			"no role for it":           {grant(ra.Role("guest"), "a"), nil, []ra.GroupID{}, ""},
			"unknown group asked":      {grant(ra.RoleViewer, ""), []ra.GroupID{"og_x"}, nil, ra.NotFound},
		} {
			err := db.Read(t.Context(), func(tx *store.Tx) error {
				got, err := access.Within(tx, c.actor, access.See, c.asked)
				if err == nil && (!slices.Equal(got, c.want) || (got == nil) != (c.want == nil)) {
					t.Errorf("%s: %v, want %v", name, got, c.want)
				}
				return err
			})
			if ra.KindOf(err) != c.kind {
				t.Errorf("%s: %v", name, err)
			}
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			out, err := access.Resolve(tx, []ra.Grant{{Role: ra.RoleOwner, Group: "og_gone", Path: "/"}, {Role: ra.RoleOwner, Group: "og_c", Path: "/"}, {Role: ra.RoleViewer, Path: "/og_a/"}})
			if err == nil && (out[0].Path != "" || out[1].Path != groups["c"].Path || out[2].Path != "") {
				t.Errorf("%+v", out)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
