package mscepmsg

import (
	"encoding/binary"
	"html"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decode finds out what a page is written in: by its byte order mark, else by
// where its zeros are, else UTF-8 if it is that, else windows-1252. What the page
// says of itself is wrong on the real server.
func decode(b []byte) string {
	switch {
	case len(b) >= 2 && b[0] == 0xff && b[1] == 0xfe:
		return wide(b[2:], binary.LittleEndian)
	case len(b) >= 2 && b[0] == 0xfe && b[1] == 0xff:
		return wide(b[2:], binary.BigEndian)
	}
	var zeros [2]int
	for i, c := range b {
		if c == 0 {
			zeros[i&1]++
		}
	}
	switch half := len(b) / 2; {
	case half > 0 && zeros[1]*10 >= half*3:
		return wide(b, binary.LittleEndian)
	case half > 0 && zeros[0]*10 >= half*3:
		return wide(b, binary.BigEndian)
	case utf8.Valid(b):
		return strings.TrimPrefix(string(b), "\ufeff")
	}
	return western(b)
}

// wide reads UTF-16; an odd octet at the end is dropped.
func wide(b []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// c1 is what windows-1252 has where Latin-1 has control characters.
const c1 = "€\ufffd‚ƒ„…†‡ˆ‰Š‹Œ\ufffdŽ\ufffd\ufffd‘’“”•–—˜™š›œ\ufffdžŸ"

func western(b []byte) string {
	high := []rune(c1)
	var s strings.Builder
	for _, c := range b {
		if c >= 0x80 && c < 0xa0 {
			s.WriteRune(high[c-0x80])
		} else {
			s.WriteRune(rune(c))
		}
	}
	return s.String()
}

// part is a stretch of a page's text between two tags.
type part struct {
	text, lower string
	bold        bool
}

// document is a page as far as it matters.
type document struct {
	parts   []part
	html    bool // there is a tag at all
	foreign bool // it has what the challenge page never has: a form or a script
}

// scan splits a page at its tags. What is in the head, in scripts and in comments
// is left out.
func scan(page string) *document {
	d := &document{}
	bold, skip := 0, ""
	for page != "" {
		text, rest, tagged := strings.Cut(page, "<")
		if skip == "" {
			d.add(text, bold > 0)
		}
		if !tagged {
			break
		}
		if strings.HasPrefix(rest, "!--") {
			_, page, _ = strings.Cut(rest, "-->")
			continue
		}
		tag, after, whole := strings.Cut(rest, ">")
		if !whole {
			break
		}
		page = after
		d.html = true
		name := strings.ToLower(strings.TrimSuffix(firstWord(tag), "/"))
		switch name {
		case "b", "strong":
			bold++
		case "/b", "/strong":
			bold = max(bold-1, 0)
		case "script", "form", "input", "iframe":
			d.foreign = true
		}
		switch {
		case skip == "" && (name == "script" || name == "style" || name == "title"):
			skip = name
		case name == "/"+skip:
			skip = ""
		}
	}
	return d
}

func firstWord(tag string) string {
	if i := strings.IndexAny(tag, " \t\r\n"); i >= 0 {
		return tag[:i]
	}
	return tag
}

func (d *document) add(text string, bold bool) {
	if text = strings.Join(strings.Fields(html.UnescapeString(text)), " "); text != "" {
		d.parts = append(d.parts, part{text, strings.ToLower(text), bold})
	}
}

// text is all of a page's text in small letters.
func (d *document) text() string {
	var b strings.Builder
	for _, p := range d.parts {
		b.WriteString(p.lower)
		b.WriteByte(' ')
	}
	return b.String()
}

// textFrom is the text from a part on.
func (d *document) textFrom(at int) string {
	var b strings.Builder
	for _, p := range d.parts[min(at, len(d.parts)):] {
		b.WriteString(p.text)
		b.WriteByte(' ')
	}
	return b.String()
}

// after is the text behind a label, which part at has.
func (d *document) after(at int, label string) string {
	return d.behind(at, label) + " " + d.textFrom(at+1)
}

// next is the text behind a label up to a tag, or that between the next tags.
func (d *document) next(at int, label string) string {
	if text := d.behind(at, label); text != "" || at+1 == len(d.parts) {
		return text
	}
	return d.parts[at+1].text
}

// behind is what part at has behind a label. Small letters may have another length
// than the text they are of; then they must do.
func (d *document) behind(at int, label string) string {
	p := d.parts[at]
	text := p.text
	if len(p.lower) != len(text) {
		text = p.lower
	}
	i := strings.Index(p.lower, label)
	return strings.TrimLeft(text[i+len(label):], ": ")
}
