package access_test

import (
	"slices"
	"testing"

	"chancery/internal/access"
	"chancery/internal/job/jobtest"
	"chancery/internal/ra"
	"chancery/internal/store"
	"chancery/internal/testpeer"
)

func TestMain(m *testing.M) { testpeer.Main(m, jobtest.Tables) }

// matrix is what each role may do, written down a second time: a change of the
// product's table has to be meant.
var permissions = []access.Permission{access.See, access.SeeAudit, access.EditDevices, access.Request, access.TakeKey, access.Revoke,
	access.Approve, access.EditTemplates, access.EditGroups, access.EditAuthorities, access.EditAdmins}

var matrix = map[ra.Role]string{
	// see audit devices request key revoke approve templates groups authorities admins
	ra.RoleOwner:     "x x x x x x x x x x x",
	ra.RoleManager:   "x - x x x x x x x - -",
	ra.RoleOperator:  "x - x x x x - - - - -",
	ra.RoleApprover:  "x - - - - - x - - - -",
	ra.RoleAuditor:   "x x - - - - - - - - -",
	ra.RoleViewer:    "x - - - - - - - - - -",
	"":               "- - - - - - - - - - -",
	"administrator":  "- - - - - - - - - - -",
	ra.Role("OWNER"): "- - - - - - - - - - -",
}

func TestMatrix(t *testing.T) {
	for _, role := range ra.Roles {
		if _, ok := matrix[role]; !ok {
			t.Errorf("the matrix of this test lacks the role %q", role)
		}
	}
	for role, line := range matrix {
		for i, p := range permissions {
			want := line[2*i] == 'x'
			if got := slices.Contains(access.Permissions(role), p); got != want {
				t.Errorf("Permissions(%q) has %q: %v, want %v", role, p, got, want)
			}
			whole := ra.Actor{Name: "a", Grants: []ra.Grant{{Role: role}}}
			within := ra.Actor{Name: "a", Grants: []ra.Grant{{Role: role, Group: "og_b", Path: "/og_a/og_b/"}}}
			gone := ra.Actor{Name: "a", Grants: []ra.Grant{{Role: role, Group: "og_gone"}}}
			for _, c := range []struct {
				what  string
				actor ra.Actor
				path  string
				want  bool
			}{
				{"whole installation, anywhere", whole, "/og_a/og_b/", want},
				{"whole installation, as a whole", whole, "", want},
				{"own group", within, "/og_a/og_b/", want},
				{"below", within, "/og_a/og_b/og_c/", want},
				{"above", within, "/og_a/", false},
				{"beside", within, "/og_a/og_bb/", false},
				{"the installation", within, "", false},
				{"group that is gone", gone, "/og_gone/", false},
				{"group that is gone, the installation", gone, "", false},
			} {
				err := access.Check(c.actor, p, c.path)
				if (err == nil) != c.want {
					t.Errorf("%s as %q, %s: got %v, want allowed %v", p, role, c.what, err, c.want)
				}
				if e := ra.AsError(err); err != nil && (e.Kind != ra.Denied || e.Remedy == "") {
					t.Errorf("%s as %q, %s: got %q without a remedy", p, role, c.what, e.Kind)
				}
			}
			if got := access.May(within, p); got != want {
				t.Errorf("May(%q, %q) = %v, want %v", role, p, got, want)
			}
		}
	}
	if access.Check(ra.Actor{}, access.See, "/og_a/") == nil {
		t.Error("an actor without grants may see something")
	}
}

// TestGroupsOfTheStore: what lies outside is NotFound, what may only be seen is
// Denied, and scopes and paths follow the groups as they are.
func TestGroupsOfTheStore(t *testing.T) {
	testpeer.EachDatabase(t, func(t *testing.T, _, address string) {
		db, err := store.Open(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		a, b, c := &ra.Group{ID: "og_a", Name: "A"}, &ra.Group{ID: "og_b", ParentID: "og_a", Name: "B"}, &ra.Group{ID: "og_c", Name: "C"}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			for _, g := range []*ra.Group{a, b, c} {
				if err := tx.CreateGroup(g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			grants, err := access.Resolve(tx, []ra.Grant{{Role: ra.RoleOperator, Group: "og_a"}, {Role: ra.RoleOwner, Group: "og_gone"}})
			if err != nil {
				return err
			}
			if grants[0].Path != a.Path || grants[1].Path != "" {
				t.Errorf("paths are %q and %q, want %q and none", grants[0].Path, grants[1].Path, a.Path)
			}
			actor := ra.Actor{Name: "a", Grants: grants}
			for _, w := range []struct {
				p    access.Permission
				id   ra.GroupID
				kind ra.Kind
			}{
				{access.EditDevices, "og_a", ""}, {access.EditDevices, "og_b", ""}, {access.EditGroups, "og_b", ra.Denied},
				{access.See, "og_c", ra.NotFound}, {access.EditGroups, "og_c", ra.NotFound}, {access.See, "og_gone", ra.NotFound},
			} {
				if got := ra.KindOf(access.CheckGroup(tx, actor, w.p, w.id)); got != w.kind {
					t.Errorf("%s in %s: got %q, want %q", w.p, w.id, got, w.kind)
				}
			}
			for _, w := range []struct {
				name   string
				grants []ra.Grant
				want   []ra.GroupID
			}{
				{"two groups that overlap", append(grants, ra.Grant{Role: ra.RoleViewer, Group: "og_b", Path: b.Path}), []ra.GroupID{"og_a", "og_b"}},
				{"everything", []ra.Grant{{Role: ra.RoleOperator}}, nil},
				{"nothing", []ra.Grant{{Role: ra.RoleOwner, Group: "og_gone"}}, []ra.GroupID{}},
			} {
				got, err := access.Within(tx, ra.Actor{Grants: w.grants}, access.See, nil)
				if err != nil || !slices.Equal(got, w.want) || (got == nil) != (w.want == nil) {
					t.Errorf("%s: got %v, %v, want %v", w.name, got, err, w.want)
				}
			}
			for _, w := range []struct {
				asked []ra.GroupID
				p     access.Permission
				want  []ra.GroupID
				kind  ra.Kind
			}{
				{[]ra.GroupID{"og_b", "og_a"}, access.See, []ra.GroupID{"og_a", "og_b"}, ""}, {[]ra.GroupID{"og_b"}, access.See, []ra.GroupID{"og_b"}, ""},
				{[]ra.GroupID{"og_a", "og_c"}, access.See, nil, ra.NotFound}, {[]ra.GroupID{"og_a"}, access.SeeAudit, nil, ra.Denied},
			} {
				got, err := access.Within(tx, actor, w.p, w.asked)
				if ra.KindOf(err) != w.kind || !slices.Equal(got, w.want) {
					t.Errorf("%s within %v: got %v, %v, want %v, %q", w.p, w.asked, got, err, w.want, w.kind)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
