package store

import (
	"slices"
	"strings"
)

// A list is narrowed by several columns and sorted by another, and an index
// helps with one of them. PostgreSQL knows from its statistics which; SQLite
// keeps none by itself, and guesses. So for SQLite it is looked up. When few
// rows have what is asked of one column, its index leads to them: their keys
// are sorted, and the rows of the page fetched. Else an index that is sorted
// already is walked until the page is full, which is soon, because many rows
// fit.

// How many rows are looked at and sorted without a noticeable wait: those
// behind an index, and those for which the index holds all that is asked.
const (
	fewRows    = 4_000
	fewEntries = 100_000
)

// lead is a column with an index.
type lead struct {
	column string
	sorted []string // what the index is sorted by after the column
	few    int
}

var (
	byID  = []string{"id"}
	bySeq = []string{"seq"}
)

// leads are the columns that lists are narrowed by and that have an index, the
// most telling first.
var leads = map[string][]lead{
	"certificates": {{"id", nil, fewRows}, {"serial", nil, fewRows}, {"spki_hash", nil, fewRows}, {"device_id", byID, fewRows}, {"user_id", byID, fewRows},
		{"group_id", byID, fewRows}, {"template_id", byID, fewRows}, {"state", []string{"id", "not_after"}, fewRows},
		{"authority_id", byID, fewRows}, {"not_after", nil, fewEntries}},
	"requests": {{"id", nil, fewRows}, {"spki_hash", nil, fewRows}, {"device_id", byID, fewRows}, {"user_id", byID, fewRows}, {"group_id", byID, fewRows},
		{"state", byID, fewRows}},
	"devices": {{"id", nil, fewRows}, {"user_id", nil, fewRows}, {"group_id", byID, fewRows}, {"state", byID, fewRows}, {"platform", nil, fewRows}},
	"users":   {{"id", nil, fewRows}, {"group_id", []string{"name_folded"}, fewRows}},
	"audit":   {{"seq", nil, fewRows}, {"actor_id", bySeq, fewRows}, {"group_id", bySeq, fewRows}, {"code", bySeq, fewRows}},
}

// ways gives the conditions by which the keys of a page are found, one set or
// several that complement each other; nil means to walk along the order of the
// list, by w.
func (tx *Tx) ways(table string, w *where, o order) ([]*where, error) {
	if tx.e.remote || leads[table] == nil {
		return nil, nil
	}
	w.led, w.order = true, o.column
	var along *condition
	for _, l := range leads[table] {
		i := slices.IndexFunc(w.conditions, func(c condition) bool { return c.column == l.column })
		if i < 0 || l.column == o.column {
			continue
		}
		c := &w.conditions[i]
		var n int
		err := tx.x.GetContext(tx.long(), &n, numbered("SELECT count(*) FROM (SELECT 1 FROM "+table+" WHERE "+c.text+" LIMIT ?)"), append(slices.Clone(c.args), l.few)...)
		if err != nil {
			return nil, fit(err)
		}
		if n < l.few {
			w.lead = l.column
			return []*where{w}, nil
		}
		if along == nil && slices.Contains(l.sorted, o.column) && len(c.args) <= 8 {
			along = c
		}
	}
	if along == nil {
		return nil, nil
	}
	w.lead = along.column
	if len(along.args) == 1 {
		return nil, nil
	}
	// Each value has its own stretch of the index; none is sorted as a whole.
	var ways []*where
	for _, value := range along.args {
		one := &where{lead: w.lead, order: w.order, led: true, conditions: slices.Clone(w.conditions)}
		one.conditions[slices.IndexFunc(one.conditions, func(c condition) bool { return c.column == along.column })] =
			condition{along.column + " = ?", []any{value}, along.column}
		ways = append(ways, one)
	}
	return ways, nil
}

// together fetches the rows whose keys any of the ways finds; end sorts and
// limits each of them, and has to be added.
func together(head, table, key string, ways []*where, end string) (string, []any) {
	var parts []string
	var all []any
	for _, w := range ways {
		text, args := w.text("SELECT " + key + " FROM " + table)
		parts = append(parts, "SELECT "+key+" FROM ("+text+end+")")
		all = append(all, args...)
	}
	return head + " WHERE " + key + " IN (" + strings.Join(parts, " UNION ALL ") + ")", all
}
