package adcsmsg

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"chancery/internal/wire/ndr"
)

// The types of a column and of a value, in the low byte (MS-CSRA §2.2.1.4).
const (
	ColumnLong   = 1
	ColumnDate   = 2
	ColumnBinary = 3
	ColumnString = 4
)

// Column is a column of the CA's database. Its number differs between versions;
// columns are found by name.
type Column struct {
	Type  uint8
	Index uint32
	Name  string
}

// Columns are all columns of a table.
type Columns []Column

// Find gives a column by its name, with or without "Request." before it.
func (c Columns) Find(name string) (Column, bool) {
	name = strings.TrimPrefix(name, "Request.")
	for _, x := range c {
		if strings.EqualFold(strings.TrimPrefix(x.Name, "Request."), name) {
			return x, true
		}
	}
	return Column{}, false
}

// EncodeViewTable writes the stub of EnumViewColumnTable for the table of requests
// (MS-CSRA §3.1.4.2.6): count columns from first on.
func EncodeViewTable(name string, first, count uint32) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.Uint32(0) // CVRC_TABLE_REQCERT
	e.Uint32(first)
	e.Uint32(count)
	return e.Bytes()
}

// columnSize is a CERTTRANSDBCOLUMN (MS-CSRA §2.2.1.2).
const columnSize = 5 * 4

// DecodeViewTable reads its answer.
func DecodeViewTable(stub []byte) (Columns, error) {
	count, b, err := decodeRows(stub)
	if err != nil {
		return nil, err
	}
	if count > maxColumns || count*columnSize > len(b) {
		return nil, fmt.Errorf("%w: %d columns", ErrRows, count)
	}
	out := make(Columns, count)
	for i := range out {
		head := b[i*columnSize:]
		name, err := textAt(b, binary.LittleEndian.Uint32(head[12:]))
		if err != nil {
			return nil, err
		}
		out[i] = Column{Type: head[0] & 0xf, Index: binary.LittleEndian.Uint32(head[4:]), Name: name}
	}
	return out, nil
}

// textAt reads a text that ends with a NUL, at an offset.
func textAt(b []byte, at uint32) (string, error) {
	if int64(at) >= int64(len(b)) {
		return "", fmt.Errorf("%w: a text beyond the end", ErrRows)
	}
	b = b[at:]
	for i := 0; i+1 < len(b) && i < 2*maxUnits; i += 2 {
		if b[i] == 0 && b[i+1] == 0 {
			return fromUTF16(b[:i])
		}
	}
	return "", fmt.Errorf("%w: a text without an end", ErrRows)
}

// The ways to compare in a Restriction (MS-CSRA §2.2.1.3).
const (
	SeekEqual   = 0x1
	SeekAtMost  = 0x4
	SeekAtLeast = 0x8
	SeekAbove   = 0x10
)

// Restriction keeps the rows of a view whose column compares with a value. Several
// on one column are a range.
type Restriction struct {
	Column Column
	Seek   uint32
	Value  Value
	Sort   bool // ascending by this column; of one restriction, on a column with an index
}

// The orders of a view.
const (
	sortNone   = 0
	sortAscend = 1
)

// Value is a value of a column: the one its type says.
type Value struct {
	Long   uint32
	Date   time.Time
	String string
	Binary []byte
}

func (v Value) encode(columnType uint8) []byte {
	switch columnType {
	case ColumnLong:
		return binary.LittleEndian.AppendUint32(nil, v.Long)
	case ColumnDate:
		e := &ndr.Encoder{}
		e.FileTime(v.Date)
		b, _ := e.Bytes() // a time cannot fail
		return b
	case ColumnString:
		return utf16LE(v.String)
	}
	return v.Binary
}

