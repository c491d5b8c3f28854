package store

import (
	"database/sql"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx/reflectx"
)

// mapper reads the db tags of row structs, the same way sqlx does.
var mapper = reflectx.NewMapperFunc("db", strings.ToLower)

// shape is what a row struct looks like in the database: worked out once per
// struct, because every statement needs it.
type shape struct {
	columns []string
	index   [][]int // of the field of each column
	list    string  // the columns, separated by commas
}

var shapes sync.Map // of reflect.Type to *shape

// shapeOf gives the shape of a row struct or of a pointer to one.
func shapeOf(row any) *shape { return shapeOfType(reflect.Indirect(reflect.ValueOf(row)).Type()) }

func shapeOfType(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{}
	for _, f := range mapper.TypeMap(t).Index {
		if f.Path != "" && !f.Embedded && len(f.Children) == 0 {
			s.columns = append(s.columns, f.Name)
			s.index = append(s.index, f.Index)
		}
	}
	s.list = strings.Join(s.columns, ", ")
	shapes.Store(t, s)
	return s
}

// values gives what a row holds, column by column.
func (s *shape) values(row any) []any {
	v := reflect.Indirect(reflect.ValueOf(row))
	out := make([]any, len(s.index))
	for i, index := range s.index {
		out[i] = v.FieldByIndex(index).Interface()
	}
	return out
}

// targets gives where the columns of a row are scanned to.
func (s *shape) targets(row any) []any {
	v := reflect.ValueOf(row).Elem()
	out := make([]any, len(s.index))
	for i, index := range s.index {
		out[i] = v.FieldByIndex(index).Addr().Interface()
	}
	return out
}

// rowTexts are the statements that store rows of one struct in one table.
type rowTexts struct {
	insert string
	update string // of every column but id and created_at, by the id
}

type rowTextsKey struct {
	table string
	shape *shape
}

var texts sync.Map // of rowTextsKey to *rowTexts

func (s *shape) texts(table string) *rowTexts {
	key := rowTextsKey{table, s}
	if t, ok := texts.Load(key); ok {
		return t.(*rowTexts)
	}
	var marks, sets []string
	for i, c := range s.columns {
		marks = append(marks, "$"+strconv.Itoa(i+1))
		if changes(c) {
			sets = append(sets, c+" = $"+strconv.Itoa(len(sets)+1))
		}
	}
	t := &rowTexts{
		insert: "INSERT INTO " + table + " (" + s.list + ") VALUES (" + strings.Join(marks, ", ") + ")",
		update: "UPDATE " + table + " SET " + strings.Join(sets, ", ") + " WHERE id = $" + strconv.Itoa(len(sets)+1),
	}
	texts.Store(key, t)
	return t
}

// changes reports whether an update of a row stores a column.
func changes(column string) bool { return column != "id" && column != "created_at" }

// changed gives the arguments of the update of a row: what it stores, and its
// id.
func (s *shape) changed(row any) []any {
	var id any
	out := s.values(row)
	args := out[:0]
	for i, c := range s.columns {
		if c == "id" {
			id = out[i]
		}
		if changes(c) {
			args = append(args, out[i])
		}
	}
	return append(args, id)
}

// scan reads all rows of an answer whose columns are those of R, in order.
func scan[R any](rows *sql.Rows, err error) ([]*R, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	s := shapeOfType(reflect.TypeFor[R]())
	var out []*R
	for rows.Next() {
		r := new(R)
		if err := rows.Scan(s.targets(r)...); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
