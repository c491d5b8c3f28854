package store

import (
	"slices"

	"chancery/internal/ra"
)

// scope asks for rows of any of the groups; nil, or all groups there are, asks
// nothing: what belongs to no group has a list of its own.
func (tx *Tx) scope(w *where, groups []ra.GroupID) error {
	all, err := tx.everywhere(groups)
	if err == nil && !all {
		within(w, "group_id", groups)
	}
	return err
}

// everywhere reports whether groups are all there are.
func (tx *Tx) everywhere(groups []ra.GroupID) (bool, error) {
	if len(groups) == 0 {
		return groups == nil, nil
	}
	var n int
	if err := tx.x.GetContext(tx.ctx, &n, "SELECT count(*) FROM groups"); err != nil || n > len(groups) {
		return false, err
	}
	var known []ra.GroupID
	err := tx.x.SelectContext(tx.ctx, &known, "SELECT id FROM groups")
	given := map[ra.GroupID]bool{}
	for _, id := range groups {
		given[id] = true
	}
	return !slices.ContainsFunc(known, func(id ra.GroupID) bool { return !given[id] }), err
}

// mostPlaces is how many templates of an authority are told apart in its lists.
const mostPlaces = 50

// place asks for rows of an authority, of a template, or both. The index that
// leads to them is one by both, so the other one is looked up.
func (tx *Tx) place(w *where, table string, authority ra.AuthorityID, template ra.TemplateID) error {
	w.equal("authority_id", string(authority))
	w.equal("template_id", string(template))
	switch {
	case template != "" && authority == "":
		var found []string
		err := tx.x.SelectContext(tx.ctx, &found, "SELECT id FROM authorities WHERE EXISTS (SELECT 1 FROM "+table+" WHERE authority_id = authorities.id AND template_id = $1)", string(template))
		if err != nil {
			return fit(err)
		}
		w.in("authority_id", found)
	case authority != "" && template == "":
		found := []string{}
		for op, last := ">=", ""; ; op = ">" {
			var next []string
			err := tx.x.SelectContext(tx.ctx, &next, "SELECT template_id FROM "+table+" WHERE authority_id = $1 AND template_id "+op+" $2 ORDER BY template_id LIMIT 1", string(authority), last)
			if err != nil {
				return fit(err)
			}
			if len(next) == 0 {
				break
			}
			if last = next[0]; len(found) == mostPlaces {
				return nil
			}
			found = append(found, last)
		}
		w.in("template_id", found)
	}
	return nil
}
