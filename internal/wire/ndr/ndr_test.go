package ndr_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"chancery/internal/wire/ndr"
)

// octets reads hex with blanks and line ends in it.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is a call of ICertPassage::CertServerRequest as Windows tools write it.
const request = `
	00 01 00 00 00 00 02 00 08 00 00 00 00 00 00 00
	08 00 00 00 43 00 4f 00 52 00 50 00 2d 00 43 00
	41 00 00 00 00 00 00 00 32 00 00 00 04 00 02 00
	32 00 00 00 43 00 65 00 72 00 74 00 69 00 66 00
	69 00 63 00 61 00 74 00 65 00 54 00 65 00 6d 00
	70 00 6c 00 61 00 74 00 65 00 3a 00 55 00 73 00
	65 00 72 00 00 00 00 00 05 00 00 00 08 00 02 00
	05 00 00 00 30 03 02 01 05`

// response is the answer to it.
const response = `
	2a 00 00 00 03 00 00 00 02 00 00 00 00 00 02 00
	02 00 00 00 30 80 00 00 05 00 00 00 04 00 02 00
	05 00 00 00 30 03 02 01 05 00 00 00 0e 00 00 00
	08 00 02 00 0e 00 00 00 49 00 73 00 73 00 75 00
	65 00 64 00 00 00 00 00 00 00 00 00`

func TestEncodeCall(t *testing.T) {
	var e ndr.Encoder
	blob := func(b []byte) {
		e.Struct(func() {
			e.Uint32(uint32(len(b)))
			e.Unique(b != nil, func() { e.Blob(b) })
		})
	}
	authority := "CORP-CA"
	var attributes []byte
	for _, r := range "CertificateTemplate:User\x00" {
		attributes = append(attributes, byte(r), 0)
	}
	e.Uint32(0x100)
	e.UniqueString(&authority)
	e.Uint32(0)
	blob(attributes)
	blob([]byte{0x30, 3, 2, 1, 5})
	got, err := e.Bytes()
	if want := octets(t, request); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot  %x\nwant %x", err, got, want)
	}
}

func TestDecodeAnswer(t *testing.T) {
	d := ndr.NewDecoder(octets(t, response))
	var blobs [3][]byte
	id, disposition := d.Uint32(), d.Uint32()
	for i := range blobs {
		d.Struct(func() {
			d.Uint32()
			d.Unique(func() { blobs[i] = d.Blob(100) })
			if blobs[i] != nil {
				t.Error("a pointee was read inside its structure")
			}
		})
	}
	status := d.Uint32()
	if err := d.Done(); err != nil || id != 42 || disposition != 3 || status != 0 || hex.EncodeToString(blobs[0]) != "3080" || hex.EncodeToString(blobs[1]) != "3003020105" || len(blobs[2]) != 14 {
		t.Errorf("%v: id %d, disposition %d, %x, status %d", err, id, disposition, blobs, status)
	}
}

// What a pointer inside a pointee points to follows that pointee, before the next
// pointer's turn.
func TestPointersWithinPointees(t *testing.T) {
	var e ndr.Encoder
	e.Struct(func() {
		e.Unique(true, func() {
			e.Uint16(1)
			e.Unique(true, func() { e.Uint8(2) })
			e.Uint16(3)
		})
		e.Unique(false, nil)
		e.Struct(func() { e.Unique(true, func() { e.Uint64(4) }) })
		e.Uint8(5)
	})
	want := octets(t, `00 00 02 00  00 00 00 00  04 00 02 00  05 00
		01 00  08 00 02 00  03 00  02 00  04 00 00 00 00 00 00 00`)
	got, err := e.Bytes()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v\ngot  %x\nwant %x", err, got, want)
	}
	d := ndr.NewDecoder(got)
	var seen []uint64
	see := func(v uint64) { seen = append(seen, v) }
	d.Struct(func() {
		d.Unique(func() {
			see(uint64(d.Uint16()))
			d.Unique(func() { see(uint64(d.Uint8())) })
			see(uint64(d.Uint16()))
		})
		if d.Unique(func() { t.Error("null points to something") }) {
			t.Error("null is present")
		}
		d.Struct(func() { d.Unique(func() { see(d.Uint64()) }) })
		see(uint64(d.Uint8()))
	})
	if err := d.Done(); err != nil || len(seen) != 5 || seen[0] != 5 || seen[1] != 1 || seen[2] != 3 || seen[3] != 2 || seen[4] != 4 {
		t.Errorf("%v: %v", err, seen)
	}
}

func TestAlignment(t *testing.T) {
	var e ndr.Encoder
	e.Uint8(1)
	e.Uint16(2)
	e.Uint8(3)
	e.Uint32(4)
	e.Uint64(5)
	e.Uint8(6)
	e.GUID([16]byte{7, 15: 8})
	e.Uint8(9)
	e.Align(4)
	got, err := e.Bytes()
	want := octets(t, `01 00 02 00 03 00 00 00  04 00 00 00 00 00 00 00  05 00 00 00 00 00 00 00
		06 00 00 00  07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 08  09 00 00 00`)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot  %x\nwant %x", err, got, want)
	}
	d := ndr.NewDecoder(got)
	if a, b, c, x, y, z := d.Uint8(), d.Uint16(), d.Uint8(), d.Uint32(), d.Uint64(), d.Uint8(); a != 1 || b != 2 || c != 3 || x != 4 || y != 5 || z != 6 {
		t.Errorf("got %d %d %d %d %d %d", a, b, c, x, y, z)
	}
	if id := d.GUID(); id != [16]byte{7, 15: 8} || d.Uint8() != 9 {
		t.Errorf("got %x", id)
	}
	if err := d.Done(); !errors.Is(err, ndr.ErrTrailing) {
		t.Errorf("three octets left over: %v", err)
	}
}

