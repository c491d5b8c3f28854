package store

import (
	"slices"
	"strings"

	"chancery/internal/ra"
)

type groupRow struct {
	ID         string `db:"id"`
	ParentID   string `db:"parent_id"`
	Name       string `db:"name"`
	NameFolded string `db:"name_folded"`
	Path       string `db:"path"`
	Settings   string `db:"settings"`
	timesRow
}

func toGroup(g *ra.Group) groupRow {
	return groupRow{ID: string(g.ID), ParentID: string(g.ParentID), Name: g.Name, NameFolded: ra.Fold(g.Name), Path: g.Path,
		Settings: text(g.Settings), timesRow: toTimes(g.Times)}
}

func (r *groupRow) noun() (*ra.Group, error) {
	g := &ra.Group{ID: ra.GroupID(r.ID), ParentID: ra.GroupID(r.ParentID), Name: r.Name, Path: r.Path, Times: r.timesRow.noun()}
	return g, parse(r.Settings, &g.Settings)
}

// CreateGroup stores a new group and fills its Path from the parent's. A name
// taken under the same parent is a Conflict, a missing parent is NotFound.
func (tx *Tx) CreateGroup(g *ra.Group) error {
	if err := tx.alone(groupsLock); err != nil {
		return err
	}
	path, err := tx.pathUnder(g.ParentID, g.ID)
	if err != nil {
		return err
	}
	g.Path, g.CreatedAt, g.UpdatedAt = path, tx.Now, tx.Now
	row := toGroup(g)
	return tx.insert("groups", &row)
}

// UpdateGroup stores every field of g and fills its Path. Another ParentID
// moves the whole tree below g along; moving it below itself is Invalid. In
// another organization the devices of that tree belong to it from then on, and
// one with the platform ID of a device there is a Conflict.
func (tx *Tx) UpdateGroup(g *ra.Group) error {
	if err := tx.alone(groupsLock); err != nil {
		return err
	}
	var old groupRow
	if err := tx.get("groups", &old, "id = $1", string(g.ID)); err != nil {
		return err
	}
	path, err := tx.pathUnder(g.ParentID, g.ID)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path, old.Path) && path != old.Path {
		return ra.Errorf(ra.Invalid, "A group cannot be moved below itself.").WithField("parent_id").
			WithRemedy("Choose a parent outside of this group.")
	}
	loaded := g.UpdatedAt
	g.Path, g.UpdatedAt = path, tx.after(loaded)
	row := toGroup(g)
	if err := tx.replace("groups", row.ID, loaded, &row); err != nil {
		return err
	}
	if path == old.Path {
		return nil
	}
	return tx.moveBelow(old.Path, path)
}

// moveBelow rewrites the paths that begin with old, and the organization of
// the devices in those groups when it changed.
func (tx *Tx) moveBelow(old, path string) error {
	_, err := tx.exec("UPDATE groups SET path = CAST($1 AS TEXT) || substr(path, CAST($2 AS INTEGER)) WHERE path LIKE $3"+escape,
		path, len(old)+1, starting(old))
	if err != nil || root(old) == root(path) {
		return err
	}
	_, err = tx.exec("UPDATE devices SET organization_id = $1 WHERE group_id IN (SELECT id FROM groups WHERE path LIKE $2"+escape+")",
		root(path), starting(path))
	return tx.conflict("devices", err)
}

// pathUnder gives the path of a group below a parent, or of a root.
func (tx *Tx) pathUnder(parent, id ra.GroupID) (string, error) {
	if parent == "" {
		return "/" + string(id) + "/", nil
	}
	var row groupRow
	if err := tx.get("groups", &row, "id = $1", string(parent)); err != nil {
		return "", err
	}
	return row.Path + string(id) + "/", nil
}

// root gives the first ID of a path.
func root(path string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return id
}

// DeleteGroup deletes a group that holds nothing, else it is a Conflict.
func (tx *Tx) DeleteGroup(id ra.GroupID) error {
	if err := tx.alone(groupsLock); err != nil {
		return err
	}
	var children int
	if err := tx.x.GetContext(tx.ctx, &children, "SELECT count(*) FROM groups WHERE parent_id = $1", string(id)); err != nil {
		return fit(err)
	}
	if children > 0 {
		return ra.Errorf(ra.Conflict, "This organization group has groups below it.").
			WithRemedy("Move or delete those first.")
	}
	return tx.remove("groups", string(id))
}

// Group loads a group.
func (tx *Tx) Group(id ra.GroupID) (*ra.Group, error) { return tx.group("id = $1", string(id)) }

// GroupByName loads the group with a name, in any case, under a parent; the
// empty parent is where organizations are.
func (tx *Tx) GroupByName(parent ra.GroupID, name string) (*ra.Group, error) {
	return tx.group("parent_id = $1 AND name_folded = $2", string(parent), ra.Fold(name))
}

func (tx *Tx) group(where string, args ...any) (*ra.Group, error) {
	var row groupRow
	if err := tx.look("groups", &row, where, args...); err != nil {
		return nil, err
	}
	return row.noun()
}

// GroupFilter narrows a list of groups; empty fields do not.
type GroupFilter struct {
	Under ra.GroupID // this group and everything below it
	Text  string     // part of the name
	Page
}

// byName sorts what has a name by it, or by age when Page.Sort is "created".
var byName = sorting{"": {"name_folded", false}, "name": {"name_folded", false}, "created": {"id", false}}

// FindGroups lists groups by name, or as Page.Sort says: "name" or "created".
func (tx *Tx) FindGroups(f GroupFilter) ([]*ra.Group, string, error) {
	w := &where{}
	if f.Under != "" {
		g, err := tx.Group(f.Under)
		if err != nil {
			return nil, "", err
		}
		w.add("path LIKE ?"+escape, starting(g.Path))
	}
	w.contains(f.Text, "name_folded")
	return find[ra.Group, groupRow](tx, "groups", w, f.Page, byName)
}

// GroupsUnder gives the IDs of all groups whose path begins with path: a group
// and everything below it. The empty path gives every group.
func (tx *Tx) GroupsUnder(path string) ([]ra.GroupID, error) {
	var ids []ra.GroupID
	err := tx.x.SelectContext(tx.ctx, &ids, "SELECT id FROM groups WHERE path LIKE $1"+escape+" ORDER BY path", starting(path))
	return ids, fit(err)
}

// Ancestors gives the groups from the root down to and including a group.
func (tx *Tx) Ancestors(id ra.GroupID) ([]*ra.Group, error) {
	g, err := tx.Group(id)
	if err != nil {
		return nil, err
	}
	w := &where{}
	w.in("id", strings.Split(strings.Trim(g.Path, "/"), "/"))
	q, args := tx.statement(w, "SELECT * FROM groups")
	var rows []*groupRow
	if err := tx.x.SelectContext(tx.ctx, &rows, q, args...); err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b *groupRow) int { return len(a.Path) - len(b.Path) })
	return nouns[ra.Group](rows)
}

// Organization loads the root of a group's tree.
func (tx *Tx) Organization(id ra.GroupID) (*ra.Group, error) {
	g, err := tx.Group(id)
	if err != nil || g.ParentID == "" {
		return g, err
	}
	return tx.Group(ra.GroupID(root(g.Path)))
}

// EffectiveSettings gives a group's settings with what it leaves empty taken
// from the groups above it.
func (tx *Tx) EffectiveSettings(id ra.GroupID) (ra.GroupSettings, error) {
	groups, err := tx.Ancestors(id)
	var s ra.GroupSettings
	for _, g := range groups {
		s = g.Settings.Inherit(s)
	}
	return s, err
}
