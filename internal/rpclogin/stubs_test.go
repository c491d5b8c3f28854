package rpclogin_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"unicode/utf16"

	"chancery/internal/rpc"
	"chancery/internal/wire/msrpc"
	"chancery/internal/wire/ndr"
)

// Interfaces of a domain controller (MS-SAMR §1.9, MS-LSAD §1.9, MS-DRSR §1.9).
var (
	samr    = msrpc.SyntaxID{UUID: msrpc.MustUUID("12345778-1234-abcd-ef00-0123456789ac"), Version: 1}
	lsarpc  = msrpc.SyntaxID{UUID: msrpc.MustUUID("12345778-1234-abcd-ef00-0123456789ab")}
	drsuapi = msrpc.SyntaxID{UUID: msrpc.MustUUID("e3514235-4b06-11d1-ab04-00c04fc2dcd2"), Version: 4}
)

// called is a connection whose calls end the test when they fail.
type called struct {
	t *testing.T
	c *rpc.Conn
}

func (c called) do(iface msrpc.SyntaxID, opnum uint16, request func(*ndr.Encoder)) *ndr.Decoder {
	c.t.Helper()
	answer, err := c.c.Call(c.t.Context(), iface, nil, opnum, stub(c.t, request))
	if err != nil {
		c.t.Fatalf("operation %d: %v", opnum, err)
	}
	return ndr.NewDecoder(answer)
}

