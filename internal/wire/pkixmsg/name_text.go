package pkixmsg

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// String writes the name as RFC 4514 does, in typed order, so that ParseDN gives
// the name back. Types with a name are written with it; all others are written
// in dotted form with their value as # and hexadecimal DER (§2.4).
func (n Name) String() string {
	var b strings.Builder
	for i, rdn := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, a := range rdn {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(a.display())
			b.WriteByte('=')
			a.writeValue(&b)
		}
	}
	return b.String()
}

func (a Attribute) writeValue(b *strings.Builder) {
	switch {
	case a.Raw != nil:
		b.WriteString("#" + hex.EncodeToString(a.Raw))
	case typeByOID[a.OID] == nil:
		var der cryptobyte.Builder
		der.AddASN1(cbasn1.UTF8String, func(d *cryptobyte.Builder) { d.AddBytes([]byte(a.Value)) })
		b.WriteString("#" + hex.EncodeToString(der.BytesOrPanic()))
	default:
		escapeValue(b, a.Value)
	}
}

// escapeValue writes a value with the escapes of RFC 4514 §2.4; control
// characters are escaped as well, so that a name is always one printable line.
func escapeValue(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte("\"+,;<>\\", c) >= 0,
			c == '#' && i == 0,
			c == ' ' && (i == 0 || i == len(s)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(b, "\\%02X", c)
		default:
			b.WriteByte(c)
		}
	}
}

// ParseDN reads the RFC 4514 text form, the most specific part first:
//
//	CN=Ada Lovelace,OU=Engines\, Analytical,O=Example,C=GB
//	CN=pad-0042+serialNumber=F00D,DC=corp,DC=example
//
// Beyond the RFC it takes spaces around the separators, whole values in double
// quotes, further attribute names (see AttributeNames), their usual short forms
// (E, S, G, T, DNQ), an "OID." prefix, and text for a dotted type. Names are
// taken without regard to case. Values are not measured here, because a template
// has placeholders where values will be; Name.DER measures them. Empty text is
// the empty Name.
//
// An error is ErrSyntax (or ErrTooLarge beyond 16 KiB), with the position in
// its message and in Error.Position.
func ParseDN(text string) (Name, error) {
	if len(text) > maxDNText {
		return nil, tooLarge("name", maxDNText, "bytes")
	}
	p := &dnParser{text: text}
	p.spaces()
	if p.end() {
		return nil, nil
	}
	if p.peek() == '/' {
		return nil, p.fault("Write CN=name,O=organization with commas, not slashes.",
			"expected an attribute such as CN=, found a slash")
	}
	var name Name
	for {
		rdn, more, err := p.rdn()
		if err != nil {
			return nil, err
		}
		if len(name) == maxRDNs {
			return nil, tooLarge("name", maxRDNs, "parts")
		}
		if name = append(name, rdn); !more {
			return name, nil
		}
	}
}

// dnParser is a cursor over the typed text.
type dnParser struct {
	text string
	pos  int // byte
}

func (p *dnParser) end() bool  { return p.pos >= len(p.text) }
func (p *dnParser) peek() byte { return p.text[p.pos] }
func (p *dnParser) spaces() {
	for !p.end() && strings.IndexByte(" \t\r\n", p.peek()) >= 0 {
		p.pos++
	}
}

func (p *dnParser) fault(remedy, format string, args ...any) *Error {
	position := utf8.RuneCountInString(p.text[:min(p.pos, len(p.text))]) + 1
	e := fault(ErrSyntax, remedy, "At character %d: %s.", position, fmt.Sprintf(format, args...))
	e.Position = position
	return e
}

// rdn reads one part; more tells that a comma follows it.
func (p *dnParser) rdn() (rdn RDN, more bool, err error) {
	for {
		p.spaces()
		start := p.pos
		a, err := p.attribute()
		if err != nil {
			return nil, false, err
		}
		if rdn = append(rdn, a); len(rdn) > maxRDNValues {
			return nil, false, tooLarge("part of the name", maxRDNValues, "attributes")
		}
		if _, twice := rdn.repeats(); twice {
			p.pos = start
			return nil, false, p.fault("Separate the two with a comma.",
				"%s occurs twice between plus signs", a.display())
		}
		if p.end() {
			return rdn, false, nil
		}
		separator := p.peek()
		p.pos++
		if separator == ',' {
			return rdn, true, nil
		}
	}
}

