package msrpc

import (
	"encoding/binary"

	"chancery/internal/wire/ndr"
)

// Mapper is the endpoint mapper's interface, and OpMap its procedure ept_map
// (C706 appendix O).
var Mapper = SyntaxID{MustUUID("e1af8308-5d1f-11c9-91a4-08002b14a0fa"), 3}

// OpMap is the number of ept_map.
const OpMap uint16 = 3

// Protocol identifiers of the floors of a tower (C706 appendix I).
const (
	floorTCP  byte = 0x07
	floorIP   byte = 0x09
	floorRPC  byte = 0x0b
	floorUUID byte = 0x0d
)

// maxTowers is how many towers of an answer are read; one is asked for.
const maxTowers = 16

// maxTower is the longest tower that is read, in bytes; that of TCP has 75.
const maxTower = 1024

// MapRequest gives the stub of ept_map that asks for the TCP endpoint of an
// interface in NDR20.
func MapRequest(iface SyntaxID) []byte {
	tower := tower(iface)
	var e ndr.Encoder
	e.Unique(false, nil) // any object
	e.Unique(true, func() {
		e.Count(len(tower)) // of twr_t, which ends in an array
		e.Count(len(tower))
		e.Raw(tower)
	})
	e.Align(4)
	e.Raw(make([]byte, handleSize))
	e.Uint32(1) // towers wanted
	b, _ := e.Bytes()
	return b
}

// handleSize is the length of a context handle, in bytes.
const handleSize = 20

// tower says what is wanted, floor by floor: interface, transfer syntax, protocol,
// port and address (C706 appendix L). Its numbers on the right are big-endian
// where the protocol below RPC says so.
func tower(iface SyntaxID) []byte {
	b := binary.LittleEndian.AppendUint16(nil, 5)
	floor := func(left, right []byte) {
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(left))), left...)
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(right))), right...)
	}
	for _, s := range []SyntaxID{iface, NDR20} {
		v := binary.LittleEndian.AppendUint32(nil, s.Version)
		floor(append(append([]byte{floorUUID}, s.UUID[:]...), v[:2]...), v[2:])
	}
	floor([]byte{floorRPC}, []byte{0, 0})
	floor([]byte{floorTCP}, []byte{0, 0})
	floor([]byte{floorIP}, []byte{0, 0, 0, 0})
	return b
}

// MapResponse reads the answer to ept_map: the first TCP port of iface among the
// towers, 0 if there is none, and the status. The addresses in the towers are
// not looked at: they are inner ones, if any. Errors are ErrTower or ndr's.
func MapResponse(stub []byte, iface SyntaxID) (port int, status uint32, err error) {
	d := ndr.NewDecoder(stub)
	d.Raw(handleSize)
	d.Uint32() // towers, said again below
	d.Struct(func() {
		room := d.Count(1<<31-1, 0)
		offset, n := d.Uint32(), d.Count(maxTowers, 4)
		if offset != 0 || n > room {
			d.Fail(ndr.ErrValue)
		}
		for range n {
			d.Unique(func() {
				most := d.Count(maxTower, 0)
				b := d.Blob(most)
				if d.Err() != nil {
					return
				}
				p, err := towerPort(b, iface)
				if err != nil {
					d.Fail(err)
				}
				if port == 0 {
					port = p
				}
			})
		}
	})
	status = d.Uint32()
	if err := d.Done(); err != nil {
		return 0, 0, err
	}
	return port, status, nil
}

// towerPort gives the TCP port of a tower, or 0 when it leads elsewhere or by
// other means.
func towerPort(b []byte, iface SyntaxID) (int, error) {
	if len(b) < 2 {
		return 0, ErrTower
	}
	floors, b := binary.LittleEndian.Uint16(b), b[2:]
	side := func() []byte {
		if len(b) < 2 || len(b)-2 < int(binary.LittleEndian.Uint16(b)) {
			return nil
		}
		n := 2 + int(binary.LittleEndian.Uint16(b))
		s := b[2:n:n]
		b = b[n:]
		return s
	}
	port, ours := 0, false
	for i := range floors {
		left, right := side(), side()
		if len(left) == 0 || right == nil {
			return 0, ErrTower
		}
		switch {
		case i == 0:
			ours = left[0] == floorUUID && len(left) == 19 && UUID(left[1:17]) == iface.UUID && binary.LittleEndian.Uint16(left[17:]) == uint16(iface.Version)
		case left[0] == floorTCP && len(right) == 2:
			port = int(binary.BigEndian.Uint16(right))
		}
	}
	if !ours {
		return 0, nil
	}
	return port, nil
}
