// Package adcsmsg writes and reads what a Microsoft certification authority (AD
// CS) understands: the stubs of its three interfaces, and what is inside them.
//
// ICertPassage (MS-ICPR) has one call, which enrols and retrieves. ICertRequestD
// and D2 (MS-WCCE) do the same over DCOM and tell about the CA. ICertAdminD and D2
// (MS-CSRA) revoke, decide on pending requests, publish revocation lists and show
// the database. Stubs are in NDR (package ndr) and hold the parameters alone: what
// DCOM puts before them (ORPCTHIS, ORPCTHAT) and the result code behind them
// belong to the layers that carry them.
//
// What travels inside is here, too: the attributes of a request, the list of
// templates, rows of the database, the certificates of an answer, and the two
// kinds of signed requests, on behalf of somebody and for a renewal.
//
// Everything that arrives has limits; nothing that arrives is believed to be more
// than octets from a server.
package adcsmsg

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// The interfaces and classes, all of version 0.0.
var (
	CertPassage = msrpc.SyntaxID{UUID: msrpc.MustUUID("91ae6020-9e3c-11cf-8d7c-00aa00c091be")} // MS-ICPR §1.9

	ClassRequest  = msrpc.MustUUID("d99e6e74-fc88-11d0-b498-00a0c90312f3") // CLSID CCertRequestD, MS-WCCE §1.9
	CertRequestD  = msrpc.MustUUID("d99e6e70-fc88-11d0-b498-00a0c90312f3")
	CertRequestD2 = msrpc.MustUUID("5422fd3a-d4b8-4cef-a12e-e87d4ca22e90")

	ClassAdmin  = msrpc.MustUUID("d99e6e73-fc88-11d0-b498-00a0c90312f3") // CLSID CCertAdminD, MS-CSRA §1.9
	CertAdminD  = msrpc.MustUUID("d99e6e71-fc88-11d0-b498-00a0c90312f3")
	CertAdminD2 = msrpc.MustUUID("7fe0d935-dda6-443f-85d0-1cfb58fe41dd")
)

// PassagePipe is the named pipe of ICertPassage (MS-ICPR §2.1).
const PassagePipe = "cert"

// Limits of what arrives.
const (
	maxBlob    = 1 << 20 // octets of a certificate transfer blob
	maxText    = 32 << 10
	maxColumns = 512
	maxRows    = 10000
)

// maxUnits bounds the strings of MS-WCCE and MS-CSRA, in UTF-16 units with the
// NUL: range(1,1536).
const maxUnits = 1536

// maxSerial bounds the serial number of Request2, with the NUL (MS-WCCE
// §3.2.1.4.3.1).
const maxSerial = 65

// The ways octets or values are wrong, beside those of package ndr.
var (
	ErrValue    = errors.New("adcsmsg: a value that cannot be sent")
	ErrTooLong  = errors.New("adcsmsg: longer than the CA takes")
	ErrText     = errors.New("adcsmsg: not a text in UTF-16")
	ErrAnswer   = errors.New("adcsmsg: an answer that contradicts itself")
	ErrVariant  = errors.New("adcsmsg: a value of a type that is not read here")
	ErrRows     = errors.New("adcsmsg: malformed rows of the database")
	ErrChain    = errors.New("adcsmsg: malformed certificates")
	ErrTemplate = errors.New("adcsmsg: malformed list of templates")
)

// authority writes the name of a CA, as every call has it: [string, unique].
func authority(e *ndr.Encoder, name string) error { return text(e, name) }

// text writes a [string, unique] that is never null.
func text(e *ndr.Encoder, s string) error {
	if n, err := units(s); err != nil {
		return err
	} else if n+1 > maxUnits {
		return fmt.Errorf("%w: a text of %d characters", ErrTooLong, n)
	}
	e.UniqueString(&s)
	return nil
}

// units counts the UTF-16 units of a text that can be sent.
func units(s string) (int, error) {
	n := 0
	for _, r := range s {
		if r == 0 || r == utf8.RuneError {
			return 0, fmt.Errorf("%w: a text with NUL, or not UTF-8", ErrValue)
		}
		n += utf16.RuneLen(r)
	}
	return n, nil
}

// blob writes a CERTTRANSBLOB (MS-WCCE §2.2.2.2): a count, and a pointer that is
// null when there is nothing.
func blob(e *ndr.Encoder, b []byte) {
	e.Struct(func() {
		e.Uint32(uint32(len(b)))
		e.Unique(len(b) > 0, func() { e.Blob(b) })
	})
}

// readBlob reads a CERTTRANSBLOB.
func readBlob(d *ndr.Decoder) (b []byte) {
	d.Struct(func() {
		n := d.Uint32()
		if n > maxBlob {
			d.Fail(ndr.ErrLimit)
		}
		present := d.Unique(func() {
			if b = d.Blob(maxBlob); uint32(len(b)) != n {
				d.Fail(ErrAnswer)
			}
		})
		if !present && n != 0 {
			d.Fail(ErrAnswer)
		}
	})
	return b
}

// done ends an answer: what follows the last value, up to where a result code may
// stand, is padding.
func done(d *ndr.Decoder) error {
	d.Align(4)
	return d.Done()
}

// utf16LE gives a text as octets with a NUL at the end.
func utf16LE(s string) []byte {
	var out []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

// fromUTF16 reads a text in UTF-16, up to its NUL if it has one.
func fromUTF16(b []byte) (string, error) {
	if len(b)%2 != 0 {
		return "", fmt.Errorf("%w: odd length", ErrText)
	}
	if len(b) > 2*maxText {
		return "", fmt.Errorf("%w: too long", ErrText)
	}
	var list []uint16
	for i := 0; i < len(b); i += 2 {
		u := uint16(b[i]) | uint16(b[i+1])<<8
		if u == 0 {
			break
		}
		list = append(list, u)
	}
	return string(utf16.Decode(list)), nil
}
