package dcerpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// ErrNDR means that parameters are not what the interface says.
var ErrNDR = errors.New("ndr: bad stub data")

// Reader reads parameters in NDR (C706 chapter 14), little-endian. After the
// first mistake everything reads as zero and Err tells what it was.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader reads b, whose start is what alignment counts from.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first mistake.
func (r *Reader) Err() error { return r.err }

// End is Err, or that more than the padding of a last element is left over.
func (r *Reader) End() error {
	if r.err == nil && len(r.b)-r.off > 7 {
		r.fail("%d octets too many", len(r.b)-r.off)
	}
	return r.err
}

// Rest gives what has not been read.
func (r *Reader) Rest() []byte {
	if r.err != nil {
		return nil
	}
	return r.b[r.off:]
}

// Offset tells how much has been read.
func (r *Reader) Offset() int { return r.off }

// Fail makes the stub wrong.
func (r *Reader) Fail(what string) { r.fail("%s", what) }

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w at %d: %s", ErrNDR, r.off, fmt.Sprintf(format, args...))
	}
}

// Align skips to a multiple of n.
func (r *Reader) Align(n int) { r.Bytes(-r.off & (n - 1)) }

// Bytes reads n octets; they are not copied.
func (r *Reader) Bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)-r.off) {
		r.fail("%d octets wanted, %d left", n, len(r.b)-r.off)
	}
	if r.err != nil {
		return nil
	}
	b := r.b[r.off : r.off+n]
	r.off += n
	return b
}

// number reads an aligned integer of n octets.
func (r *Reader) number(n int) (v uint64) {
	r.Align(n)
	for i, b := range r.Bytes(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// U8 reads an octet.
func (r *Reader) U8() uint8 { return uint8(r.number(1)) }

// U16 reads two octets.
func (r *Reader) U16() uint16 { return uint16(r.number(2)) }

// U32 reads four octets.
func (r *Reader) U32() uint32 { return uint32(r.number(4)) }

// U64 reads eight octets.
func (r *Reader) U64() uint64 { return r.number(8) }

// UUID reads an identifier.
func (r *Reader) UUID() (u UUID) {
	r.Align(4)
	copy(u[:], r.Bytes(16))
	return u
}

// Filetime reads the two halves of a FILETIME.
func (r *Reader) Filetime() uint64 {
	low := r.U32()
	return uint64(r.U32())<<32 | uint64(low)
}

// Pointer reads a referent id and tells whether something is pointed to.
func (r *Reader) Pointer() bool { return r.U32() != 0 }

// Count reads the number of elements of a conformant array, each of at least
// size octets.
func (r *Reader) Count(size int) int {
	n := r.U32()
	if r.err == nil && int64(n)*int64(size) > int64(len(r.b)-r.off) {
		r.fail("%d elements do not fit", n)
		return 0
	}
	return int(n)
}

// String reads a [string] of at most limit units with its NUL; zero is no limit.
func (r *Reader) String(limit int) string {
	most, offset, n := r.U32(), r.U32(), r.U32()
	switch {
	case r.err != nil:
		return ""
	case offset != 0 || n > most || n == 0:
		r.fail("string of %d units at %d, %d at most", n, offset, most)
		return ""
	case limit > 0 && most > uint32(limit):
		r.fail("string of %d units, %d allowed", most, limit)
		return ""
	case int64(n)*2 > int64(len(r.b)-r.off):
		r.fail("string of %d units does not fit", n)
		return ""
	}
	units := Units(r.Bytes(int(n) * 2))
	for i, u := range units {
		if (u == 0) != (i == len(units)-1) {
			r.fail("string does not end with its only NUL")
			return ""
		}
	}
	return string(utf16.Decode(units[:len(units)-1]))
}

// UniqueString reads a [string, unique]; NULL is not ok.
func (r *Reader) UniqueString(limit int) (s string, ok bool) {
	if !r.Pointer() {
		return "", false
	}
	return r.String(limit), r.err == nil
}

// Blob reads a CERTTRANSBLOB, or any other count with a pointer to so many
// octets. NULL is nil.
func (r *Reader) Blob() []byte {
	n := r.U32()
	if !r.Pointer() {
		if n != 0 {
			r.fail("%d octets at NULL", n)
		}
		return nil
	}
	if count := r.U32(); count != n {
		r.fail("array of %d octets where %d were announced", count, n)
	}
	if int64(n) > int64(len(r.b)) {
		r.fail("%d octets do not fit", n)
		return nil
	}
	return r.Bytes(int(n))
}

// Units reads UTF-16 units.
func Units(b []byte) []uint16 {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return units
}

// Wide encodes text in UTF-16, little-endian, without a NUL.
func Wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// Narrow decodes UTF-16, little-endian; a NUL at the end stays.
func Narrow(b []byte) string { return string(utf16.Decode(Units(b))) }

// Writer writes parameters in NDR.
type Writer struct {
	b   []byte
	ref uint32
}

// Bytes is what was written.
func (w *Writer) Bytes() []byte { return w.b }

// Len is how much was written.
func (w *Writer) Len() int { return len(w.b) }

// Align pads to a multiple of n.
func (w *Writer) Align(n int) { w.b = append(w.b, make([]byte, -len(w.b)&(n-1))...) }

// Raw appends octets.
func (w *Writer) Raw(b []byte) { w.b = append(w.b, b...) }

// U8 appends an octet.
func (w *Writer) U8(v uint8) { w.b = append(w.b, v) }

// U16 appends two octets.
func (w *Writer) U16(v uint16) {
	w.Align(2)
	w.b = binary.LittleEndian.AppendUint16(w.b, v)
}

// U32 appends four octets.
func (w *Writer) U32(v uint32) {
	w.Align(4)
	w.b = binary.LittleEndian.AppendUint32(w.b, v)
}

// U64 appends eight octets.
func (w *Writer) U64(v uint64) {
	w.Align(8)
	w.b = binary.LittleEndian.AppendUint64(w.b, v)
}

// UUID appends an identifier.
func (w *Writer) UUID(u UUID) {
	w.Align(4)
	w.Raw(u[:])
}

// Pointer appends the referent id of something, or NULL.
func (w *Writer) Pointer(something bool) {
	if !something {
		w.U32(0)
		return
	}
	w.ref += 4
	w.U32(0x00020000 + w.ref - 4)
}

// Blob appends a CERTTRANSBLOB; nil is NULL.
func (w *Writer) Blob(b []byte) {
	w.U32(uint32(len(b)))
	w.Pointer(b != nil)
	if b != nil {
		w.U32(uint32(len(b)))
		w.Raw(b)
	}
}
