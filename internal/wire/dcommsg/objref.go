package dcommsg

import (
	"bytes"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// Limits of references.
const (
	maxObjRef   = 1 << 16 // bytes
	maxBindings = 1 << 14 // 16-bit units
)

// meow is what an OBJREF begins with.
var meow = []byte("MEOW")

// The kinds of OBJREF (MS-DCOM §2.2.18.1).
const (
	kindStandard uint32 = 1
	kindHandler  uint32 = 2
	kindCustom   uint32 = 4
	kindExtended uint32 = 8
)

// Reference is a client's hold on one interface of an object (STDOBJREF, MS-DCOM
// §2.2.18.2).
type Reference struct {
	IID    msrpc.UUID
	IPID   msrpc.UUID // what calls of the interface name as their object
	Public uint32     // how many references came along, to be given back
}

// reference reads an OBJREF that holds a STDOBJREF. What follows is where the
// object's resolver listens; the server's own answer has that already.
func reference(b []byte) (Reference, error) {
	d := ndr.NewDecoder(b)
	magic, kind := d.Raw(len(meow)), d.Uint32()
	r := Reference{IID: d.GUID()}
	d.Uint32() // flags
	r.Public = d.Uint32()
	d.Uint64() // OXID
	d.Uint64() // OID
	r.IPID = d.GUID()
	if err := d.Err(); err != nil {
		return Reference{}, err
	}
	if !bytes.Equal(magic, meow) || kind != kindStandard && kind != kindHandler && kind != kindExtended { // all three begin so
		return Reference{}, ErrObjRef
	}
	return r, nil
}

// custom reads an OBJREF_CUSTOM of one interface and class (MS-DCOM §2.2.18.6) and
// gives the object's own octets.
func custom(b []byte, iid, class msrpc.UUID) ([]byte, error) {
	d := ndr.NewDecoder(b)
	magic, kind := d.Raw(len(meow)), d.Uint32()
	gotIID, gotClass := d.GUID(), d.GUID()
	d.Uint32() // extension, unused
	d.Uint32() // size, which writers do not agree on
	rest := d.Rest()
	if err := d.Err(); err != nil {
		return nil, err
	}
	if !bytes.Equal(magic, meow) || kind != kindCustom || gotIID != iid || gotClass != class {
		return nil, ErrObjRef
	}
	return rest, nil
}

// appendCustom writes an OBJREF_CUSTOM.
func appendCustom(iid, class msrpc.UUID, object []byte) []byte {
	var e ndr.Encoder
	e.Raw(meow)
	e.Uint32(kindCustom)
	e.GUID(iid)
	e.GUID(class)
	e.Uint32(0)
	e.Uint32(uint32(len(object) + 8))
	e.Raw(object)
	b, _ := e.Bytes()
	return b
}
