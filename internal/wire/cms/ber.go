package cms

import "fmt"

// Normalize rewrites one BER element as DER: definite and minimal lengths,
// OCTET STRINGs in one piece. It does not look inside OCTET STRINGs, does not
// sort SETs (signatures are checked over attributes in the order they were
// sent) and leaves primitive contents alone. Input within the limits that is
// DER already comes back unchanged in a copy.
//
// Apple, Bouncy Castle and OpenSSL in streaming mode send indefinite lengths
// and OCTET STRINGs in pieces.
//
// It refuses, with one of this package's errors, anything over the limits,
// bytes after the element, tags in the long form and the string types other
// than OCTET STRING in pieces: no CMS structure has them.
func Normalize(b []byte, l Limits) ([]byte, error) {
	l = l.withDefaults()
	if len(b) > l.MaxBytes {
		return nil, ErrTooLarge
	}
	n := normalizer{limits: l, out: make([]byte, 0, len(b))}
	rest, err := n.element(b, 1)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, ErrTrailing
	}
	return n.out, nil
}

type normalizer struct {
	limits   Limits
	elements int
	out      []byte
}

const (
	berConstructed = 0x20
	berOctetString = 0x04
)

// header is a BER identifier and length; length is -1 when indefinite.
type header struct {
	tag    byte
	length int
}

// readHeader takes a header off b and checks that b holds the contents.
func (n *normalizer) readHeader(b []byte) (header, []byte, error) {
	if n.elements++; n.elements > n.limits.MaxElements {
		return header{}, nil, ErrTooMany
	}
	if len(b) < 2 {
		return header{}, nil, fmt.Errorf("%w: truncated", ErrEncoding)
	}
	tag, first, b := b[0], b[1], b[2:]
	if tag&0x1f == 0x1f {
		return header{}, nil, fmt.Errorf("%w: tag in long form", ErrEncoding)
	}
	length := 0
	switch {
	case first < 0x80:
		length = int(first)
	case first == 0x80:
		if tag&berConstructed == 0 {
			return header{}, nil, fmt.Errorf("%w: primitive element of indefinite length", ErrEncoding)
		}
		return header{tag, -1}, b, nil
	case first == 0xff:
		return header{}, nil, fmt.Errorf("%w: reserved length", ErrEncoding)
	default:
		size := int(first & 0x7f)
		if size > len(b) {
			return header{}, nil, fmt.Errorf("%w: truncated", ErrEncoding)
		}
		for _, c := range b[:size] {
			// Leading zeros are legal BER; the shift cannot overflow because
			// the value is compared with the size of the input each time.
			if length = length<<8 | int(c); length > n.limits.MaxBytes {
				return header{}, nil, fmt.Errorf("%w: length beyond the end", ErrEncoding)
			}
		}
		b = b[size:]
	}
	if length > len(b) {
		return header{}, nil, fmt.Errorf("%w: length beyond the end", ErrEncoding)
	}
	return header{tag, length}, b, nil
}

// element writes the first element of b as DER and returns what follows it.
func (n *normalizer) element(b []byte, depth int) ([]byte, error) {
	if depth > n.limits.MaxDepth {
		return nil, ErrTooDeep
	}
	h, b, err := n.readHeader(b)
	if err != nil {
		return nil, err
	}
	switch {
	case h.tag == 0:
		return nil, fmt.Errorf("%w: end-of-contents without a beginning", ErrEncoding)
	case h.tag&berConstructed == 0:
		n.header(h.tag, h.length)
		n.out = append(n.out, b[:h.length]...)
		return b[h.length:], nil
	case h.tag == berOctetString|berConstructed:
		start := len(n.out)
		rest, err := n.segments(h, b, depth)
		if err != nil {
			return nil, err
		}
		n.insertHeader(start, berOctetString)
		return rest, nil
	case h.tag < 0x40 && h.tag != 0x30 && h.tag != 0x31:
		return nil, fmt.Errorf("%w: universal type %#x in pieces", ErrEncoding, h.tag)
	}
	start := len(n.out)
	rest, err := n.children(h, b, func(b []byte) ([]byte, error) { return n.element(b, depth+1) })
	if err != nil {
		return nil, err
	}
	n.insertHeader(start, h.tag)
	return rest, nil
}

// children calls each for every element inside h, whose contents start at b,
// and returns what follows h.
func (n *normalizer) children(h header, b []byte, each func([]byte) ([]byte, error)) ([]byte, error) {
	var err error
	if h.length >= 0 {
		for inside := b[:h.length]; len(inside) > 0; {
			if inside, err = each(inside); err != nil {
				return nil, err
			}
		}
		return b[h.length:], nil
	}
	for {
		if len(b) >= 2 && b[0] == 0 && b[1] == 0 {
			return b[2:], nil
		}
		if b, err = each(b); err != nil {
			return nil, err
		}
	}
}

// segments appends the octets of an OCTET STRING in pieces; a piece may itself
// be in pieces (X.690 §8.7.3).
func (n *normalizer) segments(h header, b []byte, depth int) ([]byte, error) {
	return n.children(h, b, func(b []byte) ([]byte, error) {
		if depth+1 > n.limits.MaxDepth {
			return nil, ErrTooDeep
		}
		piece, b, err := n.readHeader(b)
		switch {
		case err != nil:
			return nil, err
		case piece.tag == berOctetString:
			n.out = append(n.out, b[:piece.length]...)
			return b[piece.length:], nil
		case piece.tag == berOctetString|berConstructed:
			return n.segments(piece, b, depth+1)
		}
		return nil, fmt.Errorf("%w: a piece of an OCTET STRING has another type", ErrEncoding)
	})
}

// header appends a tag and a DER length.
func (n *normalizer) header(tag byte, length int) {
	n.out = appendLength(append(n.out, tag), length)
}

// insertHeader puts a header before everything written since start. Shifting
// the contents once per level keeps the work within depth times size.
func (n *normalizer) insertHeader(start int, tag byte) {
	var room [6]byte
	head := appendLength(append(room[:0], tag), len(n.out)-start)
	n.out = append(n.out, head...)
	copy(n.out[start+len(head):], n.out[start:len(n.out)-len(head)])
	copy(n.out[start:], head)
}

func appendLength(b []byte, length int) []byte {
	if length < 0x80 {
		return append(b, byte(length))
	}
	size := 1
	for v := length >> 8; v > 0; v >>= 8 {
		size++
	}
	b = append(b, 0x80|byte(size))
	for shift := (size - 1) * 8; shift >= 0; shift -= 8 {
		b = append(b, byte(length>>shift))
	}
	return b
}
