package dcommsg

import (
	"encoding/binary"
	"slices"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// Activation asks for an object of a class on another machine
// (IRemoteSCMActivator::RemoteCreateInstance, MS-DCOM §3.1.2.5.2.3.3).
type Activation struct {
	CID        msrpc.UUID // names the chain of calls
	Class      msrpc.UUID
	Interfaces []msrpc.UUID // wanted; all of them in one go
}

// Values of the properties.
const (
	otherMachine uint32 = 2    // MSHCTX_DIFFERENTMACHINE
	remoteServer uint32 = 0x14 // CLSCTX_LOCAL_SERVER | CLSCTX_REMOTE_SERVER
	identify     uint32 = 2    // RPC_C_IMP_LEVEL_IDENTIFY
)

// Bytes gives the whole stub: ORPCTHIS, no outer object, and the activation
// properties as a reference to an object that is marshalled by value.
func (a *Activation) Bytes() []byte {
	objref := appendCustom(propertiesIn, propertiesInCls, a.properties())
	var e ndr.Encoder
	e.Raw(this(a.CID, localCall))
	e.Unique(false, nil)
	e.Unique(true, func() {
		e.Count(len(objref)) // of MInterfacePointer, which ends in an array
		e.Blob(objref)
	})
	b, _ := e.Bytes()
	return b
}

// property is one activation property, serialized.
type property struct {
	class msrpc.UUID
	b     []byte
}

// properties gives the activation properties BLOB (MS-DCOM §2.2.22): its size, and
// a header that names each property and its length, then the properties.
func (a *Activation) properties() []byte {
	list := []property{
		{instantiation, a.instantiation()},
		{contextInfo, serialize(func(e *ndr.Encoder) { e.Raw(make([]byte, 24)) })},    // no contexts
		{serverLocation, serialize(func(e *ndr.Encoder) { e.Raw(make([]byte, 16)) })}, // nowhere else
		{scmRequest, serialize(request)},
	}
	total := 0
	for _, p := range list {
		total += len(p.b)
	}
	header := serialize(func(e *ndr.Encoder) { customHeader(e, list) })
	total += len(header)
	binary.LittleEndian.PutUint32(header[wrapperSize:], uint32(total))
	binary.LittleEndian.PutUint32(header[wrapperSize+4:], uint32(len(header)))

	b := binary.LittleEndian.AppendUint32(nil, uint32(total))
	b = append(binary.LittleEndian.AppendUint32(b, 0), header...)
	for _, p := range list {
		b = append(b, p.b...)
	}
	return b
}

// customHeader writes a CustomHeader (MS-DCOM §2.2.22.1) but for the two sizes it
// begins with.
func customHeader(e *ndr.Encoder, list []property) {
	e.Struct(func() {
		e.Uint32(0) // of everything
		e.Uint32(0) // of the header
		e.Uint32(0)
		e.Uint32(otherMachine)
		e.Uint32(uint32(len(list)))
		e.GUID(msrpc.UUID{})
		e.Unique(true, func() {
			e.Count(len(list))
			for _, p := range list {
				e.GUID(p.class)
			}
		})
		e.Unique(true, func() {
			e.Count(len(list))
			for _, p := range list {
				e.Uint32(uint32(len(p.b)))
			}
		})
		e.Unique(false, nil)
	})
}

// instantiation gives an InstantiationInfoData (MS-DCOM §2.2.22.2.1), which says
// its own length.
func (a *Activation) instantiation() []byte {
	const sizeAt = wrapperSize + 40
	b := serialize(func(e *ndr.Encoder) {
		e.Struct(func() {
			e.GUID(a.Class)
			e.Uint32(remoteServer)
			e.Uint32(0) // flags
			e.Uint32(0) // no surrogate
			e.Uint32(uint32(len(a.Interfaces)))
			e.Uint32(0)
			e.Unique(true, func() {
				e.Count(len(a.Interfaces))
				for _, iid := range a.Interfaces {
					e.GUID(iid)
				}
			})
			e.Uint32(0) // length, below
			e.Uint16(5) // COMVERSION
			e.Uint16(7)
		})
	})
	binary.LittleEndian.PutUint32(b[sizeAt:], uint32(len(b)))
	return b
}

// request writes a ScmRequestInfoData (MS-DCOM §2.2.22.2.4): over TCP, please.
func request(e *ndr.Encoder) {
	e.Struct(func() {
		e.Unique(false, nil)
		e.Unique(true, func() {
			e.Uint32(identify)
			e.Uint16(1)
			e.Unique(true, func() {
				e.Count(1)
				e.Uint16(TowerTCP)
			})
		})
	})
}

// wrapperSize is the length of the two headers before a serialized type, in bytes.
const wrapperSize = 16

// serialHeader is the common type header: version 1, little-endian, 8 bytes
// (MS-RPCE §2.2.6.1).
var serialHeader = []byte{1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc}

// serialize writes a type with the headers of type serialization version 1
// (MS-RPCE §2.2.6), padded to 8. Alignment starts anew behind the headers.
func serialize(body func(*ndr.Encoder)) []byte {
	var e ndr.Encoder
	body(&e)
	e.Align(8)
	b, _ := e.Bytes()
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
	return slices.Concat(serialHeader, size, []byte{0, 0, 0, 0}, b)
}
