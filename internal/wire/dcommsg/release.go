package dcommsg

import (
	"chancery/internal/wire/ndr"
)

// Release gives the stub of IRemUnknown2::RemRelease (MS-DCOM §3.1.1.5.6.1.3),
// without ORPCTHIS: all references that came along are given back.
func Release(references []Reference) []byte {
	var e ndr.Encoder
	e.Uint16(uint16(len(references)))
	e.Count(len(references))
	for _, r := range references {
		e.GUID(r.IPID)
		e.Uint32(r.Public)
		e.Uint32(0) // private ones
	}
	b, _ := e.Bytes()
	return b
}
