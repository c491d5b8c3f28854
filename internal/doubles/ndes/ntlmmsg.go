package ndes

import (
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

// The NTLM messages (MS-NLMP 2.2.1), as far as a server needs them.

const (
	ntlmSignature = "NTLMSSP\x00"
	maxNTLM       = 16 << 10 // octets of a message

	flagUnicode     = 0x1
	flagOEM         = 0x2
	flagTarget      = 0x4
	flagSign        = 0x10
	flagSeal        = 0x20
	flagNTLM        = 0x200
	flagAlwaysSign  = 0x8000
	flagDomain      = 0x10000
	flagExtended    = 0x80000
	flagTargetInfo  = 0x800000
	flagVersion     = 0x2000000
	flag128         = 0x20000000
	flagKeyExchange = 0x40000000
	flag56          = 0x80000000

	avEOL             = 0
	avComputer        = 1
	avDomain          = 2
	avDNSComputer     = 3
	avDNSDomain       = 4
	avFlags           = 6
	avTimestamp       = 7
	avFlagMIC         = 2
	micOffset, micEnd = 72, 88
)

var (
	errNTLMShort   = errors.New("ntlm: message is too short or too long")
	errNTLMKind    = errors.New("ntlm: not the message that was expected")
	errNTLMField   = errors.New("ntlm: a field lies outside the message")
	errNTLMCharset = errors.New("ntlm: neither Unicode nor OEM")
	errNTLMv1      = errors.New("ntlm: the response is not NTLMv2")
	errNTLMPairs   = errors.New("ntlm: the attribute list is broken")
)

// ntlmKind checks what every message begins with.
func ntlmKind(b []byte, kind uint32, least int) error {
	if len(b) < least || len(b) > maxNTLM {
		return errNTLMShort
	}
	if string(b[:8]) != ntlmSignature || binary.LittleEndian.Uint32(b[8:]) != kind {
		return errNTLMKind
	}
	return nil
}

// parseNegotiate reads the flags of a NEGOTIATE_MESSAGE.
func parseNegotiate(b []byte) (flags uint32, err error) {
	if err := ntlmKind(b, 1, 16); err != nil {
		return 0, err
	}
	flags = binary.LittleEndian.Uint32(b[12:])
	if flags&(flagUnicode|flagOEM) == 0 {
		return 0, errNTLMCharset
	}
	return flags, nil
}

// pair is an AV_PAIR.
type pair struct {
	id    uint16
	value []byte
}

func appendPairs(b []byte, pairs []pair) []byte {
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint16(b, p.id)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(p.value)))
		b = append(b, p.value...)
	}
	return append(b, 0, 0, 0, 0)
}

// parsePairs reads AV_PAIRs up to the one that ends them, which must be there.
func parsePairs(b []byte) ([]pair, error) {
	var pairs []pair
	for len(b) >= 4 {
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if id == avEOL && n == 0 {
			return pairs, nil
		}
		if n > len(b) {
			return nil, errNTLMPairs
		}
		pairs = append(pairs, pair{id, b[:n]})
		b = b[n:]
	}
	return nil, errNTLMPairs
}

func findPair(pairs []pair, id uint16) ([]byte, bool) {
	for _, p := range pairs {
		if p.id == id {
			return p.value, true
		}
	}
	return nil, false
}

// authenticate is an AUTHENTICATE_MESSAGE.
type authenticate struct {
	flags        uint32
	nt           []byte
	domain, user string
	key          []byte // EncryptedRandomSessionKey
	mic          []byte // nil where the payload begins before it would be
	proof, blob  []byte // of nt
	pairs        []pair // of blob
}

// parseAuthenticate reads one whose names are in Unicode or in OEM characters,
// of which only those of ASCII are known here.
func parseAuthenticate(b []byte, unicode bool) (*authenticate, error) {
	if err := ntlmKind(b, 3, 64); err != nil {
		return nil, err
	}
	first := len(b) // where the payload begins
	var broken error
	field := func(at int) []byte {
		n, offset := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint32(b[at+4:]))
		if n == 0 {
			return nil
		}
		if offset < 64 || offset > len(b) || n > len(b)-offset {
			broken = errNTLMField
			return nil
		}
		first = min(first, offset)
		return b[offset : offset+n]
	}
	field(12) // the LM response proves nothing here
	a := &authenticate{nt: field(20), key: field(52), flags: binary.LittleEndian.Uint32(b[60:])}
	domain, user := field(28), field(36)
	field(44) // the workstation
	if broken != nil {
		return nil, broken
	}
	if first >= micEnd {
		a.mic = b[micOffset:micEnd]
	}
	var ok [2]bool
	a.domain, ok[0] = name(domain, unicode)
	a.user, ok[1] = name(user, unicode)
	if !ok[0] || !ok[1] {
		return nil, errNTLMField
	}
	// NTLMv2_RESPONSE: 16 octets of proof, then a blob whose attributes begin at
	// its octet 28 (2.2.2.7, 2.2.2.8).
	if len(a.nt) < 16+28+4 || a.nt[16] != 1 || a.nt[17] != 1 {
		return nil, errNTLMv1
	}
	a.proof, a.blob = a.nt[:16], a.nt[16:]
	var err error
	a.pairs, err = parsePairs(a.blob[28:])
	return a, err
}

func name(b []byte, unicode bool) (string, bool) {
	if !unicode {
		for _, c := range b {
			if c >= 0x80 {
				return "", false
			}
		}
		return string(b), true
	}
	if len(b)%2 != 0 {
		return "", false
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units)), true
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
