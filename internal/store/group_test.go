package store_test

import (
	"errors"
	"slices"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// names lists the names of groups.
func names(groups []*ra.Group) (out []string) {
	for _, g := range groups {
		out = append(out, g.Name)
	}
	return out
}

func TestGroupTree(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		// a > b > c and a > bb, x. The ID og_bX must not match og_b_ by wildcard.
		groups := map[ra.GroupID]*ra.Group{}
		write(t, db, func(tx *store.Tx) (err error) {
			for _, pair := range [][2]string{{"a", ""}, {"b_", "a"}, {"c", "b_"}, {"bX", "a"}, {"d", "bX"}, {"x", ""}} {
				g := &ra.Group{ID: ra.GroupID("og_" + pair[0]), Name: pair[0], Settings: ra.GroupSettings{Country: pair[0]}}
				if pair[1] != "" {
					g.ParentID = ra.GroupID("og_" + pair[1])
				}
				groups[g.ID] = g
				err = errors.Join(err, tx.CreateGroup(g))
			}
			return err
		})
		if got, want := groups["og_c"].Path, "/og_a/og_b_/og_c/"; got != want {
			t.Errorf("path: got %q, want %q", got, want)
		}
		read(t, db, func(tx *store.Tx) error {
			under, err := tx.GroupsUnder(groups["og_b_"].Path)
			same(t, "groups under b_", under, []ra.GroupID{"og_b_", "og_c"})
			all, err2 := tx.GroupsUnder("")
			if len(all) != 6 {
				t.Errorf("groups under nothing: got %v, want all", all)
			}
			up, err3 := tx.Ancestors("og_c")
			same(t, "ancestors", names(up), []string{"a", "b_", "c"})
			org, err4 := tx.Organization("og_c")
			root, err5 := tx.Organization("og_x")
			if err := errors.Join(err, err2, err3, err4, err5); err != nil {
				return err
			}
			same(t, "organizations", []ra.GroupID{org.ID, root.ID}, []ra.GroupID{"og_a", "og_x"})
			found, _, err := tx.FindGroups(store.GroupFilter{Under: "og_b_", Text: "C"})
			same(t, "found under b_", names(found), []string{"c"})
			return err
		})

		device := newDevice("og_c", c.Now())
		write(t, db, func(tx *store.Tx) error { return tx.CreateDevice(device) })
		if device.OrganizationID != "og_a" {
			t.Errorf("organization of the device: got %q, want og_a", device.OrganizationID)
		}
		b := groups["og_b_"]
		for _, parent := range []ra.GroupID{"og_b_", "og_c"} {
			refused(t, db, "a cycle through "+string(parent), ra.Invalid, func(tx *store.Tx) error {
				moved := *b
				moved.ParentID = parent
				return tx.UpdateGroup(&moved)
			})
		}
		refused(t, db, "an unknown parent", ra.NotFound, func(tx *store.Tx) error {
			moved := *b
			moved.ParentID = "og_none"
			return tx.UpdateGroup(&moved)
		})
		b.ParentID = "og_x"
		write(t, db, func(tx *store.Tx) error { return tx.UpdateGroup(b) })
		read(t, db, func(tx *store.Tx) error {
			moved, err := tx.Group("og_c")
			if err == nil && moved.Path != "/og_x/og_b_/og_c/" {
				t.Errorf("path after the move: got %q", moved.Path)
			}
			stayed, err2 := tx.GroupsUnder("/og_a/")
			same(t, "what stayed", stayed, []ra.GroupID{"og_a", "og_bX", "og_d"})
			d, err3 := tx.DeviceByPlatformID("og_x", device.PlatformID)
			if err3 == nil && d.ID != device.ID {
				t.Errorf("device after the move: got %q, want %q", d.ID, device.ID)
			}
			return errors.Join(err, err2, err3)
		})

		twin := newDevice("og_d", c.Now())
		twin.PlatformID = device.PlatformID
		write(t, db, func(tx *store.Tx) error { return tx.CreateDevice(twin) })
		refused(t, db, "a move beside a device with the same identity", ra.Conflict, func(tx *store.Tx) error {
			moved := *groups["og_bX"]
			moved.ParentID = "og_x"
			return tx.UpdateGroup(&moved)
		})
		write(t, db, func(tx *store.Tx) error {
			b.ParentID = "" // becomes an organization of its own
			return tx.UpdateGroup(b)
		})
		read(t, db, func(tx *store.Tx) error {
			_, err := tx.DeviceByPlatformID("og_b_", device.PlatformID)
			return err
		})
		twin.GroupID = "og_b_"
		refused(t, db, "a device moved beside one with its identity", ra.Conflict, func(tx *store.Tx) error { return tx.UpdateDevice(twin) })
	})
}

func TestEffectiveSettings(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		w := newWorld(t, db, c)
		leaf := &ra.Group{ID: "og_leaf", ParentID: w.unit.ID, Name: "Lab", Settings: ra.GroupSettings{Country: "FR"}}
		write(t, db, func(tx *store.Tx) error { return tx.CreateGroup(leaf) })
		read(t, db, func(tx *store.Tx) error {
			s, err := tx.EffectiveSettings(leaf.ID)
			same(t, "settings", s, ra.GroupSettings{Organization: "Acme Ltd", Country: "FR", Contact: "pki@acme.example"})
			return err
		})
		refused(t, db, "settings of no group", ra.NotFound, func(tx *store.Tx) error { _, err := tx.EffectiveSettings("og_none"); return err })
	})
}

func TestGroupsMovedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		a := &ra.Group{ID: "og_a", Name: "a"}
		b := &ra.Group{ID: "og_b", Name: "b"}
		write(t, db, func(tx *store.Tx) error { return errors.Join(tx.CreateGroup(a), tx.CreateGroup(b)) })
		a.ParentID, b.ParentID = b.ID, a.ID
		errs := together(2, func(i int) error {
			return db.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateGroup([]*ra.Group{a, b}[i]) })
		})
		if !slices.Contains(errs, nil) || errors.Join(errs...) == nil {
			t.Errorf("two groups moved below each other: got %v, want one refusal", errs)
		}
	})
}
