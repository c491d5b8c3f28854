package secdesc

import (
	"encoding/hex"
	"fmt"
	"strings"
)

const nilGUID = "00000000-0000-0000-0000-000000000000"

// guidOrder maps the octets of the text to those of the bytes: the first three
// groups are little-endian (MS-DTYP §2.3.4.2).
var guidOrder = [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}

// ParseGUID gives the text of a binary GUID such as the value of objectGUID, in
// lower case and without braces, or ErrDescriptor when b is not 16 bytes long.
func ParseGUID(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("%w: a GUID has 16 bytes", ErrDescriptor)
	}
	return formatGUID(b), nil
}

func formatGUID(b []byte) string {
	var ordered [16]byte
	for i, from := range guidOrder {
		ordered[i] = b[from]
	}
	return dashed(ordered[:])
}

// dashed writes 16 octets in their order as the text of a GUID.
func dashed(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func parseGUID(text string) ([]byte, error) {
	ordered, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(ordered) != 16 || dashed(ordered) != strings.ToLower(text) {
		return nil, fmt.Errorf("%w: a GUID is not in its form", ErrDescriptor)
	}
	b := make([]byte, 16)
	for i, to := range guidOrder {
		b[to] = ordered[i]
	}
	return b, nil
}
