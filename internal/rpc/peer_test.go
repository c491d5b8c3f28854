package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"testing"

	"chancery/internal/rpc"
	"chancery/internal/wire/msrpc"
)

// The interfaces of the tests.
var (
	echo   = msrpc.SyntaxID{UUID: msrpc.MustUUID("00000001-0000-0000-c000-000000000046"), Version: 1}
	absent = msrpc.SyntaxID{UUID: msrpc.MustUUID("00000002-0000-0000-c000-000000000046"), Version: 1}
	object = msrpc.MustUUID("00010203-0405-0607-0809-0a0b0c0d0e0f")
)

const (
	accepted = "00000000 045d888aeb1cc9119fe808002b104860 02000000"
	rejected = "02000100 00000000000000000000000000000000 00000000"
)

// peer is a server written from the layouts of PDUs, octet by octet: it shares
// nothing with the client but the toy login.
type peer struct {
	t       testing.TB
	conn    net.Conn
	login   *toy // nil: none
	sign    bool // header signing
	maxRecv uint16
	piece   int // octets of stub in each fragment of an answer
}

// read gives the next PDU, or nil when there is none.
func (p *peer) read() []byte {
	head := make([]byte, 16)
	if _, err := io.ReadFull(p.conn, head); err != nil {
		return nil
	}
	b := append(head, make([]byte, int(binary.LittleEndian.Uint16(head[8:]))-16)...)
	if _, err := io.ReadFull(p.conn, b[16:]); err != nil {
		return nil
	}
	return b
}

// pdu lays a PDU out and sends it. body is hex.
func (p *peer) pdu(kind, flags byte, call uint32, body string, token []byte) {
	b := octets(p.t, body)
	if token != nil {
		b = append(b, bytes.Repeat([]byte{0}, -len(b)&3)...)
		b = append(b, toyType, 6, 0, 0, 1, 0, 0, 0)
		b = append(b, token...)
	}
	p.conn.Write(append(header(kind, flags, call, len(b), len(token)), b...))
}

func header(kind, flags byte, call uint32, body, token int) []byte {
	b := []byte{5, 0, kind, flags, 0x10, 0, 0, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(16+body))
	b = binary.LittleEndian.AppendUint16(b, uint16(token))
	return binary.LittleEndian.AppendUint32(b, call)
}

// bound reads a bind and answers it, leg by leg.
func (p *peer) bound(results ...string) bool {
	bind := p.read()
	if bind == nil {
		return false
	}
	if bind[2] != 11 || bind[3] != p.bindFlags() || bind[24] != byte(len(results)) {
		p.t.Errorf("not the bind that was expected: %x", bind)
		return false
	}
	p.ack(12, bind, "0600 3133353700 00 0000 0000", results)
	if p.login == nil {
		return true
	}
	third := p.read()
	switch {
	case third == nil:
		return false
	case p.login.answered:
		results = results[:1]
		if third[2] != 14 || third[24] != 1 || binary.LittleEndian.Uint32(third[20:]) != 0x4711 {
			p.t.Errorf("the third leg is %x", third)
		}
		p.login.check(third)
		p.ack(15, third, "0000 0000", results)
	case third[2] != 16:
		p.t.Errorf("the third leg is %x", third)
	default:
		p.login.check(third)
	}
	return true
}

func (p *peer) bindFlags() byte {
	if p.login != nil {
		return 7
	}
	return 3
}

// ack answers a bind or an alter_context.
func (p *peer) ack(kind byte, m []byte, address string, results []string) {
	flags := byte(3)
	if p.sign {
		flags = 7
	}
	var most [2]byte
	binary.LittleEndian.PutUint16(most[:], p.maxRecv)
	body := "d016" + hex.EncodeToString(most[:]) + "11470000" + strings.TrimSuffix(address, "0000 0000")
	if kind == 15 {
		body = "d016" + hex.EncodeToString(most[:]) + "11470000" + "0000 0000"
	}
	body += hex.EncodeToString([]byte{byte(len(results))}) + "000000" + strings.Join(results, "")
	var token []byte
	if p.login != nil {
		p.login.check(m)
		token = p.login.next()
	}
	p.pdu(kind, flags, binary.LittleEndian.Uint32(m[12:]), body, token)
}

// call reads the fragments of a request: the identifier of the call, its opnum and
// stub.
func (p *peer) call() (id uint32, opnum uint16, stub []byte, ok bool) {
	for first := true; ; first = false {
		b := p.read()
		if b == nil {
			return 0, 0, nil, false
		}
		if b[2] != 0 || first != (b[3]&1 != 0) || len(b) > int(p.maxRecv) {
			p.t.Errorf("not a fragment of a request: %x", b)
		}
		id, opnum = binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint16(b[22:])
		head := 24
		if b[3]&0x80 != 0 {
			if head = 40; !bytes.Equal(b[24:40], object[:]) {
				p.t.Errorf("the object is %x", b[24:40])
			}
		}
		end := len(b)
		pad := 0
		if p.login != nil {
			end -= 8 + toySize
			pad = int(b[end+2])
			if err := p.login.Unseal(b[:head], b[head:end], b[end:end+8], b[end+8:], p.sign); err != nil {
				p.t.Errorf("a request: %v", err)
			}
			if (end-head)%16 != 0 {
				p.t.Errorf("%d octets sealed", end-head)
			}
		}
		if hint := binary.LittleEndian.Uint32(b[16:]); b[3]&2 == 0 && (int(hint) <= end-head || (end-head)%16 != 0) {
			p.t.Errorf("%d octets, hint %d, and not the last", end-head, hint)
		}
		stub = append(stub, b[head:end-pad]...)
		if b[3]&2 != 0 {
			return id, opnum, stub, true
		}
	}
}

