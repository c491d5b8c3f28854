package adpki

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chancery/internal/wire/secdesc"
)

// maxValues and maxValue bound one attribute of one object. The largest honest
// one is a descriptor, or a list of templates.
const (
	maxValues = 5000
	maxValue  = 256 << 10
)

// fields reads the attributes of one entry and remembers the first error, so
// that reading an object is a list of lines.
type fields struct {
	entry Entry
	err   error
}

// all gives the values of an attribute; names compare without case.
func (f *fields) all(name string) [][]byte {
	list, ok := f.entry.Values[name]
	if !ok {
		for have, values := range f.entry.Values {
			if strings.EqualFold(have, name) {
				list = values
				break
			}
		}
	}
	if len(list) > maxValues {
		f.fail(name, "has too many values")
		return nil
	}
	for _, v := range list {
		if len(v) > maxValue {
			f.fail(name, "has a value that is too long")
			return nil
		}
	}
	return list
}

func (f *fields) fail(name, what string) {
	if f.err == nil {
		f.err = fmt.Errorf("its attribute %s %s", name, what)
	}
}

// one gives the single value, or nil when there is none.
func (f *fields) one(name string) []byte {
	switch list := f.all(name); len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	f.fail(name, "has several values where one is allowed")
	return nil
}

func (f *fields) text(name string) string { return f.utf8(name, f.one(name)) }

func (f *fields) texts(name string) []string {
	var list []string
	for _, v := range f.all(name) {
		list = append(list, f.utf8(name, v))
	}
	return list
}

func (f *fields) utf8(name string, v []byte) string {
	if !utf8.Valid(v) {
		f.fail(name, "is not text")
		return ""
	}
	return string(v)
}

// mask reads a 32-bit mask, which the directory shows as a signed number; an
// absent one is zero.
func (f *fields) mask(name string) uint32 {
	text := f.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < -1<<31 || n >= 1<<32 {
		f.fail(name, "is not a 32-bit number")
		return 0
	}
	return uint32(n)
}

// number reads a count, such as of bits or signatures.
func (f *fields) number(name string) int {
	n := int32(f.mask(name))
	if n < 0 {
		f.fail(name, "is negative")
		return 0
	}
	return int(n)
}

// period reads a span: 8 bytes, little-endian, 100 ns each, negative. What does
// not fit a time.Duration, 292 years, is cut to it.
func (f *fields) period(name string) time.Duration {
	v := f.one(name)
	if len(v) == 0 {
		return 0
	}
	if len(v) != 8 {
		f.fail(name, "is not a period of 8 bytes")
		return 0
	}
	const longest = time.Duration(1<<63 - 1)
	ticks := int64(binary.LittleEndian.Uint64(v))
	switch {
	case ticks > 0:
		f.fail(name, "is not a negative period")
		return 0
	case ticks < -int64(longest/100):
		return longest
	}
	return time.Duration(-ticks) * 100
}

func (f *fields) sid(name string) string {
	sid, err := secdesc.ParseSID(f.one(name))
	if err != nil {
		f.fail(name, "is not a security identifier")
	}
	return sid
}

// objectAttributes are what object reads.
var objectAttributes = []string{"cn", "objectGUID", "nTSecurityDescriptor"}

// object reads what all objects have. A descriptor that is withheld or broken
// is no error: the reason is kept.
func (f *fields) object() Object {
	o := Object{DN: f.entry.DN, Name: f.text("cn"), Print: f.print()}
	guid, err := secdesc.ParseGUID(f.one("objectGUID"))
	if err != nil {
		f.fail("objectGUID", "is not a GUID")
	}
	o.GUID = guid
	raw := f.one("nTSecurityDescriptor")
	if len(raw) == 0 {
		o.Hidden = "the directory does not show its security descriptor to this account"
		return o
	}
	if o.Security, err = secdesc.Parse(raw); err != nil {
		o.Hidden = "its security descriptor is malformed"
		return o
	}
	if o.Security.Open && o.Security.Control&4 == 0 {
		// An object of the directory always has a list: it was left out.
		o.Security, o.Hidden = nil, "the directory left the access list out of the security descriptor"
	}
	return o
}

// print hashes the attributes. Neither their order nor that of their values
// means anything in a directory.
func (f *fields) print() string {
	var lines []string
	for name, values := range f.entry.Values {
		for _, v := range values {
			sum := sha256.Sum256(v)
			lines = append(lines, strings.ToLower(name)+" "+base64.StdEncoding.EncodeToString(sum[:]))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.ToLower(f.entry.DN) + "\n" + strings.Join(lines, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
