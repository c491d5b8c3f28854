package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"chancery/internal/ra"
)

// Page is one page of a list. Pages are cut by key, not by number, so that
// they stay right while rows come and go and cost the same at any depth.
type Page struct {
	Limit int    // rows; 0 means 50, at most MaxPage
	After string // the cursor a former page gave; empty: from the start
	Sort  string // a name the list knows, with "-" before it for the other direction; empty: the list's own order
}

// MaxPage is the largest page.
const MaxPage = 1000

func (p Page) limit() int {
	switch {
	case p.Limit <= 0:
		return 50
	case p.Limit > MaxPage:
		return MaxPage
	}
	return p.Limit
}

// order is a column to sort by; the id is the second key of one that is not
// unique.
type order struct {
	column string
	desc   bool
}

func (o order) unique() bool { return o.column == "id" || o.column == "seq" }

// sorting maps the names a list may be sorted by to columns, so that no text
// from outside ever reaches ORDER BY. The empty name is the list's own order.
type sorting map[string]order

func (s sorting) pick(name string) (order, error) {
	bare, flip := strings.CutPrefix(name, "-")
	o, ok := s[bare]
	if !ok {
		e := ra.Errorf(ra.Invalid, "This list cannot be sorted by %q.", bare).WithField("sort")
		if names := strings.TrimPrefix(strings.Join(slices.Sorted(maps.Keys(s)), ", "), ", "); names != "" {
			return order{}, e.WithRemedy("Use one of: %s.", names)
		}
		return order{}, e.WithRemedy("Leave it out.")
	}
	if flip {
		o.desc = !o.desc
	}
	return o, nil
}

// where gathers conditions; "?" stands for an argument and becomes $n.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// contains asks that a text occurs in one of the columns, which hold folded
// text; the empty text asks nothing.
func (w *where) contains(s string, columns ...string) {
	if ra.Fold(s) == "" {
		return
	}
	conditions := make([]string, len(columns))
	for i, c := range columns {
		conditions[i] = c + " LIKE ?" + escape
		w.args = append(w.args, like(s))
	}
	w.conditions = append(w.conditions, "("+strings.Join(conditions, " OR ")+")")
}

// escape follows a LIKE whose pattern came from like or starting.
const escape = ` ESCAPE '\'`

// like makes a pattern that finds s anywhere in folded text.
func like(s string) string { return "%" + starting(ra.Fold(s)) }

// starting makes a pattern for texts that begin with s. Nothing in s is a
// wildcard.
func starting(s string) string {
	const maxBytes = 10_000 // SQLite refuses patterns beyond 50,000
	s = strings.ToValidUTF8(s[:min(len(s), maxBytes)], "")
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "\x00", "").Replace(s) + "%"
}

// sql completes a statement with the conditions and numbers its arguments.
func (w *where) sql(head string) (string, []any) {
	if len(w.conditions) > 0 {
		head += " WHERE " + strings.Join(w.conditions, " AND ")
	}
	var b strings.Builder
	n := 0
	for _, c := range head {
		if c == '?' {
			n++
			fmt.Fprintf(&b, "$%d", n)
			continue
		}
		b.WriteRune(c)
	}
	return b.String(), w.args
}

// within asks for any of the values; nil asks nothing, an empty list finds
// nothing: an actor without a group sees no rows.
func within[T ~string](w *where, column string, values []T) {
	if values != nil {
		w.in(column, toStrings(values))
	}
}

// among asks for any of the values; an empty list asks nothing.
func among[T ~string](w *where, column string, values []T) {
	if len(values) > 0 {
		w.in(column, toStrings(values))
	}
}

func (w *where) in(column string, values []string) {
	if len(values) == 0 {
		w.add("1 = 0")
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

func toStrings[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// find selects one page of nouns and gives the cursor of the next one.
func find[N any, R any, P interface {
	*R
	noun() (*N, error)
}](tx *Tx, table string, w *where, p Page, s sorting) ([]*N, string, error) {
	var rows []*R
	next, err := page(tx, &rows, table, w, p, s)
	if err != nil {
		return nil, "", err
	}
	out := make([]*N, len(rows))
	for i, r := range rows {
		if out[i], err = P(r).noun(); err != nil {
			return nil, "", err
		}
	}
	return out, next, nil
}

// page selects one page of rows. The last row's id and its value in the column
// the list is sorted by are the cursor of the next page.
func page[R any](tx *Tx, rows *[]*R, table string, w *where, p Page, s sorting) (string, error) {
	o, err := s.pick(p.Sort)
	if err != nil {
		return "", err
	}
	var zero R
	if p.After != "" {
		id, value, err := cursor(p.After, p.Sort)
		if err != nil {
			return "", err
		}
		if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", field(&zero, o.column)) {
			return "", badCursor(nil)
		}
		op := ">"
		if o.desc {
			op = "<"
		}
		if o.unique() {
			w.add(o.column+" "+op+" ?", value)
		} else {
			w.add(fmt.Sprintf("(%s, id) %s (?, ?)", o.column, op), value, id)
		}
	}
	q, args := w.sql("SELECT " + strings.Join(columns(&zero), ", ") + " FROM " + table)
	dir := " ASC"
	if o.desc {
		dir = " DESC"
	}
	q += " ORDER BY " + o.column + dir
	if !o.unique() {
		q += ", id" + dir
	}
	q += fmt.Sprintf(" LIMIT %d", p.limit()+1)
	if err := tx.x.SelectContext(tx.ctx, rows, q, args...); err != nil {
		return "", fit(err)
	}
	if len(*rows) <= p.limit() {
		return "", nil
	}
	*rows = (*rows)[:p.limit()]
	last := (*rows)[p.limit()-1]
	c := cursorText{Value: field(last, o.column), Sort: p.Sort}
	if !o.unique() {
		c.ID = field(last, "id").(string)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text(c))), nil
}

// field gives the value of a row's column.
func field(row any, column string) any {
	return mapper.FieldByName(reflect.ValueOf(row), column).Interface()
}

// take selects rows that this transaction will work on.
func (tx *Tx) take(rows any, table string, w *where, by string, limit int) error {
	q, args := w.sql("SELECT * FROM " + table)
	q += fmt.Sprintf(" ORDER BY %s LIMIT %d", by, limit)
	if tx.lck {
		q += tx.e.skip
	}
	return tx.x.SelectContext(tx.ctx, rows, q, args...)
}

type cursorText struct {
	ID    string `json:"i,omitempty"`
	Value any    `json:"v"`
	Sort  string `json:"s"`
}

func cursor(s, sort string) (id string, value any, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	var c cursorText
	if err == nil {
		d := json.NewDecoder(strings.NewReader(string(b)))
		d.UseNumber()
		err = d.Decode(&c)
	}
	if err == nil && c.Sort != sort {
		err = fmt.Errorf("made for another order")
	}
	if err != nil {
		return "", nil, badCursor(err)
	}
	if n, ok := c.Value.(json.Number); ok {
		i, err := n.Int64()
		if err != nil {
			return "", nil, badCursor(err)
		}
		return c.ID, i, nil
	}
	return c.ID, c.Value, nil
}

func badCursor(err error) error {
	return ra.Errorf(ra.Invalid, "The page cursor is not usable.").WithField("after").
		WithRemedy("Start again from the first page.").WithCause(err)
}

// nouns turns rows into nouns.
func nouns[N any, R interface{ noun() (*N, error) }](rows []R) ([]*N, error) {
	out := make([]*N, len(rows))
	for i, r := range rows {
		n, err := r.noun()
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}
