package dcom

import (
	"context"
	"encoding/binary"

	"chancery/internal/ra"
	"chancery/internal/wire/dcommsg"
)

// release gives all references back (IRemUnknown2::RemRelease, MS-DCOM
// §3.1.1.5.6.1.3).
func (i *instance) release(ctx context.Context) error {
	var held []dcommsg.Reference
	for _, one := range i.interfaces {
		if one.Reference.Public > 0 {
			held = append(held, one.Reference)
		}
	}
	out, err := i.call(ctx, dcommsg.RemUnknown2, i.unknown, dcommsg.OpRemRelease, dcommsg.Release(held))
	if err != nil {
		return err
	}
	if len(out) != 4 || dcommsg.Failed(binary.LittleEndian.Uint32(out)) {
		return ra.Errorf(ra.RefusedByCA, "The server did not take the object back.")
	}
	return nil
}
