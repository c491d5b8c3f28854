package adcsmsg

import (
	"fmt"

	"chancery/internal/wire/ndr"
)

// The call numbers that enrol and retrieve.
const (
	OpPassage  = 0 // ICertPassage::CertServerRequest, MS-ICPR §3.2.4.1.1
	OpRequest  = 3 // ICertRequestD::Request, MS-WCCE §3.2.1.4.2.1
	OpRequest2 = 6 // ICertRequestD2::Request2, §3.2.1.4.3.1
)

// The formats of a request, in Submission.Flags (MS-WCCE §3.2.1.4.3.1.1).
const (
	FlagPKCS10 = 0x100
	FlagPKCS7  = 0x300 // a request inside CMS: renewal, on behalf of
)

// Submission is a request for a certificate, or for the answer to an earlier one.
type Submission struct {
	Flags      uint32
	Authority  string
	RequestID  uint32 // zero: new; else the one to retrieve, without Attributes and Request
	Attributes Attributes
	Request    []byte // DER
}

// EncodePassage writes the stub of ICertPassage. Its attributes are octets that
// hold UTF-16 with a NUL.
func EncodePassage(s Submission) ([]byte, error) {
	attributes, err := s.Attributes.encode()
	if err != nil {
		return nil, err
	}
	e := &ndr.Encoder{}
	e.Uint32(s.Flags)
	if err := authority(e, s.Authority); err != nil {
		return nil, err
	}
	e.Uint32(s.RequestID)
	if s.RequestID == 0 {
		blob(e, utf16LE(attributes))
	} else {
		blob(e, nil)
	}
	blob(e, s.Request)
	return e.Bytes()
}

// EncodeRequest writes the stub of ICertRequestD::Request. When retrieving, the
// attributes are null: a text there would be read as a serial number
// (§3.2.1.4.2.1.3).
func EncodeRequest(s Submission) ([]byte, error) {
	attributes, err := s.Attributes.encode()
	if err != nil {
		return nil, err
	}
	e := &ndr.Encoder{}
	e.Uint32(s.Flags)
	if err := authority(e, s.Authority); err != nil {
		return nil, err
	}
	e.Uint32(s.RequestID)
	if s.RequestID == 0 {
		err = text(e, attributes)
	} else {
		e.UniqueString(nil)
	}
	if err != nil {
		return nil, err
	}
	blob(e, s.Request)
	return e.Bytes()
}

// EncodeRetrieve writes the stub of ICertRequestD2::Request2 that asks for a
// certificate by its serial number (§3.1.1.4.3.7), as SerialText writes it: no
// number of a request, no attributes, no request. Authority and flags come in the
// other order than in Request.
func EncodeRetrieve(name, serial string) ([]byte, error) {
	if len(serial)+1 > maxSerial {
		return nil, fmt.Errorf("%w: serial number", ErrTooLong)
	}
	e := &ndr.Encoder{}
	if err := authority(e, name); err != nil {
		return nil, err
	}
	e.Uint32(0) // dwFlags
	if err := text(e, serial); err != nil {
		return nil, err
	}
	e.Uint32(0) // pdwRequestId
	e.UniqueString(nil)
	blob(e, nil)
	return e.Bytes()
}

// Disposition is what the CA did with a request: one of the constants, or an
// HRESULT that says why it did not issue.
type Disposition uint32

// The dispositions (MS-WCCE §3.2.1.4.2.1, MS-ICPR §3.2.4.1.1).
const (
	Foreign Disposition = 0 // of another CA
	Denied  Disposition = 2
	Issued  Disposition = 3
	Pending Disposition = 5
	Revoked Disposition = 6
)

// Answer is what came of a Submission.
type Answer struct {
	RequestID   uint32
	Disposition Disposition
	Chain       []byte // certs-only PKCS#7
	Leaf        []byte // DER
	Message     string // the CA's own words, in the language of its host
}

// DecodeAnswer reads the parameters of an answer to any of the calls. What stands in
// the place of Chain may be a full response (CMC) after Request2.
func DecodeAnswer(stub []byte) (Answer, error) {
	d := ndr.NewDecoder(stub)
	a := Answer{RequestID: d.Uint32(), Disposition: Disposition(d.Uint32())}
	a.Chain, a.Leaf = readBlob(d), readBlob(d)
	message := readBlob(d)
	if err := done(d); err != nil {
		return Answer{}, err
	}
	var err error
	if a.Message, err = fromUTF16(message); err != nil {
		return Answer{}, err
	}
	return a, nil
}
