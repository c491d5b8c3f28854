package store

import (
	"fmt"
	"slices"
	"strings"
)

// A list is narrowed by several columns and sorted by another, and an index
// helps with some of them. Where few rows have what is asked of one column, its
// index leads to them: their keys are sorted, and the rows of the page fetched.
// Else an index that is sorted already is walked until the page is full, which
// is soon, because many rows fit. Where several values are asked for, each has
// its own stretch of the index, and the page is put together from all.
//
// PostgreSQL knows from its statistics how many rows there are, and chooses by
// itself; only the stretches it does not see. SQLite keeps no statistics by
// itself, and guesses. So for SQLite it is looked up.

const (
	// fewRows is how many rows behind an index are looked at and sorted without
	// a noticeable wait, and spared how many times as many where the index holds
	// all that is asked.
	fewRows = 16_000
	spared  = 15
	// patient is by how much they may be more where the beginning of the list
	// holds too little.
	patient = 6
	// handful is how many rows are less than looking for a shorter way.
	handful = 4_000
	// manyStretches is how many stretches are worth looking for a shorter way.
	manyStretches = 8
	// mostStretches is how many of them one page is put together from; SQLite
	// takes 500.
	mostStretches = 400
)

// lead is an index and how it helps.
type lead struct {
	columns []string // what it begins with: asked for by one value each, or by several
	span    string   // what follows and is asked for by a range; empty: nothing
	sorted  string   // what the entries of one value are sorted by
	few     int      // up to how many rows it leads to them; 0: it is only walked along
	holds   []string // further columns of its entries
	common  string   // the value of the first column that has no entries
	guard   string   // tells the engine which rows have entries
}

// leads are the indexes of a list, the most telling first.
type leads []lead

// leadsOf are the indexes by table.
var leadsOf = map[string]leads{
	"certificates": {
		{columns: []string{"id"}, few: fewRows}, {columns: []string{"serial"}, few: fewRows}, {columns: []string{"spki_hash"}, few: fewRows},
		{columns: []string{"device_id"}, sorted: "id", guard: "device_id <> ''", few: fewRows}, {columns: []string{"user_id"}, sorted: "id", guard: "user_id <> ''", few: fewRows}, {columns: []string{"group_id"}, sorted: "id", few: fewRows},
		{columns: []string{"authority_id", "template_id"}, sorted: "id", few: fewRows}, {columns: []string{"authority_id"}, few: fewRows},
		{columns: []string{"state"}, sorted: "not_after", few: fewRows},
		{columns: []string{"state"}, sorted: "id", common: "valid", guard: "state <> 'valid'"},
		{columns: []string{"state"}, span: "not_after", holds: []string{"id", "purpose", "group_id", "authority_id", "next_action"}, few: fewRows},
	},
	"requests": {
		{columns: []string{"id"}, few: fewRows}, {columns: []string{"spki_hash"}, guard: "next_action <> ''", few: fewRows},
		{columns: []string{"device_id"}, sorted: "id", guard: "device_id <> ''", few: fewRows}, {columns: []string{"user_id"}, sorted: "id", guard: "user_id <> ''", few: fewRows}, {columns: []string{"group_id"}, sorted: "id", few: fewRows},
		{columns: []string{"authority_id", "template_id"}, sorted: "id", few: fewRows}, {columns: []string{"authority_id"}, few: fewRows},
		{columns: []string{"state"}, sorted: "id", common: "issued", guard: "state <> 'issued'", few: fewRows},
	},
	"devices": {
		{columns: []string{"id"}, few: fewRows}, {columns: []string{"user_id"}, guard: "user_id <> ''", few: fewRows}, {columns: []string{"group_id"}, sorted: "id", few: fewRows},
		{columns: []string{"state"}, sorted: "id", common: "enrolled", guard: "state <> 'enrolled'", few: fewRows}, {columns: []string{"platform"}, few: fewRows},
	},
	"users": {{columns: []string{"id"}, few: fewRows}, {columns: []string{"group_id"}, sorted: "name_folded", few: fewRows}},
	"audit": {
		{columns: []string{"seq"}, few: fewRows}, {columns: []string{"object"}, few: fewRows}, {columns: []string{"actor_id"}, sorted: "seq", few: fewRows}, {columns: []string{"group_id"}, sorted: "seq", few: fewRows},
		{columns: []string{"code"}, sorted: "seq", few: fewRows},
	},
}

