package adcs

import (
	"encoding/binary"

	"chancery/internal/doubles/dcerpc"
)

const (
	fileVersion    = "10.0.20348.1"
	productVersion = "10.0.20348"
	newest         = 0xFFFFFFFF // an index
)

// Types of properties.
const (
	typeLong   = 1
	typeDate   = 2
	typeBinary = 3
	typeString = 4
)

func number(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// kind is the CAType: an enterprise root, or below one.
func (ca *CA) kind() uint32 {
	if ca.cfg.Root {
		return 0
	}
	return 1
}

// info is the CAINFO structure (MS-WCCE 2.2.2.4).
func (ca *CA) info() []byte {
	var w dcerpc.Writer
	words(&w, 40, ca.kind(), 1, 0, 0, 0x30, 0, 0, 0, 1)
	return w.Bytes()
}

// property is the value of a CA property and its type; the value is nil where
// there is none. ca.mu is held.
func (ca *CA) property(id, index uint32) (kind uint32, value []byte) {
	signer, there := ca.keys.signer(index)
	indexed := func(kind uint32, v []byte) (uint32, []byte) { // of the present key alone
		if !there || signer.cert != ca.keys.ca.cert {
			return kind, nil
		}
		return kind, v
	}
	switch id {
	case 0x01:
		return typeString, wideZ(fileVersion)
	case 0x02:
		return typeString, wideZ(productVersion)
	case 0x05:
		return typeString, wideZ("Windows default")
	case 0x06:
		return typeString, wideZ(ca.cfg.Name)
	case 0x07:
		return typeString, wideZ(sanitize(ca.cfg.Name))
	case 0x09:
		if ca.cfg.Root {
			return typeString, nil
		}
		return typeString, wideZ(ca.keys.root.cert.Subject.CommonName)
	case 0x0A:
		return typeLong, number(ca.kind())
	case 0x0B:
		return typeLong, number(uint32(len(ca.keys.former) + 1))
	case 0x0C:
		if !there {
			return typeBinary, nil
		}
		return typeBinary, signer.cert.Raw
	case 0x0D:
		if !there {
			return typeBinary, nil
		}
		return typeBinary, bundle(ca.keys.above(signer.cert))
	case 0x11:
		return indexed(typeBinary, ca.crls.base.Raw)
	case 0x12:
		return indexed(typeBinary, ca.crls.delta.Raw)
	case 0x15:
		return typeLong, number(0x30)
	case 0x16:
		return typeString, wideZ(ca.cfg.fqdn())
	case 0x17:
		return typeLong, number(0)
	case 0x1D:
		return typeString, wideZ(ca.templates())
	case 0x20:
		return indexed(typeBinary, bundle(ca.keys.chain(), ca.crls.base.Raw))
	case 0x22, 0x27:
		return indexed(typeLong, number(0))
	case 0x28:
		return typeString, wideZ(shorten(sanitize(ca.cfg.Name)))
	case 0x29:
		return indexed(typeString, wideZ(ca.keys.cdp))
	case 0x2A:
		return indexed(typeString, wideZ(ca.keys.ai))
	}
	return 0, nil
}

// templates lists those this CA issues: name and OID, each on a line; those of
// version 1 have an empty one.
func (ca *CA) templates() string {
	text := ""
	for _, t := range ca.catalog {
		if !t.Unpublished {
			text += t.Name + "\n" + t.OID + "\n"
		}
	}
	return text
}

func parseGetCAProperty(r *dcerpc.Reader) func(*session) uint32 {
	authority, _ := r.UniqueString(textLimit)
	id, index, kind := r.U32(), r.U32(), r.U32()
	return func(s *session) uint32 {
		byName := id == 0x06 || id == 0x07
		switch {
		case !byName && !s.ca.known(authority):
			return invalidArg
		case !byName && !s.who.has(Read):
			return accessDenied
		}
		s.ca.mu.Lock()
		defer s.ca.mu.Unlock()
		is, value := s.ca.property(id, index)
		switch {
		case is == 0 || kind != is:
			return invalidArg
		case value == nil:
			return fileNotFound
		}
		s.w.Blob(value)
		return 0
	}
}
