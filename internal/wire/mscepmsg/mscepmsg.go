// Package mscepmsg reads the page on which Microsoft's Network Device Enrollment
// Service (NDES, mscep_admin) shows a person the thumbprint of its CA and a
// challenge for one enrolment. There is no other interface: the page is the
// protocol.
//
// It comes as UTF-16LE without a byte order mark under a meta tag that says UTF-8,
// in the language of the server's Windows, and from emulations in UTF-8 or
// windows-1252. English pages are read by their labels. In every other language
// only the order is known: the thumbprint in the first bold text, the challenge in
// the second; such a reading is marked Heuristic. A page without a challenge is
// one of several errors, where the reason can be told.
//
// The package knows bytes only: no addresses, logins or clocks. Challenges are
// secrets: a Page prints without its own.
package mscepmsg

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxBytes is the largest page that is read.
const MaxBytes = 256 << 10

// Ways for a page to hold no challenge.
var (
	ErrTooLarge     = errors.New("mscepmsg: the page is larger than the limit")
	ErrNotPage      = errors.New("mscepmsg: this is not the challenge page")
	ErrCacheFull    = errors.New("mscepmsg: the password cache is full")
	ErrNoPermission = errors.New("mscepmsg: the user may not enrol")
	ErrNoTemplate   = errors.New("mscepmsg: no template is set")
	ErrNoPassword   = errors.New("mscepmsg: the server asks for no challenge")
	// ErrUnsaid is a page that may be the challenge page and shows none, for a
	// reason in words that are not known.
	ErrUnsaid = errors.New("mscepmsg: the page shows no challenge and does not say why in a known language")
)

// Page is what the challenge page says.
type Page struct {
	Thumbprint   string        // of the CA certificate: 32, 40 or 64 digits in small letters; empty: none is shown
	Challenge    string        // a secret, as shown
	Lifetime     time.Duration // zero: not told
	NeverExpires bool          // one challenge for everybody
	Heuristic    bool          // read by the order, not by its labels
}

// Format prints all but the challenge, for every verb.
func (p Page) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "Page(thumbprint %s, challenge of %d characters, lifetime %s, never expires %t, heuristic %t)",
		p.Thumbprint, len(p.Challenge), p.Lifetime, p.NeverExpires, p.Heuristic)
}

// Parse reads a page. Its errors are those above and nothing else.
func Parse(b []byte) (*Page, error) {
	if len(b) > MaxBytes {
		return nil, ErrTooLarge
	}
	d := scan(decode(b))
	if p := d.labelled(); p != nil {
		return p, nil
	}
	p, thumbprint := d.ordered()
	if p != nil {
		return p, nil
	}
	plain := d.text()
	switch {
	case strings.Contains(plain, "cache is full"):
		return nil, ErrCacheFull
	case strings.Contains(plain, "permission"):
		return nil, ErrNoPermission
	case strings.Contains(plain, "template") && strings.Contains(plain, "not"):
		return nil, ErrNoTemplate
	case thumbprint:
		return nil, ErrNoPassword
	case d.foreign || !d.html:
		return nil, ErrNotPage
	}
	return nil, ErrUnsaid
}

// The labels of an English page, in small letters.
const (
	thumbprintLabel = "ca certificate is"
	challengeLabel  = "challenge password is"
)

// labelled reads an English page, or gives nil.
func (d *document) labelled() *Page {
	at := slices.IndexFunc(d.parts, func(p part) bool { return strings.Contains(p.lower, challengeLabel) })
	if at < 0 {
		return nil
	}
	p := &Page{}
	for i, x := range d.parts {
		if strings.Contains(x.lower, thumbprintLabel) {
			p.Thumbprint = thumbprint(d.next(i, thumbprintLabel))
		}
	}
	fields := strings.Fields(d.after(at, challengeLabel))
	if len(fields) > 0 && fields[0] == ":" {
		fields = fields[1:]
	}
	if len(fields) == 0 || !challenge.MatchString(strings.TrimPrefix(fields[0], ":")) {
		return nil
	}
	p.Challenge = strings.TrimPrefix(fields[0], ":")
	rest := strings.ToLower(strings.Join(fields[1:], " "))
	p.NeverExpires = strings.Contains(rest, "not expire")
	if !p.NeverExpires {
		p.Lifetime = lifetime(rest)
	}
	return p
}

// challenge is what may stand behind the label: the real server shows 8 to 128
// hexadecimal digits, emulations anything without blanks.
var challenge = regexp.MustCompile(`^[!-~]{1,256}$`)

// hexChallenge is what is taken for one without a label.
var hexChallenge = regexp.MustCompile(`^[0-9A-Fa-f]{8,128}$`)

// ordered reads a page of any language by its bold texts, and reports whether
// there was at least a thumbprint.
func (d *document) ordered() (*Page, bool) {
	first := slices.IndexFunc(d.parts, func(p part) bool { return p.bold && thumbprint(p.text) != "" })
	if first < 0 {
		return nil, false
	}
	for i, x := range d.parts[first+1:] {
		if text := strings.TrimSpace(x.text); x.bold && hexChallenge.MatchString(text) {
			p := &Page{Thumbprint: thumbprint(d.parts[first].text), Challenge: text, Heuristic: true}
			p.Lifetime = lifetime(d.textFrom(first + i + 2))
			p.NeverExpires = p.Lifetime == 0
			return p, true
		}
	}
	return nil, true
}

// thumbprint gives the digits of a thumbprint, or nothing.
func thumbprint(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
			if b.Len() == 64 {
				return ""
			}
			b.WriteRune(c)
		case c == ' ' || c == ':' || c == '\u00a0' || c == '\u200e' || c == '\t' || c == '\r' || c == '\n':
		default:
			if n := b.Len(); n != 32 && n != 40 && n != 64 {
				return ""
			}
			return b.String()
		}
	}
	if n := b.Len(); n == 32 || n == 40 || n == 64 {
		return b.String()
	}
	return ""
}

var number = regexp.MustCompile(`[0-9]+`)

// lifetime gives the last number of a text as minutes: languages differ in what
// comes first. Anything beyond a year is none.
func lifetime(text string) time.Duration {
	found := number.FindAllString(text[:min(len(text), 4096)], -1)
	if len(found) == 0 {
		return 0
	}
	n, err := strconv.Atoi(found[len(found)-1])
	if err != nil || n > 366*24*60 {
		return 0
	}
	return time.Duration(n) * time.Minute
}
