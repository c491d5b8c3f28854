package secdesc

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Kind is what an entry of an access list is (MS-DTYP §2.4.4.1).
type Kind uint8

// The kinds that are evaluated. The callback kinds hold a condition on claims
// that only Windows can decide; any other kind keeps its bytes in Rest.
const (
	Allow               Kind = 0x00
	Deny                Kind = 0x01
	AllowObject         Kind = 0x05
	DenyObject          Kind = 0x06
	AllowCallback       Kind = 0x09
	DenyCallback        Kind = 0x0A
	AllowCallbackObject Kind = 0x0B
	DenyCallbackObject  Kind = 0x0C
)

func (k Kind) known() bool {
	return k == Allow || k == Deny || k == AllowObject || k == DenyObject || k.conditional()
}
func (k Kind) conditional() bool { return k >= AllowCallback && k <= DenyCallbackObject }

func (k Kind) allows() bool {
	return k == Allow || k == AllowObject || k == AllowCallback || k == AllowCallbackObject
}

func (k Kind) object() bool {
	return k == AllowObject || k == DenyObject || k == AllowCallbackObject || k == DenyCallbackObject
}

// InheritOnly is the flag of an entry that is there for the children alone.
const InheritOnly = 0x08

const (
	entryHeader      = 4
	hasObject        = 1
	hasInheritObject = 2
)

// Entry is one ACE.
type Entry struct {
	Kind  Kind
	Flags uint8 // inheritance (MS-DTYP §2.4.4.1)
	Mask  uint32
	SID   string // empty in an entry of an unknown kind
	// Object is the GUID of the one right, property, property set or child
	// class an object entry speaks of; empty: of all. Inherited is the class of
	// the children that inherit it.
	Object, Inherited string
	Rest              []byte // the condition of a callback entry; the body of an unknown one
}

// Effective reports whether the entry speaks of the object it stands on, and
// not for its children only.
func (e Entry) Effective() bool { return e.Kind.known() && e.Flags&InheritOnly == 0 }

// Allows reports whether the entry gives, rather than takes away; what a
// condition gives it gives perhaps.
func (e Entry) Allows() bool { return e.Kind.allows() }

// cutEntry reads the entry b begins with (MS-DTYP §2.4.4).
func cutEntry(b []byte) (e Entry, rest []byte, err error) {
	broken := fmt.Errorf("%w: an entry of the access list is cut off", ErrDescriptor)
	if len(b) < entryHeader {
		return e, nil, broken
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < entryHeader || size > len(b) {
		return e, nil, broken
	}
	e.Kind, e.Flags = Kind(b[0]), b[1]
	body, rest := b[entryHeader:size], b[size:]
	if !e.Kind.known() {
		e.Rest = slices.Clone(body)
		return e, rest, nil
	}
	if len(body) < 4 {
		return e, nil, broken
	}
	e.Mask, body = binary.LittleEndian.Uint32(body), body[4:]
	if e.Kind.object() {
		if e.Object, e.Inherited, body, err = cutObjects(body); err != nil {
			return e, nil, broken
		}
	}
	if e.SID, body, err = cutSID(body); err != nil {
		return e, nil, err
	}
	if len(body) > 0 {
		e.Rest = slices.Clone(body)
	}
	return e, rest, nil
}

// cutObjects reads the flags and the one or two GUIDs of an object entry
// (MS-DTYP §2.4.4.3). A GUID of zeros stands for none.
func cutObjects(b []byte) (object, inherited string, rest []byte, err error) {
	if len(b) < 4 {
		return "", "", nil, ErrDescriptor
	}
	flags, b := binary.LittleEndian.Uint32(b), b[4:]
	for _, g := range []struct {
		bit uint32
		to  *string
	}{{hasObject, &object}, {hasInheritObject, &inherited}} {
		if flags&g.bit == 0 {
			continue
		}
		if len(b) < 16 {
			return "", "", nil, ErrDescriptor
		}
		text := formatGUID(b[:16])
		if text != nilGUID {
			*g.to = text
		}
		b = b[16:]
	}
	return object, inherited, b, nil
}

func (e Entry) append(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, byte(e.Kind), e.Flags, 0, 0)
	if e.Kind.known() {
		b = binary.LittleEndian.AppendUint32(b, e.Mask)
		var err error
		if e.Kind.object() {
			if b, err = e.appendObjects(b); err != nil {
				return nil, err
			}
		}
		if b, err = AppendSID(b, e.SID); err != nil {
			return nil, err
		}
	}
	b = append(b, e.Rest...)
	if len(b)-start > 0xFFFF {
		return nil, ErrTooBig
	}
	binary.LittleEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b, nil
}

func (e Entry) appendObjects(b []byte) ([]byte, error) {
	var flags uint32
	var guids []byte
	for _, g := range []struct {
		bit  uint32
		text string
	}{{hasObject, e.Object}, {hasInheritObject, e.Inherited}} {
		if g.text == "" {
			continue
		}
		guid, err := parseGUID(g.text)
		if err != nil {
			return nil, err
		}
		flags, guids = flags|g.bit, append(guids, guid...)
	}
	return append(binary.LittleEndian.AppendUint32(b, flags), guids...), nil
}
