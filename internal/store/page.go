package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

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

// key is the column that tells rows apart.
func (o order) key() string {
	if o.unique() {
		return o.column
	}
	return "id"
}

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
	conditions []condition
	lead       []string // the columns whose index may be used; see lead.go
	order      string   // the column of the list's order
	led        bool     // SQLite is kept from other indexes than those of lead and order
	alone      bool     // the rows behind the lead are few
	before     []string // columns to sort by before that of the list, in which all rows are the same
}

type condition struct {
	text    string
	args    []any
	column  string // what an index may lead to the rows by; empty: nothing
	values  []any  // that are asked for, where args are not they
	cursor  bool   // it is where a page begins
	guard   bool   // it tells the engine which rows an index has
	implied bool   // nobody asked for it; it only lets an index be used
}

func (w *where) add(text string, args ...any) {
	w.conditions = append(w.conditions, condition{text: text, args: args})
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.conditions = append(w.conditions, condition{text: column + " = ?", args: []any{value}, column: column})
	}
}

// owner is equal for a column whose index leaves out rows that have nothing in
// it.
func (w *where) owner(column, value string) {
	if w.equal(column, value); value != "" {
		w.conditions = append(w.conditions, condition{text: column + " <> ''", guard: true})
	}
}

// on gives what is asked of a column, or nil.
func (w *where) on(column string) *condition {
	i := slices.IndexFunc(w.conditions, func(c condition) bool { return c.column == column })
	if i < 0 {
		return nil
	}
	return &w.conditions[i]
}

// between asks for a time from one instant to before another; a zero one is no
// limit.
func (w *where) between(column string, from, to time.Time) {
	if from.IsZero() && to.IsZero() {
		return
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		low = millis(from)
	}
	if !to.IsZero() {
		high = millis(to) - 1
	}
	w.span(column, low, high)
}

// span asks for a number in a range, its ends included.
func (w *where) span(column string, low, high int64) {
	w.conditions = append(w.conditions, condition{text: column + " BETWEEN ? AND ?", args: []any{low, high}, column: column})
}

