package ndr

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoder writes values one after the other. The zero value is ready; it is not
// for concurrent use.
type Encoder struct {
	pointees
	b    []byte
	refs uint32
	err  error
}

// Bytes gives what was written, or the first error: ErrString or ErrLimit.
func (e *Encoder) Bytes() ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.b, nil
}

// Align pads with zeros up to a multiple of n from the start.
func (e *Encoder) Align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

// Uint8 writes one octet.
func (e *Encoder) Uint8(v uint8) { e.b = append(e.b, v) }

// Uint16 writes two octets, aligned to 2; an enumeration is written so, too.
func (e *Encoder) Uint16(v uint16) {
	e.Align(2)
	e.b = binary.LittleEndian.AppendUint16(e.b, v)
}

// Uint32 writes four octets, aligned to 4.
func (e *Encoder) Uint32(v uint32) {
	e.Align(4)
	e.b = binary.LittleEndian.AppendUint32(e.b, v)
}

// Uint64 writes a hyper: eight octets, aligned to 8.
func (e *Encoder) Uint64(v uint64) {
	e.Align(8)
	e.b = binary.LittleEndian.AppendUint64(e.b, v)
}

// GUID writes an identifier that is in the order of the wire already, aligned to
// 4 (MS-DTYP §2.3.4.2).
func (e *Encoder) GUID(id [16]byte) {
	e.Align(4)
	e.Raw(id[:])
}

// FileTime writes a FILETIME (MS-DTYP §2.3.3): two 32-bit numbers, aligned to 4,
// not to 8. The zero time is zero.
func (e *Encoder) FileTime(t time.Time) {
	v := fileTime(t)
	e.Uint32(uint32(v))
	e.Uint32(uint32(v >> 32))
}

// Raw writes octets as they are, unaligned: a fixed array.
func (e *Encoder) Raw(b []byte) { e.b = append(e.b, b...) }

// Count writes a number of elements: the maximum count of a conformant array, or
// of a structure that ends in one, before that structure (C706 §14.3.3.2,
// §14.3.7.1).
func (e *Encoder) Count(n int) {
	if n < 0 || n > math.MaxInt32 {
		e.fail(ErrLimit)
		return
	}
	e.Uint32(uint32(n))
}

// Blob writes a conformant array of octets: its count, then the octets.
func (e *Encoder) Blob(b []byte) {
	e.Count(len(b))
	e.Raw(b)
}

// String writes a [string] of wchar_t (C706 §14.3.4.2): maximum count, offset,
// actual count, and UTF-16 with a NUL at the end that counts, too. A string that
// is not UTF-8 or has a NUL of its own is ErrString.
func (e *Encoder) String(s string) {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		e.fail(ErrString)
		return
	}
	units := append(utf16.Encode([]rune(s)), 0)
	e.Count(len(units))
	e.Uint32(0)
	e.Count(len(units))
	for _, u := range units {
		e.Uint16(u)
	}
}

// Unique writes a [unique] pointer (C706 §14.3.11): zero, or an identifier of its
// own, and what pointee writes at once, or, inside a structure, after that. The
// identifiers are those that are customary.
func (e *Encoder) Unique(present bool, pointee func()) {
	if !present {
		e.Uint32(0)
		return
	}
	e.Uint32(0x00020000 + 4*e.refs)
	e.refs++
	e.point(pointee)
}

// UniqueString writes a pointer to a string; nil is the null pointer.
func (e *Encoder) UniqueString(s *string) {
	e.Unique(s != nil, func() { e.String(*s) })
}

// Struct writes a structure: what its pointers point to follows the outermost
// one, in the order of the pointers.
func (e *Encoder) Struct(body func()) { e.structure(body) }

func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}
