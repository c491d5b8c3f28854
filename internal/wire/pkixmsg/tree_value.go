package pkixmsg

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	shownBytes = 24  // of hexadecimal in a value
	shownText  = 120 // characters
)

// describe fills OID, Name and Value of a primitive element.
func (n *Node) describe() {
	if text, ok := decodeText(n.tag, n.body); ok {
		n.Value = quoteText(text)
		return
	}
	switch n.tag {
	case cbasn1.OBJECT_IDENTIFIER:
		n.describeOID()
	case cbasn1.BOOLEAN:
		n.describeBoolean()
	case cbasn1.INTEGER, cbasn1.ENUM:
		n.Value = integerText(n.body)
	case cbasn1.BIT_STRING:
		n.Value = bitText(n.body)
	case cbasn1.UTCTime, cbasn1.GeneralizedTime:
		n.Value = n.timeText()
	case cbasn1.NULL:
		if len(n.body) > 0 {
			n.Value = hexText(n.body)
		}
	default:
		n.Value = hexText(n.body)
	}
}

func (n *Node) describeOID() {
	if !decodeOID(n.body, &n.OID) {
		n.Value = hexText(n.body)
		return
	}
	n.Name = OIDName(n.OID)
}

// describeBoolean shows what DER allows as words, all else as it is.
func (n *Node) describeBoolean() {
	switch string(n.body) {
	case "\x00":
		n.Value = "FALSE"
	case "\xff":
		n.Value = "TRUE"
	default:
		n.Value = hexText(n.body)
	}
}

func integerText(body []byte) string {
	if len(body) > 8 {
		return fmt.Sprintf("%d bits %s", new(big.Int).SetBytes(body).BitLen(), hexText(body))
	}
	if len(body) == 0 {
		return hexText(body)
	}
	v := int64(int8(body[0]))
	for _, c := range body[1:] {
		v = v<<8 | int64(c)
	}
	return fmt.Sprint(v)
}

func bitText(body []byte) string {
	if len(body) == 0 || body[0] > 7 || len(body) == 1 && body[0] != 0 {
		return hexText(body)
	}
	return plural((len(body)-1)*8-int(body[0]), "bit") + " " + hexText(body[1:])
}

// timeText shows RFC 3339 for a valid time, else the characters.
func (n *Node) timeText() string {
	var b cryptobyte.Builder
	b.AddASN1(n.tag, func(b *cryptobyte.Builder) { b.AddBytes(n.body) })
	s := cryptobyte.String(b.BytesOrPanic())
	var t time.Time
	if n.tag == cbasn1.UTCTime && s.ReadASN1UTCTime(&t) || n.tag == cbasn1.GeneralizedTime && s.ReadASN1GeneralizedTime(&t) {
		return t.UTC().Format(time.RFC3339)
	}
	return quoteText(string(n.body))
}

// describeAddress shows an IP address, or an address with its mask as name
// constraints hold it.
func (n *Node) describeAddress() {
	if half := len(n.body) / 2; len(n.body) == 8 || len(n.body) == 32 {
		addr, _ := netip.AddrFromSlice(n.body[:half])
		mask, _ := netip.AddrFromSlice(n.body[half:])
		n.Value = addr.String() + "/" + mask.String()
	} else if addr, ok := netip.AddrFromSlice(n.body); ok {
		n.Value = addr.String()
	}
}

// describeKeyUsage shows the names of the bits.
func (n *Node) describeKeyUsage() {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes(n.body) })
	if usage, err := ParseKeyUsage(b.BytesOrPanic()); err == nil {
		n.Value = strings.Join(KeyUsageNames(usage), ", ")
	}
}

func hexText(body []byte) string {
	shown := body[:min(len(body), shownBytes)]
	text := fmt.Sprintf("(%s) %s", plural(len(body), "byte"), hex.EncodeToString(shown))
	if len(shown) < len(body) {
		text += "…"
	}
	return strings.TrimSpace(text)
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

// quoteText shows text on one line; control characters and broken UTF-8 are
// escaped.
func quoteText(s string) string {
	if r := []rune(s); len(r) > shownText {
		return fmt.Sprintf("%q…", string(r[:shownText]))
	}
	return fmt.Sprintf("%q", s)
}
