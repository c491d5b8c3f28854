package rpc_test

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/rpc"
)

func TestMap(t *testing.T) {
	tower := "0500 1300 0d 010000000000 0000 c000 000000000046 0100 0200 0000 1300 0d 045d888aeb1cc9119fe808002b104860 0200 0200 0000" +
		"0100 0b 0200 0000  0100 07 0200 c002 0100 09 0400 0a000001"
	handle := strings.Repeat("00", 20)
	found := handle + "01000000 01000000 00000000 01000000 03000000 4b000000 4b000000" + tower + "00 00000000"
	mapper := func(t *testing.T, answers ...string) rpc.Options {
		address := serve(t, func(p *peer) {
			answer := answers[0]
			answers = answers[1:]
			if rest, ok := strings.CutPrefix(answer, "login "); ok {
				answer, p.login = rest, &toy{t: t}
			}
			if !p.bound(accepted) {
				return
			}
			id, opnum, stub, ok := p.call()
			if !ok || opnum != 3 || len(stub) != 116 {
				t.Errorf("opnum %d, %d octets", opnum, len(stub))
			}
			if answer == "cut" {
				return
			}
			if answer == "fault" {
				p.pdu(3, 3, id, "00000000 0000 0000 05000000 00000000", nil)
				return
			}
			p.answer(id, octets(t, answer))
		})
		_, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		return rpc.Options{Dial: direct, MapperPort: n, Login: func(string) (rpc.Security, error) { return &toy{t: t}, nil }}
	}
	if port, err := rpc.Map(t.Context(), "127.0.0.1", mapper(t, found), echo); err != nil || port != 49154 {
		t.Errorf("%d, %v", port, err)
	}
	if port, err := rpc.Map(t.Context(), "127.0.0.1", mapper(t, "fault", "login "+found), echo); err != nil || port != 49154 {
		t.Errorf("with a login: %d, %v", port, err)
	}
	for name, answer := range map[string]string{
		"not registered":       handle + "00000000 01000000 00000000 00000000 d6a0c916",
		"of another interface": strings.Replace(found, "0d 0100", "0d 0200", 1),
	} {
		if port, err := rpc.Map(t.Context(), "127.0.0.1", mapper(t, answer), echo); port != 0 || ra.KindOf(err) != ra.RefusedByCA || !notSent(err) || !errors.Is(err, rpc.ErrNotRegistered) {
			t.Errorf("%s: %d, %v", name, port, err)
		}
	}
	for name, answer := range map[string]string{"another status": handle + "00000000 01000000 00000000 00000000 bb060000", "no answer at all": "00", "cut": "cut"} {
		if port, err := rpc.Map(t.Context(), "127.0.0.1", mapper(t, answer), echo); port != 0 || err == nil || !notSent(err) || errors.Is(err, rpc.ErrNotRegistered) {
			t.Errorf("%s: %d, %v", name, port, err)
		}
	}
}