// waitingLeads are those of what waits of certificates.
var waitingLeads = leads{
	{columns: []string{"group_id"}, few: fewRows}, {columns: []string{"authority_id", "next_action"}, guard: "next_action <> ''", few: fewRows},
	{span: "deadline_at", guard: "next_action <> '' AND deadline_at > 0", few: fewRows},
	{columns: []string{"next_action"}, sorted: "next_action_at", guard: "next_action <> ''", few: fewRows},
}

// asks reports whether all that an index begins with is asked for.
func (l lead) asks(w *where) bool {
	for _, c := range l.columns {
		if w.on(c) == nil {
			return false
		}
	}
	return l.span == "" || w.on(l.span) != nil
}

// leaves reports whether some of the rows asked for may have no entries.
func (l lead) leaves(w *where) bool {
	return l.common != "" && slices.Contains(w.on(l.columns[0]).all(), any(l.common))
}

// limit is how many rows the index may lead to: more with patience, and where it
// holds all that is asked.
func (l lead) limit(w *where, o order, patience int) int {
	if !slices.Contains(l.holds, o.column) {
		return patience * l.few
	}
	for _, c := range w.conditions {
		if !c.cursor && !slices.Contains(l.holds, c.column) && !slices.Contains(l.columns, c.column) && c.column != l.span {
			return patience * l.few
		}
	}
	return spared * l.few
}

// by gives w with an index to use.
func (w *where) by(l lead) *where {
	out := &where{conditions: slices.Clone(w.conditions), led: w.led, lead: slices.Clone(l.columns), order: w.order}
	if l.span != "" {
		out.lead = append(out.lead, l.span)
	}
	if l.guard != "" {
		out.conditions = append(out.conditions, condition{text: l.guard, guard: true})
	}
	return out
}

// apart are the columns whose index begins with another column, so that a list
// in their order has no beginning to look at.
var apart = []string{"not_after", "next_action_at"}

// choose gives the ways to the rows of a list that w asks for, in an order: sets
// of conditions that complement each other, or nil for a walk along the order.
// When it is not sure, the rows are many, and the beginning of the list is worth
// a look; patience is by how much they may be more.
func (tx *Tx) choose(table string, from leads, w *where, o order, patience int) (ways []*where, sure bool, err error) {
	sorted, exact := from.along(w, o)
	if exact {
		return sorted, true, nil
	}
	best, least, any := -1, 0, false
	for i, l := range from {
		if l.few == 0 || !l.asks(w) || l.leaves(w) || slices.Contains(l.columns, o.column) || l.span == o.column {
			continue
		}
		any = true
		n, limit, err := tx.behind(table, l, w, o, patience)
		if err != nil {
			return nil, false, err
		}
		if n < limit && (best < 0 || n < least) {
			best, least = i, n
		}
		if n < handful {
			break
		}
	}
	sure = !any || slices.Contains(apart, o.column)
	if best >= 0 {
		way := w.by(from[best])
		way.alone = true
		return []*where{way}, sure || least < handful, nil
	}
	return sorted, sure || sorted != nil && len(sorted) <= manyStretches, nil
}

// along gives the stretches of an index that have what w asks for in order, the
// fewest there are; exact when they hold nothing else.
func (from leads) along(w *where, o order) (ways []*where, exact bool) {
	for _, l := range from {
		if l.sorted != o.column || !l.asks(w) || l.common != "" && w.on(l.columns[0]).implied {
			continue
		}
		beside := w.asksBeside(l, o)
		parts := stretches(l, w)
		if len(parts) > mostStretches || len(parts) > manyStretches && beside {
			continue // each would have to be walked until it has a page of rows
		}
		if ways == nil || len(parts) < len(ways) {
			ways, exact = parts, !beside && len(parts) <= manyStretches && !l.leaves(w)
		}
	}
	return ways, exact
}

// asksBeside reports whether something is asked for that an index does not begin
// with, and that is not the order.
func (w *where) asksBeside(l lead, o order) bool {
	return slices.ContainsFunc(w.conditions, func(c condition) bool {
		return !c.cursor && !c.implied && !c.guard && c.column != "purpose" && c.column != o.column && (c.column == "" || c.column != l.span) && !slices.Contains(l.columns, c.column)
	})
}