// EncodeOpenView writes the stub of OpenView (MS-CSRA §3.1.4.1.12): the first count
// rows that fulfil every restriction, with the columns.
func EncodeOpenView(name string, restrictions []Restriction, columns Columns, count uint32) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.Count(len(restrictions))
	e.Struct(func() {
		e.Count(len(restrictions))
		for _, r := range restrictions {
			value := r.Value.encode(r.Column.Type)
			e.Uint32(r.Column.Index)
			e.Uint32(r.Seek)
			if r.Sort {
				e.Uint32(sortAscend)
			} else {
				e.Uint32(sortNone)
			}
			e.Unique(true, func() { e.Blob(value) })
			e.Uint32(uint32(len(value)))
		}
	})
	e.Count(len(columns))
	e.Count(len(columns))
	for _, c := range columns {
		e.Uint32(c.Index)
	}
	e.Uint32(1) // from the first row on
	e.Uint32(count)
	return e.Bytes()
}

// EncodeEnumView writes the stub of EnumView: count rows from first on.
func EncodeEnumView(name string, first, count uint32) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.Uint32(first)
	e.Uint32(count)
	return e.Bytes()
}

// Row is a row of the database: its values by the number of the column, null ones
// left out.
type Row struct {
	ID     uint32
	Values map[uint32]Value
}

// Value gives the value of a column; false when it is null.
func (r Row) Value(c Column) (Value, bool) {
	v, ok := r.Values[c.Index]
	return v, ok
}

// rowSize and cellSize are the heads of CERTTRANSDBRESULTROW and
// CERTTRANSDBRESULTCOLUMN (MS-CSRA §2.2.1.3, §2.2.1.4).
const (
	rowSize  = 3 * 4
	cellSize = 4 * 4
)

// DecodeRows reads the answer of OpenView and EnumView, and whether the view ends
// with these rows.
func DecodeRows(stub []byte) (rows []Row, end bool, err error) {
	count, b, err := decodeRows(stub)
	if err != nil {
		return nil, false, err
	}
	if count > maxRows {
		return nil, false, fmt.Errorf("%w: %d of them", ErrRows, count)
	}
	for len(b) >= rowSize {
		id, columns, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
		if columns == ^id { // the mark behind the last row
			end = true
			break
		}
		if size < rowSize || int64(size) > int64(len(b)) || columns > maxColumns || int64(columns)*cellSize+rowSize > int64(size) || len(rows) >= count {
			return nil, false, ErrRows
		}
		row := Row{ID: id, Values: make(map[uint32]Value, columns)}
		if err := row.read(b[:size], int(columns)); err != nil {
			return nil, false, err
		}
		rows, b = append(rows, row), b[size:]
	}
	if len(rows) != count {
		return nil, false, fmt.Errorf("%w: %d of %d", ErrRows, len(rows), count)
	}
	return rows, end, nil
}

// read reads the cells of a row, whose offsets count from its start.
func (r *Row) read(b []byte, columns int) error {
	for i := range columns {
		head := b[rowSize+i*cellSize:]
		kind, index := head[0]&0xf, binary.LittleEndian.Uint32(head[4:])
		at, n := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
		if n == 0 {
			continue
		}
		if int64(at)+int64(n) > int64(len(b)) || at < rowSize {
			return fmt.Errorf("%w: a value beyond its row", ErrRows)
		}
		v, err := readValue(kind, b[at:at+n])
		if err != nil {
			return err
		}
		r.Values[index] = v
	}
	return nil
}

func readValue(kind uint8, b []byte) (v Value, err error) {
	switch kind {
	case ColumnLong:
		v.Long, err = Long(b)
	case ColumnDate:
		d := ndr.NewDecoder(b)
		v.Date = d.FileTime()
		err = d.Done()
	case ColumnString:
		v.String, err = fromUTF16(b)
	case ColumnBinary:
		v.Binary = b
	default:
		err = fmt.Errorf("%w: type %d", ErrRows, kind)
	}
	return v, err
}

// decodeRows reads a count and a blob.
func decodeRows(stub []byte) (int, []byte, error) {
	d := ndr.NewDecoder(stub)
	count, b := d.Uint32(), readBlob(d)
	if err := done(d); err != nil {
		return 0, nil, err
	}
	if count > maxRows {
		return 0, nil, fmt.Errorf("%w: %d of them", ErrRows, count)
	}
	return int(count), b, nil
}
