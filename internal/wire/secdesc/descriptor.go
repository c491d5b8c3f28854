package secdesc

import (
	"encoding/binary"
	"fmt"
)

// Bits of Descriptor.Control that matter here (MS-DTYP §2.4.6).
const (
	controlDACLPresent  = 0x0004
	controlSACLPresent  = 0x0010
	ControlProtected    = 0x1000 // entries of the parents are not inherited
	controlSelfRelative = 0x8000
)

const (
	headerSize = 20
	listHeader = 8
	// maxSize is two full access lists, two of the longest SIDs and the header.
	maxSize = headerSize + 2*0xFFFF + 2*(8+4*maxSubAuthorities)
)

// Descriptor is a security descriptor without its audit list.
type Descriptor struct {
	Owner, Group string // SIDs; empty when the descriptor names none
	Control      uint16 // as it came; Append sets what it must
	// Open means that there is no access list, or a null one: everybody may do
	// everything. An empty list that is there lets nobody do anything.
	Open   bool
	Access []Entry // in their order, which decides
}

// Parse reads one self-relative security descriptor: ErrTooBig past 128 KiB,
// ErrDescriptor or ErrSID when it is malformed. Bytes between and behind its
// parts are ignored, as Windows does, for the parts are found by offset.
func Parse(b []byte) (*Descriptor, error) {
	if len(b) > maxSize {
		return nil, ErrTooBig
	}
	if len(b) < headerSize || b[0] != 1 {
		return nil, ErrDescriptor
	}
	d := &Descriptor{Control: binary.LittleEndian.Uint16(b[2:])}
	if d.Control&controlSelfRelative == 0 {
		return nil, fmt.Errorf("%w: it is not self-relative", ErrDescriptor)
	}
	var err error
	if d.Owner, err = sidAt(b, 4); err != nil {
		return nil, err
	}
	if d.Group, err = sidAt(b, 8); err != nil {
		return nil, err
	}
	list, err := partAt(b, 16)
	if err != nil {
		return nil, err
	}
	if d.Open = d.Control&controlDACLPresent == 0 || list == nil; d.Open {
		return d, nil
	}
	d.Access, err = readList(list)
	return d, err
}

// partAt gives what begins at the offset stored at byte at; nil when the offset
// is zero.
func partAt(b []byte, at int) ([]byte, error) {
	offset := binary.LittleEndian.Uint32(b[at:])
	switch {
	case offset == 0:
		return nil, nil
	case offset < headerSize || uint64(offset) > uint64(len(b)):
		return nil, fmt.Errorf("%w: a part lies outside of it", ErrDescriptor)
	}
	return b[offset:], nil
}

func sidAt(b []byte, at int) (string, error) {
	part, err := partAt(b, at)
	if err != nil || part == nil {
		return "", err
	}
	sid, _, err := cutSID(part)
	return sid, err
}

// readList reads an ACL (MS-DTYP §2.4.5).
func readList(b []byte) ([]Entry, error) {
	if len(b) < listHeader || b[0] < 2 || b[0] > 4 {
		return nil, fmt.Errorf("%w: the access list has no header", ErrDescriptor)
	}
	size, count := int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint16(b[4:]))
	if size < listHeader || size > len(b) || count*entryHeader > size-listHeader {
		return nil, fmt.Errorf("%w: the access list is cut off", ErrDescriptor)
	}
	b = b[listHeader:size]
	list := make([]Entry, 0, count)
	for range count {
		e, rest, err := cutEntry(b)
		if err != nil {
			return nil, err
		}
		list, b = append(list, e), rest
	}
	return list, nil
}

// Append appends the self-relative form of d, or gives ErrSID, ErrDescriptor
// (a GUID that is none) or ErrTooBig. Parse reads the same values back.
func (d *Descriptor) Append(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, headerSize)...)
	control := d.Control&^(controlDACLPresent|controlSACLPresent) | controlSelfRelative
	if !d.Open {
		control |= controlDACLPresent
	}
	put := func(at int, part []byte, err error) error {
		if err == nil && len(part) > 0 {
			binary.LittleEndian.PutUint32(b[start+at:], uint32(len(b)-start))
			b = append(b, part...)
		}
		return err
	}
	for _, sid := range []struct {
		at   int
		text string
	}{{4, d.Owner}, {8, d.Group}} {
		if sid.text == "" {
			continue
		}
		part, err := AppendSID(nil, sid.text)
		if err := put(sid.at, part, err); err != nil {
			return nil, err
		}
	}
	if !d.Open {
		part, err := appendList(d.Access)
		if err := put(16, part, err); err != nil {
			return nil, err
		}
	}
	b[start] = 1
	binary.LittleEndian.PutUint16(b[start+2:], control)
	return b, nil
}

func appendList(list []Entry) ([]byte, error) {
	b := make([]byte, listHeader)
	b[0] = 2
	for _, e := range list {
		var err error
		if b, err = e.append(b); err != nil {
			return nil, err
		}
		if e.Kind != Allow && e.Kind != Deny {
			b[0] = 4 // MS-DTYP §2.4.5: object entries need ACL_REVISION_DS
		}
	}
	if len(b) > 0xFFFF {
		return nil, ErrTooBig
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	binary.LittleEndian.PutUint16(b[4:], uint16(len(list)))
	return b, nil
}
