package dcommsg

import (
	"slices"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// thisSize is the length of an ORPCTHIS without extensions, in bytes.
const thisSize = 32

// Call gives the stub of a method call: ORPCTHIS (MS-DCOM §2.2.13.3), then the
// stub of the method's own. cid names the chain of calls it belongs to. ORPCTHIS
// is a multiple of 8 long, so that the method's stub keeps its alignment.
func Call(cid msrpc.UUID, stub []byte) []byte {
	return slices.Concat(this(cid, 0), stub)
}

// localCall is the flag that activations carry.
const localCall uint32 = 1

func this(cid msrpc.UUID, flags uint32) []byte {
	var e ndr.Encoder
	e.Uint16(5) // COMVERSION
	e.Uint16(7)
	e.Uint32(flags)
	e.Uint32(0)
	e.GUID(cid)
	e.Unique(false, nil) // extensions
	b, _ := e.Bytes()
	return b
}

// Limits of what an ORPCTHAT may carry.
const (
	maxExtents = 64
	maxExtent  = 1 << 16 // bytes
)

// Answer gives what follows ORPCTHAT in an answer (MS-DCOM §2.2.13.4). Extensions,
// which Windows adds to some failures, are skipped by their structure: they are
// padded so that what follows keeps its alignment to 8, and ErrExtent otherwise.
func Answer(stub []byte) ([]byte, error) {
	d := ndr.NewDecoder(stub)
	that(d)
	rest := d.Rest()
	if d.Err() != nil {
		return nil, d.Err()
	}
	if (len(stub)-len(rest))%8 != 0 {
		return nil, ErrExtent
	}
	return rest, nil
}

// that reads an ORPCTHAT: flags, and a pointer to an ORPC_EXTENT_ARRAY, which
// holds pointers to ORPC_EXTENTs (MS-DCOM §2.2.21).
func that(d *ndr.Decoder) {
	d.Struct(func() {
		d.Uint32() // flags
		d.Unique(func() {
			d.Uint32() // size, said again below
			d.Uint32() // reserved
			d.Unique(func() {
				for range d.Count(maxExtents, 4) {
					d.Unique(func() {
						n := d.Count(maxExtent, 1) // hoisted: of the data, padded to 8
						d.GUID()
						d.Uint32() // without that padding
						d.Raw(n)
					})
				}
			})
		})
	})
}