// behind counts the rows behind an index, up to the most that it may lead to.
func (tx *Tx) behind(table string, l lead, w *where, o order, patience int) (n, limit int, err error) {
	some := &where{}
	for _, c := range append(slices.Clone(l.columns), l.span) {
		if c != "" {
			some.conditions = append(some.conditions, *w.on(c))
		}
	}
	if l.guard != "" {
		some.add(l.guard)
	}
	limit = l.limit(w, o, patience)
	q, args := some.text("SELECT 1 FROM " + table)
	err = tx.x.GetContext(tx.long(), &n, tx.marked("SELECT count(*) FROM ("+q+" LIMIT ?) AS part"), append(args, limit)...)
	return n, limit, fit(err)
}

// beginning is w for the first rows of a list only, however few of them fit; nil
// when the list is not longer.
func (tx *Tx) beginning(table string, w *where, o order) (*where, error) {
	all, columns, op := &where{}, o.column, "<="
	if i := slices.IndexFunc(w.conditions, func(c condition) bool { return c.cursor }); i >= 0 {
		all.conditions = w.conditions[i : i+1]
	}
	if !o.unique() {
		columns += ", id"
	}
	if o.desc {
		op = ">="
	}
	q, args := all.text("SELECT " + columns + " FROM " + table)
	rows, err := tx.x.QueryContext(tx.ctx, tx.marked(q+o.end(1)+fmt.Sprintf(" OFFSET %d", handful)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, rows.Err()
	}
	last := make([]any, strings.Count(columns, ",")+1)
	into := []any{&last[0], nil}[:len(last)]
	if len(last) > 1 {
		into[1] = &last[1]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	out := &where{conditions: slices.Clone(w.conditions), led: w.led, order: w.order}
	out.add("("+columns+") "+op+" (?"+strings.Repeat(", ?", len(last)-1)+")", last...)
	return out, nil
}

// stretches divides w into one for each value of what an index begins with.
// PostgreSQL, which may take another index for shorter because it knows nothing
// of where in a list the rows are, is asked for an order that only this one has.
func stretches(l lead, w *where) []*where {
	all := []*where{w}
	for _, column := range l.columns {
		var parts []*where
		for _, one := range all {
			for _, value := range w.on(column).all() {
				part, c := one.by(l), condition{text: column + " = ?", args: []any{value}, column: column}
				switch {
				case l.common != "" && value == l.common:
					part = one.by(lead{}) // along the order of the list
				case !w.led:
					c.text, c.args = column+" BETWEEN ? AND ?", []any{value, value}
					part.before = append(slices.Clone(one.before), column)
				}
				*part.on(column) = c
				parts = append(parts, part)
			}
			if len(parts) > mostStretches {
				return parts
			}
		}
		all = parts
	}
	return all
}

// together fetches the rows whose keys any of the ways finds, each so many in
// an order, which has to be added.
func together(head, table string, ways []*where, o order, limit int) (string, []any) {
	var parts []string
	var all []any
	for _, w := range ways {
		text, args := w.keys(o.key(), table)
		parts = append(parts, "SELECT "+o.key()+" FROM ("+text+o.end(limit, w.before...)+") AS part")
		all = append(all, args...)
	}
	return head + " WHERE " + o.key() + " IN (" + strings.Join(parts, " UNION ALL ") + ")", all
}

// keys selects the keys of rows. PostgreSQL, which has no other way to be told
// of an index, first gets the rows behind it and then looks at the rest.
func (w *where) keys(key, table string) (string, []any) {
	if w.led || !w.alone {
		return w.text("SELECT " + key + " FROM " + table)
	}
	behind, rest := &where{}, &where{}
	for _, c := range w.conditions {
		if slices.Contains(w.lead, c.column) || c.guard {
			behind.conditions = append(behind.conditions, c)
		} else {
			rest.conditions = append(rest.conditions, c)
		}
	}
	inner, args := behind.text("SELECT * FROM " + table)
	outer, more := rest.text("SELECT " + key + " FROM (" + inner + " OFFSET 0) AS behind")
	return outer, append(args, more...)
}
