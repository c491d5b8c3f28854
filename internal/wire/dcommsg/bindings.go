package dcommsg

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"chancery/internal/wire/ndr"
)

// TowerTCP is the tower identifier of RPC over TCP (MS-DCOM §2.2.19.3).
const TowerTCP uint16 = 7

// Binding is one place where a server listens (STRINGBINDING, MS-DCOM §2.2.19.3).
type Binding struct {
	Tower   uint16
	Address string // "ca1.corp.example[49670]"; a resolver's has no port
}

// Port gives the port of the first binding over TCP that names one, or 0. Hosts
// in bindings are not for clients to follow: they are often inner addresses.
func Port(bindings []Binding) int {
	for _, b := range bindings {
		address, closed := strings.CutSuffix(b.Address, "]")
		at := strings.LastIndexByte(address, '[')
		if b.Tower != TowerTCP || !closed || at < 0 {
			continue
		}
		if port, err := strconv.ParseUint(address[at+1:], 10, 16); err == nil && port != 0 {
			return int(port)
		}
	}
	return 0
}

// bindings reads a DUALSTRINGARRAY and its hoisted count (MS-DCOM §2.2.19.1): two
// lists of strings in one array of 16-bit units. The second, of security bindings,
// says which logins the server knows; it is found out by logging in.
func bindings(d *ndr.Decoder) []Binding {
	most := d.Count(maxBindings, 2)
	n, security := int(d.Uint16()), int(d.Uint16())
	if d.Err() == nil && (n > most || security > n) {
		d.Fail(ErrBindings)
	}
	if d.Err() != nil {
		return nil
	}
	units := make([]uint16, n)
	for i := range units {
		units[i] = d.Uint16()
	}
	if d.Err() != nil {
		return nil
	}
	var found []Binding
	for list := units[:security]; len(list) > 0 && list[0] != 0; {
		end := slices.Index(list[1:], 0)
		if end < 0 {
			d.Fail(ErrBindings)
			return nil
		}
		found = append(found, Binding{list[0], string(utf16.Decode(list[1 : 1+end]))})
		list = list[2+end:]
	}
	return found
}
