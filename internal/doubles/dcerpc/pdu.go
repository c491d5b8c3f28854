package dcerpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// Kinds of PDUs (C706 12.6.4).
const (
	kindRequest   = 0
	kindResponse  = 2
	kindFault     = 3
	kindBind      = 11
	kindBindAck   = 12
	kindBindNak   = 13
	kindAlter     = 14
	kindAlterResp = 15
	kindAuth3     = 16
	kindCancel    = 18
	kindOrphaned  = 19
)

// Flags of PDUs (12.6.3.1, MS-RPCE 2.2.2.3).
const (
	flagFirst      = 0x01
	flagLast       = 0x02
	flagHeaderSign = 0x04
	didNotExecute  = 0x20
	flagObject     = 0x80
)

const headerSize = 16

var (
	errPDU     = errors.New("dcerpc: malformed PDU")
	errVersion = errors.New("dcerpc: another version of the protocol")
)

// pdu is one PDU taken apart. The slices are parts of raw.
type pdu struct {
	raw     []byte
	kind    byte
	flags   byte
	callID  uint32
	body    []byte   // after the common header, before the trailer; padding included
	trailer *trailer // nil without authentication
	token   []byte
}

// trailer is the sec_trailer (MS-RPCE 2.2.2.11).
type trailer struct {
	raw   []byte
	kind  byte
	level byte
	pad   int
	id    uint32
}

// readPDU reads one PDU.
func readPDU(r io.Reader) (*pdu, error) {
	raw := make([]byte, headerSize, 1024)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	length := int(binary.LittleEndian.Uint16(raw[8:]))
	if length < headerSize {
		return nil, errPDU
	}
	raw = append(raw, make([]byte, length-headerSize)...)
	if _, err := io.ReadFull(r, raw[headerSize:]); err != nil {
		return nil, err
	}
	return parsePDU(raw)
}

// parsePDU takes a whole PDU apart. A PDU of another version of the protocol is
// given along with errVersion.
func parsePDU(raw []byte) (*pdu, error) {
	le := binary.LittleEndian
	if len(raw) < headerSize || int(le.Uint16(raw[8:])) != len(raw) {
		return nil, errPDU
	}
	p := &pdu{raw: raw, kind: raw[2], flags: raw[3], callID: le.Uint32(raw[12:]), body: raw[headerSize:]}
	if raw[0] != 5 || raw[1] > 1 {
		return p, errVersion
	}
	if !bytes.Equal(raw[4:8], []byte{0x10, 0, 0, 0}) {
		return nil, errPDU // nobody sends big-endian numbers, EBCDIC or VAX floats
	}
	size := int(le.Uint16(raw[10:]))
	if size == 0 {
		return p, nil
	}
	at := len(raw) - size - 8
	if at < headerSize || at%4 != 0 {
		return nil, errPDU
	}
	t := raw[at : at+8]
	p.body, p.token = raw[headerSize:at], raw[at+8:]
	p.trailer = &trailer{raw: t, kind: t[0], level: t[1], pad: int(t[2]), id: le.Uint32(t[4:])}
	if p.trailer.pad > len(p.body) {
		return nil, errPDU
	}
	return p, nil
}

// makePDU writes a PDU: the body is filled up to the boundary of the trailer,
// and room is left for a token of the given length. Without a trailer there is
// no room and no padding.
func makePDU(kind, flags byte, callID uint32, body []byte, t *trailer, token int) []byte {
	le := binary.LittleEndian
	raw := []byte{5, 0, kind, flags, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	le.PutUint32(raw[12:], callID)
	raw = append(raw, body...)
	if t != nil {
		pad := t.pad + -(len(raw)+t.pad)&3
		raw = append(raw, make([]byte, pad)...)
		raw = append(raw, t.kind, t.level, byte(pad), 0)
		raw = le.AppendUint32(raw, t.id)
		raw = append(raw, make([]byte, token)...)
		le.PutUint16(raw[10:], uint16(token))
	}
	le.PutUint16(raw[8:], uint16(len(raw)))
	return raw
}
