package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"chancery/internal/ra"
	"chancery/internal/rpc"
	"chancery/internal/wire/msrpc"
)

// long is a stub of n octets that are not all the same.
func long(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// Every stub comes back as it was, whatever the login, the size of fragments in
// either direction, and whether headers are signed.
func TestCall(t *testing.T) {
	for name, c := range map[string]struct {
		login, answered, sign bool
		maxRecv               uint16
		piece                 int
	}{
		"no login":                  {false, false, false, 4280, 4000},
		"no login, small fragments": {false, false, false, 56, 8},
		"auth3":                     {true, false, true, 5840, 4000},
		"auth3, small fragments":    {true, false, true, 69, 16},
		"headers not signed":        {true, false, false, 100, 24},
		"a third leg with an answer, small fragments": {true, true, true, 128, 40},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(p *peer) {
				p.maxRecv, p.piece, p.sign = c.maxRecv, c.piece, c.sign
				if c.login {
					p.login = &toy{t: t, answered: c.answered}
				}
				p.echoes(accepted)
			})
			var o rpc.Options
			if c.login {
				o.Login = func(target string) (rpc.Security, error) {
					if target != "127.0.0.1" {
						t.Errorf("a login at %q", target)
					}
					return &toy{t: t, answered: c.answered}, nil
				}
			}
			conn, err := dial(t, address, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{0, 1, 15, 16, 17, 100, 3000} {
				for _, on := range []*msrpc.UUID{nil, &object} {
					in := long(n)
					out, err := conn.Call(t.Context(), echo, on, 7, in)
					if err != nil || !bytes.Equal(out, long(n)) {
						t.Fatalf("%d octets: %v, %d octets came back", n, err, len(out))
					}
					if !bytes.Equal(in, long(n)) {
						t.Error("the caller's stub was changed")
					}
				}
			}
		})
	}
}

// Calls of many at once take turns.
func TestConcurrentCalls(t *testing.T) {
	address := serve(t, func(p *peer) {
		p.login = &toy{t: t}
		p.echoes(accepted)
	})
	conn, err := dial(t, address, rpc.Options{Login: func(string) (rpc.Security, error) { return &toy{t: t}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				if out, err := conn.Call(t.Context(), echo, nil, 1, long(100+i)); err != nil || len(out) != 100+i {
					t.Errorf("%v, %d octets", err, len(out))
				}
			}
		})
	}
	all.Wait()
}

func TestInterfaces(t *testing.T) {
	address := serve(t, func(p *peer) { p.echoes(accepted, rejected) })
	conn, err := dial(t, address, rpc.Options{}, echo, absent)
	if err != nil {
		t.Fatal(err)
	}
	var gone *rpc.Rejected
	if _, err := conn.Call(t.Context(), absent, nil, 0, nil); !errors.As(err, &gone) || gone.Interface != absent || !notSent(err) || ra.KindOf(err) != ra.RefusedByCA {
		t.Errorf("a rejected interface: %v", err)
	}
	if _, err := conn.Call(t.Context(), msrpc.Mapper, nil, 0, nil); !notSent(err) {
		t.Errorf("an interface nobody asked for: %v", err)
	}
	if out, err := conn.Call(t.Context(), echo, nil, 0, long(4)); err != nil || len(out) != 4 {
		t.Errorf("the connection is of no use any more: %v", err)
	}
	if _, err := rpc.Dial(t.Context(), address, rpc.Options{Dial: direct}); hop(err) != rpc.HopBind {
		t.Errorf("no interface: %v", err)
	}
	address = serve(t, func(p *peer) { p.echoes(rejected, rejected) })
	if _, err := dial(t, address, rpc.Options{}, absent, echo); !errors.As(err, &gone) || hop(err) != rpc.HopBind {
		t.Errorf("neither of them: %v", err)
	}
}