func TestFileTime(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Unix(0, 0), "00803ed5deb19d01"},
		{time.Time{}, "0000000000000000"},
		{time.Date(2026, 3, 1, 12, 30, 15, 123456700, time.UTC), "07fcfa2777a9dc01"},
		{time.Date(1601, 1, 1, 0, 0, 0, 100, time.UTC), "0100000000000000"},
	} {
		var e ndr.Encoder
		e.Uint32(0)
		e.FileTime(c.at)
		got, err := e.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got[4:]) != c.want {
			t.Errorf("%v is %x, want %s", c.at, got[4:], c.want)
		}
		d := ndr.NewDecoder(got[4:])
		if back := d.FileTime(); !back.Equal(c.at) || d.Done() != nil {
			t.Errorf("%v came back as %v", c.at, back)
		}
	}
	d := ndr.NewDecoder(bytes.Repeat([]byte{0xff}, 8))
	if at := d.FileTime(); at.Year() != 60056 {
		t.Errorf("the last FILETIME is in %d", at.Year())
	}
}

func TestStrings(t *testing.T) {
	for _, s := range []string{"", "a", "Zürich", "𝛑"} {
		var e ndr.Encoder
		e.String(s)
		b, err := e.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		d := ndr.NewDecoder(b)
		if got := d.String(len(s) + 1); got != s || d.Done() != nil {
			t.Errorf("%q came back as %q, %v", s, got, d.Err())
		}
	}
	for _, s := range []string{"a\x00b", "\xff"} {
		var e ndr.Encoder
		e.String(s)
		if _, err := e.Bytes(); !errors.Is(err, ndr.ErrString) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"no room for the NUL":  {"01000000 00000000 01000000 6100", ndr.ErrString},
		"a NUL inside":         {"03000000 00000000 03000000 6100 0000 0000", ndr.ErrString},
		"empty":                {"00000000 00000000 00000000", ndr.ErrString},
		"an offset":            {"02000000 01000000 02000000 6100 0000", ndr.ErrString},
		"more than its room":   {"01000000 00000000 02000000 6100 0000", ndr.ErrString},
		"more than is there":   {"08000000 00000000 08000000 6100 0000", ndr.ErrShort},
		"longer than allowed":  {"0a000000 00000000 02000000 6100 0000", ndr.ErrLimit},
		"a count of 4 billion": {"ffffffff 00000000 ffffffff 6100 0000", ndr.ErrLimit},
	} {
		d := ndr.NewDecoder(octets(t, c.text))
		if got := d.String(9); got != "" || !errors.Is(d.Err(), c.want) {
			t.Errorf("%s: %q, %v", name, got, d.Err())
		}
	}
}

// The first error stays, and nothing is read any more.
func TestSticky(t *testing.T) {
	mine := errors.New("mine")
	d := ndr.NewDecoder(octets(t, "ffffffff 01000000 02000000"))
	if b := d.Blob(100); b != nil || !errors.Is(d.Err(), ndr.ErrLimit) {
		t.Errorf("%x, %v", b, d.Err())
	}
	d.Fail(mine)
	if d.Uint32() != 0 || d.Rest() != nil || d.Unique(func() { t.Error("reads on") }) || !errors.Is(d.Done(), ndr.ErrLimit) {
		t.Errorf("reads on: %v", d.Err())
	}
	d = ndr.NewDecoder(octets(t, "01000000 ffffffff"))
	d.Struct(func() {
		d.Unique(func() { t.Error("a pointee after an error") })
		d.Fail(mine)
	})
	if !errors.Is(d.Done(), mine) {
		t.Errorf("%v", d.Err())
	}
	d = ndr.NewDecoder(octets(t, "03000000 01"))
	if b := d.Blob(3); b != nil || !errors.Is(d.Err(), ndr.ErrShort) {
		t.Errorf("%x, %v", b, d.Err())
	}
	d = ndr.NewDecoder([]byte{1, 2, 3})
	if rest := d.Rest(); len(rest) != 3 || d.Raw(-1) != nil || !errors.Is(d.Err(), ndr.ErrShort) {
		t.Errorf("%x, %v", rest, d.Err())
	}
	var e ndr.Encoder
	e.Count(-1)
	if _, err := e.Bytes(); !errors.Is(err, ndr.ErrLimit) {
		t.Errorf("%v", err)
	}
}

// FuzzDecode drives a decoder with a small program: whatever it is asked, it
// stays within its octets and makes no room that they do not fill.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("uussss"), octets(f, request))
	f.Add([]byte("uuppppu"), octets(f, response))
	f.Add([]byte("gtbbqwa"), octets(f, response))
	f.Fuzz(func(t *testing.T, program, b []byte) {
		if len(program) > 1000 {
			return
		}
		d := ndr.NewDecoder(b)
		read := 0
		d.Struct(func() {
			for _, op := range program {
				switch op {
				case 'w':
					d.Uint16()
				case 'u':
					d.Uint32()
				case 'q':
					d.Uint64()
				case 'g':
					d.GUID()
				case 't':
					d.FileTime()
				case 'a':
					d.Align(8)
				case 's':
					read += len(d.String(1536))
				case 'b':
					read += len(d.Blob(1 << 20))
				case 'p':
					d.Unique(func() { read += len(d.Blob(1 << 20)) })
				default:
					d.Uint8()
				}
			}
		})
		if err := d.Done(); err == nil && read > 3*len(b) {
			t.Errorf("%d octets out of %d", read, len(b))
		}
	})
}
