package dcerpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
)

// Attributes of NTLM (MS-NLMP 2.2.2.1).
const (
	avEOL         = 0
	avComputer    = 1
	avDomain      = 2
	avDNSComputer = 3
	avDNSDomain   = 4
	avFlags       = 6
	avTimestamp   = 7
	avTarget      = 9
	avFlagMIC     = 2

	micOffset = 72
	micEnd    = 88
)

const signatureNTLM = "NTLMSSP\x00"

var errNTLMMessage = errors.New("ntlm: malformed message")

// Filetime counts 100 ns since 1601.
func Filetime(t time.Time) uint64 {
	return uint64(t.Unix()+11644473600)*1e7 + uint64(t.Nanosecond()/100)
}

// Time is the instant of a FILETIME.
func Time(filetime uint64) time.Time {
	return time.Unix(int64(filetime/1e7)-11644473600, int64(filetime%1e7)*100).UTC()
}

// avPair is an attribute of a target.
type avPair struct {
	id    uint16
	value []byte
}

func findPair(pairs []avPair, id uint16) ([]byte, bool) {
	for _, p := range pairs {
		if p.id == id {
			return p.value, true
		}
	}
	return nil, false
}

func appendPairs(b []byte, pairs []avPair) []byte {
	le := binary.LittleEndian
	for _, p := range append(pairs[:len(pairs):len(pairs)], avPair{id: avEOL}) {
		b = le.AppendUint16(b, p.id)
		b = le.AppendUint16(b, uint16(len(p.value)))
		b = append(b, p.value...)
	}
	return b
}

// parsePairs reads attributes up to the end mark.
func parsePairs(b []byte) ([]avPair, error) {
	var pairs []avPair
	for len(pairs) < 64 {
		if len(b) < 4 {
			return nil, errNTLMMessage
		}
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return nil, errNTLMMessage
		}
		if id == avEOL {
			return pairs, nil
		}
		if _, ok := findPair(pairs, id); ok {
			return nil, errNTLMMessage
		}
		pairs, b = append(pairs, avPair{id, b[4 : 4+n]}), b[4+n:]
	}
	return nil, errNTLMMessage
}

func ntlmHead(b []byte, kind byte, size int) error {
	if len(b) < size || !bytes.HasPrefix(b, []byte(signatureNTLM)) || binary.LittleEndian.Uint32(b[8:]) != uint32(kind) {
		return errNTLMMessage
	}
	return nil
}

// parseNegotiate reads the flags of a NEGOTIATE_MESSAGE.
func parseNegotiate(b []byte) (uint32, error) {
	if err := ntlmHead(b, 1, 16); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b[12:]), nil
}

// makeChallenge writes a CHALLENGE_MESSAGE of Windows 10.0.20348.
func makeChallenge(flags uint32, nonce [8]byte, target []byte, pairs []avPair) []byte {
	le := binary.LittleEndian
	info := appendPairs(nil, pairs)
	b := append([]byte(signatureNTLM), 2, 0, 0, 0)
	field := func(n, offset int) {
		b = le.AppendUint16(b, uint16(n))
		b = le.AppendUint16(b, uint16(n))
		b = le.AppendUint32(b, uint32(offset))
	}
	field(len(target), 56)
	b = le.AppendUint32(b, flags)
	b = append(b, nonce[:]...)
	b = append(b, make([]byte, 8)...)
	field(len(info), 56+len(target))
	b = append(b, 10, 0, 0x7c, 0x4f, 0, 0, 0, 15)
	return append(append(b, target...), info...)
}

// authenticate is an AUTHENTICATE_MESSAGE with an NTLMv2 response.
type authenticate struct {
	user, domain string
	proof, blob  []byte // of the response
	stamp        []byte // of the blob
	pairs        []avPair
	key          []byte // encrypted session key
	flags        uint32
	payload      int // where the first field begins
}

func parseAuthenticate(b []byte) (*authenticate, error) {
	if err := ntlmHead(b, 3, 64); err != nil {
		return nil, err
	}
	a := &authenticate{flags: binary.LittleEndian.Uint32(b[60:]), payload: len(b)}
	var broken bool
	field := func(at int) []byte {
		n, offset := int(binary.LittleEndian.Uint16(b[at:])), int64(binary.LittleEndian.Uint32(b[at+4:]))
		if n == 0 {
			return nil
		}
		if offset < 64 || offset+int64(n) > int64(len(b)) {
			broken = true
			return nil
		}
		a.payload = min(a.payload, int(offset))
		return b[offset : int(offset)+n]
	}
	field(12) // the LM response says nothing that counts
	response, domain, user := field(20), field(28), field(36)
	field(44)
	a.key = field(52)
	if broken || len(response) < 16+28+4 || len(user) == 0 || len(user)%2 != 0 || len(domain)%2 != 0 {
		return nil, errNTLMMessage
	}
	a.user, a.domain = Narrow(user), Narrow(domain)
	a.proof, a.blob = response[:16], response[16:]
	if a.blob[0] != 1 || a.blob[1] != 1 {
		return nil, errNTLMMessage // of another version
	}
	a.stamp = a.blob[8:16]
	var err error
	a.pairs, err = parsePairs(a.blob[28:])
	return a, err
}
