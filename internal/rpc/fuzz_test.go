package rpc_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/rpc"
)

// FuzzAnswer gives octets to a client as the answer to its bind and its first call.
func FuzzAnswer(f *testing.F) {
	bound := append(header(12, 3, 1, 40, 0), octets(f, "d016 d016 00000000 0000 0000 01000000"+accepted)...)
	f.Add(append(bound, append(header(2, 3, 2, 12, 0), octets(f, "00000000 0000 0000 01020304")...)...))
	f.Add(append(bound, append(header(3, 3, 2, 16, 0), octets(f, "00000000 0000 0000 05000000 00000000")...)...))
	f.Add(append(header(13, 3, 1, 8, 0), octets(f, "0100 00 01 0500 0000")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := rpc.NewConn(t.Context(), &recorded{Reader: bytes.NewReader(b)}, rpc.Options{MaxResponse: 1000}, echo)
		if err != nil {
			if ra.AsError(err).Message == "" || hop(err) == "" {
				t.Errorf("%v", err)
			}
			return
		}
		if out, err := c.Call(t.Context(), echo, nil, 1, nil); len(out) > 1000 || err != nil && out != nil {
			t.Errorf("%d octets, %v", len(out), err)
		}
	})
}

// recorded is a connection whose other side is octets.
type recorded struct{ io.Reader }

func (*recorded) Write(b []byte) (int, error) {
	if len(b) < 16 || int(binary.LittleEndian.Uint16(b[8:])) != len(b) {
		return 0, errors.New("not one PDU")
	}
	return len(b), nil
}

func (*recorded) Close() error { return nil }
