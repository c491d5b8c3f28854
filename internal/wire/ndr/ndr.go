// Package ndr writes and reads NDR version 2.0, the transfer syntax of remote
// procedure calls (C706 chapter 14, MS-RPCE §2.2.4): every number is aligned to
// its own size from the start of the octets, little-endian; an array says how
// many elements it has; a pointer is a referent identifier, and what it points to
// follows.
//
// What a pointer points to follows at once at the top level of a call. Inside a
// structure it waits until the outermost structure is complete (C706 §14.3.12.3),
// which is what Struct and Unique do with functions: Unique writes or reads the
// identifier where it stands and keeps the function for later.
//
// Both Encoder and Decoder remember the first thing that went wrong and do
// nothing more, so that a message is written or read line by line and asked once
// in the end. A decoder never panics, and makes room for what is announced only
// where a limit of the caller's allows it and as many octets are really there.
package ndr

import (
	"errors"
	"time"
)

// The ways octets or values are wrong.
var (
	ErrShort    = errors.New("ndr: ends too early")
	ErrTrailing = errors.New("ndr: more octets than values")
	ErrLimit    = errors.New("ndr: longer than allowed")
	ErrString   = errors.New("ndr: not a string that ends with a NUL and has no other")
	ErrValue    = errors.New("ndr: a value that contradicts another")
)

// pointees are the functions that write or read what pointers inside a structure
// point to. An outermost structure holds them back; what each of them finds is
// complete before the next one's turn.
type pointees struct {
	inside bool
	later  []func()
}

// structure runs a structure and then, if it is the outermost one, what was kept.
func (p *pointees) structure(body func()) {
	if p.inside {
		body()
		return
	}
	p.inside = true
	body()
	kept := p.later
	p.later, p.inside = nil, false
	for _, f := range kept {
		p.structure(f)
	}
}

// point runs what a pointer points to: later inside a structure, else at once.
func (p *pointees) point(f func()) {
	if p.inside {
		p.later = append(p.later, f)
		return
	}
	p.structure(f)
}

// epoch is the start of Unix time as a FILETIME: 100 ns since 1601
// (MS-DTYP §2.3.3).
const epoch = 116444736000000000

// fileTime gives a time as a FILETIME, in 100 ns; the zero time is zero.
func fileTime(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix()*1e7 + int64(t.Nanosecond()/100) + epoch)
}

// fromFileTime is the reverse, in UTC; zero is the zero time.
func fromFileTime(v uint64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	n := int64(v>>1) - epoch/2 // in 200 ns: no FILETIME overflows
	return time.Unix(n/5e6, n%5e6*200+int64(v&1)*100).UTC()
}