func stub(t *testing.T, request func(*ndr.Encoder)) []byte {
	t.Helper()
	var e ndr.Encoder
	request(&e)
	b, err := e.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// name writes an RPC_UNICODE_STRING (MS-DTYP §2.3.10).
func name(e *ndr.Encoder, s string) {
	units := utf16.Encode([]rune(s))
	e.Struct(func() {
		e.Uint16(uint16(2 * len(units)))
		e.Uint16(uint16(2 * len(units)))
		e.Unique(true, func() {
			e.Count(len(units))
			e.Uint32(0)
			e.Count(len(units))
			for _, u := range units {
				e.Uint16(u)
			}
		})
	})
}

// readName reads one into out, once what it points to is read.
func readName(d *ndr.Decoder, out *string) {
	d.Struct(func() {
		d.Uint16()
		d.Uint16()
		d.Unique(func() {
			d.Uint32()
			d.Uint32()
			units := make([]uint16, d.Count(1000, 2))
			for i := range units {
				units[i] = d.Uint16()
			}
			*out = string(utf16.Decode(units))
		})
	})
}

// connectStub is SamrConnect5 (MS-SAMR §3.1.5.1.1).
func connectStub(e *ndr.Encoder) {
	server := `\\dc`
	e.UniqueString(&server)
	e.Uint32(0x31) // connect, enumerate and look up domains
	e.Uint32(1)
	e.Uint32(1)
	e.Uint32(3)
	e.Uint32(0)
}

const opConnect = 64

// connect gives a handle of the account database.
func (c called) connect() []byte {
	c.t.Helper()
	d := c.do(samr, opConnect, connectStub)
	for range 4 {
		d.Uint32()
	}
	return c.handle(d)
}

func (c called) handle(d *ndr.Decoder) []byte {
	c.t.Helper()
	handle := d.Raw(20)
	if status := d.Uint32(); status != 0 || d.Done() != nil {
		c.t.Fatalf("status %x, %v", status, d.Err())
	}
	return handle
}

// domains lists the domains (SamrEnumerateDomainsInSamServer, MS-SAMR §3.1.5.2.1).
func (c called) domains(server []byte) []string {
	c.t.Helper()
	d := c.do(samr, 6, func(e *ndr.Encoder) { e.Raw(server); e.Uint32(0); e.Uint32(0xffff) })
	var out []string
	d.Uint32()
	d.Unique(func() {
		d.Struct(func() {
			d.Uint32()
			d.Unique(func() {
				out = make([]string, d.Count(100, 12))
				d.Struct(func() {
					for i := range out {
						d.Uint32()
						readName(d, &out[i])
					}
				})
			})
		})
	})
	d.Uint32()
	if status := d.Uint32(); status != 0 || d.Done() != nil {
		c.t.Fatalf("status %x, %v", status, d.Err())
	}
	return out
}

// domain opens a domain by its short name (SamrLookupDomainInSamServer and
// SamrOpenDomain, MS-SAMR §3.1.5.11.1 and §3.1.5.1.5).
func (c called) domain(server []byte, short string) []byte {
	c.t.Helper()
	d := c.do(samr, 5, func(e *ndr.Encoder) { e.Raw(server); name(e, short) })
	var sid []byte
	d.Unique(func() { sid = d.Raw(4 + 8 + 4*int(d.Uint32()) - 4) })
	if status := d.Uint32(); status != 0 || len(sid) != 24 || d.Done() != nil {
		c.t.Fatalf("status %x, a SID of %d octets, %v", status, len(sid), d.Err())
	}
	return c.handle(c.do(samr, 7, func(e *ndr.Encoder) { e.Raw(server); e.Uint32(0x200); e.Uint32(uint32(sid[1])); e.Raw(sid) }))
}

// lookUp finds the account numbers of names, 0 for those that nobody has
// (SamrLookupNamesInDomain, MS-SAMR §3.1.5.11.2).
func (c called) lookUp(domain []byte, names []string) []uint32 {
	c.t.Helper()
	d := c.do(samr, 17, lookUpStub(domain, names))
	read := func() (out []uint32) {
		d.Struct(func() {
			d.Uint32()
			d.Unique(func() {
				out = make([]uint32, d.Count(1000, 4))
				for i := range out {
					out[i] = d.Uint32()
				}
			})
		})
		return out
	}
	out, kinds := read(), read()
	const someUnmapped = 0x107
	if status := d.Uint32(); status != someUnmapped || len(out) != len(names) || len(kinds) != len(names) || d.Done() != nil {
		c.t.Fatalf("status %x, %d of %d names, %v", status, len(out), len(names), d.Err())
	}
	return out
}

func lookUpStub(domain []byte, names []string) func(*ndr.Encoder) {
	return func(e *ndr.Encoder) {
		e.Raw(domain)
		e.Count(len(names))
		e.Count(1000) // [size_is(1000), length_is(Count)]
		e.Uint32(0)
		e.Count(len(names))
		e.Struct(func() {
			for _, n := range names {
				name(e, n)
			}
		})
	}
}

// hasDomain asks the other interface for the domain's name (LsarOpenPolicy2 and
// LsarQueryInformationPolicy, MS-LSAD §3.1.4.4.1 and §3.1.4.4.4).
func (c called) hasDomain(short string) bool {
	c.t.Helper()
	policy := c.handle(c.do(lsarpc, 44, func(e *ndr.Encoder) {
		e.UniqueString(nil)
		for range 6 {
			e.Uint32(0)
		}
		e.Uint32(1) // view local information
	}))
	d := c.do(lsarpc, 7, func(e *ndr.Encoder) { e.Raw(policy); e.Uint16(5) })
	answer := d.Rest()
	var want []byte
	for _, u := range utf16.Encode([]rune(short)) {
		want = binary.LittleEndian.AppendUint16(want, u)
	}
	return len(answer) > 4 && binary.LittleEndian.Uint32(answer[len(answer)-4:]) == 0 && bytes.Contains(answer, want)
}

// bindDirectory calls IDL_DRSBind (MS-DRSR §4.1.3).
func (c called) bindDirectory() {
	c.t.Helper()
	d := c.do(drsuapi, 0, func(e *ndr.Encoder) { e.Uint32(0); e.Uint32(0) })
	d.Unique(func() { d.Raw(int(d.Uint32()) + 4) })
	d.Align(4)
	c.handle(d)
}

// many are n names nobody has, after one that somebody has.
func many(n int) []string {
	out := []string{"Administrator"}
	for i := len(out); i < n; i++ {
		out = append(out, fmt.Sprintf("nobody-of-that-name-%04d", i))
	}
	return out
}
