package adcsmsg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"chancery/internal/wire/ndr"
)

// rowsStub makes an answer of OpenView the way a CA does.
func rowsStub(t testing.TB, count uint32, blobs ...[]byte) []byte {
	t.Helper()
	var all []byte
	for _, b := range blobs {
		all = append(all, b...)
	}
	e := &ndr.Encoder{}
	e.Uint32(count)
	blob(e, all)
	e.Align(4)
	out, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type cell struct {
	kind, index uint32
	value       []byte
}

func row(id uint32, cells ...cell) []byte {
	head := rowSize + cellSize*len(cells)
	b := make([]byte, head)
	for i, c := range cells {
		at := b[rowSize+i*cellSize:]
		binary.LittleEndian.PutUint32(at, c.kind)
		binary.LittleEndian.PutUint32(at[4:], c.index)
		if len(c.value) > 0 {
			binary.LittleEndian.PutUint32(at[8:], uint32(len(b)))
			binary.LittleEndian.PutUint32(at[12:], uint32(len(c.value)))
		}
		b = append(b, c.value...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	binary.LittleEndian.PutUint32(b, id)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(cells)))
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	return b
}

func mark(id uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, id)
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, ^id), 12)
}

func TestDecodeRows(t *testing.T) {
	when := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	date := Value{Date: when}.encode(ColumnDate)
	stub := rowsStub(t, 2,
		row(41, cell{0x1 | 0x100, 3, []byte{20, 0, 0, 0}}, cell{ColumnDate, 9, date}, cell{ColumnBinary, 12, []byte{1, 2, 3}}, cell{ColumnString, 14, utf16LE("CORP\\alice")}, cell{ColumnString, 15, nil}),
		row(42, cell{ColumnLong, 3, []byte{9, 0, 0, 0}}), mark(43))
	rows, end, err := DecodeRows(stub)
	if err != nil || !end || len(rows) != 2 || rows[0].ID != 41 || rows[1].ID != 42 {
		t.Fatalf("%v %v %v", rows, end, err)
	}
	for c, want := range map[Column]Value{
		{Index: 3}:  {Long: 20},
		{Index: 9}:  {Date: when},
		{Index: 12}: {Binary: []byte{1, 2, 3}},
		{Index: 14}: {String: "CORP\\alice"},
	} {
		if v, ok := rows[0].Value(c); !ok || !reflect.DeepEqual(v, want) {
			t.Errorf("column %d: %+v %v", c.Index, v, ok)
		}
	}
	if _, ok := rows[0].Value(Column{Index: 15}); ok {
		t.Error("a null value is there")
	}
	if rows, end, err := DecodeRows(rowsStub(t, 1, row(1))); len(rows) != 1 || end || err != nil {
		t.Errorf("without a mark: %v %v %v", rows, end, err)
	}
	if rows, end, err := DecodeRows(rowsStub(t, 0)); len(rows) != 0 || end || err != nil {
		t.Errorf("nothing: %v %v %v", rows, end, err)
	}
}

func TestDecodeRowsRefuses(t *testing.T) {
	far := row(1, cell{ColumnBinary, 1, []byte{1}})
	binary.LittleEndian.PutUint32(far[rowSize+8:], 1000)
	long := row(1)
	binary.LittleEndian.PutUint32(long[8:], 1000)
	wide := row(1)
	binary.LittleEndian.PutUint32(wide[4:], 100)
	for name, stub := range map[string][]byte{
		"fewer than said":   rowsStub(t, 2, row(1)),
		"more than said":    rowsStub(t, 1, row(1), row(2)),
		"value beyond":      rowsStub(t, 1, far),
		"row beyond":        rowsStub(t, 1, long),
		"columns beyond":    rowsStub(t, 1, wide),
		"unknown type":      rowsStub(t, 1, row(1, cell{7, 1, []byte{1}})),
		"number of 2 bytes": rowsStub(t, 1, row(1, cell{ColumnLong, 1, []byte{1, 2}})),
		"too many":          rowsStub(t, maxRows+1),
	} {
		if rows, _, err := DecodeRows(stub); err == nil {
			t.Errorf("%s: %v", name, rows)
		}
	}
}

func columnsStub(t testing.TB, list ...Column) []byte {
	t.Helper()
	b := make([]byte, columnSize*len(list))
	for i, c := range list {
		at := b[i*columnSize:]
		binary.LittleEndian.PutUint32(at, uint32(c.Type)|0x10)
		binary.LittleEndian.PutUint32(at[4:], c.Index)
		binary.LittleEndian.PutUint32(at[12:], uint32(len(b)))
		b = append(b, utf16LE(c.Name)...)
	}
	return rowsStub(t, uint32(len(list)), b)
}

func TestDecodeViewTable(t *testing.T) {
	want := Columns{{ColumnLong, 0x10001, "Request.RequestID"}, {ColumnString, 7, "SerialNumber"}}
	got, err := DecodeViewTable(columnsStub(t, want...))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v %v", got, err)
	}
	for name, found := range map[string]bool{"RequestID": true, "Request.RequestID": true, "serialnumber": true, "Request.SerialNumber": true, "Other": false} {
		if _, ok := got.Find(name); ok != found {
			t.Errorf("%s: %v", name, ok)
		}
	}
	endless := append(make([]byte, columnSize), 'a', 0)
	binary.LittleEndian.PutUint32(endless[12:], columnSize)
	beyond := make([]byte, columnSize)
	binary.LittleEndian.PutUint32(beyond[12:], 5000)
	for name, stub := range map[string][]byte{"short": rowsStub(t, 1, make([]byte, 8)), "endless name": rowsStub(t, 1, endless), "name beyond": rowsStub(t, 1, beyond), "too many": rowsStub(t, maxColumns+1)} {
		if _, err := DecodeViewTable(stub); !errors.Is(err, ErrRows) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEncodeOpenView: two restrictions of which one sorts, and the arrays behind
// their structures.
func TestEncodeOpenView(t *testing.T) {
	id, ends := Column{ColumnLong, 14, "RequestID"}, Column{ColumnDate, 19, "NotAfter"}
	got, err := EncodeOpenView("A", []Restriction{
		{Column: id, Seek: SeekAbove, Value: Value{Long: 7}, Sort: true},
		{Column: ends, Seek: SeekAtLeast, Value: Value{Date: time.Unix(0, 0)}},
	}, Columns{id, ends}, 25)
	want := "00000200 02000000 00000000 02000000 41000000 02000000 02000000" +
		"0e000000 10000000 01000000 04000200 04000000" +
		"13000000 08000000 00000000 08000200 08000000" +
		"04000000 07000000 08000000 00803ed5 deb19d01" +
		"02000000 02000000 0e000000 13000000 01000000 19000000"
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%v\n got %x\nwant %x", err, got, unhex(t, want))
	}
}

func FuzzDecodeRows(f *testing.F) {
	f.Add(rowsStub(f, 2, row(41, cell{ColumnLong, 3, []byte{20, 0, 0, 0}}, cell{ColumnString, 14, utf16LE("x")}), row(42, cell{ColumnDate, 3, make([]byte, 8)}), mark(43)))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, _, err := DecodeRows(b)
		if err != nil && rows != nil {
			t.Error("rows beside an error")
		}
	})
}

func FuzzDecodeViewTable(f *testing.F) {
	f.Add(columnsStub(f, Column{ColumnLong, 1, "RequestID"}, Column{ColumnString, 7, "SerialNumber"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeViewTable(b); err == nil && len(c) > maxColumns {
			t.Errorf("%d columns", len(c))
		}
	})
}
