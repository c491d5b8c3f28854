package ndes

import "errors"

var errBER = errors.New("ndes: not one well-formed ASN.1 value")

// maxDepth is how deep a message may be nested.
const maxDepth = 48

// wellFormed checks that b is one BER value in which every part ends inside the
// one it is in (X.690 section 8.1). The library's own reader does not, and goes
// over the same octets again and again where they are made for it.
func wellFormed(b []byte) error {
	end, err := skipValue(b, maxDepth)
	if err == nil && end != len(b) {
		err = errBER
	}
	return err
}

// skipValue gives the length of the value that b begins with.
func skipValue(b []byte, depth int) (int, error) {
	if len(b) < 2 || depth == 0 {
		return 0, errBER
	}
	constructed := b[0]&0x20 != 0
	at := 1
	if b[0]&0x1f == 0x1f { // the tag goes on until an octet without the high bit
		for at < len(b) && b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if at >= len(b) {
		return 0, errBER
	}
	length := int(b[at])
	at++
	switch {
	case length == 0x80:
		if !constructed {
			return 0, errBER
		}
		return skipUntilEnd(b, at, depth)
	case length > 0x84:
		return 0, errBER
	case length > 0x80:
		octets := length & 0x7f
		if octets > len(b)-at {
			return 0, errBER
		}
		length = 0
		for _, o := range b[at : at+octets] {
			length = length<<8 | int(o)
		}
		at += octets
	}
	if length > len(b)-at {
		return 0, errBER
	}
	end := at + length
	for constructed && at < end {
		n, err := skipValue(b[at:end], depth-1)
		if err != nil {
			return 0, err
		}
		at += n
	}
	return end, nil
}

// skipUntilEnd skips the parts of a value of indefinite length, of which there
// is at least one, and the two zeros after them.
func skipUntilEnd(b []byte, at, depth int) (int, error) {
	for first := true; ; first = false {
		if len(b)-at < 2 {
			return 0, errBER
		}
		if b[at] == 0 && b[at+1] == 0 {
			if first {
				return 0, errBER
			}
			return at + 2, nil
		}
		n, err := skipValue(b[at:], depth-1)
		if err != nil {
			return 0, err
		}
		at += n
	}
}
