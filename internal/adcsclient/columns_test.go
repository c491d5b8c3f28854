package adcsclient

import (
	"context"
	"encoding/binary"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// table is a CA whose table has so many columns that the last of them ends an
// answer. It refuses to be asked for those behind.
type table struct{ columns, calls int }

func (c *table) Close(context.Context) error { return nil }

func (c *table) Call(context.Context, msrpc.UUID, uint16, []byte) ([]byte, error) {
	given := c.calls * columnsAtOnce
	c.calls++
	code, n := uint32(0), min(columnsAtOnce, c.columns-given)
	if n <= 0 {
		code, n = uint32(noMoreColumns), 0
	}
	b := make([]byte, 20*n)
	for i := range n {
		b[20*i] = 1
		binary.LittleEndian.PutUint32(b[20*i+4:], uint32(given+i))
		binary.LittleEndian.PutUint32(b[20*i+12:], uint32(len(b)))
	}
	b = append(b, 'x', 0, 0, 0)
	e := &ndr.Encoder{}
	e.Uint32(uint32(n))
	e.Struct(func() {
		e.Uint32(uint32(len(b)))
		e.Unique(true, func() { e.Blob(b) })
	})
	e.Align(4)
	e.Uint32(code)
	return e.Bytes()
}

// TestColumns: all are read, whatever their number.
func TestColumns(t *testing.T) {
	for _, n := range []int{1, columnsAtOnce - 1, columnsAtOnce, columnsAtOnce + 1, 2 * columnsAtOnce} {
		c := &Client{way: DCOM, admin: &table{columns: n}}
		if list, err := c.columns(t.Context()); err != nil || len(list) != n || list[n-1].Index != uint32(n-1) {
			t.Errorf("%d columns: %d, %v", n, len(list), err)
		}
	}
	none := &Client{way: DCOM, admin: &table{}}
	if _, err := none.columns(t.Context()); ra.KindOf(err) != ra.RefusedByCA {
		t.Errorf("no columns: %v", err)
	}
}