// answer sends a stub in pieces.
func (p *peer) answer(id uint32, stub []byte) {
	flags := byte(1)
	for {
		n := min(p.piece, len(stub))
		if n == len(stub) {
			flags |= 2
		}
		p.fragment(id, flags, stub[:n])
		if stub, flags = stub[n:], 0; len(stub) == 0 {
			return
		}
	}
}

func (p *peer) fragment(id uint32, flags byte, piece []byte) {
	body := append([]byte{0, 0, 0, 0, 0, 0, 0, 0}, piece...)
	if p.login == nil {
		p.conn.Write(append(header(2, flags, id, len(body), 0), body...))
		return
	}
	pad := -len(piece) & 15
	body = append(body, make([]byte, pad)...)
	b := append(header(2, flags, id, len(body)+8+toySize, toySize), body...)
	trailer := []byte{toyType, 6, byte(pad), 0, 1, 0, 0, 0}
	token, _ := p.login.Seal(b[:24], b[24:], trailer, p.sign)
	p.conn.Write(append(append(b, trailer...), token...))
}

// echoes answers every call with what came, until nothing comes any more.
func (p *peer) echoes(results ...string) {
	if !p.bound(results...) {
		return
	}
	for {
		id, _, stub, ok := p.call()
		if !ok {
			return
		}
		p.answer(id, stub)
	}
}

const (
	toyType byte = 0x0A
	toySize      = 5
)

// toy is a login that hides nothing but notices every change: a checksum over what
// is sealed and a counter for each direction.
type toy struct {
	t        testing.TB
	answered bool // its third leg is
	legs     int
	out, in  byte
	refuse   error
}

func (s *toy) AuthType() uint8 { return toyType }
func (s *toy) Done() bool      { return s.legs >= 2 && (!s.answered || s.legs >= 3) }
func (s *toy) Answered() bool  { return s.answered }
func (s *toy) TokenSize() int  { return toySize }

func (s *toy) Next(in []byte) ([]byte, error) {
	if s.refuse != nil && in != nil {
		return nil, s.refuse
	}
	if in != nil && string(in) != "server" {
		s.t.Errorf("token %q", in)
	}
	s.legs++
	if s.legs == 3 {
		return nil, nil
	}
	return []byte("client"), nil
}

// next and check are the server's side.
func (s *toy) next() []byte { return []byte("server") }

func (s *toy) check(m []byte) {
	n := len(m) - 6
	if string(m[n:]) != "client" || m[n-8] != toyType || m[n-7] != 6 || n%4 != 0 {
		s.t.Errorf("no token at the end of %x", m)
	}
}

func (s *toy) sum(header, stub, trailer []byte, sign bool, n byte) []byte {
	h := crc32.NewIEEE()
	if sign {
		h.Write(header)
		h.Write(trailer)
	}
	h.Write(stub)
	return append(h.Sum(nil), n)
}

func (s *toy) Seal(header, stub, trailer []byte, sign bool) ([]byte, error) {
	token := s.sum(header, stub, trailer, sign, s.out)
	s.mask(stub, s.out)
	s.out++
	return token, nil
}

func (s *toy) Unseal(header, stub, trailer, token []byte, sign bool) error {
	s.mask(stub, s.in)
	if !bytes.Equal(token, s.sum(header, stub, trailer, sign, s.in)) {
		return errors.New("a seal that is broken")
	}
	s.in++
	return nil
}

func (s *toy) mask(b []byte, n byte) {
	for i := range b {
		b[i] ^= 0x5a + n
	}
}

// octets reads hex with blanks in it.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve runs a server for every connection and gives its address. It waits for
// them in the end.
func serve(t *testing.T, each func(*peer)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			each(&peer{t: t, conn: c, maxRecv: 4280, piece: 4000})
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// direct dials what it is told to.
func direct(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// dial binds both interfaces, or only echo, at a server.
func dial(t *testing.T, address string, o rpc.Options, interfaces ...msrpc.SyntaxID) (*rpc.Conn, error) {
	t.Helper()
	o.Dial = direct
	if interfaces == nil {
		interfaces = []msrpc.SyntaxID{echo}
	}
	c, err := rpc.Dial(t.Context(), address, o, interfaces...)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// hop and notSent look into an error.
func hop(err error) rpc.Hop {
	var e *rpc.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Hop
}

func notSent(err error) bool {
	var e *rpc.NotSent
	return errors.As(err, &e)
}
