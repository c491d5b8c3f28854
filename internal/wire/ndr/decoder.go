package ndr

import (
	"encoding/binary"
	"slices"
	"time"
	"unicode/utf16"
)

// Decoder reads values one after the other. After the first error every value is
// zero and every function that reads what a pointer points to is left out. It is
// not for concurrent use.
type Decoder struct {
	pointees
	b   []byte
	at  int
	err error
}

// NewDecoder reads b, whose first octet all alignment counts from. b is not
// changed; what Raw and Blob give is part of it.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err gives the first error, one of this package's or what Fail was told.
func (d *Decoder) Err() error { return d.err }

// Fail makes err the decoder's error, unless it has one.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Done gives the first error, or ErrTrailing when octets are left over.
func (d *Decoder) Done() error {
	if d.err == nil && d.at != len(d.b) {
		d.err = ErrTrailing
	}
	return d.err
}

// Rest gives what has not been read yet.
func (d *Decoder) Rest() []byte {
	if d.err != nil {
		return nil
	}
	return d.b[d.at:]
}

// Align skips padding up to a multiple of n from the start; whatever it holds is
// of no meaning.
func (d *Decoder) Align(n int) {
	if over := d.at % n; over != 0 {
		d.Raw(n - over)
	}
}

// Uint8 reads one octet.
func (d *Decoder) Uint8() uint8 {
	if b := d.Raw(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads two octets, aligned to 2.
func (d *Decoder) Uint16() uint16 {
	d.Align(2)
	if b := d.Raw(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads four octets, aligned to 4.
func (d *Decoder) Uint32() uint32 {
	d.Align(4)
	if b := d.Raw(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads a hyper: eight octets, aligned to 8.
func (d *Decoder) Uint64() uint64 {
	d.Align(8)
	if b := d.Raw(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// GUID reads an identifier in the order of the wire, aligned to 4.
func (d *Decoder) GUID() (id [16]byte) {
	d.Align(4)
	copy(id[:], d.Raw(16))
	return id
}

// FileTime reads a FILETIME in UTC; zero is the zero time.
func (d *Decoder) FileTime() time.Time {
	low, high := d.Uint32(), d.Uint32()
	return fromFileTime(uint64(high)<<32 | uint64(low))
}

// Raw reads n octets as they are, unaligned; nil after an error.
func (d *Decoder) Raw(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.b)-d.at {
		d.Fail(ErrShort)
		return nil
	}
	b := d.b[d.at : d.at+n : d.at+n]
	d.at += n
	return b
}

// Count reads a number of elements, each of which takes at least size octets. More
// than limit is ErrLimit, more than can follow ErrShort: what it gives is safe to
// make room for.
func (d *Decoder) Count(limit, size int) int {
	n := d.Uint32()
	switch left := len(d.b) - d.at; {
	case d.err != nil:
		return 0
	case int64(n) > int64(limit):
		d.Fail(ErrLimit)
		return 0
	case int64(n)*int64(size) > int64(left):
		d.Fail(ErrShort)
		return 0
	}
	return int(n)
}

// Blob reads a conformant array of at most limit octets: its count, then the
// octets. What it gives is not nil unless there was an error.
func (d *Decoder) Blob(limit int) []byte {
	n := d.Count(limit, 1)
	return d.Raw(n)
}

// String reads a [string] of wchar_t of at most limit UTF-16 units, its NUL
// included. One that does not end at its only NUL, or starts at an offset, is
// ErrString. Half a surrogate pair reads as U+FFFD.
func (d *Decoder) String(limit int) string {
	most := d.Count(limit, 0)
	offset := d.Uint32()
	units := make([]uint16, d.Count(limit, 2))
	for i := range units {
		units[i] = d.Uint16()
	}
	if d.err != nil {
		return ""
	}
	if offset != 0 || len(units) > most || slices.Index(units, 0) != len(units)-1 || len(units) == 0 {
		d.Fail(ErrString)
		return ""
	}
	return string(utf16.Decode(units[:len(units)-1]))
}

// Unique reads a [unique] pointer and reports whether it points to anything;
// pointee reads that at once, or, inside a structure, after that.
func (d *Decoder) Unique(pointee func()) bool {
	if d.Uint32() == 0 {
		return false
	}
	d.point(func() {
		if d.err == nil {
			pointee()
		}
	})
	return true
}

// Struct reads a structure: what its pointers point to is read after the
// outermost one, in the order of the pointers. Until it returns, they are not
// read.
func (d *Decoder) Struct(body func()) { d.structure(body) }
