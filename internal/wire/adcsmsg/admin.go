package adcsmsg

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"chancery/internal/wire/ndr"
)

// The call numbers of ICertAdminD and D2 (MS-CSRA §3.1.4.1, §3.1.4.2).
const (
	OpResubmit       = 5
	OpDeny           = 6
	OpIsValid        = 7
	OpRevoke         = 10
	OpOpenView       = 14
	OpEnumView       = 15
	OpCloseView      = 16
	OpPublishCRLs    = 31 // D2
	OpViewTable      = 35 // D2
	OpGetCASecurity  = 36 // D2
	OpGetConfigEntry = 44 // D2
	OpGetMyRoles     = 47 // D2
)

// The rights of an account at a CA (MS-CSRA §3.1.1.7), as GetMyRoles gives them.
const (
	RoleManageCA      = 0x001
	RoleManageRequest = 0x002 // Issue and Manage Certificates
	RoleRead          = 0x100
	RoleRequest       = 0x200
)

// Unhold is the reason that takes a certificate off hold (MS-CSRA §3.1.4.1.8).
const Unhold = 0xffffffff

// The flags of PublishCRLs.
const (
	PublishBase  = 1
	PublishDelta = 2
)

// The dispositions of IsValidCertificate.
const (
	CertificateRevoked = 2
	CertificateValid   = 3
	CertificateUnknown = 4 // never issued here
)

// SerialText writes a serial number as the CA compares it: lower-case hexadecimal
// digits, an even number of them. A number below one has no such form.
func SerialText(n *big.Int) (string, error) {
	if n.Sign() <= 0 || n.BitLen() > 20*8 {
		return "", fmt.Errorf("%w: serial number", ErrValue)
	}
	return hex.EncodeToString(n.Bytes()), nil
}

// EncodeByID writes the stub of ResubmitRequest and DenyRequest.
func EncodeByID(name string, id uint32) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.Uint32(id)
	return e.Bytes()
}

// EncodeRevoke writes the stub of RevokeCertificate. at becomes the date of
// revocation; it is not zero.
func EncodeRevoke(name, serial string, reason uint32, at time.Time) ([]byte, error) {
	if at.IsZero() {
		return nil, fmt.Errorf("%w: no time of revocation", ErrValue)
	}
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	if err := text(e, serial); err != nil {
		return nil, err
	}
	e.Uint32(reason)
	e.FileTime(at)
	return e.Bytes()
}

// EncodeIsValid writes the stub of IsValidCertificate.
func EncodeIsValid(name, serial string) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	if err := text(e, serial); err != nil {
		return nil, err
	}
	return e.Bytes()
}

// DecodeIsValid reads the reason of a revocation and the disposition.
func DecodeIsValid(stub []byte) (reason int32, disposition uint32, err error) {
	d := ndr.NewDecoder(stub)
	reason, disposition = int32(d.Uint32()), d.Uint32()
	return reason, disposition, done(d)
}

// EncodePublishCRLs writes the stub of PublishCRLs; the lists are valid until
// next, or for the CA's own period when it is zero.
func EncodePublishCRLs(name string, next time.Time, flags uint32) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.FileTime(next)
	e.Uint32(flags)
	return e.Bytes()
}

// EncodeGetConfigEntry writes the stub of GetConfigEntry. The name of the entry is
// a [ref] string and has no identifier; the path of its node is a [unique] one.
func EncodeGetConfigEntry(name, node, entry string) ([]byte, error) {
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	if err := text(e, node); err != nil {
		return nil, err
	}
	if _, err := units(entry); err != nil {
		return nil, err
	}
	e.String(entry)
	return e.Bytes()
}

// The types of a Variant (MS-OAUT §2.2.7).
const (
	VariantLong   = 3 // VT_I4
	VariantString = 8 // VT_BSTR
)

// Variant is a configuration value.
type Variant struct {
	Type   uint16
	Long   uint32
	String string
}

// DecodeVariant reads the answer of GetConfigEntry (MS-OAUT §2.2.29). Values of
// other types than number and text are ErrVariant.
func DecodeVariant(stub []byte) (Variant, error) {
	d := ndr.NewDecoder(stub)
	var v Variant
	present := d.Unique(func() { v.read(d) })
	if err := done(d); err != nil {
		return Variant{}, err
	}
	if !present {
		return Variant{}, fmt.Errorf("%w: none", ErrVariant)
	}
	return v, nil
}

// read reads the wire form of a VARIANT: its size, its type twice, its value.
func (v *Variant) read(d *ndr.Decoder) {
	d.Align(8)
	d.Uint32() // clSize, in units of eight octets
	d.Uint32() // reserved
	v.Type = d.Uint16()
	d.Uint16()
	d.Uint16()
	d.Uint16()
	again := d.Uint32()
	switch {
	case d.Err() != nil:
	case again != uint32(v.Type):
		d.Fail(fmt.Errorf("%w: type %d and %d", ErrAnswer, v.Type, again))
	case v.Type == VariantLong:
		v.Long = d.Uint32()
	case v.Type == VariantString:
		d.Unique(func() { v.String = readBSTR(d) })
	default:
		d.Fail(fmt.Errorf("%w: VARTYPE %d", ErrVariant, v.Type))
	}
}

// readBSTR reads a FLAGGED_WORD_BLOB (MS-OAUT §2.2.23.1).
func readBSTR(d *ndr.Decoder) string {
	most := d.Count(maxText, 0)
	d.Uint32() // octets, 0xffffffff for null
	n := d.Count(maxText, 2)
	if n > most {
		d.Fail(ErrAnswer)
	}
	b := d.Raw(2 * n)
	if d.Err() != nil {
		return ""
	}
	s, err := fromUTF16(b)
	if err != nil {
		d.Fail(err)
	}
	return s
}
