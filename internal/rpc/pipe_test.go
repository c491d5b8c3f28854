package rpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/cloudsoda/go-smb2"

	"chancery/internal/ra"
	"chancery/internal/rpc"
)

// A pipe fails like any other connection until it is open.
func TestPipeRefused(t *testing.T) {
	address := serve(t, func(p *peer) { io.ReadAtLeast(p.conn, make([]byte, 4), 4) })
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	o := rpc.Options{Dial: direct, SMBPort: n}
	if _, err := rpc.DialPipe(t.Context(), host, "cert", o, echo); hop(err) != rpc.HopLogin || !notSent(err) {
		t.Errorf("without a login: %v", err)
	}
	mine := ra.Errorf(ra.Invalid, "The password has expired.")
	o.SMB = func(string) (smb2.Initiator, error) { return nil, mine }
	if _, err := rpc.DialPipe(t.Context(), host, "cert", o, echo); hop(err) != rpc.HopLogin || ra.AsError(err).Message != mine.Message {
		t.Errorf("a login that fails: %v", err)
	}
	o.SMB = func(target string) (smb2.Initiator, error) {
		if target != host {
			t.Errorf("a login at %q", target)
		}
		return &smb2.NTLMInitiator{User: "svc-ra", Password: "correct horse"}, nil
	}
	if _, err := rpc.DialPipe(t.Context(), host, "cert", o, echo); hop(err) != rpc.HopLogin || ra.KindOf(err) != ra.Unreachable || !notSent(err) {
		t.Errorf("closed by the server: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	o.Dial = func(context.Context, string, string) (net.Conn, error) { return direct(t.Context(), "tcp", address) }
	if _, err := rpc.DialPipe(ctx, host, "cert", o, echo); !errors.Is(err, context.DeadlineExceeded) || !notSent(err) {
		t.Errorf("too late: %v", err)
	}
}
