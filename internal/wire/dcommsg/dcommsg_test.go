package dcommsg_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"chancery/internal/wire/dcommsg"
	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

var (
	class = msrpc.MustUUID("d99e6e74-fc88-11d0-b498-00a0c90312f3")
	iid1  = msrpc.MustUUID("d99e6e70-fc88-11d0-b498-00a0c90312f3")
	iid2  = msrpc.MustUUID("5422fd3a-d4b8-4cef-a12e-e87d4ca22e90")
	cid   = msrpc.UUID{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f}
	ipid  = msrpc.UUID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
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

// activation asks for both interfaces of a certification authority's request
// object; independent dissectors read it without complaint.
const activation = `
	05 00 07 00 01 00 00 00 00 00 00 00 10 11 12 13
	14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 00 00 00 00
	00 00 00 00 00 00 02 00 b0 01 00 00 b0 01 00 00
	4d 45 4f 57 04 00 00 00 a2 01 00 00 00 00 00 00
	c0 00 00 00 00 00 00 46 38 03 00 00 00 00 00 00
	c0 00 00 00 00 00 00 46 00 00 00 00 88 01 00 00
	78 01 00 00 00 00 00 00 01 10 08 00 cc cc cc cc
	88 00 00 00 00 00 00 00 78 01 00 00 98 00 00 00
	00 00 00 00 02 00 00 00 04 00 00 00 00 00 00 00
	00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 00
	04 00 02 00 00 00 00 00 04 00 00 00 ab 01 00 00
	00 00 00 00 c0 00 00 00 00 00 00 46 a5 01 00 00
	00 00 00 00 c0 00 00 00 00 00 00 46 a4 01 00 00
	00 00 00 00 c0 00 00 00 00 00 00 46 aa 01 00 00
	00 00 00 00 c0 00 00 00 00 00 00 46 04 00 00 00
	68 00 00 00 28 00 00 00 20 00 00 00 30 00 00 00
	01 10 08 00 cc cc cc cc 58 00 00 00 00 00 00 00
	74 6e 9e d9 88 fc d0 11 b4 98 00 a0 c9 03 12 f3
	14 00 00 00 00 00 00 00 00 00 00 00 02 00 00 00
	00 00 00 00 00 00 02 00 68 00 00 00 05 00 07 00
	02 00 00 00 70 6e 9e d9 88 fc d0 11 b4 98 00 a0
	c9 03 12 f3 3a fd 22 54 b8 d4 ef 4c a1 2e e8 7d
	4c a2 2e 90 00 00 00 00 01 10 08 00 cc cc cc cc
	18 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
	00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
	01 10 08 00 cc cc cc cc 10 00 00 00 00 00 00 00
	00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
	01 10 08 00 cc cc cc cc 20 00 00 00 00 00 00 00
	00 00 00 00 00 00 02 00 02 00 00 00 01 00 00 00
	04 00 02 00 01 00 00 00 07 00 00 00 00 00 00 00`

func TestActivation(t *testing.T) {
	a := dcommsg.Activation{CID: cid, Class: class, Interfaces: []msrpc.UUID{iid1, iid2}}
	got, want := a.Bytes(), octets(t, activation)
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("%d octets, want %d; the first difference is at %#x\ngot  %x\nwant %x", len(got), len(want), i, got, want)
		}
	}
	if len(got) != 480 {
		t.Errorf("%d octets", len(got))
	}
}