// contains asks that a text occurs in one of the columns, which hold folded
// text; the empty text asks nothing.
func (w *where) contains(s string, columns ...string) {
	if ra.Fold(s) == "" {
		return
	}
	var args []any
	conditions := make([]string, len(columns))
	for i, c := range columns {
		conditions[i] = c + " LIKE ?" + escape
		args = append(args, like(s))
	}
	w.add("("+strings.Join(conditions, " OR ")+")", args...)
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

// statement completes a statement with the conditions.
func (tx *Tx) statement(w *where, head string) (string, []any) {
	text, args := w.text(head)
	return tx.marked(text), args
}

// text completes a statement and leaves each "?" as it is.
func (w *where) text(head string) (string, []any) {
	var args []any
	for i, c := range w.conditions {
		if i == 0 {
			head += " WHERE "
		} else {
			head += " AND "
		}
		if w.led && c.column != "" && c.column != w.order && !slices.Contains(w.lead, c.column) {
			head += "+" // keeps SQLite from using an index
		}
		head += c.text
		args = append(args, c.args...)
	}
	return head, args
}

// marked gives a text the marks of arguments that the engine takes: numbers for
// PostgreSQL. SQLite's driver takes a number for a name, which it looks up among
// all arguments each time.
func (tx *Tx) marked(text string) string {
	if tx.e.remote {
		return numbered(strings.ReplaceAll(text, sqliteList, postgresList))
	}
	return text
}

// numbered turns each "?" into $1, $2 and so on.
func numbered(text string) string {
	var b strings.Builder
	n := 0
	for _, c := range text {
		if c == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
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

// someValues is up to how many values have an argument each; more are one list.
const someValues = 16

// any is in for values of every type, which are texts or numbers.
func (w *where) any(column string, values []any) {
	switch {
	case len(values) == 0:
		w.add("1 = 0")
	case len(values) <= someValues:
		w.conditions = append(w.conditions, condition{text: column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")", args: values, column: column})
	default:
		value := "value"
		if _, number := values[0].(int64); number {
			value = "CAST(value AS BIGINT)"
		}
		w.conditions = append(w.conditions, condition{text: column + " IN (SELECT " + value + " FROM " + sqliteList + ")", args: []any{text(values)}, column: column, values: values})
	}
}

// A list of values as one argument, which is JSON: many arguments take long to
// hand over, and PostgreSQL compares a row with each of them.
const (
	sqliteList   = "json_each(?)"
	postgresList = "json_array_elements_text(CAST(? AS JSON)) AS value"
)

// all gives the values that a condition asks for.
func (c *condition) all() []any {
	if c.values != nil {
		return c.values
	}
	return c.args
}

func (w *where) in(column string, values []string) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.any(column, args)
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
func page[R any](tx *Tx, rows *[]*R, table string, w *where, p Page, s sorting) (next string, err error) {
	o, err := s.pick(p.Sort)
	if err != nil {
		return "", err
	}
	if err := after[R](w, p, o); err != nil {
		return "", err
	}
	if *rows, err = first[R](tx, table, table, leadsOf[table], w, o, p.limit()+1); err != nil {
		return "", err
	}
	return rest(rows, p, o), nil
}

// first selects the first rows in an order from a table, or something that
// gives its rows.
func first[R any](tx *Tx, table, from string, by leads, w *where, o order, limit int) ([]*R, error) {
	w.led, w.order = by != nil && !tx.e.remote, o.column
	ways, sure, err := tx.choose(table, by, w, o, 1)
	if err != nil {
		return nil, err
	}
	if !sure {
		begin, err := tx.beginning(table, w, o)
		if err != nil {
			return nil, fit(err)
		}
		if begin == nil {
			return sorted[R](tx, from, table, w, nil, o, limit)
		}
		if rows, err := sorted[R](tx, from, table, begin, nil, o, limit); err != nil || len(rows) == limit {
			return rows, err
		}
		if ways == nil {
			if ways, _, err = tx.choose(table, by, w, o, patient); err != nil {
				return nil, err
			}
		}
	}
	return sorted[R](tx, from, table, w, ways, o, limit)
}

// after asks for what follows the page's cursor, in an order.
func after[R any](w *where, p Page, o order) error {
	if p.After == "" {
		return nil
	}
	id, value, err := cursor(p.After, p.Sort)
	if err != nil {
		return err
	}
	var zero R
	if fmt.Sprintf("%T", value) != fmt.Sprintf("%T", field(&zero, o.column)) {
		return badCursor(nil)
	}
	op := ">"
	if o.desc {
		op = "<"
	}
	c := condition{text: o.column + " " + op + " ?", args: []any{value}, cursor: true}
	if !o.unique() {
		c.text, c.args = fmt.Sprintf("(%s, id) %s (?, ?)", o.column, op), []any{value, id}
	}
	w.conditions = append(w.conditions, c)
	return nil
}

// end sorts rows, by some columns before that of the order, and takes the first
// of them.
func (o order) end(limit int, before ...string) string {
	dir := " ASC"
	if o.desc {
		dir = " DESC"
	}
	columns := append(before[:len(before):len(before)], o.column)
	if !o.unique() {
		columns = append(columns, "id")
	}
	return " ORDER BY " + strings.Join(columns, dir+", ") + dir + fmt.Sprintf(" LIMIT %d", limit)
}

// sorted selects the first rows by w, or by the ways that are the same.
func sorted[R any](tx *Tx, from, table string, w *where, ways []*where, o order, limit int) ([]*R, error) {
	var zero R
	head := "SELECT " + shapeOf(&zero).list + " FROM " + from
	q, args := w.text(head)
	if ways != nil {
		q, args = together(head, table, ways, o, limit)
	}
	q += o.end(limit)
	rows, err := scan[R](tx.x.QueryContext(tx.long(), tx.marked(q), args...))
	return rows, fit(err)
}

// rest cuts a page to its length and gives the cursor of what follows.
func rest[R any](rows *[]*R, p Page, o order) string {
	if len(*rows) <= p.limit() {
		return ""
	}
	*rows = (*rows)[:p.limit()]
	last := (*rows)[p.limit()-1]
	c := cursorText{Value: field(last, o.column), Sort: p.Sort}
	if !o.unique() {
		c.ID = field(last, "id").(string)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text(c)))
}

// field gives the value of a row's column.
func field(row any, column string) any {
	return mapper.FieldByName(reflect.ValueOf(row), column).Interface()
}

// take selects rows that this transaction will work on.
func (tx *Tx) take(rows any, table string, w *where, by string, limit int) error {
	q, args := tx.statement(w, "SELECT * FROM "+table)
	q += fmt.Sprintf(" ORDER BY %s LIMIT %d", by, limit)
	if tx.lck {
		q += tx.e.skip
	}
	return tx.x.SelectContext(tx.long(), rows, q, args...)
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
