package secdesc

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// maxSubAuthorities is the most numbers a SID has after its authority (MS-DTYP
// §2.4.2).
const maxSubAuthorities = 15

// ParseSID gives the text of one binary SID, such as the value of objectSid or
// one of tokenGroups, and ErrSID when b is anything but exactly one (MS-DTYP
// §2.4.2.2). The authority is in decimal even above 32 bits, the one form
// pkixmsg.CheckSID knows.
func ParseSID(b []byte) (string, error) {
	sid, rest, err := cutSID(b)
	if err == nil && len(rest) > 0 {
		return "", fmt.Errorf("%w: %d bytes follow it", ErrSID, len(rest))
	}
	return sid, err
}

// cutSID reads the SID b begins with and gives what follows.
func cutSID(b []byte) (sid string, rest []byte, err error) {
	if len(b) < 8 || b[0] != 1 || b[1] == 0 || b[1] > maxSubAuthorities || len(b) < 8+4*int(b[1]) {
		return "", nil, ErrSID
	}
	var authority uint64
	for _, octet := range b[2:8] {
		authority = authority<<8 | uint64(octet) // the one big-endian number here
	}
	text := strconv.AppendUint([]byte("S-1-"), authority, 10)
	end := 8 + 4*int(b[1])
	for at := 8; at < end; at += 4 {
		text = strconv.AppendUint(append(text, '-'), uint64(binary.LittleEndian.Uint32(b[at:])), 10)
	}
	return string(text), b[end:], nil
}

// AppendSID appends the binary form of a SID in text, or gives ErrSID. It takes
// what ParseSID gives and nothing else: no leading zeros, no hexadecimal.
func AppendSID(b []byte, sid string) ([]byte, error) {
	text, ok := strings.CutPrefix(sid, "S-1-")
	parts := strings.Split(text, "-")
	if !ok || len(parts) < 2 || len(parts) > 1+maxSubAuthorities {
		return nil, ErrSID
	}
	numbers := make([]uint64, len(parts))
	for i, part := range parts {
		bits := 32
		if i == 0 {
			bits = 48
		}
		n, err := strconv.ParseUint(part, 10, bits)
		if err != nil || strconv.FormatUint(n, 10) != part {
			return nil, ErrSID
		}
		numbers[i] = n
	}
	b = append(b, 1, byte(len(numbers)-1))
	var authority [8]byte
	binary.BigEndian.PutUint64(authority[:], numbers[0])
	b = append(b, authority[2:]...)
	for _, n := range numbers[1:] {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b, nil
}
