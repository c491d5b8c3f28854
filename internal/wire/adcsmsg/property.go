package adcsmsg

import (
	"encoding/binary"
	"fmt"

	"chancery/internal/wire/ndr"
)

// The call numbers of ICertRequestD and D2 that tell about the CA.
const (
	OpGetCACert     = 4 // D, MS-WCCE §3.2.1.4.2.2
	OpPing          = 5 // D, §3.2.1.4.2.3
	OpGetCAProperty = 7 // D2, §3.2.1.4.3.2
)

// What GetCACert can be asked for (§3.2.1.4.2.2).
const (
	CACertSigning = 0
	CACertName    = 0x6e616d65 // which needs no authority: how a CA's name is found
)

// The types of a property.
const (
	PropLong   = 1
	PropBinary = 3
	PropString = 4
)

// Property is a property of the CA with its type; asking for it with another type
// is an error at the CA.
type Property struct {
	ID   uint32
	Type uint32
}

// The properties that are asked for (MS-WCCE §3.2.1.4.3.2.1 and following).
var (
	PropSigningCount = Property{0x0b, PropLong}   // how many certificates the CA has had
	PropSigning      = Property{0x0c, PropBinary} // by index, the oldest first
	PropSigningChain = Property{0x0d, PropBinary} // by index
	PropBaseCRL      = Property{0x11, PropBinary} // by index
	PropTemplates    = Property{0x1d, PropString}
)

// Newest is the index of the newest certificate or revocation list.
const Newest = 0xffffffff

// EncodeAuthority writes the stub of every call whose one parameter is the CA:
// Ping, GetMyRoles, GetCASecurity, CloseView.
func EncodeAuthority(name string) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	return e.Bytes()
}

// EncodeGetCACert writes the stub of GetCACert.
func EncodeGetCACert(what uint32, name string) ([]byte, error) {
	e := &ndr.Encoder{}
	e.Uint32(what)
	if err := authority(e, name); err != nil {
		return nil, err
	}
	return e.Bytes()
}

// EncodeGetCAProperty writes the stub of GetCAProperty.
func EncodeGetCAProperty(name string, p Property, index uint32) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.Uint32(p.ID)
	e.Uint32(index)
	e.Uint32(p.Type)
	return e.Bytes()
}

// DecodeBlob reads the one blob of an answer.
func DecodeBlob(stub []byte) ([]byte, error) {
	d := ndr.NewDecoder(stub)
	b := readBlob(d)
	return b, done(d)
}

// Text reads the value of a property that is a text, or of the CA's name.
func Text(value []byte) (string, error) { return fromUTF16(value) }

// Long reads the value of a property that is a number.
func Long(value []byte) (uint32, error) {
	if len(value) != 4 {
		return 0, fmt.Errorf("%w: a number of %d octets", ErrAnswer, len(value))
	}
	return binary.LittleEndian.Uint32(value), nil
}

// DecodeLong reads an answer that is one number: roles, or a disposition.
func DecodeLong(stub []byte) (uint32, error) {
	d := ndr.NewDecoder(stub)
	v := d.Uint32()
	return v, done(d)
}