func (p *dnParser) attribute() (Attribute, error) {
	const escape = `Write TYPE=value, such as CN=Ada; a comma or plus sign that belongs to a value is written \, or \+.`
	start := p.pos
	for !p.end() && strings.IndexByte("=,+;\"\\#", p.peek()) < 0 {
		p.pos++
	}
	typed := strings.TrimRight(p.text[start:p.pos], " \t\r\n")
	if p.end() || p.peek() != '=' {
		p.pos = start
		if typed == "" {
			return Attribute{}, p.fault(escape, "expected an attribute such as CN=")
		}
		return Attribute{}, p.fault(escape, "expected = after the attribute name %s", quote(typed))
	}
	oid, ok := attributeOID(typed)
	if !ok {
		p.pos = start
		if typed == "" {
			return Attribute{}, p.fault(escape, "expected an attribute name before =")
		}
		return Attribute{}, p.fault("Use one of "+strings.Join(AttributeNames(), ", ")+", or a dotted object identifier.",
			"%s is no attribute name", quote(typed))
	}
	p.pos++
	p.spaces()
	a := Attribute{OID: oid}
	err := p.value(&a)
	return a, err
}

func attributeOID(typed string) (oid string, ok bool) {
	lower := strings.ToLower(typed)
	if t := typeByName[lower]; t != nil {
		return t.oid, true
	}
	oid = strings.TrimPrefix(lower, "oid.")
	return oid, isDotted(oid) && CheckOID(oid) == nil
}

func (p *dnParser) value(a *Attribute) error {
	switch {
	case p.end():
		return nil
	case p.peek() == '#':
		return p.hexValue(a)
	case p.peek() == '"':
		return p.quoted(a)
	}
	return p.plain(a)
}

// plain reads a value up to a separator; spaces at its end count only when
// escaped.
func (p *dnParser) plain(a *Attribute) error {
	var value []byte
	start, keep := p.pos, 0
	for !p.end() && p.peek() != ',' && p.peek() != '+' {
		switch c := p.peek(); c {
		case ';':
			return p.fault(`Put a comma between parts, or write \; for a semicolon that belongs to the value.`,
				"a semicolon is no separator")
		case '"':
			return p.fault(`Write \" for a quotation mark, or put the whole value in quotation marks.`,
				"a quotation mark in the middle of a value")
		case '\\':
			b, err := p.escape()
			if err != nil {
				return err
			}
			value = append(value, b)
			keep = len(value)
		default:
			value = append(value, c)
			if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				keep = len(value)
			}
			p.pos++
		}
	}
	return p.take(a, value[:keep], start)
}

func (p *dnParser) quoted(a *Attribute) error {
	var value []byte
	start := p.pos
	for p.pos++; ; {
		switch {
		case p.end():
			p.pos = start
			return p.fault(`Close it with ", or write \" for a quotation mark that belongs to the value.`,
				"the quotation mark is not closed")
		case p.peek() == '\\':
			b, err := p.escape()
			if err != nil {
				return err
			}
			value = append(value, b)
		case p.peek() == '"':
			p.pos++
			p.spaces()
			if err := p.separator(); err != nil {
				return err
			}
			return p.take(a, value, start)
		default:
			value = append(value, p.peek())
			p.pos++
		}
	}
}

func (p *dnParser) hexValue(a *Attribute) error {
	start := p.pos
	p.pos++
	for !p.end() && isHex(p.peek()) {
		p.pos++
	}
	raw, err := hex.DecodeString(p.text[start+1 : p.pos])
	if err != nil || !wholeElement(raw) || a.read(raw) != nil {
		p.pos = start
		return p.fault(`Write # and the hexadecimal DER of the value, or \# for a # that begins the text.`,
			"expected # and one DER element in hexadecimal digits")
	}
	p.spaces()
	return p.separator()
}

func (p *dnParser) separator() error {
	if p.end() || p.peek() == ',' || p.peek() == '+' {
		return nil
	}
	return p.fault("Put a comma between parts.", "expected a comma, a plus sign or the end")
}

// escape reads a backslash pair (RFC 4514 §3) and gives the byte it stands for.
func (p *dnParser) escape() (byte, error) {
	rest := p.text[p.pos+1:]
	if len(rest) >= 1 && strings.IndexByte(" \"#+,;<=>\\", rest[0]) >= 0 {
		p.pos += 2
		return rest[0], nil
	}
	if len(rest) >= 2 && isHex(rest[0]) && isHex(rest[1]) {
		b, err := hex.DecodeString(rest[:2])
		p.pos += 3
		return b[0], err
	}
	return 0, p.fault(`Write \\ for a backslash, \, for a comma, or \2C with two hexadecimal digits.`,
		"a backslash must be followed by a special character or two hexadecimal digits")
}

// take stores the value once it is known to be text.
func (p *dnParser) take(a *Attribute, value []byte, start int) error {
	if !utf8.Valid(value) {
		p.pos = start
		return p.fault(`Write other characters as themselves, or as the hexadecimal pairs of their UTF-8 bytes, such as \C3\A9.`,
			"the value is not valid UTF-8")
	}
	a.Value = string(value)
	return nil
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