// Whatever a server does in place of a bind_ack is an error of its hop, and
// nothing of a call was sent.
func TestBindRefused(t *testing.T) {
	with := func(refuse error) func(string) (rpc.Security, error) {
		return func(string) (rpc.Security, error) { return &toy{t: t, refuse: refuse}, nil }
	}
	mine := ra.Errorf(ra.Invalid, "The password has expired.")
	for name, c := range map[string]struct {
		each  func(*peer)
		login func(string) (rpc.Security, error)
		hop   rpc.Hop
		kind  ra.Kind
		says  string
	}{
		"bind_nak":       {func(p *peer) { p.read(); p.pdu(13, 3, 1, "0100 00 01 0500 0000", nil) }, nil, rpc.HopBind, ra.RefusedByCA, "temporary congestion"},
		"fault":          {func(p *peer) { p.read(); p.pdu(3, 3, 1, "00000000 0000 0000 05000000 00000000", nil) }, nil, rpc.HopBind, ra.RefusedByCA, "refused the service account"},
		"closed":         {func(p *peer) { p.read() }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"half a PDU":     {func(p *peer) { p.read(); p.conn.Write(header(12, 3, 1, 100, 0)) }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"not RPC":        {func(p *peer) { p.read(); io.WriteString(p.conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"another call":   {func(p *peer) { p.read(); p.pdu(12, 3, 9, "d016 d016 00000000 0000 0000 01000000"+accepted, nil) }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"a response":     {func(p *peer) { p.read(); p.answer(1, long(4)) }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"alter_context":  {func(p *peer) { p.read(); p.pdu(15, 3, 1, "d016 d016 00000000 0000 0000 01000000"+accepted, nil) }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"no result":      {func(p *peer) { p.read(); p.pdu(12, 3, 1, "d016 d016 00000000 0000 0000 00000000", nil) }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"tiny fragments": {func(p *peer) { p.read(); p.pdu(12, 3, 1, "d016 3700 00000000 0000 0000 01000000"+accepted, nil) }, nil, rpc.HopBind, ra.Unreachable, "broke"},
		"no token": {func(p *peer) { p.read(); p.pdu(12, 3, 1, "d016 d016 00000000 0000 0000 01000000"+accepted, nil) }, with(nil),
			rpc.HopLogin, ra.RefusedByCA, "refused the service account"},
		"a login that fails": {func(p *peer) { p.login = &toy{t: t}; p.bound(accepted) }, with(mine), rpc.HopLogin, ra.Invalid, "The password has expired."},
		"a login that cannot begin": {func(p *peer) { p.read() }, func(string) (rpc.Security, error) { return nil, mine },
			rpc.HopLogin, ra.Invalid, "The password has expired."},
		"closed within the login": {func(p *peer) {
			m := p.read()
			p.login = &toy{t: t, answered: true}
			p.ack(12, m, "0000 0000", []string{accepted})
			p.read()
		}, func(string) (rpc.Security, error) { return &toy{t: t, answered: true}, nil }, rpc.HopLogin, ra.Unreachable, "broke"},
		"a login without end": {func(p *peer) {
			p.login = &toy{t: t}
			for kind := byte(12); ; kind = 15 {
				m := p.read()
				if m == nil {
					return
				}
				p.ack(kind, m, "0000 0000", []string{accepted})
			}
		}, func(string) (rpc.Security, error) { return &endless{}, nil }, rpc.HopLogin, ra.RefusedByCA, "refused the service account"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, serve(t, c.each), rpc.Options{Login: c.login})
			if hop(err) != c.hop || ra.KindOf(err) != c.kind || !notSent(err) || !strings.Contains(ra.AsError(err).Message, c.says) {
				t.Errorf("hop %s, kind %s: %v", hop(err), ra.KindOf(err), err)
			}
		})
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := dial(t, closed.Addr().String(), rpc.Options{}); hop(err) != rpc.HopDial || ra.KindOf(err) != ra.Unreachable || !notSent(err) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := dial(t, "no port", rpc.Options{}); hop(err) != rpc.HopDial {
		t.Errorf("an address without a port: %v", err)
	}
}

// endless is a login that never comes to an end.
type endless struct{ toy }

func (*endless) Next([]byte) ([]byte, error) { return []byte("client"), nil }
func (*endless) Done() bool                  { return false }
func (*endless) Answered() bool              { return true }

// An answer that is not one breaks the connection, and leaves the outcome open.
func TestBadAnswers(t *testing.T) {
	for name, answer := range map[string]func(p *peer, id uint32){
		"another call":            func(p *peer, id uint32) { p.answer(id+1, long(10)) },
		"closed":                  func(p *peer, id uint32) {},
		"half a PDU":              func(p *peer, id uint32) { p.conn.Write(header(2, 3, id, 100, 0)) },
		"the end at first":        func(p *peer, id uint32) { p.fragment(id, 2, long(10)) },
		"two beginnings":          func(p *peer, id uint32) { p.fragment(id, 1, long(16)); p.fragment(id, 3, long(16)) },
		"an empty fragment":       func(p *peer, id uint32) { p.fragment(id, 1, nil); p.fragment(id, 2, long(1)) },
		"more than allowed":       func(p *peer, id uint32) { p.answer(id, long(1001)) },
		"a bind_ack":              func(p *peer, id uint32) { p.pdu(12, 3, id, "d016 d016 00000000 0000 0000 01000000"+accepted, nil) },
		"a shutdown":              func(p *peer, id uint32) { p.pdu(17, 3, id, "", nil) },
		"not sealed":              func(p *peer, id uint32) { p.pdu(2, 3, id, "00000000 0000 0000 01020304", nil) },
		"a broken seal":           func(p *peer, id uint32) { p.login.out++; p.answer(id, long(10)) },
		"another header":          func(p *peer, id uint32) { p.sign = false; p.answer(id, long(10)) },
		"a response that is none": func(p *peer, id uint32) { p.pdu(2, 3, id, "00000000", nil) },
		"half a fault":            func(p *peer, id uint32) { p.pdu(3, 3, id, "00000000", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(p *peer) {
				p.login, p.sign = &toy{t: t}, true
				p.bound(accepted)
				if id, _, _, ok := p.call(); ok {
					answer(p, id)
				}
			})
			conn, err := dial(t, address, rpc.Options{MaxResponse: 1000, Login: func(string) (rpc.Security, error) { return &toy{t: t}, nil }})
			if err != nil {
				t.Fatal(err)
			}
			if out, err := conn.Call(t.Context(), echo, nil, 1, long(10)); hop(err) != rpc.HopCall || ra.KindOf(err) != ra.Unreachable || notSent(err) || out != nil {
				t.Errorf("%x, %v", out, err)
			}
			if _, err := conn.Call(t.Context(), echo, nil, 1, nil); !notSent(err) {
				t.Errorf("the next call: %v", err)
			}
		})
	}
}

// A call that cannot be sealed is not sent.
func TestNotSealed(t *testing.T) {
	for _, broken := range []rpc.Security{&unsealing{toy: toy{t: t}, err: errors.New("no key")}, &unsealing{toy: toy{t: t}}} {
		address := serve(t, func(p *peer) {
			p.login = &toy{t: t}
			p.bound(accepted)
			if b := p.read(); b != nil {
				t.Errorf("%x was sent", b)
			}
		})
		conn, err := dial(t, address, rpc.Options{Login: func(string) (rpc.Security, error) { return broken, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Call(t.Context(), echo, nil, 1, long(10)); !notSent(err) || hop(err) != rpc.HopCall {
			t.Errorf("%v", err)
		}
	}
}

// unsealing is a login that gives an error, or a token that is too short.
type unsealing struct {
	toy
	err error
}

func (s *unsealing) Seal([]byte, []byte, []byte, bool) ([]byte, error) { return []byte{1}, s.err }

// A fault is an answer: the next call may do better.
func TestFault(t *testing.T) {
	address := serve(t, func(p *peer) {
		p.login = &toy{t: t}
		p.bound(accepted)
		for _, status := range []string{"f7060000", "05000000"} {
			if id, _, _, ok := p.call(); ok {
				p.pdu(3, 3, id, "00000000 0000 0000"+status+"00000000", nil)
			}
		}
		id, _, stub, _ := p.call()
		p.answer(id, stub)
		id, _, _, _ = p.call()
		p.pdu(3, 3, id, "00000000 0000 0000 05000000 00000000", []byte("12345"))
	})
	conn, err := dial(t, address, rpc.Options{Login: func(string) (rpc.Security, error) { return &toy{t: t}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status uint32
		says   string
	}{{0x6f7, "RPC_X_BAD_STUB_DATA (0x000006F7)"}, {5, "refused the service account"}} {
		var fault *rpc.Fault
		_, err := conn.Call(t.Context(), echo, nil, 1, nil)
		if !errors.As(err, &fault) || fault.Status != c.status || notSent(err) || ra.KindOf(err) != ra.RefusedByCA || !strings.Contains(ra.AsError(err).Message, c.says) {
			t.Errorf("%v", err)
		}
	}
	if out, err := conn.Call(t.Context(), echo, nil, 1, long(10)); err != nil || len(out) != 10 {
		t.Errorf("after the faults: %v", err)
	}
	if _, err := conn.Call(t.Context(), echo, nil, 1, nil); err == nil || notSent(err) {
		t.Errorf("a signed fault: %v", err)
	}
	if _, err := conn.Call(t.Context(), echo, nil, 1, nil); !notSent(err) {
		t.Errorf("after a signed fault: %v", err)
	}
}

// The end of the context ends the call, the connection, and the waiting for a turn.
func TestCancel(t *testing.T) {
	asked := make(chan struct{})
	address := serve(t, func(p *peer) {
		p.bound(accepted)
		p.call()
		close(asked)
		p.read() // until the client is gone
	})
	conn, err := dial(t, address, rpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := conn.Call(ctx, echo, nil, 1, long(10))
		failed <- err
	}()
	<-asked
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := conn.Call(ended, echo, nil, 1, nil); !notSent(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a turn: %v", err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || notSent(err) || hop(err) != rpc.HopCall {
		t.Errorf("without an answer: %v", err)
	}
	if _, err := conn.Call(t.Context(), echo, nil, 1, nil); !notSent(err) {
		t.Errorf("the next call: %v", err)
	}
	if _, err := rpc.Dial(ended, address, rpc.Options{Dial: direct}, echo); !notSent(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("dialling: %v", err)
	}
}

// A slow server is waited for until the deadline.
func TestSlowServer(t *testing.T) {
	address := serve(t, func(p *peer) { p.read(); p.read() })
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	client, server := net.Pipe()
	go (&peer{t: t, conn: server}).read()
	defer server.Close()
	if _, err := rpc.NewConn(ctx, client, rpc.Options{Target: "ca1"}, echo); !errors.Is(err, context.DeadlineExceeded) || ra.AsError(err).Message != "ca1 did not answer in time." {
		t.Errorf("%v", err)
	}
	if _, err := rpc.Dial(ctx, address, rpc.Options{Dial: direct}, echo); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// What a server closes while nobody calls is noticed before the next call.
func TestIdle(t *testing.T) {
	ended := make(chan struct{})
	address := serve(t, func(p *peer) {
		p.bound(accepted)
		for range 2 {
			id, _, stub, _ := p.call()
			p.answer(id, stub)
		}
		p.conn.Close()
		ended <- struct{}{}
	})
	conn, err := dial(t, address, rpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		conn.Age()
		if out, err := conn.Call(t.Context(), echo, nil, 1, long(10)); err != nil || len(out) != 10 {
			t.Fatalf("an idle connection is taken for a dead one: %v", err)
		}
	}
	<-ended
	conn.Age()
	if _, err := conn.Call(t.Context(), echo, nil, 1, nil); !notSent(err) {
		t.Errorf("%v", err)
	}
}

// A request of which the end is missing was not sent; one that left completely may
// have been executed, even if writing it was an error.
func TestHalfRequest(t *testing.T) {
	for _, c := range []struct {
		name     string
		at, lost int
		sent     bool
	}{
		{"the first fragment, half", 2, 20, false},
		{"the first fragment, whole", 2, 0, false},
		{"the last fragment, all but one octet", 3, 1, false},
		{"the last fragment, whole", 3, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			go func() {
				p := &peer{t: t, conn: server, maxRecv: 56}
				p.bound(accepted)
				for p.read() != nil {
				}
			}()
			conn, err := rpc.NewConn(t.Context(), &failing{Conn: client, at: c.at, lost: c.lost}, rpc.Options{}, echo)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = conn.Call(t.Context(), echo, nil, 1, long(40)); !errors.Is(err, errFailing) || notSent(err) == c.sent { // fragments of 32 and 8
				t.Errorf("%v", err)
			}
		})
	}
}

var errFailing = errors.New("no more")

// failing lets writes pass up to one, which it cuts the last octets off and fails.
type failing struct {
	net.Conn
	at, lost int
}

func (f *failing) Write(b []byte) (int, error) {
	if f.at--; f.at > 0 {
		return f.Conn.Write(b)
	}
	n, _ := f.Conn.Write(b[:len(b)-f.lost])
	return n, errFailing
}
