package dcommsg

import (
	"bytes"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// Limits of an activation's answer.
const (
	maxProperties = 16
	maxInterfaces = 16
)

// Activated is what came of an activation.
type Activated struct {
	// HRESULT is that of the activation as a whole. If it is a failure there is
	// nothing else.
	HRESULT    uint32
	Bindings   []Binding  // where the object's server listens
	RemUnknown msrpc.UUID // IPID of its IRemUnknown2
	Interfaces []Interface
}

// Interface is what came of one of the interfaces that were asked for.
type Interface struct {
	IID     msrpc.UUID
	HRESULT uint32
	// Reference is what calls need; zero where HRESULT is a failure.
	Reference Reference
}

// Failed reports whether an HRESULT is a failure: success has several values.
func Failed(hresult uint32) bool { return hresult&0x80000000 != 0 }

// ParseActivated reads the answer to RemoteCreateInstance, ORPCTHAT included.
// Errors are ErrObjRef, ErrBindings, ErrProperty, ErrMissing, or ndr's.
func ParseActivated(stub []byte) (*Activated, error) {
	d := ndr.NewDecoder(stub)
	that(d)
	var objref []byte
	d.Unique(func() {
		most := d.Count(maxObjRef, 0)
		objref = d.Blob(most)
	})
	a := &Activated{HRESULT: d.Uint32()}
	if err := d.Done(); err != nil {
		return nil, err
	}
	if Failed(a.HRESULT) {
		return a, nil
	}
	blob, err := custom(objref, propertiesOut, propertiesOutCls)
	if err != nil {
		return nil, err
	}
	list, err := properties(blob)
	if err != nil {
		return nil, err
	}
	var outs, reply bool
	for _, p := range list {
		switch p.class {
		case propsOut:
			outs, err = true, a.readInterfaces(p.b)
		case scmReply:
			reply, err = true, a.readReply(p.b)
		}
		if err != nil {
			return nil, err
		}
	}
	if !outs || !reply {
		return nil, ErrMissing
	}
	return a, nil
}

// properties takes an activation properties BLOB apart.
func properties(b []byte) ([]property, error) {
	d := ndr.NewDecoder(b)
	d.Uint32() // size, said again in the header
	d.Uint32()
	b = d.Rest()
	body, err := deserialize(b)
	if err != nil {
		return nil, err
	}
	var (
		list  []property
		sizes []uint32
	)
	d = ndr.NewDecoder(body)
	total, header, n := 0, 0, 0
	d.Struct(func() {
		total, header = int(d.Uint32()), int(d.Uint32())
		d.Uint32()
		d.Uint32()
		n = int(d.Uint32())
		d.GUID()
		d.Unique(func() {
			list = make([]property, d.Count(maxProperties, 16))
			for i := range list {
				list[i].class = d.GUID()
			}
		})
		d.Unique(func() {
			sizes = make([]uint32, d.Count(maxProperties, 4))
			for i := range sizes {
				sizes[i] = d.Uint32()
			}
		})
		d.Unique(func() { d.Uint32() }) // reserved
	})
	if err := d.Err(); err != nil {
		return nil, err
	}
	if total > len(b) || header < wrapperSize+len(body) || header > total || len(sizes) != n || len(list) != n {
		return nil, ErrProperty
	}
	d = ndr.NewDecoder(b[header:total])
	for i := range list {
		list[i].b = d.Raw(int(sizes[i]))
	}
	return list, d.Err()
}

// deserialize takes the headers of type serialization off and gives the body, with
// its padding.
func deserialize(b []byte) ([]byte, error) {
	d := ndr.NewDecoder(b)
	header := d.Raw(len(serialHeader))
	size := d.Uint32()
	d.Uint32()
	body := d.Raw(int(size))
	if d.Err() == nil && !bytes.Equal(header[:4], serialHeader[:4]) { // the rest is filler
		return nil, ErrProperty
	}
	return body, d.Err()
}

// readInterfaces reads a PropsOutInfo (MS-DCOM §2.2.22.2.9): three arrays of one
// length, the last of pointers to references.
func (a *Activated) readInterfaces(b []byte) error {
	body, err := deserialize(b)
	if err != nil {
		return err
	}
	d := ndr.NewDecoder(body)
	n := 0
	d.Struct(func() {
		n = int(d.Uint32())
		same := func(m int) int {
			if m != n {
				d.Fail(ErrProperty)
				return 0
			}
			return m
		}
		d.Unique(func() {
			a.Interfaces = make([]Interface, same(d.Count(maxInterfaces, 16)))
			for i := range a.Interfaces {
				a.Interfaces[i].IID = d.GUID()
			}
		})
		d.Unique(func() {
			for i := range min(same(d.Count(maxInterfaces, 4)), len(a.Interfaces)) {
				a.Interfaces[i].HRESULT = d.Uint32()
			}
		})
		d.Unique(func() {
			for i := range min(same(d.Count(maxInterfaces, 4)), len(a.Interfaces)) {
				d.Unique(func() { a.Interfaces[i].read(d) })
			}
		})
	})
	if err := d.Err(); err != nil {
		return err
	}
	if len(a.Interfaces) != n {
		return ErrProperty
	}
	for _, i := range a.Interfaces {
		if !Failed(i.HRESULT) && i.Reference.IPID == (msrpc.UUID{}) {
			return ErrObjRef
		}
	}
	return nil
}

// read reads the MInterfacePointer of an interface.
func (i *Interface) read(d *ndr.Decoder) {
	most := d.Count(maxObjRef, 0)
	objref := d.Blob(most)
	if d.Err() != nil {
		return
	}
	r, err := reference(objref)
	if err == nil && r.IID != i.IID {
		err = ErrObjRef
	}
	if err != nil {
		d.Fail(err)
		return
	}
	i.Reference = r
}

// readReply reads a ScmReplyInfoData (MS-DCOM §2.2.22.2.8).
func (a *Activated) readReply(b []byte) error {
	body, err := deserialize(b)
	if err != nil {
		return err
	}
	d := ndr.NewDecoder(body)
	d.Struct(func() {
		d.Unique(func() { d.Uint32() }) // reserved
		d.Unique(func() {
			d.Uint64() // OXID
			d.Unique(func() { a.Bindings = bindings(d) })
			a.RemUnknown = d.GUID()
			d.Uint32() // least login level; ours is the highest
			d.Uint16() // COMVERSION
			d.Uint16()
		})
	})
	return d.Err()
}