func TestCall(t *testing.T) {
	got := dcommsg.Call(cid, []byte{1, 2, 3, 4})
	want := octets(t, "05000700 00000000 00000000 10111213 14151617 18191a1b 1c1d1e1f 00000000 01020304")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestAnswer(t *testing.T) {
	const extent = "10000000 6c41a1d1 b82d4f4e 9a3c000000000001 0b000000 000102030405060708090a0b0c0d0e0f "
	for name, c := range map[string]struct {
		text string
		want string
		err  error
	}{
		"none":                 {"00000000 00000000 01000000", "01000000", nil},
		"nothing else":         {"00000000 00000000", "", nil},
		"an extension":         {"00000000 00000200 01000000 00000000 04000200 02000000 08000200 00000000 " + extent + "05400080", "05400080", nil},
		"two extensions":       {"00000000 00000200 02000000 00000000 04000200 02000000 08000200 0c000200 " + extent + extent + "05400080", "05400080", nil},
		"no array":             {"00000000 00000200 00000000 00000000 00000000 00000000 05400080", "", dcommsg.ErrExtent},
		"not padded":           {"00000000 00000200 01000000 00000000 04000200 02000000 08000200 00000000 " + strings.Replace(extent, "10000000", "0c000000", 1), "", dcommsg.ErrExtent},
		"too many":             {"00000000 00000200 01000000 00000000 04000200 41000000" + strings.Repeat("00000000", 65), "", ndr.ErrLimit},
		"an extension too far": {"00000000 00000200 01000000 00000000 04000200 02000000 08000200 00000000 10000000 6c41a1d1", "", ndr.ErrShort},
		"half":                 {"00000000 0000", "", ndr.ErrShort},
	} {
		got, err := dcommsg.Answer(octets(t, c.text))
		if want := octets(t, c.want); !errors.Is(err, c.err) || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

func TestRelease(t *testing.T) {
	got := dcommsg.Release([]dcommsg.Reference{{IPID: ipid, Public: 5}, {IPID: cid, Public: 1}})
	want := octets(t, "0200 0000 02000000 01020304 05060708 090a0b0c 0d0e0f10 05000000 00000000 10111213 14151617 18191a1b 1c1d1e1f 01000000 00000000")
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestPort(t *testing.T) {
	for name, c := range map[string]struct {
		list []dcommsg.Binding
		want int
	}{
		"one":             {[]dcommsg.Binding{{Tower: 7, Address: "ca1[49670]"}}, 49670},
		"behind others":   {[]dcommsg.Binding{{Tower: 15, Address: `ca1[\pipe\x]`}, {Tower: 7, Address: "ca1"}, {Tower: 7, Address: "fe80::1[1025]"}}, 1025},
		"none":            {nil, 0},
		"not TCP":         {[]dcommsg.Binding{{Tower: 8, Address: "ca1[49670]"}}, 0},
		"not a number":    {[]dcommsg.Binding{{Tower: 7, Address: "ca1[port]"}}, 0},
		"no port":         {[]dcommsg.Binding{{Tower: 7, Address: "ca1[0]"}}, 0},
		"too high":        {[]dcommsg.Binding{{Tower: 7, Address: "ca1[65536]"}}, 0},
		"no bracket":      {[]dcommsg.Binding{{Tower: 7, Address: "49670]"}}, 0},
		"an open bracket": {[]dcommsg.Binding{{Tower: 7, Address: "ca1[49670"}}, 0},
	} {
		if got := dcommsg.Port(c.list); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// dual gives a DUALSTRINGARRAY with its hoisted count: string bindings of TCP and
// one of security.
func dual(addresses ...string) []byte {
	var units []uint16
	for _, a := range addresses {
		units = append(append(append(units, 7), utf16.Encode([]rune(a))...), 0)
	}
	units = append(units, 0)
	security := len(units)
	units = append(units, 9, 0xffff, 0, 0)
	return array(len(units), len(units), security, units)
}

func array(most, n, security int, units []uint16) []byte {
	b := le32(most)
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	b = binary.LittleEndian.AppendUint16(b, uint16(security))
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func le32(values ...int) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func TestAlive(t *testing.T) {
	a, err := dcommsg.ParseAlive(slices.Concat(octets(t, "05000700 00000200"), dual("10.0.0.1", "ca1"), le32(0, 0)))
	if err != nil || a.Major != 5 || a.Minor != 7 || a.Status != 0 || len(a.Bindings) != 2 || a.Bindings[1].Address != "ca1" || a.Bindings[0].Tower != 7 {
		t.Errorf("%+v, %v", a, err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"security outside": {array(2, 2, 3, []uint16{0, 0}), dcommsg.ErrBindings},
		"more than room":   {array(1, 2, 2, []uint16{0, 0}), dcommsg.ErrBindings},
		"no end":           {array(3, 3, 3, []uint16{7, 'a', 'b'}), dcommsg.ErrBindings},
		"half":             {array(3, 3, 3, []uint16{7, 'a'}), ndr.ErrShort},
		"too many":         {array(1<<14+1, 1, 1, nil), ndr.ErrLimit},
	} {
		if a, err := dcommsg.ParseAlive(slices.Concat(octets(t, "05000700 00000200"), c.b)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// com is an identifier of COM's own.
func com(first string) []byte {
	u := msrpc.MustUUID(first + "-0000-0000-c000-000000000046")
	return u[:]
}

// wrapped puts the headers of type serialization before a body.
func wrapped(parts ...[]byte) []byte {
	body := padded(slices.Concat(parts...))
	return slices.Concat([]byte{1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc}, le32(len(body), 0), body)
}

func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&7)...) }

// standard is the reference to one interface.
func standard(iid msrpc.UUID) []byte {
	return slices.Concat([]byte("MEOW"), le32(1), iid[:], le32(0x1000, 5, 1, 0, 2, 0), ipid[:], dual("ca1")[4:])
}

func pointer(objref []byte) []byte {
	b := slices.Concat(le32(len(objref), len(objref)), objref)
	return append(b, make([]byte, -len(b)&3)...)
}

// answer is what a server writes about one activation.
type answer struct {
	outs, reply []byte // the properties; nil: not there
	class       []byte
	sizes       []byte
	total       int // more than there is
	tail        []byte
}

func outs() []byte {
	one, two := standard(iid1), standard(iid2)
	return wrapped(le32(2, 0x20000, 0x20004, 0x20008), le32(2), iid1[:], iid2[:], le32(2, 0, 0), le32(2, 0x2000c, 0x20010), pointer(one), pointer(two))
}

func reply(port string) []byte {
	return wrapped(le32(0, 0x20000, 0x4711, 0, 0x20004), ipid[:], le32(2), []byte{5, 0, 7, 0}, dual("10.0.0.1["+port+"]"))
}

func (a answer) bytes() []byte {
	list := [][]byte{a.reply, a.outs}
	classes := [][]byte{com("000001b6"), com("00000339")}
	var ids, props []byte
	var sizes []int
	for i, p := range list {
		if p != nil {
			ids, sizes, props = append(ids, classes[i]...), append(sizes, len(p)), append(props, p...)
		}
	}
	size := le32(sizes...)
	if a.sizes != nil {
		size = a.sizes
	}
	n := len(ids) / 16
	// Two sizes, four numbers and an identifier, three pointers, two arrays.
	header := 16 + len(padded(make([]byte, 20+16+12+4+len(ids)+4+len(size))))
	total := header + len(props) + a.total
	blob := slices.Concat(le32(total, 0), wrapped(le32(total, header, 0, 2, n), make([]byte, 16), le32(0x20000, 0x20004, 0), le32(n), ids, le32(len(size)/4), size), props)
	class := com("00000339")
	if a.class != nil {
		class = a.class
	}
	objref := slices.Concat([]byte("MEOW"), le32(4), com("000001a3"), class, le32(0, len(blob)+8), blob)
	return slices.Concat(le32(0, 0, 0x20000), pointer(objref), le32(0), a.tail)
}

func TestActivated(t *testing.T) {
	a, err := dcommsg.ParseActivated(answer{outs: outs(), reply: reply("49670")}.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if a.HRESULT != 0 || dcommsg.Port(a.Bindings) != 49670 || a.RemUnknown != ipid || len(a.Interfaces) != 2 ||
		a.Interfaces[0].Reference != (dcommsg.Reference{IID: iid1, IPID: ipid, Public: 5}) || a.Interfaces[1].IID != iid2 || a.Interfaces[1].HRESULT != 0 {
		t.Errorf("%+v", a)
	}

	a, err = dcommsg.ParseActivated(le32(0, 0, 0, 0x80040154-1<<32))
	if err != nil || a.HRESULT != 0x80040154 || a.Interfaces != nil {
		t.Errorf("no such class: %+v, %v", a, err)
	}

	missing := wrapped(le32(2, 0x20000, 0x20004, 0x20008), le32(2), iid1[:], iid2[:], le32(2, 0, 0x80004002-1<<32), le32(2, 0x2000c, 0), pointer(standard(iid1)))
	a, err = dcommsg.ParseActivated(answer{outs: missing, reply: reply("49670")}.bytes())
	if err != nil || a.Interfaces[1].HRESULT != 0x80004002 || a.Interfaces[0].Reference.IPID != ipid {
		t.Errorf("one interface only: %+v, %v", a, err)
	}
}

func TestNotActivated(t *testing.T) {
	oneOut := func(parts ...[]byte) []byte { return wrapped(slices.Concat(parts...)) }
	other := standard(iid2)
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                    {nil, ndr.ErrShort},
		"success without an object":  {le32(0, 0, 0, 0), ndr.ErrShort},
		"something behind":           {answer{outs: outs(), reply: reply("1"), tail: le32(0)}.bytes(), ndr.ErrTrailing},
		"no interfaces":              {answer{reply: reply("1")}.bytes(), dcommsg.ErrMissing},
		"no server":                  {answer{outs: outs()}.bytes(), dcommsg.ErrMissing},
		"another class":              {answer{outs: outs(), reply: reply("1"), class: com("00000338")}.bytes(), dcommsg.ErrObjRef},
		"sizes beyond":               {answer{outs: outs(), reply: reply("1"), sizes: le32(0x10000, 8)}.bytes(), ndr.ErrShort},
		"one size only":              {answer{outs: outs(), reply: reply("1"), sizes: le32(8)}.bytes(), dcommsg.ErrProperty},
		"a total beyond":             {answer{outs: outs(), reply: reply("1"), total: 1}.bytes(), dcommsg.ErrProperty},
		"not serialized":             {answer{outs: make([]byte, 40), reply: reply("1")}.bytes(), dcommsg.ErrProperty},
		"bindings without end":       {answer{outs: outs(), reply: wrapped(le32(0, 0x20000, 1, 0, 4), ipid[:], le32(2, 0), array(2, 2, 2, []uint16{7, 'a'}))}.bytes(), dcommsg.ErrBindings},
		"another number of results":  {answer{outs: oneOut(le32(1, 4, 8, 0), le32(1), iid1[:], le32(2, 0, 0)), reply: reply("1")}.bytes(), dcommsg.ErrProperty},
		"no reference":               {answer{outs: oneOut(le32(1, 4, 8, 0), le32(1), iid1[:], le32(1, 0)), reply: reply("1")}.bytes(), dcommsg.ErrObjRef},
		"of another interface":       {answer{outs: oneOut(le32(1, 4, 8, 12), le32(1), iid1[:], le32(1, 0), le32(1, 16), pointer(other)), reply: reply("1")}.bytes(), dcommsg.ErrObjRef},
		"a reference of no kind":     {answer{outs: oneOut(le32(1, 4, 8, 12), le32(1), iid1[:], le32(1, 0), le32(1, 16), pointer(append([]byte("WOEM"), other[4:]...))), reply: reply("1")}.bytes(), dcommsg.ErrObjRef},
		"half a reference":           {answer{outs: oneOut(le32(1, 4, 8, 12), le32(1), iid1[:], le32(1, 0), le32(1, 16), pointer(other[:40])), reply: reply("1")}.bytes(), ndr.ErrShort},
		"seventeen interfaces":       {answer{outs: oneOut(le32(17, 4, 8, 12), le32(17), make([]byte, 17*16)), reply: reply("1")}.bytes(), ndr.ErrLimit},
		"pointers before interfaces": {answer{outs: oneOut(le32(1, 0, 0, 12), le32(1, 16), pointer(standard(iid1))), reply: reply("1")}.bytes(), dcommsg.ErrProperty},
	} {
		a, err := dcommsg.ParseActivated(c.b)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

func FuzzParseActivated(f *testing.F) {
	f.Add(answer{outs: outs(), reply: reply("49670")}.bytes())
	f.Add(le32(0, 0, 0, 0x80040154-1<<32))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := dcommsg.ParseActivated(b)
		if err != nil {
			return
		}
		if port := dcommsg.Port(a.Bindings); port < 0 || port > 0xffff {
			t.Errorf("port %d", port)
		}
		for _, i := range a.Interfaces {
			if !dcommsg.Failed(i.HRESULT) && i.Reference.IPID == (msrpc.UUID{}) {
				t.Errorf("%+v cannot be called", i)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(octets(f, "00000000 00000200 01000000 00000000 04000200 02000000 08000200 00000000 10000000 6c41a1d1 b82d4f4e 9a3c000000000001 0b000000 000102030405060708090a0b0c0d0e0f 05400080"))
	f.Add(slices.Concat(octets(f, "05000700 00000200"), dual("10.0.0.1", "ca1"), le32(0, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if rest, err := dcommsg.Answer(b); err == nil && (!bytes.HasSuffix(b, rest) || (len(b)-len(rest))%8 != 0) {
			t.Errorf("%x of %x", rest, b)
		}
		if a, err := dcommsg.ParseAlive(b); err == nil && len(a.Bindings) > len(b) {
			t.Errorf("%+v", a)
		}
	})
}
