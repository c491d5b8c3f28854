// Package access decides who may do what. A role is a fixed set of
// permissions; a grant gives a role in an organization group and everything
// below it. Every capability asks Check with the actor it was given, so that a
// new door cannot forget to. What is not granted is denied.
package access

import (
	"slices"
	"strings"

	"chancery/internal/ra"
	"chancery/internal/store"
)

// Permission is one thing a role may allow.
type Permission string

// The permissions.
const (
	See             Permission = "see"              // everything but the audit log and secrets
	SeeAudit        Permission = "see_audit"        // the audit log
	EditDevices     Permission = "edit_devices"     // groups' users and devices, challenges
	Request         Permission = "request"          // ask for certificates, renew
	TakeKey         Permission = "take_key"         // download a key made here, once
	Revoke          Permission = "revoke"           // revoke, hold, unhold
	Approve         Permission = "approve"          // decide approvals
	EditTemplates   Permission = "edit_templates"   // templates and SCEP endpoints
	EditGroups      Permission = "edit_groups"      // organization groups
	EditAuthorities Permission = "edit_authorities" // authorities and their credentials
	EditAdmins      Permission = "edit_admins"      // administrators, roles, API tokens
)

var all = []Permission{See, SeeAudit, EditDevices, Request, TakeKey, Revoke, Approve, EditTemplates, EditGroups, EditAuthorities, EditAdmins}

// allowed is the whole table: a role not named here may do nothing.
var allowed = map[ra.Role][]Permission{
	ra.RoleOwner:    all,
	ra.RoleManager:  {See, EditDevices, Request, TakeKey, Revoke, Approve, EditTemplates, EditGroups},
	ra.RoleOperator: {See, EditDevices, Request, TakeKey, Revoke},
	ra.RoleApprover: {See, Approve},
	ra.RoleAuditor:  {See, SeeAudit},
	ra.RoleViewer:   {See},
}

// Permissions lists what a role allows.
func Permissions(role ra.Role) []Permission { return allowed[role] }

// Check reports with a Denied error when a may not do p in the group at path
// ("/og_a/og_b/"). An empty path is the whole installation.
func Check(a ra.Actor, p Permission, path string) error {
	for _, g := range a.Grants {
		if slices.Contains(allowed[g.Role], p) && covers(g, path) {
			return nil
		}
	}
	return ra.Errorf(ra.Denied, "%s may not do this here (it needs the permission %q).", name(a), p).
		WithRemedy("Ask an owner for a role that includes it, in this organization group or above.")
}

// May is Check as a yes or no anywhere, for menus: what is hidden is also
// refused.
func May(a ra.Actor, p Permission) bool {
	return slices.ContainsFunc(a.Grants, func(g ra.Grant) bool { return slices.Contains(allowed[g.Role], p) })
}

// covers: a grant for the whole installation has neither group nor path; one
// whose group no longer exists has no path and covers nothing.
func covers(g ra.Grant, path string) bool {
	if g.Group == "" {
		return true
	}
	return g.Path != "" && strings.HasPrefix(path, g.Path)
}

func name(a ra.Actor) string {
	if a.Name == "" {
		return "Nobody"
	}
	return a.Name
}

// CheckGroup is Check for a group by its ID. A group that does not exist, and
// one the actor may not even see, are both NotFound: nobody learns of groups
// outside their own.
func CheckGroup(tx *store.Tx, a ra.Actor, p Permission, id ra.GroupID) error {
	g, err := group(tx, id)
	if err != nil {
		return err
	}
	if err := Check(a, p, g.Path); err != nil {
		if Check(a, See, g.Path) != nil {
			return ra.Errorf(ra.NotFound, "There is no such object.").WithRemedy("Check the ID; it may lie outside your organization groups.").WithCause(err)
		}
		return err
	}
	return nil
}

func group(tx *store.Tx, id ra.GroupID) (*ra.Group, error) {
	config, err := tx.Config()
	if err != nil {
		return nil, err
	}
	return config.Group(id)
}

// Scope gives the groups in which a may do p: nil for all of them, an empty
// list for none.
func Scope(tx *store.Tx, a ra.Actor, p Permission) ([]ra.GroupID, error) {
	groups := []ra.GroupID{}
	for _, g := range a.Grants {
		if !slices.Contains(allowed[g.Role], p) {
			continue
		}
		if g.Group == "" {
			return nil, nil
		}
		if g.Path == "" {
			continue
		}
		under, err := tx.GroupsUnder(g.Path)
		if err != nil {
			return nil, err
		}
		groups = append(groups, under...)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// Within narrows a list to the groups somebody asked for and everything below
// them, among those in which a may do p; nothing asked for is Scope. A group
// the actor may not see is NotFound.
func Within(tx *store.Tx, a ra.Actor, p Permission, asked []ra.GroupID) ([]ra.GroupID, error) {
	if len(asked) == 0 {
		return Scope(tx, a, p)
	}
	groups := []ra.GroupID{}
	for _, id := range asked {
		if err := CheckGroup(tx, a, p, id); err != nil {
			return nil, err
		}
		g, err := tx.Group(id)
		if err != nil {
			return nil, err
		}
		under, err := tx.GroupsUnder(g.Path)
		if err != nil {
			return nil, err
		}
		groups = append(groups, under...)
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// Resolve fills the paths of an actor's grants from the groups as they are
// now. Doors call it once for each request.
func Resolve(tx *store.Tx, grants []ra.Grant) ([]ra.Grant, error) {
	out := slices.Clone(grants)
	for i, g := range out {
		out[i].Path = ""
		if g.Group == "" {
			continue
		}
		group, err := group(tx, g.Group)
		if ra.KindOf(err) == ra.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[i].Path = group.Path
	}
	return out, nil
}

// CheckLent is CheckGroup for seeing what a group lends to everything below it:
// authorities, templates and SCEP endpoints. Who may see a group may see what
// it uses of the groups above, and change none of it.
func CheckLent(tx *store.Tx, a ra.Actor, id ra.GroupID) error {
	g, err := tx.Group(id)
	if err != nil {
		return err
	}
	for _, grant := range a.Grants {
		if grant.Path != "" && slices.Contains(allowed[grant.Role], See) && strings.HasPrefix(grant.Path, g.Path) {
			return nil
		}
	}
	return CheckGroup(tx, a, See, id)
}

// LentWithin is Within for lists of what groups lend: the groups the actor may
// see and those above them. Asked for groups, it gives those and everything
// below them, as Within does.
func LentWithin(tx *store.Tx, a ra.Actor, asked []ra.GroupID) ([]ra.GroupID, error) {
	groups, err := Within(tx, a, See, asked)
	if err != nil || groups == nil || len(asked) > 0 {
		return groups, err
	}
	for _, grant := range a.Grants {
		if grant.Path == "" || !slices.Contains(allowed[grant.Role], See) {
			continue
		}
		for _, id := range strings.Split(strings.Trim(grant.Path, "/"), "/") {
			groups = append(groups, ra.GroupID(id))
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}
