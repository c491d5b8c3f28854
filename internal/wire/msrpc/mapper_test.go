package msrpc_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// mapRequest asks for samr, as Samba has accepted it.
const mapRequest = `00 00 00 00  01 00 00 00  4b 00 00 00  4b 00 00 00  05 00
	13 00 0d ` + "78573412 3412 cdab ef00 0123456789ac 01 00" + ` 02 00 00 00
	13 00 0d 04 5d 88 8a eb 1c c9 11 9f e8 08 00 2b 10 48 60 02 00  02 00 00 00
	01 00 0b  02 00 00 00   01 00 07  02 00 00 00   01 00 09  04 00 00 00 00 00   00
	00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   01 00 00 00`

func TestMapRequest(t *testing.T) {
	got, want := msrpc.MapRequest(samr), octets(t, mapRequest)
	copy(want[4:], []byte{0, 0, 2, 0}) // the referent identifier is as good as any
	if !bytes.Equal(got, want) {
		t.Errorf("\ngot  %x\nwant %x", got, want)
	}
}

// tower is the tower of an interface on TCP at a port and an address that is of
// no use.
func tower(iface, port string) string {
	return "0500 1300 0d " + strings.TrimSuffix(strings.TrimSpace(iface), "0000") + " 0200 0000" +
		"1300 0d 045d888aeb1cc9119fe808002b104860 0200 0200 0000  0100 0b 0200 0000  0100 07 0200 " + port + " 0100 09 0400 0a000001"
}

const handle = "00000000 00000000 00000000 00000000 00000000 "

func TestMapResponse(t *testing.T) {
	one := func(tower string) string {
		return handle + "01000000 01000000 00000000 01000000 03000000 4b000000 4b000000 " + tower + "00 00000000"
	}
	for name, c := range map[string]struct {
		text   string
		port   int
		status uint32
		err    error
	}{
		"registered":            {one(tower(samrHex, "c002")), 49154, 0, nil},
		"another interface":     {one(tower(ndrHex, "c002")), 0, 0, nil},
		"not registered":        {handle + "00000000 01000000 00000000 00000000 d6a0c916", 0, msrpc.StatusNotRegistered, nil},
		"the second is on TCP":  {handle + "02000000 02000000 00000000 02000000 03000000 04000000 02000000 02000000 0000 0000 4b000000 4b000000 " + tower(samrHex, "0087") + "00 00000000", 135, 0, nil},
		"a null tower":          {handle + "01000000 01000000 00000000 01000000 00000000 00000000", 0, 0, nil},
		"too many":              {handle + "11000000 11000000 00000000 11000000", 0, 0, ndr.ErrLimit},
		"more than its room":    {handle + "01000000 01000000 00000000 02000000 00000000 00000000 00000000", 0, 0, ndr.ErrValue},
		"a tower without end":   {handle + "01000000 01000000 00000000 01000000 03000000 03000000 03000000 0100ff 00 00000000", 0, 0, msrpc.ErrTower},
		"a tower of one octet":  {handle + "01000000 01000000 00000000 01000000 03000000 01000000 01000000 01 000000 00000000", 0, 0, msrpc.ErrTower},
		"a tower that is huge":  {handle + "01000000 01000000 00000000 01000000 03000000 ffffff00 ffffff00", 0, 0, ndr.ErrLimit},
		"no status":             {strings.TrimSuffix(one(tower(samrHex, "c002")), "00000000"), 0, 0, ndr.ErrShort},
		"something behind":      {one(tower(samrHex, "c002")) + "00", 0, 0, ndr.ErrTrailing},
		"nothing":               {"", 0, 0, ndr.ErrShort},
		"the handle and no end": {handle, 0, 0, ndr.ErrShort},
	} {
		port, status, err := msrpc.MapResponse(octets(t, c.text), samr)
		if port != c.port || status != c.status || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %x, %v", name, port, status, err)
		}
	}
}

func FuzzMapResponse(f *testing.F) {
	f.Add(octets(f, handle+"01000000 01000000 00000000 01000000 03000000 4b000000 4b000000 "+tower(samrHex, "c002")+"00 00000000"))
	f.Add(octets(f, handle+"00000000 01000000 00000000 00000000 d6a0c916"))
	f.Fuzz(func(t *testing.T, b []byte) {
		port, status, err := msrpc.MapResponse(b, samr)
		if err != nil && (port != 0 || status != 0) || port < 0 || port > 0xffff {
			t.Errorf("%d, %x, %v", port, status, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(octets(f, "05000c07 10000000 6200 0200 01000000  d016 b810 39050000  0600 34393135 3400 02000000 0000 0000 "+ndrHex+strings.Repeat("00", 24)+"00000000 0a060400 01000000 aabb"))
	f.Add(octets(f, "05000d03 10000000 1800 0000 01000000  0800 00 01 0500 0000"))
	f.Add(octets(f, "05000323 10000000 2000 0000 02000000  20000000 0000 00 00 05000000 00000000"))
	f.Add(octets(f, "05000203 10000000 3400 0400 05000000 0d000000 0100 00 00 000102030405060708090a0b0c0d0e0f 0a060300 01000000 deadbeef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := msrpc.Parse(b)
		if err != nil {
			return
		}
		if a, err := p.BindAck(); err == nil && len(a.Results)*24 > len(b) {
			t.Errorf("%d results in %d octets", len(a.Results), len(b))
		}
		if r, err := p.Response(); err == nil && (len(r.Header)+len(r.Stub)+len(r.Trailer)+len(p.Signature) != len(b) || r.Pad > len(r.Stub)) {
			t.Errorf("the parts of %x: %+v", b, r)
		}
		if reason, err := p.BindNak(); err == nil && reason.String() == "" {
			t.Errorf("bind_nak %d has no words", reason)
		}
		if status, err := p.Fault(); err == nil && msrpc.StatusText(status) == "" {
			t.Errorf("fault %x has no words", status)
		}
	})
}
