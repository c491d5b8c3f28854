package dcommsg

import "chancery/internal/wire/ndr"

// Alive is a host's answer to IObjectExporter::ServerAlive2 (MS-DCOM
// §3.1.2.5.1.6), which anybody may ask.
type Alive struct {
	Major, Minor uint16    // of the DCOM protocol
	Bindings     []Binding // where its resolver listens
	Status       uint32    // 0: it is alive
}

// ParseAlive reads the answer. Errors are ErrBindings or ndr's.
func ParseAlive(stub []byte) (*Alive, error) {
	d := ndr.NewDecoder(stub)
	a := &Alive{Major: d.Uint16(), Minor: d.Uint16()}
	d.Unique(func() { a.Bindings = bindings(d) })
	d.Uint32() // reserved
	a.Status = d.Uint32()
	if err := d.Done(); err != nil {
		return nil, err
	}
	return a, nil
}
